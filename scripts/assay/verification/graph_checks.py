"""Checks of an ONNX file that need not run it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import onnx


def check_graph(path: Path) -> dict[str, Any]:
    """Run the ONNX checker with shape inference on a file, and list its operators, inputs and outputs.

    A file passes if all of its operators are standard and none is a scatter: scatters add into duplicate rows in an
    order that changes from run to run, or drop all but one.
    """
    problem = None
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problem = str(error)
    model = onnx.load(path)
    operators = Counter(node.op_type for node in model.graph.node)
    custom = sorted({node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")})
    scatters = sorted(name for name in operators if name.startswith("Scatter"))
    return {
        "checker": problem or "ok",
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "ir_version": model.ir_version,
        "inputs": {value.name: _type(value) for value in model.graph.input},
        "outputs": {value.name: _type(value) for value in model.graph.output},
        "n_nodes": len(model.graph.node),
        "operators": dict(operators.most_common()),
        "custom_operators": custom + sorted(function.name for function in model.functions),
        "scatters": scatters,
        "passed": not (problem or custom or model.functions or scatters),
    }


def _type(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    sizes = [size.dim_param or str(size.dim_value) for size in tensor.shape.dim]
    return f"{onnx.TensorProto.DataType.Name(tensor.elem_type).lower()}[{', '.join(sizes)}]"
