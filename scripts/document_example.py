"""Write the figures of the worked example into the documentation: its part of docs/figures.json, and its tables."""

from pathlib import Path

from assay.report.document import EXAMPLE, FIGURES, write_pages
from assay.report.evidence import read_students
from assay.report.example import example_digest
from assay.report.properties import read_properties
from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path, read_json, sha256_file, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("document_example")

with exit_on_error(log=snakemake.log[0]):
    folder = Path("results")
    students = read_students(folder / variant for variant in snakemake.params.variants)
    figures = read_json(FIGURES)
    drawn = snakemake.input.get("drawn")
    properties = read_properties(folder, students, **snakemake.params.properties) if drawn else None
    figures["example"] = example_digest(students, properties, figures["example"])
    if properties is not None:
        figures["example"]["properties"]["picture_sha256"] = sha256_file(drawn)
        with atomic_path(EXAMPLE) as path:
            path.write_bytes(Path(drawn).read_bytes())
    write_json(FIGURES, figures)
    write_pages(".", figures)
