"""What the backends of exported files share: their inputs, and the attributes of their predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from assay.data.scope import Scope
from assay.neighbors.lists import neighbor_list
from assay.structures.structure import Structure, cells_of, collate
from assay.workflow.errors import AssayError


class Inputs(NamedTuple):
    """The atoms of a batch.

    Attributes:
        atomic_numbers: int64 (N,).
        positions: float32 (N, 3), angstrom.
        batch: int64 (N,), the structure of each atom.
    """

    atomic_numbers: Tensor
    positions: Tensor
    batch: Tensor


def attributes(metadata: Mapping[str, Any], path: Path, runtime: str, device: str) -> dict[str, Any]:
    """Return the attributes of a ``BatchPredictor``, from what a file says about itself."""
    elements = metadata["elements"]
    return {
        "name": str(path),
        "runtime": runtime,
        "device": device,
        "dtype": "float32",
        "cutoff_A": float(metadata["cutoff_A"]),
        "max_z": int(metadata["max_z"]),
        "elements": None if elements is None else frozenset(elements),
        "scope": Scope.from_record(metadata.get("scope")),
    }


def open_inputs(structures: Sequence[Structure], name: str, device: str = "cpu") -> Inputs:
    """Return the inputs of a file that finds neighbors itself; errors call it ``name``.

    Raises:
        AssayError: a periodic structure.
    """
    for structure in structures:
        if structure.pbc.any():
            raise AssayError(
                f"{structure.name} is periodic and {name} is not: use model.edges.onnx or model.safetensors"
            )
    return Inputs(*collate(structures, device, torch.float32))


def edge_inputs(structures: Sequence[Structure], cutoff: float, device: str = "cpu") -> tuple[Inputs, Tensor, Tensor]:
    """Return the inputs of a file that takes a neighbor list: atoms, edge_index int64 (2, E), shift float32 (E, 3).

    ``cutoff`` and shift are in angstrom.
    """
    inputs = Inputs(*collate(structures, device, torch.float32))
    return inputs, *neighbor_list(inputs.positions, inputs.batch, cutoff, *cells_of(structures))
