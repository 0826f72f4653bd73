"""What the sections of the config are built from: bounded numbers, paths, ranges, and keys that may be absent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from assay.workflow.errors import AssayError
from assay.workflow.units import EXAMPLES, factor, of_structure

# The files of a student that an export writes, and the one in eight bits.
FileOfExport = Literal["model.onnx", "model.edges.onnx", "model.fp16.onnx", "model.ts.pt", "model.assay", "model.pt2"]
ExportedFile = Literal[FileOfExport, "model.int8.onnx"]
CUTOFF_RANGE_A = (0.5, 20.0)  # of students, in angstrom


class Section(BaseModel):
    """A set of keys that are all required, unless they say otherwise; any other key is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


def may_be_absent(**about: Any) -> Any:
    """A field whose key may be left out, but may not be null.

    Args:
        about: further arguments of ``pydantic.Field``.
    """
    return Field(default=None, **about)


def module_name(variant: str) -> str:
    """The Python module that the package of a variant installs, which is the name of its distribution as well."""
    return f"assay_{re.sub('[-_]+', '_', variant).lower()}"


def steps_between(interval_fs: float, step_fs: float) -> int:
    """The number of steps from one frame of dynamics to the next, where frames are about so far apart."""
    return max(1, round(interval_fs / step_fs))


def _as_given(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    check(value)
    return value


def _rising(values: list[Any]) -> list[Any]:
    if values[0] > values[1]:
        raise ValueError("the smaller number first")
    return values


def is_unit(kind: str, sign: bool = False, per_atom: bool = False) -> AfterValidator:
    """A validator of the name of a unit.

    Args:
        kind: a key of ``assay.workflow.units.DIMENSIONS``.
        sign: whether a "-" may stand before it.
        per_atom: whether "/atom" may stand behind it.
    """

    def known(unit: str) -> str:
        """The unit, if it is one."""
        try:
            turned = factor(of_structure(unit) if per_atom else unit, kind) < 0.0
        except AssayError:
            raise ValueError(f"a unit of {kind}, such as {EXAMPLES[kind]}") from None
        if turned and not sign:
            raise ValueError(f"a unit of {kind} without a sign, such as {EXAMPLES[kind]}")
        return unit

    return AfterValidator(known)


def _without_wildcards(path: str) -> str:
    if set("{}") & set(path):
        raise ValueError("a path without { and }, which are wildcards to Snakemake: rename the file or its folder")
    return path


def _environment(path: str) -> str:
    if Path(path).is_dir():
        raise ValueError("a file and no folder: of a virtual environment, name its bin/python")
    return path


# Behind the bounds of a number, which then stays as the config spells it, and so in results that quote settings: 300
# does not become 300.0.
AS_GIVEN = WrapValidator(_as_given)

Count = Annotated[int, Field(ge=0)]
PositiveInteger = Annotated[int, Field(ge=1)]
PositiveNumber = Annotated[float, Field(gt=0), AS_GIVEN]
Friction = Annotated[float, Field(ge=0, description="a friction"), AS_GIVEN]
Portion = Annotated[float, Field(ge=0, le=1, description="a share"), AS_GIVEN]
PositivePortion = Annotated[float, Field(gt=0, le=1, description="a share of a kind"), AS_GIVEN]
Rate = Annotated[float, Field(ge=0, description="a rate"), AS_GIVEN]
Clip = Annotated[float, Field(ge=1, description="a multiple of the usual gradient"), AS_GIVEN]
Decay = Annotated[float, Field(ge=0, lt=1, description="a decay below 1"), AS_GIVEN]
Seed = Annotated[int, Field(ge=0, description="a seed of random numbers")]
Text = Annotated[str, Field(min_length=1)]

# Of dynamics: times in fs, temperatures in kelvin.
TimeStep = Annotated[PositiveNumber, Field(description="the time step")]
FrameInterval = Annotated[PositiveNumber, Field(description="the time between frames")]
FirstTemperature = Annotated[PositiveNumber, Field(description="the temperature of the first velocities")]
BathTemperature = Annotated[
    PositiveNumber, Field(description="the temperature of the first velocities and of the heat bath")
]
SeedOfMotion = Annotated[Seed, Field(description="the seed of velocities and noise")]
SplitOfMolecules = Annotated[Text, Field(description="a name under dataset.splits, of which molecules are taken")]
MoleculeCount = Annotated[PositiveInteger, Field(description="the number of molecules, evenly over sizes")]

FilePath = Annotated[str, Field(min_length=1, description="a path"), AfterValidator(_without_wildcards)]
EnvironmentPath = Annotated[FilePath, AfterValidator(_environment)]
FilePaths = Annotated[
    list[FilePath],
    Field(min_length=1, description="a path, or a list of paths"),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=list[str] | str),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]

Integers = Annotated[list[PositiveInteger], Field(min_length=1)]
Numbers = Annotated[list[PositiveNumber], Field(min_length=1)]
Range = Annotated[
    list[PositiveNumber], Field(min_length=2, max_length=2, description="[least, most]"), AfterValidator(_rising)
]
Counts = Annotated[
    list[PositiveInteger], Field(min_length=2, max_length=2, description="fewest and most"), AfterValidator(_rising)
]
