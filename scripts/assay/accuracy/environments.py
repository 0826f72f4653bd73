"""What surrounds each atom, as numbers and in words.

The numbers are the smoothed distances to its neighbors, element by element: the radial symmetry functions of Behler and
Parrinello (Phys. Rev. Lett. 98, 146401, 2007). The words are its bonding pattern, such as "C bonded to C, H, H, H".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from ase.data import chemical_symbols, covalent_radii

from assay.accuracy.contacts import Contacts, kinds_of
from assay.data.dataset import Dataset
from assay.neighbors.lists import neighbor_list
from assay.structures.batching import pack_structures
from assay.structures.structure import Structure, cells_of, collate
from assay.workflow.progress import progress

CUTOFF_A = 5.0
CENTERS_A = np.array([0.8, 1.1, 1.4, 1.8, 2.3, 2.9, 3.6, 4.3])
WIDTHS_A = np.array([0.15, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.5])
BONDED_TO = " bonded to "
BOND_STRETCH = 1.3  # a bond is at most this much longer than the sum of covalent radii
REFINEMENTS = 6  # bonds over which an atom counts in the color of another
SPECIES = np.array([1, 6, 7, 8, 9, 15, 16, 17, 35, 53, 118])  # neighbors of other elements count as the next one


class Described(NamedTuple):
    """What is known of the N atoms of a batch of structures.

    Attributes:
        atomic_numbers: (N,).
        vectors: (N, D), their descriptions.
        patterns: their bonding patterns.
        graphs: (N,) uint64, a hash of each atom in the graph of atoms and bonds.
        contacts: their pairs within ``CUTOFF_A``.
    """

    atomic_numbers: np.ndarray
    vectors: np.ndarray
    patterns: list[str]
    graphs: np.ndarray
    contacts: Contacts


def describe(structures: Sequence[Structure]) -> Described:
    """Describe the atoms of a batch of structures, each of which has at least one."""
    atomic_numbers, positions, batch = collate(structures, dtype=torch.float64)
    edges, shift = neighbor_list(positions, batch, CUTOFF_A, *cells_of(structures))
    neighbor, atom = edges.numpy()
    x, numbers = positions.numpy(), atomic_numbers.numpy()
    distance = np.linalg.norm(x[neighbor] - x[atom] + shift.numpy(), axis=1)
    species = np.searchsorted(SPECIES, numbers)[neighbor].clip(max=len(SPECIES) - 1)
    envelope = 0.5 * (np.cos(np.pi * np.minimum(distance / CUTOFF_A, 1.0)) + 1.0)
    column = len(numbers) * len(SPECIES)
    vectors = np.stack(
        [
            np.bincount(
                atom * len(SPECIES) + species,
                envelope * np.exp(-0.5 * ((distance - center) / width) ** 2),
                column,
            )
            for center, width in zip(CENTERS_A, WIDTHS_A, strict=True)
        ],
        -1,
    ).reshape(len(numbers), -1)
    bonded = distance < BOND_STRETCH * (covalent_radii[numbers[neighbor]] + covalent_radii[numbers[atom]])
    bonds = atom[bonded], neighbor[bonded]
    once = atom <= neighbor
    contacts = Contacts(atom[once], kinds_of(numbers[atom[once]], numbers[neighbor[once]]), distance[once])
    return Described(numbers, vectors, _patterns(numbers, *bonds), _graphs(numbers, *bonds), contacts)


def _graphs(numbers: np.ndarray, atom: np.ndarray, neighbor: np.ndarray) -> np.ndarray:
    """Colors of atoms, refined by those of their bonded neighbors again and again (Weisfeiler and Lehman, 1968)."""
    colors = _scrambled(numbers.astype(np.uint64))
    for _ in range(REFINEMENTS):
        around = np.zeros_like(colors)
        np.add.at(around, atom, _scrambled(colors[neighbor]))
        colors = _scrambled(colors * np.uint64(3) + around)
    return colors


def _scrambled(values: np.ndarray) -> np.ndarray:
    """Values uint64, each hashed on its own (splitmix64, Steele, Lea and Flood, 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _patterns(numbers: np.ndarray, atom: np.ndarray, neighbor: np.ndarray) -> list[str]:
    partners: list[list[str]] = [[] for _ in numbers]
    for i, j in zip(atom, neighbor, strict=True):
        partners[i].append(chemical_symbols[numbers[j]])
    return [
        f"{chemical_symbols[z]}{BONDED_TO}{', '.join(sorted(own)) or 'nothing'}"
        for z, own in zip(numbers, partners, strict=True)
    ]


def describe_structures(structures: Sequence[Structure]) -> Iterator[tuple[list[int], Described]]:
    """Batches of bounded size: the indices of the structures in each, and what is known of their atoms, in order.

    Structures without atoms are in none.
    """
    present = [k for k, structure in enumerate(structures) if len(structure)]
    for batch in pack_structures([structures[k] for k in present], CUTOFF_A):
        indices = [present[k] for k in batch]
        yield indices, describe([structures[k] for k in indices])


def describe_atoms(dataset: Dataset, at_once: int = 2048) -> Iterator[tuple[np.ndarray, Described]]:
    """``describe_structures`` of so many at a time that memory does not grow with the dataset.

    Args:
        dataset: the structures to describe; small ones come first.
        at_once: how many structures are put into batches together.

    Yields:
        For each batch of n atoms: indices (n,) of the atoms in the dataset, and what is known of them, with
        descriptions in float32.
    """
    order = np.argsort(dataset.sizes, kind="stable")
    with progress(total=int(dataset.offsets[-1]), unit="atoms", desc="describing") as bar:
        for start in range(0, len(dataset), at_once):
            chosen = order[start : start + at_once]
            for indices, found in describe_structures([dataset[k] for k in chosen]):
                atoms = [np.arange(dataset.offsets[k], dataset.offsets[k + 1]) for k in chosen[indices]]
                yield np.concatenate(atoms), found._replace(vectors=found.vectors.astype(np.float32))
                bar.update(len(found.patterns))
