"""Train one student: resumable, logged, the same for the same seed."""

from __future__ import annotations

import itertools
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from assay.data.dataset import Dataset
from assay.engine.painn import obstacle
from assay.files import atomic_path
from assay.models import PaiNN, Potential, build_model
from assay.progress import progress
from assay.training.evaluation import evaluate
from assay.training.muon import Muon
from assay.training.packs import Pack, PackedDataset
from assay.training.references import reference_energies
from assay.training.step import Loss, Step, eager_step, engine_step

logger = logging.getLogger(__name__)

# What a run's state holds besides tensors.
PROGRESS = ("step_number", "epoch", "packs_done", "seconds", "typical_norm", "skipped", "history", "data_sets")


@dataclass(frozen=True)
class Round:
    """A part of the training, in which the learning rates rise, hold and fall to zero.

    Attributes:
        steps: of the optimizer.
        atoms_per_step: atoms in one step.
        peak: of the learning rates, over those of the recipe.
        shares: how much of the training structures of a kind an epoch has, drawn anew for each; all of the kinds that
            are not named.
    """

    steps: int
    atoms_per_step: int = 512
    peak: float = 1.0
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How a student is trained.

    Attributes:
        rounds: one after the other, each from the running mean of the weights of the one before, with new optimizers.
        matrix_lr: peak learning rate of Muon, for the weights inside the network.
        other_lr: peak learning rate of AdamW, for embedding, biases and the last layer.
        weight_decay: of the matrices.
        warmup: steps of a round in which the learning rates rise.
        cooldown: the last part of a round, in which they fall to zero, as a fraction.
        clip: a gradient longer than so many times the usual is shortened to that.
        ema_decay: of the running mean of the weights, which is what is validated and shipped.
        seed: of initial weights and of the order of the data.
        loss: see ``Loss``.
        validate_every: steps between validations, which are also the points that a stopped run resumes from.
    """

    rounds: Sequence[Round]
    matrix_lr: float = 4e-3
    other_lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: int = 200
    cooldown: float = 0.7
    clip: float = 3.0
    ema_decay: float = 0.999
    seed: int = 0
    loss: Loss = field(default_factory=Loss)
    validate_every: int = 1000

    @property
    def steps(self) -> int:
        """Of all rounds."""
        return sum(part.steps for part in self.rounds)

    def ends_round(self, step_number: int) -> bool:
        """Whether a round is over after so many steps."""
        return step_number in itertools.accumulate(part.steps for part in self.rounds)

    def round_at(self, step_number: int) -> tuple[Round, int]:
        """The round that a step belongs to, and the number of the step in it, both steps counted from zero."""
        for part in self.rounds:
            if step_number < part.steps:
                return part, step_number
            step_number -= part.steps
        raise ValueError("the recipe has fewer steps")

    def learning_rate_factor(self, step_number: int) -> float:
        """What the peak learning rates are multiplied with at a step, counted from zero."""
        part, done = self.round_at(step_number)
        left = (part.steps - done) / (self.cooldown * part.steps)
        return part.peak * min(1.0, (done + 1) / self.warmup, left)


class Trainer:
    """The state of a run: weights, their running mean, optimizers, and how far it is.

    Args:
        architecture, hyperparameters: of the student.
        train, validation: labelled structures, open boundaries.
        recipe: see ``Recipe``.
        state_file: where the run's state is kept; an existing one is resumed, on other data too, which is recorded.
    """

    def __init__(
        self,
        architecture: str,
        hyperparameters: dict[str, Any],
        train: Dataset,
        validation: Dataset,
        recipe: Recipe,
        state_file: Path,
    ):
        torch.manual_seed(recipe.seed)
        self.recipe, self.state_file, self.validation = recipe, state_file, validation
        self.model = build_model(architecture, hyperparameters)
        self.model.get_buffer("reference_energy").copy_(reference_energies(train, self.model.max_z))
        self.packs = PackedDataset(train, self.model.cutoff)
        self.mean = [p.detach().clone() for p in self.model.parameters()]
        self.optimizers = _optimizers(self.model, recipe)
        self.step_number = self.epoch = self.packs_done = 0
        self.seconds = self.typical_norm = 0.0
        self.skipped = 0
        self.history: list[dict[str, float | None]] = []
        self.data_sets = [{"from_step": 0, "n_structures": len(train), "sha256": train.content_sha256()}]
        if state_file.exists():
            self._resume()

    def go_on_from(self, weights: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Take the end of an earlier run, of which the recipe has more rounds, for the end of the same rounds here.

        Args:
            weights: of that run's student.
            record: of that run, see ``train_student``.
        """
        self.model.load_state_dict(weights)
        self.mean = [p.detach().clone() for p in self.model.parameters()]
        self.history, self.skipped, self.seconds = record["curve"], record["skipped_steps"], 3600 * record["hours"]
        self.step_number, self.epoch = record["curve"][-1]["step"], record["curve"][-1]["epoch"]
        self._note_data(record["data_sets"])

    def run(self) -> Potential:
        """Train to the end of the recipe.

        Returns:
            the student with the running mean of its weights.
        """
        step: Step
        if obstacle(self.model) is None:
            step = engine_step(cast(PaiNN, self.model), self.recipe.loss)
        else:
            step = eager_step(self.model, self.recipe.loss)
        bar = progress(total=self.recipe.steps, initial=self.step_number, desc="training", unit="steps")
        losses: list[float] = []
        while self.step_number < self.recipe.steps:
            if self.recipe.ends_round(self.step_number):
                self._begin_round()
            part, _ = self.recipe.round_at(self.step_number)
            plan = self.packs.plan(self.recipe.seed, self.epoch, part.atoms_per_step, part.shares)
            for indices in plan[self.packs_done :]:
                start = time.perf_counter()
                loss = self._advance(step, self.packs.assemble(indices))
                losses += [loss] if math.isfinite(loss) else []
                self.seconds += time.perf_counter() - start
                self.packs_done += 1
                bar.update()
                ended = self.recipe.ends_round(self.step_number)
                if self.step_number % self.recipe.validate_every == 0 or ended:
                    self._report(float(np.mean(losses)) if losses else None)
                    losses.clear()
                if ended:
                    break
            else:
                self.epoch, self.packs_done = self.epoch + 1, 0
        return self.student()

    def student(self) -> Potential:
        """A copy of the model with the running mean of its weights."""
        student = build_model(self.model.architecture, self.model.hyperparameters)
        student.load_state_dict(self.model.state_dict())
        self._give_mean(student)
        return student

    @torch.no_grad()
    def _give_mean(self, model: Potential) -> None:
        """Let a model have the running mean of the weights."""
        for parameter, mean in zip(model.parameters(), self.mean, strict=True):
            parameter.copy_(mean)

    def _begin_round(self) -> None:
        """Go on from the running mean of the weights, and forget all else but the count of what was done."""
        self._give_mean(self.model)
        self.optimizers = _optimizers(self.model, self.recipe)
        self.typical_norm = 0.0
        self.epoch, self.packs_done = self.epoch + 1, 0

    def _advance(self, step: Step, pack: Pack) -> float:
        recipe = self.recipe
        parameters: list[Tensor] = list(self.model.parameters())
        factor = recipe.learning_rate_factor(self.step_number)
        loss, gradients = step(parameters, pack)
        if self._shorten(gradients):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * factor
                optimizer.step()
        self.step_number += 1
        decay = min(recipe.ema_decay, self.step_number / (self.step_number + 10.0))
        torch._foreach_lerp_(self.mean, [p.detach() for p in parameters], 1 - decay)
        return float(loss)

    def _shorten(self, gradients: list[Tensor]) -> bool:
        """Shorten a gradient far longer than usual, in place; whether it is finite, and a step can be taken."""
        norm = float(torch.stack(list(torch._foreach_norm(gradients))).norm())
        if not math.isfinite(norm):
            self.skipped += 1
            return False
        limit = self.recipe.clip * (self.typical_norm or norm)
        if norm > limit:
            torch._foreach_mul_(gradients, limit / norm)
        self.typical_norm += 0.01 * (min(norm, limit) - self.typical_norm) if self.typical_norm else norm
        return True

    def _report(self, loss: float | None) -> None:
        record: dict[str, float | None] = {
            "step": self.step_number,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "loss": loss,
        }
        record |= evaluate(self.student(), self.validation)
        self.history.append(record)
        logger.info(json.dumps(record))
        state = {
            "model": self.model.state_dict(),
            "mean": self.mean,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "progress": {name: getattr(self, name) for name in PROGRESS},
        }
        with atomic_path(self.state_file) as path:
            torch.save(state, path)

    def _resume(self) -> None:
        state = torch.load(self.state_file, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.mean = state["mean"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            peaks = [group["peak_lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak_lr"] = peak
        for name, value in state["progress"].items():
            if name != "data_sets":
                setattr(self, name, value)
        self._note_data(state["progress"]["data_sets"])
        logger.info("resumed at step %d", self.step_number)

    def _note_data(self, earlier: list[dict[str, Any]]) -> None:
        """Put the data of earlier steps before that of the steps to come, and begin an epoch where they differ."""
        here = self.data_sets[0]
        self.data_sets = list(earlier)
        if earlier[-1]["sha256"] != here["sha256"]:
            self.data_sets.append(here | {"from_step": self.step_number})
            self.epoch, self.packs_done = self.epoch + 1, 0


def _optimizers(model: Potential, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the network, AdamW for embedding, biases and the layer that gives the energy."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        inside = parameter.ndim == 2 and min(parameter.shape) > 1 and not name.startswith("embedding")
        (matrices if inside else others).append(parameter)
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=recipe.matrix_lr, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(others, lr=recipe.other_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers
