"""The teacher's own dynamics of a few molecules, which those with a student as the inner force are held against."""

import shutil
from pathlib import Path

from assay.data import MANY, read_dataset
from assay.dynamics.multistep import molecules_for, teacher_runs, write_runs
from assay.sampling.teacher import Teacher
from assay.workflow.config_models.commands_yaml import MultistepDynamics
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, short_digest

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("teacher_motion")

with exit_on_error(snakemake.log[0]):
    params = snakemake.params
    settings, teacher = MultistepDynamics(**params.settings), Teacher(**params.teacher)
    dataset = read_dataset(params.split, MANY)
    cards = [read_json(card) for card in snakemake.input.cards]
    elements = [card["elements"] for card in cards if card["variant"] in params.inner_forces]
    molecules = molecules_for(dataset, settings, elements)
    what = [params.settings, teacher.identity, [m.name for m in molecules], dataset.content_sha256()]
    state = Path(f"{snakemake.output[0]}.{short_digest(what)}")
    write_runs(snakemake.output[0], teacher_runs(molecules, teacher.make, settings, state))
    shutil.rmtree(state)
