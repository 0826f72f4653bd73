"""Ways to put a student's ONNX graph into fewer bits.

In an exported graph the forward pass and its gradient read the same weights. ``weights`` quantizes each weight once,
for both, so that forces stay the exact gradient of the quantized energy. The others also round what flows between
layers, with ONNX Runtime's own tools: ``dynamic`` and ``static`` in both passes, ``gradient`` behind the energy only,
which stays exact. ``bf16`` stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

from assay.export.onnx_graphs import needed, save
from assay.quantize.sessions import feed
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

MATRIX_PRODUCTS = ["MatMul", "Gemm"]
SMALLEST_WEIGHT = 256  # weights of fewer elements are not worth their scales
STEPS = {np.int8: 127, np.int16: 32767}  # the largest absolute number that is used
Batches = Sequence[Sequence[Structure]]


@dataclass(frozen=True)
class Scheme:
    """A way to quantize.

    Attributes:
        name: what quantization.json calls it.
        description: one sentence for people.
        apply: a function of the source file, the target file and calibration batches, which writes the target.
        is_int8: whether its file may become model.int8.onnx.
    """

    name: str
    description: str
    apply: Callable[[Path, Path, Batches], None]
    is_int8: bool = True


def weights(source: Path, target: Path, calibration: Batches, finer_filters: bool = True) -> None:
    """Store matrices as int8 and filters as int16, symmetric, with a float32 scale per output channel; read as float32.

    Filters (see ``_filters``) are few of the numbers and, in int8, much of the error. A cast and a product with the
    scale give a weight back rather than ``DequantizeLinear``, since ONNX Runtime does these once, when it loads the
    file, and then computes as with the float32 file.

    Args:
        source: the float32 file.
        target: the file to write.
        calibration: not used here.
        finer_filters: whether filters are int16; else they are int8 as the other matrices.
    """
    model = onnx.load(source)
    graph, nodes, kept = model.graph, [], []
    filters = _filters(graph) if finer_filters else set()
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if not _is_matrix(tensor) or value.size < SMALLEST_WEIGHT:
            kept.append(tensor)
            continue
        kind = np.int16 if tensor.name in filters else np.int8
        scale = np.maximum(np.abs(value).max(1, keepdims=True), 1e-12).astype(np.float32) / STEPS[kind]
        small, read, factor = (f"{tensor.name}_{part}" for part in ("small", "read", "scale"))
        kept += [
            numpy_helper.from_array(np.rint(value / scale).astype(kind), small),
            numpy_helper.from_array(scale, factor),
        ]
        nodes += [
            helper.make_node("Cast", [small], [read], to=TensorProto.FLOAT),
            helper.make_node("Mul", [read, factor], [tensor.name]),
        ]
    _replace(graph.initializer, kept)
    _replace(graph.node, [*nodes, *graph.node])
    _shorten_names(graph)
    _save(model, target)


def dynamic(source: Path, target: Path, calibration: Batches) -> None:
    """Compute with int8 weights, scaled per channel, and activations scaled by their range in each call.

    Arguments are those of ``weights``.
    """
    with _unshared(source) as separate:
        quantization.quantize_dynamic(
            separate,
            target,
            op_types_to_quantize=MATRIX_PRODUCTS,
            per_channel=True,
            reduce_range=True,  # otherwise sums of two products saturate on processors without int8 dot products
            weight_type=quantization.QuantType.QInt8,
        )
    _keep_metadata(source, target)


def static(source: Path, target: Path, calibration: Batches, nodes: Sequence[str] | None = None) -> None:
    """Compute with int8 weights, scaled per channel, and uint8 activations, scaled by their range in calibration.

    Results of the products are float32.

    Args:
        source: the float32 file.
        target: the file to write.
        calibration: batches of training structures.
        nodes: names of the products to quantize; None quantizes all.

    Raises:
        AssayError: no structure to calibrate on.
    """
    if not any(calibration):
        raise AssayError("INT8 needs training structures for its ranges: give a dataset with some in the config")
    with _unshared(source) as separate:
        quantization.quantize_static(
            separate,
            target,
            _Calibration(calibration),
            op_types_to_quantize=MATRIX_PRODUCTS,
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={"OpTypesToExcludeOutputQuantization": MATRIX_PRODUCTS},
        )
    _keep_metadata(source, target)


def gradient(source: Path, target: Path, calibration: Batches) -> None:
    """Apply ``static`` to the products that the energy does not depend on; arguments as in ``weights``."""
    nodes = onnx.load(source).graph.node
    energy = {node.name for node in needed(nodes, ["energy"])}
    static(
        source, target, calibration, [n.name for n in nodes if n.op_type in MATRIX_PRODUCTS and n.name not in energy]
    )


def bf16(source: Path, target: Path, calibration: Batches) -> None:
    """Compute matrix products in bfloat16 and all else in float32; arguments as in ``weights``."""
    model = onnx.load(source)
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type not in MATRIX_PRODUCTS:
            nodes.append(node)
            continue
        (output,) = node.output
        for place, name in enumerate(node.input):
            node.input[place] = f"{output}_input{place}_bf16"
            nodes.append(helper.make_node("Cast", [name], [node.input[place]], to=TensorProto.BFLOAT16))
        node.output[0] = f"{output}_result_bf16"
        nodes += [node, helper.make_node("Cast", [node.output[0]], [output], to=TensorProto.FLOAT)]
    _replace(model.graph.node, nodes)
    _save(model, target)


SCHEMES = (
    Scheme("weights", "int8 weights (filters: int16) shared by energy and forces, float32 arithmetic", weights),
    Scheme("dynamic", "int8 weights and activations, ranges taken in each call", dynamic),
    Scheme("static", "int8 weights and activations, ranges calibrated on training structures (min-max)", static),
    Scheme("gradient", "static, in the products that make forces only; the energy as in float32", gradient),
    Scheme("bf16", "matrix products of bfloat16", bf16, is_int8=False),
)


def _is_matrix(tensor: TensorProto) -> bool:
    return tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2


def _filters(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the matrices that read the radial basis of the distances, and nothing learned.

    The functions of the basis overlap, so that a filter is the small difference of large terms. They change within half
    an angstrom, so that a force, which is a derivative, sees an error of a filter several times over. Filters are also
    the coefficients of energies of pairs: no product with another matrix stands between them and the energy.
    """
    matrices = {tensor.name for tensor in graph.initializer if _is_matrix(tensor)}
    behind = needed(graph.node, ["energy"])
    direct = needed([node for node in behind if node.op_type not in MATRIX_PRODUCTS], ["energy"])
    found = {name for node in direct for name in node.input if name in matrices}
    for node in behind:
        if node.op_type in MATRIX_PRODUCTS and (weight := matrices & set(node.input)):
            before = needed(graph.node, [name for name in node.input if name not in weight])
            if not any(matrices & set(earlier.input) for earlier in before):
                found |= weight
    return found


