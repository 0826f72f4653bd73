"""Write a student as one file of metatomic, in an environment that has it."""

import os
import subprocess

from assay.engines.run import LIBRARY
from assay.predictors.virtual_environments import interpreter
from assay.workflow.errors import AssayError, exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("metatomic_file", variant="tiny")

MODULE = "assay.engines.metatomic.model"

with exit_on_error(snakemake.log[0]):
    files = [snakemake.input.model, snakemake.input.card, snakemake.output[0]]
    command = [interpreter(snakemake.input.environment), "-m", MODULE, *files]
    library = os.environ | {"PYTHONPATH": str(LIBRARY)}
    if subprocess.run(command, env=library).returncode != 0:
        raise AssayError(
            f"{snakemake.input.model} cannot be written as a file of metatomic: look at {snakemake.log[0]}"
        )
