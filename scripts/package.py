"""Pack a student with what runs it and what is known of it: package.zip."""

from pathlib import Path

import torch

from assay.checkpoint import normalize
from assay.package.build import example_files, write_package
from assay.package.card import write_card
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("package", variant="tiny")

with exit_on_error(snakemake.log[0]):
    checkpoint = normalize(snakemake.input.model)
    results = {Path(path).stem: read_json(path) for path in [snakemake.input.card, *snakemake.input.results]}
    files = {Path(path).name: Path(path) for path in snakemake.input.files}
    results |= dict(zip(["training"], map(read_json, snakemake.input.record), strict=False))
    card = write_card(results, files, **snakemake.params.card)
    example = example_files(checkpoint.build(torch.float64), checkpoint.atomic_numbers)
    facts = {Path(path).name: Path(path) for path in [snakemake.input.card, *snakemake.input.results]}
    write_package(
        snakemake.output[0], snakemake.wildcards.variant, files | facts | example | {"README.md": card.encode()}
    )
