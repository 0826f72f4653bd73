"""The whole config, of which each section stands in the module of its file."""

from __future__ import annotations

from pydantic import Field

from assay.workflow.config_models import commands_yaml, config_yaml, physics_yaml, recipes_yaml, students_yaml
from assay.workflow.config_models.types import Section


class Dataset(Section):
    """Labelled structures."""

    splits: config_yaml.Splits
    train: config_yaml.PathOrFile
    validation: config_yaml.PathOrFile
    recipe: recipes_yaml.DatasetRecipe = Field(description="how the dataset is made again")


class Config(Section):
    """The whole config."""

    device: config_yaml.Device
    variants: config_yaml.Variants
    dataset: Dataset
    teacher: config_yaml.Teacher
    report: config_yaml.Report
    accuracy: config_yaml.Accuracy
    benchmark: config_yaml.Benchmark
    endurance: commands_yaml.Endurance
    peers: commands_yaml.Peers
    engines: commands_yaml.Engines
    regress: commands_yaml.Regress
    package: config_yaml.Package
    domain: physics_yaml.Domain
    physics: physics_yaml.Physics
    properties: commands_yaml.Properties
    export: physics_yaml.Export
    quantize: physics_yaml.Quantize
    multistep: commands_yaml.Multistep
    distill: recipes_yaml.Distill
    data: students_yaml.Data | None = Field(description="what your students learn from")
    students: students_yaml.Students
    training: students_yaml.Training
    rounds: students_yaml.Rounds
    ablate: commands_yaml.Ablate
    compress: commands_yaml.Compress
