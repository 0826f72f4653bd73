"""Names of arguments, of which none that nobody takes is passed over."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# What others call an argument, where no likeness of letters leads to it.
SYNONYMS = {
    "model": "path", "model_path": "path", "file": "path", "checkpoint": "path", "dtype": "precision",
    "default_dtype": "precision", "bits": "precision", "n_cores": "threads", "num_workers": "threads",
}  # fmt: skip


def refuse_unknown(given: Iterable[str], known: Iterable[str], taker: str) -> None:
    """Raise a TypeError, as Python does for a function of its own, for names that are not known.

    Args:
        given: the names.
        known: those that there are, of which the nearest is told.
        taker: what takes them.
    """
    names = list(known)
    for name in given:
        if name not in names:
            synonym = SYNONYMS.get(name.lower())
            near = [synonym] if synonym in names else get_close_matches(name.lower(), names, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(names)}"
            raise TypeError(f"{taker} takes no argument `{name}`: {hint}")
