"""Part 1: whether each runtime on the device computes the network in double precision on the CPU."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch

from assay.checkpoint import load_model
from assay.data import read_examples
from assay.gpu_hour.hour import ROOT, Hour, Piece, config
from assay.gpu_hour.runtimes import NAMES, load_runtime_of
from assay.structures.structure import Structure
from assay.verification.cases import Cases, open_cases, periodic_cases
from assay.verification.parity import Reference, allowed, parity_rows, references
from assay.workflow.config_models.physics_yaml import Tolerance

ELEMENTS = (1, 6, 7, 8)  # what random structures are made of, as for export.json
DRY_CASES = ("1 atom", "5 atoms", "slab", "batch of 2")


@functools.cache
def examples() -> list[Structure]:
    """Molecules of the shipped data, which batches and droplets are made of."""
    return read_examples([ROOT / "data/dataset/validation.h5"])


@functools.cache
def _cases(cutoff: float, dry: bool) -> Cases:
    cases = open_cases(ELEMENTS, cutoff, examples()) | periodic_cases(ELEMENTS, cutoff)
    return {name: cases[name] for name in DRY_CASES} if dry else cases


@functools.cache
def _references(checkpoint: Path, dry: bool) -> tuple[Cases, dict[str, Reference]]:
    """The cases of export.json, and what the network says of them in double precision on the CPU."""
    model = load_model(checkpoint, torch.float64)
    cases = _cases(model.cutoff, dry)
    return cases, references(model, cases)


def tolerance() -> Tolerance:
    """How far the config lets an exported file be from the network."""
    return Tolerance(**config("physics.yaml")["export"]["tolerances"]["default"])


def pieces(hour: Hour, folder: Path) -> dict[str, Piece]:
    """What is measured: each runtime of each student, over the cases of export.json.

    Args:
        hour: the device and the time.
        folder: where exported files are made.
    """

    def compare_cases(variant: str, name: str) -> dict[str, Any]:
        """How far one runtime of a student is from the network in double precision, over all cases."""
        predictor = load_runtime_of(hour, variant, name, folder)
        cases, expected = _references(hour.checkpoint(variant), hour.dry)
        limit = tolerance()
        rows = parity_rows(predictor, cases, expected, limit)
        return {
            "tolerance": allowed(limit),
            "passed": all(row["passed"] for row in rows),
            "forces_error_eV_per_A_max": _largest(rows, "forces_error_eV_per_A"),
            "energy_error_eV_max": _largest(rows, "energy_error_eV"),
            "cases": rows,
        }

    return {
        f"{variant}, {name}": functools.partial(compare_cases, variant, name)
        for variant in hour.variants
        for name in hour.wanted(NAMES)
    }


def _largest(rows: list[dict[str, Any]], key: str) -> float | None:
    return max((row[key] for row in rows if row.get(key) is not None), default=None)
