"""Outputs of electronic structure programs, read by ionic steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase.units import Hartree

from assay.data.frames import Frame, Layout, calculator_of
from assay.data.passed_over import cut_off
from assay.workflow.errors import AssayError, reason_of

LAYOUT = Layout(leaves_out_unconverged=True, has_usual_units=True)
Step = Callable[[str], Frame]
"""Reads an ionic step, by the words with which errors name it."""


def computed(
    where: str,
    atomic_numbers: np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray | None,
    pbc: np.ndarray,
    told: Mapping[str, Any],
    forces: Mapping[str, np.ndarray],
    program: str,
) -> Frame:
    """A structure of an output, with what was computed of it, in eV and angstrom.

    Args:
        where: how errors name it.
        atomic_numbers: (N,) int64.
        positions: (N, 3).
        cell: (3, 3), lattice vectors in rows; None for an isolated structure.
        pbc: (3,) bool.
        told: what is said of it as a whole, by name, such as ``energy``, ``converged`` or ``charge``.
        forces: ``forces`` (N, 3), or nothing.
        program: whose output it is from.
    """
    return Frame(
        where,
        "",
        "",
        atomic_numbers,
        positions,
        cell,
        pbc,
        told,
        forces,
        is_told_open=not pbc.any(),
        calculator=calculator_of(program, None),
    )


def molecule(
    where: str,
    atomic_numbers: np.ndarray,
    positions: np.ndarray,
    energy_Eh: float | None,
    told: Mapping[str, float],
    forces: Mapping[str, np.ndarray],
    program: str,
) -> Frame:
    """``computed`` of a structure without a cell.

    Its energy is in hartree, None where its electrons are not converged.
    """
    label = {"converged": False} if energy_Eh is None else {"energy": energy_Eh * Hartree}
    pbc = np.zeros(3, dtype=bool)
    return computed(where, atomic_numbers, positions, None, pbc, {**told, **label}, forces, program)


class CutOff(Exception):
    """A file ends within an ionic step."""


def leave_out(path: Path, why: str) -> None:
    """Warn of an ionic step of one of the runs in a file, which is left out."""
    warnings.warn(f"an ionic step in {path} is left out, because {why}", stacklevel=2)


def pass_over_cut(path: Path, is_last: bool, run: str = "run") -> None:
    """Leave out what is there in part at the end of one of the runs in a file, which goes by that word.

    Raises:
        CutOff: no other run follows.
    """
    if is_last:
        raise CutOff
    leave_out(path, f"it is there in part, and another {run} follows")


def outside(path: Path, program: str, said: str) -> AssayError:
    """What is said of a run with forces that no student knows, by the words of its output."""
    return AssayError(
        f"{path} is of a run of {program} with `{' '.join(said.split())}`, of which students know nothing: give the "
        "output of a run without"
    )


def ghosts(where: str) -> AssayError:
    """What is said of a structure with functions where no atom is."""
    return AssayError(f"{where} has ghost atoms, whose functions lower its energy: label it without them")


def several_energies(where: str, count: int) -> AssayError:
    """What is said of a structure behind which so many energies stand."""
    return AssayError(f"{where} has {count} energies behind it, and its output does not tell which is its own")


class OutputFile:
    """An output of a program, by whatever name and compressed or not; see ``FrameFile``.

    A last step that is there in part is left out with a warning. A step whose electrons are not converged says
    ``converged`` False.
    """

    def __init__(
        self,
        path: Path,
        program: str,
        read: Callable[[], Iterator[Step]],
        otherwise: str = "",
        layout: Layout = LAYOUT,
    ):
        """Describe a file.

        Args:
            path: the file.
            program: whose output it is.
            read: finds its complete ionic steps, raises ``CutOff`` behind them if one is there in part, and refuses
                runs that students cannot learn from.
            otherwise: what else can be done about a step that cannot be read.
            layout: what its layout tells.
        """
        self.layout = layout
        self.path, self._program, self._read, self._otherwise = path, program, read, otherwise

    def count(self) -> int:
        """See ``FrameFile.count``."""
        return sum(1 for _ in self._steps(is_told=False))

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        wanted = None if chosen is None else set(chosen.tolist())
        for index, step in enumerate(self._steps(is_told=True)):
            if wanted is None or index in wanted:
                yield partial(self._frame, step, f"structure {index} of {self.path}")

    def _steps(self, is_told: bool) -> Iterator[Step]:
        count = 0
        try:
            for step in self._read():
                count += 1
                yield step
        except CutOff:
            if count and is_told:
                warnings.warn(
                    f"{self.path} ends within an ionic step, which is left out: read it again if its run goes on",
                    stacklevel=2,
                )
            if not count:
                raise cut_off(self.path) from None
        except AssayError:
            raise
        except Exception as error:  # of decompression, numbers and ASE's reader
            raise AssayError(
                f"{self.path} cannot be read as an output of {self._program} ({reason_of(error, 120)}): check that it "
                "is complete"
            ) from None
        if not count:
            raise AssayError(
                f"{self.path} is an output of {self._program} without an ionic step: give that of a finished run"
            )

    def _frame(self, step: Step, where: str) -> Frame:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return step(where)
        except AssayError:
            raise
        except Exception as error:  # of numbers and ASE's readers
            raise AssayError(
                f"{where} cannot be read ({reason_of(error, 120)}): check what {self._program} wrote there"
                f"{self._otherwise}"
            ) from None
