"""Write a student as ONNX and TorchScript files that return energy and forces."""

from assay.checkpoint import load_model
from assay.errors import exit_on_error
from assay.export import onnx_graphs, torchscript
from assay.export.identity import identity
from assay.export.lowering import lower
from assay.files import read_json

with exit_on_error(snakemake.log[0]):
    model = load_model(snakemake.input.model)
    network, metadata = lower(model), identity(model, read_json(snakemake.input.card))
    torchscript.save(torchscript.to_torchscript(network, model.cutoff), snakemake.output.torchscript, metadata)
    for path, search in ((snakemake.output.onnx, True), (snakemake.output.edges, False)):
        onnx_graphs.save(onnx_graphs.assemble(network, model.cutoff, metadata, search=search), path)
