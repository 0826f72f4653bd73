"""The sections of ``config/students.yaml``: students of one's own, and what they learn from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from assay.workflow.config_models.config_yaml import (
    CalculatorClass,
    OfCalculator,
    PathOrFile,
    VariantName,
    by_name,
    with_modules_of_their_own,
)
from assay.workflow.config_models.recipes_yaml import Hyperparameters, Loss
from assay.workflow.config_models.types import (
    Clip,
    Count,
    Decay,
    FilePath,
    FrameInterval,
    Friction,
    Numbers,
    PositiveInteger,
    PositiveNumber,
    Range,
    Rate,
    Section,
    Seed,
    Text,
    TimeStep,
    may_be_absent,
    steps_between,
)


class DataTeacher(OfCalculator):
    """The teacher of one's own data: its name, or the calculator that labels structures."""

    name: Text = may_be_absent(description="what reports call the teacher; without it the class of the calculator")
    calculator: CalculatorClass = may_be_absent()
    arguments: dict[str, Any] = may_be_absent(description="keyword arguments of the calculator")

    @model_validator(mode="after")
    def _is_somebody(self) -> DataTeacher:
        if self.name is None and self.calculator is None:
            raise ValueError("a `name` or a `calculator`, or both")
        return self


class Crystal(Section):
    """A crystal of which supercells are made."""

    path: FilePath = may_be_absent(description="a file with the cell")
    formula: Text = may_be_absent(description="a formula, such as NaCl")
    prototype: Text = may_be_absent(description="a crystal structure of ase.build.bulk, such as rocksalt")
    a_A: PositiveNumber = may_be_absent(description="a lattice constant in angstrom")
    repeat: list[PositiveInteger] = Field(min_length=3, max_length=3, description="three numbers")
    vacancy: Text = may_be_absent(description="the formula of the atoms that some structures lack")

    @model_validator(mode="after")
    def _has_a_cell(self) -> Crystal:
        made = [self.formula, self.prototype, self.a_A]
        if (self.path is None) == (None in made) or (self.path is not None and made != [None] * 3):
            raise ValueError("the `path` of a file with its cell, or `formula`, `prototype` and `a_A`")
        return self


class Supercells(Section):
    """Structures that are made of crystals."""

    crystals: list[Annotated[Crystal, Field(description="a crystal")]] = Field(min_length=1)
    count: PositiveInteger
    rattle_A: Range
    scale: Range
    shear: float = Field(ge=0, lt=0.5, description="a strain")
    seed: Seed


class Data(Section):
    """What students learn from."""

    train: PathOrFile = may_be_absent()
    structures: FilePath = may_be_absent(description="a file of structures that the teacher labels")
    supercells: Supercells = may_be_absent(description="how structures are made that the teacher labels")
    validation: PathOrFile = may_be_absent()
    teacher: Annotated[DataTeacher, BeforeValidator(by_name, json_schema_input_type=DataTeacher | Text)] = (
        may_be_absent(description="the name of the teacher, or a set of keys with its calculator")
    )

    @model_validator(mode="after")
    def _one_of_three(self) -> Data:
        given = [source for source in (self.train, self.structures, self.supercells) if source is not None]
        if len(given) != 1:
            raise ValueError(
                "`train`, which is labelled, or `structures` or `supercells` for the teacher: one of the three"
            )
        return self


class TrainingLoss(Loss):
    """The loss of a training with stresses."""

    virial_delta_eV_per_atom: PositiveNumber
    virial_weight: float = Field(ge=0, description="a weight")


class OwnTraining(Section):
    """What one student has of its own in its training; the other keys are those of all."""

    minutes: PositiveNumber = may_be_absent()
    epochs: PositiveNumber = may_be_absent()
    steps: PositiveInteger = may_be_absent(description="steps of `atoms_per_step`, where they do not follow")
    atoms_per_step: PositiveInteger = may_be_absent()
    matrix_lr: PositiveNumber = may_be_absent()
    other_lr: PositiveNumber = may_be_absent()
    from_peak: PositiveNumber = may_be_absent()
    weight_decay: Rate = may_be_absent()
    clip: Clip = may_be_absent()
    ema_decay: Decay = may_be_absent()
    seed: Seed = may_be_absent()
    loss: TrainingLoss = may_be_absent()
    validation_structures: PositiveInteger = may_be_absent()


