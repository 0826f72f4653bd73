"""Kernels over atoms and channels: products of an atom's own features, and their adjoints.

Each program has a range of the N H elements. ``ab`` (N, 3, 2 H) holds the mixed vectors A and B behind each other, and
``ab2`` (N, 5, 2 H) the mixed tensors A2 and B2. docs/engine.md has the formulas, by the same names.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..network_constants import HALF_ROOT
from .component_kernels import after_inputs, load3, load5, store3, store5

_OMEGA = tl.constexpr(HALF_ROOT)


@triton.jit
def _elements(n, H, SIZE: tl.constexpr):
    """The atoms and channels of a program, and which of them are there."""
    index = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    return index // H, index % H, index < n


@triton.jit
def _dot3(a0, a1, a2, b0, b1, b2):
    return a0 * b0 + a1 * b1 + a2 * b2


@triton.jit
def _dot5(a0, a1, a2, a3, a4, b0, b1, b2, b3, b4):
    return a0 * b0 + a1 * b1 + a2 * b2 + a3 * b3 + a4 * b4


@triton.jit
def _contract(xy, yz, zz, xz, xx_yy, x, y, z):
    """The product of a tensor with a vector, a vector."""
    half = 0.5 * zz
    return (
        (xx_yy * x + xy * y + xz * z) * _OMEGA - half * x,
        (xy * x - xx_yy * y + yz * z) * _OMEGA - half * y,
        (xz * x + yz * y) * _OMEGA + zz * z,
    )


@triton.jit
def _traceless(x, y, z, p, q, r):
    """The symmetric, traceless product of two vectors, a tensor."""
    return (
        (x * q + y * p) * _OMEGA,
        (y * r + z * q) * _OMEGA,
        z * r - 0.5 * (x * p + y * q),
        (x * r + z * p) * _OMEGA,
        (x * p - y * q) * _OMEGA,
    )


@triton.jit
def first_features(numbers, embedding, context, s, x, ones, H, WIDTH, SIZE: tl.constexpr, OVERLAP: tl.constexpr):
    """Write what the first block begins with, which depends on the element of an atom alone.

    Args:
        numbers: int32 (N,), atomic numbers.
        embedding: float32 (Z, H), the features of each element.
        context: float32 (Z, WIDTH), what an atom of each element tells its neighbors.
        s, x, ones: float32 (N, H), (N, WIDTH) and (N, 1), written; the last one with ones.
    """
    after_inputs(OVERLAP)
    atom = tl.program_id(0).to(tl.int64)
    number = tl.load(numbers + atom)
    c = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    tl.store(x + atom * WIDTH + c, tl.load(context + number * WIDTH + c, mask=c < WIDTH, other=0.0), mask=c < WIDTH)
    if tl.program_id(1) == 0:
        for start in range(0, H, SIZE):
            h = start + tl.arange(0, SIZE)
            tl.store(s + atom * H + h, tl.load(embedding + number * H + h, mask=h < H, other=0.0), mask=h < H)
        tl.store(ones + atom, 1.0)


@triton.jit(do_not_specialize=["n"])
def scale_carried(x, v, t, xv, xt, n, H, RANK: tl.constexpr, SIZE: tl.constexpr, OVERLAP: tl.constexpr):
    """Write the messages x2 v and x4 t.

    Args:
        x: float32 (N, K, H), the context of each atom.
        v, t: float32 (N, 3, H) and (N, 5, H).
        xv, xt: the same shapes, written.
        n: N H.
    """
    after_inputs(OVERLAP)
    atom, h, there = _elements(n, H, SIZE)
    own = x + atom * (2 * RANK + 1) * H + h
    x2 = tl.load(own + 2 * H, mask=there, other=0.0)
    v0, v1, v2 = load3(v + 3 * atom * H + h, H, there)
    store3(xv + 3 * atom * H + h, H, there, x2 * v0, x2 * v1, x2 * v2)
    if RANK == 2:
        x4 = tl.load(own + 4 * H, mask=there, other=0.0)
        t0, t1, t2, t3, t4 = load5(t + 5 * atom * H + h, H, there)
        store5(xt + 5 * atom * H + h, H, there, x4 * t0, x4 * t1, x4 * t2, x4 * t3, x4 * t4)


@triton.jit(do_not_specialize=["n"])
def join_invariants(
    s, ab, ab2, invariants, n, H, epsilon, RANK: tl.constexpr, SIZE: tl.constexpr, OVERLAP: tl.constexpr
):
    """Write S and the norms of A and A2 behind each other, float32 (N, (RANK + 1) H)."""
    after_inputs(OVERLAP)
    atom, h, there = _elements(n, H, SIZE)
    own = invariants + atom * (RANK + 1) * H + h
    tl.store(own, tl.load(s + atom * H + h, mask=there, other=0.0), mask=there)
    a0, a1, a2 = load3(ab + 3 * atom * 2 * H + h, 2 * H, there)
    tl.store(own + H, tl.sqrt(_dot3(a0, a1, a2, a0, a1, a2) + epsilon), mask=there)
    if RANK == 2:
        a0, a1, a2, a3, a4 = load5(ab2 + 5 * atom * 2 * H + h, 2 * H, there)
        tl.store(own + 2 * H, tl.sqrt(_dot5(a0, a1, a2, a3, a4, a0, a1, a2, a3, a4) + epsilon), mask=there)


@triton.jit(do_not_specialize=["n"])
def update_features(
    s_summed, v_summed, t_summed, ab, ab2, y, s, v, t, n, H,
    RANK: tl.constexpr, LAST: tl.constexpr, SIZE: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """Compute s, v and t behind a block; behind the last one s alone, whose gates are y0, y2 and y3 only.

    Args:
        s_summed, v_summed, t_summed: S, V and T.
        ab, ab2: A and B, A2 and B2.
        y: float32 (N, G, H), the gates.
        s, v, t: written, in the shapes of S, V and T.
        n: N H.
    """
    after_inputs(OVERLAP)
    atom, h, there = _elements(n, H, SIZE)
    G: tl.constexpr = (RANK + 1) if LAST else (4 * RANK - 1)
    gate = y + atom * G * H + h
    NEXT: tl.constexpr = 1 if LAST else 2
    a0, a1, a2 = load3(ab + 3 * atom * 2 * H + h, 2 * H, there)
    b0, b1, b2 = load3(ab + H + 3 * atom * 2 * H + h, 2 * H, there)
    total = tl.load(s_summed + atom * H + h, mask=there, other=0.0) + tl.load(gate, mask=there, other=0.0)
    total += tl.load(gate + NEXT * H, mask=there, other=0.0) * _dot3(a0, a1, a2, b0, b1, b2)
    if RANK == 2:
        c0, c1, c2, c3, c4 = load5(ab2 + 5 * atom * 2 * H + h, 2 * H, there)
        d0, d1, d2, d3, d4 = load5(ab2 + H + 5 * atom * 2 * H + h, 2 * H, there)
        y3 = tl.load(gate + (NEXT + 1) * H, mask=there, other=0.0)
        total += y3 * _dot5(c0, c1, c2, c3, c4, d0, d1, d2, d3, d4)
    tl.store(s + atom * H + h, total, mask=there)
    if not LAST:
        y1 = tl.load(gate + H, mask=there, other=0.0)
        v0, v1, v2 = load3(v_summed + 3 * atom * H + h, H, there)
        v0, v1, v2 = v0 + y1 * b0, v1 + y1 * b1, v2 + y1 * b2
        if RANK == 2:
            y4 = tl.load(gate + 4 * H, mask=there, other=0.0)
            y5 = tl.load(gate + 5 * H, mask=there, other=0.0)
            y6 = tl.load(gate + 6 * H, mask=there, other=0.0)
            r0, r1, r2 = _contract(d0, d1, d2, d3, d4, b0, b1, b2)
            v0, v1, v2 = v0 + y4 * r0, v1 + y4 * r1, v2 + y4 * r2
            p0, p1, p2, p3, p4 = _traceless(a0, a1, a2, b0, b1, b2)
            t0, t1, t2, t3, t4 = load5(t_summed + 5 * atom * H + h, H, there)
            t0, t1, t2 = t0 + y5 * d0 + y6 * p0, t1 + y5 * d1 + y6 * p1, t2 + y5 * d2 + y6 * p2
            t3, t4 = t3 + y5 * d3 + y6 * p3, t4 + y5 * d4 + y6 * p4
            store5(t + 5 * atom * H + h, H, there, t0, t1, t2, t3, t4)
        store3(v + 3 * atom * H + h, H, there, v0, v1, v2)


@triton.jit(do_not_specialize=["n"])
def gates_adjoint(
    s_bar,
    v_bar,
    t_bar,
    ab,
    ab2,
    y_bar,
    n,
    H,
    RANK: tl.constexpr,
    LAST: tl.constexpr,
    SIZE: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    """Differentiate ``update_features`` by the gates: float32 (N, G, H) in ``y_bar``, from those by s, v and t."""
    after_inputs(OVERLAP)
    atom, h, there = _elements(n, H, SIZE)
    G: tl.constexpr = (RANK + 1) if LAST else (4 * RANK - 1)
    gate = y_bar + atom * G * H + h
    NEXT: tl.constexpr = 1 if LAST else 2
    s = tl.load(s_bar + atom * H + h, mask=there, other=0.0)
    a0, a1, a2 = load3(ab + 3 * atom * 2 * H + h, 2 * H, there)
    b0, b1, b2 = load3(ab + H + 3 * atom * 2 * H + h, 2 * H, there)
    tl.store(gate, s, mask=there)
    tl.store(gate + NEXT * H, s * _dot3(a0, a1, a2, b0, b1, b2), mask=there)
    if RANK == 2:
        c0, c1, c2, c3, c4 = load5(ab2 + 5 * atom * 2 * H + h, 2 * H, there)
        d0, d1, d2, d3, d4 = load5(ab2 + H + 5 * atom * 2 * H + h, 2 * H, there)
        tl.store(gate + (NEXT + 1) * H, s * _dot5(c0, c1, c2, c3, c4, d0, d1, d2, d3, d4), mask=there)
    if not LAST:
        v0, v1, v2 = load3(v_bar + 3 * atom * H + h, H, there)
        tl.store(gate + H, _dot3(v0, v1, v2, b0, b1, b2), mask=there)
        if RANK == 2:
            r0, r1, r2 = _contract(d0, d1, d2, d3, d4, b0, b1, b2)
            tl.store(gate + 4 * H, _dot3(v0, v1, v2, r0, r1, r2), mask=there)
            t0, t1, t2, t3, t4 = load5(t_bar + 5 * atom * H + h, H, there)
            tl.store(gate + 5 * H, _dot5(t0, t1, t2, t3, t4, d0, d1, d2, d3, d4), mask=there)
            p0, p1, p2, p3, p4 = _traceless(a0, a1, a2, b0, b1, b2)
            tl.store(gate + 6 * H, _dot5(t0, t1, t2, t3, t4, p0, p1, p2, p3, p4), mask=there)


@triton.jit(do_not_specialize=["n"])
def mixed_adjoint(
    s_bar, v_bar, t_bar, ab, ab2, y, invariants, invariants_bar, s_summed_bar, ab_bar, ab2_bar, n, H,
    RANK: tl.constexpr, LAST: tl.constexpr, SIZE: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """Differentiate the update by S and by the mixed vectors and tensors.

    Args:
        s_bar, v_bar, t_bar: the derivatives by s, v and t behind the block; v_bar and t_bar are zero behind the last.
        ab, ab2, y, n: as in ``update_features``.
        invariants, invariants_bar: float32 (N, (RANK + 1) H), as ``join_invariants`` writes them, and the derivatives.
        s_summed_bar: float32 (N, H), written, as all below: the derivative by S.
        ab_bar, ab2_bar: the derivatives by ``ab`` and ``ab2``.
    """
    after_inputs(OVERLAP)
    atom, h, there = _elements(n, H, SIZE)
    G: tl.constexpr = (RANK + 1) if LAST else (4 * RANK - 1)
    gate = y + atom * G * H + h
    NEXT: tl.constexpr = 1 if LAST else 2
    own = atom * (RANK + 1) * H + h
    s = tl.load(s_bar + atom * H + h, mask=there, other=0.0)
    by_s = s + tl.load(invariants_bar + own, mask=there, other=0.0)
    tl.store(s_summed_bar + atom * H + h, by_s, mask=there)
    a0, a1, a2 = load3(ab + 3 * atom * 2 * H + h, 2 * H, there)
    b0, b1, b2 = load3(ab + H + 3 * atom * 2 * H + h, 2 * H, there)
    norm = tl.load(invariants + own + H, mask=there, other=1.0)
    k = tl.load(invariants_bar + own + H, mask=there, other=0.0) / norm
    w = s * tl.load(gate + NEXT * H, mask=there, other=0.0)
    e0, e1, e2 = w * b0 + k * a0, w * b1 + k * a1, w * b2 + k * a2
    f0, f1, f2 = w * a0, w * a1, w * a2
    if not LAST:
        y1 = tl.load(gate + H, mask=there, other=0.0)
        v0, v1, v2 = load3(v_bar + 3 * atom * H + h, H, there)
        f0, f1, f2 = f0 + y1 * v0, f1 + y1 * v1, f2 + y1 * v2
    if RANK == 2:
        c0, c1, c2, c3, c4 = load5(ab2 + 5 * atom * 2 * H + h, 2 * H, there)
        d0, d1, d2, d3, d4 = load5(ab2 + H + 5 * atom * 2 * H + h, 2 * H, there)
        norm = tl.load(invariants + own + 2 * H, mask=there, other=1.0)
        k = tl.load(invariants_bar + own + 2 * H, mask=there, other=0.0) / norm
        w = s * tl.load(gate + (NEXT + 1) * H, mask=there, other=0.0)
        store5(ab2_bar + 5 * atom * 2 * H + h, 2 * H, there,
            w * d0 + k * c0, w * d1 + k * c1, w * d2 + k * c2, w * d3 + k * c3, w * d4 + k * c4,
        )  # fmt: skip
        c0, c1, c2, c3, c4 = w * c0, w * c1, w * c2, w * c3, w * c4
        if not LAST:
            y4 = tl.load(gate + 4 * H, mask=there, other=0.0)
            y5 = tl.load(gate + 5 * H, mask=there, other=0.0)
            y6 = tl.load(gate + 6 * H, mask=there, other=0.0)
            t0, t1, t2, t3, t4 = load5(t_bar + 5 * atom * H + h, H, there)
            p0, p1, p2, p3, p4 = _traceless(v0, v1, v2, b0, b1, b2)
            c0, c1, c2 = c0 + y4 * p0 + y5 * t0, c1 + y4 * p1 + y5 * t1, c2 + y4 * p2 + y5 * t2
            c3, c4 = c3 + y4 * p3 + y5 * t3, c4 + y4 * p4 + y5 * t4
            r0, r1, r2 = _contract(t0, t1, t2, t3, t4, b0, b1, b2)
            e0, e1, e2 = e0 + y6 * r0, e1 + y6 * r1, e2 + y6 * r2
            r0, r1, r2 = _contract(t0, t1, t2, t3, t4, a0, a1, a2)
            f0, f1, f2 = f0 + y6 * r0, f1 + y6 * r1, f2 + y6 * r2
            r0, r1, r2 = _contract(d0, d1, d2, d3, d4, v0, v1, v2)
            f0, f1, f2 = f0 + y4 * r0, f1 + y4 * r1, f2 + y4 * r2
        store5(ab2_bar + H + 5 * atom * 2 * H + h, 2 * H, there, c0, c1, c2, c3, c4)
    store3(ab_bar + 3 * atom * 2 * H + h, 2 * H, there, e0, e1, e2)
    store3(ab_bar + H + 3 * atom * 2 * H + h, 2 * H, there, f0, f1, f2)
