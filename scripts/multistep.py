"""Time students as inner forces beside their teacher, and say which is the best: multistep.json, figure and page."""

from pathlib import Path

from assay.benchmark.multistep import collect, draw, time_steps
from assay.benchmark.multistep_page import write_page
from assay.benchmark.timing import OtherLoad, limit_threads
from assay.data import MANY, read_dataset
from assay.dynamics.multistep import molecules_for
from assay.predictors.ase_calculator import PredictorCalculator
from assay.predictors.interface import load_predictor
from assay.sampling.teacher import Teacher
from assay.workflow.config_models.commands_yaml import MultistepDynamics
from assay.workflow.errors import AssayError, exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("multistep")

with exit_on_error(snakemake.log[0]):
    params, others = snakemake.params, OtherLoad()
    names, teacher = params.inner_forces, Teacher(**params.teacher)
    if not names:
        raise AssayError(
            f"no variant of the config is a student of {teacher.name}, which is its `teacher`: state the `teacher` of "
            "a variant, or configure the teacher of your students"
        )
    limit_threads(1)  # the teacher's molecules are small
    settings = MultistepDynamics(**params.settings)
    cards = [read_json(card) for card in snakemake.input.cards]
    elements = [card["elements"] for card in cards if card["variant"] in names]
    molecules = molecules_for(read_dataset(params.split, MANY), settings, elements)
    students = {
        name: PredictorCalculator(load_predictor(Path(model), threads=1))
        for name, model in zip(names, snakemake.input.models, strict=True)
    }
    times = [
        row for molecule in molecules for row in time_steps(molecule, teacher.make, students, settings, params.seconds)
    ]
    motions = dict(zip(names, map(read_json, snakemake.input.motions), strict=True))
    left_out = {
        name: f"its teacher is {own or 'unknown'}, and the configured one is {teacher.name}"
        for name, own in params.teachers.items()
        if name not in names
    }
    result = header(None) | {
        "load_of_other_processes": others.fraction(),
        "settings": params.settings,
        "not_applicable": left_out,
        **collect(motions, times, teacher.name, params.drift_limit),
    }
    write_json(snakemake.output.json, result)
    draw(snakemake.output.figure, result)
    write_page(snakemake.output.page, result)
