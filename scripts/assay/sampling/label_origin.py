"""Whether labelled structures have the labels that a teacher gives them: one student learns one level of theory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from assay.predictors.interface import Prediction
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

MOST_RELATIVE, MOST_eV_per_A = 0.05, 0.02  # of differences of forces (RMS), beside the forces and in itself
MOST_eV_PER_ATOM = 0.005  # the middle difference of energies


def require_own_labels(asked: Sequence[tuple[Structure, Prediction]], name: str, path: str) -> str:
    """Make sure that labels are those of a teacher.

    Forces that are labelled zero, in a structure with others, are not compared: a constraint may have set them to zero.
    They are named where the teacher's own are larger than differences may be.

    Args:
        asked: some labelled structures, each with what the teacher says of it now.
        name, path: what the teacher and the file of the labels are called.

    Returns:
        what was found, as a sentence.

    Raises:
        AssayError: forces or energies are others.
    """
    labels = [cast(np.ndarray, structure.forces_eV_per_A) for structure, _ in asked]
    held = [(own == 0.0) & own.any() for own in labels]
    forces = [found.forces_eV_per_A[~zero] for (_, found), zero in zip(asked, held, strict=True)]
    differences = [its - own[~zero] for its, own, zero in zip(forces, labels, held, strict=True)]
    energies = [abs(found.energy_eV - cast(float, structure.energy_eV)) / len(structure) for structure, found in asked]
    size, off = (float(np.sqrt((np.concatenate(parts) ** 2).mean())) for parts in (forces, differences))
    most = MOST_eV_per_A + MOST_RELATIVE * size
    energy = float(np.median(energies))
    kind, told = None, ""
    if not off <= most:
        kind, told = "forces", f"by {off:.2g} eV/angstrom where its own are {size:.2g}"
    elif not energy <= MOST_eV_PER_ATOM:
        kind, told = "energies", f"by {energy:.2g} eV/atom, the forces by {off:.2g} eV/angstrom"
    if kind is not None:
        raise AssayError(
            f"the labels of {path} are not those of {name}: in {len(forces)} structures its {kind} differ {told} "
            "(root mean square and median); name the calculator, arguments and charges that made them, or no calculator"
        )
    its = [np.abs(found.forces_eV_per_A[zero]).max(initial=0.0) for (_, found), zero in zip(asked, held, strict=True)]
    if n_held := sum(largest > most for largest in its):
        told = (
            f"; but in {n_held} of them some forces are zero where its own are up to {max(its):.2g} eV/angstrom, as if "
            "a constraint held atoms: a student learns both, and get_forces(apply_constraint=False) of ASE gives all"
        )
    return (
        f"the labels of {len(forces)} structures are those of {name}, to {off:.2g} eV/angstrom and {energy:.2g} "
        f"eV/atom{told}"
    )
