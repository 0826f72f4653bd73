"""Periodic structures: that images count, each of them once, and that the stress is the energy's answer to strain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import ase.build
import numpy as np
from ase.data import covalent_radii

from assay.physics.base import (
    SHAKE_A,
    STENCIL,
    Check,
    Measurement,
    NotApplicable,
    Subject,
    slope_by_stencil,
    worst,
)
from assay.predictors.interface import Prediction, rounding_eV
from assay.structures.geometry import moved, random_rotations, shaken
from assay.structures.structure import Structure, atomic_numbers, covering
from assay.workflow.errors import AssayError

ATOMS_PER_A3 = 0.06  # a molecule of nine atoms then has a cell of about 5 angstrom, if it is no longer than that
SKEW = np.array([[1.0, 0.0, 0.0], [0.21, 1.0, 0.0], [-0.13, 0.19, 1.0]])
OTHER_VECTORS = np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]])  # the same lattice, since the determinant is one
REPEATS = ((2, 1, 1), (1, 2, 3))
VACUUM_A = 12.0
STRAIN = {True: 1e-4, False: 2e-3}  # of the four-point formula, in float64 (True) and in anything coarser (False)


def crystals(subject: Subject) -> list[Structure]:
    """Crystals of the reference and triclinic ones of one molecule a cell, whose cells are about as small as the
    cutoff, without any symmetry: the two smallest, crystals of the reference first, and as many as hold each element.

    Raises:
        NotApplicable: the model takes no periodic structure.
    """
    rng = subject.rng("crystals")
    given = sorted(subject.crystals, key=len)
    packed = [_packed(molecule) for molecule in sorted(subject.molecules, key=len)]
    made = covering([*given, *packed], atomic_numbers([*given, *packed]), 2)
    made = [shaken(crystal, SHAKE_A, rng) for crystal in made]
    try:
        subject.predictor.predict(made[:1])
    except AssayError as refusal:
        raise NotApplicable(str(refusal)) from None
    return made


def _packed(molecule: Structure) -> Structure:
    """A crystal of one molecule a cell, in which no image is nearer than a bond of its largest atoms."""
    extent = np.ptp(molecule.positions, axis=0) + 2.0 * covalent_radii[molecule.atomic_numbers].max()
    edges = np.maximum(extent, (len(molecule) / ATOMS_PER_A3) ** (1.0 / 3.0))
    return replace(molecule, cell=SKEW * edges[:, None], pbc=np.ones(3, dtype=bool))


def repeated(crystal: Structure, counts: tuple[int, int, int]) -> Structure:
    """The crystal with its cell repeated along each lattice vector, cell after cell."""
    atoms = ase.build.make_supercell(crystal.to_ase(), np.diag(counts), order="cell-major")
    return replace(Structure.from_ase(atoms), name=f"{crystal.name} {counts}")


def _same_crystals(crystal: Structure, rng: np.random.Generator) -> Iterator[tuple[str, Structure, np.ndarray]]:
    """Other descriptions of one crystal, each with its name and the rotation that turns back its forces."""
    cell, unturned = np.asarray(crystal.cell), np.eye(3)
    for counts in REPEATS:
        yield f"supercell of {' x '.join(map(str, counts))}", repeated(crystal, counts), unturned
    shifts = rng.integers(-2, 3, crystal.positions.shape)
    yield "atoms in other cells", moved(crystal, crystal.positions + shifts @ cell), unturned
    yield "other lattice vectors", replace(crystal, cell=OTHER_VECTORS @ cell), unturned
    turn = random_rotations(1, rng)[0]
    yield "turned", replace(crystal, positions=crystal.positions @ turn.T, cell=cell @ turn.T), turn


def _same_slabs(crystal: Structure, reach_A: float) -> tuple[Structure, Structure]:
    """A layer of the crystal that ends at its faces, and one that repeats with a vacuum wider than the cutoff."""
    cell, open_ = np.array(crystal.cell), np.array([True, True, False])
    wide = cell.copy()
    wide[2] *= (np.ptp(crystal.positions, axis=0).max() + reach_A + VACUUM_A) / np.linalg.norm(cell[2])
    return replace(crystal, pbc=open_), replace(crystal, cell=wide)


def images(subject: Subject) -> Measurement:
    """One crystal in several descriptions: energy a cell and forces must not depend on which is given."""
    rng, names, energies, forces = subject.rng("images"), [], [], []
    for crystal in crystals(subject):
        pairs = [(name, crystal, other, turn) for name, other, turn in _same_crystals(crystal, rng)]
        if np.isfinite(subject.predictor.cutoff_A):  # without one nobody knows how wide the vacuum must be
            layer, apart = _same_slabs(crystal, subject.predictor.cutoff_A)
            pairs.append(("slab beside vacuum", layer, apart, np.eye(3)))
        found = iter(subject.predictor.predict([s for _, one, other, _ in pairs for s in (one, other)]))
        for name, one, other, turn in pairs:
            a, b = next(found), next(found)
            copies = len(other) // len(one)
            names.append(f"{crystal.name}: {name}")
            rounding = 0.5 * (rounding_eV([b]) / copies + rounding_eV([a]))
            energies.append(max(abs(b.energy_eV / copies - a.energy_eV) - rounding, 0.0))
            forces.append(worst(np.abs(b.forces_eV_per_A @ turn - np.tile(a.forces_eV_per_A, (copies, 1)))))
    return Measurement(
        {"energy_error_eV": worst(energies), "force_error_eV_per_A": worst(forces)},
        {"pairs": names, "energy_error_eV": energies, "force_error_eV_per_A": forces},
    )


def strained(crystal: Structure, strain: np.ndarray) -> Structure:
    """The crystal with cell and positions under a strain (3, 3), without labels."""
    deformation = np.eye(3) + strain
    return replace(moved(crystal, crystal.positions @ deformation), cell=np.asarray(crystal.cell) @ deformation)


def stress(subject: Subject) -> Measurement:
    """The stress beside the four-point derivative of the energy by each of the six strains, apart by more than rounded
    energies explain.
    """
    made, step = crystals(subject), STRAIN[subject.exact]
    known = subject.predictor.predict(made)
    if all(prediction.stress_eV_per_A3 is None for prediction in known):
        raise NotApplicable("the model gives no stress")
    given = np.array([_given(prediction) for prediction in known])
    derived = [_by_strain(subject, crystal, step) for crystal in made]
    expected, rounding = np.array([found for found, _ in derived]), np.array([off for _, off in derived])
    apart = np.maximum(np.abs(given - expected) - rounding[:, None, None], 0.0)
    relative = np.linalg.norm(apart, axis=(1, 2)) / np.linalg.norm(expected, axis=(1, 2))
    return Measurement(
        {"relative_error": worst(relative)},
        {
            "crystals": [crystal.name for crystal in made],
            "stress_eV_per_A3": given,
            "by_strain_eV_per_A3": expected,
            "rounding_eV_per_A3": rounding,
            "strain": step,
        },
    )


def _given(prediction: Prediction) -> np.ndarray:
    return np.full((3, 3), np.nan) if prediction.stress_eV_per_A3 is None else prediction.stress_eV_per_A3


def _by_strain(subject: Subject, crystal: Structure, step: float) -> tuple[np.ndarray, float]:
    """The derivative of the energy by strain over the volume, (3, 3), and what rounded energies may add to each of its
    components, eV/angstrom^3.
    """
    result, rounding = np.zeros((3, 3)), 0.0
    for i, j in zip(*np.triu_indices(3), strict=True):
        direction = np.zeros((3, 3))
        direction[i, j] += 0.5
        direction[j, i] += 0.5
        copies = [strained(crystal, n * step * direction) for n, _ in STENCIL]
        slope, off = slope_by_stencil(subject.predictor.predict(copies), step)
        result[i, j] = result[j, i] = slope / crystal.volume_A3
        rounding = max(rounding, off / crystal.volume_A3)
    return result, rounding


CHECKS = [
    Check("images", "a crystal is the same in whatever cell it is given", images),
    Check("stress", "the stress is the change of the energy by strain", stress),
]
