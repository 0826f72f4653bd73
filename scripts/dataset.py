"""Ship the labelled parts: check them, cut training data to what fits, write counts and hashes."""

from pathlib import Path

from assay.sampling.shipping import ship
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("dataset")

with exit_on_error(log=snakemake.log[0]):
    ship(
        parts={Path(path).stem: path for path in snakemake.input},
        folder=Path(snakemake.output[0]).parent,
        max_bytes=snakemake.params.max_bytes,
        teacher=snakemake.params.teacher,
        record=snakemake.output[0],
    )
