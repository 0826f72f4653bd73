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

from assay.data.frames import Frame
from assay.data.outputs import LAYOUT, OutputFile, Step, ghosts, molecule, outside, pass_over_cut, several_energies
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError

_PROGRAM = "Gaussian"
_END_OF_JOB = "Normal termination of Gaussian"
_JOB = re.compile(rf"Entering (?:Gaussian System|Link 1 =).*|(?m:^) {_END_OF_JOB}.*")
_TABLE = re.compile(
    r"(?m)^[ \t]+(Input|Z-Matrix|Standard) orientation:[ \t]*(?:\n[ \t]*-+[ \t]*\n.*\n.*\n[ \t]*-+[ \t]*\n"
    r"((?:[ \t]*\d+[ \t]+-?\d+[ \t].*\n)+)(?=[ \t]*-+[ \t]*\n))?"
)
_STANDARD = "Standard"
_FORCES = re.compile(r"(?m)^.*\bForces \(Hartrees/Bohr\)")
_ROWS_OF_FORCES = re.compile(
    r".*\n.*\n[ \t]*-+[ \t]*\n((?:[ \t]*\d+[ \t]+-?\d+[ \t].*\n)+)[ \t]*-+[ \t]*\n"
    r"[ \t]*Cartesian Forces:.*\bRMS[ \t]+(\d\S+)"
)
_ENDED = re.compile(r"(?m)^ (?:Error termination|Convergence failure)")
_MOLECULE = re.compile(r"(?m)^ *Charge = *([-+]?\d+) Multiplicity = *(\d+)(?: in supermolecule)?[ \t]*$")
_ENERGY = re.compile(r"SCF Done: +E\(\S+\) *= *(\S+)")
_OF_TWO_BODIES = re.compile(r"(?m)^ *E2[^=\n]*=[^=\n]*=\s*(\S+)")
_ROUGH = "Convergence criterion not met"
_OF_OTHERS = re.compile(
    r"Excited State +\d+:|Total Energy, E\(|EUMP3|E\(C(?:ORR|orr|I)\)|E\(VAR1\)|E\(CIS\(D\)\)|CCSD\(T\) *=|"
    r"\( *1\) +EIGENVALUE|Total energy \(include solvent energy\)"
)
_OUTSIDE = re.compile(
    r"(?m)The following finite field\(s\) will be applied|Sum of input charges|Background charge distribution|"
    r"^ *ONIOM: (?:calculating|extrapolated|saving|generating|restoring|gridpoint).*|"
    r"^ *Counterpoise(?:: doing| corrected energy).*|"
    r"^ *! +\S+ +R\(\d+,-\d\).*\bFrozen\b|^ *[A-Z][a-z]?(?:\(\S*\))? +-\d+(?: +-?\d+\.\d+){3} *$"
)  # the last are atoms that are frozen, whose forces Gaussian writes as zero
_GHOST = re.compile(r"(?m)^ *(?:[A-Z][a-z]?-)?Bq(?:\(\S*\))?\s+-?\d")
_DUMMY, _VECTOR = -1, -2
_NINE_DECIMALS = 2e-9  # by which the root mean square of a table is rounded
_SAME_Eh = 1e-7  # between two fields of the same electrons


class _Table(NamedTuple):
    """A table of coordinates in the orientation of the input, which is that of the forces.

    Attributes:
        rows: its rows: place, atomic number, type, and x, y and z; None where it is there in part.
        told: the charge and the multiplicity that its job tells before it.
        behind: the text up to the next table of its job.
    """

    rows: Sequence[str] | None
    told: dict[str, int]
    behind: str

    @property
    def is_computed(self) -> bool:
        """Whether an energy or forces stand behind it, as behind the last of an optimization none do."""
        return _ENERGY.search(self.behind) is not None or _FORCES.search(self.behind) is not None


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
    n_read = n_turned = 0
    for begin, end in pairwise([0, *(found.start() for found in _JOB.finditer(text)), len(text)]):
        job = text[begin:end]
        tables, n_without = _tables(job)
        n_turned += n_without
        is_cut = bool(tables) and _is_cut(tables[-1], is_ended=text.startswith(f" {_END_OF_JOB}", end))
        for table in filter(lambda table: table.is_computed, tables[:-1] if is_cut else tables):
            n_read += 1
            yield partial(_frame, table, has_ghosts)
        if is_cut:
            pass_over_cut(path, end == len(text), "job")
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


