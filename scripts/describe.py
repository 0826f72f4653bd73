"""Describe structures, so that others which are unlike them can be flagged."""

from assay.accuracy.domain import write_domain
from assay.accuracy.fitting import fit
from assay.data import MANY, read_dataset
from assay.workflow.errors import exit_on_error

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("describe", data="shipped")

with exit_on_error(snakemake.log[0]):
    train, calibration = (read_dataset(data, MANY) for data in (snakemake.params.train, snakemake.params.validation))
    write_domain(snakemake.output[0], fit(train, calibration, **snakemake.params.settings))
