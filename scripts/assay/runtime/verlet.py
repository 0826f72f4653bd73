"""A neighbor list that is kept while the atoms have hardly moved (L. Verlet, Phys. Rev. 159, 98, 1967)."""

from __future__ import annotations

import numpy as np
import vesin


class VerletList:
    """A neighbor list of all pairs within ``cutoff``, chosen from a longer list of those within ``cutoff + skin``.

    The longer list is made again once an atom has moved by more than half of the skin, or the cell, the periodicity or
    the number of atoms has changed: until then no pair can have come within the cutoff unseen.

    Args:
        cutoff: radius of the neighbor search, angstrom.
        skin: extra radius of the longer list, angstrom; zero searches anew each time.

    Attributes:
        n_builds: how often the longer list was made.
    """

    def __init__(self, cutoff: float, skin: float = 0.5):
        if skin < 0:
            raise ValueError(f"the skin is {skin} angstrom and cannot be negative")
        self.cutoff, self.skin, self.n_builds = cutoff, skin, 0
        self._search = vesin.NeighborList(cutoff=cutoff + skin, full_list=True, sorted=True)
        self._positions = np.full((0, 3), np.nan)
        self._cell, self._pbc = np.zeros((3, 3)), np.zeros(3, bool)

    def update(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs at these positions.

        Args:
            positions: (N, 3) float64, angstrom.
            cell: (3, 3) float64, lattice vectors in rows, angstrom.
            pbc: (3,) bool.

        Returns:
            edge_index int64 (2, E), rows (neighbor, atom), and the vector (E, 3) float64 from the atom to the neighbor.
        """
        if self._is_stale(positions, cell, pbc):
            atom, neighbor, image = self._search.compute(positions, cell, pbc, "ijS")
            self._edge_index = np.stack([neighbor, atom]).astype(np.int64)
            self._shift = image @ cell
            self._positions, self._cell, self._pbc = positions.copy(), cell.copy(), pbc.copy()
            self.n_builds += 1
        neighbor, atom = self._edge_index
        vectors = positions[neighbor] - positions[atom] + self._shift
        near = np.einsum("ek,ek->e", vectors, vectors) <= self.cutoff**2
        return self._edge_index[:, near], vectors[near]

    def _is_stale(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> bool:
        same_box = np.array_equal(cell, self._cell) and np.array_equal(pbc, self._pbc)
        if self.skin == 0 or not same_box or positions.shape != self._positions.shape:
            return True
        moved = positions - self._positions
        return bool(np.einsum("ik,ik->i", moved, moved).max(initial=0.0) > (0.5 * self.skin) ** 2)
