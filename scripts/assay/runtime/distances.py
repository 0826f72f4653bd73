"""Distances that no structure in angstrom has: those of positions in another unit."""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii

CONTACT = 0.6  # of the sum of covalent radii; N2 has 0.77, and bohr make 0.53 of each length
MULTIPLE = 0.5  # the same of two metals of groups 4 to 7: V2 has 0.58, Cr2 0.60, and bohr make 0.43 to 0.5 of crystals
METALS = (22, 23, 24, 25, 40, 41, 42, 43, 72, 73, 74, 75)
BONDED = 1.4  # of it; F2 has 1.25 and metals 1.1 to 1.2, and bohr that are taken for angstrom make 1.9 of a C-H bond
APART = 2.5  # of it; bohr that are taken for angstrom put no bonded atoms farther apart
NOBLE = (2, 10, 18, 36, 54, 86)  # gases, which have no bonds
CLOSED = (30, 48, 80)  # metals of group 12, which have none among each other
FEW = 3  # fewer atoms may be a bond that breaks


def strange_distances(atomic_numbers: np.ndarray, edge_index: np.ndarray, vectors: np.ndarray) -> dict[str, str]:
    """Say what of the distances between neighbors hints at another unit than the angstrom: a sentence for each kind.

    Nothing is said of what may be so in angstrom: two atoms that are not bonded, a vapor, and noble gases.

    Args:
        atomic_numbers: integers (N,).
        edge_index: integers (2, E), all pairs within a cutoff, both ways.
        vectors: (E, 3), between their atoms, angstrom.
    """
    noble = np.isin(atomic_numbers, NOBLE)
    unbonded = noble | np.isin(atomic_numbers, CLOSED)
    few = len(atomic_numbers) < FEW or unbonded.all()
    if not len(vectors):
        said = "none of its atoms has a neighbor, so that each is computed alone: are the positions in angstrom?"
        return {} if few else {"alone": said}
    distances = np.sqrt(np.einsum("ek,ek->e", vectors, vectors))
    ratios = distances / covalent_radii[atomic_numbers][edge_index].sum(axis=0)
    limits = np.where(np.isin(atomic_numbers, METALS)[edge_index].all(axis=0), MULTIPLE, CONTACT)
    nearest = int((ratios / limits).argmin())
    if ratios[nearest] < limits[nearest]:
        pair, apart = _words(edge_index, distances, nearest)
        return {"contact": f"{pair} are {apart}: are the positions in nm, or in units of the cell?"}
    telling = np.flatnonzero(~noble[edge_index].any(axis=0) & ~unbonded[edge_index].all(axis=0))
    if few or not len(telling) or ratios[telling].min() <= BONDED:
        return {}
    near = telling[ratios[telling] < APART]
    if 2 * len(np.unique(edge_index[:, near])) <= (~noble).sum():
        return {}
    pair, apart = _words(edge_index, distances, int(near[ratios[near].argmin()]))
    return {"alone": f"no atoms are bonded, and the nearest, {pair}, are {apart}: are the positions in bohr?"}


def _words(edge_index: np.ndarray, distances: np.ndarray, edge: int) -> tuple[str, str]:
    pair = f"the atoms {edge_index[:, edge].min()} and {edge_index[:, edge].max()}"
    return pair, f"{distances[edge]:.2g} angstrom apart"
