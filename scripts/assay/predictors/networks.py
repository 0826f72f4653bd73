"""The backend of checkpoints and normalized models: the engine, the kernels for GPUs, or PyTorch, step by step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from assay.checkpoint import normalize
from assay.engine.painn import accelerated, why_unsupported
from assay.models import Potential
from assay.neighbors.inputs import graph_inputs
from assay.predictors.attributes import say_doubts
from assay.predictors.gpu import GpuPredictor, of_network, why_no_kernels
from assay.predictors.interface import ListPredictor
from assay.runtime.result import Result
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError


class EagerPredictor(ListPredictor):
    """A ``Potential`` in PyTorch, operation by operation."""

    def __init__(self, model: Potential, name: str = "model", elements: frozenset[int] | None = None):
        parameter = next(model.parameters())
        super().__init__(
            name=name,
            runtime="eager",
            device=parameter.device.type,
            dtype=str(parameter.dtype).removeprefix("torch."),
            cutoff_A=model.cutoff,
            max_z=model.max_z,
            elements=elements,
        )
        self.energy_and_forces = model.energy_and_forces

    def call(self, structures: Sequence[Structure], virial: bool) -> Callable[[], Result]:
        """See ``ListPredictor.call``."""
        atoms, graph = graph_inputs(structures, self.cutoff_A, self.device, getattr(torch, self.dtype))
        evaluate = partial(self.energy_and_forces, *atoms, len(structures), graph, virial=virial)

        def _evaluate() -> Result:
            energy, forces, virials = evaluate()
            return Result(
                energy.cpu().numpy(), forces.cpu().numpy(), None if virials is None else virials.cpu().numpy()
            )

        return _evaluate


class EnginePredictor(EagerPredictor):
    """A ``Potential`` in the compiled engine.

    Raises:
        AssayError: the engine does not compute it.
    """

    def __init__(self, model: Potential, name: str = "model", elements: frozenset[int] | None = None):
        reason = why_unsupported(model)
        if reason is not None:
            raise AssayError(f"the compiled engine cannot run {name}: {reason}")
        super().__init__(model, name, elements)
        self.runtime, self.energy_and_forces = "engine", accelerated(model)


def predictor_of(
    model: Potential, name: str = "model", elements: frozenset[int] | None = None, runtime: str | None = None
) -> EagerPredictor | GpuPredictor:
    """The network in the "engine", in the kernels for GPUs ("triton"), or "eager" in PyTorch.

    Args:
        model: the network.
        name: what errors call it.
        elements: the atomic numbers that it knows; None for all up to its largest.
        runtime: where it is computed; None takes the kernels for a network in single precision on a GPU, the engine on
            a CPU, and PyTorch where neither computes it, which is said on the standard error for a GPU.
    """
    runtime = runtime or _runtime_for(model, name)
    if runtime == "triton":
        return of_network(model, name, elements)
    return (EnginePredictor if runtime == "engine" else EagerPredictor)(model, name, elements)


def _runtime_for(model: Potential, name: str) -> str:
    parameter = next(model.parameters())
    if parameter.device.type != "cuda":
        return "engine" if why_unsupported(model) is None else "eager"
    reason = "they compute in single precision" if parameter.dtype != torch.float32 else why_no_kernels(model)
    if reason is None:
        return "triton"
    print(f"PyTorch computes {name} on the GPU, and not the kernels for GPUs: {reason}", file=sys.stderr)
    return "eager"


def load(
    path: Path,
    device: str,
    dtype: str,
    threads: int | None,
    runtime: str | None = None,
    cutoff_A: float | None = None,
    weights: str | None = None,
    units: Mapping[str, str] | None = None,
) -> EagerPredictor | GpuPredictor:
    """Load a checkpoint, normalized or not; arguments as in ``load_predictor``.

    What was decided because the file does not settle it goes to the standard error, once for all precisions.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    checkpoint = normalize(path, cutoff_A, weights, units)
    say_doubts(str(path), checkpoint.doubts())
    elements = checkpoint.atomic_numbers
    model = checkpoint.build(getattr(torch, dtype), device)
    loaded = predictor_of(model, str(path), None if elements is None else frozenset(elements), runtime)
    loaded.scope = checkpoint.scope
    return loaded
