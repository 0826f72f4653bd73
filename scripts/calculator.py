"""Make the calculator of a variant once: calculator.json, from which it is made again, and its identity card."""

from pathlib import Path

from assay.predictors.calculator_card import card_of, description_of
from assay.predictors.calculators import CalculatorModel, CalculatorPredictor
from assay.workflow.errors import exit_on_error
from assay.workflow.files import write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("calculator", variant="mine")

with exit_on_error(log=snakemake.log[0]):
    variant, model = snakemake.wildcards.variant, CalculatorModel(**snakemake.params.calculator)
    predictor = CalculatorPredictor(model, variant, snakemake.threads)
    write_json(snakemake.output.model, description_of(variant, predictor, map(Path, snakemake.input)))
    write_json(snakemake.output.card, card_of(variant, predictor, snakemake.output.model, snakemake.params.device))
