"""Files that name atoms and no elements, which ASE guesses: of MD programs, VASP, CP2K, AtomEye and CIF."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

import ase
import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from ase.io.cif import parse_cif

from assay.data.lammps_files import check_masses
from assay.data.passed_over import cut_off
from assay.workflow.errors import AssayError, printable

_WORD = re.compile(r"\d?([A-Za-z]+)")
_TYPED = re.compile(r"[A-Z][a-z]")
_FIRST = "HCNOSPF"  # elements whose names go on with anything, as CT, OW and HO3'
_NATURAL = set(chemical_symbols[1:93])
_IONS = ("SOD", "POT")  # sodium and potassium of CHARMM
_PEPTIDE = re.compile(
    r"[NC]?(ALA|ARG|AS[HNP]|CY[MSX]|GL[HNUY]|H[IS][DEPS]|ILE|LEU|LY[NS]|MET|PHE|PRO|SER|THR|TRP|TYR|VAL)|HIS[12ABDEH]|"
    r"(ARG|ASP|CYS|GLU|LYS)[2HN]"
)  # residues of amino acids, also those that end a chain in AMBER, and in other states in GROMACS
_GRO_BEFORE, _GRO_NAME, _GRO_RESIDUE = 2, slice(10, 15), slice(5, 10)  # lines above those of atoms, and columns
_GRO_BOX = (0, 3, 9)  # how many numbers
_G96 = re.compile(r"(?m)^(\s*\d+\s+(\S+)\s+)(\S+)(?=\s+\d+(?:\s+\S+){3}\s*$)")
_COUNTS = 5  # the line of a POSCAR with elements, or with numbers of atoms if it is of an old VASP
_XDATCAR_NAMES = re.compile(r"(?m)^(?=[ \t]*[A-Z])(.*)$(?=\n[ \t]*\d+(?:[ \t]+\d+)*[ \t]*$)")
_KIND_OF_CP2K = re.compile(r"(?im)^\s*&KIND\s+(\S+)\s*\n(?:(?!\s*&(?:END\s+)?KIND\b).*\n)*?\s*ELEMENT\s+(\S+)")
_SUBSYS_OF_CP2K = re.compile(r"(?s)&SUBSYS\b.*&END SUBSYS\b")
_COORD_OF_CP2K = re.compile(r"(?im)^\s*&COORD\s*\n(?:(?!\s*&END).*\n)*")
_CFG_ATOM = re.compile(r"(?m)^[ \t]*(\d[-+.\deE]*)\s+([A-Z][a-z]?)(?=\s)")
_MMCIF = re.compile(r"(?m)^\s*_(?:entry|atom_site)\.\w")
_DLP_LABELS = "dlp4_labels"  # what ASE leaves of a name behind the symbol that it takes


def element_named(name: str, residue: str = "") -> str | None:
    """The element of an atom by its name; None if this could be another one, as CA, or is that of no atom, as MW.

    A symbol as it is usually written tells it, as in Cl1, and within amino acids the first letter, as in CA. Elsewhere
    the first letter does if it is one of H, C, N, O, S, P and F, and does not begin another symbol, as in CL, and if
    the name is not that of the residue, as of ions. In HO, HE and HG it is hydrogen.
    """
    match = _WORD.match(name.strip())
    if match is None:
        return None
    word, residue = match[1], residue.strip()
    if word in atomic_numbers:
        return word
    if _PEPTIDE.fullmatch(residue) and word[0] in _FIRST:
        return word[0]
    is_other = word[:2] in _NATURAL if word[0] == "H" else word[:2].capitalize() in _NATURAL
    return None if is_other or word[0] not in _FIRST or word in _IONS or name.strip() == residue else word[0]


def spelled_out(names: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names of atoms and of their residues, in capitals where small letters of a residue are types and no symbols.

    As `Ch1` and `Hn16` are, beside which `Ca13` is no calcium, but `Zn1` is zinc, as no element is Z.
    """
    words = ((match[1], residue) for name, residue in names if (match := _WORD.match(name.strip())))
    odd = {residue for word, residue in words if _TYPED.match(word) and word[:2] not in atomic_numbers}
    return [
        (name.upper() if residue in odd and name.lstrip(" 0123456789")[:1] in atomic_numbers else name, residue)
        for name, residue in names
    ]


def named_element(name: str, residue: str, path: str | Path) -> str:
    """The same.

    Raises:
        AssayError: the name does not tell an element.
    """
    element = element_named(name, residue)
    if element is None:
        within = f" in a residue {printable(residue.strip(), 20)!r}" if residue.strip() else ""
        raise AssayError(
            f"{path} has names of atoms and no elements, and {printable(name.strip(), 20)!r}{within} may be of several "
            "or none: convert it to a format with elements, such as extended XYZ, by a program that knows them"
        )
    return element


def check_labels(atoms: ase.Atoms, where: str) -> None:
    """Refuse a structure of DL_POLY whose names of atoms do not tell the elements that ASE takes them for.

    Raises:
        AssayError: one does not.
    """
    for symbol, rest in zip(atoms.symbols, atoms.arrays.get(_DLP_LABELS, ()), strict=False):
        if named_element(f"{symbol}{rest}", "", where) != symbol:
            raise AssayError(f"{where} has an atom `{symbol}{rest}`, which is no element: write its symbol")


