"""Write the tables and pictures of `snakemake ablate` and `snakemake compress` into the documentation."""

from pathlib import Path

from assay.report.document import FIGURES, write_pages
from assay.report.trials import take_over
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("document_trials")

with exit_on_error(log=snakemake.log[0]):
    results = {"ablation": snakemake.input.ablation, "compression": snakemake.input.compression}
    figures = take_over(read_json(FIGURES), {key: Path(path) for key, path in results.items()}, Path("docs"))
    write_json(FIGURES, figures)
    write_pages(".", figures)
