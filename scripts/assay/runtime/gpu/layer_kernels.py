"""The kernel of a linear layer for few atoms, where a library's products take several launches each."""

from __future__ import annotations

import triton
import triton.language as tl

from ..network_constants import ACTIVATIONS, SOFTPLUS_IS_LINEAR_FROM
from .component_kernels import after_inputs

_SILU, _SHIFTED = tl.constexpr(ACTIVATIONS.index("silu")), tl.constexpr(ACTIVATIONS.index("shifted_softplus"))
_LINEAR_FROM = tl.constexpr(SOFTPLUS_IS_LINEAR_FROM)
_LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def _activated(x, KIND: tl.constexpr):
    if KIND == _SILU:
        return x / (1.0 + tl.exp(-x))
    soft = tl.where(x > _LINEAR_FROM, x, tl.log(1.0 + tl.exp(tl.minimum(x, _LINEAR_FROM))))
    if KIND == _SHIFTED:
        soft -= _LN2
    return soft


@triton.jit
def _activation_slope(x, KIND: tl.constexpr):
    s = 1.0 / (1.0 + tl.exp(-x))
    if KIND == _SILU:
        return s * (1.0 + x * (1.0 - s))
    return tl.where(x > _LINEAR_FROM, 1.0, s)


@triton.jit(do_not_specialize=["n_rows"])
def linear(
    rows, weight, bias, added, before, out, n_rows, n_in, n_out,
    ACTIVATED: tl.constexpr, BIAS: tl.constexpr, ADDED: tl.constexpr, ADJOINT: tl.constexpr,
    ROWS: tl.constexpr, DEPTH: tl.constexpr, COLUMNS: tl.constexpr, PRECISION: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """Compute a tile of a linear layer, with the activation before it, or the derivative of the one behind it.

    Args:
        rows: float32 (n_rows, n_in), what is multiplied, or its activation of the kind ``ACTIVATED`` if that is not -1.
        weight: float32 (n_in, n_out).
        bias: float32 (n_out,), added where ``BIAS`` says so.
        added: float32 (n_rows, n_out), added where ``ADDED`` says so.
        before: float32 (n_rows, n_out), by the derivative of whose activation ``ADJOINT`` the product is multiplied, if
            that is not -1.
        out: float32 (n_rows, n_out), written.
    """
    after_inputs(OVERLAP)
    _product(
        tl.program_id(1), rows, weight, bias, added, before, out, n_rows, n_in, n_out,
        ACTIVATED, BIAS, ADDED, ADJOINT, ROWS, DEPTH, COLUMNS, PRECISION,
    )  # fmt: skip


@triton.jit(do_not_specialize=["n_rows", "n_rows2"])
def two_products(
    rows, weight, added, out, n_rows, rows2, weight2, added2, out2, n_rows2, n_in, n_out,
    ADDED: tl.constexpr, ROWS: tl.constexpr, DEPTH: tl.constexpr, COLUMNS: tl.constexpr, PRECISION: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """Multiply the components of vectors with one weight and those of tensors with another, as ``linear``."""
    after_inputs(OVERLAP)
    tiles = tl.cdiv(n_rows, ROWS)
    tile = tl.program_id(1)
    if tile < tiles:
        _product(
            tile, rows, weight, weight, added, added, out, n_rows, n_in, n_out,
            -1, False, ADDED, -1, ROWS, DEPTH, COLUMNS, PRECISION,
        )  # fmt: skip
    else:
        _product(
            tile - tiles, rows2, weight2, weight2, added2, added2, out2, n_rows2, n_in, n_out,
            -1, False, ADDED, -1, ROWS, DEPTH, COLUMNS, PRECISION,
        )  # fmt: skip


@triton.jit
def _product(
    tile, rows, weight, bias, added, before, out, n_rows, n_in, n_out,
    ACTIVATED: tl.constexpr, BIAS: tl.constexpr, ADDED: tl.constexpr, ADJOINT: tl.constexpr,
    ROWS: tl.constexpr, DEPTH: tl.constexpr, COLUMNS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute one tile of rows; see ``linear``."""
    r = (tile * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    c = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    there, inside = (r < n_rows)[:, None], (c < n_out)[None, :]
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, n_in, DEPTH):
        k = start + tl.arange(0, DEPTH)
        a = tl.load(rows + r[:, None] * n_in + k[None, :], mask=there & (k < n_in)[None, :], other=0.0)
        if ACTIVATED >= 0:
            a = tl.where((k < n_in)[None, :], _activated(a, ACTIVATED), 0.0)
        w = tl.load(weight + k[:, None] * n_out + c[None, :], mask=(k < n_in)[:, None] & inside, other=0.0)
        total += tl.dot(a, w, input_precision=PRECISION)
    place, near = r[:, None] * n_out + c[None, :], there & inside
    if BIAS:
        total += tl.load(bias + c, mask=c < n_out, other=0.0)[None, :]
    if ADJOINT >= 0:
        total *= _activation_slope(tl.load(before + place, mask=near, other=0.0), ADJOINT)
    if ADDED:
        total += tl.load(added + place, mask=near, other=0.0)
    tl.store(out + place, total, mask=near)
