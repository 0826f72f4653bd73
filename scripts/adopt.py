"""Put a normalized model that was read without complaint in the place of an earlier one."""

import shutil

from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("adopt", variant="tiny")

with exit_on_error(log=snakemake.log[0]):
    for source, target in (
        (snakemake.input.card, snakemake.output.card),
        (snakemake.input.taught, snakemake.output.taught),
        (snakemake.input.model, snakemake.output.model),
    ):
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
