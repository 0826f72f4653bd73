"""The teacher: any ASE calculator, and the labels that it gives."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import ase
import numpy as np
from ase.calculators.calculator import CalculationFailed, Calculator

from assay.predictors.ase_calculator import PredictorCalculator
from assay.predictors.calculators import CalculatorModel, CalculatorPredictor
from assay.predictors.worker import energy_of_forces, make, what_was_raised
from assay.workflow.calculator_files import calculator_files
from assay.workflow.errors import AssayError, printable
from assay.workflow.files import sha256_file

TRIED = 5  # structures after which a teacher that labelled none gives up
EXPECTED = (CalculationFailed, RuntimeError, ValueError, AssayError)  # of calculators that do not converge


class LabelError(AssayError):
    """The teacher gives no usable label for a geometry."""


@dataclass(frozen=True)
class Teacher:
    """An ASE calculator by import path.

    Attributes:
        name: what reports call it.
        calculator: import path of the class, e.g. ``tblite.ase.TBLite``.
        arguments: keyword arguments of the class.
        environment: a requirements file or a Python interpreter, in which it runs in a process of its own; None for
            this process.
        vacuum_A, time_limit_s: as of a ``CalculatorModel``; with a vacuum it runs in a process of its own.
    """

    name: str
    calculator: str
    arguments: dict[str, Any] = field(default_factory=dict)
    environment: str | None = None
    vacuum_A: float | None = None
    time_limit_s: float = CalculatorModel.time_limit_s

    @property
    def runs_apart(self) -> bool:
        """Whether it runs in a process of its own wherever it is asked."""
        return self.environment is not None or self.vacuum_A is not None

    @property
    def identity(self) -> dict[str, Any]:
        """All that its labels rest on, as JSON can hold it: what is stated here, and the SHA-256 of the files behind it
        (see ``assay.workflow.calculator_files``).
        """
        stated = asdict(self)
        del stated["time_limit_s"]
        if self.vacuum_A is None:
            del stated["vacuum_A"]
        files = {path: sha256_file(path) for path in calculator_files(stated)}
        return stated | ({"files_sha256": files} if files else {})

    def make(self) -> Calculator:
        """A new calculator; one that runs apart stands for one process, however often it is made.

        Raises:
            AssayError: if the class cannot be imported, or it raises anything while it is made.
        """
        if self.runs_apart:
            return PredictorCalculator(self.process())
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # where a user's own calculator may lie, as for one in a process of its own
        try:
            return make({"calculator": self.calculator, "arguments": self.arguments})
        except (Exception, SystemExit) as error:
            raise AssayError(
                f"the teacher {self.calculator} cannot be made ({_raised(error)}): set teacher.calculator and "
                "teacher.arguments in the config to an installed ASE calculator"
            ) from None

    def process(self, threads: int | None = None) -> CalculatorPredictor:
        """The teacher in a process of its own, with so many threads; None leaves their number to its libraries.

        Raises:
            AssayError: as ``make`` does.
        """
        return _process(json.dumps(asdict(self), sort_keys=True), threads)


@cache
def _process(teacher: str, threads: int | None) -> CalculatorPredictor:
    model = json.loads(teacher)
    name = model.pop("name")
    return CalculatorPredictor(CalculatorModel(**model), name, threads)


class Labels:
    """Energies and forces of structures by one calculator."""

    def __init__(self, teacher: Teacher):
        self._calculator, self._name = teacher.make(), teacher.name
        self._failed: int | None = 0  # structures before the first label; None once there is one

    def __call__(
        self, atomic_numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray | None = None, pbc: Any = False
    ) -> tuple[float, np.ndarray]:
        """Energy in eV and forces (N, 3) in eV/angstrom at positions (N, 3) in angstrom.

        ``cell`` (3, 3), angstrom, and ``pbc`` are those of ``Structure``.

        Raises:
            LabelError: the calculation fails or gives numbers that are not finite.
            AssayError: the calculator raises what no failed calculation does, for so many structures and no other.
        """
        atoms = ase.Atoms(atomic_numbers, positions, cell=cell, pbc=pbc, calculator=self._calculator)
        try:
            forces = np.asarray(atoms.get_forces(), dtype=np.float64).reshape(len(atoms), 3)
            energy = float(np.asarray(energy_of_forces(atoms), dtype=np.float64).reshape(()))
        except (Exception, SystemExit) as error:
            if self._failed is not None and not isinstance(error, EXPECTED):
                self._failed += 1
            kind = AssayError if self._failed is not None and self._failed >= TRIED else LabelError
            raise kind(
                f"the teacher {self._name} fails at a structure of {len(atoms)} atoms ({_raised(error)}): leave that "
                "structure out, or mend the calculator"
            ) from None
        self._failed = None
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise LabelError(f"the teacher {self._name} gives {len(atoms)} atoms numbers that are not finite")
        return energy, forces

    def forget(self) -> None:
        """Compute the next structure from scratch, even if it is the last one again."""
        if hasattr(self._calculator, "reset"):
            self._calculator.reset()

    @property
    def partly_filled(self) -> float:
        """How far the orbitals of the last structure are from holding two electrons or none, summed over all of them.

        Zero for a closed shell, and for a calculator that does not tell its orbitals; ``tblite`` does. Where electrons
        are spread over orbitals of nearly one energy by Fermi's function, a method that knows only closed shells says
        little of the molecule: its energy and forces follow the electronic temperature.
        """
        calculator: Any = self._calculator
        if not type(calculator).__module__.startswith("tblite."):
            return 0.0
        occupations = np.asarray(calculator._res["orbital-occupations"])  # which its results for ASE do not have
        return float(np.abs(occupations - 2.0 * np.round(occupations / 2.0)).sum())


def _raised(error: BaseException) -> str:
    """What a calculator raised, in the words of one in a process of its own."""
    return str(error) if isinstance(error, AssayError) else printable(what_was_raised(error), 500)
