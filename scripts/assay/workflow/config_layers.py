"""Several layers of a config that the caller gives, one over the other: files of ``--configfile``, and ``--config``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# Keys that say which checkpoint, calculator, teacher or file the keys beside them tell of.
IDENTITIES = ("checkpoint", "calculator", "name", "path")


def merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What all layers say together: each goes before those under it, key by key; a new dictionary.

    A set of keys that names another checkpoint, calculator, teacher or file than the layers under it keeps nothing of
    theirs, since what is said of one is not true of another. ``arguments`` of a calculator are only merged.
    """
    whole: dict[str, Any] = {}
    for layer in layers:
        whole = _over(whole, layer)
    return whole


def _over(lower: Any, upper: Mapping[str, Any], free: bool = False) -> dict[str, Any]:
    """One set of keys over another one; a ``free`` one has keys of its own that identify nothing."""
    kept = dict(lower) if isinstance(lower, Mapping) else {}
    if not free and any(kept[key] != upper[key] for key in IDENTITIES if key in kept and key in upper):
        kept = {}
    for key, value in upper.items():
        if isinstance(value, Mapping):
            kept[key] = _over(kept.get(key), value, free or key == "arguments")
        else:
            kept[key] = value
    return kept
