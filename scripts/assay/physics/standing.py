"""The verdict that stands for a student: that of its physics, held back where structures have no prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.physics.verdict import MD_READY, SCREENING_ONLY
from assay.workflow.files import look_up

Results = Mapping[str, Mapping[str, Any]]  # the content of each branch's JSON, by branch


def without_prediction(results: Results) -> dict[str, int]:
    """The number of structures that have no prediction, by split; splits where all have one are left out."""
    splits = look_up(results, "accuracy", "splits") or {}
    counts = {name: look_up(split, "without_prediction", "n_structures") for name, split in splits.items()}
    return {name: count for name, count in counts.items() if count}


def gap(results: Results, split: str | None) -> str:
    """How many structures of a split have no prediction and are in no error, in words; empty if all have one."""
    count = without_prediction(results).get(split or "")
    if not count:
        return ""
    rows = look_up(results, "accuracy", "splits", split, "without_prediction", "structures") or []
    first = f", such as {rows[0]['name']} (number {rows[0]['number']}): {rows[0]['reason']}" if rows else ""
    return f"{count} structure{'s have' if count > 1 else ' has'} no prediction{first}"


def standing(results: Results, file: str | None = None) -> str | None:
    """Return md-ready, screening-only or reject; None if physics was not judged.

    A student that leaves structures of a split without a prediction is at most screening-only.

    Args:
        results: what was measured.
        file: the exported file whose verdict is asked for; None for that of the network.
    """
    verdict = look_up(results, "physics", *(("exports", file) if file else ()), "verdict")
    return SCREENING_ONLY if verdict == MD_READY and without_prediction(results) else verdict


def cap(results: Results) -> str | None:
    """Say why the verdict is at most screening-only though no check failed; None if nothing caps it."""
    gaps = [f"{split.replace('_', ' ')}: {gap(results, split)}" for split in without_prediction(results)]
    held = f"{SCREENING_ONLY} at most, because of {'; '.join(gaps)}" if gaps else None
    return "; ".join(filter(None, (look_up(results, "physics", "capped"), held))) or None
