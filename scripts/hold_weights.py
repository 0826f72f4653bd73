"""Fail if a student no longer holds the bounds on its weights; a sentence says which, and by how much."""

from pathlib import Path

import yaml

from assay.quantize.trained import require_bounds
from assay.workflow.errors import exit_on_error, terminal
from assay.workflow.files import read_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("weights")

with exit_on_error(snakemake.log[0]):
    measured = [read_json(path) for path in snakemake.input.measured]
    bounds = yaml.safe_load(Path(snakemake.input.bounds).read_text())
    print(require_bounds({row["variant"]: row["measured"] for row in measured}, bounds), file=terminal())
