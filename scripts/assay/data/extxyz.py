"""Extended XYZ, frame by frame: ASE's own reader indexes a whole file first, and takes minutes for a million atoms."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from assay.data.frames import Frame, Layout, word_of
from assay.data.lammps_files import check_elements, lacks_unit
from assay.data.spellings import (
    ELEMENTS,
    OF_ATOMIC_NUMBERS,
    POSITIONS,
    Periodicity,
    as_array,
    atomic_numbers,
    is_cell,
    is_pbc,
    named,
    take_periodicity,
)
from assay.data.xyz_comments import said_in
from assay.workflow.errors import AssayError, printable

_COMPRESSED: Mapping[bytes, Any] = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ": lzma}  # by how such a file begins
_TYPES = {"R": np.float64, "I": np.int64, "S": str}
_TRUE = ["T", "True", "true", "1"]
_NUMBER = re.compile(r"(?<!\w)[-+.]*\d")  # that begins in text
_VECTOR_OF_AMS = re.compile(r"\s*VEC1(?:\s+[-+.\d]\S*){3}\s*$")
_OF_XTB = re.compile(r"\s*(?:energy:\s+\S+\s+gnorm:\s+\S+(?:\s+xtb:.*)?|Etot=\s+[-\d.]+)\s*")
_LONGEST_COUNT = 1000  # characters of a line that counts atoms
_PROPERTIES = "properties"
_NAMES = ("name", "molecule")


class XyzFile:
    """Extended XYZ (.xyz, .extxyz, also .gz, .bz2 and .xz); see ``FrameFile``.

    A frame has ``Lattice``, ``pbc``, ``name``, ``molecule`` and anything else in its comment line, and the columns that
    its ``Properties`` name, all but the names in small or capital letters. Deuterium and tritium are read as hydrogen,
    numbers in place of symbols as atomic numbers, unless symbols stand in another column, and lattice vectors of zeros
    as none. A dump of LAMMPS does not tell the unit of its energies.
    """

    def __init__(self, path: Path):
        self.path, self.comment = path, first_comment(path)
        without_unit = lacks_unit(self.comment)
        self.layout = Layout(unknown_units=True, kinds={"length": "angstrom"}) if without_unit else Layout()

    def count(self) -> int:
        """See ``FrameFile.count``."""
        with _opened(self.path) as file:
            return sum(1 for _ in self._walk(file, ()))

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        for where, lines in self.texts(chosen):
            yield partial(frame_of, lines, where)

    def texts(self, chosen: np.ndarray | None = None) -> Iterator[tuple[str, list[str]]]:
        """How errors name each frame, and its comment line and atoms. Argument and errors are those of ``frames``."""
        wanted = range(sys.maxsize) if chosen is None else set(chosen.tolist())
        with _opened(self.path) as file:
            for index, lines in self._walk(file, wanted):
                if lines:
                    yield f"structure {index} of {self.path}", lines

    def _walk(self, file: TextIO, wanted: Container[int]) -> Iterator[tuple[int, list[str]]]:
        """The index of each frame, and its comment and atoms if it is wanted."""
        index, kept = -1, None
        for line in file:
            if not line.strip():
                continue
            if kept is not None and _VECTOR_OF_AMS.match(line):
                raise AssayError(
                    f"structure {index} of {self.path} has lattice vectors below its atoms, as AMS writes them, which "
                    "are not read: write them as Lattice into its comment line"
                )
            if kept is not None:
                yield index, kept
            index += 1
            where = f"structure {index} of {self.path}"
            if not line.strip().isdecimal():
                raise AssayError(
                    f"{where} is not extended XYZ: {printable(line.strip(), 60)!r} stands where the number of its "
                    "atoms should; write the file again"
                )
            n_lines, rest = int(line) + 1, islice(file, int(line) + 1)
            kept = list(rest) if index in wanted else []
            if (len(kept) or sum(1 for _ in rest)) < n_lines:
                raise AssayError(f"{where} is not extended XYZ, or the file is cut short: write it again")
        if kept is not None:
            yield index, kept


def first_comment(path: Path) -> str:
    """The comment line of the first frame of a file; empty where it begins otherwise, such as one of any format."""
    with _opened(path) as file:
        begins = iter(partial(file.readline, _LONGEST_COUNT), "")  # there may be no ends of lines
        is_count = next(filter(str.strip, begins), "").strip().isdecimal()
        return file.readline() if is_count else ""


def is_trajectory_of_xtb(path: Path) -> bool:
    """Whether a file of any name is XYZ as xtb and CREST write it, such as xtbopt.log and xtb.trj."""
    return _OF_XTB.fullmatch(first_comment(path)) is not None


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open("rb") as raw:
            begin = raw.read(5)
        open_text = next((module.open for magic, module in _COMPRESSED.items() if begin.startswith(magic)), open)
        with open_text(path, "rt", encoding="utf-8-sig", errors="replace") as file:
            yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise AssayError(f"{path} cannot be read ({error}): check that it is a complete file") from None


def frame_of(lines: list[str], where: str) -> Frame:
    """The frame of a comment line and its atoms.

    Raises:
        AssayError: they are not extended XYZ.
    """
    try:
        info = said_in(lines[0], where)
        properties = [text for key, text in info.items() if key.lower() == _PROPERTIES and isinstance(text, str)]
        columns = _columns(properties[0] if properties else "species:S:1:pos:R:3", lines[1:])
        symbols = _taken(columns, sorted(ELEMENTS, key=lambda name: _may_be_types(name, columns)), where)
        check_elements(lines[0], symbols, where)
        numbers = atomic_numbers(symbols, where)
        positions = _taken(columns, POSITIONS, where).astype(np.float64).reshape(len(numbers), 3)
        cell, pbc, is_told_open = _periodicity(info, where)
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError):
        raise AssayError(f"{where} does not have the columns that its Properties promise: write it again") from None
    return Frame(
        where,
        word_of(info, "name"),
        word_of(info, "molecule"),
        numbers,
        positions,
        cell,
        pbc,
        {key: value for key, value in info.items() if key not in _NAMES and key.lower() != _PROPERTIES},
        columns,
        is_told_open,
    )


def _periodicity(info: dict[str, Any], where: str) -> Periodicity:
    """That of ``Lattice``, or else of numbers by another name for lattice vectors."""
    names = [key for key in ("Lattice", *info) if key in info and is_cell(key)]
    name = next((key for key in names if _is_of_numbers(key, info[key], where)), None)
    return take_periodicity({key: info.pop(key) for key in list(info) if key == name or is_pbc(key)}, where)


def _is_of_numbers(name: str, value: Any, where: str) -> bool:
    """Whether a cell is one of numbers, and not of words, such as ``lattice=fcc``, or of true and false."""
    if isinstance(value, str) and (name == "Lattice" or _NUMBER.search(value)):
        raise AssayError(
            f"{where} has a cell `{name}` {printable(value, 40)!r} that cannot be read: write nine numbers"
        )
    return as_array(value).dtype.kind in "iuf"


def _columns(properties: str, rows: list[str]) -> dict[str, np.ndarray]:
    """Columns (N, width), or (N,) if they are one wide, by name."""
    fields = properties.split(":")
    widths = [int(width) for width in fields[2::3]]
    cells = [row.split()[: sum(widths)] for row in rows]
    table = np.array(cells, dtype=str) if cells else np.zeros((0, sum(widths)), str)
    if table.shape[1] < sum(widths):
        raise ValueError
    ends, columns = np.cumsum(widths), {}
    for name, kind, width, end in zip(fields[0::3], fields[1::3], widths, ends, strict=True):
        values = table[:, end - 1] if width == 1 else table[:, end - width : end]
        columns[name] = np.isin(values, _TRUE) if kind == "L" else _converted(values, kind)
    return columns


def _converted(values: np.ndarray, kind: str) -> np.ndarray:
    """Words as what they stand for; an exponent may have the letter D, as Fortran writes it."""
    try:
        return values.astype(_TYPES[kind])
    except ValueError:
        return np.char.replace(np.char.upper(values), "D", "E").astype(_TYPES[kind])


def _may_be_types(name: str, columns: Mapping[str, np.ndarray]) -> bool:
    """Whether a column by a name of elements may number types: it then counts after those of words."""
    column = columns.get(name)
    if column is None or name in OF_ATOMIC_NUMBERS:
        return False
    return column.dtype.kind != "U" or not np.char.isalpha(column).any()


def _taken(columns: dict[str, np.ndarray], names: Sequence[str], where: str) -> np.ndarray:
    """The first column of one of these names, which is removed."""
    name = named(columns, names)
    if name is None:
        raise AssayError(f"{where} has no column {', '.join(names)} in its Properties: give one of these names")
    return columns.pop(name)
