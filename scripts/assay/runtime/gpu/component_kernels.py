"""What all kernels share: how they begin, and vectors and tensors whose components lie one stride behind each other."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def after_inputs(OVERLAP: tl.constexpr):
    """Where kernels overlap, wait until the one before has written, and let the one behind be launched meanwhile."""
    if OVERLAP:
        gdc_wait()
        gdc_launch_dependents()


@triton.jit
def load3(place, stride, there):
    """The components of vectors whose first ones are at ``place``; zeros where ``there`` is false."""
    return (
        tl.load(place, mask=there, other=0.0),
        tl.load(place + stride, mask=there, other=0.0),
        tl.load(place + 2 * stride, mask=there, other=0.0),
    )


@triton.jit
def load5(place, stride, there):
    """The components of tensors, as ``load3``."""
    return (
        tl.load(place, mask=there, other=0.0),
        tl.load(place + stride, mask=there, other=0.0),
        tl.load(place + 2 * stride, mask=there, other=0.0),
        tl.load(place + 3 * stride, mask=there, other=0.0),
        tl.load(place + 4 * stride, mask=there, other=0.0),
    )


@triton.jit
def store3(place, stride, there, x, y, z):
    """Store the components of vectors."""
    tl.store(place, x, mask=there)
    tl.store(place + stride, y, mask=there)
    tl.store(place + 2 * stride, z, mask=there)


@triton.jit
def store5(place, stride, there, xy, yz, zz, xz, xx_yy):
    """Store the components of tensors."""
    tl.store(place, xy, mask=there)
    tl.store(place + stride, yz, mask=there)
    tl.store(place + 2 * stride, zz, mask=there)
    tl.store(place + 3 * stride, xz, mask=there)
    tl.store(place + 4 * stride, xx_yy, mask=there)
