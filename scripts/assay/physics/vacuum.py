"""What of a structure repeats, and what is vacuum: a molecule in a box is no crystal, though its cell repeats."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch

from assay.neighbors.lists import neighbor_list
from assay.structures.geometry import moved
from assay.structures.structure import Structure

VACUUM_A = 6.0  # no atom of a crystal is farther from its next one: 5.3 in cesium, 4.4 in xenon


def without_vacuum(structure: Structure) -> Structure | None:
    """A crystal as it is; what vacuum surrounds, such as a molecule in a box, as an open structure; None for a slab or
    a wire, whatever is said of its axes.

    Atoms hang together where at most ``VACUUM_A`` is between them. What hangs together with its own image along all
    three axes is a crystal.
    """
    if not structure.pbc.any():
        return structure
    if not structure.pbc.all():
        return None
    cell = np.asarray(structure.cell, dtype=np.float64)
    (first, second), shift = neighbor_list(
        torch.from_numpy(np.asarray(structure.positions, dtype=np.float64)),
        torch.zeros(len(structure), dtype=torch.long),
        VACUUM_A,
        cells=cell[None],
        pbc=structure.pbc[None],
    )
    steps = np.rint(shift.numpy() @ np.linalg.inv(cell)).astype(int)
    cells = _cells(len(structure), first.numpy(), second.numpy(), steps)
    ways = cells[second] + steps - cells[first]  # from an atom to its own image
    if np.linalg.matrix_rank(ways) == 3:
        return structure
    if ways.any():
        return None
    whole = moved(structure, structure.positions + cells @ cell)
    return replace(whole, cell=None, pbc=np.zeros(3, dtype=bool))


def _cells(n_atoms: int, first: np.ndarray, second: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The cell (N, 3) of each atom, so that atoms that hang together are side by side as far as images allow it."""
    beside = defaultdict(list)
    for a, b, step in zip(first, second, steps, strict=True):
        beside[int(b)].append((int(a), step))
    cells: dict[int, np.ndarray] = {}
    for start in range(n_atoms):
        if start in cells:
            continue
        cells[start], waiting = np.zeros(3, dtype=int), [start]
        while waiting:
            center = waiting.pop()
            for atom, step in beside[center]:
                if atom not in cells:
                    cells[atom] = cells[center] + step
                    waiting.append(atom)
    return np.array([cells[k] for k in range(n_atoms)])
