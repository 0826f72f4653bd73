"""The sections of ``config/config.yaml``: what a user meets first."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from assay.workflow.config_models.types import (
    CUTOFF_RANGE_A,
    EnvironmentPath,
    FilePath,
    Integers,
    Name,
    PositiveInteger,
    PositiveNumber,
    Section,
    Seed,
    Text,
    is_unit,
    may_be_absent,
    module_name,
)

OF_CHECKPOINTS = ("weights", "units")  # keys of a variant that is a checkpoint, and of one that is a calculator
OF_CALCULATORS = ("arguments", "environment", "vacuum_A", "time_limit_s")
RESERVED = (
    "ablation",
    "report",
    "peers",
    "engines",
    "regression",
    "properties",
    "multistep",
)  # folders of results/ that are no variant's

Entry = TypeVar("Entry")


def _not_reserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"no name of a folder that results/ has anyway ({', '.join(RESERVED)})")
    return name


_CLASS = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"


def _names_a_class(name: str) -> str:
    if not re.match(_CLASS, name) or name.endswith(".py"):
        raise ValueError("module.Class, such as my_teacher.Morse for the class Morse in my_teacher.py")
    return name


CalculatorClass = Annotated[
    str,
    Field(description="an ASE calculator class as module.Class", json_schema_extra={"pattern": _CLASS}),
    AfterValidator(_names_a_class),
]


class OfCalculator(Section):
    """How a calculator runs."""

    environment: EnvironmentPath = may_be_absent(
        description="path of a requirements file or of a Python interpreter, in which the calculator runs"
    )
    vacuum_A: PositiveNumber = may_be_absent(
        description="vacuum in angstrom around open structures, for a calculator that takes periodic ones only"
    )
    time_limit_s: PositiveNumber = may_be_absent(
        description="seconds that the calculator may take for loading and for each structure"
    )


class Teacher(OfCalculator):
    """The calculator that labels structures."""

    name: Text = Field(description="what reports call the teacher")
    calculator: CalculatorClass
    arguments: dict[str, Any] = Field(description="keyword arguments of the calculator")


class NamedTeacher(OfCalculator):
    """The teacher of a student: its name, and its calculator if there is one."""

    name: Text = Field(description="what reports call the teacher")
    calculator: CalculatorClass = may_be_absent()
    arguments: dict[str, Any] = may_be_absent(description="keyword arguments of the calculator")


def by_name(value: Any) -> Any:
    """A teacher that is told by its name alone, as a set of keys."""
    return {"name": value} if isinstance(value, str) else value


class TrainedUnits(Section):
    """The units of the data that a student was trained on, where they are others than eV and angstrom."""

    energy: Annotated[Text, is_unit("energy")] = may_be_absent(description="the unit of energy, such as kcal/mol")
    length: Annotated[Text, is_unit("length")] = may_be_absent(description="the unit of length, such as bohr")


class Variant(OfCalculator):
    """A student: a checkpoint, or an ASE calculator that stands for any other model; and what its author says of it."""

    checkpoint: FilePath = may_be_absent(description="path of a .pt, .pth, .ckpt or .safetensors file")
    cutoff_A: PositiveNumber = may_be_absent(description="cutoff in angstrom of a model that does not tell it")
    weights: Text = may_be_absent(description="raw, average, or the path of a set of weights in the checkpoint")
    units: TrainedUnits = may_be_absent(
        description="the units that a network was trained in; others than eV and angstrom for schnetpack alone"
    )
    calculator: CalculatorClass = may_be_absent()
    arguments: dict[str, Any] = may_be_absent(description="keyword arguments of the calculator")
    teacher: Annotated[NamedTeacher, BeforeValidator(by_name, json_schema_input_type=NamedTeacher | Text)] = (
        may_be_absent(description="the name of the student's teacher, or {name, calculator, arguments}")
    )
    licence: Text = may_be_absent(description="the licence of the weights, in words")
    citation: Text = may_be_absent(description="how the student is cited, in words")

    @model_validator(mode="after")
    def _one_of_two(self) -> Variant:
        if (self.checkpoint is None) == (self.calculator is None):
            raise ValueError("a `checkpoint` or a `calculator`, one of the two")
        kind, other = ("checkpoint", OF_CALCULATORS) if self.calculator is None else ("calculator", OF_CHECKPOINTS)
        for key in other:
            if getattr(self, key) is not None:
                raise ValueError(f"without `{key}`, which says nothing of a {kind}")
        least, most = CUTOFF_RANGE_A
        if self.checkpoint is not None and self.cutoff_A is not None and not least <= self.cutoff_A <= most:
            raise ValueError(f"a student whose `cutoff_A` is between {least:g} and {most:g} angstrom")
        return self


class LabelUnits(Section):
    """The units of a labelled file; those that are absent follow from the first two."""

    energy: Annotated[Text, is_unit("energy", sign=True, per_atom=True)] = may_be_absent(
        description="such as eV, hartree, kcal/mol, or eV/atom for energies of one atom"
    )
    length: Annotated[Text, is_unit("length")] = may_be_absent(description="such as angstrom or bohr")
    forces: Annotated[Text, is_unit("forces", sign=True)] = may_be_absent(
        description="such as hartree/bohr; -hartree/bohr for gradients"
    )
    stress: Annotated[Text, is_unit("stress", sign=True)] = may_be_absent(
        description="such as eV/angstrom^3 or GPa; -kbar where pressure is positive"
    )
    virial: Annotated[Text, is_unit("virial", sign=True)] = may_be_absent(description="such as eV")


class LabelledFile(Section):
    """A file of labelled structures, and the names and units of its labels where the file does not tell them."""

    path: FilePath
    energy_key: Text = may_be_absent(description="the name of energies in the file")
    forces_key: Text = may_be_absent(description="the name of forces, or of gradients, in the file")
    stress_key: Text = may_be_absent(description="the name of stresses, positive under tension")
    virial_key: Text = may_be_absent(description="the name of virials, which are minus volume times stress")
    units: LabelUnits = may_be_absent(description="the units of the file")
    elements: list[Text] = may_be_absent(min_length=1, description="the elements of types, in their order")
    teacher: Text = may_be_absent(description="the name of the teacher that labelled the file")


class Targets(Section):
    """What the report holds the students against."""

    force_accuracy: float = Field(gt=0, le=1, description="what 1 - RMSE / RMS of the forces must exceed")
    speedup_over_teacher: PositiveNumber = Field(
        description="what the teacher's time over the student's for one structure must reach"
    )
    latency_ms: PositiveNumber = Field(
        description="what the time for energy and forces of one structure must stay below"
    )
    dag_speedup: PositiveNumber = Field(description="what the sum of the jobs' times over the wall time must reach")


class Report(Section):
    """The report of all variants."""

    targets: Targets


class Accuracy(Section):
    """How errors against the teacher are summarized."""

    max_structures: PositiveInteger | None = Field(
        description="the most structures of a split that are judged, drawn at random; null for all"
    )
    resamples: PositiveInteger = Field(description="the number of resamples of the bootstrap, each a draw of molecules")
    confidence: float = Field(gt=0, lt=1, description="the share of the bootstrap distribution that an interval covers")
    size_bins: Integers = Field(
        description="upper ends (inclusive) of the bins of structure size, in atoms; a last bin is open"
    )
    worst: PositiveInteger = Field(description="the number of the worst structures that are named")
    seed: Seed = Field(description="the seed of the drawn structures and of the bootstrap")


class Benchmark(Section):
    """The sizes, batches and times of a benchmark."""

    system_sizes: Integers = Field(
        description="numbers of atoms; the structures of the data that are nearest to each are timed"
    )
    single_sizes: list[PositiveInteger] = Field(
        description="further numbers of atoms, timed one structure a call; the teacher is timed beside them up to the "
        "largest of system_sizes"
    )
    batch_sizes: Integers = Field(description="numbers of structures in one call")
    detailed_batch_sizes: list[PositiveInteger] = Field(
        description="the batch sizes at which the teacher and calls without neighbor search are timed too"
    )
    max_atoms: PositiveInteger = Field(
        description="the largest number of atoms in a batch; larger batches are left out"
    )
    seconds: PositiveNumber = Field(description="the time for which each call is measured at each point")
    min_rounds: PositiveInteger = Field(description="the least number of turns of each call")
    max_rounds: PositiveInteger = Field(description="the largest number of turns of each call")
    longest_s: PositiveNumber = Field(
        description="the longest first call after which a runtime is still timed at points larger than system_sizes"
    )
    time_step_fs: PositiveNumber = Field(description="the time step that ns/day refer to")

    @model_validator(mode="after")
    def _rounds_rise(self) -> Benchmark:
        if self.min_rounds > self.max_rounds:
            raise ValueError(f"settings whose `max_rounds` are at least their `min_rounds`, {self.min_rounds}")
        return self


class Package(Section):
    """What packages hold, and what the model card says of every variant."""

    lammps_plugin: bool = Field(description="whether packages bring the compiled plugin for LAMMPS")
    training_data: Text = Field(description="a source of data in words")


def with_modules_of_their_own(variants: dict[str, Entry]) -> dict[str, Entry]:
    """Refuse variants, or students, whose packages would install one module.

    Raises:
        ValueError: two of those that are not null would; it completes a sentence about what there must be.
    """
    names = [name for name, variant in variants.items() if variant is not None]
    for name, other in combinations(names, 2):
        if module_name(name) == module_name(other):
            raise ValueError(
                f"names of different Python modules, and {name} and {other} are both {module_name(name)}: rename one"
            )
    return variants


def _not_their_own_results(variants: dict[str, Entry]) -> dict[str, Entry]:
    """Refuse a checkpoint among the results of its variant, which each run would read, write and find changed.

    Raises:
        ValueError: there is one; it completes a sentence about what there must be.
    """
    for name, variant in variants.items():
        path = getattr(variant, "checkpoint", None)
        if path and Path(path).resolve().is_relative_to(Path("results", name).resolve()):
            raise ValueError(
                f"checkpoints that are no results of themselves, and {path} is one of {name}: copy it to another "
                "folder with the files beside it, and name the copy"
            )
    return variants


VariantName = Annotated[Name, AfterValidator(_not_reserved)]
Variants = Annotated[
    dict[
        VariantName,
        Annotated[Variant | None, Field(description="a student, or null to leave it out")],
    ],
    Field(min_length=1, description="the students by name"),
    AfterValidator(with_modules_of_their_own),
    AfterValidator(_not_their_own_results),
]


def _with_path(given: Any) -> Any:
    if given == "":
        raise ValueError("text of at least 1 character(s), or a set of keys")
    return {"path": given} if isinstance(given, str) else given


PathOrFile = Annotated[
    LabelledFile,
    BeforeValidator(_with_path, json_schema_input_type=LabelledFile | Text),
    Field(description="a path, or a set of keys with one"),
]
Splits = Annotated[
    dict[
        Name,
        Annotated[
            LabelledFile | None,
            BeforeValidator(_with_path, json_schema_input_type=LabelledFile | Text | None),
            Field(description="a path, a set of keys with one, or null to leave it out"),
        ],
    ],
    Field(min_length=1, description="files of labelled structures by name"),
]
Device = Annotated[Literal["auto", "cpu", "cuda"], Field(description="where models run")]
