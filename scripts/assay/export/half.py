"""The ONNX graph in half precision, where that is enough.

Positions, distances, the radial basis and what the gradient does with them stay in single precision, and so do the
energy head and all sums of energies: a distance of 3 angstrom is known to 0.002 in half precision, an energy of 100 eV
to 0.06. What remains, the products with the hidden layers' weights and the messages, is nearly all of the work.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import onnx
from onnxconverter_common import float16

from assay.export.onnx_graphs import needed

PRODUCTS = ("MatMul", "Gemm")
SMALLEST_HALF = 6e-8  # the smallest positive number in half precision
HEADS = ("head_", "energy_head_")  # the weights between the atoms' features and their energies begin so


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` that computes its hidden layers in float16, with the same inputs and outputs.

    The nodes between the first and the last product with a weight compute in half precision, those of the energy head
    excepted.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for index, node in enumerate(copy.graph.node):
        node.name = node.name or f"prelude_{index}"
    single = single_nodes(copy)
    _unshare_constants(copy.graph, single)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # weights below the smallest half become it, and it warns
        half = float16.convert_float_to_float16(
            copy, keep_io_types=True, node_block_list=sorted(single), op_block_list=[], min_positive_val=SMALLEST_HALF
        )
    half.graph.ClearField("value_info")
    _skip_detours(half.graph)
    _keep_outputs(half.graph, {value.name: value.type.tensor_type.elem_type for value in model.graph.output})
    onnx.checker.check_model(half, full_check=True)
    return half


def single_nodes(model: onnx.ModelProto) -> set[str]:
    """Return the names of the nodes that stay in single precision."""
    nodes = list(model.graph.node)
    backwards = [_reversed(node) for node in reversed(nodes)]
    weights = {tensor.name for tensor in model.graph.initializer}
    embedded = {
        node.name
        for node in nodes
        if node.op_type == "Gather" and node.input[0] in weights and "embed" in node.input[0]
    }
    products = {node.name for node in nodes if node.op_type in PRODUCTS}
    after = _reached(nodes, products | embedded)
    before = _reached(backwards, products)
    layers = {node.name for node in nodes if any(name.startswith(HEADS) for name in node.input)}
    head = _reached(nodes, layers) & _reached(backwards, layers)
    return {node.name for node in nodes if node.name not in after & before} | head


def _unshare_constants(graph: onnx.GraphProto, single: set[str]) -> None:
    """Give the nodes outside ``single`` constants of their own, because the converter casts a shared one for all."""
    used = {name for node in graph.node if node.name in single for name in node.input}
    shared = {tensor.name: tensor for tensor in graph.initializer if tensor.name in used}
    copied = set()
    for node in graph.node:
        for place, name in enumerate(node.input):
            if node.name not in single and name in shared:
                node.input[place] = f"{name}_half"
                copied.add(name)
    for name in sorted(copied):
        tensor = graph.initializer.add()
        tensor.CopyFrom(shared[name])
        tensor.name = f"{name}_half"


def _skip_detours(graph: onnx.GraphProto) -> None:
    """Let a value that one node in single precision hands to another stay as it is: the converter rounds it to half and
    casts it back, which puts the errors of half precision into distances, energies and forces.
    """
    casts = {node.output[0]: (node.input[0], node.attribute[0].i) for node in graph.node if node.op_type == "Cast"}
    rounded = {name: exact for name, (exact, element) in casts.items() if element == onnx.TensorProto.FLOAT16}
    detours = {
        name: rounded[there]
        for name, (there, element) in casts.items()
        if element == onnx.TensorProto.FLOAT and there in rounded
    }
    for node in graph.node:
        node.input[:] = [detours.get(name, name) for name in node.input]
    nodes = needed(list(graph.node), [value.name for value in graph.output])
    del graph.node[:]
    graph.node.extend(nodes)


def _keep_outputs(graph: onnx.GraphProto, elements: Mapping[str, int]) -> None:
    """Give the outputs their element types back: the converter rounds those of nodes in single precision to half."""
    for node in graph.node:
        if node.op_type == "Cast" and node.output[0] in elements:
            node.attribute[0].i = elements[node.output[0]]
    for value in graph.output:
        value.type.tensor_type.elem_type = elements[value.name]


def _reached(nodes: Iterable[onnx.NodeProto], sources: set[str]) -> set[str]:
    """Return the names of ``sources`` and of all nodes that depend on them; ``nodes`` come in execution order."""
    names, values = set(sources), set[str]()
    for node in nodes:
        if node.name in names or values.intersection(node.input):
            names.add(node.name)
            values.update(node.output)
    return names


def _reversed(node: onnx.NodeProto) -> onnx.NodeProto:
    return onnx.helper.make_node(node.op_type, list(node.output), list(node.input), name=node.name)
