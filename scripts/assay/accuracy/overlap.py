"""How much of a split a student has seen in training: the same structures, and the same molecules.

A molecule is told by its graph, atoms and bonds, whose colors are refined as by Weisfeiler and Lehman (1968). A
structure is told by its molecule and by a few numbers that do not change if it is moved, turned or its atoms are put in
another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from assay.accuracy.environments import describe_structures
from assay.structures.structure import Structure

N_NUMBERS = 4
# Shapes that differ by less are equal. Rounding to 1e-4 angstrom changes those of small molecules by up to 0.002, a
# step of dynamics of 0.005 angstrom by 0.08 and more.
SAME_SHAPE = 3e-3


@dataclass(frozen=True)
class Fingerprints:
    """What S structures are told by.

    Attributes:
        molecules: (S,) uint64, a hash of the graph of atoms and bonds.
        shapes: (S, 4) float32, sums over the descriptions of all atoms.
        whole: of what a student learned from, whether these are all.
    """

    molecules: np.ndarray
    shapes: np.ndarray
    whole: bool = True

    def __len__(self) -> int:
        return len(self.molecules)

    def joined(self, others: Fingerprints | None) -> Fingerprints:
        """Those of these structures and of others, which are unknown without any."""
        if others is None:
            return replace(self, whole=False)
        return Fingerprints(
            np.concatenate([self.molecules, others.molecules]),
            np.concatenate([self.shapes, others.shapes]),
            self.whole and others.whole,
        )


def projection(n_numbers: int) -> np.ndarray:
    """Directions (D, 4) in the space of the descriptions of atoms, the same in every run."""
    return np.random.default_rng(0).normal(size=(n_numbers, N_NUMBERS))


def fingerprints(owner: np.ndarray, graphs: np.ndarray, vectors: np.ndarray, n_structures: int) -> Fingerprints:
    """Sum what is known of atoms up to what is known of their structures.

    Args:
        owner: (N,) the structure of each atom.
        graphs: (N,) uint64, the hash of each atom in its graph.
        vectors: (N, D) the description of each atom.
        n_structures: the number of structures.
    """
    molecules = np.zeros(n_structures, dtype=np.uint64)
    np.add.at(molecules, owner, graphs)
    shapes = np.zeros((n_structures, N_NUMBERS))
    np.add.at(shapes, owner, vectors.astype(np.float64) @ projection(vectors.shape[1]))
    return Fingerprints(molecules, shapes.astype(np.float32))


def fingerprints_of(structures: Sequence[Structure]) -> Fingerprints:
    """The fingerprints of structures, in their order; those without atoms are like nothing else."""
    molecules, shapes = np.zeros(len(structures), np.uint64), np.full((len(structures), N_NUMBERS), np.inf, np.float32)
    for indices, found in describe_structures(structures):
        owner = np.repeat(np.arange(len(indices)), [len(structures[k]) for k in indices])
        own = fingerprints(owner, found.graphs, found.vectors, len(indices))
        molecules[indices], shapes[indices] = own.molecules, own.shapes
    return Fingerprints(molecules, shapes)


def are_among(known: Fingerprints, others: Fingerprints) -> np.ndarray:
    """Which structures (S,) of others, bool, are structures that are known."""
    same = np.zeros(len(others), dtype=bool)
    order = np.argsort(known.molecules, kind="stable")
    molecules = known.molecules[order]
    for molecule in np.intersect1d(others.molecules, molecules):
        here = np.flatnonzero(others.molecules == molecule)
        start, end = np.searchsorted(molecules, molecule), np.searchsorted(molecules, molecule, side="right")
        distance, _ = cKDTree(known.shapes[order[start:end]]).query(others.shapes[here])
        same[here] = distance < SAME_SHAPE
    return same


def overlap(training: Fingerprints, split: Fingerprints, all_described: bool) -> dict[str, Any]:
    """How many structures of a split are training structures, and how many are of molecules that training had.

    Args:
        training: the training structures that are described.
        split: the structures of the split.
        all_described: whether these are all training structures; else the numbers are lower bounds.
    """
    n_structures = int(are_among(training, split).sum())
    n_molecules = int(np.isin(split.molecules, training.molecules).sum())
    are_structures = f"{n_structures:,} are training structures"
    are_of_molecules = f"{n_molecules:,} are of molecules that the training data hold"
    if not all_described:
        are_structures = f"at least {are_structures}" if n_structures else "none is known to be a training structure"
        none = "none is of a molecule that the training data are known to hold"
        are_of_molecules = f"at least {are_of_molecules}" if n_molecules else none
    return {
        "n_structures": len(split),
        "same_structure": n_structures,
        "same_molecule": n_molecules,
        "is_lower_bound": not all_described,
        "sentence": f"of {len(split):,} structures {are_structures}, and {are_of_molecules}",
    }
