"""Packs: random batches of structures, padded to one fixed shape so that the training step is compiled once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from assay.batching import pack
from assay.data.dataset import Dataset
from assay.graph import reverse_edges
from assay.neighbors import neighbor_list


class Pack(NamedTuple):
    """A batch with padding. Padded atoms have atomic number 0, padded structures no atoms, and a padded edge is an
    atom's own image far beyond the cutoff, where every kernel vanishes.

    Attributes:
        atomic_numbers: int64 (A,).
        positions: float32 (A, 3), angstrom.
        batch: int64 (A,); padded atoms belong to the last structure, which is always padding.
        edge_index: int64 (2, E), rows (neighbor, atom).
        shift: float32 (E, 3), angstrom.
        reverse_index: int64 (E,).
        energy: float64 (S,), eV.
        forces: float32 (A, 3), eV/angstrom.
        n_atoms: float32 (S,).
    """

    atomic_numbers: Tensor
    positions: Tensor
    batch: Tensor
    edge_index: Tensor
    shift: Tensor
    reverse_index: Tensor
    energy: Tensor
    forces: Tensor
    n_atoms: Tensor


@dataclass(frozen=True)
class PackShape:
    """Room in a pack, padding included."""

    atoms: int
    edges: int
    structures: int


class PackedDataset:
    """A dataset with its neighbor lists, served as packs in an order that the seed and the epoch fix.

    Args:
        dataset: open structures with labels.
        cutoff: angstrom.
        atoms_per_pack: atoms of a pack; edges and structures follow from the dataset's averages.
    """

    def __init__(self, dataset: Dataset, cutoff: float, atoms_per_pack: int):
        self.dataset, self.cutoff = dataset, cutoff
        self._build_edges()
        mean_degree = self.n_edges.sum() / dataset.sizes.sum()
        mean_size = dataset.sizes.mean()
        self.shape = PackShape(
            atoms_per_pack + 1,
            max(int(1.08 * mean_degree * atoms_per_pack), int(self.n_edges.max())) // 8 * 8 + 8,
            int(1.6 * atoms_per_pack / mean_size) + 4,
        )

    def _build_edges(self) -> None:
        dataset = self.dataset
        edges, reverses, counts = [], [], []
        for chunk in pack(dataset.sizes, dataset.sizes, max_atoms=4096, max_edges=4096):
            part = dataset.subset(chunk)
            batch = torch.arange(len(part)).repeat_interleave(torch.from_numpy(part.sizes))
            edge_index, shift = neighbor_list(torch.from_numpy(part.positions), batch, self.cutoff, backend="pairs")
            owner = batch[edge_index[1]]
            n_edges = torch.bincount(owner, minlength=len(part))
            first_edge = n_edges.cumsum(0) - n_edges
            first_atom = torch.from_numpy(part.offsets[:-1])[owner]
            edges.append((edge_index - first_atom).to(torch.int16).numpy())
            reverses.append((reverse_edges(edge_index, shift) - first_edge[owner]).to(torch.int32).numpy())
            counts.append((chunk, n_edges.numpy()))
        self.n_edges = np.zeros(len(dataset), np.int64)
        self.first_edge = np.zeros(len(dataset), np.int64)
        start = 0
        for chunk, count in counts:
            self.n_edges[chunk] = count
            self.first_edge[chunk] = start + np.cumsum(count) - count
            start += int(count.sum())
        self.edges, self.reverses = np.concatenate(edges, axis=1), np.concatenate(reverses)

    def plan(self, seed: int, epoch: int) -> list[list[int]]:
        """Which structures make each pack: every one once, in random order; the last pack may be nearly empty."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self.dataset))
        plan: list[list[int]] = [[]]
        atoms = edges = 0
        for index in map(int, order):
            n_atoms, n_edges = int(self.dataset.sizes[index]), int(self.n_edges[index])
            full = (
                atoms + n_atoms >= self.shape.atoms
                or edges + n_edges > self.shape.edges
                or len(plan[-1]) + 1 >= self.shape.structures
            )
            if full:
                plan.append([])
                atoms, edges = 0, 0
            plan[-1].append(index)
            atoms, edges = atoms + n_atoms, edges + n_edges
        return plan

    def assemble(self, indices: list[int]) -> Pack:
        """The pack of these structures, which must fit."""
        part, shape = self.dataset.subset(indices), self.shape
        n_atoms, n_edges = len(part.atomic_numbers), self.n_edges[indices]
        sizes = np.zeros(shape.structures, np.int64)
        sizes[: len(part)] = part.sizes
        batch = np.full(shape.atoms, shape.structures - 1)
        batch[:n_atoms] = np.repeat(np.arange(len(part)), part.sizes)
        edge_index = np.full((2, shape.edges), shape.atoms - 1)
        reverse = np.arange(shape.edges)
        shift = np.zeros((shape.edges, 3), np.float32)
        total = int(n_edges.sum())
        place = np.arange(total) - np.repeat(np.cumsum(n_edges) - n_edges, n_edges)
        source = np.repeat(self.first_edge[indices], n_edges) + place
        edge_index[:, :total] = self.edges[:, source] + np.repeat(part.offsets[:-1], n_edges)
        reverse[:total] = self.reverses[source] + np.repeat(np.cumsum(n_edges) - n_edges, n_edges)
        shift[total:, 0] = 2 * self.cutoff

        def padded(x: np.ndarray, length: int, dtype: type) -> Tensor:
            out = np.zeros((length, *x.shape[1:]), dtype)
            out[: len(x)] = x
            return torch.from_numpy(out)

        return Pack(
            padded(part.atomic_numbers, shape.atoms, np.int64),
            padded(part.positions, shape.atoms, np.float32),
            torch.from_numpy(batch),
            torch.from_numpy(edge_index),
            torch.from_numpy(shift),
            torch.from_numpy(reverse),
            padded(part.energy, shape.structures, np.float64),
            padded(part.forces, shape.atoms, np.float32),
            torch.from_numpy(sizes.astype(np.float32)),
        )
