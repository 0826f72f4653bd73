"""What the text of files says that ASE's readers pass over: further structures, units of length, and cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ase.units import Bohr

from assay.workflow.errors import AssayError, printable

_NEXT_JOB, _SAME_ATOMS = re.compile(r"(?im)^\s*--link1--\s*$"), re.compile(r"(?i)geom\w*\s*[=(][^\n]*check")
_ROUTE = re.compile(r"(?s)\A\s*(.*?)(?:\n\s*\n|\Z)")
_UNITS = re.compile(r"(?i)\bunits\s*[=(]\s*(?:\(?([a-z, ]+)\)|[a-z]+)")
_NUMBER = r"[-+.\d][-+.\deEdD]*"
_SCALE, _VECTOR = rf"[ \t]*{_NUMBER}[ \t]*\n", rf"[ \t]*(?:{_NUMBER}[ \t]+){{2}}{_NUMBER}[ \t]*\n"
_ELEMENTS_OR_COUNTS = r"[ \t]*(?:[A-Z]|\d+(?:[ \t]+\d+)*[ \t]*\n)"
_POSCAR = re.compile(rf"(?m)^{_SCALE}(?:{_VECTOR}){{3}}{_ELEMENTS_OR_COUNTS}")
_COORD = re.compile(r"(?m)^\s*\$coord\b(.*)$")
_OF_COORD = re.compile(r"natoms\s*=\s*\d+")  # which says nothing of a unit
_PERIODIC = re.compile(r"(?m)^\s*(\$(?:periodic\s+[1-9]|cell|lattice).*)$")


def _from(text: str, line: Callable[[list[str]], int]) -> bool:
    """Whether anything stands from a line on, whose number follows from the first ones."""
    lines = text.splitlines()
    return any(map(str.strip, lines[line(lines) :]))


_SEVERAL: Mapping[str, Callable[[str], bool]] = {
    "gromacs": lambda text: _from(text, lambda lines: 3 + int(lines[1])),
    "gen": lambda text: _from(
        text, lambda lines: 2 + int(lines[0].split()[0]) + 4 * (lines[0].split()[1].upper() in "SF")
    ),
    "gaussian-in": lambda text: not all(_SAME_ATOMS.search(job) for job in _NEXT_JOB.split(text)[1:]),
    "vasp": lambda text: len(_POSCAR.findall(text)) > 1,
    "res": lambda text: len(re.findall(r"(?im)^\s*TITL\b", text)) > 1,
    "turbomole": lambda text: len(_COORD.findall(text)) > 1,
}
KINDS = frozenset(_SEVERAL)  # formats of ASE
UNTOLD: Mapping[str, str] = {  # formats of ASE that do not tell what ASE makes up, and what to do
    "cube": "is a cube file, which does not say whether its box repeats: convert it to extended XYZ, with a Lattice if "
    "it does",
    "runnerdata": "is in the format of RuNNer and n2p2, which does not say its unit of length: convert it to extended "
    "XYZ, in angstrom",
}


def length_A_of(kind: str, text: str, path: Path) -> float:
    """By how much lengths that ASE gives of a file are too small: 1 where it takes them in their unit.

    Args:
        kind: its format, one of ``KINDS``.
        text: its text.
        path: the file.

    Raises:
        AssayError: it has several structures that ASE does not read one by one, or a cell or a unit that it does not
            read.
    """
    if _SEVERAL[kind](text):
        raise AssayError(
            f"{path} has several structures, which ASE does not read one by one: convert it to extended XYZ"
        )
    if kind == "turbomole":
        return _of_turbomole(text, path)
    return _of_gaussian(text, path) if kind == "gaussian-in" else 1.0


def _of_turbomole(text: str, path: Path) -> float:
    """ASE takes positions in bohr, and no structure for a periodic one."""
    unit = _OF_COORD.sub("", "".join(_COORD.findall(text))).strip().lower()
    periodic = _PERIODIC.search(text)
    if periodic is not None or unit not in ("", "bohr", "angs"):
        raise _not_read(path, periodic[1] if periodic is not None else f"$coord {unit}")
    return 1.0 / Bohr if unit == "angs" else 1.0


def _of_gaussian(text: str, path: Path) -> float:
    """ASE takes positions in angstrom and angles in degrees."""
    route = _ROUTE.match(text)
    said = _UNITS.search(route[1]) if route is not None else None
    words = set() if said is None else set(re.findall("[a-z]+", said[0].lower()))
    if said is not None and "rad" in words:
        raise _not_read(path, said[0])
    return Bohr if words & {"au", "bohr"} else 1.0


def _not_read(path: Path, what: str) -> AssayError:
    return AssayError(
        f"{path} has `{printable(what.strip(), 40)}`, which ASE's reader passes over: convert it to extended XYZ by a "
        "program that knows it"
    )
