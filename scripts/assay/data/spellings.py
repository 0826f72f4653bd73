"""Elements, positions, lattice vectors and periodicity under the names and in the forms in which files spell them."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_numbers as NUMBERS
from ase.geometry import cellpar_to_cell

from assay.workflow.errors import AssayError, printable

# Of several names the first counts, but types may go by all names except those of atomic numbers.
OF_ATOMIC_NUMBERS = ("atomic_numbers", "nuclear_charges", "Z")
ELEMENTS = (*OF_ATOMIC_NUMBERS, "species", "element", "elements", "symbol", "symbols", "numbers")
POSITIONS = ("pos", "positions", "coords", "coordinates", "position", "coord", "conformations", "geometries")
# In files of arrays; letters may be axes in columns, ``species`` types beside ``numbers``, and ``positions`` fractions.
_SYMBOLS = ("species", "element", "elements", "symbol", "symbols")
ELEMENTS_OF_ARRAYS = ("atomic_numbers", "nuclear_charges", "numbers", "z", "Z", *_SYMBOLS)
POSITIONS_OF_ARRAYS = (
    "conformations", "coords", "coordinates", "positions", "coord", "geometries", "pos", "position", "R", "r",
)  # fmt: skip
PBC = "pbc"
_PERIODICITIES = (PBC, "periodic")
_CELLS = ("cell", "cells", "lattice", "lattices", "box", "unitcell", "cellvectors", "latticevectors")
_OF_RIGHT_ANGLE = 75.0  # degrees, by how much an angle of a cell may differ from it
_BETWEEN = re.compile(r"[\s,;()\[\]{}]+")  # numbers in text
_EXPONENTS = str.maketrans("Dd", "Ee")
_ISOTOPES = {"D": "H", "T": "H"}
_TRUTH = {
    **dict.fromkeys(("t", "true", "1", "1.0", ".true.", "yes"), True),
    **dict.fromkeys(("f", "false", "0", "0.0", ".false.", "no", "none"), False),
}


class Periodicity(NamedTuple):
    """How a structure repeats.

    Attributes:
        cell: (3, 3) float64, lattice vectors in rows, in the file's unit; None if there are none, or all are zero.
        pbc: (3,) bool, which axes repeat.
        is_told_open: whether the file itself says that no axis repeats.
    """

    cell: np.ndarray | None
    pbc: np.ndarray
    is_told_open: bool


def named(names: Container[str], wanted: Sequence[str]) -> str | None:
    """The first of the wanted names that is there; None if none is."""
    return next((name for name in wanted if name in names), None)


def named_elements(arrays: Mapping[str, Any], symbols: Callable[[str], np.ndarray]) -> str | None:
    """The name under which arrays, or datasets and groups of HDF5, have elements; None if none is there.

    Integers by a name of symbols are types where symbols of elements in the same shape stand beside them.

    Args:
        arrays: what is there by name.
        symbols: reads an array of text by its name.
    """
    name = named(arrays, ELEMENTS_OF_ARRAYS)
    if name not in _SYMBOLS or _kind(arrays[name]) not in ("i", "u"):
        return name
    others = [other for other in _SYMBOLS if other in arrays and _kind(arrays[other]) in ("U", "S", "O")]
    alike = [other for other in others if arrays[other].shape == arrays[name].shape]
    return next((other for other in alike if _are_symbols(symbols(other))), name)


def _kind(array: Any) -> str:
    """The kind of what an array holds; "" of a group."""
    return array.dtype.kind if hasattr(array, "dtype") else ""


def _are_symbols(values: np.ndarray) -> bool:
    try:
        return bool(atomic_numbers(values, "").any())
    except AssayError:
        return False


def is_cell(name: str) -> bool:
    """Whether numbers of this name are lattice vectors."""
    return re.sub(r"[\W_]", "", name).lower() in _CELLS


def is_pbc(name: str) -> bool:
    """Whether a value of this name says which axes repeat."""
    return name.lower() in _PERIODICITIES


def is_one_for_all(name: str, shape: tuple[int, ...]) -> bool:
    """Whether an array is the cell or the periodicity of all structures, and has no row for each."""
    return (is_cell(name) and shape in ((3, 3), (9,), (6,), (3,))) or (is_pbc(name) and shape == (3,))


def check_one_for_all(name: str, values: np.ndarray, count: int, where: str | Path) -> None:
    """Refuse a cell that may as well be three lengths of each of three structures: no number of it is zero or below.

    Raises:
        AssayError: it may.
    """
    if is_cell(name) and count == 3 and values.shape == (3, 3) and (values > 0.0).all():
        raise AssayError(
            f"{where} has a `{name}` of shape (3, 3) for three structures, which may be one cell, or three lengths of "
            "each: write nine numbers for each"
        )


def take_periodicity(said: dict[str, Any], where: str) -> Periodicity:
    """Take lattice vectors and periodicity out of what a file says of a structure.

    Axes repeat as ``pbc`` or ``periodic`` says, and without it those whose lattice vectors are not zero.

    Args:
        said: values by name in any case, from which periodicity and lattice vectors are removed. Text of the name of
            lattice vectors is something else.
        where: how errors name the structure.

    Raises:
        AssayError: two cells or two periodicities differ, a cell is neither nine numbers nor three lengths nor these
            with three angles, or ``pbc`` is neither true nor false.
    """
    names = [name for name in said if is_cell(name) and as_array(said[name]).dtype.kind in "iuf"]
    cells = {name: _vectors(said.pop(name), name, where) for name in names}
    cell = cells[names[0]] if names else np.zeros((3, 3))
    for name, other in cells.items():
        if not np.allclose(cell, other, equal_nan=True):
            raise AssayError(f"{where} has two cells that differ, `{names[0]}` and `{name}`: leave one of them out")
    told = {name: booleans(said.pop(name), name, where) for name in list(said) if is_pbc(name)}
    pbc = next(iter(told.values()), np.asarray(cell.any(axis=1)))
    if any((other != pbc).any() for other in told.values()):
        raise AssayError(f"{where} has {' and '.join(f'`{name}`' for name in told)} that differ: leave one of them out")
    return Periodicity(cell if cell.any() else None, pbc, bool(told) and not pbc.any())


def _vectors(value: Any, name: str, where: str) -> np.ndarray:
    """Lattice vectors (3, 3) of nine numbers, of three lengths along x, y and z, or of lengths and angles (degrees)."""
    numbers = np.asarray(value, dtype=np.float64)
    if numbers.shape == (3,):
        return np.diag(numbers)
    if numbers.shape == (6,):
        cosines, is_flat = np.cos(np.radians(numbers[3:])), not (np.abs(numbers[3:] - 90.0) <= _OF_RIGHT_ANGLE).all()
        if is_flat or 1.0 - cosines @ cosines + 2.0 * cosines.prod() <= 0.0:
            raise AssayError(
                f"{where} has a cell `{name}` of six numbers whose last three are no angles between lattice vectors in "
                "degrees: write its lattice vectors"
            )
        return np.asarray(cellpar_to_cell(numbers))
    if numbers.size == 9:
        return numbers.reshape(3, 3)
    raise AssayError(
        f"{where} has a cell `{name}` of shape {numbers.shape}, which should be nine numbers or three lengths, and "
        "may be followed by three angles: write it again"
    )


def as_array(value: Any) -> np.ndarray:
    """A value as an array; of one object of Python where its rows have several lengths."""
    try:
        return np.asarray(value)
    except ValueError:
        ragged = np.empty((), dtype=object)
        ragged[()] = value
        return ragged


def numbers_in(text: str) -> np.ndarray | None:
    """The numbers (K,) that text holds between spaces, commas and brackets; None if it holds anything else.

    An exponent may have the letter D, as Fortran writes it.
    """
    words = [word for word in _BETWEEN.split(text) if word]
    try:
        return np.array([word.translate(_EXPONENTS) for word in words], dtype=np.float64) if words else None
    except ValueError:
        return None


def booleans(value: Any, name: str, where: str) -> np.ndarray:
    """Which of three axes repeat, (3,), from one or three of true and false, as numbers or in the words of any file.

    Raises:
        AssayError: it is something else.
    """
    given = np.ravel(value)
    if given.dtype.kind != "b":
        words = [str(word).lower() for word in given.astype(str)]
        if len(words) == 1 and words[0] not in _TRUTH:
            words = words[0].split() if " " in words[0] else list(words[0])
        if not set(words) <= _TRUTH.keys():
            words = []
        given = np.array([_TRUTH[word] for word in words], dtype=bool)
    if len(given) not in (1, 3):
        text = printable(str(value), 40)
        raise AssayError(f"{where} has `{name}` {text!r}, which is not one or three of true and false: correct it")
    return np.broadcast_to(given, 3).copy()


def atomic_numbers(values: np.ndarray, where: str) -> np.ndarray:
    """Atomic numbers, int64, in the shape of ``values``: numbers, or symbols of elements in whatever case.

    Deuterium and tritium are hydrogen. Empty text, which stands where a structure has fewer atoms, is 0.

    Raises:
        AssayError: a symbol is that of no element, or a number is not whole.
    """
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    symbols = [word.decode() if isinstance(word, bytes) else str(word) for word in values.ravel().tolist()]
    return np.array([_atomic_number(symbol, where) for symbol in symbols], dtype=np.int64).reshape(values.shape)


def number_of(symbol: str) -> int | None:
    """The atomic number of a symbol as it is usually written, 0 of X, which is none, or None; D and T are hydrogen."""
    return NUMBERS.get(_ISOTOPES.get(symbol, symbol))


def _atomic_number(symbol: str, where: str) -> int:
    name = symbol.strip().removesuffix(".0").capitalize() or "X"
    number = int(name) if name.isdecimal() else number_of(name)
    if number is None:
        raise AssayError(f"{where} has an atom {printable(symbol, 20)!r}, which is no element: correct its symbol")
    return number
