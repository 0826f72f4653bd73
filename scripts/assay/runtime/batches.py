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
        self._lists: list[VerletList] = []

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
        while len(self._lists) < len(positions):
            self._lists.append(VerletList(self.model.cutoff, self.skin))
        edges, vectors, sizes = [], [], [len(numbers) for numbers in atomic_numbers]
        first = np.concatenate([[0], np.cumsum(sizes)])
        for k, given in enumerate(positions):
            x = np.asarray(given, np.float64)
            if not np.isfinite(x).all():
                raise ValueError(f"structure {k} has positions that are not finite: is the time step too long?")
            own, arrows = self._lists[k].update(x, np.asarray(cells[k], np.float64), pbc[k])
            edges.append(own + first[k])
            vectors.append(arrows)
        self.mean_neighbors = np.array([len(v) / max(n, 1) for v, n in zip(vectors, sizes, strict=True)])
        return self.model(
            np.concatenate([np.asarray(numbers) for numbers in atomic_numbers]),
            np.concatenate(edges, axis=1),
            np.concatenate(vectors),
            np.repeat(np.arange(len(sizes)), sizes),
            threads=self.threads,
        )
