"""The compiled engine's neighbor search."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from assay.engine.library import library, pointer

NAMES = {torch.float32: "neighbors_float32", torch.float64: "neighbors_float64"}


def can_search(positions: Tensor) -> bool:
    """Whether the engine finds neighbors of these positions here."""
    return positions.device.type == "cpu" and positions.dtype in NAMES and library() is not None


def open_pairs(positions: Tensor, batch: Tensor, cutoff: float) -> Tensor:
    """All pairs of each open structure with distance <= cutoff, in quadratic time.

    Args:
        positions: (N, 3), angstrom, such as ``can_search`` accepts.
        batch: int64 (N,), ascending.
        cutoff: angstrom.

    Returns:
        edge_index int64 (2, E) with rows (neighbor, atom), sorted by atom, then by neighbor.
    """
    sizes = torch.bincount(batch)
    first = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    room = torch.empty(2, int((sizes * sizes).sum()) + 1, dtype=torch.int64)
    real = ctypes.c_float if positions.dtype == torch.float32 else ctypes.c_double
    function = getattr(library(), NAMES[positions.dtype])
    function.restype = ctypes.c_int64
    at = positions.detach().contiguous()
    n_edges = function(
        ctypes.c_int64(len(sizes)), pointer(first), pointer(at), real(cutoff), pointer(room[0]), pointer(room[1])
    )
    return room[:, :n_edges].contiguous()
