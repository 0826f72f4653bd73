"""Pairs of atoms that may be neighbors: all pairs of small open structures, or those of a cell list with images.

The kernels choose those within the cutoff anew at each step. So all pairs of an open structure serve whatever its atoms
do, and those of a cell list until an atom has moved by half of the skin (L. Verlet, Phys. Rev. 159, 98, 1967).
"""

from __future__ import annotations

import itertools
import os
from typing import NamedTuple

import numpy as np
import torch
import vesin
from torch import Tensor

from ..cells import MAX_EXTENT_A, MIN_HEIGHT_A, cell_heights, keeps_boxes, searchable_cell

ALL_PAIRS = 96  # up to so many atoms, all pairs of an open structure are candidates
MOST_PAIRS = 1 << 30  # their entries are counted in 32 bits
BOXES = 16  # boxes of a structure for each of its atoms, at most
GROUPS = 16  # programs that share the boxes around an atom, at most
ATOMS = 32  # atoms of one of these programs
TILE = 128  # atoms that a program puts into boxes
READ = 1024  # atoms that a program reads at once
ENTRIES = 256  # entries of all pairs that a program writes at once, more than ALL_PAIRS
GENERIC = np.array([1.0, 1.3247179572, 1.7548776662])  # a direction along which no two images of an atom are level
SAME_A = 1e-6  # displacements of an edge and of its reverse differ by less


class Structures(NamedTuple):
    """Where the atoms of some structures are.

    Attributes:
        sizes: int64 (S,), on the host: the number of atoms of each structure.
        positions: float64 (N, 3), angstrom, on the device, structure by structure.
        cells: float64 (S, 3, 3), on the host: lattice vectors in rows, angstrom; those of open axes are not read.
        pbc: bool (S, 3), on the host.
    """

    sizes: np.ndarray
    positions: Tensor
    cells: np.ndarray
    pbc: np.ndarray


class Candidates(NamedTuple):
    """All pairs of atoms that may be neighbors, each once, and the pairs of each atom.

    A pair of an atom with an image of itself has two entries of that atom. Equal inputs give equal orders.

    Attributes:
        row_start: int32 (N + 1,), where the entries of each atom begin.
        neighbors: int32 (2 P,), the other atom of each entry.
        pairs: int32 (2 P,), the pair of each entry: p where the atom is the first of the pair, -1 - p where it is the
            second.
        first, second: int32 (P,), both atoms of each pair.
        shift: float64 (P, 3), angstrom: the vector of a pair is x[second] - x[first] + shift.
    """

    row_start: Tensor
    neighbors: Tensor
    pairs: Tensor
    first: Tensor
    second: Tensor
    shift: Tensor


class CandidateList:
    """Candidates that are kept as long as they hold.

    Args:
        cutoff: the cutoff radius, angstrom.
        skin: how much farther apart than that candidates may be, angstrom, in structures that have a cell list.

    Attributes:
        n_builds: how often they were found.

    Raises:
        ValueError: the skin is not positive and finite.
    """

    def __init__(self, cutoff: float, skin: float):
        if not 0.0 < skin < np.inf:
            raise ValueError(f"the skin is {skin} angstrom: on a GPU it must be positive and finite")
        self.cutoff, self.skin, self.n_builds = cutoff, skin, 0
        self._built: tuple[Structures, Candidates] | None = None

    def update(self, structures: Structures) -> Candidates:
        """Return the candidates at these positions; the same object as before where they still hold.

        Raises:
            ValueError: positions or cells make no sense, as ``VerletList.update`` says, or there are too many pairs.
        """
        if self._built is None or not self._holds(self._built[0], structures):
            found = find_candidates(structures, self.cutoff + self.skin)
            self._built = structures._replace(positions=structures.positions.clone()), found
            self.n_builds += 1
        return self._built[1]

    def forget(self) -> None:
        """Find the candidates anew at the next update, but for all pairs of small structures, which always hold."""
        if self._built is not None and not lists_all_pairs(self._built[0].sizes, self._built[0].pbc):
            self._built = None

    def _holds(self, then: Structures, now: Structures) -> bool:
        if not np.array_equal(then.sizes, now.sizes) or not np.array_equal(then.pbc, now.pbc):
            return False
        if lists_all_pairs(now.sizes, now.pbc):
            return True
        if not np.array_equal(then.cells[then.pbc], now.cells[now.pbc]):
            return False
        moved = torch.linalg.vector_norm(now.positions - then.positions, dim=1).max()
        return float(moved) <= 0.5 * self.skin  # NaN is farther than anything


