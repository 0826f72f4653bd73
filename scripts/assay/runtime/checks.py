"""What arrays of atoms must be before a student sees them; what is wrong is said in words."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike

SAME_A = 1e-3  # vectors that differ by less are one vector, rounded
SURE = 0.9999  # the part of the squared cutoff within which no rounding drops an edge
ASKEW = np.array([0.3217, 0.7351, 0.1893])  # a direction and an offset at which no lattice puts its atoms
WIDEST_A = 256.0  # up to here positions in single precision are exact to 1.5e-5 angstrom
MIXING = np.array([0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                   0xFF51AFD7ED558CCD], dtype=np.uint64)  # fmt: skip


def check_atoms(
    atomic_numbers: ArrayLike,
    positions: ArrayLike,
    batch: ArrayLike | None,
    elements: Collection[int] | None,
    max_z: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the atoms as int64 (N,), float64 (N, 3) and int64 (N,).

    Args:
        atomic_numbers: (N,) integers, N >= 1.
        positions: (N, 3), angstrom.
        batch: (N,) integers, the structure of each atom, counted from 0; None for one structure.
        elements: the atomic numbers that the student was trained on; None if they are unknown.
        max_z: the largest atomic number that it takes.

    Raises:
        ValueError: other shapes, no atoms, unknown elements, positions that are not finite, or structures without
            atoms.
    """
    numbers = integers("atomic_numbers", atomic_numbers)
    at = np.asarray(positions, dtype=np.float64)
    structure = np.zeros_like(numbers) if batch is None else integers("batch", batch)
    if numbers.ndim != 1 or at.shape != (len(numbers), 3) or structure.shape != numbers.shape:
        raise ValueError(
            f"atomic_numbers and batch must have the shape (N,) and positions (N, 3), not {numbers.shape}, "
            f"{structure.shape} and {at.shape}"
        )
    if len(numbers) == 0 or numbers.min() < 1 or numbers.max() > max_z:
        raise ValueError(f"there must be atoms, with atomic numbers from 1 to {max_z}")
    if elements is not None:
        check_elements(numbers, elements)
    if not np.isfinite(at).all():
        raise ValueError("there are positions that are not finite")
    if batch is not None and (
        structure.min() < 0 or structure.max() >= len(structure) or not np.bincount(structure).all()
    ):
        raise ValueError("batch must count the structures from 0, and each must have atoms")
    return numbers, at, structure


def check_elements(numbers: np.ndarray, elements: Collection[int]) -> None:
    """Raise a ValueError for atomic numbers (N,) that are not among the elements that a student was trained on."""
    new = set(numbers.tolist()).difference(elements)
    if new:
        raise ValueError(f"the student was not trained on atomic numbers {sorted(new)}, only on {sorted(elements)}")


