"""The sections of ``config/students.yaml``: students of one's own, and what they learn from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from assay.workflow.config_models.config_yaml import ENVIRONMENT, CalculatorClass, PathOrFile, by_name
from assay.workflow.config_models.types import (
    FilePath,
    Name,
    PositiveInteger,
    PositiveNumber,
    Section,
    Seed,
    Text,
    may_be_absent,
)


class DataTeacher(Section):
    """The teacher of one's own data: its name, or the calculator that labels structures."""

    name: Text = may_be_absent(description="what reports call the teacher; without it the class of the calculator")
    calculator: CalculatorClass = may_be_absent()
    arguments: dict[str, Any] = may_be_absent(description="keyword arguments of the calculator")
    environment: FilePath = may_be_absent(description=ENVIRONMENT)

    @model_validator(mode="after")
    def _is_somebody(self) -> DataTeacher:
        if self.name is None and self.calculator is None:
            raise ValueError("a `name` or a `calculator`, or both")
        return self


class Data(Section):
    """What students learn from."""

    train: PathOrFile = may_be_absent()
    structures: FilePath = may_be_absent(description="a file of structures that the teacher labels")
    validation: PathOrFile = may_be_absent()
    teacher: Annotated[DataTeacher, BeforeValidator(by_name, json_schema_input_type=DataTeacher | Text)] = (
        may_be_absent(description="the name of the teacher, or {name, calculator, arguments, environment}")
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Data:
        if (self.train is None) == (self.structures is None):
            raise ValueError("`train`, which are labelled, or `structures`, which the teacher labels: one of the two")
        return self


class TrainingLoss(Section):
    """The loss of a training with stresses."""

    force_delta_eV_per_A: PositiveNumber
    energy_delta_eV_per_atom: PositiveNumber
    energy_weight: PositiveNumber
    virial_delta_eV_per_atom: PositiveNumber
    virial_weight: float = Field(ge=0, description="a weight")


class OwnTraining(Section):
    """What one student has of its own in its training; the other keys are those of all."""

    minutes: PositiveNumber = may_be_absent()
    epochs: PositiveNumber = may_be_absent()
    steps: PositiveInteger = may_be_absent(description="the number of steps, where it does not follow from the data")
    atoms_per_step: PositiveInteger = may_be_absent()
    matrix_lr: PositiveNumber = may_be_absent()
    other_lr: PositiveNumber = may_be_absent()
    from_peak: PositiveNumber = may_be_absent()
    weight_decay: float = may_be_absent(ge=0, description="a rate")
    clip: float = may_be_absent(ge=1, description="a multiple of the usual gradient")
    ema_decay: float = may_be_absent(ge=0, lt=1, description="a decay below 1")
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
    weight_decay: float = Field(ge=0, description="a rate")
    clip: float = Field(ge=1, description="a multiple of the usual gradient")
    ema_decay: float = Field(ge=0, lt=1, description="a decay below 1")
    seed: Seed
    loss: TrainingLoss
    validation_structures: PositiveInteger
    validation_share: float = Field(gt=0, le=0.5, description="a share")
    labelling_jobs: PositiveInteger
    threads: PositiveInteger


class OwnStudent(OwnTraining):
    """A student that is trained on one's own data."""

    parameters: PositiveInteger = may_be_absent(description="about how many parameters it has")
    architecture: Literal["painn", "seed-painn"] = may_be_absent(description="a network that Assay knows")
    hyperparameters: dict[str, Any] = may_be_absent(description="arguments of the network")
    origin: Text = may_be_absent(alias="from", description="the name of a student or the path of a checkpoint")
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
    dict[Name, Annotated[OwnStudent | None, Field(description="a student, or null to leave it out")]],
    Field(description="your students by name"),
]
