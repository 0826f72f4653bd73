"""Structure files of users: read in any format that ASE knows, written as extended XYZ with predictions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import ase.io
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress

from assay.predictors.interface import Prediction
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path


def read_atoms(path: str | Path) -> list[ase.Atoms]:
    """Read every structure in a file.

    Raises:
        AssayError: the file is missing, holds no structure, or ASE does not understand it.
    """
    path = Path(path)
    if not path.is_file():
        raise AssayError(f"there is no structure file {path}: check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = ase.io.read(path, index=":")
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise AssayError(
            f"ASE cannot read structures from {path} ({reason}): convert it, e.g. to extended XYZ"
        ) from None
    if not isinstance(frames, list) or not frames or not all(isinstance(atoms, ase.Atoms) for atoms in frames):
        raise AssayError(f"{path} holds no structures: give a file with at least one")
    return frames


def write_predictions(
    path: str | Path,
    frames: Sequence[ase.Atoms],
    predictions: Sequence[Prediction],
    notes: Sequence[Mapping[str, Any]],
) -> None:
    """Write extended XYZ with predicted energies (eV) and forces (eV/angstrom), which replace any labels.

    The stress (eV/angstrom^3, positive under tension) stands beside them where the model gives one.

    Args:
        path: the file to write.
        frames: the structures.
        predictions: one for each structure.
        notes: further entries of the header of each structure; empty text is left out.
    """
    labelled = []
    for atoms, prediction, note in zip(frames, predictions, notes, strict=True):
        copy = atoms.copy()
        copy.info |= {key: value for key, value in note.items() if value != ""}  # ASE reads "" as the next key
        results = {"energy": prediction.energy_eV, "forces": prediction.forces_eV_per_A}
        if prediction.stress_eV_per_A3 is not None:
            results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress_eV_per_A3)
        copy.calc = SinglePointCalculator(copy, **results)
        labelled.append(copy)
    with atomic_path(path) as temporary:
        ase.io.write(temporary, labelled, format="extxyz")
