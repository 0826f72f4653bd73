"""Candidates for neighbors in torch, on any device: all pairs of small structures, or a cell list with images.

The kernels choose those within the cutoff anew at each step. So all pairs of an open structure serve whatever its atoms
do, and those of a cell list until an atom has moved by half of the skin (L. Verlet, Phys. Rev. 159, 98, 1967).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..verlet import MAX_EXTENT_A, enclosing_cell

ALL_PAIRS = 96  # up to so many atoms, all pairs of an open structure are candidates
CENTERS = 65536  # atoms whose surroundings are compared at once
IMAGES = 1 << 23  # images of atoms that are compared at once


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
    """All atoms that may be neighbors of each atom, both ways; as in ``Inputs``."""

    row_start: Tensor
    candidates: Tensor
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
            ValueError: positions or cells make no sense, as ``VerletList.update`` says.
        """
        if self._built is None or not self._holds(self._built[0], structures):
            found = find_candidates(structures, self.cutoff + self.skin)
            self._built = structures._replace(positions=structures.positions.clone()), found
            self.n_builds += 1
        return self._built[1]

    def forget(self) -> None:
        """Find the candidates anew at the next update, but for all pairs of small structures, which always hold."""
        if self._built is not None and not _are_small(self._built[0]):
            self._built = None

    def _holds(self, then: Structures, now: Structures) -> bool:
        if not np.array_equal(then.sizes, now.sizes) or not np.array_equal(then.pbc, now.pbc):
            return False
        if _are_small(now):
            return True
        if not np.array_equal(then.cells[then.pbc], now.cells[now.pbc]):
            return False
        moved = (now.positions - then.positions).square().sum(-1).max()
        return bool(moved <= (0.5 * self.skin) ** 2)  # NaN is farther than anything


def find_candidates(structures: Structures, radius: float) -> Candidates:
    """Find candidates that hold all pairs within ``radius`` angstrom.

    Raises:
        ValueError: as ``CandidateList.update`` says.
    """
    sizes = torch.as_tensor(structures.sizes, device=structures.positions.device)
    batch = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
    return _all_pairs(sizes, batch) if _are_small(structures) else _cell_list(structures, batch, radius)


def _are_small(structures: Structures) -> bool:
    return not structures.pbc.any() and structures.sizes.max(initial=0) <= ALL_PAIRS


def _all_pairs(sizes: Tensor, batch: Tensor) -> Candidates:
    counts = sizes[batch] - 1
    start = _starts(counts)
    center = torch.arange(len(batch), device=batch.device).repeat_interleave(counts)
    first = (sizes.cumsum(0) - sizes)[batch[center]]
    k = torch.arange(len(center), device=batch.device) - start[center]
    neighbor = first + k + (k >= center - first)
    return Candidates(start.int(), neighbor.int(), torch.zeros(len(center), 3, dtype=torch.float64, device=k.device))


def _cell_list(structures: Structures, batch: Tensor, radius: float) -> Candidates:
    """Sort atoms and their images into boxes as wide as the radius, and compare each atom with the boxes around it."""
    device, x = structures.positions.device, structures.positions
    full = _full_cells(structures, radius)
    cell, inverse = (torch.as_tensor(value, device=device)[batch] for value in (full, np.linalg.inv(full)))
    periodic = torch.as_tensor(structures.pbc, device=device)[batch]
    fractional = torch.einsum("ni,nij->nj", x, inverse)
    home = torch.where(periodic, fractional.floor(), torch.zeros_like(fractional))
    fractional = fractional - home
    margin = radius * inverse.norm(dim=1)  # the radius in units of each lattice vector's height
    reach = torch.where(periodic, margin.ceil(), torch.zeros_like(margin))
    atom, image = _images(fractional, margin, reach, periodic)
    at = torch.einsum("ni,nij->nj", fractional[atom] + image, cell[atom])
    wrapped = torch.einsum("ni,nij->nj", fractional, cell)
    key, stride = _boxes(at, batch[atom], radius)
    own = (image == 0).all(1)
    key_of_atom = torch.empty(len(x), dtype=torch.int64, device=device)
    key_of_atom[atom[own]] = key[own]
    order = key.argsort(stable=True)
    key, atom, image, at = key[order], atom[order], image[order], at[order]
    centers, points = [], []
    for start in range(0, len(x), CENTERS):
        here = torch.arange(start, min(start + CENTERS, len(x)), device=device)
        center, point = _around(here, key_of_atom, key, stride)
        near = (at[point] - wrapped[center]).square().sum(-1) <= radius**2
        near &= (atom[point] != center) | (image[point] != 0).any(1)
        centers.append(center[near])
        points.append(point[near])
    center, point = torch.cat(centers), torch.cat(points)
    neighbor = atom[point]
    shift = torch.einsum("ni,nij->nj", image[point] - home[neighbor] + home[center], cell[center])
    return Candidates(_starts(center.bincount(minlength=len(x))).int(), neighbor.int(), shift)


