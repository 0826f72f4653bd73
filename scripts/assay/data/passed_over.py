"""What the text of files says that ASE's readers pass over: further structures, units of length, cells and charges."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ase.io.formats import get_ioformat
from ase.units import Bohr

from assay.data.programs import of_program
from assay.workflow.errors import AssayError, printable

_CONVERT = "convert it to extended XYZ by a program that knows it"
_NUMBER = r"[-+.\d][-+.\deEdD]*"
_SCALE, _VECTOR = rf"[ \t]*{_NUMBER}[ \t]*\n", rf"[ \t]*(?:{_NUMBER}[ \t]+){{2}}{_NUMBER}[ \t]*\n"
_ELEMENTS_OR_COUNTS = r"[ \t]*(?:[A-Z]|\d+(?:[ \t]+\d+)*[ \t]*\n)"
_POSCAR = re.compile(rf"(?m)^{_SCALE}(?:{_VECTOR}){{3}}{_ELEMENTS_OR_COUNTS}")
_CONFIGURATION = "Direct configuration="
_COUNTS_OF_XDATCAR, _AXES = re.compile(r"(?m)^[ \t]*\d+(?:[ \t]+\d+)*[ \t]*$"), 3
_ANGSTROM_COORD = re.compile(r"(?im)^\s*\$coord\b.*\bangs\b")
_STEPS_OF_CASTEP = r"Starting (?!L?BFGS |MD )\w+ iteration|(?<!BFGS): starting iteration|\bx +Product +x\b"
_STEPS_OF_GAMESS = r"COORDINATES OF ALL ATOMS ARE|\bRUNTYP=(?:SURFACE|IRC|DRC|MD)\b"
_PERIODIC_OF_CP2K = re.compile(r"(?im)^\s*&CELL\s*\n(?:(?!\s*&END).*\n)*?\s*PERIODIC\s+(\w+)")


def _from(text: str, line: Callable[[list[str]], int]) -> bool:
    """Whether anything stands from a line on, whose number follows from the first ones."""
    lines = text.splitlines()
    return any(map(str.strip, lines[line(lines) :]))


def _more_than_one(pattern: str) -> Callable[[str], bool]:
    return lambda text: len(re.findall(pattern, text)) > 1


_SEVERAL: Mapping[str, Callable[[str], bool]] = {  # by format of ASE
    "castep-castep": lambda text: text.count("Run started:") > 1 or re.search(_STEPS_OF_CASTEP, text) is not None,
    "gen": lambda text: _from(
        text, lambda lines: 2 + int(lines[0].split()[0]) + 4 * (lines[0].split()[1].upper() in "SF")
    ),
    "vasp": lambda text: len(_POSCAR.findall(text)) > 1,
    "res": _more_than_one(r"(?im)^\s*TITL\b"),
    "turbomole": _more_than_one(r"(?m)^\s*\$coord\b"),
    "gamess-us-out": lambda text: re.search(_STEPS_OF_GAMESS, text) is not None,
}
_NOT_READ: Mapping[str, re.Pattern[str]] = {  # by format of ASE
    "castep-cell": re.compile(r"(?im)^\s*a0\s*$"),
    "cfg": re.compile(r"(?m)^\s*A\s*=(?!\s*1(?:\.0*)?(?:[eE][-+]?0+)?(?:\s|$)).*"),
    "cp2k-restart": re.compile(r"(?im)^\s*&COORD\s*\n(?:\s*\w+\s+\w+\s*\n)*?\s*(?:UNIT|SCALED)\b.*"),
    "dmol-car": re.compile(
        r"(?m)^PBC=(?!ON\b|OFF\b).*|^PBC(?:[ \t]+[\d.]+){6}[ \t]+\((?!P1\)).*|^end[ \t]*\n(?!end)[ \t]*\S.*"
    ),  # a slab, a symmetry, or a second molecule
    "nwchem-out": re.compile(
        r"Output coordinates in (?!angstroms)\S+|Lattice Parameters|boundary conditions\s+=\s+periodic"
    ),
    "res": re.compile(r"(?im)^\s*(?:LATT\b(?!\s+-1\b)|SYMM\b).*"),
    "turbomole": re.compile(
        r"(?im)^\s*(?:\$coord(?!\s*(?:bohr|angs)?\s*(?:natoms\s*=\s*\d+)?\s*$).*|\$(?:periodic\s+[1-9]|cell|lattice).*)"
    ),
    "v-sim": re.compile(r"(?im)^\s*[#!]\s*keyword.*\bangdeg\b.*"),
}
_WHOLE = r"\s*([-+]?\d+)\b"
_CHARGE_OF_ONETEP = {"charge": re.compile(r"(?im)^\s*charge\s*[:=]?\s*([-+.\d]+)\s*$")}
_TOLD: Mapping[str, Mapping[str, re.Pattern[str]]] = {  # by format of ASE
    "aims-output": {"charge": re.compile(r"(?m)^\s*(?:Charged system requested:\s*)?Charge =\s*([-+.\d]+E[-+]\d+)")},
    "castep-castep": {"charge": re.compile(r"net charge of system\s*:\s*([-+.\d]+)")},
    "cp2k-restart": {
        "charge": re.compile(rf"(?im)^\s*CHARGE{_WHOLE}\s*$"),
        "multiplicity": re.compile(rf"(?im)^\s*MULTIPLICITY{_WHOLE}\s*$"),
    },
    "espresso-in": {"charge": re.compile(r"(?im)^[^!#\n]*\btot_charge\s*=\s*([-+.\d]+(?:[DE][-+]?\d+)?)")},
    "gamess-us-out": {
        "charge": re.compile(rf"CHARGE OF MOLECULE\s*={_WHOLE}"),
        "multiplicity": re.compile(rf"SPIN MULTIPLICITY\s*={_WHOLE}"),
    },
    "gaussian-out": {  # the first is that of the whole, and others may be those of fragments or layers
        "charge": re.compile(rf"(?s)\A.*?\bCharge\s*={_WHOLE}\s+Multiplicity\s*="),
        "multiplicity": re.compile(rf"(?s)\A.*?\bCharge\s*=\s*[-+]?\d+\s+Multiplicity\s*={_WHOLE}"),
    },
    "nwchem-out": {
        "charge": re.compile(r"(?im)^\s*(?:total )?charge\s*[:=]\s*([-+.\d]+)\s*$"),
        "multiplicity": re.compile(rf"(?im)^\s*spin multiplicity\s*:{_WHOLE}"),
    },
    "onetep-in": _CHARGE_OF_ONETEP,
    "onetep-out": _CHARGE_OF_ONETEP,
    "orca-output": {
        "charge": re.compile(rf"Total Charge\s+Charge\s+\.+{_WHOLE}"),
        "multiplicity": re.compile(rf"Multiplicity\s+Mult\s+\.+{_WHOLE}"),
    },
}
_MISREAD: Mapping[str, tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = {  # by format of ASE
    "nwchem-out": (re.compile(r"Final (?:Alpha |Beta )?Molecular Orbital Analysis"), ""),
    "onetep-out": (re.compile(r"(?i)%(?:end)?block[ \t]+\w+"), lambda word: " ".join(word[0].upper().split())),
}
KINDS = frozenset([*_SEVERAL, *_NOT_READ, *_TOLD, *_MISREAD, "eon"])
"""Formats of ASE of whose files these functions tell whether, and how, ASE's reader has them whole."""

