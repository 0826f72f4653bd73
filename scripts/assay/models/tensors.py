"""Symmetric, traceless Cartesian tensors of the second rank, stored as five components.

The components belong to the real solid harmonics xy, yz, zz, xz and xx - yy, scaled so that the tensor of a unit vector
with itself has the norm 1. Vectors have the axes (3, H) and tensors (5, H), H channels last; channels never mix.
"""

from __future__ import annotations

import torch
from torch import Tensor

from assay.runtime.network_constants import HALF_ROOT


def traceless_product(left: Tensor, right: Tensor) -> Tensor:
    """The symmetric, traceless part of the outer product of two vectors, (..., 3, H) each, to (..., 5, H)."""
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
    """The ``traceless_product`` of a unit vector with itself, (..., 3) to (..., 5)."""
    column = direction.unsqueeze(-1)
    return traceless_product(column, column).squeeze(-1)


def contraction(tensor: Tensor, vector: Tensor) -> Tensor:
    """The product of a tensor (..., 5, H) with a vector (..., 3, H): a vector (..., 3, H).

    Its scalar product with any third vector equals the scalar product of ``tensor`` with the ``traceless_product`` of
    ``vector`` and that third vector.
    """
    (xy, yz, zz, xz, xx_yy), (x, y, z) = tensor.unbind(-2), vector.unbind(-2)
    half_zz = 0.5 * zz
    return torch.stack(
        [
            HALF_ROOT * (xx_yy * x + xy * y + xz * z) - half_zz * x,
            HALF_ROOT * (xy * x - xx_yy * y + yz * z) - half_zz * y,
            HALF_ROOT * (xz * x + yz * y) + zz * z,
        ],
        -2,
    )
