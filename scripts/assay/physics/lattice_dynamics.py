"""Crystals whose atoms leave their places, beside the teacher's: phonons, and vacancies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from ase.data import atomic_masses

from assay.physics import reference
from assay.physics.base import Check, Measurement, NoReference, Subject, asked, relative_error, worst
from assay.physics.crystals import repeated
from assay.physics.reference import Frame
from assay.physics.relax import eigenvalues, wavenumbers
from assay.structures.geometry import moved
from assay.structures.structure import Structure

STEP_A = 0.01  # of displaced atoms
LARGEST_CELL = 16  # atoms; phonons of larger cells would cost a teacher too many calls
SMALL_CELL = 8  # atoms; smaller cells are doubled along each axis, so that a lone atom has phonons and neighbors
SOFT_per_cm = 10.0  # modes within this of zero are neither imaginary nor real


def doubled(crystal: Structure) -> tuple[Structure, int]:
    """The crystal, doubled along each axis if it is small, and how often along each axis its cell is then repeated."""
    times = 1 if len(crystal) >= SMALL_CELL else 2
    return (crystal if times == 1 else repeated(crystal, (times,) * 3)), times


def displaced_frames(crystal: Structure) -> Iterator[Frame]:
    """Cells in which one atom of one cell is displaced along one axis, to both sides; none of a large cell."""
    if len(crystal) > LARGEST_CELL:
        return
    whole, times = doubled(crystal)
    for k, (atom, axis, sign) in enumerate(product(range(len(crystal)), range(3), (1, -1))):
        shift = np.zeros_like(whole.positions)
        shift[atom, axis] = sign * STEP_A
        known = {"times": np.array([times])}
        yield Frame(moved(whole, whole.positions + shift), reference.DISPLACED_CELL, crystal.name, float(k), known)


def vacancy_frames(crystal: Structure) -> Iterator[Frame]:
    """The crystal, doubled if it is small, and without the first atom of each element, its neighbors held."""
    whole, _ = doubled(crystal)
    yield Frame(moved(whole, whole.positions), reference.VACANCY, crystal.name, 0.0)
    for z in np.unique(whole.atomic_numbers).tolist():
        left = np.arange(len(whole)) != int(np.flatnonzero(whole.atomic_numbers == z)[0])
        bare = replace(moved(whole, whole.positions), atomic_numbers=whole.atomic_numbers[left])
        yield Frame(moved(bare, whole.positions[left]), reference.VACANCY, crystal.name, float(z))


def phonon_wavenumbers(atomic_numbers: np.ndarray, times: int, forces: np.ndarray) -> np.ndarray:
    """Wavenumbers in 1/cm of the phonons that fit into a supercell, ascending at each point, imaginary ones negative.

    The dynamical matrix at a point q is the sum over cells R of exp(i q R) times the force constants between the first
    cell and that at R. In a supercell that is doubled along each axis these factors are 1 and -1. Without doubling it
    is the point gamma alone. The three translations at gamma are left out.

    Args:
        atomic_numbers: (n,), of one cell.
        times: how often the cell is repeated along each axis, 1 or 2.
        forces: (6 n, N, 3), eV/angstrom, of the frames of ``displaced_frames`` in their order, in the whole supercell,
            cell after cell.
    """
    n = len(atomic_numbers)
    constants = -(forces[0::2] - forces[1::2]) / (2.0 * STEP_A)  # (3 n, N, 3)
    constants = constants.reshape(3 * n, times**3, 3 * n)
    root = np.sqrt(np.repeat(atomic_masses[atomic_numbers], 3))
    cells, found = list(product(range(times), repeat=3)), []
    for q in cells:
        signs = np.array([(-1.0) ** np.dot(q, cell) for cell in cells])
        matrix = np.einsum("ick,c->ik", constants, signs) / np.outer(root, root)
        values = eigenvalues(0.5 * (matrix + matrix.T))
        if not any(q):
            values = np.sort(values[np.argsort(np.abs(values))[3:]])
        found.append(wavenumbers(values))
    return np.concatenate(found)


def phonons(subject: Subject) -> Measurement:
    """Phonons of each crystal beside the teacher's: the RMS error of wavenumbers over their RMS, and how many are
    imaginary that are not so in the teacher.
    """
    rows, errors, imaginary = {}, [], []
    for name, (frames, predictions) in asked(subject, reference.DISPLACED_CELL).items():
        times = int(frames[0].known["times"][0])
        if len(frames) != 6 * len(frames[0].structure) // times**3:
            continue
        numbers = frames[0].structure.atomic_numbers[: len(frames[0].structure) // times**3]
        teacher, own = (
            phonon_wavenumbers(numbers, times, np.array(forces))
            for forces in (
                [frame.structure.forces_eV_per_A for frame in frames],
                [prediction.forces_eV_per_A for prediction in predictions],
            )
        )
        rows[name] = {"wavenumbers_per_cm": own, "teacher_per_cm": teacher}
        errors.append(relative_error(own, teacher))
        imaginary.append(max(0, int((own < -SOFT_per_cm).sum() - (teacher < -SOFT_per_cm).sum())))
    if not rows:
        raise NoReference(f"the teacher could not compute all displaced atoms of any crystal: {reference.HOW_TO_MAKE}")
    return Measurement({"relative_error": worst(errors), "imaginary_modes": sum(imaginary)}, {"crystals": rows})


def vacancies(subject: Subject) -> Measurement:
    """The energy to take an atom out of each crystal and to put it back as one more of the same crystal, its neighbors
    held: the mean over its atoms, beside the teacher's.

    For a crystal of N atoms E, of which n are of an element whose vacancy costs E' - E, it is the sum of n (E' - E) / N
    over elements, plus E / N. No constant of an element is left in it.
    """
    rows, errors = {}, []
    for name, (frames, predictions) in asked(subject, reference.VACANCY).items():
        whole, *bare = frames
        numbers = whole.structure.atomic_numbers
        if whole.coordinate != 0.0 or {int(frame.coordinate) for frame in bare} != set(numbers.tolist()):
            continue
        shares = np.array([(numbers == frame.coordinate).mean() for frame in bare])
        teacher = np.array([frame.energy_eV for frame in frames])
        own = np.array([prediction.energy_eV for prediction in predictions])
        known, found = (shares @ (e[1:] - e[0]) + e[0] / len(numbers) for e in (teacher, own))
        rows[name] = {"eV": float(found), "teacher_eV": float(known)}
        errors.append(abs(found - known))
    if not rows:
        raise NoReference(f"the teacher could not compute all vacancies of any crystal: {reference.HOW_TO_MAKE}")
    return Measurement({"error_eV": worst(errors)}, {"crystals": rows})


CHECKS = [
    Check("phonons", "the lattice vibrates as the teacher's", phonons, True),
    Check("vacancies", "an atom is bound in a crystal as by the teacher", vacancies, True),
]
