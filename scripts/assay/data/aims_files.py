"""Labels in outputs of FHI-aims, step by step: ASE reads none of an output that ends early."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assay.data.frames import Frame, calculator_of
from assay.data.outputs import CutOff, OutputFile, Step, ghosts, outside
from assay.data.passed_over import charge_of
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError

_PROGRAM = "FHI-aims"
_LOOP = re.compile(r"(?m)^[ \t]*Begin self-consistency loop:.*$")
_CONVERGED = re.compile(r"(?m)^[ \t]*Self-consistency cycle converged\.")
_ENDED = "Have a nice day."
_INPUT = re.compile(
    r"(?m)^[ \t]*Input geometry:[ \t]*\n(?:[ \t]*\| Unit cell:[ \t]*\n((?:[ \t]*\|(?:[ \t]+[-\d.]+){3}[ \t]*\n){3})|"
    r"[ \t]*\| No unit cell requested\.[ \t]*\n)[ \t]*\| Atomic structure:[ \t]*\n.*\n((?:[ \t]*\|[ \t]*\d+:.*\n)+)"
)
_GHOSTS = re.compile(r"(?m)^[ \t]*\|[ \t]+Ghost[ \t]+x \[A\]")
_ROWS = r"((?:[ \t]*(?:x \[A\].*|(?:lattice_vector|atom|velocity)[ \t].*)?\n)+)"
_UPDATED = re.compile(rf"(?m)^[ \t]*Updated atomic structure:[ \t]*\n{_ROWS}")
_OF_DYNAMICS = re.compile(
    rf"(?m)^[ \t]*Atomic structure (?:\(and velocities\) as|that was) used in the preceding time step.*\n{_ROWS}"
)
_RESTARTED = "Input geometry read from MD restart information"
_MOVES = re.compile(
    r"(?m)^[ \t]*(?:Molecular dynamics: Attempting to update|(?:MD_run|MD_schedule|use_pimd_wrapper)\b)"
)
_BEGINS = "Energy and forces in a compact form:"
_COMPACT = re.compile(
    rf"(?m)^[ \t]*{_BEGINS}[ \t]*\n(?:.*\n){{0,4}}?[ \t]*\| Electronic free energy[ \t]*:[ \t]*(\S+) eV[ \t]*\n"
    r"[ \t]*Total atomic forces (.*) \[eV/Ang\]:[ \t]*\n((?:[ \t]*\|[ \t]*\d+(?:[ \t]+[-+.\dE]+){3}[ \t]*\n)+)"
)
_CLEANED = "(unitary forces cleaned)"
_STRESS = re.compile(
    r"Analytical stress tensor - Symmetrized.*\n(?:.*\n){4}"
    r"((?:[ \t]*\|[ \t]*[xyz](?:[ \t]+[-\d.]+){3}[ \t]*\|[ \t]*\n){3})(?:.*\n){0,2}?[ \t]*\|[ \t]*Pressure:[ \t]+(\S+)"
)
_SPECIES = re.compile(
    r"(?m)^[ \t]*Reading configuration options for species (\S+)(?:.*\n){1,9}?"
    r"[ \t]*\| Found nuclear charge[ \t]*:[ \t]*(\S+)"
)
_OUTSIDE = re.compile(
    r"(?im)^[ \t]*((?:total_energy_method|homogeneous_field|multipole|constrain_relaxation|deltascf|plumed|qmmm|"
    r"force_occupation_\w+|constraint_\w+|external_pressure|compute_numerical_stress)[ \t]+[-+.\w].*)$"
)


class _Geometry(NamedTuple):
    """The species, positions (N, 3) and lattice vectors (3, 3) of one step, angstrom; None where no axis repeats."""

    species: list[str]
    positions: np.ndarray
    cell: np.ndarray | None


def open_aims(path: Path) -> OutputFile:
    """An output of FHI-aims whose labels are wanted.

    The energy is the electronic free energy of the compact form, with dispersion, of which the forces below it are the
    gradient. A step whose electrons are not converged is left out.
    """
    return OutputFile(path, _PROGRAM, partial(_steps, path))


def _steps(path: Path) -> Iterator[Step]:
    """The steps of a run with forces; positions of dynamics stand behind them, others before."""
    with open_text(path) as file:
        text = file.read()
    if _GHOSTS.search(text):
        raise ghosts(str(path))
    said = _OUTSIDE.search(text)
    numbers = _numbers(text, path)
    info, loops = charge_of("aims-output", text, path), list(_LOOP.finditer(text))
    before = _of_input(text)
    found, is_stale, moves = False, _RESTARTED in text, _MOVES.search(text) is not None
    for loop, end in zip(loops, [*(loop.start() for loop in loops[1:]), len(text)], strict=True):
        part, is_last = text[loop.end() : end], end == len(text)
        compact, moved = _COMPACT.search(part), _OF_DYNAMICS.search(part)
        if compact is None and is_last and (_BEGINS in part or _ENDED not in part):
            raise CutOff
        if compact is not None:
            if said is not None or compact[2] != _CLEANED:
                raise outside(path, _PROGRAM, compact[2] if said is None else said[1])
            geometry = before if moved is None else _of_table(moved[1], before)
            if moved is None and (is_stale or moves):
                if is_last:
                    raise CutOff
                raise AssayError(f"{path} does not tell the positions of one of its steps: let FHI-aims write it again")
            if (
                is_last
                and _ENDED not in part
                and geometry is not None
                and compact[3].count("\n") < len(geometry.species)
            ):
                raise CutOff
            found = True
            yield partial(_frame, geometry, compact, part, numbers, info)
            is_stale = True
        updated = list(_UPDATED.finditer(part))
        if updated:
            before, is_stale = _of_table(updated[-1][1], before), False
    if loops and not found:
        raise AssayError(f"{path} has no forces: set `compute_forces .true.` in control.in, and run it again")


def _numbers(text: str, path: Path) -> dict[str, int]:
    """The atomic numbers of species by name, and by the two letters of it that stand in the first geometry."""
    told: dict[str, set[float]] = {}
    for name, charge in _SPECIES.findall(text):
        for word in {name, name[:2]}:
            told.setdefault(word, set()).add(float(charge))
    for name, charge in _SPECIES.findall(text):
        if not float(charge).is_integer() or not float(charge):
            raise AssayError(f"{path} has a species {name} with a nuclear charge of {charge}, which is no element")
    return {name: int(charges.pop()) for name, charges in told.items() if len(charges) == 1}


def _of_input(text: str) -> _Geometry | None:
    """The geometry that a run begins with; None where it is not told."""
    told = _INPUT.search(text)
    if told is None:
        return None
    rows = [row.split(":", 1)[1].split() for row in told[2].splitlines()]
    cell = np.array([row.split()[-3:] for row in told[1].splitlines()], dtype=np.float64) if told[1] else None
    return _Geometry([row[1] for row in rows], np.array([row[-3:] for row in rows], dtype=np.float64), cell)


def _of_table(table: str, before: _Geometry | None) -> _Geometry:
    """A later geometry, which has the lattice vectors of the one before where it tells none."""
    rows = [row.split() for row in table.splitlines()]
    atoms = [row for row in rows if row[:1] == ["atom"]]
    vectors = [row[1:4] for row in rows if row[:1] == ["lattice_vector"]]
    cell = np.array(vectors, dtype=np.float64) if vectors else None if before is None else before.cell
    return _Geometry([row[4] for row in atoms], np.array([row[1:4] for row in atoms], dtype=np.float64), cell)


def _frame(
    geometry: _Geometry | None,
    compact: re.Match[str],
    part: str,
    numbers: Mapping[str, int],
    info: Mapping[str, float],
    where: str,
) -> Frame:
    if geometry is None:
        raise AssayError(f"{where} does not tell its positions: let FHI-aims write its input geometry")
    unknown = [name for name in geometry.species if name not in numbers]
    if unknown:
        raise AssayError(
            f"{where} does not tell the nuclear charge of {unknown[0]}: give the whole output of {_PROGRAM}"
        )
    forces = np.array([row.split()[2:] for row in compact[3].splitlines()], dtype=np.float64)
    if len(forces) != len(geometry.species):
        raise AssayError(
            f"{where} has {len(geometry.species)} atoms, and forces of {len(forces)} behind it: check what "
            f"{_PROGRAM} wrote"
        )
    is_open = geometry.cell is None
    told: dict[str, Any] = dict(info)
    told |= {"energy": float(compact[1])} if _CONVERGED.search(part) else {"converged": False}
    stress = None if is_open else _STRESS.search(part)
    if stress is not None:
        told["stress"] = _stress(stress, where)
    return Frame(
        where,
        "",
        "",
        np.array([numbers[name] for name in geometry.species], dtype=np.int64),
        geometry.positions,
        geometry.cell,
        np.full(3, not is_open),
        told,
        {"forces": forces},
        is_told_open=is_open,
        calculator=calculator_of(_PROGRAM, None),
    )


def _stress(table: re.Match[str], where: str) -> np.ndarray:
    """A stress (3, 3), eV/angstrom^3, positive under tension, of which the pressure is minus a third of the trace."""
    stress = np.array([row.replace("|", " ").split()[1:] for row in table[1].splitlines()], dtype=np.float64)
    if abs(np.trace(stress) / 3 + float(table[2])) > 1e-6:
        raise AssayError(f"{where} has a stress that is not of the pressure below it: check what {_PROGRAM} wrote")
    return stress
