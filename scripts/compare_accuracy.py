"""Draw the accuracy of all variants side by side."""

from assay.accuracy.figures import draw_comparison
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("compare_accuracy")

with exit_on_error(snakemake.log[0]):
    draw_comparison(snakemake.output[0], [read_json(path) for path in snakemake.input.results], snakemake.params.target)
