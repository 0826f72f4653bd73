"""Measure what holds for a trained student by its weights: weights.json."""

from pathlib import Path

from assay.data import read_examples
from assay.engine.library import library
from assay.predictors.interface import load_predictor
from assay.quantize.trained import measure_trained
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("measure_weights", variant="tiny")

with exit_on_error(snakemake.log[0]):
    card = read_json(snakemake.input.card)
    runtimes = ["eager", "engine"] if library() is not None else ["eager"]
    predictors = [load_predictor(Path(snakemake.input.model), runtime=runtime) for runtime in runtimes]
    structures = read_examples([snakemake.params.unseen])
    measured = measure_trained(predictors, Path(snakemake.input.onnx), structures)
    write_json(snakemake.output[0], header(card["variant"], card["checkpoint_sha256"]) | {"measured": measured})
