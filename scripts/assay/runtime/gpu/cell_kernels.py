"""Kernels that list pairs of atoms: all pairs of small structures, or those in boxes side by side.

The boxes divide the cell, and repeat where it does: a pair and its image differ by whole lattice vectors, and the boxes
around an atom may hold the same atoms several times. Of two opposite steps from box to box one is taken, so that each
pair is met once. All distances are in double precision. No program writes where another one does.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .component_kernels import load3, store3

FRAME = 24  # numbers of a structure in ``frames``: cell (3, 3), its inverse (3, 3), lowest (3,), scale (3,)
GRID = 10  # and in ``grids``: boxes (3,), reach (3,), repeats (3,), first_box
_FRAME, _GRID = tl.constexpr(FRAME), tl.constexpr(GRID)
_INFINITE = tl.constexpr(float("inf"))


@triton.jit
def _times(a, b, c, matrix):
    """Rows (a, b, c) times matrices (3, 3)."""
    x = a * tl.load(matrix) + b * tl.load(matrix + 3) + c * tl.load(matrix + 6)
    y = a * tl.load(matrix + 1) + b * tl.load(matrix + 4) + c * tl.load(matrix + 7)
    z = a * tl.load(matrix + 2) + b * tl.load(matrix + 5) + c * tl.load(matrix + 8)
    return x, y, z


@triton.jit
def list_all_pairs(starts, row_start, neighbors, pairs, first, second, MOST: tl.constexpr):
    """List all pairs of one structure, as ``Candidates`` has them; the entries of an atom are in the order of atoms.

    Args:
        starts: int32 (S + 1, 2), where the atoms and the pairs of each structure begin.
        row_start, neighbors, pairs, first, second: written, see ``Candidates``.
        MOST: more than the atoms of any structure, and how many entries are written at once.
    """
    structure = tl.program_id(0)
    begin, base = tl.load(starts + 2 * structure), tl.load(starts + 2 * structure + 1)
    n = tl.load(starts + 2 * structure + 2) - begin
    row = tl.arange(0, MOST)
    is_own = row < n + (structure == tl.num_programs(0) - 1).to(tl.int32)  # the last one writes where all entries end
    tl.store(row_start + begin + row, 2 * base + row * (n - 1), mask=is_own)
    for start in range(0, n * (n - 1), MOST):
        entry = start + tl.arange(0, MOST)
        there = entry < n * (n - 1)
        atom, other = entry // (n - 1), entry % (n - 1)
        other += (other >= atom).to(tl.int32)
        low, high = tl.minimum(atom, other), tl.maximum(atom, other)
        pair = base + low * (2 * n - low - 1) // 2 + high - low - 1
        is_first = atom < other
        tl.store(neighbors + 2 * base + entry, begin + other, mask=there)
        tl.store(pairs + 2 * base + entry, tl.where(is_first, pair, -1 - pair), mask=there)
        tl.store(first + pair, begin + atom, mask=there & is_first)
        tl.store(second + pair, begin + other, mask=there & is_first)


@triton.jit
def measure(first_atom, positions, extents, ATOMS: tl.constexpr):
    """Find the least and the largest of one coordinate in one structure; the largest is infinite if one is not finite.

    Args:
        first_atom: int32 (S + 1,), where the atoms of each structure begin.
        positions: float64 (N, 3), angstrom.
        extents: float64 (S, 2, 3), written, angstrom.
        ATOMS: how many atoms are read at once.
    """
    structure, axis = tl.program_id(0), tl.program_id(1)
    begin, end = tl.load(first_atom + structure), tl.load(first_atom + structure + 1)
    least = tl.full([ATOMS], _INFINITE, tl.float64)
    largest = -least
    for start in range(begin, end, ATOMS):
        atom = start + tl.arange(0, ATOMS)
        there = atom < end
        x = tl.load(positions + 3 * atom + axis, mask=there, other=0.0)
        x = tl.where(tl.abs(x) < _INFINITE, x, _INFINITE)
        least = tl.where(there, tl.minimum(least, x), least)
        largest = tl.where(there, tl.maximum(largest, x), largest)
    tl.store(extents + 6 * structure + axis, tl.min(least, 0))
    tl.store(extents + 6 * structure + 3 + axis, tl.max(largest, 0))


@triton.jit
def place(first_atom, positions, frames, grids, box, structures, home, wrapped, ATOMS: tl.constexpr):
    """Find the boxes of some atoms of one structure.

    Args:
        first_atom, positions: as in ``measure``.
        frames: float64 (S, FRAME): the lattice vectors of each structure, the inverse of that matrix, and by axis what
            is taken from a fractional coordinate and the factor that makes it one of boxes.
        grids: int32 (S, GRID): by axis the number of boxes, how many boxes to each side may hold neighbors, and whether
            they repeat; then the first box of the structure.
        box: int32 (N,), written: the box of each atom.
        structures: int32 (N,), written: its structure.
        home: float64 (N, 3), written: the cell that it is in, in lattice vectors, zero along axes that do not repeat.
        wrapped: float64 (N, 3), written: where it would be in the first cell, angstrom.
        ATOMS: the number of atoms.
    """
    structure = tl.program_id(0)
    begin, end = tl.load(first_atom + structure), tl.load(first_atom + structure + 1)
    atom = begin + tl.program_id(1) * ATOMS + tl.arange(0, ATOMS)
    there = atom < end
    frame, grid = frames + structure * _FRAME, grids + structure * _GRID
    x, y, z = load3(positions + 3 * atom, 1, there)
    a, b, c = _times(x, y, z, frame + 9)
    in_a, in_b, in_c = _home(a, grid + 6), _home(b, grid + 7), _home(c, grid + 8)
    store3(home + 3 * atom, 1, there, in_a, in_b, in_c)
    out_x, out_y, out_z = _times(in_a, in_b, in_c, frame)
    store3(wrapped + 3 * atom, 1, there, x - out_x, y - out_y, z - out_z)
    along_a, along_b = _along(a - in_a, frame + 18, grid), _along(b - in_b, frame + 19, grid + 1)
    along_c = _along(c - in_c, frame + 20, grid + 2)
    number = (along_a * tl.load(grid + 1) + along_b) * tl.load(grid + 2) + along_c
    tl.store(box + atom, tl.load(grid + 9) + number, mask=there)
    tl.store(structures + atom, tl.zeros_like(number) + structure, mask=there)


@triton.jit
def _home(fractional, repeats):
    return tl.where(tl.load(repeats) > 0, tl.floor(fractional), 0.0)


@triton.jit
def _along(fractional, frame, boxes):
    """The place of boxes along one axis."""
    found = ((fractional - tl.load(frame)) * tl.load(frame + 3)).to(tl.int32)
    return tl.minimum(tl.maximum(found, 0), tl.load(boxes) - 1)


@triton.jit(do_not_specialize=["n_atoms", "steps", "groups"])
def walk(
    order, box, structures, positions, home, box_start, frames, grids, radius_squared, n_atoms, steps, groups,
    counts, ends, first, second, shift, WRITE: tl.constexpr, ATOMS: tl.constexpr,
):  # fmt: skip
    """Count the pairs of some atoms with those in the boxes around them, or write them.

    Args:
        order: int64 (N,), the atoms from box to box.
        box: int32 (N,), the box of each of these, ascending.
        structures, home, frames, grids: as in ``place``.
        positions: float64 (N, 3), angstrom: where these would be in the first cell.
        box_start: int32 (B + 1,), where the atoms of each box begin.
        radius_squared: float64 (1,), angstrom^2.
        n_atoms, steps: N, and the most steps from box to box in any structure.
        groups: the number of groups of steps, each of which is one program's.
        counts: int32 (N, groups), written unless WRITE: the pairs of each atom as the first one, by groups of steps.
        ends: int64 (N, groups), read if WRITE: the sums of counts up to each one.
        first, second, shift: written if WRITE, see ``Candidates``.
        WRITE: what is done.
        ATOMS: the number of atoms.
    """
    group = tl.program_id(1)
    at = tl.program_id(0) * ATOMS + tl.arange(0, ATOMS)
    there = at < n_atoms
    atom = tl.load(order + at, mask=there, other=0).to(tl.int32)
    structure = tl.load(structures + atom, mask=there, other=0)
    frame, grid = frames + structure * _FRAME, grids + structure * _GRID
    n_a, n_b, n_c = tl.load(grid), tl.load(grid + 1), tl.load(grid + 2)
    reach_a, reach_b, reach_c = tl.load(grid + 3), tl.load(grid + 4), tl.load(grid + 5)
    first_box, limit = tl.load(grid + 9), tl.load(radius_squared)
    own = tl.load(box + at, mask=there, other=0) - first_box
    own_a, own_b, own_c = own // (n_b * n_c), own // n_c % n_b, own % n_c
    x, y, z = load3(positions + 3 * at, 1, there)
    home_a, home_b, home_c = load3(home + 3 * atom, 1, there)
    slot = atom * groups + group
    found = tl.zeros([ATOMS], tl.int32)
    write_at = tl.zeros([ATOMS], tl.int64)
    if WRITE:
        write_at = tl.load(ends + slot, mask=there, other=0) - tl.load(counts + slot, mask=there, other=0)
    wide_b, wide_c = 2 * reach_b + 1, 2 * reach_c + 1
    half = ((2 * reach_a + 1) * wide_b * wide_c) // 2
    for step in range(group, steps, groups):
        which = half + step  # the box of the atom itself is in the middle of all, and those behind it are one half
        to_a, image_a, is_a = _step(own_a + which // (wide_b * wide_c) - reach_a, n_a, reach_a, grid + 6)
        to_b, image_b, is_b = _step(own_b + which // wide_c % wide_b - reach_b, n_b, reach_b, grid + 7)
        to_c, image_c, is_c = _step(own_c + which % wide_c - reach_c, n_c, reach_c, grid + 8)
        is_box = there & (step <= half) & is_a & is_b & is_c
        to = first_box + (to_a * n_b + to_b) * n_c + to_c
        begin = tl.load(box_start + to, mask=is_box, other=0)
        length = tl.load(box_start + to + 1, mask=is_box, other=0) - begin
        if step == 0:
            length = tl.where(is_box, begin + length - at - 1, 0)
            begin = at + 1
        by_x, by_y, by_z = _times(image_a, image_b, image_c, frame)
        for k in range(tl.max(length, 0)):
            is_atom = k < length
            other_x, other_y, other_z = load3(positions + 3 * (begin + k), 1, is_atom)
            dx, dy, dz = other_x + by_x - x, other_y + by_y - y, other_z + by_z - z
            is_near = is_atom & (dx * dx + dy * dy + dz * dz <= limit)
            if WRITE:
                other = tl.load(order + begin + k, mask=is_near, other=0).to(tl.int32)
                a, b, c = load3(home + 3 * other, 1, is_near)
                a, b, c = _times(image_a + home_a - a, image_b + home_b - b, image_c + home_c - c, frame)
                tl.store(first + write_at, atom, mask=is_near)
                tl.store(second + write_at, other, mask=is_near)
                store3(shift + 3 * write_at, 1, is_near, a, b, c)
                write_at += is_near.to(tl.int64)
            else:
                found += is_near.to(tl.int32)
    if not WRITE:
        tl.store(counts + slot, found, mask=there)


@triton.jit
def _step(to, n, reach, repeats):
    """The box that stands for one that may lie outside, how many cells away that one is, and whether there is one."""
    image = (to + reach * n) // n - reach
    inside = image == 0
    return to - image * n, image.to(tl.float64), inside | (tl.load(repeats) > 0)