def frames_of_gro(text: str, path: Path) -> Iterator[str]:
    """The structures of a file of GROMACS, of which ASE reads the first, with or without blank lines between them.

    Raises:
        AssayError: it ends within one, its box is not whole, or something else stands behind one.
    """
    lines, start, n_lines = text.splitlines(keepends=True), 0, len(text.rstrip().splitlines())
    while start < n_lines:
        count = "".join(lines[start + 1 : start + _GRO_BEFORE]).strip()
        if not lines[start].strip() and not count.isdecimal():
            start += 1
            continue
        if start and not count.isdecimal():
            raise AssayError(f"{path} has `{printable(lines[start].strip(), 40)}` behind a structure: cut it off")
        end = start + _GRO_BEFORE + int(lines[start + 1]) + 1
        if len(lines) < end:
            raise cut_off(path)
        box = lines[end - 1].strip()
        if len(box.split()) not in _GRO_BOX:
            raise AssayError(f"{path} has a box of `{printable(box, 40)}`, not of 3 or 9 numbers: write them apart")
        yield "".join(lines[start:end])
        start = end


def _gromacs(text: str, path: Path) -> str:
    lines = text.splitlines(keepends=True)
    atoms = range(_GRO_BEFORE, _GRO_BEFORE + int(lines[1]))
    names = spelled_out([(lines[k][_GRO_NAME], lines[k][_GRO_RESIDUE]) for k in atoms])
    for k, (name, residue) in zip(atoms, names, strict=True):
        element = named_element(name, residue, path)
        lines[k] = f"{lines[k][: _GRO_NAME.start]}{element:>5}{lines[k][_GRO_NAME.stop :]}"
    return "".join(lines)


def _gromos(text: str, path: Path) -> str:
    names = iter(spelled_out([(match[3], match[2]) for match in _G96.finditer(text)]))
    return _G96.sub(lambda match: match[1] + named_element(*next(names), path), text)


def _vasp(text: str, path: Path) -> str:
    """A POSCAR with its line of elements: those of its comment, if it holds nothing else."""
    lines = text.splitlines(keepends=True)
    numbers = lines[_COUNTS].partition("!")[0].split()
    if not all(map(str.isdecimal, numbers)):
        return text
    elements = lines[0].split()
    if len(elements) != len(numbers) or not set(elements) <= _NATURAL:
        raise AssayError(
            f"{path} does not say its elements: write a line with their symbols above the numbers of their atoms"
        )
    return "".join([*lines[:_COUNTS], " ".join(elements) + "\n", *lines[_COUNTS:]])


def _xdatcar(text: str, path: Path) -> str:
    """An XDATCAR without what VASP writes of a potential behind its element, as in Na_pv/6a2f5."""
    return _XDATCAR_NAMES.sub(lambda names: re.sub(r"[_/]\S*", "", names[0]), text)


def _cp2k(text: str, path: Path) -> str:
    """A restart of CP2K with the elements of its kinds in place of their names; of others ASE seeks the end forever."""
    if _SUBSYS_OF_CP2K.search(text) is None:
        raise AssayError(f"{path} is no whole restart of CP2K, for which ASE takes it: give it as extended XYZ")
    elements = {name.upper(): element for name, element in _KIND_OF_CP2K.findall(text)}

    def _element_of(row: re.Match[str]) -> str:
        return str(row[1]) + str(elements.get(row[2].upper(), row[2]))

    return _COORD_OF_CP2K.sub(lambda block: re.sub(r"(?m)^(\s*)(\w+)", _element_of, block[0]), text)


def _cfg(text: str, path: Path) -> str:
    """A file of AtomEye whose masses are those of its elements, which LAMMPS calls C unless it is told them."""
    written, symbols = zip(*_CFG_ATOM.findall(text), strict=True)
    masses = np.array(written, float)
    if not (masses == 1.0).all():  # which stand where a program knows none
        check_masses(path, symbols, masses)
    return text


def _cif(text: str, path: Path) -> str:
    """A CIF whose symbols ASE reads as they are: of CL it would take the first letter."""
    if _MMCIF.search(text):
        raise AssayError(f"{path} is mmCIF, which is not read: convert it to PDB or extended XYZ")
    for block in parse_cif(StringIO(text)):
        for label in block.get("_atom_site_type_symbol") or block.get("_atom_site_label") or ():
            if label[1:2].isupper() and element_named(label) is None:
                raise AssayError(
                    f"{path} has an atom {printable(label, 20)!r}, which may be of several elements or none: write "
                    "symbols as `_atom_site_type_symbol`, with one capital letter each"
                )
    return text


WITH_LABELS = ("dlp4", "dlp-history")
"""Formats of ASE of whose structures ``check_labels`` tells whether they have the elements of the file."""
WITH_ELEMENTS: Mapping[str, Callable[[str, Path], str]] = {
    "gromacs": _gromacs,
    "gromos": _gromos,
    "vasp": _vasp,
    "vasp-xdatcar": _xdatcar,
    "cp2k-restart": _cp2k,
    "cfg": _cfg,
    "cif": _cif,
}
"""By format of ASE: the text of a file, and its path, to the text that tells elements without a guess.

Each raises ``AssayError`` where the file does not tell them.
"""
