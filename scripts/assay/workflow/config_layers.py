"""A config as the caller gives it: its layers (``--configfile``, ``--config``), one over the other, and its texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a value of a config, however deep."""
    if isinstance(value, str):
        yield value
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for item in inside:
        yield from texts_in(item)
