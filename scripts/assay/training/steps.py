"""How a round's packs are made and its steps taken: one by one on a CPU, replayed on a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, cast

import numpy as np

from assay.engine.painn import obstacle
from assay.models import PaiNN, Potential
from assay.training.captured import CapturedStep, compiled
from assay.training.fixed import FixedPacks
from assay.training.packs import Pack, PackedDataset
from assay.training.step import Loss, eager_step, engine_step
from assay.training.update import Update


class Steps(Protocol):
    """What the two have in common."""

    def plan(self, seed: int, epoch: int, shares: Mapping[str, float]) -> list[np.ndarray]:
        """The structures of each pack of an epoch, see ``PackedDataset.plan``."""

    def serve(self, plan: Sequence[np.ndarray]) -> Iterator[Pack]:
        """The packs of a plan."""

    def take(self, pack: Pack) -> None:
        """One step: loss and gradients of a pack, and the update."""


class PlainSteps:
    """By the compiled engine, or by autograd where it does not compute the model."""

    def __init__(self, model: Potential, loss: Loss, update: Update, packs: PackedDataset, atoms_per_step: int):
        self.packs, self.update, self.atoms_per_step = packs, update, atoms_per_step
        engine = obstacle(model) is None
        self.step = engine_step(cast(PaiNN, model), loss) if engine else eager_step(model, loss)

    def plan(self, seed: int, epoch: int, shares: Mapping[str, float]) -> list[np.ndarray]:
        """See ``PackedDataset.plan``."""
        return self.packs.plan(seed, epoch, self.atoms_per_step, shares)

    def serve(self, plan: Sequence[np.ndarray]) -> Iterator[Pack]:
        """Packs as long as their structures."""
        return map(self.packs.assemble, plan)

    def take(self, pack: Pack) -> None:
        """Loss, gradients and update."""
        self.update(*self.step(self.update.parameters, pack))


class ReplayedSteps:
    """By one CUDA graph of the whole step, compiled and recorded at the first pack."""

    def __init__(self, model: Potential, loss: Loss, update: Update, packs: PackedDataset, atoms_per_step: int):
        self.fixed = FixedPacks(packs, atoms_per_step, update.parameters[0].device)
        self.plan, self.serve = self.fixed.plan, self.fixed.serve
        self.step, self.update = eager_step(model, loss), update
        self.captured: CapturedStep | None = None

    def take(self, pack: Pack) -> None:
        """Replay."""
        if self.captured is None:
            step = compiled(self.step, self.update.parameters, pack)
            self.captured = CapturedStep(step, self.update, pack)
        self.captured(pack)


def steps_of(model: Potential, loss: Loss, update: Update, packs: PackedDataset, atoms_per_step: int) -> Steps:
    """The way that suits the model's device."""
    way = ReplayedSteps if update.parameters[0].is_cuda else PlainSteps
    return way(model, loss, update, packs, atoms_per_step)
