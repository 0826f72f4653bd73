"""Labels in outputs of FHI-aims, step by step: ASE reads none of an output that ends early."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assay.data.frames import Frame
from assay.data.outputs import CutOff, OutputFile, Step, computed, ghosts, leave_out, outside, pass_over_cut
from assay.data.passed_over import charge_of
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError

_PROGRAM = "FHI-aims"
_RUN = re.compile(r"(?m)^[ \t]*Invoking FHI-aims \.\.\.")
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
    r"(?m)^[ \t]*(?:Final a|A)tomic structure (?:\(and velocities\) as|that was) used in the preceding time step.*\n"
    rf"{_ROWS}"
)
_RESTARTED = "Input geometry read from MD restart information"
_MOVES = re.compile(
    r"(?m)^[ \t]*(?:Molecular dynamics: Attempting to update|(?:MD_run|MD_schedule|use_pimd_wrapper)\b)"
)
_BETWEEN = "Intermediate atomic structure used for"  # of integrators of higher order, whose positions are not told
_BEGINS = "Energy and forces in a compact form:"
_FREE_ENERGY = r"[ \t]*\| Electronic free energy[ \t]*:[ \t]*(\S+) eV[ \t]*\n"
_COMPACT = re.compile(
    rf"(?m)^[ \t]*{_BEGINS}[ \t]*\n(?:.*\n){{0,4}}?{_FREE_ENERGY}[ \t]*Total atomic forces (.*) \[eV/Ang\]:[ \t]*\n"
    r"((?:[ \t]*\|[ \t]*[\d*]+(?:[ \t]+[-+.\dE]+){3}[ \t]*\n)+)"
)
_WITHOUT_FORCES = re.compile(rf"(?m)^[ \t]*{_BEGINS}[ \t]*\n(?:.*\n){{0,4}}?{_FREE_ENERGY}(?![ \t]*Total)")
_GRADIENTS = ("(unitary forces cleaned)", "(derivative of free energy)")
_TENSOR = "Analytical stress tensor - Symmetrized"
_STRESS = re.compile(
    rf"{_TENSOR}.*\n(?:.*\n){{4}}((?:[ \t]*\|[ \t]*[xyz](?:[ \t]+[-\d.]+){{3}}[ \t]*\|[ \t]*\n){{3}})(?:.*\n){{0,2}}?"
    r"[ \t]*\|[ \t]*Pressure:[ \t]+(\S+)"
)
_SPECIES = re.compile(
    r"(?m)^[ \t]*Reading configuration options for species (\S+)(?:.*\n){1,9}?"
    r"[ \t]*\| Found nuclear charge[ \t]*:[ \t]*(\S+)"
)
_OUTSIDE = re.compile(
    r"(?im)^[ \t]*((?:(?:total_energy_method|constrain_relaxation|deltascf|plumed|qmmm|force_occupation_\w+|"
    r"constraint_\w+|compute_numerical_stress|use_potential_constrain|ll_vdwdf)[ \t]+(?!\.false\.)[.\w]|"
    r"(?:homogeneous_field|multipole|external_force|external_pressure)[ \t]+(?:[-+0. \t]*[1-9])).*)$"
)
_SHORTENED = (2, 6)  # letters of a name that versions print in the first geometry


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
    """The steps with forces of all runs in a file."""
    with open_text(path) as file:
        text = file.read()
    found = False
    for begin, end in pairwise([0, *(run.start() for run in list(_RUN.finditer(text))[1:]), len(text)]):
        try:
            for step in _steps_of_run(text[begin:end], path):
                found = True
                yield step
        except CutOff:
            pass_over_cut(path, end == len(text))
    if not found and _LOOP.search(text):
        raise AssayError(f"{path} has no forces: set `compute_forces .true.` in control.in, and run it again")


def _steps_of_run(text: str, path: Path) -> Iterator[Step]:
    """The steps of a run; positions of dynamics stand behind the forces, others before.

    Raises:
        CutOff: the last one is there in part.
    """
    if _GHOSTS.search(text):
        raise ghosts(str(path))
    said, numbers, info = _OUTSIDE.search(text), _numbers(text), charge_of("aims-output", text, path)
    before = _of_input(text)
    is_stale, moves = _RESTARTED in text, _MOVES.search(text) is not None
    for begin, end in pairwise([*(loop.start() for loop in _LOOP.finditer(text)), len(text)]):
        part = text[begin:end]
        is_cut = end == len(text) and _ENDED not in part
        compact, moved = _COMPACT.search(part), _OF_DYNAMICS.search(part)
        if compact is None and is_cut and _WITHOUT_FORCES.search(part) is None:
            raise CutOff
        if compact is None and _BEGINS in part and _WITHOUT_FORCES.search(part) is None:
            raise AssayError(
                f"{path} has forces in a compact form that cannot be read: check what {_PROGRAM} wrote there"
            )
        is_of_mixer = (
            _CONVERGED.search(part) is None and end < len(text) and moved is None and not _UPDATED.search(part)
        )
        if compact is not None and not is_of_mixer:
            if said is not None or compact[2] not in _GRADIENTS:
                raise outside(path, _PROGRAM, compact[2] if said is None else said[1])
            geometry = before if moved is None else _of_table(moved[1], before)
            is_short = geometry is not None and compact[3].count("\n") < len(geometry.species)
            if is_cut and (is_short or (moved is None and (is_stale or moves))):
                raise CutOff
            if _BETWEEN in part:
                leave_out(path, "its positions are not told")
            elif moved is None and (is_stale or moves):
                raise AssayError(f"{path} does not tell the positions of one of its steps: label its structures again")
            else:
                yield partial(_frame, geometry, compact, part, numbers, info)
            is_stale = True
        updated = list(_UPDATED.finditer(part))
        if updated:
            before, is_stale = _of_table(updated[-1][1], before), False


def _numbers(text: str) -> dict[str, float]:
    """The nuclear charges of species by name, and by what is left of it in the first geometry, unless they differ."""
    told: dict[str, set[float]] = {}
    names = dict(_SPECIES.findall(text))
    for name, charge in names.items():
        for word in {name, *(name[:length] for length in _SHORTENED)}:
            told.setdefault(word, set()).add(float(charge))
    short = {name: charges.pop() for name, charges in told.items() if len(charges) == 1}
    return short | {name: float(charge) for name, charge in names.items()}


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
    numbers: Mapping[str, float],
    info: Mapping[str, float],
    where: str,
) -> Frame:
    if geometry is None:
        raise AssayError(f"{where} does not tell its positions: let FHI-aims write its input geometry")
    for name in geometry.species:
        if name not in numbers:
            raise AssayError(
                f"{where} does not tell the nuclear charge of `{name}`: give the whole output of {_PROGRAM}"
            )
        if not numbers[name].is_integer() or numbers[name] < 1:
            raise AssayError(
                f"{where} has a species {name} with a nuclear charge of {numbers[name]:g}, which is no element"
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
    if not is_open and _TENSOR in part:
        told["stress"] = _stress(_STRESS.search(part), where)
    elements = np.array([int(numbers[name]) for name in geometry.species], dtype=np.int64)
    pbc = np.full(3, not is_open)
    return computed(where, elements, geometry.positions, geometry.cell, pbc, told, {"forces": forces}, _PROGRAM)


def _stress(table: re.Match[str] | None, where: str) -> np.ndarray:
    """A stress (3, 3), eV/angstrom^3, positive under tension, of which the pressure is minus a third of the trace."""
    if table is not None:
        stress = np.array([row.replace("|", " ").split()[1:] for row in table[1].splitlines()], dtype=np.float64)
        if abs(np.trace(stress) / 3 + float(table[2])) < 1e-6:
            return stress
    raise AssayError(f"{where} has a stress that is not of the pressure below it: check what {_PROGRAM} wrote")
