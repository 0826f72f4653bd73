"""Labels in outputs of single points of CP2K. Of other runs they tell the first structure alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from assay.data.frames import Frame
from assay.data.outputs import OutputFile, Step, computed, ghosts, leave_out, outside, pass_over_cut, several_energies
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError
from assay.workflow.units import factor

_PROGRAM = "CP2K"
_RUN = re.compile(r"(?m)^.*\bPROGRAM STARTED AT\b")
_ENDED = "PROGRAM ENDED AT"
_RUN_TYPE = re.compile(r"GLOBAL\| Run type\s+(\S+)")
_SINGLE = ("ENERGY", "ENERGY_FORCE", "WAVEFUNCTION_OPTIMIZATION", "WFN_OPT")
_ROWS = r"((?:[ \t]*\d+[ \t]+\d+[ \t]+\S+[ \t]+\d+(?:[ \t]+-?\d+\.\d+){5}[ \t]*\n)+)(?=[ \t]*\n)"
_ATOMS = re.compile(
    rf"(?i)MODULE QUICKSTEP: +ATOMIC COORDINATES IN angstrom[ \t]*\n\s*Atom +Kind +Element.*\n(?:[ \t]*\n)?{_ROWS}"
)
_VECTOR = re.compile(
    r"(?m)^ CELL\| Vector [abc] \[angstrom\]:?\s*(-?[\d.]+)\s+(-?[\d.]+)\s+(-?[\d.]+)\s+\|[abc]\| =\s*([\d.]+)"
)
_PERIODIC = re.compile(r"(?m)^ (?:POISSON|CELL)\| Periodicity\s+(\S+)")
_TOLD = {
    "charge": re.compile(r"(?m)^ DFT\| Charge\s+(-?\d+)"),
    "multiplicity": re.compile(r"(?m)^ DFT\| Multiplicity\s+(\d+)"),
}
_ENERGY = re.compile(r"(?m)^ ENERGY\| Total FORCE_EVAL \( (\w+) \) energy [(\[]([\w.]+)[)\]]:?\s+(\S+)")
_QUICKSTEP = "QS"
_NUMBERS = r"((?:[ \t]+[-+.\dE]+){3})"
_FORCES = re.compile(
    r"(?m)^ (?:ATOMIC FORCES in|FORCES\| Atomic forces) \[([^\]]+)\][ \t]*\n\s*(?:#|FORCES\|) +Atom .*\n"
    r"((?:(?: FORCES\|)?[ \t]*\d+(?:[ \t]+\d+[ \t]+\S+)?(?:[ \t]+[-+.\dE]+){3,4}[ \t]*\n)+)"
)
_FORCE = re.compile(rf"(?: FORCES\|)?[ \t]*(\d+)(?:[ \t]+\d+[ \t]+[A-Za-z]\S*)?{_NUMBERS}")
_TITLE = r"(?m)^ (?:(?:NUMERICAL )?STRESS TENSOR|STRESS\| (?:Analytical|Numerical) stress tensor) \["
_TENSOR = re.compile(_TITLE)
_STRESS = re.compile(
    rf"{_TITLE}([^\]]+)\][ \t]*\n\s*(?:STRESS\|)? +[xX] +[yY] +[zZ].*\n"
    rf"((?:(?: STRESS\|)?[ \t]+[xyzXYZ]{_NUMBERS}[ \t]*\n){{3}})"
)
_UNCONVERGED = re.compile(r"(?m)^[ \t*].*\bSCF run NOT\s[\s*]*converged|^ *SCF not converged!|\bSCF loop FAILED")
_PART_ALONE = re.compile(r"(?m)^ (QMMM\|.*)$")
_OUTSIDE = re.compile(
    r"(?m)^ *((?:Electric field interaction energy|Mulliken restraint energy|Electric enthalpy|CDFT SCF iter).*)$"
)
_UNITS = {"a.u.": "au", "kcalmol": "kcal/mol", "kjmol": "kJ/mol"}  # as CP2K spells them
_NO_FORCE = 1e-4  # hartree/bohr, of all atoms together

_Found = tuple[Sequence[tuple[str, str, str]], re.Match[str]]  # energies with kind and unit, and the table of forces


def open_cp2k_output(path: Path, labelled: bool) -> OutputFile:
    """An output of single points of CP2K.

    The energy is that of the force evaluation, which is free where electrons are smeared. Lattice vectors have three
    decimals there, and their lengths as many or more.

    Args:
        path: the file.
        labelled: whether energies and forces are wanted.
    """
    return OutputFile(path, _PROGRAM, partial(_steps, path, labelled))


def _steps(path: Path, labelled: bool) -> Iterator[Step]:
    """The structures of all runs in a file."""
    with open_text(path) as file:
        text = file.read()
    starts = [run.start() for run in _RUN.finditer(text)]
    if starts and _ATOMS.search(text, 0, starts[0]):
        leave_out(path, "the beginning of its run is not there")
    for begin, end in pairwise([*starts, len(text)]):
        run = text[begin:end]
        kind, rough = _RUN_TYPE.search(run), _UNCONVERGED.search(run)
        if kind is not None and kind[1] not in _SINGLE:
            raise AssayError(
                f"{path} is of a run of CP2K of type {kind[1]}, and tells its first positions alone: give "
                "PROJECT-pos-1.xyz of that run if it moves, or outputs of single points"
            )
        if _ENDED not in run and rough is None:
            pass_over_cut(path, end == len(text))
            continue
        energies, atoms, forces = _ENERGY.findall(run), _ATOMS.search(run), _FORCES.search(run)
        said = _PART_ALONE.search(run) or (_OUTSIDE.search(run) if labelled else None)
        foreign = next((kind for kind, _, _ in energies if kind != _QUICKSTEP), None)
        if said is not None or foreign is not None:
            raise outside(path, _PROGRAM, f"FORCE_EVAL ( {foreign} )" if said is None else said[1])
        if atoms is None or (labelled and rough is None and (forces is None or not energies)):
            lacking = "coordinates in angstrom" if atoms is None else "forces" if forces is None else "an energy"
            raise AssayError(
                f"{path} has a run of CP2K without {lacking} that can be read: let it print them, by PRINT_LEVEL "
                "MEDIUM and &PRINT &FORCES of &FORCE_EVAL"
            )
        found = None if rough or forces is None else (energies, forces)
        yield partial(_frame, run, atoms[1], labelled, found)


def _frame(run: str, atoms: str, labelled: bool, found: _Found | None, where: str) -> Frame:
    """A structure and, if they are wanted, its labels, of which nothing is found where electrons are not converged."""
    rows = [row.split() for row in atoms.splitlines()]
    if any(float(row[7]) == 0.0 for row in rows):
        raise ghosts(where)
    if [row[0] for row in rows] != [str(number) for number in range(1, len(rows) + 1)]:
        raise AssayError(f"{where} has atoms in its table that cannot be read: check what CP2K wrote there")
    partly = next((row for row in rows if not float(row[7]).is_integer()), None)
    if partly is not None:
        raise AssayError(
            f"{where} has an atom with a core of {partly[7]} charges, which is no element: label it with elements"
        )
    settings = {name: pattern.search(run) for name, pattern in _TOLD.items()}
    info: dict[str, Any] = {name: float(told[1]) for name, told in settings.items() if told is not None}
    cell, pbc = _periodicity(run, where)
    forces = {}
    if labelled and found is None:
        info["converged"] = False
    elif labelled and found is not None:
        energy, forces["forces"] = _energy_and_forces(found, [row[0] for row in rows], where)
        info["energy"] = energy
        if pbc.all() and _TENSOR.search(run):
            info["stress"] = _stress(run, where)
    numbers = np.array([row[3] for row in rows], dtype=np.int64)
    positions = np.array([row[4:7] for row in rows], dtype=np.float64)
    return computed(where, numbers, positions, cell if pbc.any() else None, pbc, info, forces, _PROGRAM)


def _energy_and_forces(found: _Found, numbers: Sequence[str], where: str) -> tuple[float, np.ndarray]:
    """The energy, eV, and the forces (N, 3), eV/angstrom, of a structure whose atoms have ``numbers``."""
    energies, forces = found
    if len(energies) > 1:
        raise several_energies(where, len(energies))
    rows = [row for row in map(_FORCE.match, forces[2].splitlines()) if row is not None]
    if [row[1] for row in rows] != list(numbers):
        raise AssayError(f"{where} has {len(numbers)} atoms, and forces of {len(rows)}: check what CP2K wrote there")
    values = np.array([row[2].split() for row in rows], dtype=np.float64)
    if (values == 0.0).all(axis=1).any() and np.linalg.norm(values.sum(axis=0)) > _NO_FORCE:
        raise AssayError(f"{where} has atoms without a force, and others with one in sum: label it without FIXED_ATOMS")
    [(_, unit, energy)] = energies
    return float(energy) * _unit(unit, "energy", where), values * _unit(forces[1], "forces", where)


def _periodicity(run: str, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Lattice vectors (3, 3), angstrom, as long as is told with more decimals, and which axes repeat, (3,) bool."""
    periodic, vectors = _PERIODIC.search(run), list(dict.fromkeys(_VECTOR.findall(run)))
    if periodic is None or len(vectors) != 3:
        raise AssayError(f"{where} does not tell its cell or which axes repeat: run it again with PRINT_LEVEL MEDIUM")
    cell = np.array([vector[:3] for vector in vectors], dtype=np.float64)
    if all(len(length.partition(".")[2]) > len(x.partition(".")[2]) for x, _, _, length in vectors):
        lengths = np.array([vector[3:] for vector in vectors], dtype=np.float64)
        cell *= lengths / np.linalg.norm(cell, axis=1, keepdims=True)
    return cell, np.array([axis in periodic[1] for axis in "XYZ"]) & (periodic[1] != "NONE")


def _stress(run: str, where: str) -> np.ndarray:
    """A stress (3, 3), eV/angstrom^3, positive under tension, which CP2K writes with the other sign."""
    table = _STRESS.search(run)
    if table is None:
        raise AssayError(f"{where} has a stress that cannot be read: check what CP2K wrote there")
    rows = [row.replace("STRESS|", " ").split()[1:] for row in table[2].splitlines()]
    return -np.array(rows, dtype=np.float64) * _unit(table[1], "stress", where)


def _unit(name: str, kind: str, where: str) -> float:
    """The value of a unit, as CP2K writes it, in eV and angstrom."""
    try:
        return factor(_UNITS.get(name, name), kind)
    except AssayError:
        raise AssayError(f"{where} has {kind} in {name}, which is not known: print it in another unit") from None
