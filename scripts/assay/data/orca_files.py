"""Outputs of ORCA, structure by structure: ASE reads the last of a job, and none where no number of atoms is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers
from ase.units import Bohr, Hartree

from assay.data.frames import Frame
from assay.data.outputs import LAYOUT, CutOff, OutputFile, Step, ghosts, molecule, outside, several_energies
from assay.data.passed_over import charge_of, cut_off, not_read
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError

_PROGRAM = "ORCA"
_TITLE = "CARTESIAN COORDINATES (ANGSTROEM)"
_TABLE = re.compile(rf"(?m)^{re.escape(_TITLE)}(?:[ \t]*\n[-\t ]+\n((?:[ \t]*\S.*\n)+)(?=[ \t]*\n))?")
_CHARGE_OR_MULTIPLICITY = re.compile(r"(?:Total Charge\s+Charge|Multiplicity\s+Mult)\s+\.+.*")
_GHOST = re.compile(r"\s*\w+\s*:")
_GHOST_OF_INPUT = re.compile(r"(?m)^\|\s*\d+>\s*[A-Za-z]{1,2}\s*:(?:\s*[-+.\d]+){3}.*")
_BEGIN = re.compile(r"(?m)^.*(?:\* O   R   C   A \*|\bJOB NUMBER\b|\bCOMPOUND JOB\b)")
_END = "ORCA TERMINATED NORMALLY\n"
_ENDED = re.compile(r"ORCA (?:TERMINATED|finished by error)|aborting the run")
_ENERGY = re.compile(r"(?m)^FINAL SINGLE POINT ENERGY[ \t]+(.*)$")
_WITH_DIGITS = re.compile(r"(-?\d+\.\d{6,})(?:\s+(\D.*))?\s*")
_CYCLES = re.compile(r"SCF (NOT )?CONVERGED AFTER")
_GRADIENT = re.compile(
    r"(?m)^CARTESIAN GRADIENT[ \t]*\n-+[ \t]*\n\s*?\n((?:[ \t]*\d+[ \t]+[A-Za-z]+[ \t]*:.*\n)+)(?:(?!^-{10}).*\n)*?"
    r"Norm of the [cC]artesian gradient\s+\.+\s+(\S+)"
)
_OF_CORRELATION = "The final MP2 gradient"
_NINE_DECIMALS = 1e-7  # by which the norm of a table of some hundred atoms is rounded
_OUTSIDE = re.compile(
    r"^\|\s*\d+>[^#\n]*?(?P<a>%\s*pointcharges|\bQM/?MM\d?\b|\bONIOM\w*|\bDELTASCF\b|\bnroots\s+(?!1\b)\d+)|"
    r"^\|\s*\d+>\s*!.*?(?P<b>\bQM/\w+)|^\|\s*\d+>\s*(?P<c>Q\s+[-+.\d].*)|"
    r"^\|\s*\d+>[^#\n]*?(?P<d>\bE(?:lectric)?Field\b[\s=]*(?:[-+]?[0.]+[\s,]+)*[-+]?[0.]*[1-9].*)|"
    r"(?P<e>TD-?DFT\S* EXCITED STATES|^\s*ORCA (?:CIS|TD-?DFT)\S*.* CALCULATION|CONSTRAINED CARTESIAN COORDINATES)",
    re.IGNORECASE | re.MULTILINE,
)
_OTHER_SPIN = re.compile(r"(?im)^\|\s*\d+>[^#\n]*\b(?:BrokenSym|FlipSpin|FinalMs)\b")


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


def open_orca(path: Path) -> OutputFile:
    """An output of ORCA whose labels are wanted.

    The energy is the final one, with dispersion and other corrections, and forces are those of the cartesian gradient
    behind it. A structure without a gradient, as the last of an optimization, has forces that are not numbers.
    """
    return OutputFile(path, _PROGRAM, partial(_steps, path), layout=LAYOUT._replace(has_gaps=True))


def _tables(text: str, path: Path) -> Iterator[_Table]:
    """The tables of coordinates. The charge of a step that tells none is that of the step of its job before.

    Raises:
        CutOff: the last one is there in part.
    """
    tables = list(_TABLE.finditer(text))
    ghost = _GHOST_OF_INPUT.search(text)
    if ghost is not None and not any(map(_GHOST.match, "".join(table[1] or "" for table in tables).splitlines())):
        raise not_read(path, ghost[0])
    told: list[str] = []
    before: list[str] = []
    place = 0
    for table, end in zip(tables, [*(table.start() for table in tables[1:]), len(text)], strict=True):
        if table[1] is None:
            raise CutOff
        rows = table[1].splitlines()
        atoms = [row for row in rows if not _GHOST.match(row)]
        symbols = [row.split()[0] for row in atoms]
        for symbol, row in zip(symbols, atoms, strict=True):
            if symbol not in atomic_numbers:
                raise not_read(path, row)
        is_of_job = symbols == before and _BEGIN.search(text, place, table.start()) is None
        told = _CHARGE_OR_MULTIPLICITY.findall(text, table.end(), end) or (told if is_of_job else [])
        before, place = symbols, table.end()
        yield _Table(atoms, told, len(rows) - len(atoms), text[table.end() : end], end == len(text))


def _steps(path: Path) -> Iterator[Step]:
    """The structures with what was computed of them."""
    with open_text(path) as file:
        text = file.read()
    said, is_flipped = _OUTSIDE.search(text), _OTHER_SPIN.search(text) is not None
    for table in _tables(text, path):
        if table.is_last and _GRADIENT.search(table.behind) is None and _ENDED.search(table.behind) is None:
            raise CutOff
        if said is not None:
            raise outside(path, _PROGRAM, next(filter(None, said.groups())))
        yield partial(_frame, table, is_flipped, path)


def _frame(table: _Table, is_flipped: bool, path: Path, where: str) -> Frame:
    rows = [row.split() for row in table.atoms]
    if table.n_ghosts:
        raise ghosts(where)
    info = charge_of("orca-output", "\n".join(table.told), path)
    if is_flipped:  # the multiplicity of the settings is that of the state before
        info.pop("multiplicity", None)
    numbers = np.array([atomic_numbers[row[0]] for row in rows], dtype=np.int64)
    positions = np.array([row[1:4] for row in rows], dtype=np.float64)
    forces = _forces(table.behind, [row[0] for row in rows], where)
    return molecule(where, numbers, positions, _energy_Eh(table.behind, where), info, forces, _PROGRAM)


def _energy_Eh(behind: str, where: str) -> float | None:
    """The energy behind a table; None of electrons that are not converged or were not iterated.

    Raises:
        ValueError: it is no number with all digits.
    """
    told = set(_ENERGY.findall(behind))
    if len(told) > 1:
        raise several_energies(where, len(told))
    if not told:
        return None
    found = _WITH_DIGITS.fullmatch(text := told.pop())
    if found is None:
        raise ValueError(f"`{text}` is no energy")
    cycles = _CYCLES.findall(behind)
    is_rough = bool(cycles and cycles[-1]) or re.search(r"not .*converged", found[2] or "") is not None
    return None if is_rough or float(found[1]) == 0.0 else float(found[1])


def _forces(behind: str, symbols: Sequence[str], where: str) -> dict[str, np.ndarray]:
    """The ``forces`` (N, 3), eV/angstrom, NaN where the gradient is not told or that of a part; none of a lone atom."""
    found = list(_GRADIENT.finditer(behind))
    if not found or _OF_CORRELATION in behind:
        return {"forces": np.full((len(symbols), 3), np.nan)} if len(symbols) > 1 else {}
    if len({gradient[1] for gradient in found}) > 1:
        raise AssayError(f"{where} has {len(found)} gradients behind it, and its output does not tell which is its own")
    rows = [row.split() for row in found[-1][1].splitlines()]
    if [row[1] for row in rows] != list(symbols):
        raise AssayError(f"{where} has a gradient of other atoms behind it: check what ORCA wrote there")
    gradient = np.array([row[3:6] for row in rows], dtype=np.float64)
    if not abs(np.linalg.norm(gradient) - float(found[-1][2])) <= _NINE_DECIMALS:
        raise AssayError(f"{where} has a gradient that is not of the norm that stands below it: check what ORCA wrote")
    return {"forces": -gradient * Hartree / Bohr}
