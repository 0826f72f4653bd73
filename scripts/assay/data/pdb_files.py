"""Files of PDB as ASE understands them: with elements, with one location of each atom, and with cells that are some."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers

from assay.data.atom_names import named_element, spelled_out
from assay.data.spellings import numbers_in
from assay.workflow.errors import AssayError, printable

WHOLE = 0.999  # of an occupancy
MAKE_WHOLE = "keep one alternative of each atom, with an occupancy of 1"
_NO_CELL = 1.0  # angstrom, lengths of a cell where there is none: those of the wwPDB, and 0 of other programs
_ATOM = ("ATOM", "HETATM")
_GROUP = slice(54, 66)  # the columns of a space group, and the one before them
_NO_SYMMETRY = re.compile(r"\s*(P?\s*1(\s+1)*)?\s*", re.IGNORECASE)  # P 1, whose full symbol is P 1 1 1
_CHARGE = re.compile(r"(\d)([+-])|([+-])(\d)")


def with_elements(text: str, path: Path) -> tuple[str, list[dict[str, Any]]]:
    """The text of a file as ASE understands it: the elements of all atoms in their columns, and cells beside them.

    A cell holds until another one is told. One of 1 angstrom, or of zeros, stands for none. Also what each structure
    tells: the sum of formal charges as ``charge``, if it is not zero.

    Raises:
        AssayError: an atom has alternative locations, is there in part, or does not tell its element; or a cell has a
            symmetry, which ASE passes over.
    """
    kept: list[str] = []
    told: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    cell, charge, n_atoms = "", 0, 0
    lines = (*text.splitlines(), "END")
    names = iter(spelled_out([(line[12:16], line[17:21]) for line in lines if line.startswith(_ATOM)]))
    for line in lines:
        if line.startswith("CRYST1"):
            is_one = any(float(line[k : k + 9]) > _NO_CELL for k in (6, 15, 24))
            cell = line if is_one else ""
            _check_symmetry(cell, path)
        elif line.startswith("END") and n_atoms:
            kept += [cell, "END"]
            told.append({"charge": charge} if charge else {})
            charge, n_atoms = 0, 0
            seen.clear()
        elif line.startswith(_ATOM):
            _check_whole(line, seen, path)
            kept.append(_with_element(line, *next(names), path))
            charge += _charge_of(line)
            n_atoms += 1
        elif not line.startswith("END"):
            kept.append(line)
    return "\n".join(kept), told


def _check_symmetry(cell: str, path: Path) -> None:
    """Refuse a cell of which a file holds one asymmetric unit."""
    group = cell[_GROUP]
    if not _NO_SYMMETRY.fullmatch(group):
        raise AssayError(
            f"{path} has a cell of the space group {printable(group.strip(), 20)!r}, whose other atoms a PDB file "
            "leaves out: expand it by a program of crystallography, or write P 1 if all atoms of the cell are there"
        )


def _check_whole(line: str, seen: dict[str, str], path: Path) -> None:
    """Refuse alternative locations of one atom, and atoms that are there in part without one.

    An occupancy of zero is what programs write that know of none.
    """
    location, atom, occupancy = line[16:17].strip(), line[12:16] + line[21:27], line[54:60].strip()
    if location.isalpha() and seen.setdefault(atom, location) != location:
        raise AssayError(f"{path} has alternative locations of the atom {line[12:27].strip()!r}: {MAKE_WHOLE}")
    number = numbers_in(occupancy)
    if not location and number is not None and 0.0 < number[0] < WHOLE:
        raise AssayError(f"{path} has an atom {line[12:27].strip()!r} with an occupancy of {occupancy}: {MAKE_WHOLE}")


def _with_element(line: str, name: str, residue: str, path: Path) -> str:
    """A line with the element of its columns, or else of the name of its atom."""
    line = line.ljust(80)
    if atomic_numbers.get(line[76:78].strip().capitalize()):
        return line
    return f"{line[:76]}{named_element(name, residue, path):>2}{line[78:]}"


def _charge_of(line: str) -> int:
    match = _CHARGE.fullmatch(line[78:80].strip())
    return 0 if match is None else int((match[2] or match[3]) + (match[1] or match[4]))
