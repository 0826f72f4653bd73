"""Atoms of a file whose format tells their elements, for programs that hand over positions alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import ase
import ase.io
from ase.data import atomic_numbers
from ase.io.formats import filetype

_PDB = "proteindatabank"
_NO_CELL = 1.0  # angstrom, lengths of a cell in PDB where there is none


def _has_elements(text: str) -> bool:
    """Whether each atom of a file of PDB has an element in its columns 77 and 78."""
    rows = [line for line in text.splitlines() if line.startswith(("ATOM", "HETATM"))]
    return all(line[76:78].strip().capitalize() in atomic_numbers for line in rows)


def _names_types(text: str) -> bool:
    """Whether a dump of LAMMPS has a column of elements."""
    return all("element" in line.split() for line in text.splitlines() if line.startswith("ITEM: ATOMS"))


def _has_symbols(text: str) -> bool:
    """Whether a POSCAR has a line of elements."""
    return not text.splitlines()[5].split()[0].isdecimal()


_TELLS: Mapping[str, Callable[[str], bool]] = {  # by format of ASE, which guesses elements of the others
    _PDB: _has_elements,
    "lammps-dump-text": _names_types,
    "vasp": _has_symbols,
    **dict.fromkeys(("gromacs", "gromos", "dlp4", "dlp-history"), lambda text: False),
}


def read_template(path: str) -> ase.Atoms:
    """The atoms of a file of any format of ASE, of several structures the last.

    Raises:
        ValueError: the file has names or types of atoms and no elements.
    """
    kind = filetype(path)
    if kind in _TELLS and not _TELLS[kind](Path(path).read_text(errors="replace")):
        raise ValueError(f"{path} does not tell elements, but names or types of atoms: write it as extended XYZ")
    atoms = ase.io.read(path)
    assert isinstance(atoms, ase.Atoms)  # as of one frame
    if kind == _PDB and (atoms.cell.lengths() <= _NO_CELL).all():
        atoms.pbc = False
    return atoms
