"""The kernel of the forces: the derivative of the energy by the vectors of the pairs, pair by pair.

The force on an atom i is the sum over its neighbors j of p_ij - p_ji, where p_ij is the derivative by the vector from i
to j. Both come from what i and j hold, so each pair is computed once. docs/engine.md has the formulas.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..network_constants import HALF_ROOT
from .component_kernels import after_inputs, load3, load5, store3
from .message_kernels import _first, _rows, _tensor

_OMEGA = tl.constexpr(HALF_ROOT)


@triton.jit
def _vectors(w, c, x, v_bar, i, j, ux, uy, uz, H, h, near, K: tl.constexpr):
    """What new vectors along the pairs give: the derivative by the distance, and that by the direction."""
    v0, v1, v2 = load3(_first(v_bar, i, 3, H, h), H, near)
    xj = _rows(x, j, 1, K, H, h, near)
    y0, y1, y2 = v0 * xj, v1 * xj, v2 * xj
    v0, v1, v2 = load3(_first(v_bar, j, 3, H, h), H, near)
    xi = _rows(x, i, 1, K, H, h, near)
    y0, y1, y2 = y0 - v0 * xi, y1 - v1 * xi, y2 - v2 * xi
    along = y0 * ux[:, None] + y1 * uy[:, None] + y2 * uz[:, None]
    w1 = tl.load(w + H, mask=near, other=0.0)
    return tl.load(c + H, mask=near, other=0.0) * along, w1 * y0, w1 * y1, w1 * y2


@triton.jit
def _tensors(w, c, x, t_bar, i, j, ux, uy, uz, H, h, near, K: tl.constexpr):
    """What new tensors along the pairs give, as ``_vectors``."""
    t0, t1, t2, t3, t4 = load5(_first(t_bar, i, 5, H, h), H, near)
    xj = _rows(x, j, 3, K, H, h, near)
    y0, y1, y2, y3, y4 = t0 * xj, t1 * xj, t2 * xj, t3 * xj, t4 * xj
    t0, t1, t2, t3, t4 = load5(_first(t_bar, j, 5, H, h), H, near)
    xi = _rows(x, i, 3, K, H, h, near)
    y0, y1, y2, y3, y4 = y0 + t0 * xi, y1 + t1 * xi, y2 + t2 * xi, y3 + t3 * xi, y4 + t4 * xi
    q0, q1, q2, q3, q4 = _tensor(ux, uy, uz)
    along = y0 * q0[:, None] + y1 * q1[:, None] + y2 * q2[:, None] + y3 * q3[:, None] + y4 * q4[:, None]
    total = tl.load(c + 3 * H, mask=near, other=0.0) * along
    w3 = tl.load(w + 3 * H, mask=near, other=0.0)
    z0, z1, z2, z3, z4 = w3 * y0, w3 * y1, w3 * y2, w3 * y3, w3 * y4
    ux, uy, uz = ux[:, None], uy[:, None], uz[:, None]
    gx = ((z4 * ux + z0 * uy + z3 * uz) * _OMEGA - 0.5 * z2 * ux) * 2.0
    gy = ((z0 * ux - z4 * uy + z1 * uz) * _OMEGA - 0.5 * z2 * uy) * 2.0
    gz = ((z3 * ux + z1 * uy) * _OMEGA + z2 * uz) * 2.0
    return total, gx, gy, gz


@triton.jit
def _carried_vectors(xv, v_bar, i, j, H, h, near):
    """The sum of the derivatives of both directions of a pair by the filter of its neighbors' vectors."""
    v0, v1, v2 = load3(_first(v_bar, i, 3, H, h), H, near)
    m0, m1, m2 = load3(_first(xv, j, 3, H, h), H, near)
    total = v0 * m0 + v1 * m1 + v2 * m2
    v0, v1, v2 = load3(_first(v_bar, j, 3, H, h), H, near)
    m0, m1, m2 = load3(_first(xv, i, 3, H, h), H, near)
    return total + v0 * m0 + v1 * m1 + v2 * m2


