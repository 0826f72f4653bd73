"""The backend of ``model.assay``, through the classes that users get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from assay.engine.library import library_path
from assay.neighbors.inputs import edge_inputs
from assay.predictors.attributes import attributes
from assay.predictors.gpu import GpuPredictor
from assay.predictors.interface import ListPredictor
from assay.runtime.result import Result
from assay.runtime.student import EngineStudent
from assay.structures.structure import Structure, collate
from assay.workflow.errors import AssayError

COINCIDENT_A = 1e-6  # of ``prepare.h``: two atoms that are nearer are at one place


class EngineFilePredictor(ListPredictor):
    """A model file in the engine, in single precision; neighbors and their vectors are in double precision."""

    def __init__(self, student: EngineStudent, path: Path):
        super().__init__(**attributes(student.identity, path, "libassay", "cpu"))
        self.student, self.model, self.threads = student, student.model, student.threads

    def timed_call(self, structures: Sequence[Structure]) -> Callable[[], object]:
        """Return a call as a user of the package makes it, from arrays; see ``BatchPredictor.timed_call``."""
        if any(structure.pbc.any() for structure in structures):
            return super().timed_call(structures)
        numbers, positions, batch = (x.numpy() for x in collate(structures, dtype=torch.float64))
        return partial(self.student, numbers, positions, batch)

    def call(self, structures: Sequence[Structure], virial: bool) -> Callable[[], Result]:
        """See ``ListPredictor.call``.

        A structure with two atoms at one place, which the engine refuses, has no numbers, as in other runtimes.
        """
        (numbers, _, batch), edge_index, vectors = edge_inputs(structures, self.cutoff_A, dtype=torch.float64)
        arrays = [x.numpy() for x in (numbers, edge_index, vectors, batch)]

        def _evaluate() -> Result:
            try:
                found = self.model(*arrays, threads=self.threads)
                return Result(found.energy, found.forces, found.virial)
            except ValueError as error:
                if len(structures) > 1:  # of which only some may be refused
                    alone = [self.call([structure], virial)() for structure in structures]
                    return Result(*(np.concatenate(parts) for parts in zip(*alone, strict=True)))
                if not (np.square(arrays[2]).sum(1) < COINCIDENT_A**2).any():
                    raise AssayError(f"{self.name} cannot evaluate {structures[0].name}: {error}") from None
                n = len(numbers)
                return Result(*(np.full(shape, np.nan) for shape in ((1,), (n, 3), (1, 3, 3))))

        return _evaluate


def load(path: Path, device: str, dtype: str, threads: int | None) -> EngineFilePredictor | GpuPredictor:
    """Load a model file, in the kernels for GPUs on a GPU; arguments as in ``load_predictor``."""
    if device != "cpu":
        return GpuPredictor(path, str(path))
    library = library_path()
    if library is None:
        raise AssayError(f"the engine, which computes {path}, needs a C++ compiler: install g++ and run again")
    try:
        return EngineFilePredictor(EngineStudent(path, threads or torch.get_num_threads(), library=library), path)
    except ValueError as error:
        raise AssayError(str(error)) from None
