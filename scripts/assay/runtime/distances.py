"""Distances that no structure in angstrom has: those of positions in another unit."""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii

CONTACT = 0.6  # of the sum of covalent radii; N2 has 0.77, the least of all bonds, and bohr make 0.53 of each length
BONDED = 1.4  # of it; F2 has 1.25 and metals 1.1 to 1.2, and bohr that are taken for angstrom make 1.9 of a C-H bond
NOBLE = (2, 10, 18, 36, 54, 86)  # gases, which have no bonds


def strange_distances(atomic_numbers: np.ndarray, edge_index: np.ndarray, vectors: np.ndarray) -> dict[str, str]:
    """Say what of the distances between neighbors hints at another unit than the angstrom: a sentence for each kind.

    Args:
        atomic_numbers: integers (N,).
        edge_index: integers (2, E), all pairs within a cutoff, both ways.
        vectors: (E, 3), between their atoms, angstrom.
    """
    if len(atomic_numbers) < 2:
        return {}
    if not len(vectors):
        return {
            "alone": "none of its atoms has a neighbor, so that each is computed alone: are the positions in angstrom?"
        }
    distances = np.sqrt(np.einsum("ek,ek->e", vectors, vectors))
    first, second = atomic_numbers[edge_index]
    ratios = distances / (covalent_radii[first] + covalent_radii[second])
    nearest = int(ratios.argmin())
    pair = f"the atoms {min(edge_index[:, nearest])} and {max(edge_index[:, nearest])}"
    apart = f"{distances[nearest]:.2g} angstrom apart"
    if ratios[nearest] < CONTACT:
        return {"contact": f"{pair} are {apart}: are the positions in nm, or in units of the cell?"}
    if ratios[nearest] > BONDED and not np.isin(atomic_numbers, NOBLE).all():
        return {"alone": f"no atoms are bonded, and the nearest, {pair}, are {apart}: are the positions in bohr?"}
    return {}
