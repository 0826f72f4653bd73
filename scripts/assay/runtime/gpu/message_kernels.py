"""Kernels that walk the neighbors of an atom: the sums of messages, and their adjoint, which is the same walk.

One program has one atom and a tile of its channels. It makes the filters of a few edges on chip, multiplies them with
what it gathers from the neighbors, and keeps the sums in registers. The relation is symmetric, so the adjoint needs the
same edges again, and no two programs ever write to one place. ``force_kernels`` differentiates by the vectors of the
edges. docs/engine.md has the formulas, by the same names.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .component_kernels import load3, load5, store3, store5
from .constants import HALF_ROOT

_OMEGA = tl.constexpr(HALF_ROOT)


@triton.jit
def _edges(neighbors, direction, e, end):
    """Which lanes hold an edge, the neighbor of each, and its direction."""
    there = e < end
    j = tl.load(neighbors + e, mask=there, other=0).to(tl.int64)
    ux = tl.load(direction + 3 * e, mask=there, other=0.0)
    uy = tl.load(direction + 3 * e + 1, mask=there, other=0.0)
    uz = tl.load(direction + 3 * e + 2, mask=there, other=0.0)
    return there, j, ux, uy, uz


@triton.jit
def _tensor(x, y, z):
    """The tensor of a direction with itself, five components."""
    return (
        x * y * 2.0 * _OMEGA,
        y * z * 2.0 * _OMEGA,
        z * z - 0.5 * (x * x + y * y),
        x * z * 2.0 * _OMEGA,
        (x * x - y * y) * _OMEGA,
    )


@triton.jit
def _filter(values, filters, k, H, h, inside, ROWS: tl.constexpr):
    """Filter k of a tile of edges for a tile of channels, from the radial basis (EDGES, ROWS) or its derivative."""
    row = tl.arange(0, ROWS)
    weight = tl.load(filters + (k * ROWS + row)[:, None] * H + h[None, :], mask=inside[None, :], other=0.0)
    return tl.dot(values, weight, input_precision="ieee")


@triton.jit
def _row(base, atom, component, COMPONENTS: tl.constexpr, H, h, inside):
    """One row of channels of the program's own atom."""
    return tl.load(base + (atom * COMPONENTS + component) * H + h, mask=inside, other=0.0)


@triton.jit
def _first(base, j, COMPONENTS: tl.constexpr, H, h):
    """Where the first components of the atom of each edge are, (EDGES, CHANNELS)."""
    return base + (j * COMPONENTS)[:, None] * H + h[None, :]


@triton.jit
def _rows(base, j, component, COMPONENTS: tl.constexpr, H, h, near):
    """The same row of the atom of each edge, (EDGES, CHANNELS)."""
    return tl.load(_first(base, j, COMPONENTS, H, h) + component * H, mask=near, other=0.0)


@triton.jit
def _weighted(w, base, j, component, COMPONENTS: tl.constexpr, H, h, near):
    """The sum over edges of a filter times a row of each neighbor."""
    return tl.sum(w * _rows(base, j, component, COMPONENTS, H, h, near), 0)


