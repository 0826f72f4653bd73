"""What a dataset must be before anybody computes with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from assay.data.dataset import Dataset
from assay.runtime.cells import MAX_EXTENT_A
from assay.structures.geometry import completed_cell, lattice_fault
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

COINCIDENT_A = 0.05
MAX_ATOMIC_NUMBER = 118
TOO_CLOSE = 0.4  # of the sum of covalent radii
TRIPLE_A, CUMULATED_A = 1.26, 1.34  # bonds of carbon up to this are triple ones, and those of C3 and C10 on average


def check(dataset: Dataset, path: str | Path) -> None:
    """Raise ``AssayError``, naming file and structure, at the first thing that is wrong.

    Checked: shapes agree, every structure has an atom, numbers are finite, elements are known, periodic axes have
    lattice vectors, no two atoms coincide (periodic images included).
    """
    if not len(dataset):
        raise AssayError(f"{path} holds no structures: check how it was written")
    named = [f"structure {k} ({name}) of {path}" for k, name in zip(dataset.places, dataset.names, strict=False)]
    _check_shapes(dataset, path, named)
    owner = dataset.owner
    unknown = (dataset.atomic_numbers < 1) | (dataset.atomic_numbers > MAX_ATOMIC_NUMBER)
    finite = {
        "positions": (np.isfinite(dataset.positions).all(axis=1), owner),
        "forces": (np.isfinite(dataset.forces).all(axis=1), owner),
        "cells": (np.isfinite(dataset.cells).all(axis=(1, 2)), np.arange(len(dataset))),
        "energy": (np.isfinite(dataset.energy), np.arange(len(dataset))),
    }
    if dataset.stress is not None:
        known = np.isfinite(dataset.stress).all(axis=(1, 2)) | np.isnan(dataset.stress).all(axis=(1, 2))
        finite["stress"] = (known, np.arange(len(dataset)))
    for column, (good, position) in finite.items():
        if not good.all():
            raise AssayError(f"{named[position[np.argmin(good)]]} has {column} that are not finite: leave it out")
    if unknown.any():
        number = dataset.atomic_numbers[np.argmax(unknown)]
        raise AssayError(f"{named[owner[np.argmax(unknown)]]} has an atomic number {number}: correct it")
    for index, structure in enumerate(dataset):
        fault = lattice_fault(structure)
        if fault:
            raise AssayError(f"{named[index]} {fault}")
        if _coincide(structure):
            raise AssayError(f"{named[index]} has two atoms in one place: remove one")


def is_sound(structure: Structure) -> bool:
    """Whether a structure may serve as an example: no atom is astray, and no two are far inside of each other.

    The closest atoms of the shipped structures are 0.69 of the sum of their covalent radii apart.
    """
    if np.ptp(structure.positions, axis=0).max() > MAX_EXTENT_A:
        return False
    radii = covalent_radii[structure.atomic_numbers]
    pairs = cKDTree(structure.positions).query_pairs(2.0 * TOO_CLOSE * radii.max(), output_type="ndarray")
    distances = np.linalg.norm(structure.positions[pairs[:, 0]] - structure.positions[pairs[:, 1]], axis=1)
    return bool((distances >= TOO_CLOSE * radii[pairs].sum(axis=1)).all())


def lacks_hydrogens(structure: Structure) -> bool:
    """Whether hydrogens seem to be missing.

    True if three or more carbons, and a third of all, are bonded to another, have at most two neighbors and no bond as
    short as a triple one. Pieces of one carbon, such as CO or CS2, pass unseen, and so do half as many hydrogens as
    carbons, and carbon alone that repeats or has bonds as short on average as those of its chains and rings.
    """
    numbers = structure.atomic_numbers
    carbons, alone = numbers == 6, bool((numbers == 6).all())
    if carbons.sum() < 3 or 2 * (numbers == 1).sum() >= carbons.sum() or (alone and structure.pbc.any()):
        return False
    atom, other, distance_A = neighbor_list("ijd", structure.to_ase(), 1.3 * covalent_radii[numbers])
    if not len(distance_A) or (alone and distance_A.mean() < CUMULATED_A):
        return False
    shortest_A = np.full(len(numbers), np.inf)
    np.minimum.at(shortest_A, atom, distance_A)
    opened = carbons & (np.bincount(atom, minlength=len(numbers)) <= 2) & (shortest_A > TRIPLE_A)
    opened &= np.isin(np.arange(len(numbers)), atom[carbons[other]])
    return bool(opened.sum() >= max(3, carbons.sum() / 3))


def _check_shapes(dataset: Dataset, path: str | Path, named: Sequence[str]) -> None:
    n_structures, atoms = len(dataset), len(dataset.atomic_numbers)
    offsets = dataset.offsets
    if not dataset.sizes.all():
        raise AssayError(f"{named[int(np.argmin(dataset.sizes))]} has no atoms: leave it out")
    if offsets[0] != 0 or offsets[-1] != atoms or (np.diff(offsets) < 1).any():
        raise AssayError(f"the sizes of structures in {path} do not add up to its {atoms} atoms: write it again")
    expected = {
        "positions": (atoms, 3),
        "forces": (atoms, 3),
        "cells": (n_structures, 3, 3),
        "pbc": (n_structures, 3),
        "energy": (n_structures,),
        "names": (n_structures,),
        "molecules": (n_structures,),
    }
    for column, shape in expected.items():
        found = getattr(dataset, column).shape
        if found != shape:
            raise AssayError(f"{column} in {path} have shape {found} where {shape} is needed: write it again")


def _coincide(structure: Structure) -> bool:
    if structure.pbc.any() and structure.cell is not None:
        return _images_coincide(structure.positions, completed_cell(structure.cell, structure.pbc), structure.pbc)
    if len(structure) > 500:
        return bool(cKDTree(structure.positions).query_pairs(COINCIDENT_A))
    return bool((pdist(structure.positions) < COINCIDENT_A).any())


def _images_coincide(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> bool:
    """Whether two atoms, or an atom and an image of another, are in one place, in memory that grows with the atoms."""
    inverse = np.linalg.inv(cell)
    fractional = positions @ inverse
    inside = fractional % 1.0
    fractional = np.where(pbc, np.where(inside < 1.0, inside, 0.0), fractional)
    tree = cKDTree(fractional, boxsize=np.where(pbc, 1.0, 0.0))
    pairs = tree.query_pairs(COINCIDENT_A * np.linalg.norm(inverse, 2), output_type="ndarray")
    difference = fractional[pairs[:, 0]] - fractional[pairs[:, 1]]
    difference -= np.rint(difference) * pbc
    return bool((np.linalg.norm(difference @ cell, axis=1) < COINCIDENT_A).any())
