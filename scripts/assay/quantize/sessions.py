"""A graph in ONNX Runtime: its inputs, what is left of it once it is loaded, and the time of each operator."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime

from assay.neighbors.inputs import Inputs, open_inputs
from assay.structures.structure import Structure

FLOAT_PRODUCTS = ("MatMul", "Gemm", "FusedMatMul")
INTEGER_PRODUCTS = ("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm")
WARM = 2  # first runs of a profile that do not count: they fill memory and caches


@dataclass(frozen=True)
class Operator:
    """One node of a loaded graph, as a profile shows it.

    Attributes:
        kind: ONNX's name of the operation.
        time_s: the time of its fastest run, since whatever else the machine does only adds.
        inputs: shapes of its inputs, but for weights that were packed at loading.
        outputs: shapes of its outputs.
    """

    kind: str
    time_s: float
    inputs: list[list[int]]
    outputs: list[list[int]]


def feed(batch: Sequence[Structure]) -> dict[str, np.ndarray]:
    """Return the inputs of ``model.onnx`` for a batch of isolated structures."""
    return {name: x.numpy() for name, x in zip(Inputs._fields, open_inputs(batch, "model.onnx"), strict=True)}


def open_session(
    model: Path | bytes, threads: int, *, spin_us: int | None = None, **options: object
) -> onnxruntime.InferenceSession:
    """Open a session on the CPU.

    Args:
        model: an ONNX file, or its content.
        threads: number of CPU threads.
        spin_us: how long threads wait for work before they sleep, in microseconds; ONNX Runtime's own choice if None.
        options: attributes of ONNX Runtime's ``SessionOptions``.
    """
    settings = onnxruntime.SessionOptions()
    if spin_us is not None:
        settings.add_session_config_entry("session.intra_op.spin_duration_us", str(spin_us))
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3  # errors only
    for name, value in options.items():
        setattr(settings, name, value)
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), settings, providers=["CPUExecutionProvider"]
    )


def loaded_operators(path: Path) -> Counter[str]:
    """Count the operators of each kind that are left when ONNX Runtime has folded constants and fused."""
    with TemporaryDirectory() as folder:
        optimized = Path(folder, "optimized.onnx")
        open_session(path, 1, optimized_model_filepath=str(optimized))
        return Counter(node.op_type for node in onnx.load(optimized).graph.node)


def integer_share(path: Path) -> float:
    """Return the number of matrix products in integers over the number of all matrix products."""
    kinds = loaded_operators(path)
    integer, float_ = (sum(kinds[kind] for kind in family) for family in (INTEGER_PRODUCTS, FLOAT_PRODUCTS))
    return integer / max(1, integer + float_)


def profile(path: Path, batch: Sequence[Structure], threads: int, runs: int) -> list[Operator]:
    """Time every operator of a graph on one batch.

    Args:
        path: the ONNX file.
        batch: isolated structures.
        threads: number of CPU threads.
        runs: how many runs count.

    Returns:
        The operators in the order of execution.
    """
    with TemporaryDirectory() as folder:
        session = open_session(path, threads, enable_profiling=True, profile_file_prefix=str(Path(folder, "profile")))
        inputs = feed(batch)
        for _ in range(WARM + runs):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
    durations, arguments = defaultdict[str, list[float]](list), {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            durations[event["name"]].append(event["dur"])
            arguments[event["name"]] = event["args"]
    return [
        Operator(
            about["op_name"],
            min(durations[name][WARM:]) / 1e6,
            *(
                [next(iter(shape.values())) for shape in about[key]]
                for key in ("input_type_shape", "output_type_shape")
            ),
        )
        for name, about in arguments.items()
    ]
