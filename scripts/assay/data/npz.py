"""Geometries of one molecule as arrays in an .npz file, as MD17 and rMD17 are stored."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from assay.data.frames import Frame, Layout
from assay.data.of_atoms import IN_NUMBERS, by_atoms, is_for_all_atoms
from assay.data.spellings import (
    ELEMENTS_OF_ARRAYS,
    POSITIONS_OF_ARRAYS,
    atomic_numbers,
    check_one_for_all,
    is_cell,
    is_one_for_all,
    is_pbc,
    named,
    named_elements,
    take_periodicity,
)
from assay.data.stated_units import stated_units
from assay.structures.structure import tells_charge_or_spin
from assay.workflow.errors import AssayError

_RMD17 = {"nuclear_charges", "coords", "energies", "forces"}
_OF_MD17 = ("old_energies", "old_forces")  # which rMD17 calculated again
_MD17 = {"z", "R", "E", "F"}
_PHYSNET, _CHARGE_OF_PHYSNET = {"R", "Z", "N", "E"}, "Q"
_BLOCK = 500  # structures that are in memory at once


class NpzFile:
    """Arrays of S structures with N atoms each; see ``FrameFile``.

    Positions are (S, N, 3) and atomic numbers (N,), or (S, N) with 0 or -1 where a structure is smaller. Every other
    array with S rows may be a label. ``e_unit`` and ``r_unit`` say the units. Without them MD17 and rMD17 are in
    kcal/mol and angstrom, and nothing tells the units of other files.
    """

    def __init__(self, path: Path):
        self.path = path
        with _archive(path) as archive:
            headers = {name.removesuffix(".npy"): _Column(archive, name) for name in archive.namelist()}
            self._positions = self._found(named(headers, POSITIONS_OF_ARRAYS), POSITIONS_OF_ARRAYS)
            plain = {name: column for name, column in headers.items() if column.is_plain}
            elements = named_elements(plain, lambda name: _Column(archive, f"{name}.npy").all())
            self._numbers = self._found(elements or named(headers, ELEMENTS_OF_ARRAYS), ELEMENTS_OF_ARRAYS)
            positions, numbers = headers[self._positions].shape, headers[self._numbers].shape
            if len(positions) != 3 or positions[2] != 3 or numbers not in (positions[1:2], positions[:2]):
                raise AssayError(
                    f"{path} has {self._positions} of shape {positions} and {self._numbers} of shape {numbers}: give "
                    "(S, N, 3) and (N,), or (S, N) with zeros"
                )
            self._count = positions[0]
            for name, column in headers.items():
                if not column.is_plain and (name in (self._positions, self._numbers) or is_cell(name) or is_pbc(name)):
                    raise AssayError(f"{path} has {name} as objects of Python: write them as numbers or text")
            rows = plain.keys() - set(_OF_MD17 if headers.keys() >= _RMD17 else ())
            self._rows = [
                name for name, column in headers.items() if name in rows and self._is_row(name, column.shape, numbers)
            ]
            self._constants = {name: headers[name].all() for name in headers if name in rows.difference(self._rows)}
        self._of_all = {
            name: value
            for name, value in self._constants.items()
            if name in (self._numbers, _CHARGE_OF_PHYSNET, *IN_NUMBERS)
            or is_cell(name)
            or is_pbc(name)
            or tells_charge_or_spin(name)
        }
        self._has_columns, self._is_physnet = _is_sgdml(self._constants), headers.keys() >= _PHYSNET
        for name, value in () if self._has_columns else self._of_all.items():
            check_one_for_all(name, value, self._count, path)
        self.layout = _layout(set(headers), self._constants)

    def count(self) -> int:
        """See ``FrameFile.count``."""
        return self._count

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        chosen = np.arange(self._count) if chosen is None else chosen
        with _archive(self.path) as archive:
            columns = {name: _Column(archive, f"{name}.npy") for name in self._rows}
            for start in range(0, int(chosen.max(initial=-1)) + 1, _BLOCK):
                block = {name: column.next(min(_BLOCK, self._count - start)) for name, column in columns.items()}
                for index in chosen[(chosen >= start) & (chosen < start + _BLOCK)].tolist():
                    yield partial(self._frame, index, {name: rows[index - start] for name, rows in block.items()})

    def _frame(self, index: int, row: dict[str, np.ndarray]) -> Frame:
        where = f"structure {index} of {self.path}"
        said = self._of_all | row
        if self._is_physnet and _CHARGE_OF_PHYSNET in said:
            said["charge"] = said.pop(_CHARGE_OF_PHYSNET)
        if self._has_columns:
            said |= {name: value.T for name, value in said.items() if is_cell(name)}
        numbers, positions = atomic_numbers(np.asarray(said.pop(self._numbers)), where), said.pop(self._positions)
        cell, pbc, is_told_open = take_periodicity(said, where)
        info, columns = by_atoms(said, len(numbers))
        frame = Frame(
            where,
            "",
            "",
            numbers,
            positions.astype(np.float64),
            cell,
            pbc,
            info,
            columns,
            is_told_open,
        )
        return frame.unpadded() if self._numbers in row else frame

    def _is_row(self, name: str, shape: tuple[int, ...], numbers: tuple[int, ...]) -> bool:
        """Whether an array has a row for each structure, and not one value for all of them."""
        for_all = is_one_for_all(name, shape) or is_for_all_atoms(name, shape, numbers)
        return shape[:1] == (self._count,) and not for_all

    def _found(self, name: str | None, wanted: Sequence[str]) -> str:
        if name is None:
            raise AssayError(f"{self.path} has no array {', '.join(wanted)}: it follows no layout that is known")
        return name


class _Column:
    """An array in an archive, read row by row, and never as pickled objects.

    Attributes:
        shape: its shape.
        dtype: that of NumPy.
        is_plain: whether it holds numbers or text.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str):
        self._stream = archive.open(name)
        major = np.lib.format.read_magic(self._stream)[0]
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        self.shape, is_fortran, self.dtype = read(self._stream)
        self.is_plain = not self.dtype.hasobject
        self._by_columns = is_fortran and len(self.shape) > 1
        self._rest: np.ndarray | None = None

    def next(self, count: int) -> np.ndarray:
        """The next ``count`` rows. Of an array in the order of Fortran, whose rows lie apart, all are read at once."""
        if self._by_columns:
            rest = self.all() if self._rest is None else self._rest
            self._rest = rest[count:]
            return rest[:count]
        shape = (count, *self.shape[1:])
        data = self._stream.read(int(np.prod(shape)) * self.dtype.itemsize)
        return np.frombuffer(data, self.dtype).reshape(shape)

    def all(self) -> np.ndarray:
        """The whole array."""
        data = self._stream.read(int(np.prod(self.shape)) * self.dtype.itemsize)
        return np.frombuffer(data, self.dtype).reshape(self.shape, order="F" if self._by_columns else "C")


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise AssayError(f"{path} cannot be read as an .npz file ({error}): check that it is complete") from None


def _is_sgdml(constants: Mapping[str, np.ndarray]) -> bool:
    """Whether a file is a dataset of sGDML, which keeps lattice vectors in columns."""
    kind = constants.get("type")
    return kind is not None and kind.shape == () and kind.item() in ("d", b"d")


def _layout(names: set[str], constants: Mapping[str, np.ndarray]) -> Layout:
    stated = stated_units({name: value for name, value in constants.items() if value.dtype.kind in "SU"})
    known = names >= _MD17 or names >= _RMD17
    usual = {"energy": "kcal/mol", "length": "angstrom", "forces": "kcal/mol/angstrom"} if known else {}
    return Layout(kinds=stated, usual=usual, unknown_units=not known)
