"""What integer arithmetic can save of a graph's time: where the time goes, and how fast integer products are here.

By Amdahl's law, if matrix products take a share p of the time, and integers need r times as long for them, the graph
takes 1 - p (1 - r) of its time; with products that cost nothing, 1 - p. The rest is messages, sums over neighbors and
their derivatives: number by number, and bound by memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from assay.benchmark.timing import Call, interleave
from assay.export.prelude import IR_VERSION, OPSET
from assay.quantize.sessions import FLOAT_PRODUCTS, Operator, open_session, profile
from assay.structures.structure import Structure

RUNS = 20  # calls of a profile, enough for each operator to meet a quiet moment
SPIN_us = 1000  # longer than the gap between the calls of a turn, and 20 times shorter than ONNX Runtime's own
SMALLEST_SHARE = 0.002  # kinds of products that take a smaller share of the time are not timed apart

Shape = tuple[int, int, int]  # rows, inner, columns


def integer_savings(path: Path, batch: Sequence[Structure], threads: int, seconds: float) -> dict[str, Any]:
    """Profile a float32 graph on ``batch``, and time its matrix products in float32 and in int8.

    Args:
        path: the float32 file ``model.onnx``.
        batch: the structures of one call.
        threads: number of CPU threads.
        seconds: how long each kind of product is timed.
    """
    operators = profile(path, batch, threads, RUNS)
    total = sum(operator.time_s for operator in operators)
    kinds, products = defaultdict[str, list[float]](list), defaultdict[Shape, list[float]](list)
    for operator in operators:
        kinds[operator.kind].append(operator.time_s)
        if operator.kind in FLOAT_PRODUCTS:
            products[product_shape(operator)].append(operator.time_s)
    rows: list[dict[str, Any]] = [
        {"rows_inner_columns": shape, "count": len(times), "share": sum(times) / total}
        | time_product(shape, threads, seconds)
        for shape, times in sorted(products.items(), key=lambda item: -sum(item[1]))
        if sum(times) >= SMALLEST_SHARE * total
    ]
    share = sum(map(sum, products.values())) / total
    saved = sum(row["share"] * max(0.0, 1.0 - row["int8_ratio"]) for row in rows)
    return {
        "n_atoms": sum(map(len, batch)),
        "operator_ms": {
            kind: {"count": len(times), "ms": 1e3 * sum(times), "share": sum(times) / total}
            for kind, times in sorted(kinds.items(), key=lambda item: -sum(item[1]))
        },
        "matmul_share": share,
        "best_possible_latency_ratio": 1.0 - share,
        "attainable_latency_ratio": 1.0 - saved,
        "products": rows,
    }


def product_shape(operator: Operator) -> Shape:
    """Return the shape of a matrix product; a stack of products counts as one with all their rows.

    The shape of the second factor is not read, since the factor may have been packed at loading.
    """
    *rows, columns = operator.outputs[0]
    return int(np.prod(rows)), operator.inputs[0][-1], columns


def time_product(shape: Shape, threads: int, seconds: float) -> dict[str, float]:
    """Time a product x W in float32, and in int8 with a scale per column of W, in turns; the fastest calls count.

    Returns:
        ``float32_us``; ``int8_ratio``, with the search for the range of x and its rounding, over float32; and
        ``int8_ratio_product_alone``, for an x that is in integers already.
    """
    calls = product_calls(shape, threads)
    fastest = {name: float(timing.calls_s.min()) for name, timing in interleave(calls, seconds).items()}
    exact = fastest["float32"]
    return {
        "float32_us": 1e6 * exact,
        "int8_ratio": fastest["int8"] / exact,
        "int8_ratio_product_alone": fastest["alone"] / exact,
    }


def product_calls(shape: Shape, threads: int) -> dict[str, Call]:
    """Return calls of ONNX Runtime that compute a product x W of random numbers.

    "float32" computes in float32, "int8" rounds x to int8 first, and "alone" is given an x in integers.
    """
    rows, inner, columns = shape
    draw = np.random.default_rng(0)
    x, weight = (draw.standard_normal(size).astype(np.float32) for size in ((rows, inner), (inner, columns)))
    scale = np.abs(weight).max(0) / 63  # seven bits: sums of two products saturate without int8 dot products
    small = {
        "weight": np.rint(weight / scale).astype(np.int8),
        "scale": scale,
        "step": np.float32(1 / 32),
        "zero": np.uint8(128),
    }
    steps = np.clip(np.rint(32 * x) + 128, 0, 255).astype(np.uint8)
    own = partial(_one_operator, domain="com.microsoft", constants=small)  # ONNX Runtime's own operators
    made = {
        "float32": (_one_operator("MatMul", ["x", "weight"], "", x, {"weight": weight}), x),
        "int8": (own("DynamicQuantizeMatMul", ["x", "weight", "scale"], x=x), x),
        "alone": (own("MatMulIntegerToFloat", ["x", "weight", "step", "scale", "zero"], x=steps), steps),
    }
    return {
        name: partial(open_session(model, threads, spin_us=SPIN_us).run, None, {"x": value})
        for name, (model, value) in made.items()
    }


def _one_operator(
    kind: str, inputs: Sequence[str], domain: str, x: np.ndarray, constants: Mapping[str, np.ndarray]
) -> bytes:
    """Make a model of one node that reads ``x`` and ``constants``."""
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["y"], domain=domain)],
        kind,
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(constants[name]), name) for name in inputs[1:]],
    )
    opsets = [helper.make_opsetid("", OPSET), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets).SerializeToString()
