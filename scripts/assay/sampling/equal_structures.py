"""Which structures are equal to held-out ones, however their coordinates were rounded, wrapped or shifted."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree

from assay.data.dataset import Dataset
from assay.data.store import StoredDataset
from assay.structures.geometry import completed_cell
from assay.structures.structure import Structure

EQUAL_A = 1e-3  # no coordinate of equal structures differs by more
N_SUMS = 8
NEAR_A = 5 * EQUAL_A  # a random sum differs by more than five times the root mean square once in a million


class Known:
    """Stored structures, among which equal ones are found: eight numbers of each stay in memory, the rest on the disk.

    Two structures are equal if they have the same atoms in the same order, and places that differ by ``EQUAL_A`` at
    most, modulo lattice vectors of periodic axes and a shift normal to these; so do the lattice vectors. Random
    sums over these numbers find those that are worth a look. A lone atom is equal to nothing: all need its energy.

    Args:
        stored: the structures.
    """

    def __init__(self, stored: StoredDataset):
        self._stored = stored
        self._several = np.flatnonzero(np.diff(stored.offsets) > 1)
        sums = [_sums(_numbers_of(one)) for block in stored.blocks() for one in block if len(one) > 1]
        self._tree = cKDTree(np.reshape(sums, (-1, N_SUMS)))

    def are_equal(self, block: Dataset) -> np.ndarray:
        """Which structures (S,) of a block, bool, are equal to one of these."""
        numbers = [_numbers_of(structure) for structure in block]
        near = self._tree.query_ball_point(np.reshape([*map(_sums, numbers)], (-1, N_SUMS)), NEAR_A, p=np.inf)
        asked = sorted({place for places in near for place in places})
        known = dict(zip(asked, map(_numbers_of, self._stored.subset(self._several[asked])), strict=True))
        equal = [
            any(len(own) == len(known[place]) and np.abs(own - known[place]).max() <= EQUAL_A for place in places)
            for own, places in zip(numbers, near, strict=True)
        ]
        return np.array(equal, dtype=bool)


def _numbers_of(structure: Structure) -> np.ndarray:
    """All that tells a structure (7N + 12,): atomic numbers, periodic axes and their vectors, and places in angstrom.

    A place along a periodic axis is one on a circle, two numbers; along an open one it is told from the middle.
    """
    periodic = structure.pbc
    cell = np.eye(3) if structure.cell is None else completed_cell(structure.cell, periodic)
    inverse = np.linalg.inv(cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    fractional = structure.positions @ inverse
    circles = heights / (2.0 * np.pi) * np.exp(2j * np.pi * fractional)
    places = np.where(periodic, circles, heights * (fractional - fractional.mean(axis=0)))
    vectors = np.where(periodic[:, None], cell, 0.0)
    return np.concatenate(
        [structure.atomic_numbers, periodic, vectors.ravel(), places.real.ravel(), places.imag.ravel()]
    )


def _sums(numbers: np.ndarray) -> np.ndarray:
    """Random sums (8,) of numbers (K,), each of which differs by about as much as the numbers do (root mean square)."""
    return numbers @ _weights(len(numbers))


@lru_cache(maxsize=64)
def _weights(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, N_SUMS)) / np.sqrt(count)
