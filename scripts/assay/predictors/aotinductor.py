"""The backend of AOTInductor files: compiled code that takes a neighbor list, which is made here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from assay.checkpoint.exported import IDENTITY_KEY, check_exported_here
from assay.export.tables import slot_inputs
from assay.neighbors.inputs import edge_inputs
from assay.predictors.attributes import attributes
from assay.predictors.interface import ListPredictor
from assay.runtime.result import Result
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError, reason_of


class CompiledPredictor(ListPredictor):
    """A ``.pt2`` file of ``export.aotinductor``."""

    def __init__(self, package: Any, path: Path, metadata: dict):
        super().__init__(**attributes(metadata, path, "aotinductor", "cpu"))
        self.package = package

    def call(self, structures: Sequence[Structure], virial: bool) -> Callable[[], Result]:
        """See ``ListPredictor.call``."""
        atoms, edge_index, shift = edge_inputs(structures, self.cutoff_A)
        inputs = slot_inputs(*atoms, edge_index[0], edge_index[1], shift, self.cutoff_A)
        return lambda: Result(*(value.numpy() for value in self.package(*inputs)))


def load(path: Path, device: str, dtype: str, threads: int | None) -> CompiledPredictor:
    """Load a ``.pt2`` file; arguments as in ``load_predictor``."""
    if threads is not None:
        torch.set_num_threads(threads)
    if not path.is_file():
        raise AssayError(f"there is no file {path}: check the path")
    check_exported_here(path)
    try:
        package = torch._inductor.aoti_load_package(str(path))
        metadata = json.loads(package.get_metadata()[IDENTITY_KEY])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = reason_of(error, 400)
        raise AssayError(f"{path} is not a compiled student of this machine ({reason}): export it again") from error
    return CompiledPredictor(package, path, metadata)
