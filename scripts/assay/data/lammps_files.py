"""Files of LAMMPS, whose types ASE takes for atomic numbers unless the file tells what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from ase.io.formats import open_with_compression
from ase.units import Bohr, nm

from assay.runtime.lammps import HEAVIEST_U
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError, printable

_HEADER_LINES = 30  # of a data file, in which it counts atoms and their types
_COUNTS = (re.compile(r"\s*\d+\s+atoms\b"), re.compile(r"\s*\d+\s+atom\s+types\b"))
_DUMP_XYZ = re.compile(r"\s*Atoms\. Timestep: \d")
_EXTENDED_DUMP = re.compile(r'Timestep=\d+ (?:Time=\S+ )?pbc="[TF] [TF] [TF]" Lattice="')
_DUMP_WRITTEN_AGAIN = re.compile(r"(?=.*(?<!\S)Timestep=)(?=.*(?<!\S)Potential_energy=)")
_OTHER_ENERGY = re.compile(r"(?i)(?<!potential_)energy=")
_STYLE = re.compile(r"\A(?:ITEM: UNITS\s*\n\s*|LAMMPS data file[^\n]*\bunits\s*=\s*)(\w+)")
_LENGTHS_A = {"real": 1.0, "metal": 1.0, "electron": Bohr, "nano": nm}
_HEAVY = 20.0  # lighter masses may be those of groups: CH2 has 14.03 and nitrogen 14.01
_TOLERANCE, _TOLERANCE_OF_HEAVY = 0.015, 0.3
_OF_ELEMENT_U = 0.01  # what is no nearer to another element may be an isotope of its own, as 80Se beside bromine
_MASSES = np.append(atomic_masses[1:], 2.014)  # deuterium at the end; ASE has a dummy atom of mass 1, too


def data_options(path: Path) -> dict[str, Any]:
    """What ``ase.io.read`` has to be told of a data file of LAMMPS, which it does not know; nothing of any other file.

    Raises:
        AssayError: the file does not tell the elements of its types, by name or by mass.
    """
    with open_with_compression(str(path), "rb") as file:
        if b"\0" in file.read(1024):
            return {}
    with open_text(path) as file:
        header = list(islice(file, _HEADER_LINES))
        if all(any(count.match(line) for line in header) for count in _COUNTS):
            return {"format": "lammps-data", "Z_of_type": _elements_of_types(path, chain(header, file))}
    return {}


def check_columns(path: Path, file: IO[str]) -> None:
    """Refuse a dump without the elements or masses of its atoms.

    Raises:
        AssayError: it has neither, masses of no element, or elements that are not those of the masses.
    """
    columns = next((line.split()[2:] for line in file if line.startswith("ITEM: ATOMS")), ["element"])
    if "element" not in columns and "mass" not in columns:
        raise AssayError(
            f"{path} has types of LAMMPS and no elements: write it by `dump ... custom ... element x y z` and "
            "`dump_modify ... element`"
        )
    if "mass" not in columns:
        return
    rows = [line.split() for line in takewhile(lambda line: not line.startswith("ITEM:"), file)]
    masses = np.array([row[columns.index("mass")] for row in rows], float)
    if "element" in columns:
        check_masses(path, [row[columns.index("element")] for row in rows], masses)
    else:
        _elements_of(path, masses)


def check_masses(path: Path, symbols: Sequence[str], masses: np.ndarray) -> None:
    """Refuse symbols beside masses (N,) of other elements, as the C that LAMMPS writes unless it is told elements.

    Raises:
        AssayError: a mass is that of another element than its symbol, and none of an isotope, nor of hydrogen that took
            mass from what it is bound to.
    """
    for symbol, mass in dict.fromkeys(zip(symbols, masses.tolist(), strict=True)):
        heavier = mass - atomic_masses[atomic_numbers.get(symbol, 0)]
        if symbol == "H" and 0.0 < heavier < HEAVIEST_U:
            continue
        near = _OF_ELEMENT_U if abs(heavier) < HEAVIEST_U else _tolerance(mass)
        others = np.flatnonzero(np.abs(_MASSES - mass) <= near) + 1
        if len(others) and atomic_numbers.get(symbol) not in np.where(others == len(_MASSES), 1, others):
            raise AssayError(
                f"{path} has atoms `{printable(symbol, 20)}` with a mass of {mass:.6g}, which is that of another "
                "element: write it again with `dump_modify ... element`"
            )


def stated_length_A(path: Path, file: IO[str]) -> float:
    """The unit of length of a dump or a data file, in angstrom, which it is where no style of units is stated.

    Raises:
        AssayError: the style is one that is not read, such as that of reduced units.
    """
    match = _STYLE.search("".join(islice(file, _HEADER_LINES)))
    style = "metal" if match is None else match[1]
    if style not in _LENGTHS_A:
        raise AssayError(
            f"{path} is in units of LAMMPS' style `{printable(style, 20)}`, which is not read: write it in one of "
            f"{', '.join(_LENGTHS_A)}, or convert it to extended XYZ"
        )
    return _LENGTHS_A[style]


def is_extended_dump(comment: str) -> bool:
    """Whether a comment line is of a dump in the style ``extxyz``, whose ``Stress`` is a pressure and no stress.

    Another program, such as ASE, may have written it again.
    """
    return any(pattern.match(comment) for pattern in (_EXTENDED_DUMP, _DUMP_WRITTEN_AGAIN))


def lacks_unit(comment: str) -> bool:
    """Whether a comment line is of such a dump, and has no energy but that of LAMMPS, whose unit it does not tell."""
    return is_extended_dump(comment) and _OTHER_ENERGY.search(comment) is None


def check_elements(comment: str, symbols: np.ndarray, where: str) -> None:
    """Refuse a frame of a dump in the style ``xyz`` that has types for elements.

    Args:
        comment: its comment line.
        symbols: (N,), what stands where XYZ has elements.
        where: how errors name it.

    Raises:
        AssayError: it has types.
    """
    if _DUMP_XYZ.match(comment) and np.char.isdecimal(symbols.astype(str)).any():
        raise AssayError(f"{where} has types of LAMMPS and no elements: write it again with `dump_modify ... element`")


def _elements_of_types(path: Path, lines: Iterator[str]) -> dict[int, int]:
    """The atomic number of each type of a data file, by its label or else by its mass."""
    masses: dict[int, int] = {}
    for line in lines:
        section = line.partition("#")[0].strip()
        if section in ("Atom Type Labels", "Masses"):
            next(lines, None)
            rows = [row.split() for row in takewhile(str.strip, (line.partition("#")[0] for line in lines))]
            types, told = [int(row[0]) for row in rows], [row[1] for row in rows]
            if section == "Masses":
                masses = dict(zip(types, _elements_of(path, np.array(told, float)), strict=True))
            elif all(label in atomic_numbers for label in told):
                return dict(zip(types, map(atomic_numbers.__getitem__, told), strict=True))
    if not masses:
        raise AssayError(
            f"{path} has types of LAMMPS and no elements: add its section `Masses`, or `Atom Type Labels` of elements"
        )
    return masses


def _elements_of(path: Path, masses: np.ndarray) -> list[int]:
    """The atomic numbers of masses, in unified atomic mass units.

    Those of no element are refused, and 1 of all types, too.
    """
    if set(masses.tolist()) == {1.0}:
        raise AssayError(
            f"{path} has types that all have a mass of 1, as in reduced units, which is no hydrogen: name the elements "
            "of its types"
        )
    apart = np.abs(_MASSES - masses.reshape(-1, 1))
    strange = masses[apart.min(axis=1) > _tolerance(masses)]
    if len(strange):
        raise AssayError(
            f"{path} has types with a mass of {strange[0]:.6g}, which no element has: name the elements of its types"
        )
    nearest = apart.argmin(axis=1) + 1
    return np.where(nearest == len(_MASSES), 1, nearest).tolist()


def _tolerance(masses: np.ndarray | float) -> np.ndarray:
    return np.where(np.less(masses, _HEAVY), _TOLERANCE, _TOLERANCE_OF_HEAVY)
