"""The backend of TorchScript files, in PyTorch's interpreter."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from assay.checkpoint.exported import IDENTITY_FILE, check_exported_here
from assay.neighbors.inputs import edge_inputs, open_inputs
from assay.predictors.attributes import attributes
from assay.predictors.interface import ListPredictor
from assay.runtime.result import Result
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError, reason_of


class TorchScriptPredictor(ListPredictor):
    """A scripted student, which finds neighbors of open structures itself and takes those of periodic ones."""

    def __init__(self, module: torch.jit.ScriptModule, path: Path, metadata: dict, device: str):
        super().__init__(**attributes(metadata, path, "torchscript", device))
        self.module = module

    def evaluate(self, structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray]:
        """See ``BatchPredictor.evaluate``."""
        if _is_periodic(structures):
            return super().evaluate(structures)
        with torch.inference_mode():
            energy, forces = self.module(*open_inputs(structures, self.name, self.device, torch.float64))
        return energy.cpu().numpy(), forces.cpu().numpy()

    def evaluate_with_virial(self, structures: Sequence[Structure]) -> Result:
        """See ``BatchPredictor.evaluate_with_virial``; of open structures only the virial takes neighbors from here."""
        found = super().evaluate_with_virial(structures)
        return found if _is_periodic(structures) else Result(*self.evaluate(structures), found.virial)

    def call(self, structures: Sequence[Structure], virial: bool) -> Callable[[], Result]:
        """See ``ListPredictor.call``."""
        inputs, edge_index, shift = edge_inputs(structures, self.cutoff_A, self.device)

        def _evaluate() -> Result:
            with torch.inference_mode():
                return Result(*(part.cpu().numpy() for part in self.module.from_edges(*inputs, edge_index, shift)))

        return _evaluate


def _is_periodic(structures: Sequence[Structure]) -> bool:
    return any(structure.pbc.any() for structure in structures)


def load(path: Path, device: str, dtype: str, threads: int | None) -> TorchScriptPredictor:
    """Load a TorchScript file; arguments as in ``load_predictor``."""
    if threads is not None:
        torch.set_num_threads(threads)
    check_exported_here(path)
    extra = {IDENTITY_FILE: ""}
    try:
        module = torch.jit.load(str(path), map_location=device, _extra_files=extra)
        metadata = json.loads(extra[IDENTITY_FILE])
    except (RuntimeError, ValueError) as error:
        reason = reason_of(error, 400)
        raise AssayError(f"{path} is not a TorchScript file of a student ({reason}): export it again") from error
    return TorchScriptPredictor(module, path, metadata, device)
