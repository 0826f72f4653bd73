"""Dynamics with a student as the inner force, beside its teacher's own: multistep.json of one variant."""

import shutil
from pathlib import Path

from assay.data import MANY, read_dataset
from assay.dynamics.multistep import (
    REPEATED,
    TEACHER,
    describe,
    molecules_for,
    read_runs,
    student_runs,
)
from assay.predictors.ase_calculator import PredictorCalculator
from assay.predictors.interface import load_predictor
from assay.sampling.teacher import Teacher
from assay.workflow.config_models.commands_yaml import MultistepDynamics
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, sha256_file, short_digest, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("student_motion", variant="tiny")

with exit_on_error(snakemake.log[0]):
    params = snakemake.params
    settings, teacher = MultistepDynamics(**params.settings), Teacher(**params.teacher)
    predictor = load_predictor(Path(snakemake.input.model), threads=snakemake.threads)
    cards = [read_json(card) for card in snakemake.input.cards]
    elements = [card["elements"] for card in cards if card["variant"] in params.inner_forces]
    molecules = molecules_for(read_dataset(params.split, MANY), settings, elements)
    card, own = read_json(snakemake.input.card), read_runs(snakemake.input.teacher)
    what = [params.settings, card["checkpoint_sha256"], teacher.identity, sha256_file(snakemake.input.teacher)]
    state = Path(f"{snakemake.output[0]}.{short_digest(what)}")
    rows = [
        {"n": n} | describe(molecules[number], runs["energy"], runs["bath"], own[number][TEACHER])
        for number, n, runs in student_runs(
            molecules, lambda: PredictorCalculator(predictor), teacher.make, settings, state
        )
    ]
    by_teacher = [
        {"n": name} | describe(molecule, runs["energy"], runs[name], runs[TEACHER])
        for name in (TEACHER, REPEATED)
        for molecule, runs in zip(molecules, own, strict=True)
    ]
    result = header(card["variant"], card["checkpoint_sha256"]) | {
        "settings": params.settings,
        "teacher": teacher.name,
        "rows": rows,
        "teacher_rows": by_teacher,
    }
    write_json(snakemake.output[0], result)
    shutil.rmtree(state)
