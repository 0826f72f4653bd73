"""Labels in outputs of Gaussian, structure by structure: ASE takes the first energy of a job for that of the forces."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.units import Bohr, Hartree

from assay.data.frames import Frame, calculator_of
from assay.data.outputs import LAYOUT, CutOff, OutputFile, Step, outside
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError

_PROGRAM = "Gaussian"
_JOB = re.compile(r"(?m)^ Entering Gaussian System.*|^ Normal termination of Gaussian.*")
_TABLE = re.compile(
    r"(?m)^[ \t]+(?:Input|Z-Matrix) orientation:[ \t]*(?:\n[ \t]*-+[ \t]*\n.*\n.*\n[ \t]*-+[ \t]*\n"
    r"((?:[ \t]*\d+[ \t]+-?\d+[ \t].*\n)+)(?=[ \t]*-+[ \t]*\n))?"
)
_STANDARD = re.compile(r"(?m)^[ \t]+Standard orientation:")
_FORCES = re.compile(r"(?m)^.*\bForces \(Hartrees/Bohr\)")
_ROWS_OF_FORCES = re.compile(
    r".*\n.*\n[ \t]*-+[ \t]*\n((?:[ \t]*\d+[ \t]+-?\d+[ \t].*\n)+)[ \t]*-+[ \t]*\n"
    r"[ \t]*Cartesian Forces:.*\bRMS[ \t]+(\d\S+)"
)
_ENDED = re.compile(r"(?m)^ (?:Normal termination|Error termination|Convergence failure)")
_MOLECULE = re.compile(r"(?m)^ *Charge = *([-+]?\d+) Multiplicity = *(\d+)(?: in supermolecule)?[ \t]*$")
_ENERGY = re.compile(r"SCF Done: +E\(\S+\) *= *(\S+)")
_OF_TWO_BODIES = re.compile(r"(?m)^ *E2\S* *= *\S+ +E(?:UMP2|\(\w+\)) *= *(\S+)")
_ROUGH = "Convergence criterion not met"
_OF_OTHERS = re.compile(
    r"Excited State +\d+:|Total Energy, E\(|EUMP3|E\(C(?:ORR|orr)\)|E\(VAR1\)|E\(CIS\(D\)\)|CCSD\(T\) *=|"
    r"\bBD energy|\bMCSCF\b"
)
_OUTSIDE = re.compile(
    r"(?m)The following finite field\(s\) will be applied|Sum of input charges|Background charge distribution|"
    r"^ *ONIOM: .*|^ *Counterpoise: .*"
)
_GHOST = re.compile(r"(?m)^ *(?:[A-Z][a-z]?-)?Bq\b")
_DUMMY, _VECTOR = -1, -2
_NINE_DECIMALS = 2e-9  # by which the root mean square of a table is rounded


class _Table(NamedTuple):
    """A table of coordinates in the orientation of the input, which is that of the forces.

    Attributes:
        rows: its rows: place, atomic number, type, and x, y and z.
        molecule: the charge and the multiplicity that its job tells before it.
        behind: the text up to the next table of its job.
    """

    rows: Sequence[str]
    molecule: dict[str, int]
    behind: str


def open_gaussian(path: Path) -> OutputFile:
    """An output of Gaussian whose labels are wanted.

    The energy is that of the self-consistent field, with the correlation of MP2 and double hybrids, and forces are
    those of the table behind it. A structure without that table has forces that are not numbers.
    """
    return OutputFile(path, _PROGRAM, partial(_steps, path), layout=LAYOUT._replace(has_gaps=True))


def _steps(path: Path) -> Iterator[Step]:
    with open_text(path) as file:
        text = file.read()
    said = _OUTSIDE.search(text)
    if said is not None:
        raise outside(path, _PROGRAM, said[0])
    has_ghosts = _GHOST.search(text) is not None
    n_read, n_turned = 0, 0
    begins = [0, *(begin.start() for begin in _JOB.finditer(text)), len(text)]
    for begin, end in pairwise(begins):
        job = text[begin:end]
        tables = list(_TABLE.finditer(job))
        n_turned += len(_FORCES.findall(job, 0, tables[0].start() if tables else len(job)))
        for table in _tables(job, tables, is_last=end == len(text)):
            n_read += 1
            yield partial(_frame, table, has_ghosts)
    if n_turned and not n_read:
        raise AssayError(
            f"{path} tells positions in standard orientation alone, and forces in that of the input: run it again with "
            "Geom=PrintInputOrient"
        )
    if n_turned:
        warnings.warn(
            f"{n_turned} structures of {path} are left out, because their positions are in standard orientation alone, "
            "and their forces in that of the input",
            stacklevel=2,
        )


def _tables(job: str, tables: Sequence[re.Match[str]], is_last: bool) -> Iterator[_Table]:
    """The tables of a job behind which something was computed.

    Raises:
        CutOff: the last one, or what was computed, is there in part.
    """
    for table, after in zip_longest(tables, tables[1:]):
        end = len(job) if after is None else after.start()
        behind = job[table.end() : end]
        is_open = is_last and end == len(job) and _ENDED.search(behind) is None
        if table[1] is None or (is_open and not any(_rows_of_forces(behind))):
            raise CutOff
        if _ENERGY.search(behind) is None and _FORCES.search(behind) is None:
            continue
        told = [*_MOLECULE.finditer(job, 0, table.start())][-1:]
        molecule = {name: int(one[k]) for one in told for k, name in enumerate(("charge", "multiplicity"), 1)}
        yield _Table(table[1].splitlines(), molecule, behind)


def _frame(table: _Table, has_ghosts: bool, where: str) -> Frame:
    numbers = _numbers(table.rows)
    if (numbers == _VECTOR).any():
        raise AssayError(
            f"{where} is periodic, which is not read of Gaussian: write it as extended XYZ with its `Lattice`"
        )
    if has_ghosts or (numbers == 0).any():
        raise AssayError(f"{where} has ghost atoms, whose functions lower its energy: label it without them")
    numbers = numbers[is_atom := numbers != _DUMMY]
    forces = _forces(table.behind, numbers, where)
    info: dict[str, float] = dict(table.molecule)
    energy_Eh = _energy_Eh(table.behind, where, is_label=not any(np.isnan(of).any() for of in forces.values()))
    if energy_Eh is None:
        info["converged"] = False
    else:
        info["energy"] = energy_Eh * Hartree
    return Frame(
        where,
        "",
        "",
        numbers,
        _three_each(table.rows, n_decimals=6)[is_atom],
        None,
        np.zeros(3, dtype=bool),
        info,
        forces,
        is_told_open=True,
        calculator=calculator_of("gaussian", None),
    )


def _energy_Eh(behind: str, where: str, is_label: bool) -> float | None:
    """The energy behind a table; None of electrons that are not converged.

    Args:
        behind: the text behind the table.
        where: how errors name it.
        is_label: whether it must be that of forces, or of an atom alone.
    """
    other = _OF_OTHERS.search(behind)
    if other is not None and is_label:
        raise AssayError(
            f"{where} has `{other[0]}` behind it, and such energies are not read of Gaussian: write it as extended XYZ "
            "with the energy that its forces are of"
        )
    fields = list(_ENERGY.finditer(behind))
    is_rough = [_ROUGH in behind[begin:end] for begin, end in pairwise([0, *(field.start() for field in fields)])]
    if not fields or is_rough[-1]:
        return None
    told = {_number(field[1]) for field, rough in zip(fields, is_rough, strict=True) if not rough}
    told = {_number(energy[1]) for energy in _OF_TWO_BODIES.finditer(behind)} or told
    if len(told) > 1 and is_label:
        raise AssayError(f"{where} has {len(told)} energies behind it, and its output does not tell which is its own")
    return told.pop()


def _numbers(rows: Sequence[str]) -> np.ndarray:
    """The second column (N,) int64: atomic numbers, and those of what is no atom."""
    return np.array([int(row.split()[1]) for row in rows], dtype=np.int64)


def _three_each(rows: Sequence[str], n_decimals: int) -> np.ndarray:
    """The last three columns (N, 3) float64, between which nothing stands where numbers are large."""
    number = re.compile(rf"-?\d+\.\d{{{n_decimals}}}")
    return np.array([number.findall(row) for row in rows], dtype=np.float64).reshape(-1, 3)


def _number(text: str) -> float:
    """A number as Fortran writes it."""
    return float(text.replace("D", "e"))


def _rows_of_forces(behind: str) -> list[re.Match[str] | None]:
    """The tables of forces behind a table of coordinates; None for one that is there in part."""
    return [_ROWS_OF_FORCES.match(behind, found.start()) for found in _FORCES.finditer(behind)]


def _forces(behind: str, numbers: np.ndarray, where: str) -> dict[str, np.ndarray]:
    """The ``forces`` (N, 3), eV/angstrom, NaN where they are not told; none of a lone atom."""
    found = _rows_of_forces(behind)
    if not found:
        return {"forces": np.full((len(numbers), 3), np.nan)} if len(numbers) > 1 else {}
    if len(found) > 1 or len(_STANDARD.findall(behind)) > 1:
        raise AssayError(f"{where} has several geometries or forces behind it, and its output does not tell its own")
    if found[0] is None:
        raise AssayError(f"{where} has a table of forces that cannot be read: check what Gaussian wrote there")
    rows = found[0][1].splitlines()
    if not np.array_equal(_numbers(rows), numbers):
        raise AssayError(f"{where} has forces of other atoms behind it: check what Gaussian wrote there")
    forces = _three_each(rows, n_decimals=9)
    if not abs(np.sqrt(np.mean(forces**2)) - float(found[0][2])) <= _NINE_DECIMALS:
        raise AssayError(
            f"{where} has forces that are not of the root mean square that stands below them: check what Gaussian wrote"
        )
    return {"forces": forces * Hartree / Bohr}
