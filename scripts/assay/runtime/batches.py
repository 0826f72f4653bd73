"""Several structures in one call of the engine, as programs hand them over that move many replicas at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .engine import EngineModel, Evaluation
from .verlet import VerletList


class EngineBatches:
    """The engine with a neighbor list for each structure, which is kept while atoms have hardly moved.

    Args:
        model: the opened model.
        threads: the largest number of threads.
        skin: extra radius of the neighbor lists, angstrom; see ``VerletList``.

    Attributes:
        mean_neighbors: float64 (S,), the mean number of neighbors of an atom in each structure of the last call.
        n_builds: how often the neighbor list of a structure was made.
    """

    def __init__(self, model: EngineModel, threads: int = 1, skin: float = 0.5):
        self.model, self.threads, self.skin = model, threads, skin
        self.mean_neighbors, self.n_builds = np.zeros(0), 0
        self._search = VerletList(model.cutoff + skin, skin=0.0)
        self._sizes: list[int] = []
        self._pairs: list[tuple[np.ndarray, np.ndarray]] = []  # of each structure: its edges, and their shifts

    def __call__(
        self,
        atomic_numbers: Sequence[np.ndarray],
        positions: Sequence[np.ndarray],
        cells: Sequence[np.ndarray],
        pbc: Sequence[np.ndarray],
    ) -> Evaluation:
        """Evaluate S structures.

        Args:
            atomic_numbers: for each structure integers (N,).
            positions: for each (N, 3), angstrom.
            cells: for each (3, 3), lattice vectors in rows, angstrom; those of open axes are not read.
            pbc: for each bool (3,).

        Returns:
            energies (S,), forces of all atoms in order, and virials (S, 3, 3).

        Raises:
            ValueError: positions or cells make no sense, or an element is unknown to the model.
        """
        sizes, x = [len(own) for own in positions], np.concatenate(positions).astype(np.float64)
        if not np.isfinite(x).all():
            raise ValueError("there are positions that are not finite: is the time step too long?")
        boxes = np.concatenate([np.reshape(cells, (-1, 9)), np.reshape(pbc, (-1, 3))], axis=1)
        if sizes != self._sizes:
            self._begin(sizes, x)
        stale = self._stale(x, boxes)
        if len(stale):
            self._find(stale, x, boxes, cells, pbc)
        neighbor, center = self._edges
        vectors = x.take(neighbor, axis=0)
        vectors -= x.take(center, axis=0)
        vectors += self._shift
        near = np.einsum("ek,ek->e", vectors, vectors) < self.model.cutoff**2
        counts = np.diff(np.concatenate([[0], np.cumsum(near)])[self._first_edge])
        self.mean_neighbors = counts / np.maximum(sizes, 1)
        numbers = np.concatenate([np.asarray(own) for own in atomic_numbers])
        return self.model(numbers, self._edges, vectors, self._structure, threads=self.threads)

    def _begin(self, sizes: list[int], x: np.ndarray) -> None:
        """Forget all pairs, for structures of other sizes."""
        self._sizes, self._structure = sizes, np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        self._first_atom = np.concatenate([[0], np.cumsum(sizes)])
        self._pairs = [(np.empty((2, 0), np.int32), np.empty((0, 3)))] * len(sizes)
        self._positions, self._boxes = x, np.full((len(sizes), 12), np.nan)  # which no box equals

    def _stale(self, x: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """The indices of the structures in which a pair may have come within the cutoff unseen."""
        moved = x - self._positions
        far = np.einsum("ik,ik->i", moved, moved) > (0.5 * self.skin) ** 2
        changed = (boxes != self._boxes).any(axis=1)
        changed[self._structure[far]] = True
        return np.flatnonzero(changed)

    def _find(
        self,
        stale: np.ndarray,
        x: np.ndarray,
        boxes: np.ndarray,
        cells: Sequence[np.ndarray],
        pbc: Sequence[np.ndarray],
    ) -> None:
        """Find the pairs of some structures within the cutoff and the skin; those of the others stay."""
        found = []
        for k in stale:
            first, last = self._first_atom[k : k + 2]
            at = x[first:last]
            edges, vectors = self._search.update(at, np.asarray(cells[k], np.float64), np.asarray(pbc[k], bool))
            found.append(((edges + first).astype(np.int32), vectors - (at[edges[0]] - at[edges[1]])))
        for k, pairs in zip(stale, found, strict=True):  # once no structure can be refused any more
            self._pairs[k], self._boxes[k] = pairs, boxes[k]
        self.n_builds += len(found)
        moved = np.isin(self._structure, stale)
        self._positions = np.where(moved[:, None], x, self._positions)
        self._edges = np.concatenate([edges for edges, _ in self._pairs], axis=1)
        self._shift = np.concatenate([shift for _, shift in self._pairs])
        self._first_edge = np.concatenate([[0], np.cumsum([len(shift) for _, shift in self._pairs])])
