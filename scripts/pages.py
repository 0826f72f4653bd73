"""Write the tables of the documentation again from docs/figures.json; no run is needed."""

from assay.report.document import FIGURES, write_pages
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("pages")

with exit_on_error(log=snakemake.log[0]):
    write_pages(".", read_json(FIGURES))