_WHY_NOT: Mapping[str, str] = {  # by format of ASE
    "cp2k-dcd": "is a DCD file, which does not tell elements: convert it to extended XYZ by a program that reads its "
    "topology, too",
    "cube": "is a cube file, which does not say whether its box repeats: convert it to extended XYZ, with a Lattice if "
    "it does",
    "dftb": "is an input of DFTB+, of which ASE's reader passes over units: give its geometry as a gen file, or as "
    "extended XYZ",
    **dict.fromkeys(("extxyz", "xyz"), "is XYZ by another name: let it end in .xyz"),
    "lammps-dump-binary": "has types of LAMMPS and no elements: write it as text, by `dump ... custom ... element x y "
    "z`",
    "netcdftrajectory": "is a NetCDF trajectory, which tells types of atoms at most, and no elements: convert it to "
    "extended XYZ by a program that reads its topology, too",
    "runnerdata": "is in the format of RuNNer and n2p2, which does not say its unit of length: convert it to extended "
    "XYZ, in angstrom",
}


OTHERWISE = frozenset(["extxyz", "xyz", "mol", "sdf"])
"""Formats of ASE that are read without it."""


def unread(kind: str, path: Path) -> AssayError:
    """Why a file in a format of ASE is not read, and what to do."""
    if kind in _WHY_NOT:
        return AssayError(f"{path} {_WHY_NOT[kind]}")
    return AssayError(
        of_program(path)
        or f"{path} is a file of ASE's format {kind} ({get_ioformat(kind).description}), of which it may pass over "
        f"units, cells, elements or structures: {_CONVERT}"
    )


