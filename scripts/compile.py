"""Compile a student to machine code with AOTInductor: model.pt2."""

from assay.checkpoint import load_model
from assay.export import aotinductor
from assay.export.forms import SlotPotential
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("compile", variant="tiny")

with exit_on_error(snakemake.log[0]):
    model = load_model(snakemake.input.model)
    metadata = export_metadata(model, read_json(snakemake.input.card))
    aotinductor.save(lower(model, SlotPotential, metadata["elements"]), snakemake.output[0], metadata)
