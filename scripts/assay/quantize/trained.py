"""What holds for a trained student by its weights, and not for every network: measured, and held to stored bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from assay.physics.precision import turned_energy_spread_eV
from assay.predictors.interface import Predictor, load_predictor
from assay.quantize.schemes import weights
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

EVERY_TURNED, EVERY_QUANTIZED = 80, 20  # one structure of so many is turned, or computed with quantized weights


def measure_trained(
    predictors: Sequence[Predictor], exported: Path, structures: Sequence[Structure]
) -> dict[str, float]:
    """Every value that a student's weights are held to.

    Args:
        predictors: the student in float32, one for each runtime of a checkpoint.
        exported: the student's model.onnx in float32.
        structures: molecules that were not in training.

    Returns:
        ``<runtime>_turned_energy_spread_eV`` for each predictor, and ``change_left_by_finer_filters``.
    """
    turned = structures[::EVERY_TURNED]
    measured = {f"{p.runtime}_turned_energy_spread_eV": turned_energy_spread_eV(p, turned) for p in predictors}
    return measured | {
        "change_left_by_finer_filters": change_left_by_finer_filters(exported, structures[::EVERY_QUANTIZED])
    }


def change_left_by_finer_filters(exported: Path, structures: Sequence[Structure]) -> float:
    """Return the mean change of forces by int8 weights with int16 filters, over that with int8 filters."""
    exact = _forces(exported, structures)
    with TemporaryDirectory() as folder:
        fine, coarse = Path(folder, "fine.onnx"), Path(folder, "coarse.onnx")
        weights(exported, fine, [])
        weights(exported, coarse, [], finer_filters=False)
        left, whole = (np.abs(_forces(path, structures) - exact).mean() for path in (fine, coarse))
    return float(left / whole)


def _forces(path: Path, structures: Sequence[Structure]) -> np.ndarray:
    return np.concatenate([prediction.forces_eV_per_A for prediction in load_predictor(path).predict(structures)])


def require_bounds(measured: Mapping[str, Mapping[str, float]], bounds: Mapping[str, Mapping[str, float]]) -> str:
    """Hold every student to its bounds.

    Args:
        measured: the values of each student by name, see ``measure_trained``.
        bounds: the largest values that each student may have, by name.

    Returns:
        a sentence of what was held.

    Raises:
        AssayError: a value above its bound, or not measured; or no student has bounds.
    """
    held = {(student, name): bounds[student][name] for student in measured for name in bounds.get(student, ())}
    if not held:
        raise AssayError(f"no bounds are stored for {', '.join(measured)}: add them to data/benchmarks/weights.yaml")
    broken = []
    for (student, name), bound in held.items():
        value = measured[student].get(name)
        if value is None:
            broken.append(f"{student}, {name}: not measured")
        elif not value <= bound:
            broken.append(f"{student}, {name}: {value:.3g} above {bound:.3g}")
    if broken:
        raise AssayError(
            f"{len(broken)} of {len(held)} bounds on weights are broken: {'; '.join(broken)}; train again, or change "
            "data/benchmarks/weights.yaml on purpose"
        )
    return f"All {len(held)} bounds on weights hold."
