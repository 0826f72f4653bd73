"""The backend of ASE calculators: any class, in a process and, if it wants, in an environment of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.geometry import complete_cell

from assay.predictors.interface import BatchPredictor, Prediction, check_positions, check_structure
from assay.predictors.virtual_environments import interpreter
from assay.predictors.worker import structures_of
from assay.predictors.worker_process import Answer, WorkerProcess
from assay.structures.structure import Structure, cells_of
from assay.workflow.errors import AssayError
from assay.workflow.files import read_json

MAX_Z = 118
STRUCTURES_PER_REQUEST = 256
MAX_SINGLE_A = 4096.0  # up to here positions in single precision are exact to 1.3e-4 angstrom


@dataclass(frozen=True)
class CalculatorModel:
    """An ASE calculator as a model: what a variant with ``calculator:`` says of it.

    Attributes:
        calculator: import path of a class, or of a function that makes one, e.g. ``mace.calculators.MACECalculator``.
        arguments: its keyword arguments.
        environment: a requirements file or a Python interpreter; None for the environment of this process.
        cutoff_A: the distance in angstrom beyond which atoms do not see each other, where the calculator does not tell.
        vacuum_A: the vacuum in angstrom around what does not repeat, for a calculator that takes periodic structures
            only; None hands structures over as they are.
        time_limit_s: the seconds that loading it and each structure may take.
    """

    calculator: str
    arguments: Mapping[str, Any]
    environment: str | None = None
    cutoff_A: float | None = None
    vacuum_A: float | None = None
    time_limit_s: float = 600.0


class CalculatorPredictor(BatchPredictor):
    """An ASE calculator behind the interface of all models.

    Args:
        model: the calculator.
        name: what errors call it.
        threads: the number of threads of its libraries; None leaves it to them.

    Attributes:
        told: what the calculator and its environment tell: ``versions``, ``n_parameters``, ``dtype``, ``cutoff_A``,
            ``elements``, and whether it has a ``stress``.

    Raises:
        AssayError: its environment cannot be made, or the calculator cannot be imported or made in it.
    """

    def __init__(self, model: CalculatorModel, name: str = "", threads: int | None = None):
        self.model, self.threads = model, threads
        self.python = interpreter(model.environment)
        self.name = name or model.calculator
        self._process, self.told = self._start()
        cutoff, elements = model.cutoff_A or self.told.get("cutoff_A"), self.told.get("elements")
        super().__init__(
            name=self.name,
            runtime="calculator",
            device="cuda" if str(model.arguments.get("device", "")).startswith("cuda") else "cpu",
            dtype="float32" if self.told.get("dtype") == "float32" else "float64",
            cutoff_A=np.inf if cutoff is None else float(cutoff),
            max_z=MAX_Z,
            elements=frozenset(map(int, elements)) if elements else None,
        )

    def evaluate(self, structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray]:
        """See ``BatchPredictor.evaluate``."""
        found = [prediction for prediction, _ in self.predictions(structures)]
        return np.array([p.energy_eV for p in found]), np.concatenate([p.forces_eV_per_A for p in found])

    def predict(self, structures: Sequence[Structure]) -> list[Prediction]:
        """See ``Predictor.predict``; the stress comes with it where the calculator has one."""
        for structure in structures:
            check_structure(structure, self)
            if self.dtype == "float32":  # a calculator rounds positions, and not the vectors between atoms
                check_positions(structure, MAX_SINGLE_A)
        found = [Prediction(0.0, np.zeros((0, 3)))] * len(structures)
        present = [index for index, structure in enumerate(structures) if len(structure)]
        answers = self.predictions([structures[index] for index in present], stress=bool(self.told.get("stress")))
        for index, (prediction, _) in zip(present, answers, strict=True):
            found[index] = prediction
        return found

    def timed_call(self, structures: Sequence[Structure]) -> CallInWorker:
        """See ``BatchPredictor.timed_call``; the time is that inside the process."""
        return CallInWorker(self, lambda: structures)

    def predictions(
        self, structures: Sequence[Structure], stress: bool = False, afresh: bool = True
    ) -> Iterator[tuple[Prediction, float]]:
        """Ask for structures, one after the other.

        Args:
            structures: each with at least one atom.
            stress: whether to ask for the stress of periodic structures.
            afresh: whether the calculator is reset before each, so that it computes equal positions again.

        Yields:
            The prediction of each structure, and the seconds that it took inside the process.

        Raises:
            AssayError: what is wrong, with the name of the structure.
        """
        for start in range(0, len(structures), STRUCTURES_PER_REQUEST):
            chunk = structures[start : start + STRUCTURES_PER_REQUEST]
            if not self._process.alive:
                self._process, self.told = self._start()
            handed = chunk if self.model.vacuum_A is None else [in_vacuum(s, self.model.vacuum_A) for s in chunk]
            header = {
                "kind": "evaluate",
                "stress": stress,
                "afresh": afresh,
                "structures": [_known(structure) for structure in handed],
            }
            answers = self._process.ask(
                header,
                _arrays(handed),
                [f"at {structure.name} ({len(structure)} atoms)" for structure in chunk],
                "leave that structure out, or mend the calculator",
            )
            for structure, answer in zip(chunk, answers, strict=True):
                try:
                    prediction = self._checked(structure, answer)
                except AssayError:
                    self._process.close()  # with the answers that nobody reads any more
                    raise
                yield prediction, float(answer[0].get("seconds", np.nan))

    def _start(self) -> tuple[WorkerProcess, dict[str, Any]]:
        process = WorkerProcess(self.python, self.name, self.model.time_limit_s, self.threads)
        header = {
            "kind": "make",
            "calculator": self.model.calculator,
            "arguments": dict(self.model.arguments),
            "own_packages": self.model.environment is not None,
        }
        advice = "set calculator and arguments to what its environment has"
        [(told, _)] = process.ask(header, {}, ["while it was made"], advice)
        return process, told

    def _checked(self, structure: Structure, answer: Answer) -> Prediction:
        """The prediction in an answer, whose shapes are those of the structure."""
        header, arrays = answer
        lacks = header.get("lacks") or next((name for name in ("forces", "energy") if name not in arrays), None)
        if lacks is not None:
            raise AssayError(
                f"{self.name} gives no {lacks} of {structure.name}: choose a calculator that has energies and forces"
            )
        wanted = {"energy": ((), (1,)), "forces": ((len(structure), 3),), "stress": ((3, 3),)}
        for name, array in arrays.items():
            if name in wanted and array.shape not in wanted[name]:
                raise AssayError(
                    f"{self.name} gives {name} of shape {array.shape} for {structure.name}, which has "
                    f"{len(structure)} atoms, and not {wanted[name][0]}: mend the calculator"
                )
        stress = arrays.get("stress") if structure.pbc.all() else None
        return Prediction(float(arrays["energy"].reshape(())), arrays["forces"].astype(np.float64), stress)


class CallInWorker:
    """A call of a calculator whose duration is measured inside its process.

    Args:
        predictor: the calculator.
        draw: gives the structures that the next call computes.
        afresh: as in ``CalculatorPredictor.predictions``.

    Attributes:
        transfer_s: for each call so far, the seconds that it took beside the time inside the process.
    """

    def __init__(self, predictor: CalculatorPredictor, draw: Callable[[], Sequence[Structure]], afresh: bool = True):
        self.predictor, self.draw, self.afresh = predictor, draw, afresh
        self.transfer_s: list[float] = []

    def __call__(self) -> float:
        """Compute, and return the seconds inside the process."""
        structures, started = self.draw(), time.perf_counter()
        seconds = sum(s for _, s in self.predictor.predictions(structures, afresh=self.afresh))
        self.transfer_s.append(time.perf_counter() - started - seconds)
        return seconds

    seconds = __call__


def in_vacuum(structure: Structure, vacuum_A: float) -> Structure:
    """The structure in a cell that repeats along all axes, with vacuum along those that did not repeat."""
    if structure.pbc.all():
        return structure
    periodic = structure.pbc[:, None]
    cell = complete_cell(np.where(periodic, np.zeros((3, 3)) if structure.cell is None else structure.cell, 0.0))
    extents = np.ptp(structure.positions @ cell.T, axis=0)
    cell = np.where(periodic, cell, cell * (extents + vacuum_A)[:, None])
    return replace(structure, cell=cell, pbc=np.ones(3, dtype=bool))


def load(path: Path, device: str, dtype: str, threads: int | None) -> CalculatorPredictor:
    """Load the description of a calculator, ``calculator.json`` of a variant; arguments as in ``load_predictor``.

    A calculator computes in its own precision and on its own device. Equal descriptions share one process.
    """
    content = read_json(path)
    if not isinstance(content, dict) or "calculator" not in content:
        raise AssayError(f"{path} is no description of a calculator: name a variant's calculator.json or a model file")
    return _running(json.dumps(content, sort_keys=True), threads)


@lru_cache(maxsize=4)
def _running(description: str, threads: int | None) -> CalculatorPredictor:
    content = json.loads(description)
    known = {field.name: content[field.name] for field in fields(CalculatorModel) if field.name in content}
    return CalculatorPredictor(CalculatorModel(**known), str(content.get("variant", "")), threads)


def atoms_of(structure: Structure) -> ase.Atoms:
    """The structure without labels as a calculator is asked about it, with its charge and spin where ASE's look."""
    [atoms] = structures_of(_arrays([structure]), [_known(structure)])
    return atoms


def _known(structure: Structure) -> dict[str, int]:
    """What ``atoms.info`` says of a structure."""
    known = {"charge": structure.charge, "spin": structure.spin}
    return {key: value for key, value in known.items() if value is not None}


def _arrays(structures: Sequence[Structure]) -> dict[str, np.ndarray]:
    cells, pbc = cells_of(structures)
    return {
        "sizes": np.array([len(structure) for structure in structures], dtype=np.int64),
        "numbers": np.concatenate([structure.atomic_numbers for structure in structures]).astype(np.int64),
        "positions": np.concatenate([structure.positions for structure in structures]).astype(np.float64),
        "cells": cells,
        "pbc": pbc,
    }
