"""Read any checkpoint and write it as model.safetensors, with its identity card model.json."""

from assay.checkpoint import normalize, write
from assay.workflow.errors import exit_on_error, terminal

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("normalize", variant="tiny")

with exit_on_error(log=snakemake.log[0]):
    told = snakemake.params
    checkpoint = normalize(snakemake.input.checkpoint, told.cutoff_A, told.weights, told.units)
    write(checkpoint, snakemake.wildcards.variant, snakemake.output.model, snakemake.output.card)
    print(checkpoint.summary())
    if checkpoint.doubt():
        print(checkpoint.doubt(), file=terminal())
