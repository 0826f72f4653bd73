"""A neighbor list that is kept while the atoms have hardly moved (L. Verlet, Phys. Rev. 159, 98, 1967)."""

from __future__ import annotations

import numpy as np
import vesin

from .cells import searchable_cell


class VerletList:
    """A neighbor list of all pairs within ``cutoff``, chosen from a longer list of those within ``cutoff + skin``.

    The longer list is made again once an atom has moved by more than half of the skin, or the cell, the periodicity or
    the number of atoms has changed: until then no pair can have come within the cutoff unseen. Copies of it, and those
    that other processes get, begin without a list.

    Args:
        cutoff: radius of the neighbor search, angstrom.
        skin: extra radius of the longer list, angstrom; zero searches anew each time.

    Attributes:
        n_builds: how often the longer list was made.
    """

    def __init__(self, cutoff: float, skin: float = 0.5):
        if not (isinstance(skin, int | float | np.number) and 0.0 <= skin < np.inf):
            raise ValueError(f"the skin is {skin!r} angstrom: it must be a number, and not negative or without end")
        self.cutoff, self.skin, self.n_builds = cutoff, skin, 0
        self._search = vesin.NeighborList(cutoff=cutoff + skin, full_list=True, sorted=True)
        self._positions: np.ndarray | None = None
        self._cell, self._pbc = np.zeros((3, 3)), np.zeros(3, bool)

    def __reduce__(self) -> tuple[type, tuple[float, float]]:
        return type(self), (self.cutoff, self.skin)

    def update(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pairs at these positions.

        Args:
            positions: (N, 3) float64, angstrom.
            cell: (3, 3) float64, lattice vectors in rows, angstrom.
            pbc: (3,) bool.

        Returns:
            edge_index int64 (2, E), rows (neighbor, atom), and the vector (E, 3) float64 from the atom to the neighbor.

        Raises:
            ValueError: as ``searchable_cell`` says.
        """
        if self._is_stale(positions, cell, pbc):
            box = searchable_cell(positions, cell, pbc, self.cutoff + self.skin)
            atom, neighbor, image = self._search.compute(positions, box, np.ones(3, bool), "ijS")
            self._edge_index = np.stack([neighbor, atom]).astype(np.int64)
            self._shift = image @ box
            self._positions, self._cell, self._pbc = positions.copy(), cell.copy(), pbc.copy()
            self.n_builds += 1
        neighbor, atom = self._edge_index
        vectors = positions[neighbor] - positions[atom] + self._shift
        near = np.einsum("ek,ek->e", vectors, vectors) <= self.cutoff**2
        return self._edge_index[:, near], vectors[near]

    def _is_stale(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> bool:
        same_box = np.array_equal(cell, self._cell) and np.array_equal(pbc, self._pbc)
        if self.skin == 0 or not same_box or self._positions is None or positions.shape != self._positions.shape:
            return True
        moved = positions - self._positions
        farthest = np.einsum("ik,ik->i", moved, moved).max(initial=0.0)
        return not farthest <= (0.5 * self.skin) ** 2  # NaN is farther than anything


def open_neighbors(positions: np.ndarray, batch: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the neighbors in structures that do not repeat, anew; the pairs as ``VerletList.update`` returns them.

    Args:
        positions: (N, 3) float64, angstrom.
        batch: int64 (N,), the structure of each atom, counted from 0.
        cutoff: the radius of the neighbor search, angstrom.
    """
    search = VerletList(cutoff, skin=0.0)
    pairs = []
    for index in range(batch.max() + 1):
        members = np.flatnonzero(batch == index)
        edges, vectors = search.update(positions[members], np.zeros((3, 3)), np.zeros(3, bool))
        pairs.append((members[edges], vectors))
    return np.concatenate([edges for edges, _ in pairs], axis=1), np.concatenate([vectors for _, vectors in pairs])
