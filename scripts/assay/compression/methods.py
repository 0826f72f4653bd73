"""The smaller forms of one student, by name, and how each is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from assay.checkpoint.container import content_sha256
from assay.checkpoint.normalized import content_of
from assay.checkpoint.scope import write_scope
from assay.compression.distilling import HessianLoss, PairTrainer, in_pairs, relabelled
from assay.compression.low_rank import factored
from assay.compression.pruning import importance, prune
from assay.data.dataset import Dataset
from assay.data.scope import Scope, scope_of
from assay.engine.painn import why_unsupported
from assay.models import PaiNN, Potential, count_parameters
from assay.predictors.networks import EnginePredictor
from assay.training.loop import Recipe, Round, Trainer
from assay.training.loss import Loss, engine_gradients, for_labels_of
from assay.training.origin import read_origin
from assay.training.packs import PackedDataset
from assay.training.states import remove_states, unfinished
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path, training_record, write_json
from assay.workflow.provenance import header
from assay.workflow.teachers import same_teacher

IMPORTANCE_PACKS = 40  # packs that say how much each channel matters


@dataclass(frozen=True)
class Made:
    """A smaller form of a student.

    Attributes:
        model: the network.
        n_numbers: how many numbers it consists of; those of factors, whose products its file holds, are fewer.
    """

    model: Potential
    n_numbers: int


def made(model: Potential) -> Made:
    """A network whose file holds its parameters."""
    return Made(model, count_parameters(model))


class Workshop:
    """What smaller forms of one student are made from.

    Args:
        student: the network, which the engine computes.
        train, validation: labelled structures.
        settings: the section `compress` of the config.
        folder: where states of unfinished trainings are kept.

    Raises:
        AssayError: the engine cannot compute the student, or it is no ``painn``.
    """

    def __init__(
        self, student: Potential, train: Dataset, validation: Dataset, settings: Mapping[str, Any], folder: Path
    ):
        reason = why_unsupported(student)
        if reason is not None or not isinstance(student, PaiNN):
            raise AssayError(
                f"students of the architecture {student.architecture} are not compressed: "
                f"{reason or 'name one of `painn` as `compress.variant`'}"
            )
        self.student, self.train, self.validation = student, train, validation
        self.settings, self.folder = settings, folder
        self.loss = for_labels_of(train, settings["tuning"]["loss"])

    def pruned(self, channels: int, tuned: bool) -> Made:
        """The student with fewer channels, as it is after the cut or after training went on."""
        recipe = self.settings["tuning"]
        packs = PackedDataset(self.train, self.student.cutoff)
        chosen = islice(packs.plan(recipe["seed"], 0, recipe["atoms_per_step"]), IMPORTANCE_PACKS)
        gradients = engine_gradients(self.student, Loss(**self.loss))
        narrow = prune(self.student, importance(self.student, gradients, map(packs.assemble, chosen)), channels)
        return made(self.trained(narrow, self.train, f"pruned-{channels}") if tuned else narrow)

    def low_rank(self, share: float) -> Made:
        """The student with factors instead of matrices."""
        return Made(*factored(self.student, share))

    def smaller(self, start: Potential, learns: str | None) -> Made:
        """A smaller student after more training, on the labels of the data or on what this student says.

        Args:
            start: the smaller student before.
            learns: "labels" of the data, the "forces" of the larger student, or its "hessians" besides; None leaves
                it as it is.
        """
        if learns is None:
            return made(start)
        if learns == "labels":
            return made(self.trained(start, self.train, "smaller-labels"))
        teacher = EnginePredictor(self.student)
        if learns == "forces":
            return made(self.trained(start, relabelled(self.train, teacher), "smaller-forces"))
        pairs = in_pairs(self.train, self.settings["hessian"]["step_A"], self.settings["tuning"]["seed"])
        loss = HessianLoss(**self.loss, **self.settings["hessian"])
        return made(self.trained(start, relabelled(pairs, teacher), "smaller-hessians", loss, PairTrainer))

    def trained(
        self,
        start: Potential,
        train: Dataset,
        name: str,
        loss: Loss | None = None,
        trainer_of: type[Trainer] = Trainer,
    ) -> Potential:
        """Train a network further by the recipe `compress: tuning`; a stopped training resumes."""
        recipe = dict(self.settings["tuning"])
        rounds = [Round(recipe.pop("steps"), recipe.pop("atoms_per_step"))]
        recipe["loss"] = loss or Loss(**self.loss)
        origin = content_sha256(start.state_dict(), {"architecture": start.architecture, **start.hyperparameters})
        data = [dataset.content_sha256() for dataset in (train, self.validation)]
        state = unfinished(self.folder, name, [origin, self.settings["tuning"], asdict(recipe["loss"]), data])
        trainer = trainer_of(
            start.architecture,
            start.hyperparameters,
            train,
            self.validation,
            Recipe(rounds=rounds, **recipe),
            state,
            start=start,
        )
        trained = trainer.run()
        remove_states(self.folder, name)
        return trained


@dataclass(frozen=True)
class Begun:
    """A smaller student before its training.

    Attributes:
        model: the network.
        scope: what it was taught, or is about to be.
        teacher: the name of its teacher; None if that is unknown.
        in_doubt: the settings that were assumed of its checkpoint; see ``Checkpoint.in_doubt``.
    """

    model: Potential
    scope: Scope
    teacher: str | None
    in_doubt: list[str]


def begin(path: str | Path, train: Dataset, teacher: str | None) -> Begun:
    """Read a smaller student, and bring one of another teacher to the zero of energy and the elements of the data.

    Args:
        path: its checkpoint.
        train: the structures that it is about to learn from.
        teacher: the name of the teacher that labelled them; None if that is unknown.

    Raises:
        AssayError: the checkpoint cannot be used.
    """
    origin = read_origin(path, train)
    if same_teacher(origin.record["teacher"], teacher) and not origin.record["new_elements"]:
        return Begun(origin.checkpoint.build(), origin.checkpoint.scope, teacher, origin.checkpoint.in_doubt)
    model = origin.model.eval().requires_grad_(False)
    return Begun(model, scope_of(train), origin.record["teacher"], origin.checkpoint.in_doubt)


def save(form: Made, path: Path, scope: Scope, teacher: str | None, in_doubt: Sequence[str] = ()) -> None:
    """Write a form as a checkpoint, and beside it what it was taught and by whom.

    Args:
        form: the form, whose count of numbers the checkpoint keeps.
        path: the checkpoint.
        scope: what the student was taught that the form was made of.
        teacher: the name of its teacher; None if that is unknown.
        in_doubt: the settings that were assumed of that student; see ``Checkpoint.in_doubt``.
    """
    content = content_of(form.model, in_doubt) | {"n_numbers": form.n_numbers}
    if scope.elements is not None:
        content["elements"] = list(scope.elements)
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
    write_scope(path, scope)
    write_json(training_record(path), header(None) | {"teacher": {"name": teacher}})