@triton.jit
def add_messages(
    edge_start, neighbors, direction, basis, filters, x, xv, xt, s, v, t, s_summed, v_summed, t_summed, H,
    RANK: tl.constexpr, FIRST: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, EDGES: tl.constexpr,
):  # fmt: skip
    """Compute S, V and T: the features of one atom and the messages of its neighbors.

    Args:
        edge_start: int32 (N + 1,), where the edges of each atom begin.
        neighbors: int32 (E,).
        direction: float32 (E, 3).
        basis: float32 (E, ROWS), see ``describe_pairs``.
        filters: float32 (K, ROWS, H), the weights of each filter, with the bias in row R.
        x: float32 (N, K, H), the context of each atom.
        xv, xt: float32 (N, 3, H) and (N, 5, H), the messages x2 v and x4 t; not read in the first block.
        s, v, t: float32 (N, H), (N, 3, H), (N, 5, H), before the block; only s is read in the first one.
        s_summed, v_summed, t_summed: the same shapes, written.
    """
    atom = tl.program_id(0).to(tl.int64)
    h = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside, row = h < H, tl.arange(0, ROWS)
    K: tl.constexpr = 2 * RANK + 1
    begin, end = tl.load(edge_start + atom), tl.load(edge_start + atom + 1)
    total = _row(s, atom, 0, 1, H, h, inside)
    v0, v1, v2 = tl.zeros_like(total), tl.zeros_like(total), tl.zeros_like(total)
    t0, t1, t2, t3, t4 = v0, v0, v0, v0, v0
    if not FIRST:
        v0, v1, v2 = load3(v + 3 * atom * H + h, H, inside)
        if RANK == 2:
            t0, t1, t2, t3, t4 = load5(t + 5 * atom * H + h, H, inside)
    for start in range(begin, end, EDGES):
        e = (start + tl.arange(0, EDGES)).to(tl.int64)
        there, j, ux, uy, uz = _edges(neighbors, direction, e, end)
        near = there[:, None] & inside[None, :]
        b = tl.load(basis + e[:, None] * ROWS + row[None, :], mask=there[:, None], other=0.0)
        total += _weighted(_filter(b, filters, 0, H, h, inside, ROWS), x, j, 0, K, H, h, near)
        message = _filter(b, filters, 1, H, h, inside, ROWS) * _rows(x, j, 1, K, H, h, near)
        v0 += tl.sum(message * ux[:, None], 0)
        v1 += tl.sum(message * uy[:, None], 0)
        v2 += tl.sum(message * uz[:, None], 0)
        if not FIRST:
            w = _filter(b, filters, 2, H, h, inside, ROWS)
            v0 += _weighted(w, xv, j, 0, 3, H, h, near)
            v1 += _weighted(w, xv, j, 1, 3, H, h, near)
            v2 += _weighted(w, xv, j, 2, 3, H, h, near)
        if RANK == 2:
            q0, q1, q2, q3, q4 = _tensor(ux, uy, uz)
            message = _filter(b, filters, 3, H, h, inside, ROWS) * _rows(x, j, 3, K, H, h, near)
            t0 += tl.sum(message * q0[:, None], 0)
            t1 += tl.sum(message * q1[:, None], 0)
            t2 += tl.sum(message * q2[:, None], 0)
            t3 += tl.sum(message * q3[:, None], 0)
            t4 += tl.sum(message * q4[:, None], 0)
            if not FIRST:
                w = _filter(b, filters, 4, H, h, inside, ROWS)
                t0 += _weighted(w, xt, j, 0, 5, H, h, near)
                t1 += _weighted(w, xt, j, 1, 5, H, h, near)
                t2 += _weighted(w, xt, j, 2, 5, H, h, near)
                t3 += _weighted(w, xt, j, 3, 5, H, h, near)
                t4 += _weighted(w, xt, j, 4, 5, H, h, near)
    tl.store(s_summed + atom * H + h, total, mask=inside)
    store3(v_summed + 3 * atom * H + h, H, inside, v0, v1, v2)
    if RANK == 2:
        store5(t_summed + 5 * atom * H + h, H, inside, t0, t1, t2, t3, t4)


