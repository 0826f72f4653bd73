"""One interface to every form of a model, so that the same code judges each of them.

A backend is a module with ``load(path, device, dtype, threads) -> Predictor``; ``BACKENDS`` says which one serves which
kind of file. Most derive from ``BatchPredictor`` or ``ListPredictor`` and only say how a batch is evaluated.
"""

from __future__ import annotations

import importlib
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from assay.data.scope import Scope
from assay.predictors.memory import in_memory
from assay.runtime.cells import MAX_EXTENT_A
from assay.runtime.result import Result
from assay.structures.batching import pack_structures
from assay.structures.geometry import lattice_fault
from assay.structures.structure import Structure, symbols_of
from assay.workflow.errors import AssayError

# The module that loads each kind of file. It is imported when a file needs it.
BACKENDS = {
    "checkpoint": "assay.predictors.networks",
    "onnx": "assay.predictors.onnx",
    "torchscript": "assay.predictors.torchscript",
    "pt2": "assay.predictors.aotinductor",
    "assay": "assay.predictors.engine_file",
    "calculator": "assay.predictors.calculators",
}

# The runtimes of a checkpoint: PyTorch, operation by operation, the compiled engine, and the kernels for GPUs.
NETWORK_RUNTIMES = ("eager", "engine", "triton")

MAX_POSITION_A = 1e7  # up to here positions in double precision are exact to 1e-9 angstrom


