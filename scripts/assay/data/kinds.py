"""Kinds of geometries, which the names of labelled structures tell, and how files spell them."""

from __future__ import annotations

KINDS = (
    "thermal",
    "relaxed",
    "stretched",
    "twisted",
    "scan",
    "student_md",
    "dimer",
    "facing",
    "droplet",
    "diamond",
    "cluster",
    "pair",
    "dynamics",
)

# The words of the code that files spell otherwise: names of structures, names and counts of shards, records. What was
# labelled and trained under the words on the right is found under them.
_ON_DISK = {"student_md": "driven", "student": "driver"}


def on_disk(word: str) -> str:
    """The spelling of a kind of geometries, or of another word of the code, in files."""
    return _ON_DISK.get(word, word)


def from_disk(word: str) -> str:
    """The spelling in the code of a word that a file holds."""
    return next((name for name, stored in _ON_DISK.items() if stored == word), word)


def kind_of(name: str) -> str:
    """The kind that is part of a structure's name, in either spelling; "" for a name that was given elsewhere."""
    return next((kind for kind in KINDS if f"-{kind}-" in name or f"-{on_disk(kind)}-" in name), "")
