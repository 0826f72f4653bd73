"""Batches of structures of bounded cost: their atoms and edges are limited, never the number of structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from assay.structures.geometry import completed_cell
from assay.structures.structure import Structure

# An edge of a network of 400K parameters holds about 40 kB of saved activations in float32: 16,384 stay under 1 GB.
MAX_ATOMS = 1024
MAX_EDGES = 16384


def count_edges(structure: Structure, cutoff: float) -> int:
    """Count the directed edges within ``cutoff`` angstrom: exactly if the structure is open, by its density if not.

    Within an infinite cutoff these are the pairs of atoms.
    """
    n_atoms = len(structure)
    if not np.isfinite(cutoff):
        return n_atoms * (n_atoms - 1)
    if structure.pbc.any() and structure.cell is not None:
        cell = completed_cell(structure.cell, structure.pbc)
        extents = np.ptp(structure.positions @ np.linalg.inv(cell), axis=0) + 4.0 / 3.0 * cutoff
        volume = abs(np.linalg.det(cell)) * extents[~structure.pbc].prod()
        return int(np.ceil(n_atoms * n_atoms / volume * 4.0 / 3.0 * np.pi * cutoff**3))
    tree = cKDTree(structure.positions)
    return int(tree.count_neighbors(tree, cutoff)) - n_atoms


def pack(
    n_atoms: Sequence[int] | np.ndarray,
    n_edges: Sequence[int] | np.ndarray,
    max_atoms: int = MAX_ATOMS,
    max_edges: int = MAX_EDGES,
) -> list[np.ndarray]:
    """Group structures of similar size into batches.

    Args:
        n_atoms: (S,), number of atoms of each structure.
        n_edges: (S,), number of directed edges of each structure.
        max_atoms: the largest number of atoms in a batch.
        max_edges: the largest number of edges in a batch.

    Returns:
        The indices of the structures of each batch, smallest structures first. Each structure is in exactly one batch;
        a structure that exceeds a limit is a batch of its own.
    """
    batches: list[list[int]] = []
    atoms = edges = 0
    for index in np.argsort(np.asarray(n_atoms), kind="stable"):
        atoms, edges = atoms + int(n_atoms[index]), edges + int(n_edges[index])
        if not batches or atoms > max_atoms or edges > max_edges:
            batches.append([])
            atoms, edges = int(n_atoms[index]), int(n_edges[index])
        batches[-1].append(int(index))
    return [np.array(batch, dtype=np.int64) for batch in batches]


def pack_structures(structures: Sequence[Structure], cutoff: float, max_edges: int = MAX_EDGES) -> list[np.ndarray]:
    """Group structures by ``pack``, with their edges within ``cutoff`` angstrom."""
    n_atoms = [len(structure) for structure in structures]
    n_edges = [count_edges(structure, cutoff) for structure in structures]
    return pack(n_atoms, n_edges, MAX_ATOMS, max_edges)
