"""What an earlier run found, which stays in the documentation where a run did not measure it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Keys of docs/figures.json that have a command of their own, and tell their own date.
OF_THEIR_OWN = ("ablation", "compression", "example", "fine_tuning")


def unchanged(found: Mapping[str, Any], earlier: Mapping[str, Any]) -> set[str]:
    """The names of the students whose checkpoint files are the same in both."""
    before = {name: student["file_sha256"] for name, student in earlier.get("students", {}).items()}
    return {name for name, own in found.get("students", {}).items() if own["file_sha256"] == before.get(name)}


def keep(figures: dict[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a run together with those of earlier runs that it did not measure.

    Comparisons with peers, and long dynamics, stay for students whose weights are the same.

    Args:
        figures: what this run found; None, or no such key, for what it did not measure.
        earlier: the content of ``docs/figures.json``.
    """
    kept = {key: earlier[key] for key in OF_THEIR_OWN if key in earlier and figures.get(key) is None}
    same = unchanged(figures, earlier)
    if not same:
        return figures | kept
    before = {name: earlier["students"][name] for name in same}
    kept["students"] = {
        name: own | {"endurance": own["endurance"] or before[name]["endurance"]} if name in same else own
        for name, own in figures["students"].items()
    }
    if figures["peers"] is None and (peers := earlier["peers"]):
        of_these = {name: own for name, own in peers["students"].items() if name in same}
        kept["peers"] = peers | {"students": of_these} if of_these else None
    return figures | kept
