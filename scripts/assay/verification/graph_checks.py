"""What can be said of an ONNX file without running it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import onnx


def judge(path: Path) -> dict[str, Any]:
    """ONNX checker with shape inference, operators, inputs and outputs of a file; passed if it is standard and free of
    scatters, which add into duplicate rows in any order, or drop all but one.
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
