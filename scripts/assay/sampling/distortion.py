"""Geometries that thermal motion rarely visits: stretched bonds, turned torsions, contacts, element pairs, diamond."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import ase.build
import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolTransforms
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from assay.sampling.elements import COVALENT_RADII, ELEMENTS

FARTHEST_PAIR_A = 6.0  # of diatomics
_CARBON_HYDROGEN_A = 1.09
_ROTATABLE = Chem.MolFromSmarts("[!D1]~[!D1]-&!@[!D1]~[!D1]")
_TURNING = Chem.MolFromSmarts("[!#1]~[!D1;!$([CH3])]-&!@[!D1;!$([CH3])]~*")


def stretch_bonds(molecule: Chem.Mol, positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale one to three bonds to 0.75-1.5 of their length.

    What hangs on the far side of a bond moves along; a bond in a ring moves its two atoms only.
    """
    moved = positions.copy()
    bonds = list(molecule.GetBonds())
    for index in rng.choice(len(bonds), size=min(len(bonds), int(rng.integers(1, 4))), replace=False):
        bond = bonds[index]
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        shift = (rng.uniform(0.75, 1.5) - 1.0) * (moved[end] - moved[begin])
        if bond.IsInRing():
            moved[end] += 0.5 * shift
            moved[begin] -= 0.5 * shift
        else:
            moved[_side(molecule, begin, end)] += shift
    return moved


def turn_torsions(molecule: Chem.Mol, positions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn every rotatable bond at random, with a preference for contacts of 1.3-2.3 angstrom."""
    bonds = {match[1:3]: match for match in molecule.GetSubstructMatches(_ROTATABLE)}
    far = Chem.GetDistanceMatrix(molecule) > 3
    turned = Chem.Mol(molecule)
    conformer = turned.GetConformer()
    candidate = positions
    for _ in range(15):
        conformer.SetPositions(positions)
        for first, second, third, fourth in bonds.values():
            rdMolTransforms.SetDihedralDeg(conformer, first, second, third, fourth, rng.uniform(-180.0, 180.0))
        candidate = conformer.GetPositions()
        contact = cdist(candidate, candidate)[far].min(initial=np.inf)
        if 1.3 < contact < 2.3:
            break
    return candidate


def turning_torsions(molecule: Chem.Mol) -> list[tuple[int, int, int, int]]:
    """The four atoms of one dihedral angle about each single bond in no ring, to OH and NH2 too, to methyl not."""
    matches = molecule.GetSubstructMatches(_TURNING)
    return list({frozenset(match[1:3]): match for match in reversed(matches)}.values())


def place_dimer(first: np.ndarray, second: np.ndarray, distance: float, rng: np.random.Generator) -> np.ndarray:
    """Two molecules in random orientation whose closest atoms are ``distance`` angstrom apart: (N1 + N2, 3)."""
    first = first - first.mean(axis=0)
    second = Rotation.random(rng=rng).apply(second - second.mean(axis=0))
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    near, far = 0.0, 100.0
    for _ in range(40):
        middle = 0.5 * (near + far)
        if cdist(first, second + middle * direction).min() < distance:
            near = middle
        else:
            far = middle
    return np.concatenate([first, second + far * direction])


def element_pairs(n_distances: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(atomic numbers (2,), positions (2, 3)) of diatomics of every pair of elements.

    Distances run from 0.45 of the sum of the covalent radii to ``FARTHEST_PAIR_A``, evenly in 1/distance.
    """
    for first, second in itertools.combinations_with_replacement(ELEMENTS, 2):
        shortest = 0.45 * (COVALENT_RADII[first] + COVALENT_RADII[second])
        for inverse in np.linspace(1.0 / shortest, 1.0 / FARTHEST_PAIR_A, n_distances):
            yield np.array([first, second]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0 / inverse]])


def nanodiamond(radius: float, center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(atomic numbers (N,), positions (N, 3)) of a piece of diamond whose dangling bonds end in hydrogens.

    Carbons within ``radius`` (angstrom) of ``center`` (3,) are completed, until each has two or more carbon neighbors
    and no empty site has: hydrogens then keep 1.7 angstrom apart. No carbon is left where the sphere holds too few.
    """
    lattice = ase.build.bulk("C", "diamond", cubic=True)
    bond = lattice.cell[0, 0] * 3**0.5 / 4
    side = 2 * int(np.ceil(radius / lattice.cell[0, 0])) + 3
    sites = (lattice * (side, side, side)).positions
    sites = sites - sites.mean(0) - center
    near = (cdist(sites, sites) < 1.1 * bond).astype(np.int32) - np.eye(len(sites), dtype=np.int32)
    carbon, before = np.linalg.norm(sites, axis=1) < radius, None
    while before is None or not np.array_equal(carbon, before):
        before = carbon
        grown = carbon | (near @ carbon >= 2)
        carbon = grown & (near @ grown >= 2)
    inside, outside = np.nonzero(near * carbon[:, None] * ~carbon)
    caps = sites[inside] + (sites[outside] - sites[inside]) * (_CARBON_HYDROGEN_A / bond)
    return np.repeat([6, 1], [carbon.sum(), len(caps)]), np.concatenate([sites[carbon], caps])


def _side(molecule: Chem.Mol, begin: int, end: int) -> list[int]:
    """Atoms that stay connected to ``end`` when the bond to ``begin`` is cut."""
    side, open_ends = {begin, end}, [end]
    while open_ends:
        for neighbor in molecule.GetAtomWithIdx(open_ends.pop()).GetNeighbors():
            if neighbor.GetIdx() not in side:
                side.add(neighbor.GetIdx())
                open_ends.append(neighbor.GetIdx())
    return sorted(side - {begin})