class _Calibration(quantization.CalibrationDataReader):
    """A reader that hands batches of structures to ONNX Runtime's calibration."""

    def __init__(self, batches: Sequence[Sequence[Structure]]):
        self._inputs: Iterator[dict[str, np.ndarray]] = iter([feed(batch) for batch in batches])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)


@contextmanager
def _unshared(source: Path) -> Iterator[Path]:
    """Write the model with a copy of a weight for each matrix product that reads it, to a temporary file.

    ONNX Runtime's tools transpose a weight for one reader, and it would no longer fit the gradient, which reads it too.
    """
    model = onnx.load(source)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if node.op_type in MATRIX_PRODUCTS and name in tensors:
                copy = TensorProto()
                copy.CopyFrom(tensors[name])
                copy.name = node.input[position] = f"{node.output[0]}_{name}"
                model.graph.initializer.append(copy)
    read = {name for node in model.graph.node for name in node.input}
    _replace(model.graph.initializer, [tensor for tensor in model.graph.initializer if tensor.name in read])
    with TemporaryDirectory() as folder:
        path = Path(folder, "unshared.onnx")
        onnx.save(model, path)
        yield path


def _shorten_names(graph: onnx.GraphProto) -> None:
    """Number the values inside and leave the nodes nameless, since names are a tenth of the file of a small student."""
    public = {value.name for value in (*graph.input, *graph.output)}
    short: dict[str, str] = {}

    def shorten(name: str) -> str:
        return name if name in public or not name else short.setdefault(name, f"{len(short):x}")

    for tensor in graph.initializer:
        tensor.name = shorten(tensor.name)
    for node in graph.node:
        node.name = ""
        node.input[:] = [shorten(name) for name in node.input]
        node.output[:] = [shorten(name) for name in node.output]
    graph.ClearField("value_info")


def _keep_metadata(source: Path, target: Path) -> None:
    """Copy what a file says about itself, which ONNX Runtime's tools drop."""
    properties = {entry.key: entry.value for entry in onnx.load(source).metadata_props}
    model = onnx.load(target)
    helper.set_model_props(model, properties)
    save(model, target)


def _save(model: onnx.ModelProto, target: Path) -> None:
    onnx.checker.check_model(model, full_check=True)
    save(model, target)


def _replace(field: Any, content: Iterable[Any]) -> None:
    """Give a repeated field of a graph new content, which may hold entries of the old."""
    entries = list(content)
    del field[:]
    field.extend(entries)
