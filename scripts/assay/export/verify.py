"""All that is checked of the exported files of one student: the content of export.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assay.errors import AssayError
from assay.export import determinism, graph_checks, parity
from assay.export.cases import open_cases, periodic_cases, random_cluster
from assay.files import sha256_file
from assay.models import Potential
from assay.predictors import load_predictor

LIGHT = (1, 6, 7, 8)  # of which test structures are made


def verify(
    model: Potential,
    elements: Sequence[int] | None,
    files: Mapping[str, Path],
    tolerances: Mapping[str, Mapping[str, float]],
    runs: int,
    threads: Sequence[int],
    missing: Mapping[str, str],
) -> dict[str, Any]:
    """Judge each exported file.

    Args:
        model: the network, in float64.
        elements: atomic numbers that it was trained on, or None.
        files: exported files by name.
        tolerances: of ``parity.Tolerance`` by name of file, and "default".
        runs: evaluations with each number of threads.
        threads: numbers of CPU threads.
        missing: files that could not be made, and why.
    """
    known = [z for z in LIGHT if elements is None or z in elements] or list(elements or LIGHT)
    open_, periodic = open_cases(known, model.cutoff), periodic_cases(known, model.cutoff)
    everything = open_ | periodic
    references = {name: parity.reference(model, batch) for name, batch in everything.items()}
    draw = np.random.default_rng(2)
    racy = [random_cluster(draw, known, n_atoms, 1.9) for n_atoms in (40, 21, 5)]

    result: dict[str, Any] = {
        "eager_float32": _eager_float32(model, everything, references),
        "missing": dict(missing),
        "files": {},
    }
    for name, path in files.items():
        tolerance = parity.Tolerance(**tolerances.get(name, tolerances["default"]))
        row: dict[str, Any] = {"size_bytes": path.stat().st_size, "sha256": sha256_file(path)}
        if path.suffix == ".onnx":
            row["graph"] = graph_checks.judge(path)
        try:
            predictor = load_predictor(path, threads=torch.get_num_threads())
            cases = everything if takes_cells(name) else open_
            rows = parity.judge(predictor, cases, references, tolerance)
            row["parity"] = {"tolerance": parity.describe(tolerance), "cases": rows, **_worst(rows)}
            row["determinism"] = determinism.judge(path, racy, runs, threads)
        except AssayError as error:
            row["error"] = str(error)
        judged = [row.get(part, {"passed": False}) for part in ("graph", "parity", "determinism") if part in row]
        row["passed"] = "error" not in row and all(part["passed"] for part in judged)
        result["files"][name] = row
    result["passed"] = all(row["passed"] for row in result["files"].values())
    return result


def takes_cells(name: str) -> bool:
    """Whether a file of this name evaluates periodic structures."""
    return ".edges." in name or not name.endswith(".onnx")


def _worst(rows: list[dict]) -> dict[str, Any]:
    """The largest errors over all cases, and the joint verdict."""
    ran = [row for row in rows if row.get("energy_error_eV") is not None]
    return {
        "energy_error_eV_max": max((row["energy_error_eV"] for row in ran), default=None),
        "forces_error_eV_per_A_max": max((row["forces_error_eV_per_A"] for row in ran), default=None),
        "passed": all(row["passed"] for row in rows),
    }


def _eager_float32(model: Potential, cases: dict, references: dict[str, parity.Reference]) -> dict[str, float]:
    """What single precision costs the network itself, to set the errors of the exports beside."""
    single = type(model)(**model.hyperparameters)
    single.load_state_dict(model.state_dict())
    energy, forces = 0.0, 0.0
    for name, batch in cases.items():
        found, expected = parity.reference(single, batch, torch.float32), references[name]
        energy = max(energy, float(np.abs(found.energy_eV - expected.energy_eV).max()))
        gap = np.abs(found.forces_eV_per_A - expected.forces_eV_per_A).max(initial=0.0)
        forces = max(forces, float(gap))
    return {"energy_error_eV_max": energy, "forces_error_eV_per_A_max": forces}
