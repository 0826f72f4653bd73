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
    """

    def __init__(self, model: EngineModel, threads: int = 1, skin: float = 0.5):
        self.model, self.threads, self.skin = model, threads, skin
        self.mean_neighbors = np.zeros(0)
        self._search = VerletList(model.cutoff + skin, skin=0.0)
        self._sizes: list[int] = []
        self._positions = self._boxes = np.zeros(0)

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
        boxes = np.concatenate([np.ravel(cells), np.ravel(pbc)])
        if self._is_stale(sizes, x, boxes):
            self._find(sizes, x, cells, pbc)
            self._sizes, self._positions, self._boxes = sizes, x, boxes
        neighbor, center = self._edges
        vectors = x[neighbor] - x[center] + self._shift
        near = np.einsum("ek,ek->e", vectors, vectors) < self.model.cutoff**2
        counts = np.bincount(self._structure[center[near]], minlength=len(sizes))
        self.mean_neighbors = counts / np.maximum(sizes, 1)
        numbers = np.concatenate([np.asarray(own) for own in atomic_numbers])
        return self.model(numbers, self._edges, vectors, self._structure, threads=self.threads)

    def _is_stale(self, sizes: list[int], x: np.ndarray, boxes: np.ndarray) -> bool:
        """Whether a pair may have come within the cutoff unseen."""
        if sizes != self._sizes or not np.array_equal(boxes, self._boxes):
            return True
        moved = x - self._positions
        return bool(np.einsum("ik,ik->i", moved, moved).max(initial=0.0) > (0.5 * self.skin) ** 2)

    def _find(self, sizes: list[int], x: np.ndarray, cells: Sequence[np.ndarray], pbc: Sequence[np.ndarray]) -> None:
        """Find the pairs of each structure within the cutoff and the skin."""
        self._structure = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        first = np.concatenate([[0], np.cumsum(sizes)])
        edges, vectors = [], []
        for k, (cell, axes) in enumerate(zip(cells, pbc, strict=True)):
            own = x[first[k] : first[k + 1]]
            pairs, arrows = self._search.update(own, np.asarray(cell, np.float64), np.asarray(axes, bool))
            edges.append(pairs + first[k])
            vectors.append(arrows)
        self._edges = np.concatenate(edges, axis=1).astype(np.int32)
        self._shift = np.concatenate(vectors) - (x[self._edges[0]] - x[self._edges[1]])
