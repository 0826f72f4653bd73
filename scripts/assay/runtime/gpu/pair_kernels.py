"""Kernels over pairs of atoms: which are within the cutoff, and all that depends on a distance.

Distances and their functions are computed in double precision, and what the network reads of them is rounded to single.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .constants import (
    BOHR_A,
    COEFFICIENTS,
    COULOMB_EV_A,
    ENVELOPES,
    EXPONENTS,
    FLAT_BELOW,
    SCREENING_BOHR,
    UNCHANGED_BEYOND,
)

_PI = tl.constexpr(3.141592653589793)
_FLAT, _UNCHANGED = tl.constexpr(FLAT_BELOW), tl.constexpr(UNCHANGED_BEYOND)
_COULOMB, _SCREENING_A = tl.constexpr(COULOMB_EV_A), tl.constexpr(SCREENING_BOHR * BOHR_A)
_C0, _C1, _C2, _C3 = (tl.constexpr(c) for c in COEFFICIENTS)
_B0, _B1, _B2, _B3 = (tl.constexpr(b) for b in EXPONENTS)
_POLYNOMIAL, _COSINE, _MOLLIFIER = (tl.constexpr(ENVELOPES.index(kind)) for kind in ENVELOPES[:3])


@triton.jit
def _vector(positions, shift, atom, neighbor, candidate, there):
    """The vectors from atoms to the images of their neighbors, three components, angstrom, float64."""
    x = tl.load(positions + 3 * neighbor, mask=there, other=1.0) - tl.load(positions + 3 * atom, mask=there, other=0.0)
    y = tl.load(positions + 3 * neighbor + 1, mask=there, other=0.0)
    z = tl.load(positions + 3 * neighbor + 2, mask=there, other=0.0)
    y -= tl.load(positions + 3 * atom + 1, mask=there, other=0.0)
    z -= tl.load(positions + 3 * atom + 2, mask=there, other=0.0)
    x += tl.load(shift + 3 * candidate, mask=there, other=0.0)
    y += tl.load(shift + 3 * candidate + 1, mask=there, other=0.0)
    z += tl.load(shift + 3 * candidate + 2, mask=there, other=0.0)
    return x, y, z


@triton.jit
def count_near(row_start, candidates, positions, shift, counts, cutoff_squared, PAIRS: tl.constexpr):
    """Count the candidates of one atom that are within the cutoff.

    Args:
        row_start: int32 (N + 1,), where the candidates of each atom begin.
        candidates: int32 (C,), the candidates for neighbors of each atom.
        positions: float64 (N, 3), angstrom.
        shift: float64 (C, 3), the displacement of the image of each candidate, angstrom.
        counts: int32 (N,), written.
        cutoff_squared: angstrom^2, as float64.
        PAIRS: how many candidates are compared at once.
    """
    atom = tl.program_id(0)
    begin, end = tl.load(row_start + atom), tl.load(row_start + atom + 1)
    limit = tl.load(cutoff_squared)
    own, count = tl.zeros([PAIRS], tl.int32) + atom, tl.zeros([PAIRS], tl.int32)
    for start in range(begin, end, PAIRS):
        c = start + tl.arange(0, PAIRS)
        there = c < end
        neighbor = tl.load(candidates + c, mask=there, other=0)
        x, y, z = _vector(positions, shift, own, neighbor, c, there)
        count += (there & (x * x + y * y + z * z <= limit)).to(tl.int32)
    tl.store(counts + atom, tl.sum(count, 0))


@triton.jit
def keep_near(
    row_start, candidates, positions, shift, edge_start, neighbors, centers, kept, cutoff_squared, PAIRS: tl.constexpr
):
    """Write the edges of one atom: its candidates within the cutoff, in their order.

    Args:
        row_start, candidates, positions, shift, cutoff_squared, PAIRS: as in ``count_near``.
        edge_start: int32 (N + 1,), where the edges of each atom begin.
        neighbors, centers, kept: int32 (E,), written: both atoms of each edge, and the place of its candidate.
    """
    atom = tl.program_id(0)
    begin, end = tl.load(row_start + atom), tl.load(row_start + atom + 1)
    limit = tl.load(cutoff_squared)
    own, place = tl.zeros([PAIRS], tl.int32) + atom, tl.load(edge_start + atom)
    for start in range(begin, end, PAIRS):
        c = start + tl.arange(0, PAIRS)
        there = c < end
        neighbor = tl.load(candidates + c, mask=there, other=0)
        x, y, z = _vector(positions, shift, own, neighbor, c, there)
        near = (there & (x * x + y * y + z * z <= limit)).to(tl.int32)
        at = place + tl.cumsum(near, 0) - near
        chosen = near > 0
        tl.store(neighbors + at, neighbor, mask=chosen)
        tl.store(centers + at, own, mask=chosen)
        tl.store(kept + at, c, mask=chosen)
        place += tl.sum(near, 0)


@triton.jit
def _envelope(d, cutoff, begin, end, KIND: tl.constexpr):
    """The cutoff function of distances within the cutoff, and its derivative."""
    if KIND == _POLYNOMIAL:
        x = tl.minimum(d / cutoff, 1.0)
        x5 = x * x * x * x * x
        f = 1.0 - x5 * x * (28.0 - 48.0 * x + 21.0 * x * x)
        slope = x5 * (1.0 - x) * (1.0 - x) * -168.0 / cutoff
    elif KIND == _COSINE:
        x = tl.minimum(d / cutoff, 1.0) * _PI
        f = 0.5 * (tl.cos(x) + 1.0)
        slope = tl.sin(x) * _PI * -0.5 / cutoff
    elif KIND == _MOLLIFIER:
        inside = d < end
        x = tl.where(inside, d / cutoff, 0.0)
        room = 1.0 - x * x
        f = tl.where(inside, tl.exp(1.0 - 1.0 / room), 0.0)
        slope = x * f * -2.0 / (room * room * cutoff)
    else:
        t = (d - begin) / (end - begin)
        x = tl.minimum(tl.maximum(t, 1e-3), 1.0 - 1e-3)
        low, high = tl.exp(-1.0 / x), tl.exp(-1.0 / (1.0 - x))
        f = high / (low + high)
        both = 1.0 / (x * x) + 1.0 / ((1.0 - x) * (1.0 - x))
        slope = -low * high * both / ((low + high) * (low + high) * (end - begin))
        slope = tl.where((t > 1e-3) & (t < 1.0 - 1e-3), slope, 0.0)
    return f, slope


@triton.jit
def _floored(d, contact):
    """The distances that the radial basis sees, and their derivatives."""
    a, b = contact * _FLAT, contact * _UNCHANGED
    t = tl.minimum(tl.maximum((d - a) / (b - a), 0.0), 1.0)
    g = 0.5 * (a + b) + (b - a) * t * t * t * t * (2.5 - 3.0 * t + t * t) + tl.maximum(d - b, 0.0)
    return g, t * t * t * (10.0 - 15.0 * t + 6.0 * t * t)


@triton.jit
def _repulsion(d, contact, charges, powers):
    """The repulsion of two nuclei, half of it for each direction of the edge, eV, and its derivative."""
    x = tl.minimum(d / contact, 1.0)
    chi = 1.0 - x * x * x * (10.0 - 15.0 * x + 6.0 * x * x)
    chi_slope = x * x * (1.0 - x) * (1.0 - x) * -30.0 / contact
    k = powers / _SCREENING_A
    e0, e1 = tl.exp(d * k * -_B0) * _C0, tl.exp(d * k * -_B1) * _C1
    e2, e3 = tl.exp(d * k * -_B2) * _C2, tl.exp(d * k * -_B3) * _C3
    phi = e0 + e1 + e2 + e3
    phi_slope = -k * (e0 * _B0 + e1 * _B1 + e2 * _B2 + e3 * _B3)
    scale = charges * _COULOMB * 0.5 / d
    return scale * phi * chi, scale * (phi_slope * chi + phi * chi_slope - phi * chi / d)


@triton.jit
def describe_pairs(
    numbers, edge_start, n_atoms, neighbors, centers, kept, positions, shift, elements, radial, reals,
    distance, direction, basis, slope, repulsion, repulsion_slope,
    Z_ROWS, ENVELOPE: tl.constexpr, GAUSSIAN: tl.constexpr, FLOOR: tl.constexpr, REPULSION: tl.constexpr,
    N_RBF: tl.constexpr, ROWS: tl.constexpr, EDGES: tl.constexpr,
):  # fmt: skip
    """Compute what the network reads of each edge: r, d, u, the radial basis times the envelope, and the repulsion.

    Row n < R of ``basis`` is the radial function n times the envelope f, row R is f itself, by which the bias of a
    filter is multiplied, and all others are zero; ``slope`` has their derivatives by the distance.

    Args:
        numbers: int32 (N,), atomic numbers.
        edge_start, neighbors, centers, kept: as ``keep_near`` writes them; n_atoms is N.
        positions, shift: as in ``count_near``.
        elements: float64 (2, Z_ROWS): covalent radii in angstrom and Z^0.23 by atomic number.
        radial: float64 (2, ROWS): centers and widths of Gaussians, or k and 1, and ones behind them.
        reals: float64 (3,): the cutoff, and where a switch begins and the envelope ends, angstrom.
        distance: float32 (E,), written, as all below.
        direction: float32 (E, 3).
        basis, slope: float32 (E, ROWS).
        repulsion, repulsion_slope: float64 (E,), eV and eV/angstrom.
    """
    e = tl.program_id(0) * EDGES + tl.arange(0, EDGES)
    there = e < tl.load(edge_start + n_atoms)
    i, j = tl.load(centers + e, mask=there, other=0), tl.load(neighbors + e, mask=there, other=0)
    x, y, z = _vector(positions, shift, i, j, tl.load(kept + e, mask=there, other=0), there)
    d = tl.sqrt(x * x + y * y + z * z)
    tl.store(distance + e, d.to(tl.float32), mask=there)
    tl.store(direction + 3 * e, (x / d).to(tl.float32), mask=there)
    tl.store(direction + 3 * e + 1, (y / d).to(tl.float32), mask=there)
    tl.store(direction + 3 * e + 2, (z / d).to(tl.float32), mask=there)
    g, g_slope = d, tl.zeros_like(d) + 1.0
    z_i, z_j = tl.load(numbers + i, mask=there, other=1), tl.load(numbers + j, mask=there, other=1)
    if FLOOR or REPULSION:
        contact = tl.load(elements + z_i) + tl.load(elements + z_j)
        if FLOOR:
            g, g_slope = _floored(d, contact)
        if REPULSION:
            powers = tl.load(elements + Z_ROWS + z_i) + tl.load(elements + Z_ROWS + z_j)
            charges = z_i.to(tl.float64) * z_j.to(tl.float64)
            pair, pair_slope = _repulsion(d, contact, charges, powers)
            tl.store(repulsion + e, pair, mask=there)
            tl.store(repulsion_slope + e, pair_slope, mask=there)
    f, f_slope = _envelope(d, tl.load(reals), tl.load(reals + 1), tl.load(reals + 2), ENVELOPE)
    row = tl.arange(0, ROWS)
    place, width = tl.load(radial + row)[None, :], tl.load(radial + ROWS + row)[None, :]
    if GAUSSIAN:
        t = (g[:, None] - place) / width
        psi = tl.exp(-0.5 * t * t)
        psi_slope = -t * psi / width
    else:
        psi = tl.sin(g[:, None] * place) / g[:, None]
        psi_slope = (tl.cos(g[:, None] * place) * place - psi) / g[:, None]
    own, envelope = (row < N_RBF)[None, :], (row == N_RBF)[None, :]
    value = tl.where(own, psi * f[:, None], tl.where(envelope, f[:, None], 0.0))
    change = psi * f_slope[:, None] + psi_slope * (g_slope * f)[:, None]
    change = tl.where(own, change, tl.where(envelope, f_slope[:, None], 0.0))
    at = e.to(tl.int64)[:, None] * ROWS + row[None, :]
    tl.store(basis + at, value.to(tl.float32), mask=there[:, None])
    tl.store(slope + at, change.to(tl.float32), mask=there[:, None])


@triton.jit
def atomic_totals(
    numbers, learned, reference, scale, edge_start, distance, direction, repulsion, repulsion_slope, pair_forces,
    n_pairs, energies, forces, virials, REPULSION: tl.constexpr, TILES: tl.constexpr, EDGES: tl.constexpr,
):  # fmt: skip
    """Add up the energy, the force and the virial of one atom.

    Args:
        numbers, edge_start, distance, direction, repulsion, repulsion_slope: as in ``describe_pairs``.
        learned: float32 (N,), the head of each atom.
        reference: float64 (Z,), the reference energy of each atomic number, eV.
        scale: float64 (1,), by which the head is multiplied.
        pair_forces: float32 (TILES, n_pairs, 3), see ``add_messages_adjoint``.
        energies, forces, virials: float64 (N,), (N, 3), (N, 9), written: eV, eV/angstrom, eV.
    """
    atom = tl.program_id(0)
    begin, end = tl.load(edge_start + atom), tl.load(edge_start + atom + 1)
    energy = tl.zeros([EDGES], tl.float64)
    fx, fy, fz = energy, energy, energy
    xx, xy, xz, yx, yy, yz, zx, zy, zz = energy, energy, energy, energy, energy, energy, energy, energy, energy
    for start in range(begin, end, EDGES):
        e = (start + tl.arange(0, EDGES)).to(tl.int64)
        there = e < end
        ux = tl.load(direction + 3 * e, mask=there, other=0.0).to(tl.float64)
        uy = tl.load(direction + 3 * e + 1, mask=there, other=0.0).to(tl.float64)
        uz = tl.load(direction + 3 * e + 2, mask=there, other=0.0).to(tl.float64)
        px, py, pz = tl.zeros_like(ux), tl.zeros_like(ux), tl.zeros_like(ux)
        if REPULSION:
            energy += tl.load(repulsion + e, mask=there, other=0.0)
            both = 2.0 * tl.load(repulsion_slope + e, mask=there, other=0.0)
            px, py, pz = both * ux, both * uy, both * uz
        for tile in range(TILES):
            place = pair_forces + (e + tile * n_pairs) * 3
            px += tl.load(place, mask=there, other=0.0).to(tl.float64)
            py += tl.load(place + 1, mask=there, other=0.0).to(tl.float64)
            pz += tl.load(place + 2, mask=there, other=0.0).to(tl.float64)
        fx, fy, fz = fx + px, fy + py, fz + pz
        half = -0.5 * tl.load(distance + e, mask=there, other=0.0).to(tl.float64)
        xx, xy, xz = xx + half * px * ux, xy + half * px * uy, xz + half * px * uz
        yx, yy, yz = yx + half * py * ux, yy + half * py * uy, yz + half * py * uz
        zx, zy, zz = zx + half * pz * ux, zy + half * pz * uy, zz + half * pz * uz
    learned_energy = tl.load(learned + atom).to(tl.float64) * tl.load(scale)
    tl.store(energies + atom, learned_energy + tl.load(reference + tl.load(numbers + atom)) + tl.sum(energy, 0))
    _store_row(forces + 3 * atom, fx, fy, fz)
    _store_row(virials + 9 * atom, xx, xy, xz)
    _store_row(virials + 9 * atom + 3, yx, yy, yz)
    _store_row(virials + 9 * atom + 6, zx, zy, zz)


@triton.jit
def _store_row(place, x, y, z):
    """Store the sums of three components behind each other."""
    tl.store(place, tl.sum(x, 0))
    tl.store(place + 1, tl.sum(y, 0))
    tl.store(place + 2, tl.sum(z, 0))


@triton.jit
def structure_totals(first_atom, values, totals, STRIDE: tl.constexpr, ATOMS: tl.constexpr):
    """Sum one column of values over the atoms of one structure, in one order.

    Args:
        first_atom: int32 (S + 1,), where the atoms of each structure begin.
        values: float64 (N, STRIDE).
        totals: float64 (S, STRIDE), written.
    """
    structure, column = tl.program_id(0), tl.program_id(1)
    begin, end = tl.load(first_atom + structure), tl.load(first_atom + structure + 1)
    total = tl.zeros([ATOMS], tl.float64)
    for start in range(begin, end, ATOMS):
        atom = start + tl.arange(0, ATOMS)
        total += tl.load(values + atom * STRIDE + column, mask=atom < end, other=0.0)
    tl.store(totals + structure * STRIDE + column, tl.sum(total, 0))
