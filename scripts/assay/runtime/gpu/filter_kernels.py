"""The kernel that makes the filters of all pairs, from which the kernels over neighbors read."""

from __future__ import annotations

import triton
import triton.language as tl

from .component_kernels import after_inputs


@triton.jit(do_not_specialize=["n_rows"])
def make_filters(
    n_rows, n_near, basis, slope, weights, filters, slopes, columns,
    ROWS: tl.constexpr, COMPACT: tl.constexpr, SLOPE: tl.constexpr, PAIRS: tl.constexpr, COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """Multiply the radial basis of a tile of pairs with the weights of a tile of filters and channels.

    Args:
        n_rows: the number of rows of the basis.
        n_near: int32 (1,), the number of pairs within the cutoff, which have the first rows, read if ``COMPACT``.
        basis, slope: float32 (P, ROWS), see ``describe_pairs``.
        weights: float32 (blocks, ROWS, columns), the weights of the filters of each block, with the bias in row R.
        filters, slopes: float32 (blocks, n_rows, columns), written: the filters, and with ``SLOPE`` their derivatives.
        columns: the number of filters times channels.
    """
    after_inputs(OVERLAP)
    n = n_rows
    if COMPACT:
        n = tl.load(n_near)
    tiles = tl.cdiv(columns, COLUMNS)
    start, block = tl.program_id(0) // tiles * PAIRS, tl.program_id(1).to(tl.int64)
    if start < n:
        p, row = start + tl.arange(0, PAIRS), tl.arange(0, ROWS)
        c = tl.program_id(0) % tiles * COLUMNS + tl.arange(0, COLUMNS)
        there, inside = (p < n)[:, None], (c < columns)[None, :]
        at = p.to(tl.int64)[:, None]
        weight = tl.load(weights + (block * ROWS + row)[:, None] * columns + c[None, :], mask=inside, other=0.0)
        own = tl.load(basis + at * ROWS + row[None, :], mask=there, other=0.0)
        place = (block * n_rows + at) * columns + c[None, :]
        tl.store(filters + place, tl.dot(own, weight, input_precision=PRECISION), mask=there & inside)
        if SLOPE:
            own = tl.load(slope + at * ROWS + row[None, :], mask=there, other=0.0)
            tl.store(slopes + place, tl.dot(own, weight, input_precision=PRECISION), mask=there & inside)