class Training(OwnTraining):
    """How students are trained."""

    minutes: PositiveNumber
    epochs: PositiveNumber
    atoms_per_step: PositiveInteger
    matrix_lr: PositiveNumber
    other_lr: PositiveNumber
    from_peak: PositiveNumber
    weight_decay: Rate
    clip: Clip
    ema_decay: Decay
    seed: Seed
    loss: TrainingLoss
    validation_structures: PositiveInteger
    validation_share: float = Field(gt=0, le=0.5, description="a share")
    labelling_jobs: PositiveInteger
    threads: PositiveInteger
    processes: PositiveInteger


class OwnStudent(OwnTraining):
    """A student that is trained on one's own data."""

    parameters: PositiveInteger = may_be_absent(description="about how many parameters it has")
    architecture: Literal["painn"] = may_be_absent(description="a network that Assay trains")
    hyperparameters: Hyperparameters = may_be_absent(description="arguments of the network")
    origin: FilePath = may_be_absent(alias="from", description="the name of a student or the path of a checkpoint")
    licence: Text = may_be_absent(description="the licence of the weights, in words")
    citation: Text = may_be_absent(description="how the student is cited, in words")

    @model_validator(mode="after")
    def _has_one_size(self) -> OwnStudent:
        given = [name for name in ("parameters", "architecture", "origin") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("a student with `parameters`, `architecture` or `from`, one of the three")
        if given == ["architecture"] and self.hyperparameters is None:
            raise ValueError("a student whose `architecture` has `hyperparameters` beside it")
        if given == ["origin"] and self.hyperparameters is not None:
            raise ValueError("a student without `hyperparameters`, since those of `from` are kept")
        return self


Students = Annotated[
    dict[VariantName, Annotated[OwnStudent | None, Field(description="a student, or null to leave it out")]],
    Field(description="your students by name"),
    AfterValidator(with_modules_of_their_own),
]


class Committee(Section):
    """The two students that look for structures."""

    parameters: PositiveInteger = Field(description="about how many parameters they have")
    minutes: PositiveNumber


class Exploration(Section):
    """How a round of active learning looks for structures."""

    trajectories: PositiveInteger = Field(
        description="the number of trajectories, which begin at structures drawn from all that are labelled"
    )
    temperatures_K: Numbers = Field(description="the temperatures of the trajectories of all rounds, in turn")
    duration_ps: PositiveNumber = Field(description="the length of each trajectory")
    step_fs: TimeStep
    friction_per_fs: Friction = Field(description="the coupling to the heat bath")
    frame_every_fs: FrameInterval
    label: PositiveInteger = Field(description="the largest number of frames that are labelled")
    agree_eV_per_A: PositiveNumber = Field(description="a difference of forces up to which the committee agrees")
    part_eV_per_A: PositiveNumber = Field(
        description="a difference of forces beyond which a trajectory has no meaning any more, and ends"
    )
    seed: Seed = Field(
        description="the seed of starts, velocities and noise, to which the number of the round is added"
    )


class Rounds(Exploration):
    """Rounds of active learning."""

    count: Count = Field(description="the number of rounds")
    committee: Committee

    @model_validator(mode="after")
    def _can_find_something(self) -> Rounds:
        if round(1e3 * self.duration_ps / self.step_fs) < steps_between(self.frame_every_fs, self.step_fs):
            raise ValueError("a `duration_ps` of `frame_every_fs` and `step_fs` or more: no trajectory has a frame")
        if 0 < self.count * self.trajectories < len(self.temperatures_K):
            raise ValueError("as many `trajectories` of all rounds as `temperatures_K`, or more")
        return self
