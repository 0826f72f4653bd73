"""Write the figures of a run into the documentation: docs/figures.json, pictures, and the tables of the pages."""

from pathlib import Path

from assay.report import fine_tuning
from assay.report.digest import digest
from assay.report.document import FIGURES, make_gallery, write_pages
from assay.report.evidence import read_students
from assay.report.trials import keep
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("document")

with exit_on_error(log=snakemake.log[0]):
    folder = Path(snakemake.input.summary).parents[1]
    students = read_students(folder / variant for variant in snakemake.params.variants)
    figures = digest(read_json(snakemake.input.summary), students, folder / "peers/peers.json")
    figures["fine_tuning"] = fine_tuning.digest(before=read_json(FIGURES))
    figures["gallery"] = make_gallery(".", students[0])
    earlier = read_json(FIGURES)
    figures = keep(figures, earlier) | {"example": earlier["example"]}  # of runs of their own
    write_json(FIGURES, figures)
    write_pages(".", figures)
