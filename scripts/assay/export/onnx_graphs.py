"""ONNX files that take atoms and return energy and forces.

``model.onnx`` searches the neighbors of open structures itself; ``model.edges.onnx`` takes a neighbor list and returns
the virial too. Both are the lowered network behind the prelude that makes its tables: standard operators only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from torch import fx

from assay.export.forms import OUTPUTS, TableInputs
from assay.export.onnx_operators import Writer
from assay.export.prelude import IR_VERSION, OPSET, prelude
from assay.workflow.files import atomic_path

DIGEST = "sha256"
PUBLIC = {  # name: (element type, shape, what it is)
    "atomic_numbers": (onnx.TensorProto.INT64, ("atoms",), "atomic number of each atom"),
    "positions": (onnx.TensorProto.FLOAT, ("atoms", 3), "angstrom"),
    "batch": (onnx.TensorProto.INT64, ("atoms",), "structure of each atom, counted from 0"),
    "edge_index": (
        onnx.TensorProto.INT64, (2, "pairs"),
        "rows (neighbor, atom): every pair within the cutoff, both ways, in any order; longer pairs do no harm",
    ),
    "edge_shift": (
        onnx.TensorProto.FLOAT, ("pairs", 3), "angstrom: vector = positions[neighbor] - positions[atom] + edge_shift"
    ),
    "energy": (onnx.TensorProto.DOUBLE, ("structures",), "eV"),
    "forces": (onnx.TensorProto.FLOAT, ("atoms", 3), "eV/angstrom, the negative gradient of the energy"),
    "virial": (onnx.TensorProto.FLOAT, ("structures", 3, 3), "eV, -dE/d(strain): stress = -virial / volume"),
}  # fmt: skip


def assemble(
    network: fx.GraphModule, cutoff: float, metadata: Mapping[str, object], *, search: bool
) -> onnx.ModelProto:
    """Put the prelude before the network.

    Args:
        network: the result of ``lowering.lower`` in the form of tables.
        cutoff: radius of the neighbor search, angstrom.
        metadata: what the file says about itself in ``metadata_props``; values that are not text become JSON.
        search: whether the graph finds the neighbors (``model.onnx``) or takes them as inputs (``model.edges.onnx``).

    Returns:
        A checked model with the documented inputs and outputs.
    """
    before, writer = prelude(cutoff, search=search), Writer(network)
    writer.write(["tainted" if name == "positions" else name for name in TableInputs._fields], OUTPUTS)
    inputs = ["atomic_numbers", "positions", "batch"] + ([] if search else ["edge_index", "edge_shift"])
    outputs = ["energy", "forces"] + ([] if search else ["virial"])
    nodes = needed([*before.graph.node, *writer.nodes], outputs)
    used = {name for node in nodes for name in node.input}
    graph = onnx.helper.make_graph(
        nodes,
        "energy_and_forces",
        [_value(name) for name in inputs],
        [_value(name) for name in outputs],
        [tensor for tensor in writer.initializers() if tensor.name in used],
        doc_string="Energy and forces of atoms. Any number of atoms, of structures and of neighbors.",
    )
    model = onnx.helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=[onnx.helper.make_opsetid("", OPSET)], producer_name="assay"
    )
    onnx.helper.set_model_props(model, {key: _text(value) for key, value in metadata.items()})
    onnx.checker.check_model(model, full_check=True)
    return model


def save(model: onnx.ModelProto, path: str | Path) -> None:
    """Write a model file, atomically. The last entry of its metadata is the SHA-256 of all that stands before it.

    A byte that is damaged later would else be a weight that is wrong in silence; see ``runtime.session.OnnxStudent``.
    Every node without a name gets one: ONNX Runtime before 1.22 names what it fuses after the nodes that it fused, and
    refuses two of one name.
    """
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    others = {entry.key: entry.value for entry in model.metadata_props if entry.key != DIGEST}
    onnx.helper.set_model_props(model, others)
    content = model.SerializeToString()
    end = onnx.ModelProto()
    onnx.helper.set_model_props(end, {DIGEST: hashlib.sha256(content).hexdigest()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content + end.SerializeToString())


def _value(name: str) -> onnx.ValueInfoProto:
    element, shape, meaning = PUBLIC[name]
    return onnx.helper.make_tensor_value_info(name, element, shape, doc_string=meaning)


def needed(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Return the nodes that ``outputs`` depend on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
