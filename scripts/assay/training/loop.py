"""The training of one student: it can be resumed, is logged, and gives the same student for the same seed."""

from __future__ import annotations

import itertools
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from assay.data.dataset import Dataset
from assay.data.store import StoredDataset, in_memory
from assay.models import Potential, build_model
from assay.training import processes
from assay.training.evaluation import validation_errors
from assay.training.loss import Loss
from assay.training.packs import Pack, PackedDataset, Plan
from assay.training.references import reference_energies
from assay.training.steps import Steps, steps_for
from assay.training.update import Update
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path
from assay.workflow.progress import progress
from assay.workflow.provenance import device_name

logger = logging.getLogger(__name__)

# Attributes of a trainer that its state file keeps besides tensors.
PROGRESS = ("step_number", "epoch", "packs_done", "seconds", "history")

AT_ONCE = 4096  # steps whose structures are looked up at once
FITTED = 100_000  # structures that reference energies are fitted to where there are more than fit into memory


@dataclass(frozen=True)
class Round:
    """A part of the training, in which the learning rates rise, hold and fall to zero.

    Attributes:
        steps: the number of optimizer steps.
        atoms_per_step: the largest number of atoms in one step, of all processes together.
        peak: the peak learning rates, in units of those of the recipe.
        shares: the fraction of each kind of training structures that an epoch has, drawn anew for each epoch; an epoch
            has all structures of the kinds that are not named.
        energy_weight: the weight of energies against forces, angstrom; None for that of the recipe's loss.
    """

    steps: int
    atoms_per_step: int = 512
    peak: float = 1.0
    shares: Mapping[str, float] = field(default_factory=dict)
    energy_weight: float | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a student is trained; ``config/recipes.yaml`` has the values for the shipped ones.

    Values stand here only of what some trainings have no key for: those of an ablation, of a smaller form, or of one's
    own students.

    Attributes:
        rounds: the rounds, one after the other. Each starts with new optimizers from the running mean of the weights at
            the end of the round before.
        matrix_lr: the peak learning rate of the optimizer that trains the weights inside the network.
        other_lr: the peak learning rate of AdamW, which trains embedding, biases and the last layer.
        weight_decay: the weight decay of the matrices.
        warmup: the number of steps at the start of a round in which the learning rates rise.
        cooldown: the fraction of a round, at its end, in which the learning rates fall to zero.
        clip: the largest norm of a gradient, in units of the typical norm; a longer gradient is shortened to it.
        ema_decay: the decay of the running mean of the weights, which is what is validated and shipped.
        seed: the seed of the initial weights and of the order of the data.
        loss: the loss of a pack, see ``Loss``.
        validate_every: the number of steps between validations; a stopped run resumes from the last validation.
        optimizer: "muon" or "adamw", what trains the weights inside the network.
    """

    rounds: Sequence[Round]
    matrix_lr: float
    other_lr: float
    weight_decay: float = 0.05
    warmup: int
    cooldown: float = 0.7
    clip: float = 3.0
    ema_decay: float
    seed: int
    loss: Loss
    validate_every: int
    optimizer: str = "muon"

    @property
    def steps(self) -> int:
        """The number of steps in all rounds."""
        return sum(part.steps for part in self.rounds)

    def loss_of(self, part: Round) -> Loss:
        """The loss of a pack in one of the rounds."""
        return self.loss if part.energy_weight is None else replace(self.loss, energy_weight=part.energy_weight)

    def ends_round(self, step_number: int) -> bool:
        """Whether a round ends after ``step_number`` steps."""
        return step_number in itertools.accumulate(part.steps for part in self.rounds)

    def round_at(self, step_number: int) -> tuple[Round, int]:
        """Find the round that a step belongs to and the number of the step in it; steps are counted from zero."""
        for part in self.rounds:
            if step_number < part.steps:
                return part, step_number
            step_number -= part.steps
        raise ValueError("the recipe has fewer steps")

    def learning_rate_factor(self, step_number: int) -> float:
        """The factor of the peak learning rates at a step; steps are counted from zero."""
        part, done = self.round_at(step_number)
        left = (part.steps - done) / (self.cooldown * part.steps)
        return part.peak * min(1.0, (done + 1) / self.warmup, left)


class Trainer:
    """The state of a run: weights, their running mean, optimizers, and the number of steps done.

    Args:
        architecture, hyperparameters: what ``build_model`` makes the student from.
        train: labelled structures, in memory or in a file.
        validation: labelled structures of the same kind.
        recipe: how the student is trained.
        state_file: the file that keeps the run's state. An existing one is resumed, on other data too, which is
            recorded; of another network, recipe or teacher it is refused, but for further rounds.
        start: the student to go on from, with reference energies that fit the data; None for new weights.
        device: the device that trains. On a GPU a whole step is one replayed CUDA graph. The order of its sums changes,
            so that two runs agree in their errors but not in every digit.
        teacher: what decides the labels of the data; None where the name of the state file follows from the data.

    Raises:
        AssayError: the state file is damaged, or of another network or recipe.
    """

    packing: type[PackedDataset] = PackedDataset

    def __init__(
        self,
        architecture: str,
        hyperparameters: dict[str, Any],
        train: Dataset | StoredDataset,
        validation: Dataset,
        recipe: Recipe,
        state_file: Path,
        device: torch.device | str = "cpu",
        start: Potential | None = None,
        teacher: Mapping[str, Any] | None = None,
    ):
        torch.manual_seed(recipe.seed)
        self.recipe, self.state_file, self.validation, self.teacher = recipe, state_file, validation, teacher
        self.device = torch.device(device)
        self.model = build_model(architecture, hyperparameters)
        if start is not None:
            self.model.load_state_dict(start.state_dict())
        else:
            references = reference_energies(in_memory(train, FITTED), self.model.max_z)
            self.model.get_buffer("reference_energy").copy_(references)
        self.model.to(self.device)
        self.packs = self.packing(train, self.model.cutoff)
        self.update = Update(
            self.model, recipe.matrix_lr, recipe.other_lr, recipe.weight_decay, recipe.clip, recipe.optimizer
        )
        self.step_number = self.epoch = self.packs_done = 0
        self.seconds = 0.0
        self.history: list[dict[str, float | None]] = []
        self.data_sets = [{"from_step": 0, "n_structures": len(train), "sha256": train.content_sha256()}]
        self.devices = [{"from_step": 0, "device": str(self.device), "device_name": device_name(self.device)}]
        if state_file.exists():
            self._resume()

    def continue_from(self, weights: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Continue an earlier run whose rounds are the first ones of this recipe: skip the rounds that it has done.

        Args:
            weights: the state dict of that run's student.
            record: the training record of that run, see ``train_student``.
        """
        self.model.load_state_dict(weights)
        with torch.no_grad():
            torch._foreach_copy_(self.update.mean, self.update.parameters)
        self.update.skipped.fill_(record["skipped_steps"])
        self.history, self.seconds = record["curve"], 3600 * record["hours"]
        self.step_number, self.epoch = record["curve"][-1]["step"], record["curve"][-1]["epoch"]
        self._note_origin(record["data_sets"], record["devices"])

    def run(self) -> Potential:
        """Train to the end of the recipe.

        Returns:
            The student with the running mean of its weights, on the CPU.
        """
        bar = progress(
            total=self.recipe.steps,
            initial=self.step_number,
            desc="training",
            unit="steps",
            disable=not processes.leads(),
        )
        while self.step_number < self.recipe.steps:
            if self.recipe.ends_round(self.step_number):
                self._begin_round()
            self._run_round(bar)
        return self.student()

    def _run_round(self, bar: Any) -> None:
        """Train to the end of the round that the next step belongs to."""
        part, _ = self.recipe.round_at(self.step_number)
        _, n_processes = processes.place()
        atoms_per_pack = max(1, part.atoms_per_step // n_processes)
        steps = steps_for(self.model, self.recipe.loss_of(part), self.update, self.packs, atoms_per_pack)
        began, start = self.seconds, time.perf_counter()
        while True:
            plan = steps.plan(self.recipe.seed, self.epoch, part.shares)
            for pack in self._own_packs(steps, plan, part.atoms_per_step):
                self._advance(steps, pack)
                self.packs_done += 1
                bar.update()
                ended = self.recipe.ends_round(self.step_number)
                if self.step_number % self.recipe.validate_every == 0 or ended:
                    loss = self.update.mean_loss()
                    self.seconds = began + time.perf_counter() - start
                    self._validate_and_save(loss)
                    began, start = self.seconds, time.perf_counter()
                if ended:
                    return
            self.epoch, self.packs_done = self.epoch + 1, 0

    def _own_packs(self, steps: Steps, plan: Plan, atoms_per_step: int) -> Iterator[Pack]:
        """What this process computes of the rest of an epoch, step by step."""
        ends = [0, *processes.ends_of_steps(plan, self.packs.sizes_of, atoms_per_step)]
        for first in range(self.packs_done, len(ends) - 1, AT_ONCE):
            of_steps = (plan[start:end] for start, end in itertools.pairwise(ends[first : first + AT_ONCE + 1]))
            own = processes.parts(of_steps, self.packs.sizes_of)
            for member, pack in zip(own, steps.serve([member.structures for member in own]), strict=True):
                yield member.weigh(pack)

    @torch.no_grad()
    def student(self) -> Potential:
        """A copy of the model with the running mean of its weights, on the CPU."""
        student = build_model(self.model.architecture, self.model.hyperparameters)
        student.load_state_dict(self.model.state_dict())
        torch._foreach_copy_(list(student.parameters()), self.update.mean)
        return student

    def _begin_round(self) -> None:
        """Start a round from the running mean of the weights, with new optimizers and a new epoch."""
        self.update.start_from_mean()
        self.epoch, self.packs_done = self.epoch + 1, 0

    def _advance(self, steps: Steps, pack: Pack) -> None:
        done = self.step_number + 1
        decay = min(self.recipe.ema_decay, done / (done + 10.0))
        self.update.schedule(self.recipe.learning_rate_factor(self.step_number), decay)
        steps.take(pack)
        self.step_number = done

    def _validate_and_save(self, loss: float | None) -> None:
        if not processes.leads():
            return
        record: dict[str, float | None] = {
            "step": self.step_number,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "loss": loss,
        }
        record |= self._errors()
        self.history.append(record)
        logger.info(json.dumps(record))
        state = {
            "decides": self._decides(),
            "model": self.model.state_dict(),
            "update": self.update.state_dict(),
            "progress": {name: getattr(self, name) for name in PROGRESS},
            "data_sets": self.data_sets,
            "devices": self.devices,
        }
        with atomic_path(self.state_file) as path:
            torch.save(state, path)

    def _errors(self) -> dict[str, float]:
        errors = validation_errors(self.student(), self.validation)
        if not all(map(math.isfinite, errors.values())):
            raise AssayError(
                f"the training has diverged: after {self.step_number:,} steps its weights give no finite energies and "
                f"forces, and {int(self.update.skipped):,} steps had no finite gradient; lower matrix_lr and other_lr"
            )
        return errors

    def _resume(self) -> None:
        state = self._read_state()
        self._check_origin({"teacher": self.teacher} | state.get("decides", self._decides()))
        self.model.load_state_dict(state["model"])
        self.update.load_state_dict(state["update"])
        for name in PROGRESS:
            setattr(self, name, state["progress"][name])
        self._note_origin(state["data_sets"], state["devices"])
        logger.info("resumed at step %d", self.step_number)

    def _read_state(self) -> dict[str, Any]:
        content = BytesIO(self.state_file.read_bytes())
        try:
            return torch.load(content, weights_only=True, map_location=self.device)
        except torch.OutOfMemoryError:
            raise
        except (EOFError, RuntimeError, ValueError, OSError, UnpicklingError) as error:
            raise AssayError(
                f"{self.state_file}, from which an unfinished training would go on, is damaged, as a power cut leaves "
                "files: remove it to start anew"
            ) from error

    def _decides(self) -> dict[str, Any]:
        """What a training cannot change on its way: all but its data, its device, validations and rounds to come."""
        network = {"architecture": self.model.architecture, "hyperparameters": dict(self.model.hyperparameters)}
        recipe = {key: value for key, value in asdict(self.recipe).items() if key != "validate_every"}
        return network | recipe | {"teacher": self.teacher}

    def _check_origin(self, earlier: Mapping[str, Any]) -> None:
        own = self._decides()
        done = earlier["rounds"]
        changed = [key for key in own if key != "rounds" and own[key] != earlier.get(key)]
        if own["rounds"][: len(done)] != done:
            changed.append("rounds")
        if changed:
            raise AssayError(
                f"{self.state_file} is of a training with other values of {', '.join(changed)}: remove it to start "
                "anew, or set these back to go on"
            )

    def _note_origin(self, data_sets: list[dict[str, Any]], devices: list[dict[str, Any]]) -> None:
        """List data and devices of earlier steps before those of the coming steps; other data starts a new epoch."""
        data, device = self.data_sets[0], self.devices[0]
        self.data_sets, self.devices = list(data_sets), list(devices)
        if data_sets[-1]["sha256"] != data["sha256"]:
            self.data_sets.append(data | {"from_step": self.step_number})
            self.epoch, self.packs_done = self.epoch + 1, 0
        if devices[-1] | {"from_step": 0} != device:
            self.devices.append(device | {"from_step": self.step_number})
