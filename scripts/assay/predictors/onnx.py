"""The backend of ONNX files of either kind, in ONNX Runtime, through the class that users get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from assay.checkpoint.exported import onnx_by_others
from assay.neighbors.inputs import edge_inputs, open_inputs
from assay.predictors.attributes import attributes
from assay.predictors.interface import BatchPredictor, ListPredictor
from assay.runtime.result import NoDevice, Result
from assay.runtime.session import PROVIDERS, OnnxStudent
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError, reason_of


class OnnxPredictor(BatchPredictor):
    """An ONNX file that finds neighbors itself."""

    def __init__(self, student: OnnxStudent, path: Path):
        device = "cuda" if student.provider.startswith("CUDA") else "cpu"
        super().__init__(**attributes(student.identity, path, "onnxruntime", device))
        self.student = student

    def evaluate(self, structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray]:
        """See ``BatchPredictor.evaluate``."""
        inputs = open_inputs(structures, self.name, dtype=torch.float64)
        try:
            return self.student(*(x.numpy() for x in inputs))[:2]
        except ValueError as error:
            raise AssayError(f"{self.name} refuses the structures: {error}") from None

    def give_back_memory(self) -> None:
        """See ``BatchPredictor.give_back_memory``; ONNX Runtime does it at the end of a call, here of a single atom."""
        if self.device != "cpu":
            return
        atom = [Structure("one atom", np.array([min(self.elements or {1})]), np.zeros((1, 3)))]
        inputs, edge_index, shift = edge_inputs(atom, self.cutoff_A)
        feed = inputs._asdict() | ({"edge_index": edge_index, "edge_shift": shift} if self.student.needs_edges else {})
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self.student.session.run(None, {name: x.numpy() for name, x in feed.items()}, options)


class OnnxListPredictor(ListPredictor, OnnxPredictor):
    """An ONNX file that takes a neighbor list."""

    def call(self, structures: Sequence[Structure], virial: bool) -> Callable[[], Result]:
        """See ``ListPredictor.call``."""
        inputs, edge_index, shift = edge_inputs(structures, self.cutoff_A)
        return partial(self.student, *(x.numpy() for x in (*inputs, edge_index, shift)))


def load(path: Path, device: str, dtype: str, threads: int | None) -> OnnxPredictor:
    """Load an ONNX file; arguments as in ``load_predictor``."""
    if not path.is_file():
        raise AssayError(f"there is no file {path}: check the path")
    try:
        has_gpu = PROVIDERS["cuda"] in onnxruntime.get_available_providers()
        student = OnnxStudent(path, threads, device if has_gpu else "cpu")
        return (OnnxListPredictor if student.needs_edges else OnnxPredictor)(student, path)
    except NoDevice as error:
        raise AssayError(f"{path} cannot be evaluated: {error}") from error
    except Exception as error:  # the errors of ONNX Runtime have no common base class
        foreign = onnx_by_others(path)
        if foreign is not None:
            raise foreign from None
        reason = reason_of(error, 400)
        raise AssayError(f"{path} is not an ONNX file of a student ({reason}): export it again") from error
