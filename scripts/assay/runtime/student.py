"""A student by its model file: in the compiled engine or, where that does not run, in ONNX Runtime."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from .checks import check_atoms, check_edges, structure_by_structure
from .engine import HERE, LIBRARY, MODEL, EngineModel, NotHere
from .gpu import why_not_here
from .gpu.model_file import read_metadata
from .result import Evaluated, NoDevice, Result
from .threads import check_threads
from .verlet import open_neighbors

if TYPE_CHECKING:
    from .gpu.student import GpuStudent
    from .session import OnnxStudent

FALLBACK = "model.edges.onnx"  # beside the model file
CHECKPOINT = "checkpoint_sha256"  # by which files of one student are known
MAX_ATOMIC_NUMBER = 118


class EngineStudent:
    """A student in the compiled engine. Copies of it, and those that other processes get, open the file again.

    Args:
        path: the model file, ``model.assay``.
        threads: the largest number of CPU threads; None takes all that the process may use.
        precision: 32 or 64, the bits of the numbers in which the network computes.
        library: the shared library of the engine; None takes the one of this package, or else one beside the file.

    Raises:
        NotHere: the engine does not run on this machine, or does not compute this network.
        ValueError: the file cannot be used, or there is no such precision.

    Attributes:
        identity: what the file says about itself.
        cutoff: the radius of the neighbor search, angstrom.
        elements: the atomic numbers that it was trained on.
        runtime: "engine".
    """

    runtime: Literal["engine"] = "engine"
    needs_edges = True

    def __init__(
        self,
        path: str | Path,
        threads: int | None = None,
        precision: int = 32,
        library: str | Path | None = None,
    ):
        if precision not in (32, 64):
            raise ValueError(f"the precision is {precision}: choose 32 or 64 bits")
        check_threads(threads)
        file, beside = Path(path).resolve(), Path(path).with_name(LIBRARY)
        if library is None and not (HERE / LIBRARY).is_file() and beside.is_file():
            library = beside
        self.model = EngineModel(file, library and Path(library).resolve(), precision)
        self.threads = threads or len(os.sched_getaffinity(0))
        self.identity, self.cutoff = self.model.metadata, self.model.cutoff
        self.elements = frozenset(filter(self.model.has_element, range(1, MAX_ATOMIC_NUMBER + 1)))

    def __call__(
        self,
        atomic_numbers: ArrayLike,
        positions: ArrayLike,
        batch: ArrayLike | None = None,
        edge_index: ArrayLike | None = None,
        edge_shift: ArrayLike | None = None,
    ) -> Result:
        """Evaluate structures.

        Args:
            atomic_numbers: (N,), N >= 1.
            positions: (N, 3), angstrom.
            batch: (N,), the structure of each atom, counted from 0; None for one structure.
            edge_index: (2, E), rows (neighbor, atom), both directions of every pair within the cutoff; None searches
                the neighbors of structures that do not repeat.
            edge_shift: (E, 3), angstrom: the vector of an edge is positions[neighbor] - positions[atom] + edge_shift.

        Raises:
            ValueError: what ``check_atoms`` and ``check_edges`` refuse.
        """
        numbers, at, structure = check_atoms(atomic_numbers, positions, batch, self.elements, MAX_ATOMIC_NUMBER)
        if edge_index is None:
            edges, vectors = open_neighbors(at, structure, self.cutoff)
        else:
            edges, shift = check_edges(edge_index, edge_shift, len(numbers))
            vectors = at[edges[0]] - at[edges[1]] + shift
        order, place = structure_by_structure(structure)
        found = self.model(numbers[order], place[edges], vectors, structure[order], threads=self.threads)
        return Result(found.energy, found.forces[place], found.virial)

    def from_vectors(self, atomic_numbers: np.ndarray, edge_index: np.ndarray, vectors: np.ndarray) -> Evaluated:
        """Evaluate one structure by the vectors (E, 3) from its atoms to their neighbors, angstrom; see ``Evaluated``.

        Raises:
            ValueError: there are no atoms, or what the engine refuses.
        """
        if len(atomic_numbers) == 0:
            raise ValueError("there must be atoms")
        found = self.model(atomic_numbers, edge_index, vectors, threads=self.threads)
        return Evaluated(float(found.energy[0]), found.forces, found.virial[0], found.atomic_energies)


def open_student(
    path: str | Path | None = None,
    threads: int | None = None,
    device: str = "cpu",
    precision: int = 32,
    library: str | Path | None = None,
    skin: float = 0.5,
) -> EngineStudent | GpuStudent | OnnxStudent:
    """Open a student in what runs it fastest here.

    Args:
        path: ``model.assay``, or an ONNX file, which ONNX Runtime evaluates; None takes the student of this package,
            installed or unpacked.
        threads: the number of CPU threads; None leaves it to the runtime.
        device: "cpu" or "cuda", where the kernels of ``gpu`` compute a model file, and need torch with CUDA.
        precision: 32 or 64 bits; ONNX files and GPUs compute in 32.
        library: the shared library of the engine; None takes the one of this package, or else one beside the file.
        skin: how much farther apart than the cutoff candidates for neighbors may be on a GPU, angstrom.

    Returns:
        The student. Where neither the engine nor the kernels run, a warning says so, and ONNX Runtime evaluates
        ``model.edges.onnx`` beside the file, if it is of the same student.

    Raises:
        NoDevice: a device that is not there.
        ValueError: the file cannot be used.
        ImportError: ONNX Runtime is needed and not installed.
    """
    if device not in ("cpu", "cuda"):
        raise NoDevice(f"there is no device {device!r}: choose one of cpu, cuda")
    why = ""  # of ONNX Runtime in the place of what is faster
    home = next((folder for folder in (HERE, HERE.parent) if (folder / FALLBACK).is_file()), HERE)  # or unpacked
    file = home / MODEL if path is None else Path(path)
    if path is None and not file.is_file():
        is_torn = (home / LIBRARY).is_file()  # a package is made with both files, or with neither
        why = (
            f"{file} is missing, so that this package must be installed again"
            if is_torn
            else "this package was made without the compiled engine"
        )
        file = home / FALLBACK
    if not file.is_file():
        raise ValueError(f"there is no file {file}: check the path")
    if file.suffix != ".onnx" and (device == "cpu" or precision == 32):
        try:
            return EngineStudent(file, threads, precision, library) if device == "cpu" else _on_gpu(file, skin)
        except (NotHere, NoDevice) as error:
            if precision != 32 or not file.with_name(FALLBACK).is_file():
                raise
            what = "the compiled engine does" if device == "cpu" else "the kernels for GPUs do"
            why = f"{what} not run here ({error})"
    if precision != 32:
        raise ValueError("this student computes here in 32 bits: choose the precision 32, or a model file on the cpu")
    is_onnx = file.suffix == ".onnx"
    try:
        student = onnx_student()(file if is_onnx else file.with_name(FALLBACK), threads, device)
    except (ImportError, NoDevice) as error:
        raise type(error)(f"{why}; {error}" if why else str(error)) from None
    if why:
        warnings.warn(f"{why}: ONNX Runtime computes instead, several times slower", RuntimeWarning, stacklevel=2)
    if is_onnx:
        return student
    if student.identity.get(CHECKPOINT) != read_metadata(file).get(CHECKPOINT):
        raise ValueError(
            f"{file.with_name(FALLBACK)}, which ONNX Runtime would compute instead, is of another student than {file}: "
            "put the files of one package there"
        )
    return student


def onnx_student() -> type[OnnxStudent]:
    """The class ``OnnxStudent``.

    Raises:
        ImportError: ONNX Runtime is not installed.
    """
    try:
        from .session import OnnxStudent
    except ImportError as error:
        raise ImportError(
            f"ONNX Runtime must evaluate this, and is not here ({error}): pip install onnxruntime"
        ) from None
    return OnnxStudent


def _on_gpu(file: Path, skin: float) -> GpuStudent:
    """Open a model file in the kernels for GPUs, which torch is imported for."""
    reason = why_not_here()
    if reason is not None:
        raise NoDevice(f"{reason}, or choose the device cpu")
    from .gpu.student import GpuStudent

    return GpuStudent(file, device="cuda", skin=skin)
