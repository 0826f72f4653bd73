"""Outputs of ORCA, structure by structure: ASE reads the last of a job, and none where no number of atoms is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_numbers
from ase.units import Bohr, Hartree

from assay.data.frames import Frame, Layout, calculator_of
from assay.data.outputs import CutOff, OutputFile, Step, outside
from assay.data.passed_over import charge_of, cut_off, not_read
from assay.data.programs import begin_of, program_of
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError

_PROGRAM = "ORCA"
_TITLE = "CARTESIAN COORDINATES (ANGSTROEM)"
_TABLE = re.compile(rf"(?m)^{re.escape(_TITLE)}(?:[ \t]*\n[-\t ]+\n((?:[ \t]*\S.*\n)+)(?=[ \t]*\n))?")
_CHARGE_OR_MULTIPLICITY = re.compile(r"(?:Total Charge\s+Charge|Multiplicity\s+Mult)\s+\.+.*")
_GHOST, _GHOST_OF_INPUT = re.compile(r"\s*\w+\s*:"), re.compile(r"(?m)^\|\s*\d+>\s*[A-Za-z]{1,2}\s*:.*\d")
_END = "ORCA TERMINATED NORMALLY\n"
_ENDED = re.compile(r"ORCA (?:TERMINATED|finished by error)|aborting the run")
_ENERGY = re.compile(r"(?m)^FINAL SINGLE POINT ENERGY\s+(\S+)(.*)$")
_GRADIENT = re.compile(
    r"(?m)^CARTESIAN GRADIENT[ \t]*\n-+[ \t]*\n\s*?\n((?:[ \t]*\d+[ \t]+[A-Za-z]+[ \t]*:.*\n)+)(?:(?!^-{10}).*\n)*?"
    r"Norm of the [cC]artesian gradient\s+\.+\s+(\S+)"
)
_OF_CORRELATION = "The final MP2 gradient"
_NINE_DECIMALS = 1e-7  # by which the norm of a table of some hundred atoms is rounded
_OUTSIDE = re.compile(
    r"(?im)^\|\s*\d+>[^#\n]*?(%\s*pointcharges|\bQM/?MM\d?\b|\bQM/\w+|\bONIOM\w*|\bE(?:lectric)?Field\b.*)|"
    r"(TD-?DFT\S* EXCITED STATES|^\s*ORCA (?:CIS|TD-?DFT)\S*.* CALCULATION)"
)


class _Table(NamedTuple):
    """A table of coordinates.

    Attributes:
        atoms: its rows, without ghost atoms.
        told: the lines that tell the charge and the multiplicity.
        n_ghosts: how many ghost atoms it has.
        behind: the text up to the next table.
        is_last: whether no other one follows.
    """

    atoms: Sequence[str]
    told: Sequence[str]
    n_ghosts: int
    behind: str
    is_last: bool


def structures_of(text: str, path: Path) -> Iterator[str]:
    """An output for each table of coordinates, with the charge and multiplicity of its job, and without ghost atoms.

    Raises:
        AssayError: it ends within a structure, has others than atoms and ghosts, such as cores without electrons that
            embed a cluster, or does not tell which atoms are ghosts.
    """
    if _TABLE.search(text) is None:
        yield text
    try:
        for table in _tables(text, path):
            told = [f"Number of atoms ... {len(table.atoms)}", _TITLE, "---", *table.atoms, "", *table.told, _END]
            yield "\n".join(told)
    except CutOff:
        raise cut_off(path) from None


def open_orca(path: Path) -> OutputFile | None:
    """An output of ORCA whose labels are wanted; None of any other file.

    The energy is the final one, with dispersion and other corrections, and forces are those of the cartesian gradient
    behind it. A structure without a gradient, as the last of an optimization, has forces that are not numbers.
    """
    if program_of(begin_of(path)) != _PROGRAM:
        return None
    layout = Layout(leaves_out_unconverged=True, has_usual_units=True, has_gaps=True)
    return OutputFile(path, _PROGRAM, partial(_steps, path), layout=layout)


def _tables(text: str, path: Path) -> Iterator[_Table]:
    """The tables of coordinates. The charge of a step that tells none is that of the step before with the same atoms.

    Raises:
        CutOff: the last one is there in part.
    """
    tables = list(_TABLE.finditer(text))
    ghost = _GHOST_OF_INPUT.search(text)
    if ghost is not None and not any(map(_GHOST.match, "".join(table[1] or "" for table in tables).splitlines())):
        raise not_read(path, ghost[0])
    told: list[str] = []
    before: list[str] = []
    for table, end in zip(tables, [*(table.start() for table in tables[1:]), len(text)], strict=True):
        if table[1] is None:
            raise CutOff
        rows = table[1].splitlines()
        atoms = [row for row in rows if not _GHOST.match(row)]
        symbols = [row.split()[0] for row in atoms]
        for symbol, row in zip(symbols, atoms, strict=True):
            if symbol not in atomic_numbers:
                raise not_read(path, row)
        told = _CHARGE_OR_MULTIPLICITY.findall(text, table.end(), end) or (told if symbols == before else [])
        before = symbols
        yield _Table(atoms, told, len(rows) - len(atoms), text[table.end() : end], end == len(text))


def _steps(path: Path) -> Iterator[Step]:
    """The structures with what was computed of them."""
    with open_text(path) as file:
        text = file.read()
    said = _OUTSIDE.search(text)

    def _check() -> None:
        if said is not None:
            raise outside(path, _PROGRAM, said[1] or said[2])

    for table in _tables(text, path):
        if table.is_last and _GRADIENT.search(table.behind) is None and _ENDED.search(table.behind) is None:
            raise CutOff
        yield Step(_check, partial(_frame, table, path))


def _frame(table: _Table, path: Path, where: str) -> Frame:
    rows = [row.split() for row in table.atoms]
    energies = _ENERGY.findall(table.behind)
    if len({value for value, _ in energies}) > 1:
        raise AssayError(
            f"{where} has {len(energies)} energies behind it, and its output does not tell which is its own"
        )
    if table.n_ghosts:
        raise AssayError(f"{where} has ghost atoms, whose functions lower its energy: label it without them")
    info: dict[str, Any] = dict(charge_of("orca-output", "\n".join(table.told), path))
    if energies:
        info["energy"] = float(energies[-1][0]) * Hartree
    if not energies or "not fully converged" in energies[-1][1] or info["energy"] == 0.0:
        info["converged"] = False
    return Frame(
        where,
        "",
        "",
        np.array([atomic_numbers[row[0]] for row in rows], dtype=np.int64),
        np.array([row[1:4] for row in rows], dtype=np.float64),
        None,
        np.zeros(3, dtype=bool),
        info,
        _forces(table.behind, [row[0] for row in rows], where),
        is_told_open=True,
        calculator=calculator_of("orca", None),
    )


def _forces(behind: str, symbols: Sequence[str], where: str) -> dict[str, np.ndarray]:
    """The ``forces`` (N, 3), eV/angstrom, NaN where the gradient is not told or that of a part; none of a lone atom."""
    found = list(_GRADIENT.finditer(behind))
    if not found or _OF_CORRELATION in behind:
        return {"forces": np.full((len(symbols), 3), np.nan)} if len(symbols) > 1 else {}
    rows = [row.split() for row in found[-1][1].splitlines()]
    if [row[1] for row in rows] != list(symbols):
        raise AssayError(f"{where} has a gradient of other atoms behind it: check what ORCA wrote there")
    gradient = np.array([row[3:6] for row in rows], dtype=np.float64)
    if not abs(np.linalg.norm(gradient) - float(found[-1][2])) <= _NINE_DECIMALS:
        raise AssayError(f"{where} has a gradient that is not of the norm that stands below it: check what ORCA wrote")
    return {"forces": -gradient * Hartree / Bohr}
