"""What the labels of each split seem to be, as the student says that knows them best, and what verdicts are for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.accuracy.label_checks import units_in_words
from assay.report.evidence import Student

KEYS = ("energy_unit", "force_unit", "suspicions", "outliers", "sentence")


def labels_by_split(students: Sequence[Student]) -> dict[str, dict[str, Any]]:
    """Say for each split in which units its labels seem to be, and what is suspicious of them.

    Returns:
        By split: ``student``, the one whose forces are nearest in direction to the labelled ones, and what
        ``assay.accuracy.label_checks.check_labels`` found with it.
    """
    found: dict[str, tuple[float, dict[str, Any]]] = {}
    for student in students:
        for split, judged in student.splits.items():
            labels = judged["labels"]
            likeness = abs(labels["force_correlation"] or 0.0)
            if split not in found or likeness > found[split][0]:
                found[split] = likeness, {"student": student.name} | {key: labels[key] for key in KEYS}
    return {split: row for split, (_, row) in found.items()}


def suspicious(labels: dict[str, dict[str, Any]]) -> list[str]:
    """The splits whose labels are suspicious."""
    return [split for split, row in labels.items() if row["suspicions"]]


def scopes_of(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The scopes of variants in a summary, in words, each with the names of the variants that have it."""
    found: dict[str, list[str]] = {}
    for name, variant in variants.items():
        if variant.get("scope"):
            found.setdefault(variant["scope"], []).append(name)
    return found


def units_of_splits(labels: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The units that labels are taken for, in words, each with the splits of which that is said."""
    found: dict[str, list[str]] = {}
    for split, row in labels.items():
        found.setdefault(units_in_words(row), []).append(split)
    return found
