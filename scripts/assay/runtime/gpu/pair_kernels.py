"""Kernels over pairs of atoms: which are within the cutoff, and all that depends on a distance.

Distances and their functions are computed in double precision, and what the network reads of them is rounded to single.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..network_constants import (
    BOHR_A,
    COEFFICIENTS,
    COULOMB_EV_A,
    ENVELOPES,
    EXPONENTS,
    FLAT_BELOW,
    SCREENING_BOHR,
    UNCHANGED_BEYOND,
)
from .component_kernels import after_inputs, load3, store3

_PI = tl.constexpr(3.141592653589793)
_FLAT, _UNCHANGED = tl.constexpr(FLAT_BELOW), tl.constexpr(UNCHANGED_BEYOND)
_COULOMB, _SCREENING_A = tl.constexpr(COULOMB_EV_A), tl.constexpr(SCREENING_BOHR * BOHR_A)
_C0, _C1, _C2, _C3 = (tl.constexpr(c) for c in COEFFICIENTS)
_B0, _B1, _B2, _B3 = (tl.constexpr(b) for b in EXPONENTS)
_POLYNOMIAL, _COSINE, _MOLLIFIER = (tl.constexpr(ENVELOPES.index(kind)) for kind in ENVELOPES[:3])


@triton.jit
def _vector(positions, first, second, shift, p, there):
    """The vectors of pairs from the first atom to the image of the second, three components, angstrom, float64."""
    i, j = tl.load(first + p, mask=there, other=0), tl.load(second + p, mask=there, other=0)
    x = tl.load(positions + 3 * j, mask=there, other=1.0) - tl.load(positions + 3 * i, mask=there, other=0.0)
    y = tl.load(positions + 3 * j + 1, mask=there, other=0.0) - tl.load(positions + 3 * i + 1, mask=there, other=0.0)
    z = tl.load(positions + 3 * j + 2, mask=there, other=0.0) - tl.load(positions + 3 * i + 2, mask=there, other=0.0)
    by_x, by_y, by_z = load3(shift + 3 * p, 1, there)
    return i, j, x + by_x, y + by_y, z + by_z


@triton.jit(do_not_specialize=["n_pairs"])
def find_near(positions, first, second, shift, near, n_pairs, reals, PAIRS: tl.constexpr, OVERLAP: tl.constexpr):
    """Say of each pair whether it is within the cutoff.

    Args:
        positions: float64 (N, 3), angstrom.
        first, second, shift: the pairs, see ``Candidates``.
        near: int32 (P,), written: 1 or 0.
        n_pairs: P.
        reals: float64, of which the first one is the cutoff, angstrom.
        PAIRS: how many pairs a program has.
    """
    after_inputs(OVERLAP)
    p = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    _, _, x, y, z = _vector(positions, first, second, shift, p, p < n_pairs)
    near_enough = tl.sqrt(x * x + y * y + z * z) <= tl.load(reals)
    tl.store(near + p, near_enough.to(tl.int32), mask=p < n_pairs)


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
    """The floored distances, and their derivatives."""
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


@triton.jit(do_not_specialize=["n_pairs"])
def describe_pairs(
    numbers, positions, first, second, shift, near, counted, n_pairs, elements, radial, coefficients, reals,
    place, distance, direction, basis, slope, pair_energy, pair_energy_slope,
    Z_ROWS, COMPACT: tl.constexpr,
    ENVELOPE: tl.constexpr, GAUSSIAN: tl.constexpr, FLOOR: tl.constexpr, FROM_CONTACT: tl.constexpr,
    REPULSION: tl.constexpr, PAIR_ENERGIES: tl.constexpr, N_RBF: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr,
    PAIRS: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """Compute what the network reads of each pair: d, u, the radial basis times the envelope, and its own energy.

    Column n < R of ``basis`` is the radial function n times the envelope f, column R is f itself, by which the bias of
    a filter is multiplied, and all others are zero; ``slope`` has their derivatives by the distance. Pairs within the
    cutoff have a row there: the first ones if ``COMPACT``, otherwise each its own.

    Args:
        numbers: int32 (N,), atomic numbers.
        positions, first, second, shift, near, n_pairs: as in ``find_near``; ``near`` is read if ``COMPACT``.
        counted: int32 (P,), the sums of ``near`` up to each pair, read if ``COMPACT``.
        elements: float64 (2, Z_ROWS): covalent radii in angstrom and Z^0.23 by atomic number.
        radial: float64 (2, ROWS): centers and widths of Gaussians, or k and 1, and ones behind them.
        coefficients: float64 (Z_ROWS, Z_ROWS, ROWS), of the radial functions in pair energies.
        reals: float64 (3,): the cutoff, and where a switch begins and the envelope ends, angstrom.
        place: int32 (P,), written, as all below: the row of each pair, -1 beyond the cutoff.
        distance, direction: float32 (P,) and (P, 3), from the first atom to the second.
        basis, slope: float32 (P, ROWS).
        pair_energy, pair_energy_slope: float64 (P,), of repulsion and pair energies, eV and eV/angstrom, half of it for
            each atom.
    """
    after_inputs(OVERLAP)
    p = tl.program_id(0) * PAIRS + tl.arange(0, PAIRS)
    there = p < n_pairs
    i, j, x, y, z = _vector(positions, first, second, shift, p, there)
    d = tl.sqrt(x * x + y * y + z * z)
    if COMPACT:
        within = tl.load(near + p, mask=there, other=0) > 0
        row = tl.load(counted + p, mask=there, other=0) - 1
    else:
        within, row = there & (d <= tl.load(reals)), p
    tl.store(place + p, tl.where(within, row, -1), mask=there)
    tl.store(distance + p, d.to(tl.float32), mask=there)
    store3(direction + 3 * p, 1, there, (x / d).to(tl.float32), (y / d).to(tl.float32), (z / d).to(tl.float32))
    g, g_slope = d, tl.zeros_like(d) + 1.0
    pair, pair_slope = tl.zeros_like(d), tl.zeros_like(d)
    z_i, z_j = tl.load(numbers + i, mask=there, other=1), tl.load(numbers + j, mask=there, other=1)
    if FLOOR or FROM_CONTACT or REPULSION:
        contact = tl.load(elements + z_i) + tl.load(elements + z_j)
        if FLOOR:
            g, g_slope = _floored(d, contact)
        if FROM_CONTACT:
            g = g - contact
        if REPULSION:
            powers = tl.load(elements + Z_ROWS + z_i) + tl.load(elements + Z_ROWS + z_j)
            charges = z_i.to(tl.float64) * z_j.to(tl.float64)
            pair, pair_slope = _repulsion(d, contact, charges, powers)
    f, f_slope = _envelope(d, tl.load(reals), tl.load(reals + 1), tl.load(reals + 2), ENVELOPE)
    for start in tl.static_range(0, ROWS, CHUNK):
        column = start + tl.arange(0, CHUNK)
        center, width = tl.load(radial + column)[None, :], tl.load(radial + ROWS + column)[None, :]
        if GAUSSIAN:
            t = (g[:, None] - center) / width
            psi = tl.exp(-0.5 * t * t)
            psi_slope = -t * psi / width
        else:
            psi = tl.sin(g[:, None] * center) / g[:, None]
            psi_slope = (tl.cos(g[:, None] * center) * center - psi) / g[:, None]
        own, envelope = (column < N_RBF)[None, :], (column == N_RBF)[None, :]
        value = tl.where(own, psi * f[:, None], tl.where(envelope, f[:, None], 0.0))
        change = psi * f_slope[:, None] + psi_slope * (g_slope * f)[:, None]
        change = tl.where(own, change, tl.where(envelope, f_slope[:, None], 0.0))
        if PAIR_ENERGIES:
            own = tl.load(coefficients + ((z_i * Z_ROWS + z_j) * ROWS)[:, None] + column[None, :])
            pair, pair_slope = pair + 0.5 * tl.sum(own * value, 1), pair_slope + 0.5 * tl.sum(own * change, 1)
        at = row.to(tl.int64)[:, None] * ROWS + column[None, :]
        tl.store(basis + at, value.to(tl.float32), mask=within[:, None])
        tl.store(slope + at, change.to(tl.float32), mask=within[:, None])
    if REPULSION or PAIR_ENERGIES:
        tl.store(pair_energy + p, pair, mask=within)
        tl.store(pair_energy_slope + p, pair_slope, mask=within)


@triton.jit
def atomic_totals(
    numbers, learned, reference, scale, row_start, pairs, place, distance, direction, pair_energy, pair_energy_slope,
    pair_forces, forces, sums, counts, HAS_PAIR_ENERGY: tl.constexpr, PAIRS: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    """Add up the energy, the force and the virial of one atom, and count its neighbors.

    Args:
        numbers, place, distance, direction, pair_energy, pair_energy_slope: as in ``describe_pairs``.
        learned: float32 (N,), the head of each atom.
        reference: float64 (Z,), the reference energy of each atomic number, eV.
        scale: float64 (1,), by which the head is multiplied.
        row_start, pairs: the entries of each atom, see ``Candidates``.
        pair_forces: float32 (P, 3), see ``add_pair_forces``.
        forces: float64 (N, 3), written, as all below: eV/angstrom.
        sums: float64 (N, 10): the energy and the nine components of the virial, eV.
        counts: int32 (N,), the neighbors within the cutoff.
    """
    after_inputs(OVERLAP)
    atom = tl.program_id(0)
    begin, end = tl.load(row_start + atom), tl.load(row_start + atom + 1)
    energy, count = tl.zeros([PAIRS], tl.float64), tl.zeros([PAIRS], tl.int32)
    fx, fy, fz = energy, energy, energy
    xx, xy, xz, yx, yy, yz, zx, zy, zz = energy, energy, energy, energy, energy, energy, energy, energy, energy
    for start in range(begin, end, PAIRS):
        e = start + tl.arange(0, PAIRS)
        pair = tl.load(pairs + e, mask=e < end, other=0)
        sign = tl.where(pair >= 0, 1.0, -1.0).to(tl.float64)
        p = tl.where(pair >= 0, pair, -1 - pair).to(tl.int64)
        near = tl.load(place + p, mask=e < end, other=-1) >= 0
        count += near.to(tl.int32)
        ux, uy, uz = load3(direction + 3 * p, 1, near)
        ux, uy, uz = ux.to(tl.float64), uy.to(tl.float64), uz.to(tl.float64)
        px, py, pz = load3(pair_forces + 3 * p, 1, near)
        px, py, pz = px.to(tl.float64), py.to(tl.float64), pz.to(tl.float64)
        if HAS_PAIR_ENERGY:
            energy += tl.load(pair_energy + p, mask=near, other=0.0)
            both = 2.0 * tl.load(pair_energy_slope + p, mask=near, other=0.0)
            px, py, pz = px + both * ux, py + both * uy, pz + both * uz
        fx, fy, fz = fx + sign * px, fy + sign * py, fz + sign * pz
        half = -0.5 * tl.load(distance + p, mask=near, other=0.0).to(tl.float64)
        xx, xy, xz = xx + half * px * ux, xy + half * px * uy, xz + half * px * uz
        yx, yy, yz = yx + half * py * ux, yy + half * py * uy, yz + half * py * uz
        zx, zy, zz = zx + half * pz * ux, zy + half * pz * uy, zz + half * pz * uz
    learned_energy = tl.load(learned + atom).to(tl.float64) * tl.load(scale)
    tl.store(counts + atom, tl.sum(count, 0))
    _store_row(forces + 3 * atom, fx, fy, fz)
    own = sums + 10 * atom
    tl.store(own, learned_energy + tl.load(reference + tl.load(numbers + atom)) + tl.sum(energy, 0))
    _store_row(own + 1, xx, xy, xz)
    _store_row(own + 4, yx, yy, yz)
    _store_row(own + 7, zx, zy, zz)


@triton.jit
def _store_row(place, x, y, z):
    """Store the sums of three components behind each other."""
    tl.store(place, tl.sum(x, 0))
    tl.store(place + 1, tl.sum(y, 0))
    tl.store(place + 2, tl.sum(z, 0))


@triton.jit
def structure_totals(first_atom, values, totals, COLUMNS: tl.constexpr, ATOMS: tl.constexpr, OVERLAP: tl.constexpr):
    """Sum one column of values over the atoms of one structure, in one order.

    Args:
        first_atom: int32 (S + 1,), where the atoms of each structure begin.
        values: float64 (N, COLUMNS).
        totals: float64 (S, COLUMNS), written.
    """
    after_inputs(OVERLAP)
    structure, column = tl.program_id(0), tl.program_id(1)
    begin, end = tl.load(first_atom + structure), tl.load(first_atom + structure + 1)
    total = tl.zeros([ATOMS], tl.float64)
    for start in range(begin, end, ATOMS):
        atom = start + tl.arange(0, ATOMS)
        total += tl.load(values + atom * COLUMNS + column, mask=atom < end, other=0.0)
    tl.store(totals + structure * COLUMNS + column, tl.sum(total, 0))
