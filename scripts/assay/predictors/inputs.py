"""What the backends of exported files share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from assay.neighbors.lists import neighbor_list
from assay.structures.structure import Structure, collate
from assay.workflow.errors import AssayError


class Inputs(NamedTuple):
    """atomic_numbers int64 (N,), positions float32 (N, 3) in angstrom, batch int64 (N,)."""

    atomic_numbers: Tensor
    positions: Tensor
    batch: Tensor


def attributes(identity: Mapping[str, Any], path: Path, runtime: str, device: str) -> dict[str, Any]:
    """The attributes of a ``BatchPredictor``, from what the file says about itself."""
    elements = identity["elements"]
    return {
        "name": str(path),
        "runtime": runtime,
        "device": device,
        "dtype": "float32",
        "cutoff_A": float(identity["cutoff_A"]),
        "max_z": int(identity["max_z"]),
        "elements": None if elements is None else frozenset(elements),
    }


def open_inputs(structures: Sequence[Structure], name: str, device: str = "cpu") -> Inputs:
    """The inputs of a form that finds neighbors itself.

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
    """The inputs of a form that is given its neighbors: atoms, edge_index int64 (2, E), shift float32 (E, 3)."""
    inputs = Inputs(*collate(structures, device, torch.float32))
    cells = np.stack([np.zeros((3, 3)) if s.cell is None else s.cell for s in structures])
    pbc = np.stack([s.pbc for s in structures])
    return inputs, *neighbor_list(inputs.positions, inputs.batch, cutoff, cells=cells, pbc=pbc)
