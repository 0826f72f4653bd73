"""The compiled engine's neighbor search."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from assay.engine.library import library, pointer

NAMES = {torch.float32: "assay_neighbors_float32", torch.float64: "assay_neighbors_float64"}


def can_search(positions: Tensor) -> bool:
    """Whether the engine can search the neighbors of these positions on this machine."""
    return positions.device.type == "cpu" and positions.dtype in NAMES and library() is not None


def open_pairs(positions: Tensor, batch: Tensor, cutoff: float) -> Tensor:
    """Find all pairs of atoms with distance <= cutoff in each open structure, in quadratic time.

    Args:
        positions: (N, 3), angstrom; ``can_search`` must accept them.
        batch: int64 (N,), index of the structure of each atom, ascending.
        cutoff: the largest distance of a pair, angstrom.

    Returns:
        edge_index int64 (2, E) with rows (neighbor, center), sorted by center, then by neighbor.
    """
    sizes = torch.bincount(batch)
    first = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    edges = torch.empty(2, int((sizes * sizes).sum()) + 1, dtype=torch.int64)
    real = ctypes.c_float if positions.dtype == torch.float32 else ctypes.c_double
    function = getattr(library(), NAMES[positions.dtype])
    at = positions.detach().contiguous()
    n_edges = function(
        ctypes.c_int64(len(sizes)), pointer(first), pointer(at), real(cutoff), pointer(edges[0]), pointer(edges[1])
    )
    return edges[:, :n_edges].contiguous()
