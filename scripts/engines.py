"""Tell of all students in all programs: engines.json, its table and its figure."""

from assay.engines.table import draw, write_markdown
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("engines")

with exit_on_error(snakemake.log[0]):
    students = {found["variant"]: found for found in map(read_json, snakemake.input.students)}
    result = header(None) | {"students": students}
    write_json(snakemake.output.json, result)
    write_markdown(snakemake.output.page, result)
    draw(snakemake.output.figure, result)
