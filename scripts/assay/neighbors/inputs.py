"""What networks and exported files take of structures: atoms, and vectors to neighbors in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from assay.models.graph import EdgeGraph
from assay.neighbors.lists import neighbor_list
from assay.runtime.checks import centred
from assay.structures.structure import Structure, cells_of, collate
from assay.workflow.errors import AssayError


class Inputs(NamedTuple):
    """The atoms of a batch.

    Attributes:
        atomic_numbers: int64 (N,).
        positions: (N, 3), angstrom, relative to some place in each structure.
        batch: int64 (N,), the structure of each atom.
    """

    atomic_numbers: Tensor
    positions: Tensor
    batch: Tensor


def open_inputs(
    structures: Sequence[Structure], name: str, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Inputs:
    """Return the inputs of a model that takes positions of open structures; errors call it ``name``.

    Positions are ``dtype``, and in single precision about the mean of each structure, so that they keep their digits
    wherever it lies.

    Raises:
        AssayError: a periodic structure.
    """
    for structure in structures:
        if structure.pbc.any():
            raise AssayError(
                f"{structure.name} is periodic and {name} is not: use model.edges.onnx or model.safetensors"
            )
    numbers, positions, batch = collate(structures, dtype=torch.float64)
    if dtype == torch.float32:
        positions = torch.from_numpy(centred(positions.numpy(), batch.numpy()))
    return Inputs(numbers.to(device), positions.to(device, dtype), batch.to(device))


def edge_inputs(
    structures: Sequence[Structure], cutoff: float, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Inputs, Tensor, Tensor]:
    """Return the inputs of a model that takes a neighbor list: atoms, edge_index int64 (2, E), shift ``dtype`` (E, 3).

    All atoms are at the origin, or NaN, and each shift is the whole vector of its edge, which is formed in double
    precision: no digit is lost wherever the atoms lie. ``cutoff`` and shift are in angstrom.
    """
    numbers, positions, batch = collate(structures, device, torch.float64)
    cells, pbc = cells_of(structures)
    edge_index, shift = neighbor_list(positions, batch, cutoff, cells, pbc)
    vectors = positions.index_select(0, edge_index[0]).sub_(positions.index_select(0, edge_index[1]))
    if pbc is not None and pbc.any():
        vectors += shift
    return Inputs(numbers, (0.0 * positions).to(dtype), batch), edge_index, vectors.to(dtype)


def graph_inputs(
    structures: Sequence[Structure], cutoff: float, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Inputs, EdgeGraph]:
    """Return the inputs of a network: the atoms and the neighbor list of ``edge_inputs``, as a graph."""
    atoms, edge_index, shift = edge_inputs(structures, cutoff, device, dtype)
    return atoms, EdgeGraph(edge_index, shift, len(atoms.batch))