@dataclass(frozen=True)
class Prediction:
    """The energy of a structure in eV, and its forces float64 (N, 3) in eV/angstrom.

    A model that has one also gives the stress of a structure that repeats along all axes: float64 (3, 3), in
    eV/angstrom^3, with the sign of ASE, so that it is the derivative of the energy by strain over the volume.
    """

    energy_eV: float
    forces_eV_per_A: np.ndarray
    stress_eV_per_A3: np.ndarray | None = None

    @property
    def record(self) -> dict[str, Any]:
        """What a file of predictions says: the attributes that are known, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def label(self, structure: Structure) -> Structure:
        """The structure with this energy, these forces and this stress as its labels."""
        return replace(
            structure,
            energy_eV=self.energy_eV,
            forces_eV_per_A=self.forces_eV_per_A,
            stress_eV_per_A3=self.stress_eV_per_A3,
        )


def rounding_eV(predictions: Sequence[Prediction]) -> float:
    """The spacing of single precision at these energies, where all of them are numbers of single precision; else 0.

    A model that adds up total energies in single precision rounds those of -60,000 eV to 0.004 eV. That is no fault of
    its forces, and each energy is off by half of it.
    """
    energy = np.array([prediction.energy_eV for prediction in predictions])
    rounded = energy.astype(np.float32)
    return float(np.spacing(np.abs(rounded).max())) if (rounded == energy).all() else 0.0


class Predictor(Protocol):
    """A model that gives the energy and forces of structures.

    Attributes:
        name: what reports and errors call the model.
        runtime: what evaluates it, e.g. "eager".
        device: "cpu" or "cuda".
        dtype: the precision in which it computes, "float32" or "float64".
        cutoff_A: the distance in angstrom beyond which atoms do not see each other; infinite if unknown.
        max_z: the largest atomic number that it takes.
        elements: atomic numbers seen in training; None if unknown.
        scope: what it was taught; None for a model that may take charges and spins.
    """

    name: str
    runtime: str
    device: str
    dtype: str
    cutoff_A: float
    max_z: int
    elements: frozenset[int] | None
    scope: Scope | None

    def predict(self, structures: Sequence[Structure]) -> list[Prediction]:
        """Energy and forces of each structure, in order.

        Raises:
            AssayError: a structure that the model cannot judge.
        """
        ...


@dataclass
class BatchPredictor(ABC):
    """A predictor that checks structures, packs them by atoms and edges, and evaluates batch by batch.

    Attributes are those of ``Predictor``.
    """

    name: str
    runtime: str
    device: str
    dtype: str
    cutoff_A: float
    max_z: int
    elements: frozenset[int] | None
    scope: Scope | None = field(default=None, kw_only=True)

    @abstractmethod
    def evaluate(self, structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray]:
        """Return energies (S,) in eV and forces (N, 3) in eV/angstrom of a batch.

        Every structure has at least one atom.
        """

    def prepare(self, structures: Sequence[Structure]) -> Callable[[], tuple[np.ndarray, np.ndarray]] | None:
        """Find the neighbors of these structures, as dynamics keep them, and return a call that evaluates them.

        Returns:
            A call with the result of ``evaluate``; None for a model that always searches the neighbors itself.
        """
        return None

    def timed_call(self, structures: Sequence[Structure]) -> Callable[[], object]:
        """Return a call that evaluates structures, to be timed; see ``benchmark.timing.clock``."""
        return partial(self.evaluate, structures)

    def give_back_memory(self) -> None:  # noqa: B027
        """Return to the system what the runtime keeps for its next call, as far as it can."""

    def evaluate_with_virial(self, structures: Sequence[Structure]) -> Result:
        """Do as ``evaluate``, and return the virials too, -dE/d(strain), (S, 3, 3) in eV; None from a model without."""
        return Result(*self.evaluate(structures), None)

    def predict(self, structures: Sequence[Structure]) -> list[Prediction]:
        """See ``Predictor.predict``."""
        for structure in structures:
            check_structure(structure, self)
        predictions = [Prediction(0.0, np.zeros((0, 3)))] * len(structures)
        present = np.array([index for index, structure in enumerate(structures) if len(structure)], dtype=np.int64)
        for batch in pack_structures([structures[index] for index in present], self.cutoff_A):
            for indices, (energies, forces, virials) in in_memory(
                structures, present[batch], self._evaluate, self.device
            ):
                ends = np.cumsum([len(structures[index]) for index in indices])
                for k, (index, own) in enumerate(zip(indices, np.split(forces, ends[:-1]), strict=True)):
                    stress = None if virials is None else stress_of(structures[index], virials[k])
                    predictions[index] = Prediction(float(energies[k]), own.astype(np.float64), stress)
        return predictions

    def _evaluate(self, structures: Sequence[Structure]) -> Result:
        """Do as ``evaluate``, with the virials where a structure repeats along all axes."""
        if any(structure.pbc.all() for structure in structures):
            return self.evaluate_with_virial(structures)
        return Result(*self.evaluate(structures), None)


class ListPredictor(BatchPredictor):
    """A predictor whose model takes a neighbor list, which is made here, so that dynamics can keep it."""

    @abstractmethod
    def call(self, structures: Sequence[Structure], virial: bool) -> Callable[[], Result]:
        """Find the neighbors of structures, and return what evaluates them.

        Args:
            structures: a batch, as ``evaluate`` takes it.
            virial: whether the virials are asked for; what comes without effort may come anyway.
        """

    def evaluate(self, structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray]:
        """See ``BatchPredictor.evaluate``."""
        return self.prepare(structures)()

    def evaluate_with_virial(self, structures: Sequence[Structure]) -> Result:
        """See ``BatchPredictor.evaluate_with_virial``."""
        return self.call(structures, virial=True)()

    def prepare(self, structures: Sequence[Structure]) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        """See ``BatchPredictor.prepare``."""
        call = self.call(structures, virial=False)
        return lambda: call()[:2]


def stress_of(structure: Structure, virial: np.ndarray) -> np.ndarray | None:
    """The stress of a structure with a virial (3, 3) in eV, as in ``Prediction``; None unless all axes repeat."""
    if structure.cell is None or not structure.pbc.all():
        return None
    return -virial.astype(np.float64) / structure.volume_A3


def check_structure(structure: Structure, predictor: Predictor) -> None:
    """Refuse a structure that ``predictor`` cannot judge.

    Raises:
        AssayError: elements that it does not know, positions that are not finite or too far from the origin or each
            other, or periodic axes without independent lattice vectors.
    """
    numbers = set(structure.atomic_numbers.tolist())
    known = predictor.elements or range(1, predictor.max_z + 1)
    unknown = numbers.difference(known)
    if unknown:
        raise AssayError(
            f"{structure.name} holds {symbols_of(unknown)}, which {predictor.name} was not trained on: choose a model "
            "that knows it"
        )
    if not np.isfinite(structure.positions).all():
        raise AssayError(f"{structure.name} has positions that are not finite: correct the structure")
    if len(structure) and (np.ptp(structure.positions, axis=0) > MAX_EXTENT_A).any():
        raise AssayError(
            f"{structure.name} has atoms more than {MAX_EXTENT_A:g} angstrom apart: is one astray, or the unit another?"
        )
    check_positions(structure, MAX_POSITION_A)
    fault = lattice_fault(structure)
    if fault:
        raise AssayError(f"{structure.name} {fault}")


def check_positions(structure: Structure, limit_A: float) -> None:
    """Raise an AssayError where an atom is so far from the origin that its position loses digits."""
    if np.abs(structure.positions).max(initial=0.0) > limit_A:
        raise AssayError(
            f"{structure.name} has an atom more than {limit_A:g} angstrom from the origin, where its position loses "
            "digits: correct the structure, or move it to the origin"
        )


def load_predictor(
    path: str | Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    threads: int | None = None,
    runtime: str | None = None,
    **of_checkpoint: Any,
) -> Predictor:
    """Load a model file of any kind.

    Args:
        path: a checkpoint, a normalized model, an exported one, or the description of a calculator.
        device: "cpu" or "cuda".
        dtype: "float32" or "float64"; an exported model computes in its own.
        threads: number of CPU threads; None leaves it as it is.
        runtime: one of ``NETWORK_RUNTIMES`` for a checkpoint; None chooses, as ``networks.predictor_of`` says.
        of_checkpoint: ``cutoff_A``, ``weights`` and ``units`` of a checkpoint that leaves them open, as ``normalize``
            takes them.

    Raises:
        AssayError: the file is missing, damaged, or of a kind that nothing here evaluates; or there is no such device;
            or a file that is no checkpoint is given what a checkpoint leaves open.
    """
    path = Path(path)
    if device == "cuda" and not torch.cuda.is_available():
        raise AssayError(
            "there is no GPU that torch can use, but the device in the config is cuda: set it to auto or cpu, or mend "
            "the driver"
        )
    kind = kind_of(path)
    if kind not in BACKENDS:
        raise AssayError(
            f"nothing here evaluates {path}, which is a {kind} file: give a checkpoint or model.safetensors"
        )
    if of_checkpoint and kind != "checkpoint":
        keys = " and ".join(of_checkpoint)
        raise AssayError(
            f"{keys} is said of {path}, which is a {kind} file and knows its own: leave {keys} out, or give the "
            "checkpoint that it was made of"
        )
    options = {} if runtime is None else {"runtime": runtime}
    return importlib.import_module(BACKENDS[kind]).load(path, device, dtype, threads, **options, **of_checkpoint)


def load_runtime(name: str, path: str | Path, **options: Any) -> Predictor:
    """Load the model file of a runtime that is timed.

    Args:
        name: name of the runtime. One of ``NETWORK_RUNTIMES`` says how a checkpoint is run; any other stands for a file
            that has only one runtime.
        path: the model file.
        options: as in ``load_predictor``, whose errors are raised here too.
    """
    return load_predictor(path, runtime=name if name in NETWORK_RUNTIMES else None, **options)


def kind_of(path: Path) -> str:
    """Tell the kind of a file by suffix and content: "torchscript", "checkpoint", or another of ``BACKENDS``."""
    if path.suffix == ".json":
        return "calculator"
    if path.suffix in (".onnx", ".pt2", ".assay"):
        return path.suffix[1:]
    if path.is_file() and zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                if any("/code/" in name for name in archive.namelist()):
                    return "torchscript"
        except (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError):
            return "checkpoint"  # whose reader says what is wrong with it
    return "checkpoint"
