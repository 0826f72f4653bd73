"""Write a student as ONNX and TorchScript files that return energy and forces, and as the file of the engine."""

from assay.checkpoint import load_model
from assay.export import engine_file, onnx_graphs, torchscript
from assay.export.half import to_half
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("export", variant="tiny")

with exit_on_error(snakemake.log[0]):
    model = load_model(snakemake.input.model)
    metadata = export_metadata(model, read_json(snakemake.input.card))
    network = lower(model, elements=metadata["elements"])
    scripted = torchscript.to_torchscript(network, model.cutoff)
    atoms = onnx_graphs.assemble(network, model.cutoff, metadata, search=True)
    edges = onnx_graphs.assemble(network, model.cutoff, metadata, search=False)
    torchscript.save(scripted, snakemake.output.torchscript, metadata)
    onnx_graphs.save(atoms, snakemake.output.onnx)
    onnx_graphs.save(edges, snakemake.output.edges)
    onnx_graphs.save(to_half(atoms), snakemake.output.half)
    engine_file.save(model, snakemake.output.engine, metadata)
