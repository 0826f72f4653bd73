"""Programs by what their files begin with, so that a refusal can name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from assay.runtime.template import open_text

_BEGIN, _PIECE = 100_000, 1_000  # characters, in which the banner of a program stands, and that are read at once
_BY_DPDATA = "dpdata makes it an ASE trajectory, by `dpdata {{path}} -i {} -o ase/traj -O labels.traj`"
_BY_CCLIB = "cclib writes its last structure as XYZ, by `ccwrite xyz {path}`"
_OF_BOTH = {
    "SIESTA": _BY_DPDATA.format("siesta/output"),
}
_LABELS: Mapping[str, str] = {
    **_OF_BOTH,
    "VASP": "give vasprun.xml or OUTCAR of its run",
}
_STRUCTURES: Mapping[str, str] = {
    **_OF_BOTH,
    **dict.fromkeys(("MOPAC", "Psi4", "Q-Chem"), _BY_CCLIB),
    "CPMD": "give GEOMETRY.xyz or TRAJEC.xyz of its run",
    "CREST": "give crest_conformers.xyz of its run",
    "DFTB+": "give geo_end.gen of its run",
    "Elk": "give GEOMETRY.OUT of its run",
    "TeraChem": "give optim.xyz of its run",
    "Turbomole": "give `coord` or `gradient` of its run",
    "xtb": "give xtbopt.xyz, xtbopt.log or xtb.trj of its run",
}
_TO_DO = (
    "write its structures as extended XYZ, in angstrom",
    "write its structures as extended XYZ, with `energy` in eV and `forces` in eV/angstrom",
)
_MOL2 = "mol2"
_WITH_STRUCTURES = ("VASP", "CP2K", "Quantum ESPRESSO", "FHI-aims", "ORCA", "NWChem", "Gaussian")  # which are read
_BANNERS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(rf"(?m)^(?:{pattern})")
    for name, pattern in {
        "CP2K": r" (?:CP2K\| version string:|DBCSR\|)",
        "Psi4": r"[ \t]+Psi4: An Open-Source Ab Initio",
        "Q-Chem": r"You are running Q-Chem version|[ \t]*Welcome to Q-Chem",
        "Turbomole": r".*\bTURBOMOLE V\d",
        "DFTB+": r"\|[ \t]+DFTB\+ |(?:mermin_energy|total_energy)[ \t]+:real:0:",
        "MOPAC": r".*\bMOPAC\d*[ ,].*Stewart|[ \t]*\*.*\bMOPAC v?\d",
        "ADF or AMS": r"[ \t]*\*[ \t]+Amsterdam (?:Modeling Suite|Density Functional)",
        "Molcas": r".*\bMOLCAS\b",
        "Molpro": r".*\bPROGRAM SYSTEM MOLPRO\b",
        "CRYSTAL": r"[ \t]*\*[ \t]+CRYSTAL\d\d",
        "SIESTA": r"Siesta Version",
        "OpenMX": r".*\bperformed by OpenMX",
        "DMol3": r".*\bDMol\^?3\b",
        "Jaguar": r".*\bJaguar version\b",
        "ABINIT": r"\.Version .* of ABINIT|[ \t]*ABINIT[ \t]*$",
        "ABACUS": r"[ \t]*WELCOME TO ABACUS",
        "CREST": r"[ \t|]*C R E S T\b|.*crest-lab\.github\.io",
        "xtb": r"[ \t|]+x T B[ \t]",
        "TeraChem": r"[ \t]*\*[ \t]+TeraChem v",
        "CPMD": r"[ \t]*PROGRAM CPMD STARTED",
        "Octopus": r"[ \t]*Running octopus",
        "exciting": r"\| EXCITING ",
        "Elk": r"\| Elk version",
        "VASP": r"[ \t]*vasp\.\d|<modeling>",
        "Quantum ESPRESSO": r"[ \t]*Program PWSCF v",
        "FHI-aims": r"[ \t]*Invoking FHI-aims",
        "ORCA": r"[ \t]*\*[ \t]+O   R   C   A",
        "NWChem": r"[ \t]*Northwest Computational Chemistry Package",
        "Gaussian": r"[ \t]*Entering (?:Gaussian System|Link 1 =)",
        _MOL2: r"@<TRIPOS>",
        "MLIP": r"[ \t]*BEGIN_CFG\b",
    }.items()
}


def begin_of(path: Path) -> str:
    """The beginning of a file, compressed or not, in which a program names itself, as far as it can be read."""
    parts: list[str] = []
    with suppress(Exception), open_text(path) as file:  # of any decompression
        parts.extend(file.read(_PIECE) for _ in range(_BEGIN // _PIECE))
    return "".join(parts)


def program_of(begin: str) -> str | None:
    """The program that a file is of which begins so; None if none is known.

    It is that which names itself first: it may run others, and print what they say.
    """
    found = ((banner.search(begin), name) for name, banner in _BANNERS.items())
    return min(((banner.start(), name) for banner, name in found if banner), default=(0, None))[1]


def of_program(path: Path, labelled: bool = False) -> str | None:
    """That a file is of a program whose outputs are not read as wanted, and what to do; None of any other file.

    Args:
        path: the file.
        labelled: whether its energies and forces are wanted, too.
    """
    name = program_of(begin_of(path))
    if name is None or (name in _WITH_STRUCTURES and not labelled):
        return None
    if name == _MOL2:
        return f"{path} is a mol2 file, which is not read: convert it to SDF"
    to_do = (_LABELS if labelled else _STRUCTURES).get(name, _TO_DO[labelled])
    how = " as labels" if labelled else ""
    return f"{path} is of {name}, whose outputs are not read{how}: {to_do.format(path=path)}"
