"""What the buffers of a radial basis tell of its network: the cutoff, and from where distances count."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from assay.runtime.network_constants import FIRST_CENTER_A

ROUNDING = 1e-6  # of centers in float32, relative to the first of them
_MADE_IN = (torch.float64, torch.float32)  # which differ where a center is next to zero
OF_16_BITS = 2e-3  # angstrom, more than 16 bits change the first center


def cutoff_of_buffer(name: str, buffer: Tensor) -> float | None:
    """The shortest decimal number whose radial basis has ``buffer``, to its precision; None if no cutoff has it.

    Args:
        name: ends in "centers" (evenly spaced over the cutoff, from 0 or ``FIRST_CENTER_A``) or "frequencies"
            (multiples of pi / cutoff).
        buffer: (R,).
    """
    values, n = buffer.double(), len(buffer) if buffer.dim() == 1 else 0
    bessel = name.endswith("frequencies")
    if n < (1 if bessel else 2) or not bool(torch.isfinite(values).all()):
        return None
    first = 0.0 if bessel else first_center(values) or 0.0
    reach = float(values[-1]) - first
    if reach <= 0:
        return None
    rough = n * math.pi / reach if bessel else reach
    precision = precision_of(buffer)
    for digits in range(1, 17):
        cutoff = float(f"{rough:.{digits}g}")
        if any(_fits(values, _basis(bessel, first, cutoff, n, made_in), first, precision) for made_in in _MADE_IN):
            return cutoff
    return None


def _basis(bessel: bool, first: float, cutoff: float, n: int, dtype: torch.dtype) -> Tensor:
    """The buffer of a cutoff, computed in ``dtype``."""
    if bessel:
        return torch.arange(1, n + 1, dtype=dtype) * (math.pi / cutoff)
    return torch.linspace(first, first + cutoff, n, dtype=dtype)


def _fits(values: Tensor, expected: Tensor, first: float, precision: torch.dtype) -> bool:
    if precision.itemsize < 4:
        return torch.equal(expected.float().to(precision).double(), values)
    reach = abs(float(expected[-1]) - first)
    return torch.allclose(values, expected.double(), rtol=3e-7, atol=3e-7 * reach / len(values) - ROUNDING * first)


def first_center(centers: Tensor) -> float | None:
    """Where the Gaussians of a network begin that has these centers: at 0 or ``FIRST_CENTER_A``; None if at neither.

    Centers that begin beyond zero, as training may move them, see distances.
    """
    if centers.numel() == 0 or (first := float(centers.min())) >= -OF_16_BITS:
        return 0.0
    return FIRST_CENTER_A if abs(first - FIRST_CENTER_A) <= OF_16_BITS else None


def precision_of(values: Tensor) -> torch.dtype:
    """The shortest kind of float that has all of ``values``: what they were rounded to, wherever they are kept."""
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        if torch.equal(values.to(dtype).double(), values.double()):
            return dtype
    return torch.float64
