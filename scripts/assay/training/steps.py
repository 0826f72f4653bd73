"""How the packs of a round are assembled and its steps taken: computed one by one on a CPU, replayed on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, cast

import numpy as np

from assay.engine.model_file import Network
from assay.engine.painn import why_unsupported
from assay.models import Potential
from assay.training import processes
from assay.training.cuda_graph import CudaGraphStep, compile_gradients
from assay.training.loss import Loss, eager_gradients, engine_gradients
from assay.training.packs import Pack, PackedDataset, Plan
from assay.training.padded import PaddedPacks
from assay.training.update import Update


class Steps(Protocol):
    """The interface of ``CpuSteps`` and ``CudaGraphSteps``."""

    def plan(self, seed: int, epoch: int, shares: Mapping[str, float]) -> Plan:
        """Plan the packs of an epoch; see ``PackedDataset.plan``."""

    def serve(self, plan: Sequence[np.ndarray]) -> Iterator[Pack]:
        """Yield the packs of a plan."""

    def take(self, pack: Pack) -> None:
        """Take one step: compute loss and gradients of a pack, and update the weights."""


class CpuSteps:
    """Steps on a CPU, by the compiled engine, or by autograd for a model that the engine does not compute."""

    def __init__(self, model: Potential, loss: Loss, update: Update, packs: PackedDataset, atoms_per_step: int):
        self.packs, self.update, self.atoms_per_step = packs, update, atoms_per_step
        engine = why_unsupported(model) is None
        self.gradients = engine_gradients(cast(Network, model), loss) if engine else eager_gradients(model, loss)

    def plan(self, seed: int, epoch: int, shares: Mapping[str, float]) -> Plan:
        """Plan the packs of an epoch; see ``PackedDataset.plan``."""
        return self.packs.plan(seed, epoch, self.atoms_per_step, shares)

    def serve(self, plan: Sequence[np.ndarray]) -> Iterator[Pack]:
        """Yield the packs of a plan, without padding."""
        return map(self.packs.assemble, plan)

    def take(self, pack: Pack) -> None:
        """Take one step on a pack."""
        loss, gradients = self.gradients(self.update.parameters, pack)
        processes.sum_in_place([loss, *gradients])
        self.update(loss, gradients)


class CudaGraphSteps:
    """Steps on a GPU, by one CUDA graph of the whole step that is compiled and recorded at the first pack."""

    def __init__(self, model: Potential, loss: Loss, update: Update, packs: PackedDataset, atoms_per_step: int):
        padded = PaddedPacks(packs, atoms_per_step, update.parameters[0].device)
        self.plan, self.serve = padded.plan, padded.serve
        self.gradients, self.update = eager_gradients(model, loss), update
        self.recorded: CudaGraphStep | None = None

    def take(self, pack: Pack) -> None:
        """Take one step on a pack; the first one records the graph."""
        if self.recorded is None:
            gradients = compile_gradients(self.gradients, self.update.parameters, pack)
            self.recorded = CudaGraphStep(gradients, self.update, pack)
        self.recorded(pack)


def steps_for(model: Potential, loss: Loss, update: Update, packs: PackedDataset, atoms_per_step: int) -> Steps:
    """Choose the steps for the device of the model."""
    steps = CudaGraphSteps if update.parameters[0].is_cuda else CpuSteps
    return steps(model, loss, update, packs, atoms_per_step)
