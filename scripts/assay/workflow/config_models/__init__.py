"""What the config may hold, by file: types, bounds and descriptions; the values stand in the YAML files alone.

A description completes the sentence that reports a bad value, and is what editors show.
"""

from __future__ import annotations

from pydantic import Field

from assay.workflow.config_models import config_yaml, physics_yaml, recipes_yaml, students_yaml, trials_yaml
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
    endurance: config_yaml.Endurance
    peers: config_yaml.Peers
    engines: config_yaml.Engines
    regress: config_yaml.Regress
    package: config_yaml.Package
    domain: physics_yaml.Domain
    physics: physics_yaml.Physics
    properties: physics_yaml.Properties
    export: physics_yaml.Export
    quantize: physics_yaml.Quantize
    multistep: physics_yaml.Multistep
    distill: recipes_yaml.Distill
    data: students_yaml.Data | None = Field(description="what your students learn from")
    students: students_yaml.Students
    training: students_yaml.Training
    rounds: students_yaml.Rounds
    ablate: trials_yaml.Ablate
    compress: trials_yaml.Compress
