"""Outputs of pw.x of Quantum ESPRESSO: structure, charge, energy, forces and stress of each ionic step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers
from ase.io.espresso import get_atomic_positions, get_cell_parameters, label_to_symbol
from ase.units import Bohr, Rydberg

from assay.data.frames import Frame, calculator_of
from assay.data.outputs import CutOff, OutputFile, Step, leave_out, outside
from assay.runtime.charges import is_whole
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError

_PROGRAM, _BANNER, _DONE = "Quantum ESPRESSO", "Program PWSCF v", "JOB DONE."
_ITERATIONS, _AXES, _SITES = "Self-consistent Calculation", "crystal axes:", "positions (alat units)"
_CARDS = _CELL, _POSITIONS = ("CELL_PARAMETERS", "ATOMIC_POSITIONS")
_FORCES, _STRESS, _STRESS_FOLLOWS = "Forces acting on atoms", "total   stress", "Computing stress"
_ENERGY = re.compile(r"!+\s+total energy\s+=\s*(\S+) Ry")
_EXACT, _OF_EXACT_EXCHANGE = "!!", "EXX-fraction"
_ACCURACY = re.compile(r"estimated scf accuracy\s+<\s*(\S+) Ry")
_TWO_DIGITS, _EIGHT_DECIMALS_Ry = 1.06, 1e-8  # by which a threshold and an accuracy are rounded
_SETTINGS: Mapping[str, re.Pattern[str]] = {
    "alat": re.compile(r"celldm\(1\)=\s*(\S+)"),
    "n_atoms": re.compile(r"number of atoms/cell\s+=\s*(\d+)"),
    "n_electrons": re.compile(r"number of electrons\s+=\s*([\d.]+)"),
    "threshold": re.compile(r"scf convergence threshold\s+=\s*(\S+)"),
}
_FUNCTIONAL = re.compile(r"Exchange-correlation\s*=\s*(.*\S)")
_SPECIES = re.compile(r"atomic species\s+valence\s+mass\s+pseudopotential\s*\n((?:.*\S.*\n)+)")
_ONE = re.compile(r"\s*(\S+)\s+([\d.]+)\s+[\d.]+\s+([A-Za-z]+)\S*?\s*\(\s*1\.00\)\s*")
_SITE = re.compile(r"\s*\d+\s+(\S+)\s+tau\(.*\)\s*=\s*\(((?:\s*-?\d+\.\d{7}){3})\s*\)\s*")
_AXIS = re.compile(r"\s*a\(\d\)\s*=\s*\(((?:\s*-?\d+\.\d{6}){3})\s*\)\s*")
_FORCE = re.compile(r"\s*atom.*force\s*=((?:\s*-?\d+\.\d{8}){3})\s*")
_STRESS_ROW = re.compile(r"((?:\s*-?\d+\.\d{8,}){3})(?:\s*-?\d+\.\d+){3}\s*")
_NUMBER = re.compile(r"-?\d+\.\d+")
_ELSEWHERE = "Atomic positions from file used, from input discarded"  # below the positions of the input
_OUTSIDE = re.compile(
    r"E field amplitude.*:\s*(?!0\.0+E)\S+|Using Berry phase electric field|field strength\s+=.*|"
    r"Adding charged plate|constraint energy \(Ryd?\)|External forces energy|External magnetic field|"
    r"\bFCP (?:optimi[sz]er|dynamics|optimi[sz]ation)|Target Fermi energy|Occupations read from input|"
    r"^alpha\(\s*\d+\)\s*=\s*(?!0\.0+\s)\S+",
    re.IGNORECASE | re.MULTILINE,
)


class _Run(NamedTuple):
    """What a run says before its first electronic step.

    Attributes:
        settings: numbers, by the keys of ``_SETTINGS``, as far as they are told.
        species: the element and the valence of each label of atoms.
        axes: the rows of the cell with which it begins.
        functional: its name; "" if it is not told.
        is_hybrid: whether that has exact exchange.
    """

    settings: Mapping[str, float]
    species: Mapping[str, tuple[str, float]]
    axes: Sequence[str]
    functional: str
    is_hybrid: bool

    @property
    def alat_A(self) -> float:
        """The unit of length of the structure with which the run begins."""
        return self.settings["alat"] * Bohr

    def charge_of(self, labels: Sequence[str]) -> float | None:
        """The total charge; None where it is not told."""
        if "n_electrons" not in self.settings or not self.species.keys() >= set(labels):
            return None
        return round(sum(self.species[label][1] for label in labels) - self.settings["n_electrons"], 2)

    def number_of(self, label: str) -> int:
        """The atomic number that a label stands for: that of its pseudopotential, else of its first letters."""
        element = self.species.get(label, ("", 0.0))[0]
        return int(atomic_numbers[element if element in atomic_numbers else label_to_symbol(label)])


def open_espresso(path: Path, labelled: bool) -> OutputFile:
    """An output of pw.x.

    The energy is that which forces are the gradient of: the free one where occupations are smeared. Elements are those
    of the pseudopotentials, whatever the labels of atoms.

    Args:
        path: the file.
        labelled: whether energies, forces and stresses are wanted.
    """
    return OutputFile(path, _PROGRAM, partial(_steps, path, labelled))


def _steps(path: Path, labelled: bool) -> Iterator[Step]:
    """The complete ionic steps; those of a hybrid functional have several rounds of electronic steps.

    Without labels the structure of a run of bands is one, too.
    """
    run: _Run | None = None
    before: list[str] = []
    block: list[str] | None = None
    with open_text(path) as file:
        for line in file:
            is_begin = _BANNER in line
            if block is not None and (is_begin or line.startswith(_CARDS) or _AXES in line):
                assert run is not None
                if is_begin and not _is_whole(block, run):
                    leave_out(path, "its run ends within it")
                else:
                    yield from _step(path, labelled, run, before, block)
                block, before = None, []
            if is_begin:
                yield from _of_bands(path, labelled, run, before)
                run, before = None, []
            elif block is None and line.strip() == _ITERATIONS:
                run = _run_of(before, path, labelled) if run is None else run
                block = []
            (before if block is None else block).append(line)
    if run is not None and block is not None:
        if not _is_whole(block, run):
            raise CutOff
        yield from _step(path, labelled, run, before, block)
    yield from _of_bands(path, labelled, run, before)


def _of_bands(path: Path, labelled: bool, run: _Run | None, before: Sequence[str]) -> Iterator[Step]:
    """The structure of a run without self-consistent steps, where no labels are wanted and it is there as a whole."""
    if not labelled and run is None and any(_SITES in line for line in before):
        run = _run_of(before, path, labelled)
        if sum(_SITE.fullmatch(line) is not None for line in before) >= run.settings.get("n_atoms", np.inf):
            yield from _step(path, labelled, run, before, [])
        else:
            leave_out(path, "its run ends within it")


def _run_of(before: Sequence[str], path: Path, labelled: bool) -> _Run:
    text = "".join(before)
    if labelled:
        _check(text, path)
    found = {name: pattern.search(text) for name, pattern in _SETTINGS.items()}
    settings = {name: float(told[1].replace("D", "E")) for name, told in found.items() if told is not None}
    table = _SPECIES.search(text)
    species: dict[str, tuple[str, float]] = {}
    for row in table[1].splitlines() if table else ():
        told = _ONE.fullmatch(row)
        if told is None or not is_whole(float(told[2])):
            raise AssayError(
                f"{path} has atoms that are there in part, a mixture of elements or hydrogens of a fraction of an "
                f"electron (`{' '.join(row.split())}`), which are none of any element: take it out"
            )
        species[told[1]] = told[3].capitalize(), float(told[2])
    axes = next((before[place + 1 : place + 4] for place, line in enumerate(before) if _AXES in line), [])
    functional = _FUNCTIONAL.search(text)
    name = "" if functional is None else " ".join(functional[1].split())
    return _Run(settings, species, axes, name, _OF_EXACT_EXCHANGE in text)


def _check(text: str, path: Path) -> None:
    """Refuse what a run says of forces that no student knows."""
    said = _OUTSIDE.search(text)
    if said is not None:
        raise outside(path, _PROGRAM, said[0])


def _is_whole(block: Sequence[str], run: _Run) -> bool:
    """Whether the last ionic step of a run has ended: with its run, or with forces, and a stress if any is computed."""
    if any(_DONE in line for line in block):
        return True
    n_atoms, has_stress = int(run.settings["n_atoms"]), any(_STRESS_FOLLOWS in line for line in block)
    try:
        has_forces = _table(block, _FORCES, n_atoms, _FORCE) is not None
        return has_forces and (not has_stress or _table(block, _STRESS, 3, _STRESS_ROW) is not None)
    except ValueError:
        return False


def _table(block: Sequence[str], title: str, count: int, pattern: re.Pattern[str]) -> np.ndarray | None:
    """The numbers (N, 3) of so many rows, but for blank ones, below the last of a title; None if some are missing.

    Raises:
        ValueError: a row does not fit the pattern.
    """
    places = [place for place, line in enumerate(block) if title in line]
    rows = [line for line in block[places[-1] + 1 :] if line.strip()][:count] if places else []
    return _numbers(rows, pattern) if len(rows) == count and rows[-1].endswith("\n") else None


def _numbers(rows: Sequence[str], pattern: re.Pattern[str]) -> np.ndarray:
    """The numbers (N, 3) of the last group of a pattern in rows.

    Raises:
        ValueError: a row does not fit the pattern.
    """
    groups = []
    for row in rows:
        told = pattern.fullmatch(row)
        if told is None:
            raise ValueError(f"`{' '.join(row.split())}` is no row of three numbers")
        groups.append(_NUMBER.findall(told[pattern.groups]))
    return np.array(groups, dtype=np.float64).reshape(-1, 3)


def _step(path: Path, labelled: bool, run: _Run, before: Sequence[str], block: Sequence[str]) -> Iterator[Step]:
    """An ionic step; none where the positions that the output tells are not those that were computed."""
    told = [place for place, line in enumerate(before) if _SITES in line or line.startswith(_POSITIONS)]
    if any(_ELSEWHERE in line for line in before[told[-1] if told else 0 :]):
        leave_out(path, "pw.x continued a run there and does not write at which positions")
        return
    if labelled:
        _check("".join(block), path)
    yield partial(_frame, labelled, run, before, block)


def _frame(labelled: bool, run: _Run, before: Sequence[str], block: Sequence[str], where: str) -> Frame:
    labels, positions, cell = _structure(run, before)
    charge = run.charge_of(labels)
    numbers = np.array([run.number_of(label) for label in labels], dtype=np.int64)
    info = {} if charge is None else {"charge": charge}
    frame = Frame(where, "", "", numbers, positions, cell, np.ones(3, dtype=bool), info)
    return _with_labels(frame, run, block) if labelled else frame


def _with_labels(frame: Frame, run: _Run, block: Sequence[str]) -> Frame:
    info, arrays = dict(frame.info), {}
    forces = _table(block, _FORCES, len(frame.atomic_numbers), _FORCE)
    stress = _table(block, _STRESS, 3, _STRESS_ROW)
    last = max((place for place, line in enumerate(block) if _FORCES in line), default=len(block))
    energies = [told for line in block[:last] if (told := _ENERGY.match(line))]
    if energies:
        info["energy"] = float(energies[-1][1]) * Rydberg
    if not energies or not _is_converged(run, block[:last], energies[-1][0]):
        info["converged"] = False
    if stress is not None:
        info["stress"] = -stress * Rydberg / Bohr**3
    if forces is not None:
        arrays["forces"] = forces * Rydberg / Bohr
    return replace(frame, info=info, arrays=arrays, calculator=calculator_of("espresso", {"xc": run.functional}))


def _is_converged(run: _Run, block: Sequence[str], energy: str) -> bool:
    """Whether the electrons are as good as asked for, also where the run says so after the last step it may make."""
    accuracies = _ACCURACY.findall("".join(block))
    if run.is_hybrid and not energy.startswith(_EXACT):
        return False
    asked_Ry = _TWO_DIGITS * run.settings["threshold"] + _EIGHT_DECIMALS_Ry
    return bool(accuracies) and float(accuracies[-1]) <= asked_Ry


def _structure(run: _Run, before: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The labels of atoms, their positions (N, 3) and the cell (3, 3), angstrom: the last that stand before a step.

    A step without a cell has that with which the run begins.
    """
    labels: list[str] = []
    positions = np.zeros((0, 3))
    cell, n_atoms = run.alat_A * _vectors(run.axes, _AXIS, 3), int(run.settings["n_atoms"])
    for place, line in enumerate(before):
        below = before[place + 1 : place + 1 + n_atoms]
        if _AXES in line:
            cell = run.alat_A * _vectors(before[place + 1 : place + 4], _AXIS, 3)
        elif _SITES in line:
            positions = run.alat_A * _vectors(below, _SITE, n_atoms)
            labels = [row.split()[1] for row in below]
        elif line.startswith(_CELL):
            is_bare = "alat" in line and "=" not in line
            cell = get_cell_parameters(before[place : place + 4], run.alat_A if is_bare else None)[0]
        elif line.startswith(_POSITIONS):
            card = get_atomic_positions([line, *below], n_atoms, cell, run.alat_A)
            labels, positions = [atom[0] for atom in card], np.array([atom[1] for atom in card], dtype=np.float64)
    if not labels:
        raise ValueError("it has no positions")
    return labels, positions, cell


def _vectors(rows: Sequence[str], pattern: re.Pattern[str], count: int) -> np.ndarray:
    found = _numbers(rows, pattern)
    if len(found) != count:
        raise ValueError("its first structure is there in part")
    return found