@triton.jit
def add_messages_adjoint(
    edge_start, neighbors, direction, basis, filters, x, v, t, s_bar, v_bar, t_bar, x_bar, v_bar_before, t_bar_before,
    H, RANK: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, EDGES: tl.constexpr,
):  # fmt: skip
    """Differentiate ``add_messages`` by what one atom holds, which is a sum over the same edges.

    Args:
        edge_start, neighbors, direction, basis, filters, x, v, t, H: as in ``add_messages``.
        s_bar, v_bar, t_bar: float32, the derivatives by S, V and T.
        x_bar: float32 (N, K, H), written, as all below: the derivative by x.
        v_bar_before, t_bar_before: the derivatives by v and t.
    """
    atom = tl.program_id(0).to(tl.int64)
    h = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside, row = h < H, tl.arange(0, ROWS)
    K: tl.constexpr = 2 * RANK + 1
    begin, end = tl.load(edge_start + atom), tl.load(edge_start + atom + 1)
    a0 = tl.zeros([CHANNELS], tl.float32)
    a1, a3, m0, m1, m2, n0, n1, n2, n3, n4 = a0, a0, a0, a0, a0, a0, a0, a0, a0, a0
    for start in range(begin, end, EDGES):
        e = (start + tl.arange(0, EDGES)).to(tl.int64)
        there, j, ux, uy, uz = _edges(neighbors, direction, e, end)
        near = there[:, None] & inside[None, :]
        b = tl.load(basis + e[:, None] * ROWS + row[None, :], mask=there[:, None], other=0.0)
        a0 += _weighted(_filter(b, filters, 0, H, h, inside, ROWS), s_bar, j, 0, 1, H, h, near)
        v0, v1, v2 = load3(_first(v_bar, j, 3, H, h), H, near)
        along = v0 * ux[:, None] + v1 * uy[:, None] + v2 * uz[:, None]
        a1 -= tl.sum(_filter(b, filters, 1, H, h, inside, ROWS) * along, 0)
        w = _filter(b, filters, 2, H, h, inside, ROWS)
        m0, m1, m2 = m0 + tl.sum(w * v0, 0), m1 + tl.sum(w * v1, 0), m2 + tl.sum(w * v2, 0)
        if RANK == 2:
            q0, q1, q2, q3, q4 = _tensor(ux, uy, uz)
            t0, t1, t2, t3, t4 = load5(_first(t_bar, j, 5, H, h), H, near)
            along = t0 * q0[:, None] + t1 * q1[:, None] + t2 * q2[:, None] + t3 * q3[:, None] + t4 * q4[:, None]
            a3 += tl.sum(_filter(b, filters, 3, H, h, inside, ROWS) * along, 0)
            w = _filter(b, filters, 4, H, h, inside, ROWS)
            n0, n1, n2 = n0 + tl.sum(w * t0, 0), n1 + tl.sum(w * t1, 0), n2 + tl.sum(w * t2, 0)
            n3, n4 = n3 + tl.sum(w * t3, 0), n4 + tl.sum(w * t4, 0)
    own = x_bar + atom * K * H + h
    tl.store(own, a0, mask=inside)
    tl.store(own + H, a1, mask=inside)
    v0, v1, v2 = load3(v + 3 * atom * H + h, H, inside)
    tl.store(own + 2 * H, m0 * v0 + m1 * v1 + m2 * v2, mask=inside)
    x2 = _row(x, atom, 2, K, H, h, inside)
    v0, v1, v2 = load3(v_bar + 3 * atom * H + h, H, inside)
    store3(v_bar_before + 3 * atom * H + h, H, inside, v0 + x2 * m0, v1 + x2 * m1, v2 + x2 * m2)
    if RANK == 2:
        tl.store(own + 3 * H, a3, mask=inside)
        t0, t1, t2, t3, t4 = load5(t + 5 * atom * H + h, H, inside)
        tl.store(own + 4 * H, n0 * t0 + n1 * t1 + n2 * t2 + n3 * t3 + n4 * t4, mask=inside)
        x4 = _row(x, atom, 4, K, H, h, inside)
        t0, t1, t2, t3, t4 = load5(t_bar + 5 * atom * H + h, H, inside)
        t0, t1, t2, t3, t4 = t0 + x4 * n0, t1 + x4 * n1, t2 + x4 * n2, t3 + x4 * n3, t4 + x4 * n4
        store5(t_bar_before + 5 * atom * H + h, H, inside, t0, t1, t2, t3, t4)
