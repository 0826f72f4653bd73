"""Draw the figure of the README from the report's summary."""

from assay.errors import exit_on_error
from assay.files import read_json
from assay.report.readme import write_figure

with exit_on_error(log=snakemake.log[0]):
    write_figure(snakemake.output[0], read_json(snakemake.input.summary))
