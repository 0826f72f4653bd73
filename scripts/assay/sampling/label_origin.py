"""Whether labelled structures have the labels that a teacher gives them: one student learns one level of theory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.predictors.interface import Predictor
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

MOST_RELATIVE, MOST_eV_per_A = (
    0.05,
    0.02,
)  # root mean square of differences of forces, beside that of forces and in itself
MOST_eV_PER_ATOM = 0.005  # the middle difference of energies


def require_own_labels(teacher: Predictor, structures: Sequence[Structure], name: str, path: str) -> str:
    """Make sure that labels are those of a teacher, by asking it again.

    Args:
        teacher: the teacher.
        structures: some labelled structures; those that it cannot label do not count.
        name, path: what the teacher and the file of the labels are called.

    Returns:
        what was found, as a sentence.

    Raises:
        AssayError: forces or energies are others.
    """
    forces, differences, energies = [], [], []
    for structure in structures:
        try:
            [found] = teacher.predict([structure])
        except AssayError:
            continue
        if structure.forces_eV_per_A is None or structure.energy_eV is None:
            continue
        forces.append(found.forces_eV_per_A)
        differences.append(found.forces_eV_per_A - structure.forces_eV_per_A)
        energies.append(abs(found.energy_eV - structure.energy_eV) / len(structure))
    if not forces:
        return f"{name} labels none of the tried structures of {path}: nothing tells whether their labels are its own"
    size, off = (float(np.sqrt((np.concatenate(parts) ** 2).mean())) for parts in (forces, differences))
    energy = float(np.median(energies))
    kind, told = None, ""
    if not off <= MOST_eV_per_A + MOST_RELATIVE * size:
        kind, told = "forces", f"by {off:.2g} eV/angstrom where its own are {size:.2g}"
    elif not energy <= MOST_eV_PER_ATOM:
        kind, told = "energies", f"by {energy:.2g} eV/atom, the forces by {off:.2g} eV/angstrom"
    if kind is not None:
        raise AssayError(
            f"the labels of {path} are not those of {name}: in {len(forces)} structures its {kind} differ {told} "
            "(root mean square and median); name the calculator, arguments and charges that made them, or no calculator"
        )
    return (
        f"the labels of {len(forces)} structures are those of {name}, to {off:.2g} eV/angstrom and {energy:.2g} eV/atom"
    )