def check_read(kind: str, text: str, path: Path) -> None:
    """Refuse what ASE's reader would pass over.

    Args:
        kind: the format of the file.
        text: its text.
        path: the file.

    Raises:
        AssayError: it has several structures that ASE does not read one by one, or a cell, a symmetry or a unit that it
            does not read.
    """
    if kind in _SEVERAL and _SEVERAL[kind](text):
        raise several(path)
    said = _NOT_READ[kind].search(text) if kind in _NOT_READ else None
    if said is not None:
        raise not_read(path, said[0])


def readable(kind: str, text: str) -> str:
    """A text without what ASE's reader stumbles over: orbitals and small letters."""
    if kind not in _MISREAD:
        return text
    words, instead = _MISREAD[kind]
    return words.sub(instead, text)


def without_cut_end(kind: str, text: str) -> str:
    """A text without a last structure that is there in part, as in an XDATCAR of a run that goes on."""
    if kind != "vasp-xdatcar":
        return text
    counts, last = _COUNTS_OF_XDATCAR.findall(text), text.rfind(_CONFIGURATION)
    rows = [row for row in text[last:].splitlines()[1:] if row.strip()]
    is_cut_row = not text.endswith("\n") and len(rows[-1:] and rows[-1].split()) < _AXES
    if not counts or last < 0 or len(rows) - is_cut_row >= sum(map(int, counts[-1].split())):
        return text
    return text[:last] if last > text.find(_CONFIGURATION) else ""


def length_A_of(kind: str, text: str) -> float:
    """By how much lengths that ASE gives of a file are too small: 1 where it takes them in their unit."""
    return 1.0 / Bohr if kind == "turbomole" and _ANGSTROM_COORD.search(text) is not None else 1.0


def pbc_of(kind: str, text: str) -> Sequence[bool] | None:
    """Which axes repeat (3,), where ASE's reader passes over it; None elsewhere."""
    if kind in ("eon", "onetep-out"):
        return (True, True, True)
    if kind != "cp2k-restart":
        return None
    said = _PERIODIC_OF_CP2K.search(text, text.find("&SUBSYS"))
    axes = "XYZ" if said is None else said[1].upper()
    return [axis in axes for axis in "XYZ"]


def charge_of(kind: str, text: str, path: Path) -> dict[str, float]:
    """The total ``charge`` and the ``multiplicity`` that a text tells of all of its structures.

    Raises:
        AssayError: it tells several.
    """
    told: dict[str, float] = {}
    for name, pattern in _TOLD.get(kind, {}).items():
        values = {float(re.sub("[dD]", "e", value)) for value in pattern.findall(text)}
        if len(values) > 1:
            raise AssayError(
                f"{path} tells several values of its {name}: convert it to extended XYZ, with that of each structure"
            )
        if values:
            told[name] = values.pop()
    return told


def several(path: Path) -> AssayError:
    """What is said of a file with several structures where ASE reads one."""
    return AssayError(f"{path} has several structures, which ASE does not read one by one: convert it to extended XYZ")


def cut_off(path: Path) -> AssayError:
    """What is said of a file whose last structure is there in part."""
    return AssayError(f"{path} ends within a structure: read it again when its run has ended, or cut its end off")


def not_read(path: Path, what: str) -> AssayError:
    """What is said of a file in which ASE's reader passes over something."""
    return AssayError(f"{path} has `{printable(what.strip(), 40)}`, which ASE's reader passes over: {_CONVERT}")
