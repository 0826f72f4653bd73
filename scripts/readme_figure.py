"""Draw the figure of the README from the report's summary."""

from assay.report.readme import write_figure
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json

with exit_on_error(log=snakemake.log[0]):
    write_figure(snakemake.output[0], read_json(snakemake.input.summary))
