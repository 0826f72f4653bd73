"""Bonds and torsions along a trajectory, and how far their distributions are from those of another one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import wasserstein_distance

from assay.structures.geometry import bond_lengths, bonds, fragments
from assay.structures.structure import Structure

BOND_EDGES_A = np.linspace(-0.15, 0.15, 61)  # bins of a bond's length less the mean of the teacher's
TORSION_EDGES_deg = np.linspace(-180.0, 180.0, 73)
TURNS = 360  # points on the circle at which distributions of angles are compared


@dataclass(frozen=True)
class InternalCoordinates:
    """What of a molecule is followed: B bonds and D torsions.

    Attributes:
        bonds: int64 (B, 2), pairs of bonded atoms.
        torsions: int64 (D, 4), a dihedral angle for each bond that is in no ring and has neighbors at both ends.
    """

    bonds: np.ndarray
    torsions: np.ndarray

    @classmethod
    def of(cls, structure: Structure) -> InternalCoordinates:
        """The bonds and torsions of a molecule."""
        pairs = bonds(structure)
        neighbors: dict[int, list[int]] = {atom: [] for atom in range(len(structure))}
        for a, b in pairs.tolist():
            neighbors[a].append(b)
            neighbors[b].append(a)
        found = []
        for b, c in pairs.tolist():
            ends = [[atom for atom in neighbors[here] if atom != other] for here, other in ((b, c), (c, b))]
            if all(ends) and _separates(structure, pairs, b, c):
                first, last = (max(end, key=lambda atom: (structure.atomic_numbers[atom], -atom)) for end in ends)
                found.append((first, b, c, last))
        return cls(pairs, np.array(found, dtype=np.int64).reshape(-1, 4))

    def measure(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bond lengths (F, B), angstrom, and torsions (F, D), degrees, of frames (F, N, 3), angstrom."""
        return bond_lengths(frames, self.bonds), dihedral_angles(frames, self.torsions)


def dihedral_angles(frames: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """The angles (F, D), degrees from -180 to 180, of four atoms each (D, 4) in frames (F, N, 3)."""
    a, b, c, d = (frames[:, atoms[:, k]] for k in range(4))
    axis = c - b
    left, right = np.cross(b - a, axis), np.cross(axis, d - c)
    sine = (np.cross(left, right) * axis).sum(-1) / np.linalg.norm(axis, axis=-1)
    return np.degrees(np.arctan2(sine, (left * right).sum(-1)))


def compare(own: tuple[np.ndarray, np.ndarray], teacher: tuple[np.ndarray, np.ndarray]) -> dict[str, float | None]:
    """How far the distributions of bonds and torsions are from the teacher's.

    Args:
        own, teacher: lengths (F, B) and angles (F, D), as ``InternalCoordinates.measure`` gives them.

    Returns:
        ``bond_distance_A`` and ``torsion_distance_deg``, the means over bonds and torsions of the 1-Wasserstein
        distance, which is how far the one distribution must be moved to be the other; None where there is none.
    """
    bond = [wasserstein_distance(a, b) for a, b in zip(own[0].T, teacher[0].T, strict=True)]
    torsion = [_circular_distance(a, b) for a, b in zip(own[1].T, teacher[1].T, strict=True)]
    return {
        "bond_distance_A": float(np.mean(bond)) if bond else None,
        "torsion_distance_deg": float(np.mean(torsion)) if torsion else None,
    }


def densities(own: tuple[np.ndarray, np.ndarray], teacher: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """Histograms for a figure: counts of all bonds, each less its mean in the teacher's, and of all torsions."""
    change = own[0] - teacher[0].mean(0)
    return {
        "bonds": np.histogram(change, BOND_EDGES_A)[0],
        "torsions": np.histogram(own[1], TORSION_EDGES_deg)[0],
    }


def _circular_distance(own: np.ndarray, other: np.ndarray) -> float:
    """The 1-Wasserstein distance of two samples of angles on the circle, degrees.

    It is the mean absolute difference of the distribution functions after the best shift, their median difference
    (J. Rabin, J. Delon, Y. Gousseau, J. Math. Imaging Vis. 41, 147, 2011).
    """
    edges = np.linspace(-180.0, 180.0, TURNS + 1)
    cumulated = [np.cumsum(np.histogram(angles, edges)[0]) / len(angles) for angles in (own, other)]
    difference = cumulated[0] - cumulated[1]
    return float(np.abs(difference - np.median(difference)).sum() * 360.0 / TURNS)


def _separates(structure: Structure, pairs: np.ndarray, b: int, c: int) -> bool:
    """Whether the molecule falls apart without a bond, which is then in no ring."""
    parts = fragments(structure, pairs[~((pairs == (b, c)).all(1))])
    return bool(parts[b] != parts[c])
