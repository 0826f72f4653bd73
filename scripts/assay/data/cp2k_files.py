"""Trajectories of CP2K, whose positions, forces and cells stand in several files that do not say their units."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from assay.data.ase_files import AseFile
from assay.data.extxyz import XyzFile, frame_of
from assay.data.frames import Frame, FrameFile, Layout
from assay.data.spellings import numbers_in
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError
from assay.workflow.runs import OUTPUT_OF_CP2K, RunFiles, files_of_run

_COMMENT = re.compile(r"\s*i =\s*(\d+)(?:, time =\s*\S+)?, E =\s*(\S+)\s*")
_EXTENDED = re.compile(r'\s*Lattice="[^"]*" Properties=species:S:1:pos:R:3 pbc="[^"]*" Step=\d+ Time=\S+ Energy=\S+\s*')
_UNIT = re.compile(r"(?im)^\s*&(TRAJECTORY|FORCES)\b.*\n(?:(?!\s*&END(?:\s+\1\b|\s*$)).*\n)*?\s*UNIT\s+(\S+)")
_USUAL_UNITS = ("angstrom", "hartree*bohr^-1")
_CHANGES_CELL = re.compile(
    r"(?im)^\s*(?:RUN_TYPE\s+CELL_OPT|ENSEMBLE\s+(?:NP|MSST|HYDROSTATIC)\w*|VARIABLE_VOLUME\s+T(?:RUE)?)\b.*$"
)
_OF_LAST_POSITIONS = re.compile(r"(?im)^[ \t]*(?:UNIT|SCALED)\b.*\n")
_CELL_COLUMNS = ["Ax", "[Angstrom]", "Ay", "[Angstrom]", "Az", "[Angstrom]"]
_OR_STATE = 'write its Lattice="..." or pbc="F F F" into each comment line'


def open_xyz(path: Path) -> FrameFile:
    """A file of extended XYZ, or a trajectory of CP2K by its comment lines.

    Raises:
        AssayError: it is a trajectory of CP2K, and of something else than positions, or has another name.
    """
    file = XyzFile(path)
    is_plain = _COMMENT.fullmatch(file.comment) is not None
    if not is_plain and _EXTENDED.fullmatch(file.comment) is None:
        return file
    name, run = OUTPUT_OF_CP2K.fullmatch(path.name), files_of_run(path)
    if name is not None and run is None:
        raise AssayError(
            f"{path} holds {'forces' if name['kind'] == 'frc' else 'velocities'} of CP2K, and no positions: give "
            f"{name['project']}-pos-{name['number']}{name['suffix']}"
        )
    if is_plain and run is None:
        raise AssayError(
            f"{path} is a trajectory of CP2K, which does not tell its cell: name it PROJECT-pos-1.xyz, and put "
            f"PROJECT-1.restart of its run beside it, or {_OR_STATE}"
        )
    return Cp2kFile(file, run) if is_plain and run is not None else file


class Cp2kFile:
    """Positions PROJECT-pos-1.xyz of CP2K; see ``FrameFile``.

    Forces are those of PROJECT-frc-1.xyz beside it, if it is there. The cell, which axes repeat, charge and
    multiplicity are those of PROJECT-1.restart, and the cells of a run that changes them, or did so before it was
    continued, those of PROJECT-1.cell.
    """

    layout = Layout(usual={"energy": "hartree", "length": "angstrom", "forces": "hartree/bohr"})

    def __init__(self, positions: XyzFile, run: RunFiles, labelled: bool = True):
        self.path = positions.path
        self._positions, self._run = positions, run
        self._has_forces = labelled and run.forces.is_file()

    def without_labels(self) -> Cp2kFile:
        """The same structures, whatever stands in the file of their forces."""
        return Cp2kFile(self._positions, self._run, labelled=False)

    def count(self) -> int:
        """See ``FrameFile.count``."""
        return self._positions.count()

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        run, cells = self._state()
        forces: Iterator[tuple[str, Sequence[str]] | None] = repeat(None)
        if self._has_forces:
            forces = chain(XyzFile(self._run.forces).texts(chosen), repeat(("", ())))
        for (where, lines), of_forces in zip(self._positions.texts(chosen), forces, strict=False):
            yield partial(self._frame, lines, of_forces, run, cells, where)

    def _state(self) -> tuple[Frame, dict[int, np.ndarray] | None]:
        """The last structure of the run; and its cells (3, 3) by step, None if it keeps one."""
        restart = self._run.restart
        if not restart.is_file():
            raise AssayError(
                f"{self.path} is a trajectory of CP2K, which does not tell its cell: put {restart.name} of its run "
                f"beside it, or {_OR_STATE}"
            )
        with open_text(restart) as file:
            text = file.read()
        for what, unit in _UNIT.findall(text):
            if unit.lower() not in _USUAL_UNITS:
                raise AssayError(
                    f"{restart} says that {what} has the UNIT {unit}, which is not read: convert {self.path.name} to "
                    "extended XYZ"
                )
        [load] = AseFile(restart, _OF_LAST_POSITIONS).frames()
        run = load()
        changes = _CHANGES_CELL.search(text)
        if not run.pbc.any() or (changes is None and not self._run.cells.is_file()):
            return run, None
        cells = self._cells("" if changes is None else " ".join(changes[0].split()))
        same = [run.cell is not None and np.allclose(cell, run.cell, rtol=0.0, atol=1e-6) for cell in cells.values()]
        return run, None if changes is None and all(same) else cells

    def _cells(self, why: str) -> dict[int, np.ndarray]:
        path = self._run.cells
        if not path.is_file():
            raise AssayError(
                f"{self.path} is of a run of CP2K that changes its cell ({why}): put {path.name}, which `&PRINT &CELL` "
                "of `&MOTION` writes, beside it"
            )
        with open_text(path) as file:
            text = file.read()
        try:
            header, *rows = text.splitlines()
            if header.split()[4:10] != _CELL_COLUMNS:
                raise ValueError
            numbers = [row.split() for row in rows if row.strip()]
            return {int(row[0]): np.array(row[2:11], dtype=np.float64).reshape(3, 3) for row in numbers}
        except (ValueError, IndexError):
            raise AssayError(f"{path} is no table of cells of CP2K in angstrom: let CP2K write it again") from None

    def _frame(
        self,
        lines: list[str],
        of_forces: tuple[str, Sequence[str]] | None,
        run: Frame,
        cells: dict[int, np.ndarray] | None,
        where: str,
    ) -> Frame:
        frame = frame_of(lines, where)
        told = _COMMENT.fullmatch(lines[0])
        if told is None:
            raise AssayError(f"{where} has a comment line other than that of CP2K before it: take it out")
        if not np.array_equal(frame.atomic_numbers, run.atomic_numbers):
            raise AssayError(
                f"{where} has other atoms than {self._run.restart}: put the restart file of its own run beside it"
            )
        step, cell = int(told[1]), run.cell
        if cells is not None:
            if step not in cells:
                raise AssayError(f"{where} is step {step}, whose cell is not in {self._run.cells}")
            cell = cells[step]
        arrays = {} if of_forces is None else {"forces": self._forces_of(lines, *of_forces, where)}
        info = {name: run.info[name] for name in ("charge", "multiplicity") if name in run.info}
        info |= {"energy": numbers_in(told[2])}
        return replace(frame, cell=cell, pbc=run.pbc, info=info, arrays=arrays, is_told_open=run.is_told_open)

    def _forces_of(self, lines: Sequence[str], there: str, of_forces: Sequence[str], where: str) -> np.ndarray:
        """Forces (N, 3) of the same step and atoms, whose place is ``there``."""
        same = [row.split()[0] for row in lines[1:]] == [row.split()[0] for row in of_forces[1:]]
        if not of_forces or of_forces[0].split() != lines[0].split() or not same:
            raise AssayError(
                f"{where} is not of the same step and atoms as that of {self._run.forces.name}: print both at the "
                "same steps, or take out what one of them lacks"
            )
        return frame_of(list(of_forces), there).positions
