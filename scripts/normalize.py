"""Read any checkpoint and write it as model.safetensors, with its identity card model.json, and taught.json."""

from assay.checkpoint import normalize, write
from assay.workflow.errors import AssayError, exit_on_error, terminal
from assay.workflow.files import write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("normalize", variant="tiny")

with exit_on_error(log=snakemake.log[0]):
    told, variant = snakemake.params, snakemake.wildcards.variant
    try:
        checkpoint = normalize(snakemake.input.checkpoint, told.cutoff_A, told.weights, told.units)
    except AssayError as error:
        without = f"--config '{told.section}={{{variant}: null}}'"
        raise AssayError(f"{error}; or leave it out of the report by {without}") from None
    write(checkpoint, variant, snakemake.output.model, snakemake.output.card)
    write_json(snakemake.output.taught, checkpoint.taught)
    print(checkpoint.summary())
    for doubt in checkpoint.doubts():
        print(f"{snakemake.input.checkpoint}: {doubt}", file=terminal())