def find_candidates(structures: Structures, radius: float) -> Candidates:
    """Find candidates that hold all pairs within ``radius`` angstrom.

    On a GPU and under Triton's interpreter kernels find them, otherwise vesin does.

    Raises:
        ValueError: as ``CandidateList.update`` says.
    """
    by_kernels = structures.positions.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    if lists_all_pairs(structures.sizes, structures.pbc):
        return _all_pairs(structures) if by_kernels else _all_pairs_on_host(structures)
    return _cell_list(structures, radius) if by_kernels else _cell_list_on_host(structures, radius)


def lists_all_pairs(sizes: np.ndarray, pbc: np.ndarray) -> bool:
    """Whether all pairs of structures of these sizes, (S,), and axes, (S, 3), are candidates: open and small ones."""
    return bool(not pbc.any() and sizes.max(initial=0) <= ALL_PAIRS)


def _all_pairs(structures: Structures) -> Candidates:
    """All pairs of small structures by a kernel, for which the device is not waited for."""
    from .cell_kernels import list_all_pairs

    sizes, device = structures.sizes, structures.positions.device
    starts = np.column_stack([starts_of(sizes), starts_of(sizes * (sizes - 1) // 2)])
    n_atoms, n_pairs = int(starts[-1, 0]), _checked(int(starts[-1, 1]))
    row_start = torch.zeros(n_atoms + 1, dtype=torch.int32, device=device)
    neighbors, pairs = _whole(2 * n_pairs, device), _whole(2 * n_pairs, device)
    first, second = _whole(n_pairs, device), _whole(n_pairs, device)
    if len(sizes):
        sent = _sent(starts, torch.int32, device)
        list_all_pairs[(len(sizes),)](sent, row_start, neighbors, pairs, first, second, MOST=ENTRIES)
    shift = torch.zeros(n_pairs, 3, dtype=torch.float64, device=device)
    return Candidates(row_start, neighbors, pairs, first, second, shift)


def _cell_list(structures: Structures, radius: float) -> Candidates:
    """Sort atoms into boxes and compare those in boxes side by side; the device is waited for twice."""
    from .cell_kernels import measure, place, walk

    x, device = structures.positions.contiguous(), structures.positions.device
    n_structures, n_atoms = len(structures.sizes), len(x)
    first_atom = _sent(starts_of(structures.sizes), torch.int32, device)
    extents = x.new_empty(n_structures, 2, 3)
    measure[(n_structures, 3)](first_atom, x, extents, ATOMS=READ)
    host_frames, host_grids, n_boxes, steps = _grids(structures, extents.cpu().numpy(), radius)
    frames, grids = _sent(host_frames, torch.float64, device), _sent(host_grids, torch.int32, device)
    box, owner = _whole(n_atoms, device), _whole(n_atoms, device)
    home, wrapped = torch.empty_like(x), torch.empty_like(x)
    blocks = -(-int(structures.sizes.max()) // TILE)
    place[(n_structures, blocks)](first_atom, x, frames, grids, box, owner, home, wrapped, ATOMS=TILE)
    box, order = torch.sort(box, stable=True)
    groups = min(steps, GROUPS)
    counts, limit = _whole(n_atoms * groups, device), torch.full_like(frames[0, :1], radius**2)
    start = _rows_of(box, n_boxes)
    about = order, box, owner, wrapped[order], home, start, frames, grids, limit, n_atoms, steps, groups, counts
    grid, fixed = (-(-n_atoms // ATOMS), groups), {"ATOMS": ATOMS, "num_warps": 1}
    walk[grid](*about, order, box, box, x, WRITE=False, **fixed)  # the last four are not read
    ends = counts.cumsum(0)
    n_pairs = _checked(int(ends[-1]))
    first, second, shift = _whole(n_pairs, device), _whole(n_pairs, device), x.new_empty(n_pairs, 3)
    walk[grid](*about, ends, first, second, shift, WRITE=True, **fixed)
    return _both_ways(first, second, shift, n_atoms)


def _grids(structures: Structures, extents: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray, int, int]:
    """How boxes divide structures.

    Args:
        structures: the structures, whose positions are not read.
        extents: float64 (S, 2, 3), the least and the largest coordinates in each structure, angstrom.
        radius: as in ``find_candidates``.

    Returns:
        ``frames`` and ``grids`` of ``cell_kernels.place``, the number of boxes of all structures, and the most steps
        from a box to those around it in any structure, one of opposite ones.
    """
    sizes, pbc, radius = structures.sizes, structures.pbc, radius * (1.0 + 1e-6)  # boxes are a little wider
    extents = np.where((sizes > 0)[:, None, None], extents, 0.0)
    full = _full_cells(structures, extents, radius)
    inverse = np.linalg.inv(full)
    middle, spread = extents.mean(1), 0.5 * np.ptp(extents, axis=1)
    center, reach = np.einsum("si,sij->sj", middle, inverse), np.einsum("si,sij->sj", spread, np.abs(inverse))
    lowest = np.where(pbc, 0.0, center - reach)
    length = np.where(pbc, 1.0 / np.linalg.norm(inverse, axis=1), np.maximum(2.0 * reach, 1e-3))
    boxes = np.clip(length // radius, 1.0, 1 << 20).astype(np.int64)
    while (crowded := boxes.prod(1) > BOXES * (sizes + 4)).any():
        axis = boxes[crowded].argmax(1)
        boxes[crowded, axis] = (boxes[crowded, axis] + 1) // 2
    around = np.where(pbc, np.ceil(radius * boxes / length), np.minimum(boxes - 1, 1)).astype(np.int64)
    scale = np.where(pbc, boxes, boxes / length)
    first_box = starts_of(boxes.prod(1))
    frames = np.concatenate([full.reshape(-1, 9), inverse.reshape(-1, 9), lowest, scale], axis=1)
    grids = np.concatenate([boxes, around, pbc, first_box[:-1, None]], axis=1)
    return frames, grids, int(first_box[-1]), int((2 * around + 1).prod(1).max() // 2 + 1)


def _full_cells(structures: Structures, extents: np.ndarray, radius: float) -> np.ndarray:
    """Lattice vectors along all axes, (S, 3, 3); those of open axes have length 1, at right angles to the others."""
    full = np.broadcast_to(np.eye(3), (len(extents), 3, 3)).copy()
    if not np.isfinite(extents).all():
        raise ValueError("there are positions that are not finite")
    if np.ptp(extents, axis=1).max(initial=0.0) > MAX_EXTENT_A:
        raise ValueError(f"atoms are more than {MAX_EXTENT_A:g} angstrom apart: is one astray?")
    good = structures.pbc.all(1) & (structures.sizes > 0)
    good[good] = _are_compact(structures.cells[good], radius)
    full[good] = structures.cells[good]
    for index in np.flatnonzero(structures.pbc.any(1) & ~good):
        axes = structures.pbc[index]
        corners = np.array(list(itertools.product(*extents[index].T)))[: 8 * structures.sizes[index]]
        full[index] = searchable_cell(corners, structures.cells[index], axes, radius)
        full[index][~axes] /= np.linalg.norm(full[index][~axes], axis=1, keepdims=True)
    return full


def _are_compact(cells: np.ndarray, radius: float) -> np.ndarray:
    """Which cells (S, 3, 3) ``searchable_cell`` takes as they are where all axes repeat, all at once: bool (S,)."""
    try:
        apart = cell_heights(cells)
    except np.linalg.LinAlgError:  # one of them has no volume
        return np.zeros(len(cells), bool)
    return (apart.min(1) > MIN_HEIGHT_A) & keeps_boxes(apart, radius)


def _all_pairs_on_host(structures: Structures) -> Candidates:
    """As ``_all_pairs``, in another order."""
    starts = starts_of(structures.sizes)
    pairs = [np.stack(np.triu_indices(n, 1)) + start for n, start in zip(structures.sizes, starts[:-1], strict=True)]
    first, second = torch.as_tensor(np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1), dtype=torch.int32)
    return _both_ways(first, second, torch.zeros(len(first), 3, dtype=torch.float64), int(starts[-1]))


def _cell_list_on_host(structures: Structures, radius: float) -> Candidates:
    """As ``_cell_list``, in another order."""
    starts = starts_of(structures.sizes)
    search = vesin.NeighborList(cutoff=radius, full_list=False, sorted=True)
    found = []
    for index, own in enumerate(np.split(structures.positions.numpy(), starts[1:-1])):
        box = searchable_cell(own, structures.cells[index], structures.pbc[index], radius)
        first, second, image = search.compute(own, box, np.ones(3, bool), "ijS")
        found.append((first.astype(np.int32) + starts[index], second.astype(np.int32) + starts[index], image @ box))
    first, second, shift = (torch.as_tensor(np.concatenate(part)) for part in zip(*found, strict=True))
    return _both_ways(first.int(), second.int(), shift, int(starts[-1]))


def sorted_edges(edge_index: np.ndarray, shift: np.ndarray, n_atoms: int, device: torch.device) -> Candidates:
    """Edges that a caller knows, as candidates.

    Args:
        edge_index: int64 (2, E), rows (neighbor, center).
        shift: float64 (E, 3), angstrom.
        n_atoms: the number of atoms.
        device: where they go.

    Raises:
        ValueError: not every edge has its reverse, which has the opposite shift, or there are too many pairs.
    """
    neighbor, center = edge_index
    along = shift @ GENERIC
    there, back = ((sign * (neighbor - center) > 0) | (neighbor == center) & (sign * along > 0) for sign in (1, -1))
    ahead = np.flatnonzero(there)[np.lexsort([along[there], neighbor[there], center[there]])]
    behind = np.flatnonzero(back)[np.lexsort([-along[back], center[back], neighbor[back]])]
    is_symmetric = (
        2 * len(ahead) == 2 * len(behind) == len(shift)
        and np.array_equal(edge_index[:, ahead], edge_index[::-1, behind])
        and np.abs(shift[ahead] + shift[behind]).max(initial=0.0) <= SAME_A
    )
    if not is_symmetric:
        raise ValueError("not every edge has its reverse: give every pair both ways")
    _checked(len(ahead))
    second, first = _sent(edge_index[:, ahead], torch.int32, device)
    return _both_ways(first, second, _sent(shift[ahead], torch.float64, device), n_atoms)


def _both_ways(first: Tensor, second: Tensor, shift: Tensor, n_atoms: int) -> Candidates:
    """Pairs and the entries of each atom: those of which it is the first one, then the others, as the pairs come."""
    n_pairs = len(first)
    atom, entry = torch.sort(torch.cat([first, second]), stable=True)
    pairs = torch.where(entry < n_pairs, entry, n_pairs - 1 - entry).int()
    return Candidates(
        _rows_of(atom, n_atoms), torch.cat([second, first])[entry], pairs,
        first.contiguous(), second.contiguous(), shift.contiguous(),
    )  # fmt: skip


def _rows_of(values: Tensor, n: int) -> Tensor:
    """Where each of the numbers below n begins among ascending ones, and where the last one ends: int32 (n + 1,)."""
    return torch.searchsorted(values, torch.arange(n + 1, dtype=torch.int32, device=values.device), out_int32=True)


def starts_of(counts: np.ndarray) -> np.ndarray:
    """Where each of the rows with these lengths begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(counts)])


def _whole(n: int, device: torch.device) -> Tensor:
    return torch.empty(n, dtype=torch.int32, device=device)


def _sent(values: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A copy on the device, which is not waited for."""
    return torch.as_tensor(values, dtype=dtype).to(device, non_blocking=True)


def _checked(n_pairs: int) -> int:
    if n_pairs > MOST_PAIRS:
        raise ValueError(f"there are {n_pairs} pairs of atoms, and at most {MOST_PAIRS} can be listed")
    return n_pairs
