"""Atomic numbers, cells and periodicity under the names and in the forms in which files spell them."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.data import atomic_numbers as NUMBERS

CELLS = ("cell", "cells", "lattice", "lattices", "box", "unit_cell", "cell_vectors")
PBC = "pbc"
_TRUTH = {
    **dict.fromkeys(("t", "true", "1", ".true.", "yes"), True),
    **dict.fromkeys(("f", "false", "0", ".false.", "no", "none"), False),
}


def is_cell(name: str) -> bool:
    """Whether an array of this name holds lattice vectors."""
    return name.lower() in CELLS


def is_one_for_all(name: str, shape: tuple[int, ...]) -> bool:
    """Whether an array is the cell or the periodicity of all structures, and has no row for each."""
    return (is_cell(name) and shape == (3, 3)) or (name == PBC and shape == (3,))


def take_cell(said: dict[str, Any]) -> tuple[np.ndarray | None, np.ndarray]:
    """Take lattice vectors and periodicity out of what a file says of a structure.

    Args:
        said: by name. Of the names that ``is_cell`` knows, and ``pbc``, none is left.

    Returns:
        The lattice vectors (3, 3) in rows, in the file's unit, or None where all are zero; and which axes repeat, (3,)
        bool: as ``pbc`` says, or else those whose vectors are not zero.

    Raises:
        ValueError: there are several cells that differ, a cell is not of nine numbers or of three lengths, or ``pbc``
            is neither true nor false.
    """
    found = [np.asarray(said.pop(name), dtype=np.float64) for name in list(said) if is_cell(name)]
    cell: np.ndarray = np.zeros((3, 3)) if not found else _vectors(found[0])
    if any(not np.array_equal(_vectors(other), cell) for other in found[1:]):
        raise ValueError("several cells that differ")
    pbc = booleans(said.pop(PBC)) if PBC in said else np.asarray(cell.any(axis=1))
    return (cell if cell.any() else None), pbc


def _vectors(cell: np.ndarray) -> np.ndarray:
    return np.diag(cell) if cell.shape == (3,) else cell.reshape(3, 3)


def booleans(value: Any) -> np.ndarray:
    """Which of three axes repeat, (3,), from one or three of true or false, as numbers or in the words of any file.

    Raises:
        ValueError: it is something else.
    """
    given = np.ravel(value)
    if given.dtype.kind in "iuf":
        given = given.astype(bool) if np.isin(given, (0, 1)).all() else given
    words = [str(word).lower() for word in given]
    if len(words) == 1 and words[0] not in _TRUTH:
        words = words[0].split() if " " in words[0] else list(words[0])
    if len(words) not in (1, 3) or not set(words) <= _TRUTH.keys():
        raise ValueError(f"{value} is not one or three of true or false")
    return np.broadcast_to(np.array([_TRUTH[word] for word in words]), 3).copy()


def atomic_numbers(values: np.ndarray) -> np.ndarray:
    """Atomic numbers, int64, from numbers or from the symbols of elements.

    Raises:
        KeyError: a symbol is that of no element.
        ValueError: the values are neither.
    """
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if values.dtype.kind not in "SUO":
        raise ValueError(f"atomic numbers of type {values.dtype}")
    symbols = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
    return np.array([NUMBERS[symbol] for symbol in symbols], dtype=np.int64)
