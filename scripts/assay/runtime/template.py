"""Atoms of a file whose format tells their elements, for programs that hand over positions alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import TextIO

import ase
import ase.io
from ase.data import atomic_numbers
from ase.io.cif import parse_cif
from ase.io.formats import filetype, open_with_compression

_PDB = "proteindatabank"
READ_WHOLE = frozenset(
    {
        "abinit-gsr",
        "aims",
        "castep-geom",
        "castep-md",
        "castep-phonon",
        "crystal",
        "db",
        "elk",
        "espresso-out",
        "extxyz",
        "gpaw-out",
        "gpw",
        "json",
        "magres",
        "mol",
        "nomad-json",
        "sdf",
        "siesta-xv",
        "struct",
        "struct_out",
        "traj",
        "turbomole-gradient",
        "vasp-out",
        "vasp-xml",
        "xsf",
        "xyz",
    }
)
"""Formats of ASE that its readers have whole: elements, units, cells, axes that repeat, all atoms, all structures."""
_WITH_ELEMENTS = READ_WHOLE | {  # and axes that repeat
    "aims-output", "castep-castep", "castep-cell", "espresso-in", "gaussian-in", "gaussian-out", "gen", "orca-output",
    "vasp-xdatcar",
}  # fmt: skip
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


def _has_written_symbols(text: str) -> bool:
    """Whether no atom of a CIF is named by a symbol in capitals: of CL, ASE takes the first letter."""
    blocks = parse_cif(StringIO(text))
    named = (block.get("_atom_site_type_symbol") or block.get("_atom_site_label") or () for block in blocks)
    return not any(
        label[1:2].isupper() and label[:2].capitalize() in atomic_numbers for labels in named for label in labels
    )


def _has_masses(text: str) -> bool:
    """Whether a data file of LAMMPS has the masses of its types, by which ASE tells their elements."""
    return any(line.split("#")[0].strip() == "Masses" for line in text.splitlines())


_TELLS: Mapping[str, Callable[[str], bool]] = {  # by format of ASE
    _PDB: _has_elements,
    "lammps-data": _has_masses,
    "lammps-dump-text": _names_types,
    "vasp": _has_symbols,
    "cif": _has_written_symbols,
}
_INSTEAD = "write it as extended XYZ, with deuterium as H"


def read_template(path: str) -> ase.Atoms:
    """The atoms of a file of a format of ASE that tells elements, compressed or not, of several structures the last.

    Raises:
        ValueError: the file is not there, cannot be read, has no atoms, or has names or types of atoms and no elements,
            or its format may not tell them.
    """
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}: check the path of the template")
    try:
        kind = filetype(path)
        if kind in _TELLS:
            with open_text(path) as file:
                text = file.read()
            atoms = ase.io.read(StringIO(text), format=kind) if _TELLS[kind](text) else None
        else:
            atoms = ase.io.read(path) if kind in _WITH_ELEMENTS else None
    except Exception as error:  # of any of ASE's readers
        raise ValueError(f"{path} cannot be read as a template ({error!r:.160}): {_INSTEAD}") from None
    if atoms is None:
        raise ValueError(f"{path} does not tell elements, or is in a format that may not ({kind}): {_INSTEAD}")
    if not isinstance(atoms, ase.Atoms) or len(atoms) == 0:
        raise ValueError(f"{path} has no atoms: give a file with those of the simulation, in their order")
    if kind == _PDB and (atoms.cell.lengths() <= _NO_CELL).all():
        atoms.pbc = False
    return atoms


def open_text(path: str | Path) -> TextIO:
    """Open a file of structures, compressed or not, as text, in which what is not UTF-8 is replaced."""
    return TextIOWrapper(open_with_compression(str(path), "rb"), encoding="utf-8", errors="replace")