@triton.jit
def _carried_tensors(xt, t_bar, i, j, H, h, near):
    """The same for the neighbors' tensors."""
    t0, t1, t2, t3, t4 = load5(_first(t_bar, i, 5, H, h), H, near)
    m0, m1, m2, m3, m4 = load5(_first(xt, j, 5, H, h), H, near)
    total = t0 * m0 + t1 * m1 + t2 * m2 + t3 * m3 + t4 * m4
    t0, t1, t2, t3, t4 = load5(_first(t_bar, j, 5, H, h), H, near)
    m0, m1, m2, m3, m4 = load5(_first(xt, i, 5, H, h), H, near)
    return total + t0 * m0 + t1 * m1 + t2 * m2 + t3 * m3 + t4 * m4


@triton.jit(do_not_specialize=["n_pairs"])
def add_pair_forces(
    n_pairs, first, second, place, distance, direction, filters, slopes, x, xv, xt, s_bar, v_bar, t_bar,
    pair_forces, H, RANK: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr, CHANNELS: tl.constexpr,
    PAIRS: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """Differentiate ``message_kernels.add_messages`` by the vectors of a few pairs, from the first atom to the second.

    Args:
        n_pairs: the number of pairs.
        first, second: int32 (P,), the atoms of each pair.
        place, direction, filters, H: as in ``add_messages``.
        distance: float32 (P,), angstrom.
        slopes: like ``filters``, their derivatives by the distance.
        x, xv, xt: as in ``add_messages``.
        s_bar, v_bar, t_bar: float32, the derivatives by S, V and T.
        pair_forces: float32 (P, 3), p_ij - p_ji of each pair, eV/angstrom, to which each block adds; the last one,
            which comes first, writes. Nothing is written beyond the cutoff.
    """
    after_inputs(OVERLAP)
    K: tl.constexpr = 2 * RANK + 1
    p = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    at = tl.load(place + p, mask=p < n_pairs, other=-1).to(tl.int64)
    there = at >= 0
    i = tl.load(first + p, mask=there, other=0).to(tl.int64)
    j = tl.load(second + p, mask=there, other=0).to(tl.int64)
    p = p.to(tl.int64)
    ux, uy, uz = load3(direction + 3 * p, 1, there)
    total = tl.zeros([PAIRS, CHANNELS], tl.float32)
    gx, gy, gz = total, total, total
    for start in range(0, H, CHANNELS):
        h = start + tl.arange(0, CHANNELS)
        near = there[:, None] & (h < H)[None, :]
        w = filters + at[:, None] * K * H + h[None, :]
        c = slopes + at[:, None] * K * H + h[None, :]
        own, qx, qy, qz = _vectors(w, c, x, v_bar, i, j, ux, uy, uz, H, h, near, K)
        total, gx, gy, gz = total + own, gx + qx, gy + qy, gz + qz
        scalars = _rows(s_bar, i, 0, 1, H, h, near) * _rows(x, j, 0, K, H, h, near)
        scalars += _rows(s_bar, j, 0, 1, H, h, near) * _rows(x, i, 0, K, H, h, near)
        total += tl.load(c, mask=near, other=0.0) * scalars
        if not FIRST:
            total += tl.load(c + 2 * H, mask=near, other=0.0) * _carried_vectors(xv, v_bar, i, j, H, h, near)
        if RANK == 2:
            own, qx, qy, qz = _tensors(w, c, x, t_bar, i, j, ux, uy, uz, H, h, near, K)
            total, gx, gy, gz = total + own, gx + qx, gy + qy, gz + qz
            if not FIRST:
                total += tl.load(c + 4 * H, mask=near, other=0.0) * _carried_tensors(xt, t_bar, i, j, H, h, near)
    d = tl.load(distance + p, mask=there, other=1.0)
    px, py, pz, by_distance = tl.sum(gx, 1), tl.sum(gy, 1), tl.sum(gz, 1), tl.sum(total, 1)
    along = px * ux + py * uy + pz * uz
    px = by_distance * ux + (px - along * ux) / d
    py = by_distance * uy + (py - along * uy) / d
    pz = by_distance * uz + (pz - along * uz) / d
    if not LAST:
        ox, oy, oz = load3(pair_forces + 3 * p, 1, there)
        px, py, pz = px + ox, py + oy, pz + oz
    store3(pair_forces + 3 * p, 1, there, px, py, pz)
