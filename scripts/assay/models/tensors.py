"""Cartesian tensors of the second rank, symmetric and without trace, by their five components.

The components are those of the real solid harmonics xy, yz, zz, xz, xx - yy, scaled so that those of a unit vector have
the norm 1. Axes are (..., 3) for vectors and (..., 5) for tensors, channels (H) behind them; channels never mix.
"""

from __future__ import annotations

import torch
from torch import Tensor

HALF_ROOT = 0.5 * 3.0**0.5


def product(left: Tensor, right: Tensor) -> Tensor:
    """Tensor of two vectors, (..., 3, H) each, to (..., 5, H): the traceless symmetric part of their outer product."""
    (x, y, z), (p, q, r) = left.unbind(-2), right.unbind(-2)
    xx, yy = x * p, y * q
    return torch.stack(
        [
            HALF_ROOT * (x * q + y * p),
            HALF_ROOT * (y * r + z * q),
            z * r - 0.5 * (xx + yy),
            HALF_ROOT * (x * r + z * p),
            HALF_ROOT * (xx - yy),
        ],
        -2,
    )


def harmonics(direction: Tensor) -> Tensor:
    """The tensor of a unit vector with itself, (..., 3) to (..., 5)."""
    column = direction.unsqueeze(-1)
    return product(column, column).squeeze(-1)


def contraction(tensor: Tensor, vector: Tensor) -> Tensor:
    """Vector of a tensor and a vector, (..., 5, H) and (..., 3, H) to (..., 3, H).

    Its scalar product with a third vector is that of ``tensor`` with the ``product`` of both vectors.
    """
    (xy, yz, zz, xz, across), (x, y, z) = tensor.unbind(-2), vector.unbind(-2)
    sideways = 0.5 * zz
    return torch.stack(
        [
            HALF_ROOT * (across * x + xy * y + xz * z) - sideways * x,
            HALF_ROOT * (xy * x - across * y + yz * z) - sideways * y,
            HALF_ROOT * (xz * x + yz * y) + zz * z,
        ],
        -2,
    )
