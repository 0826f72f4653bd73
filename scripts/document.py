"""Write the figures of a run into the documentation: docs/figures.json, pictures, and the tables of the pages."""

from pathlib import Path

from assay.report.digest import digest
from assay.report.document import FIGURES, make_gallery, write_pages
from assay.report.earlier import keep
from assay.report.evidence import read_students
from assay.report.fine_tuning import RESULT
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("document")

with exit_on_error(log=snakemake.log[0]):
    folder = Path(snakemake.input.summary).parents[1]
    students = read_students(folder / variant for variant in snakemake.params.variants)
    figures = digest(read_json(snakemake.input.summary), students, folder / "peers/peers.json")
    if Path(RESULT).is_file():
        figures["fine_tuning"] = read_json(RESULT)
    figures["gallery"] = make_gallery(".", students[0])
    figures = keep(figures, read_json(FIGURES))
    write_json(FIGURES, figures)
    write_pages(".", figures)