def _full_cells(structures: Structures, radius: float) -> np.ndarray:
    """Lattice vectors along all axes, (S, 3, 3); those of open axes are perpendicular to those that repeat."""
    x, ends = structures.positions.cpu().numpy(), np.cumsum(structures.sizes)
    full = np.broadcast_to(np.eye(3), (len(ends), 3, 3)).copy()
    if not np.isfinite(x).all():
        raise ValueError("there are positions that are not finite")
    for index, own in enumerate(np.split(x, ends[:-1])):
        axes = structures.pbc[index]
        if axes.any():
            full[index] = enclosing_cell(own, structures.cells[index], axes, radius)
            full[index][~axes] /= np.linalg.norm(full[index][~axes], axis=1, keepdims=True)
        elif np.ptp(own, axis=0).max(initial=0.0) > MAX_EXTENT_A:
            raise ValueError(f"atoms are more than {MAX_EXTENT_A:g} angstrom apart: is one astray?")
    return full


def _images(fractional: Tensor, margin: Tensor, reach: Tensor, periodic: Tensor) -> tuple[Tensor, Tensor]:
    """The atoms in their cells and those images that lie near enough to these: atom (P,) and translation (P, 3)."""
    most = [int(n) for n in reach.max(0).values.tolist()]
    every = list(itertools.product(*(range(-n, n + 1) for n in most)))
    at_once = max(1, IMAGES // max(len(fractional), 1))
    atoms, images = [], []
    for start in range(0, len(every), at_once):
        moves = torch.tensor(every[start : start + at_once], dtype=fractional.dtype, device=fractional.device)
        moved = fractional[:, None] + moves
        near = (moved >= -margin[:, None]) & (moved <= 1.0 + margin[:, None]) | ~periodic[:, None]
        near &= moves.abs() <= reach[:, None]
        atom, which = near.all(-1).nonzero(as_tuple=True)
        atoms.append(atom)
        images.append(moves[which])
    return torch.cat(atoms), torch.cat(images)


def _boxes(at: Tensor, structure: Tensor, radius: float) -> tuple[Tensor, tuple[int, int]]:
    """A number for the box of each point, and the steps of that number along the first two axes."""
    box = ((at - at.min(0).values) / radius).floor().long() + 1
    along_y, along_z = (int(n) + 2 for n in box.max(0).values.tolist()[1:])
    along_x = int(box[:, 0].max()) + 2
    key = ((structure * along_x + box[:, 0]) * along_y + box[:, 1]) * along_z + box[:, 2]
    return key, (along_y * along_z, along_z)


def _around(here: Tensor, key_of_atom: Tensor, key: Tensor, stride: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """All points in the boxes around these atoms: the atom and the place of the point, atom by atom."""
    offsets = [dx * stride[0] + dy * stride[1] for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    middle = key_of_atom[here][:, None] + torch.tensor(offsets, device=key.device)
    first = torch.searchsorted(key, middle - 1).reshape(-1)
    counts = torch.searchsorted(key, middle + 1, right=True).reshape(-1) - first
    row = torch.arange(len(counts), device=key.device).repeat_interleave(counts)
    point = first[row] + torch.arange(len(row), device=key.device) - _starts(counts)[row]
    return here[row // len(offsets)], point


def sorted_edges(edge_index: np.ndarray, shift: np.ndarray, n_atoms: int, device: torch.device) -> Candidates:
    """Edges that a caller knows, as candidates.

    Args:
        edge_index: int64 (2, E), rows (neighbor, center).
        shift: float64 (E, 3), angstrom.
        n_atoms: the number of atoms.
        device: where they go.

    Raises:
        ValueError: not every edge has its reverse.
    """
    neighbor, center = edge_index
    if not (_is_symmetric(neighbor, center, n_atoms)):
        raise ValueError("not every edge has its reverse: give every pair both ways")
    order = np.argsort(center, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(center, minlength=n_atoms))])
    return Candidates(
        torch.as_tensor(start, dtype=torch.int32, device=device),
        torch.as_tensor(neighbor[order], dtype=torch.int32, device=device),
        torch.as_tensor(shift[order], dtype=torch.float64, device=device),
    )


def _is_symmetric(neighbor: np.ndarray, center: np.ndarray, n_atoms: int) -> bool:
    there, back = (np.sort(a * n_atoms + b) for a, b in ((neighbor, center), (center, neighbor)))
    return bool(np.array_equal(there, back))


def _starts(counts: Tensor) -> Tensor:
    """Where each of the rows with these lengths begins, and where the last one ends."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
