"""Kernels that walk the neighbors of an atom: the sums of messages, and their adjoint, which is the same walk.

One program has one atom and a tile of its channels. It multiplies the filters of a few pairs with what it gathers from
the neighbors, and keeps the sums in registers until the walk ends. The relation is symmetric, so the adjoint needs the
same pairs again, and no two programs ever write to one place. ``force_kernels`` differentiates by the vectors of the
pairs. docs/engine.md has the formulas, by the same names.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..network_constants import HALF_ROOT
from .component_kernels import after_inputs, load3, load5, store3, store5

_OMEGA = tl.constexpr(HALF_ROOT)


@triton.jit
def _entries(neighbors, pairs, place, direction, e, end):
    """Of a few entries: which are within the cutoff, the neighbor, the row of the filters, and the direction to it."""
    there = e < end
    pair = tl.load(pairs + e, mask=there, other=0)
    j = tl.load(neighbors + e, mask=there, other=0).to(tl.int64)
    sign = tl.where(pair >= 0, 1.0, -1.0)
    pair = tl.where(pair >= 0, pair, -1 - pair)
    at = tl.load(place + pair, mask=there, other=-1)
    ux, uy, uz = load3(direction + 3 * pair, 1, there)
    return at >= 0, j, at.to(tl.int64), ux * sign, uy * sign, uz * sign


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
def _row(base, atom, component, COMPONENTS: tl.constexpr, H, h, inside):
    """One row of channels of the program's own atom."""
    return tl.load(base + (atom * COMPONENTS + component) * H + h, mask=inside, other=0.0)


@triton.jit
def _first(base, j, COMPONENTS: tl.constexpr, H, h):
    """Where the first components of the atom of each pair are, (PAIRS, CHANNELS)."""
    return base + (j * COMPONENTS)[:, None] * H + h[None, :]


@triton.jit
def _rows(base, j, component, COMPONENTS: tl.constexpr, H, h, near):
    """The same row of the atom of each pair, (PAIRS, CHANNELS)."""
    return tl.load(_first(base, j, COMPONENTS, H, h) + component * H, mask=near, other=0.0)


