"""Ways to put a student's ONNX graph into eight bits. Each takes and returns the path of a model file.

In an exported graph the forward pass and its gradient read the same weights. ``weights`` quantizes each weight once,
for both, so that forces stay the exact gradient of the quantized energy. ``dynamic`` and ``static`` also quantize what
flows between layers, forward and backward apart, with ONNX Runtime's own tools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnx.numpy_helper
from onnxruntime import quantization

from assay.backends.common import open_inputs
from assay.structures import Structure

MATRIX_PRODUCTS = ["MatMul", "Gemm"]
SMALLEST_WEIGHT = 256  # elements; smaller ones are not worth their scales


@dataclass(frozen=True)
class Scheme:
    """A way to quantize.

    Attributes:
        name: in quantization.json.
        description: one sentence for people.
        apply: (source file, target file, calibration batches).
    """

    name: str
    description: str
    apply: Callable[[Path, Path, Sequence[Sequence[Structure]]], None]


def weights(source: Path, target: Path, calibration: Sequence[Sequence[Structure]]) -> None:
    """Matrices as int8 with a float32 scale per output channel, symmetric, read as float32.

    Args:
        source: float32 model.
        target: file to write.
        calibration: not needed.
    """
    model = onnx.load(source)
    graph, nodes, kept = model.graph, [], []
    for tensor in graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.ndim != 2 or value.size < SMALLEST_WEIGHT:
            kept.append(tensor)
            continue
        scale = np.maximum(np.abs(value).max(1), 1e-12).astype(np.float32) / 127.0
        small = np.rint(value / scale[:, None]).astype(np.int8)
        parts = [f"{tensor.name}_int8", f"{tensor.name}_scale"]
        kept += [onnx.numpy_helper.from_array(array, name) for array, name in zip((small, scale), parts, strict=True)]
        nodes.append(onnx.helper.make_node("DequantizeLinear", parts, [tensor.name], axis=0))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    old = list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes + old)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


def dynamic(source: Path, target: Path, calibration: Sequence[Sequence[Structure]]) -> None:
    """Weights int8 per channel, activations by their range in each call. Arguments as in ``weights``."""
    with _unshared(source) as separate:
        quantization.quantize_dynamic(
            separate,
            target,
            op_types_to_quantize=MATRIX_PRODUCTS,
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )
    _keep_metadata(source, target)


def static(source: Path, target: Path, calibration: Sequence[Sequence[Structure]]) -> None:
    """Weights int8 per channel, activations int8 by ranges seen in calibration (min-max), as QDQ pairs.

    Args:
        source: float32 model.
        target: file to write.
        calibration: batches of training structures.
    """
    with _unshared(source) as separate:
        quantization.quantize_static(
            separate,
            target,
            _Calibration(calibration),
            op_types_to_quantize=MATRIX_PRODUCTS,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
        )
    _keep_metadata(source, target)


SCHEMES = (
    Scheme("weights", "int8 weights shared by energy and forces, float32 arithmetic", weights),
    Scheme("dynamic", "int8 weights and activations, ranges taken in each call", dynamic),
    Scheme("static", "int8 weights and activations, ranges calibrated on training structures (min-max)", static),
)


class _Calibration(quantization.CalibrationDataReader):
    """Hands batches of structures to ONNX Runtime's calibration."""

    def __init__(self, batches: Sequence[Sequence[Structure]]):
        self._inputs: Iterator[dict[str, np.ndarray]] = iter([_feed(batch) for batch in batches])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)


def _feed(batch: Sequence[Structure]) -> dict[str, np.ndarray]:
    names = ("atomic_numbers", "positions", "batch")
    return dict(zip(names, (x.numpy() for x in open_inputs(batch, "calibration")), strict=True))


@contextmanager
def _unshared(source: Path) -> Iterator[Path]:
    """The same model with a copy of a weight for each matrix product that reads it: ONNX Runtime's tools transpose a
    weight for one reader, and what the gradient reads would no longer fit.
    """
    model = onnx.load(source)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if node.op_type in MATRIX_PRODUCTS and name in weights:
                copy = onnx.TensorProto()
                copy.CopyFrom(weights[name])
                copy.name = node.input[position] = f"{node.output[0]}_{name}"
                model.graph.initializer.append(copy)
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    with TemporaryDirectory() as folder:
        path = Path(folder, "unshared.onnx")
        onnx.save(model, path)
        yield path


def _keep_metadata(source: Path, target: Path) -> None:
    """ONNX Runtime's tools drop what a file says about itself."""
    properties = {entry.key: entry.value for entry in onnx.load(source).metadata_props}
    model = onnx.load(target)
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, target)