def structure_by_structure(structure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order in which atoms (N,) stand structure by structure, and the place of each atom in it."""
    order = np.argsort(structure, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return order, place


def centred(positions: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """Positions (N, 3) about the mean of each structure, whose digits single precision keeps wherever that lies."""
    counts = np.bincount(structure)
    sums = np.stack([np.bincount(structure, along) for along in positions.T], axis=1)
    return positions - (sums / counts[:, None])[structure]


def about_the_mean(positions: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """The same, for a model that takes positions in single precision and no vectors.

    Raises:
        ValueError: a structure is so wide that its positions lose digits there.
    """
    about = centred(positions, structure)
    if np.abs(about).max(initial=0.0) > WIDEST_A:
        raise ValueError(
            f"an atom lies more than {WIDEST_A:g} angstrom from the middle of its structure, where positions in single "
            "precision lose digits: use model.edges.onnx, which takes vectors"
        )
    return about


def check_edges(edge_index: ArrayLike, edge_shift: ArrayLike | None, n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Return edges as int64 (2, E) and float64 (E, 3).

    Args:
        edge_index: (2, E) integers, rows (neighbor, atom).
        edge_shift: (E, 3), angstrom.
        n_atoms: the number of atoms.

    Raises:
        ValueError: other shapes, atoms that are not there, or shifts that are not finite.
    """
    edges, shift = integers("edge_index", edge_index), np.asarray(edge_shift, dtype=np.float64)
    if edges.ndim != 2 or len(edges) != 2 or shift.shape != (edges.shape[1], 3):
        raise ValueError(
            f"edge_index must have the shape (2, E) and edge_shift (E, 3), not {edges.shape}, {shift.shape}"
        )
    if edges.size and (edges.min() < 0 or edges.max() >= n_atoms):
        raise ValueError(f"edge_index names atoms that are not among the {n_atoms}")
    if not np.isfinite(shift).all():
        raise ValueError("there are edge shifts that are not finite")
    return edges, shift


def check_pairs(edge_index: np.ndarray, vectors: np.ndarray, structure: np.ndarray, cutoff: float) -> None:
    """Raise a ValueError where an edge joins two structures, has no reverse or comes twice.

    Equal hashes tell which edges belong together, and the few that rounding parts are compared one by one.

    Args:
        edge_index: int64 (2, E), rows (neighbor, atom).
        vectors: float64 (E, 3), from the atom to the neighbor, angstrom.
        structure: int64 (N,), the structure of each atom.
        cutoff: angstrom; longer edges are ignored, and those that are almost as long may lack their reverse.
    """
    neighbor, atom = edge_index
    for k in np.flatnonzero(structure[neighbor] != structure[atom])[:1]:
        raise ValueError(f"edge {k} joins atoms of the structures {structure[atom[k]]} and {structure[neighbor[k]]}")
    short = np.flatnonzero((vectors**2).sum(1) < SURE * cutoff**2)
    forwards = neighbor[short] > atom[short]
    itself = neighbor[short] == atom[short]
    forwards[itself] = (vectors[short[itself]] @ ASKEW) > 0
    along = np.where(forwards[:, None], vectors[short], -vectors[short])
    ends = np.sort(edge_index[:, short], axis=0)
    found = np.concatenate([ends, np.floor(along.T / SAME_A + ASKEW[:, None])]).astype(np.int64).astype(np.uint64)
    hashes = (found * MIXING[:, None]).sum(0, dtype=np.uint64)
    _, group, size = np.unique(hashes, return_inverse=True, return_counts=True)
    alone = (size != 2) | (np.bincount(group, forwards, len(size)) != 1)
    for k in short[alone[group]]:
        like = (neighbor == neighbor[k]) & (atom == atom[k])
        if (np.abs(vectors[like] - vectors[k]).max(1) < SAME_A).sum() > 1:
            raise ValueError(
                f"the atoms {atom[k]} and {neighbor[k]} have one edge twice: give every pair of atoms once"
            )
        back = (neighbor == atom[k]) & (atom == neighbor[k])
        if not (np.abs(vectors[back] + vectors[k]).max(1) < SAME_A).any():
            raise ValueError(
                f"the edge of atom {atom[k]} to atom {neighbor[k]} has no reverse: give every pair of atoms both ways, "
                "with opposite vectors"
            )


def integers(name: str, values: ArrayLike, dtype: type[np.signedinteger] = np.int64) -> np.ndarray:
    """Return whole numbers as a contiguous array of ``dtype``.

    Args:
        name: what the array is called in an error.
        values: of any shape.
        dtype: the type of the result.

    Raises:
        ValueError: they are of a type that is not whole, or there is one that ``dtype`` does not hold.
    """
    found, limits = np.asarray(values), np.iinfo(dtype)
    if found.size and found.dtype.kind not in "iu":
        raise ValueError(f"{name} holds {found.dtype}: give integers")
    if found.size and found.dtype != dtype and (found.min() < limits.min or found.max() > limits.max):
        raise ValueError(f"{name} holds a number that {limits.bits} bits do not hold")
    return np.asarray(found, dtype=dtype, order="C")