@triton.jit
def add_messages(
    row_start, neighbors, pairs, place, direction, filters, x, xv, xt, s, v, t, s_summed, v_summed, t_summed,
    H, RANK: tl.constexpr, FIRST: tl.constexpr, CHANNELS: tl.constexpr, PAIRS: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """Compute S, V and T: the features of one atom and the messages of its neighbors.

    Args:
        row_start, neighbors, pairs: the entries of each atom, see ``Candidates``.
        place: int32 (P,), the row of ``filters`` of each pair, -1 beyond the cutoff.
        direction: float32 (P, 3), from the first atom of a pair to the second.
        filters: float32 (rows, K, H), the filters of each pair within the cutoff.
        x: float32 (N, K, H), the context of each atom.
        xv, xt: float32 (N, 3, H) and (N, 5, H), the messages x2 v and x4 t; not read in the first block.
        s, v, t: float32 (N, H), (N, 3, H), (N, 5, H), before the block; only s is read in the first one.
        s_summed, v_summed, t_summed: the same shapes, written.
    """
    after_inputs(OVERLAP)
    tiles = tl.cdiv(H, CHANNELS)
    atom = (tl.program_id(0) // tiles).to(tl.int64)
    h = tl.program_id(0) % tiles * CHANNELS + tl.arange(0, CHANNELS)
    inside = h < H
    K: tl.constexpr = 2 * RANK + 1
    begin, end = tl.load(row_start + atom), tl.load(row_start + atom + 1)
    a = tl.zeros([PAIRS, CHANNELS], tl.float32)
    v0, v1, v2, t0, t1, t2, t3, t4 = a, a, a, a, a, a, a, a
    for start in range(begin, end, PAIRS):
        near, j, at, ux, uy, uz = _entries(neighbors, pairs, place, direction, start + tl.arange(0, PAIRS), end)
        near = near[:, None] & inside[None, :]
        w = filters + at[:, None] * K * H + h[None, :]
        a += tl.load(w, mask=near, other=0.0) * _rows(x, j, 0, K, H, h, near)
        message = tl.load(w + H, mask=near, other=0.0) * _rows(x, j, 1, K, H, h, near)
        v0, v1, v2 = v0 + message * ux[:, None], v1 + message * uy[:, None], v2 + message * uz[:, None]
        if not FIRST:
            w2 = tl.load(w + 2 * H, mask=near, other=0.0)
            m0, m1, m2 = load3(_first(xv, j, 3, H, h), H, near)
            v0, v1, v2 = v0 + w2 * m0, v1 + w2 * m1, v2 + w2 * m2
        if RANK == 2:
            q0, q1, q2, q3, q4 = _tensor(ux, uy, uz)
            message = tl.load(w + 3 * H, mask=near, other=0.0) * _rows(x, j, 3, K, H, h, near)
            t0, t1, t2 = t0 + message * q0[:, None], t1 + message * q1[:, None], t2 + message * q2[:, None]
            t3, t4 = t3 + message * q3[:, None], t4 + message * q4[:, None]
            if not FIRST:
                w4 = tl.load(w + 4 * H, mask=near, other=0.0)
                m0, m1, m2, m3, m4 = load5(_first(xt, j, 5, H, h), H, near)
                t0, t1, t2, t3, t4 = t0 + w4 * m0, t1 + w4 * m1, t2 + w4 * m2, t3 + w4 * m3, t4 + w4 * m4
    tl.store(s_summed + atom * H + h, _row(s, atom, 0, 1, H, h, inside) + tl.sum(a, 0), mask=inside)
    w0, w1, w2 = tl.sum(v0, 0), tl.sum(v1, 0), tl.sum(v2, 0)
    if not FIRST:
        m0, m1, m2 = load3(v + 3 * atom * H + h, H, inside)
        w0, w1, w2 = w0 + m0, w1 + m1, w2 + m2
    store3(v_summed + 3 * atom * H + h, H, inside, w0, w1, w2)
    if RANK == 2:
        w0, w1, w2, w3, w4 = tl.sum(t0, 0), tl.sum(t1, 0), tl.sum(t2, 0), tl.sum(t3, 0), tl.sum(t4, 0)
        if not FIRST:
            m0, m1, m2, m3, m4 = load5(t + 5 * atom * H + h, H, inside)
            w0, w1, w2, w3, w4 = w0 + m0, w1 + m1, w2 + m2, w3 + m3, w4 + m4
        store5(t_summed + 5 * atom * H + h, H, inside, w0, w1, w2, w3, w4)


@triton.jit
def add_messages_adjoint(
    row_start, neighbors, pairs, place, direction, filters, x, v, t, s_bar, v_bar, t_bar,
    x_bar, v_bar_before, t_bar_before, H, RANK: tl.constexpr, CHANNELS: tl.constexpr, PAIRS: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    """Differentiate ``add_messages`` by what one atom holds, which is a sum over the same pairs.

    Args:
        row_start, neighbors, pairs, place, direction, filters, x, v, t, H: as in ``add_messages``.
        s_bar, v_bar, t_bar: float32, the derivatives by S, V and T.
        x_bar: float32 (N, K, H), written, as all below: the derivative by x.
        v_bar_before, t_bar_before: the derivatives by v and t.
    """
    after_inputs(OVERLAP)
    tiles = tl.cdiv(H, CHANNELS)
    atom = (tl.program_id(0) // tiles).to(tl.int64)
    h = tl.program_id(0) % tiles * CHANNELS + tl.arange(0, CHANNELS)
    inside = h < H
    K: tl.constexpr = 2 * RANK + 1
    begin, end = tl.load(row_start + atom), tl.load(row_start + atom + 1)
    a0 = tl.zeros([PAIRS, CHANNELS], tl.float32)
    a1, a3, m0, m1, m2, n0, n1, n2, n3, n4 = a0, a0, a0, a0, a0, a0, a0, a0, a0, a0
    for start in range(begin, end, PAIRS):
        near, j, at, ux, uy, uz = _entries(neighbors, pairs, place, direction, start + tl.arange(0, PAIRS), end)
        near = near[:, None] & inside[None, :]
        w = filters + at[:, None] * K * H + h[None, :]
        a0 += tl.load(w, mask=near, other=0.0) * _rows(s_bar, j, 0, 1, H, h, near)
        v0, v1, v2 = load3(_first(v_bar, j, 3, H, h), H, near)
        along = v0 * ux[:, None] + v1 * uy[:, None] + v2 * uz[:, None]
        a1 -= tl.load(w + H, mask=near, other=0.0) * along
        w2 = tl.load(w + 2 * H, mask=near, other=0.0)
        m0, m1, m2 = m0 + w2 * v0, m1 + w2 * v1, m2 + w2 * v2
        if RANK == 2:
            q0, q1, q2, q3, q4 = _tensor(ux, uy, uz)
            t0, t1, t2, t3, t4 = load5(_first(t_bar, j, 5, H, h), H, near)
            along = t0 * q0[:, None] + t1 * q1[:, None] + t2 * q2[:, None] + t3 * q3[:, None] + t4 * q4[:, None]
            a3 += tl.load(w + 3 * H, mask=near, other=0.0) * along
            w4 = tl.load(w + 4 * H, mask=near, other=0.0)
            n0, n1, n2, n3, n4 = n0 + w4 * t0, n1 + w4 * t1, n2 + w4 * t2, n3 + w4 * t3, n4 + w4 * t4
    own = x_bar + atom * K * H + h
    tl.store(own, tl.sum(a0, 0), mask=inside)
    tl.store(own + H, tl.sum(a1, 0), mask=inside)
    w0, w1, w2 = tl.sum(m0, 0), tl.sum(m1, 0), tl.sum(m2, 0)
    v0, v1, v2 = load3(v + 3 * atom * H + h, H, inside)
    tl.store(own + 2 * H, w0 * v0 + w1 * v1 + w2 * v2, mask=inside)
    x2 = _row(x, atom, 2, K, H, h, inside)
    v0, v1, v2 = load3(v_bar + 3 * atom * H + h, H, inside)
    store3(v_bar_before + 3 * atom * H + h, H, inside, v0 + x2 * w0, v1 + x2 * w1, v2 + x2 * w2)
    if RANK == 2:
        tl.store(own + 3 * H, tl.sum(a3, 0), mask=inside)
        w0, w1, w2, w3, w4 = tl.sum(n0, 0), tl.sum(n1, 0), tl.sum(n2, 0), tl.sum(n3, 0), tl.sum(n4, 0)
        t0, t1, t2, t3, t4 = load5(t + 5 * atom * H + h, H, inside)
        tl.store(own + 4 * H, w0 * t0 + w1 * t1 + w2 * t2 + w3 * t3 + w4 * t4, mask=inside)
        x4 = _row(x, atom, 4, K, H, h, inside)
        t0, t1, t2, t3, t4 = load5(t_bar + 5 * atom * H + h, H, inside)
        t0, t1, t2, t3, t4 = t0 + x4 * w0, t1 + x4 * w1, t2 + x4 * w2, t3 + x4 * w3, t4 + x4 * w4
        store5(t_bar_before + 5 * atom * H + h, H, inside, t0, t1, t2, t3, t4)
