"""The sections of ``config/physics.yaml``: what checks do, and what decides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from assay.workflow.config_models.types import (
    ExportedFile,
    FilePath,
    FilePaths,
    FirstTemperature,
    Friction,
    Integers,
    Numbers,
    PositiveInteger,
    PositiveNumber,
    Section,
    Seed,
    TimeStep,
    may_be_absent,
)


class Domain(Section):
    """How the training data are described."""

    points_per_element: PositiveInteger
    seed: Seed


class ConstantEnergy(Section):
    """Dynamics at constant energy, at several time steps."""

    molecules: PositiveInteger
    temperature_K: PositiveNumber
    steps_fs: Annotated[list[PositiveNumber], Field(min_length=2)]
    duration_fs: PositiveNumber


class Stability(Section):
    """Langevin dynamics at several temperatures."""

    temperatures_K: Numbers
    step_fs: PositiveNumber
    duration_fs: PositiveNumber
    friction_per_fs: PositiveNumber


class ConstantPressure(Section):
    """Dynamics of crystals at zero pressure."""

    crystals: PositiveInteger
    temperatures_K: Numbers
    step_fs: PositiveNumber
    duration_fs: PositiveNumber


class Loops(Section):
    """Closed paths on which the energy must be continuous."""

    molecules: PositiveInteger
    clusters: PositiveInteger


class Dynamics(Section):
    """The dynamics of the physics checks."""

    nve: ConstantEnergy
    stability: Stability
    npt: ConstantPressure
    loops: Loops


class ExportDynamics(Section):
    """The dynamics of the physics checks of exported files."""

    nve: ConstantEnergy
    loops: Loops


class ExportChecks(Section):
    """The exported files that are checked, and the bounds for them."""

    files: list[ExportedFile] = Field(description="names of exported files")
    checks: list[str] = Field(min_length=1, description="names of physics checks")
    dynamics: ExportDynamics


class Distances(Section):
    """Evenly spaced distances of a scan."""

    first: PositiveNumber = Field(alias="from")
    last: PositiveNumber = Field(alias="to")
    count: int = Field(ge=2, description="how many distances")


class TeacherDynamics(Section):
    """Langevin dynamics that the teacher drives."""

    temperature_K: PositiveNumber
    step_fs: PositiveNumber
    n_steps: PositiveInteger
    friction_per_fs: Friction
    seed: Seed


class ReferenceRecipe(Section):
    """How the teacher's reference for the physics checks is made."""

    molecules: PositiveInteger
    max_atoms_of_vibrations: PositiveInteger
    conformers: PositiveInteger
    dynamics: TeacherDynamics = Field(description="settings of the teacher's dynamics")
    contact_distances_A: Distances
    dimer_distances: Distances
    elements: Integers


class Limit(Section):
    """The largest or the smallest value that passes, and why."""

    max: float = may_be_absent(description="the largest value that passes")
    min: float = may_be_absent(description="the smallest value that passes")
    because: str = Field(min_length=8, description="the reason of the limit")

    @model_validator(mode="after")
    def _has_one_end(self) -> Limit:
        if len({"max", "min"} & self.model_fields_set) != 1:
            raise ValueError("a limit with either `max` or `min`")
        return self


class Threshold(Section):
    """What a check is needed for, and the limits of what it measures."""

    needed_for: Literal["screening", "dynamics"] = Field(description="what the check is needed for")
    limits: dict[str, Annotated[Limit, Field(description="a limit, max or min, and because")]] = Field(min_length=1)


class Physics(Section):
    """What the physics checks do, and what decides the verdict."""

    seed: Seed
    reference: FilePaths
    structures: FilePath = may_be_absent(description="a file of your own molecules")
    dynamics: Dynamics
    exports: ExportChecks
    reference_recipe: ReferenceRecipe
    thresholds: dict[str, Threshold] = Field(description="limits by check")


class Tolerance(Section):
    """How far an exported file may be from the network in double precision: the sums of these parts."""

    energy_eV: PositiveNumber = Field(description="how far the energy of a structure may be off anyway")
    energy_eV_per_atom: PositiveNumber = Field(
        default=0.0, description="how much further it may be off for each atom; nothing if the key is absent"
    )
    energy_relative: PositiveNumber = Field(description="how much further it may be off, as a fraction of the energy")
    forces_eV_per_A: PositiveNumber = Field(description="how far a force may be off anyway")
    forces_relative: PositiveNumber = Field(
        description="how much further it may be off, as a fraction of the largest force of the batch"
    )


class ParityDynamics(Section):
    """How molecules are moved at constant energy, by an exported file and by the network."""

    n_atoms: Integers = Field(
        description="numbers of atoms of the molecules; for each the structure nearest in size is taken"
    )
    steps: PositiveInteger = Field(description="the number of time steps")
    step_fs: TimeStep
    temperature_K: FirstTemperature
    energy_eV_per_atom: PositiveNumber = Field(
        description="how far the change of the total energy may be from that in double precision"
    )


class Export(Section):
    """How exported files are judged."""

    tolerances: dict[Literal[ExportedFile, "default"], Annotated[Tolerance, Field(description="a tolerance")]] = Field(
        description="tolerances by name of file, and a default for the others"
    )
    runs: PositiveInteger = Field(
        description="the number of evaluations that must agree to the last bit, with each number of threads"
    )
    threads: Integers = Field(description="numbers of CPU threads")
    dynamics: ParityDynamics = Field(description="how molecules are moved at constant energy")

    def tolerance_of(self, file: str) -> Tolerance:
        """The tolerance of a file by its name, or the one for all that have none of their own."""
        own = [tolerance for name, tolerance in self.tolerances.items() if name == file]
        return own[0] if own else self.tolerances["default"]


class Motion(Section):
    """The dynamics at constant energy that the drift of a smaller form of a student is read from."""

    temperature_K: FirstTemperature
    step_fs: TimeStep
    duration_fs: PositiveNumber = Field(description="the length of a run")


class QuantizeLimits(Section):
    """What a scheme must hold to be worth shipping; ``config/physics.yaml`` gives the reasons."""

    size_ratio: PositiveNumber = Field(description="the largest file, over that of float32")
    latency_ratio_batch1: PositiveNumber = Field(description="the longest time of one structure, over that of float32")
    latency_ratio_batch32: PositiveNumber = Field(description="the longest time of 32 structures, over that of float32")
    force_mae_increase_relative: PositiveNumber = Field(
        description="the largest growth of the force error over that of float32, as a fraction of it"
    )
    energy_force_consistency: PositiveNumber = Field(
        description="the largest relative difference of forces and differences of energies"
    )
    drift_ratio: PositiveNumber = Field(description="the largest drift of the energy, over that of float32")


class Quantize(Section):
    """How a student is put into eight bits, and when that is worth shipping."""

    structures: int = Field(ge=32, description="structures that errors are judged on")
    calibration_structures: PositiveInteger
    molecules: PositiveInteger
    motion: Motion
    seconds: PositiveNumber
    seed: Seed
    limits: QuantizeLimits
