"""Fail if the students have become slower than the baseline; a sentence says which, and by how much."""

from assay.benchmark import regression
from assay.workflow.errors import exit_on_error, terminal
from assay.workflow.files import read_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("regress")

with exit_on_error(snakemake.log[0]):
    print(regression.require_no_regression(read_json(snakemake.input[0])), file=terminal())
