"""All checks of the exported files of one student, which make up export.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assay.engine.library import library
from assay.engine.model_file import why_not_computed
from assay.models import Potential
from assay.predictors.interface import BatchPredictor, load_predictor
from assay.structures.geometry import random_cluster
from assay.structures.structure import Structure
from assay.verification import determinism, dynamics, graph_checks, parity
from assay.verification.cases import open_cases, periodic_cases
from assay.workflow.config_models.physics_yaml import Export
from assay.workflow.errors import AssayError
from assay.workflow.files import sha256_file

LIGHT = (1, 6, 7, 8)  # elements that test structures are made of
MOVING = "model.edges.onnx"  # the file that molecules are moved by


def verify(
    model: Potential,
    elements: Sequence[int] | None,
    files: Mapping[str, Path],
    missing: Mapping[str, str],
    structures: Sequence[Structure],
    settings: Export,
) -> dict[str, Any]:
    """Check each exported file, and return the content of export.json.

    Args:
        model: the network, in float64.
        elements: atomic numbers that it was trained on; None if unknown.
        files: exported files by name.
        missing: reasons why files could not be made, by name.
        structures: real molecules, of which some are set in motion.
        settings: what the checks do.
    """
    judgeable = set(range(1, model.max_z + 1) if elements is None else elements)
    known = [z for z in LIGHT if z in judgeable] or sorted(judgeable)
    real = [structure for structure in structures if judgeable.issuperset(structure.atomic_numbers.tolist())]
    isolated = open_cases(known, model.cutoff, real)
    periodic = periodic_cases(known, model.cutoff)
    everything = isolated | periodic
    references = parity.references(model, everything)
    draw = np.random.default_rng(2)
    repeated = [random_cluster(draw, known, n_atoms, 1.9) for n_atoms in (30, 21, 5)]

    rows: dict[str, Any] = {}
    missing = dict(missing)
    reason = why_not_computed(model) or ("no C++ compiler works on this machine" if library() is None else None)
    for name, path in files.items():
        if path.suffix == ".assay" and reason is not None:
            missing[name] = f"the engine does not read it: {reason}"
            continue
        row: dict[str, Any] = {"size_bytes": path.stat().st_size, "sha256": sha256_file(path)}
        rows[name] = row
        if path.suffix == ".onnx":
            row["graph"] = graph_checks.check_graph(path)
        tolerance = settings.tolerance_of(name)
        try:
            predictor = load_predictor(path, threads=torch.get_num_threads())
            assert isinstance(predictor, BatchPredictor)
            judged = parity.parity_rows(predictor, everything if takes_cells(name) else isolated, references, tolerance)
            row["parity"] = {"tolerance": parity.allowed(tolerance), "cases": judged, **largest_errors(judged)}
            row["determinism"] = determinism.check_determinism(path, repeated, settings.runs, settings.threads)
            if name == MOVING and real:
                row["dynamics"] = dynamics.check_dynamics(model, path, real, settings.dynamics)
        except AssayError as error:
            row["error"] = str(error)
        checks = [row[check] for check in ("graph", "parity", "determinism", "dynamics") if check in row]
        row["passed"] = "error" not in row and all(check["passed"] for check in checks)
    return {
        "eager_float32": {"forces_error_eV_per_A_max": max(known.rounding_eV_per_A for known in references.values())},
        "missing": missing,
        "files": rows,
        "passed": all(row["passed"] for row in rows.values()),
    }


def takes_cells(name: str) -> bool:
    """Tell whether a file of this name evaluates periodic structures."""
    return ".edges." in name or not name.endswith(".onnx")


def largest_errors(rows: list[dict]) -> dict[str, Any]:
    """Return the largest errors over all cases, None where a case has none, and the verdict on all of them."""
    largest = {}
    for key in ("energy_error_eV", "forces_error_eV_per_A"):
        errors = [row[key] for row in rows if row.get(key) is not None]
        largest[f"{key}_max"] = max(errors) if errors and len(errors) == len(rows) else None
    return {**largest, "passed": all(row["passed"] for row in rows)}
