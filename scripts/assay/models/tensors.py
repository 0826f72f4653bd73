"""Cartesian tensors of the second rank, symmetric and without trace, by their five components.

The components are those of the real solid harmonics xy, yz, zz, xz, xx - yy, scaled so that those of a unit vector have
the norm 1. Axes are (..., 3) for vectors and (..., 5) for tensors, channels (H) behind them; channels never mix.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROOT = 3.0**0.5


def product(left: Tensor, right: Tensor) -> Tensor:
    """Tensor of two vectors, (..., 3, H) each, to (..., 5, H): the traceless symmetric part of their outer product."""
    (x, y, z), (p, q, r) = left.unbind(-2), right.unbind(-2)
    half = 0.5 * ROOT
    xx, yy = x * p, y * q
    off = half * (x * q + y * p), half * (y * r + z * q), half * (x * r + z * p)
    return torch.stack([off[0], off[1], z * r - 0.5 * (xx + yy), off[2], half * (xx - yy)], -2)


def harmonics(direction: Tensor) -> Tensor:
    """The tensor of a unit vector with itself, (..., 3) to (..., 5)."""
    column = direction.unsqueeze(-1)
    return product(column, column).squeeze(-1)


def contraction(tensor: Tensor, vector: Tensor) -> Tensor:
    """Vector of a tensor and a vector, (..., 5, H) and (..., 3, H) to (..., 3, H).

    Its scalar product with a third vector is that of ``tensor`` with the ``product`` of both vectors.
    """
    (xy, yz, zz, xz, across), (x, y, z) = tensor.unbind(-2), vector.unbind(-2)
    half, sideways = 0.5 * ROOT, 0.5 * zz
    return torch.stack(
        [
            half * (across * x + xy * y + xz * z) - sideways * x,
            half * (xy * x - across * y + yz * z) - sideways * y,
            half * (xz * x + yz * y) + zz * z,
        ],
        -2,
    )
