"""Neighbor lists: every pair within the cutoff, never truncated, each in both directions, sorted by center.

Four backends give the same list. ``engine`` is compiled, and best for molecules on the CPU; ``pairs``, in plain torch,
takes its place where there is no compiler; ``torch-cluster`` serves large batches of open structures on a GPU;
``vesin`` scales linearly and knows periodic images.
"""

from __future__ import annotations

import importlib.util
import itertools
from typing import Any

import numpy as np
import torch
import vesin
from scipy.spatial import cKDTree
from torch import Tensor

from assay.engine.neighbors import can_search, open_pairs
from assay.models.graph import EdgeGraph
from assay.runtime.cells import cell_heights, enclosing_cell, keeps_boxes
from assay.structures.geometry import completed_cell

HAVE_TORCH_CLUSTER = importlib.util.find_spec("torch_cluster") is not None
LARGE_STRUCTURE = {"engine": 4000, "pairs": 600}  # atoms from which on the quadratic search is slower than vesin


def neighbor_list(
    positions: Tensor,
    batch: Tensor,
    cutoff: float,
    cells: np.ndarray | None = None,
    pbc: np.ndarray | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Find all pairs of atoms with distance <= cutoff in each structure of a batch.

    Args:
        positions: (N, 3), angstrom.
        batch: int64 (N,), index of the structure of each atom, ascending.
        cutoff: the largest distance of a pair, angstrom.
        cells: (S, 3, 3), lattice vectors in rows, angstrom; needed where ``pbc`` is true.
        pbc: bool (S, 3), whether each structure repeats along each of its lattice vectors.
        backend: "engine", "pairs", "torch-cluster" or "vesin"; None chooses by size, periodicity and device.

    Returns:
        edge_index int64 (2, E) with rows (neighbor, center), and shift (E, 3) in angstrom.

    Raises:
        ValueError: the backend is unknown or cannot treat periodic structures.
        ImportError: torch-cluster was asked for and is not installed.
    """
    periodic = pbc is not None and bool(np.any(pbc))
    if backend is None:
        backend = _backend_for(positions, batch, periodic)
    if backend == "vesin":
        return _vesin(positions, batch, cutoff, cells, pbc)
    if periodic:
        raise ValueError(f"the neighbor list {backend!r} has no periodic images: use vesin")
    if backend == "engine":
        edge_index = open_pairs(positions, batch, cutoff)
    elif backend == "pairs":
        edge_index = _pairs(positions, batch, cutoff)
    elif backend == "torch-cluster":
        edge_index = _torch_cluster(positions, batch, cutoff)
    else:
        raise ValueError(f"unknown neighbor list {backend!r}: choose engine, pairs, torch-cluster or vesin")
    return edge_index, positions.new_zeros(edge_index.shape[1], 3)


def build_graph(positions: Tensor, batch: Tensor, cutoff: float, **options: Any) -> EdgeGraph:
    """The neighbor list as an ``EdgeGraph``. The arguments are those of ``neighbor_list``."""
    edge_index, shift = neighbor_list(positions.detach(), batch, cutoff, **options)
    return EdgeGraph(edge_index, shift, len(positions))


def _backend_for(positions: Tensor, batch: Tensor, periodic: bool) -> str:
    if periodic:
        return "vesin"
    if positions.is_cuda:
        return "torch-cluster" if HAVE_TORCH_CLUSTER else "pairs"
    largest = int(torch.bincount(batch).max()) if len(batch) else 0
    quadratic = "engine" if can_search(positions) else "pairs"
    return "vesin" if largest >= LARGE_STRUCTURE[quadratic] else quadratic


def _sorted(neighbor: Tensor, center: Tensor, n_atoms: int) -> Tensor:
    order = (center * n_atoms + neighbor).argsort()
    return torch.stack([neighbor[order], center[order]])


def _pairs(positions: Tensor, batch: Tensor, cutoff: float) -> Tensor:
    """Compare all pairs of atoms of each structure, in one vectorized pass over the batch."""
    device = positions.device
    sizes = torch.bincount(batch) if len(batch) else batch
    first = sizes.cumsum(0) - sizes
    n_candidates = sizes[batch]
    center = torch.arange(len(batch), device=device).repeat_interleave(n_candidates)
    row_start = (n_candidates.cumsum(0) - n_candidates).repeat_interleave(n_candidates)
    neighbor = first[batch[center]] + torch.arange(len(center), device=device) - row_start
    squared = ((positions[neighbor] - positions[center]) ** 2).sum(-1)
    keep = (squared <= cutoff * cutoff) & (neighbor != center)
    return torch.stack([neighbor[keep], center[keep]])


def _torch_cluster(positions: Tensor, batch: Tensor, cutoff: float) -> Tensor:
    from torch_cluster import radius

    largest = int(torch.bincount(batch).max()) if len(batch) else 0
    center, neighbor = radius(positions, positions, cutoff, batch, batch, max_num_neighbors=largest + 1)
    keep = center != neighbor
    return _sorted(neighbor[keep], center[keep], len(batch))


def _vesin(
    positions: Tensor, batch: Tensor, cutoff: float, cells: np.ndarray | None, pbc: np.ndarray | None
) -> tuple[Tensor, Tensor]:
    x, owner = positions.detach().cpu().double().numpy(), batch.cpu().numpy()
    calculator = vesin.NeighborList(cutoff=cutoff, full_list=True, sorted=True)
    edges, shifts = [np.zeros((2, 0), np.int64)], [np.zeros((0, 3))]
    for structure in range(int(owner[-1]) + 1 if len(owner) else 0):
        here = np.flatnonzero(owner == structure)
        if len(here) == 0:
            continue
        flags = np.zeros(3, bool) if pbc is None else np.asarray(pbc[structure], bool)
        cell = np.zeros((3, 3)) if cells is None else np.asarray(cells[structure], np.float64)
        cell = enclosing_cell(x[here], completed_cell(cell, flags), flags, cutoff)
        if keeps_boxes(cell_heights(cell), cutoff):
            i, j, image = calculator.compute(x[here], cell, np.ones(3, bool), "ijS")
        else:
            i, j, image = _tree(x[here], cell, flags, cutoff)
        edges.append(np.stack([j, i]).astype(np.int64) + here[0])
        shifts.append(image @ cell)
    edge_index = torch.from_numpy(np.concatenate(edges, axis=1)).to(positions.device)
    shift = torch.from_numpy(np.concatenate(shifts)).to(positions.device, positions.dtype)
    order = edge_index[1].argsort(stable=True)
    return edge_index[:, order], shift[order]


def _tree(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs (i, j) and the image of j by a tree over the atoms and those images that reach into the cell."""
    inverse = np.linalg.inv(cell)
    home = np.where(pbc, np.floor(positions @ inverse), 0.0)
    fractional = positions @ inverse - home
    margin = cutoff / cell_heights(cell)
    reach = np.where(pbc, np.ceil(margin), 0.0).astype(int)
    atoms, images = [], []
    for translation in itertools.product(*(range(-n, n + 1) for n in reach)):
        moved = fractional + translation
        near = ((moved >= -margin) & (moved <= 1.0 + margin) | ~pbc).all(axis=1)
        atoms.append(np.flatnonzero(near))
        images.append(np.broadcast_to(translation, (near.sum(), 3)))
    atom, image = np.concatenate(atoms), np.concatenate(images)
    found = cKDTree(fractional @ cell).sparse_distance_matrix(
        cKDTree((fractional[atom] + image) @ cell), cutoff, output_type="ndarray"
    )
    i, j, image = found["i"], atom[found["j"]], image[found["j"]]
    other = (i != j) | image.any(axis=1)
    i, j, image = i[other], j[other], image[other] + home[i[other]] - home[j[other]]
    order = np.lexsort((j, i))
    return i[order], j[order], image[order]
