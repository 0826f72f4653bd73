"""The kernel of the forces: the derivative of the energy by the vectors of the edges, edge by edge.

The force on an atom i is the sum over its edges of p_ij - p_ji, where p_ij is the derivative by the vector of the edge
ij. Both come from what i and j hold, so an edge needs nothing of its reverse. docs/engine.md has the formulas.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .component_kernels import load3, load5
from .constants import HALF_ROOT
from .message_kernels import _edges, _filter, _first, _rows, _tensor

_OMEGA = tl.constexpr(HALF_ROOT)


@triton.jit
def _vectors(filters, b, c, x, v_bar, i, j, ux, uy, uz, H, h, inside, near, K: tl.constexpr, ROWS: tl.constexpr):
    """What new vectors along the edges give: the derivative by the distance, and that by the direction."""
    v0, v1, v2 = load3(_first(v_bar, i, 3, H, h), H, near)
    xj = _rows(x, j, 1, K, H, h, near)
    y0, y1, y2 = v0 * xj, v1 * xj, v2 * xj
    v0, v1, v2 = load3(_first(v_bar, j, 3, H, h), H, near)
    xi = _rows(x, i, 1, K, H, h, near)
    y0, y1, y2 = y0 - v0 * xi, y1 - v1 * xi, y2 - v2 * xi
    along = y0 * ux[:, None] + y1 * uy[:, None] + y2 * uz[:, None]
    w = _filter(b, filters, 1, H, h, inside, ROWS)
    total = _filter(c, filters, 1, H, h, inside, ROWS) * along
    return total, tl.sum(w * y0, 1), tl.sum(w * y1, 1), tl.sum(w * y2, 1)


@triton.jit
def _tensors(filters, b, c, x, t_bar, i, j, ux, uy, uz, H, h, inside, near, K: tl.constexpr, ROWS: tl.constexpr):
    """What new tensors along the edges give, as ``_vectors``."""
    t0, t1, t2, t3, t4 = load5(_first(t_bar, i, 5, H, h), H, near)
    xj = _rows(x, j, 3, K, H, h, near)
    y0, y1, y2, y3, y4 = t0 * xj, t1 * xj, t2 * xj, t3 * xj, t4 * xj
    t0, t1, t2, t3, t4 = load5(_first(t_bar, j, 5, H, h), H, near)
    xi = _rows(x, i, 3, K, H, h, near)
    y0, y1, y2, y3, y4 = y0 + t0 * xi, y1 + t1 * xi, y2 + t2 * xi, y3 + t3 * xi, y4 + t4 * xi
    q0, q1, q2, q3, q4 = _tensor(ux, uy, uz)
    along = y0 * q0[:, None] + y1 * q1[:, None] + y2 * q2[:, None] + y3 * q3[:, None] + y4 * q4[:, None]
    total = _filter(c, filters, 3, H, h, inside, ROWS) * along
    w = _filter(b, filters, 3, H, h, inside, ROWS)
    z0, z1, z2 = tl.sum(w * y0, 1), tl.sum(w * y1, 1), tl.sum(w * y2, 1)
    z3, z4 = tl.sum(w * y3, 1), tl.sum(w * y4, 1)
    gx = ((z4 * ux + z0 * uy + z3 * uz) * _OMEGA - 0.5 * z2 * ux) * 2.0
    gy = ((z0 * ux - z4 * uy + z1 * uz) * _OMEGA - 0.5 * z2 * uy) * 2.0
    gz = ((z3 * ux + z1 * uy) * _OMEGA + z2 * uz) * 2.0
    return total, gx, gy, gz


@triton.jit
def _carried_vectors(xv, v_bar, i, j, H, h, near):
    """The sum of the derivatives of both directions of an edge by the filter of its neighbors' vectors."""
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


@triton.jit
def add_pair_forces(
    n_edges, neighbors, centers, distance, direction, basis, slope, filters, x, xv, xt, s_bar, v_bar, t_bar,
    pair_forces, n_pairs, H, RANK: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr, ROWS: tl.constexpr,
    CHANNELS: tl.constexpr, EDGES: tl.constexpr,
):  # fmt: skip
    """Differentiate ``message_kernels.add_messages`` by the vectors of a tile of edges.

    Args:
        n_edges: int32 (1,), the number of edges.
        neighbors, centers, distance, direction, basis, slope: see ``pair_kernels``.
        filters, x, xv, xt, H: as in ``add_messages``.
        s_bar, v_bar, t_bar: float32, the derivatives by S, V and T.
        pair_forces: float32 (tiles of channels, n_pairs, 3), p_ij - p_ji of each edge, eV/angstrom, to which each block
            adds; the last one, which comes first, writes.
    """
    start, end = tl.program_id(0) * EDGES, tl.load(n_edges)
    h = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    inside, row = h < H, tl.arange(0, ROWS)
    K: tl.constexpr = 2 * RANK + 1
    if start < end:
        e = (start + tl.arange(0, EDGES)).to(tl.int64)
        there, j, ux, uy, uz = _edges(neighbors, direction, e, end)
        i = tl.load(centers + e, mask=there, other=0).to(tl.int64)
        near = there[:, None] & inside[None, :]
        at = e[:, None] * ROWS + row[None, :]
        b = tl.load(basis + at, mask=there[:, None], other=0.0)
        c = tl.load(slope + at, mask=there[:, None], other=0.0)
        total, gx, gy, gz = _vectors(filters, b, c, x, v_bar, i, j, ux, uy, uz, H, h, inside, near, K, ROWS)
        scalars = _rows(s_bar, i, 0, 1, H, h, near) * _rows(x, j, 0, K, H, h, near)
        scalars += _rows(s_bar, j, 0, 1, H, h, near) * _rows(x, i, 0, K, H, h, near)
        total += _filter(c, filters, 0, H, h, inside, ROWS) * scalars
        if not FIRST:
            total += _filter(c, filters, 2, H, h, inside, ROWS) * _carried_vectors(xv, v_bar, i, j, H, h, near)
        if RANK == 2:
            own, qx, qy, qz = _tensors(filters, b, c, x, t_bar, i, j, ux, uy, uz, H, h, inside, near, K, ROWS)
            total, gx, gy, gz = total + own, gx + qx, gy + qy, gz + qz
            if not FIRST:
                total += _filter(c, filters, 4, H, h, inside, ROWS) * _carried_tensors(xt, t_bar, i, j, H, h, near)
        d = tl.load(distance + e, mask=there, other=1.0)
        along, by_distance = gx * ux + gy * uy + gz * uz, tl.sum(total, 1)
        px = by_distance * ux + (gx - along * ux) / d
        py = by_distance * uy + (gy - along * uy) / d
        pz = by_distance * uz + (gz - along * uz) / d
        place = pair_forces + (tl.program_id(1) * n_pairs + e) * 3
        if not LAST:
            px += tl.load(place, mask=there, other=0.0)
            py += tl.load(place + 1, mask=there, other=0.0)
            pz += tl.load(place + 2, mask=there, other=0.0)
        tl.store(place, px, mask=there)
        tl.store(place + 1, py, mask=there)
        tl.store(place + 2, pz, mask=there)
