"""Students in the kernels for GPUs, from a model file or from a network, through the class that users get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from assay.data.scope import Scope
from assay.engine.model_file import to_bytes, why_not_computed
from assay.models import Potential
from assay.predictors.attributes import say_doubts
from assay.predictors.interface import ListPredictor
from assay.runtime.gpu import why_not_here
from assay.runtime.result import Result
from assay.structures.structure import Structure, cells_of, collate
from assay.workflow.errors import AssayError

if TYPE_CHECKING:
    from assay.runtime.gpu.neighbors import Structures


def why_no_kernels(model: Potential) -> str | None:
    """Say why the kernels for GPUs cannot compute a network here; None where they can."""
    return why_not_computed(model) or why_not_here()


class GpuPredictor(ListPredictor):
    """A student in the kernels for GPUs, in single precision; neighbors and distances are in double precision.

    Args:
        source: the model file, or its bytes.
        name: what errors call it.
        device: "cuda"; "cpu" is for Triton's interpreter.

    Raises:
        AssayError: there is no GPU, or the file cannot be used.
    """

    def __init__(self, source: Path | bytes, name: str, device: str = "cuda"):
        reason = why_not_here() if device == "cuda" else None
        if reason is not None:
            raise AssayError(f"the kernels for GPUs cannot run {name}: {reason}, or set `device: cpu`")
        from assay.runtime.gpu.student import GpuStudent  # which imports Triton

        try:
            self.student = GpuStudent(source, device)
        except ValueError as error:
            raise AssayError(str(error)) from None
        say_doubts(name, self.student.identity.get("doubts", []))
        super().__init__(
            name=name,
            runtime="triton",
            device=device,
            dtype="float32",
            cutoff_A=self.student.cutoff,
            max_z=self.student.max_z,
            elements=self.student.elements,
            scope=Scope.from_record(self.student.identity.get("scope")),
        )

    def timed_call(self, structures: Sequence[Structure], search: bool = True) -> Callable[[], object]:
        """Return a call on positions that the GPU has, as dynamics there has them.

        Args:
            structures: what is evaluated.
            search: whether neighbors are searched for in each call; otherwise those of the first one are kept.
        """
        numbers, where = self._inputs(structures)

        def call() -> object:
            if search:
                self.student.neighbors.forget()
            return self.student.evaluate(numbers, where)

        return call

    def call(self, structures: Sequence[Structure], virial: bool) -> Callable[[], Result]:
        """See ``ListPredictor.call``."""
        inputs = self._inputs(structures)

        def _evaluate() -> Result:
            try:
                out = self.student.evaluate(*inputs)
            except ValueError as error:
                raise AssayError(f"{self.name} cannot evaluate {structures[0].name}: {error}") from None
            energy, forces, virials = (part.cpu().numpy().copy() for part in (out.energy[:, 0], out.forces, out.virial))
            return Result(energy, forces, virials.reshape(-1, 3, 3))

        return _evaluate

    def _inputs(self, structures: Sequence[Structure]) -> tuple[Tensor, Structures]:
        numbers, positions, _ = collate(structures, dtype=torch.float64)
        sizes = np.array([len(s) for s in structures])
        here = self.student.structures(sizes, positions, *cells_of(structures))
        return numbers.to(self.student.device, torch.int32), here


def of_network(model: Potential, name: str, elements: frozenset[int] | None) -> GpuPredictor:
    """A network in the kernels for GPUs.

    Args:
        model: the network, on any device.
        name: what errors call it.
        elements: the atomic numbers that it knows; None for all up to its largest.

    Raises:
        AssayError: they do not compute it, or there is no GPU.
    """
    reason = why_not_computed(model)
    if reason is not None:
        raise AssayError(f"the kernels for GPUs cannot run {name}: {reason}")
    on_cpu = type(model)(**model.hyperparameters)
    on_cpu.load_state_dict(model.state_dict())
    return GpuPredictor(to_bytes(on_cpu, {}, elements), name)
