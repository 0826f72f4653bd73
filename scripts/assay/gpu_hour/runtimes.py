"""Every runtime of a student that torch has on a device, and the reason where one is not available."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.fx import GraphModule

from assay.checkpoint import normalize
from assay.export import torchscript
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.gpu_hour.hour import Hour
from assay.gpu_hour.names import EAGER, KERNELS
from assay.predictors.interface import BatchPredictor, load_predictor
from assay.workflow.errors import AssayError

NAMES = (KERNELS, EAGER, "eager float64", "torchscript", "onnx", "aotinductor")


def load_runtime_of(hour: Hour, variant: str, name: str, folder: Path) -> BatchPredictor:
    """Load a shipped student in one of ``NAMES``.

    Args:
        hour: the device.
        variant: the student.
        name: the runtime.
        folder: where exported files are made.

    Raises:
        AssayError: it is not available here; the sentence says why.
    """
    checkpoint = hour.checkpoint(variant)
    if name == "aotinductor":
        raise AssayError("not available: its files are compiled for the processor of the machine that makes them")
    if name == "onnx":
        why = _why_no_onnx() if hour.device == "cuda" else None
        if why is not None:
            raise AssayError(f"not available: {why}")
    makers: dict[str, Callable[[], Path]] = {
        "torchscript": lambda: _exported(checkpoint, folder / f"{variant}.ts.pt"),
        "onnx": lambda: _exported(checkpoint, folder / f"{variant}.edges.onnx"),
    }
    path = makers[name]() if name in makers else checkpoint
    runtime = None if name in makers else name.split()[0]
    dtype = "float64" if name.endswith("float64") else "float32"
    try:
        loaded = load_predictor(path, device=hour.device, dtype=dtype, runtime=runtime)
    except AssayError as error:
        raise AssayError(f"not available: {error}") from None
    assert isinstance(loaded, BatchPredictor)
    return loaded


def _why_no_onnx() -> str | None:
    try:
        import onnxruntime
    except ImportError:
        return "ONNX Runtime is not installed"
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return None
    return f"ONNX Runtime {onnxruntime.__version__} computes on no GPU, and onnxruntime-gpu is too large to be carried"


def _exported(checkpoint: Path, path: Path) -> Path:
    """Export a checkpoint, unless that was done before."""
    if path.is_file():
        return path
    network, cutoff, metadata = _lowered(checkpoint)
    if path.suffix == ".onnx":
        from assay.export import onnx_graphs

        onnx_graphs.save(onnx_graphs.assemble(network, cutoff, metadata, search=False), path)
    else:
        torchscript.save(torchscript.to_torchscript(network, cutoff), path, metadata)
    return path


@functools.cache
def _lowered(checkpoint: Path) -> tuple[GraphModule, float, dict[str, Any]]:
    """The network with its forces as one graph, its cutoff, and what files say about themselves."""
    normalized = normalize(checkpoint)
    model = normalized.build()
    metadata = export_metadata(model, normalized.card(checkpoint.stem))
    return lower(model, elements=metadata["elements"]), model.cutoff, metadata