def _tables(job: str) -> tuple[list[_Table], int]:
    """The tables of a job behind which something was computed, and how many structures have none of their own.

    An atom alone has any orientation.
    """
    found = list(_TABLE.finditer(job))
    own = [table for table in found if table[1] != _STANDARD or (table[2] or "").count("\n") == 1]
    begin = own[0].start() if own else len(job)
    n_without = len(_FORCES.findall(job, 0, begin)) or (not own and _ENERGY.search(job) is not None)
    tables: list[_Table] = []
    told: dict[str, int] = {}
    place = 0
    for table, after in zip_longest(own, own[1:]):
        for line in _MOLECULE.finditer(job, place, table.start()):
            told = {"charge": int(line[1]), "multiplicity": int(line[2])}
        place = table.end()
        end = len(job) if after is None else after.start()
        behind = job[place:end]
        n_forces = len(_FORCES.findall(behind))
        n_geometries = sum(place <= other.start() < end for other in found if other[1] == _STANDARD)
        if n_forces > 1 or (n_forces and n_geometries > 1):
            n_without += n_forces
        else:
            tables.append(_Table(None if table[2] is None else table[2].splitlines(), told, behind))
    return tables, int(n_without)


def _is_cut(table: _Table, is_ended: bool) -> bool:
    """Whether the last table of a job, or what was computed behind it, is there in part."""
    if table.rows is None:
        return True
    if is_ended or _ENDED.search(table.behind) is not None:
        return False
    return not any(_rows_of_forces(table.behind))


def _frame(table: _Table, has_ghosts: bool, where: str) -> Frame:
    if table.rows is None:
        raise AssayError(f"{where} has a table of coordinates that cannot be read: check what Gaussian wrote there")
    numbers = _numbers(table.rows)
    if (numbers == _VECTOR).any():
        raise AssayError(
            f"{where} is periodic, which is not read of Gaussian: write it as extended XYZ with its `Lattice`"
        )
    if has_ghosts or (numbers == 0).any():
        raise ghosts(where)
    numbers = numbers[is_atom := numbers != _DUMMY]
    forces = _forces(table.behind, numbers, where)
    energy_Eh = _energy_Eh(table.behind, where, is_label=not any(np.isnan(of).any() for of in forces.values()))
    positions = _three_each(table.rows, n_decimals=6)[is_atom]
    return molecule(where, numbers, positions, energy_Eh, table.told, forces, _PROGRAM)


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
    if not fields and is_label:
        raise AssayError(
            f"{where} has forces and no `SCF Done` behind it, and other energies are not read of Gaussian: write it as "
            "extended XYZ with the energy that its forces are of"
        )
    is_rough = [_ROUGH in behind[begin:end] for begin, end in pairwise([0, *(field.start() for field in fields)])]
    if not fields or is_rough[-1]:
        return None
    told = [_number(field[1]) for field, rough in zip(fields, is_rough, strict=True) if not rough]
    told = [_number(energy[1]) for energy in _OF_TWO_BODIES.finditer(behind)] or told
    if max(told) - min(told) > _SAME_Eh and is_label:
        raise several_energies(where, len(told))
    return told[-1]


def _numbers(rows: Sequence[str]) -> np.ndarray:
    """The second column (N,) int64: atomic numbers, and those of what is no atom."""
    return np.array([int(row.split()[1]) for row in rows], dtype=np.int64)


def _three_each(rows: Sequence[str], n_decimals: int) -> np.ndarray:
    """The last three columns (N, 3) float64, between which nothing stands where numbers are large."""
    number = re.compile(rf"-?\d+\.\d{{{n_decimals}}}")
    found = [number.findall(row) for row in rows]
    for row, three in zip(rows, found, strict=True):
        if len(three) != 3:
            raise ValueError(f"`{' '.join(row.split())}` has no three numbers")
    return np.array(found, dtype=np.float64).reshape(-1, 3)


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
