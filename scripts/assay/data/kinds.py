"""Kinds of geometries, which the names of labelled structures tell."""

from __future__ import annotations

KINDS = (
    "thermal",
    "relaxed",
    "stretched",
    "twisted",
    "scan",
    "driven",
    "dimer",
    "facing",
    "droplet",
    "diamond",
    "cluster",
    "pair",
    "dynamics",
)


def kind_of(name: str) -> str:
    """The kind that is part of a structure's name; "" for a name that was given elsewhere."""
    return next((kind for kind in KINDS if f"-{kind}-" in name), "")
