"""Write a student as a model of NNPot, which GROMACS takes."""

from pathlib import Path

from assay.engines.gromacs.model import write
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("gromacs_file", variant="tiny")

with exit_on_error(snakemake.log[0]):
    cutoff = read_json(snakemake.input.card)["hyperparameters"]["cutoff_A"]
    write(Path(snakemake.input.scripted), cutoff, Path(snakemake.output[0]))
