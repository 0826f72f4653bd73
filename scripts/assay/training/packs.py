"""Packs: random batches of structures with their neighbor lists, assembled from memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from assay.data.dataset import Dataset
from assay.data.kinds import kind_of
from assay.models.graph import reverse_edges
from assay.neighbors.lists import neighbor_list
from assay.structures.batching import pack


class Pack(NamedTuple):
    """A batch of open structures with labels.

    Attributes:
        atomic_numbers: int64 (A,), atomic number of each atom.
        positions: float32 (A, 3), position of each atom, angstrom.
        batch: int64 (A,), index of the structure that each atom belongs to.
        edge_index: int64 (2, E), rows (neighbor, center).
        shift: float32 (E, 3), zeros, for packs hold open structures.
        reverse_index: int64 (E,), index of the reversed edge of each edge.
        energy: float64 (S,), labelled energy of each structure, eV.
        forces: float32 (A, 3), labelled force on each atom, eV/angstrom.
        n_atoms: float32 (S,), number of atoms of each structure.
        atom_weight: float32 (A,), weight of each atom in a mean over atoms.
        structure_weight: float32 (S,), weight of each structure in a mean over structures.
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
    atom_weight: Tensor
    structure_weight: Tensor


class PackedDataset:
    """A dataset with its neighbor lists, from which packs are assembled in an order that seed and epoch determine.

    Args:
        dataset: open structures with labels.
        cutoff: the radius of the neighbor lists, angstrom.
    """

    def __init__(self, dataset: Dataset, cutoff: float):
        self.dataset, self.cutoff = dataset, cutoff
        self.kinds = [kind_of(name) for name in dataset.names]
        self._build_edges()

    def _build_edges(self) -> None:
        dataset = self.dataset
        edges, reverses, counts = [], [], []
        for chunk in pack(dataset.sizes, dataset.sizes, max_atoms=4096, max_edges=4096):
            part = dataset.subset(chunk)
            batch = torch.arange(len(part)).repeat_interleave(torch.from_numpy(part.sizes))
            edge_index, shift = neighbor_list(torch.from_numpy(part.positions), batch, self.cutoff)
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

    def plan(
        self,
        seed: int,
        epoch: int,
        atoms_per_pack: int,
        shares: Mapping[str, float] | None = None,
        edges_per_pack: int | None = None,
    ) -> list[np.ndarray]:
        """Draw the packs of an epoch: each structure once, in random order.

        Args:
            seed, epoch: the numbers that determine the draw.
            atoms_per_pack: the largest number of atoms in a pack, unless one structure alone has more.
            shares: the fraction of some kinds of structures that is drawn; all structures of other kinds are.
            edges_per_pack: the largest number of edges in a pack, likewise; None for no limit.

        Returns:
            The indices of the structures of each pack.
        """
        draw = np.random.default_rng([seed, epoch])
        order = draw.permutation(len(self.dataset))
        if shares:
            share = np.array([shares.get(kind, 1.0) for kind in self.kinds])
            order = order[draw.random(len(order)) < share[order]]
        limits = [(self.dataset.sizes, atoms_per_pack)]
        if edges_per_pack is not None:
            limits.append((self.n_edges, edges_per_pack))
        totals = [(np.concatenate([[0], np.cumsum(counts[order])]), most) for counts, most in limits]
        plan = []
        start = 0
        while start < len(order):
            ends = [np.searchsorted(total, total[start] + most, side="right") - 1 for total, most in totals]
            end = max(start + 1, int(min(ends)))
            plan.append(order[start:end])
            start = end
        return plan

    def assemble(self, indices: np.ndarray) -> Pack:
        """Assemble the pack of the structures with these indices."""
        part = self.dataset.subset(indices)
        n_edges = self.n_edges[indices]
        first = np.repeat(np.cumsum(n_edges) - n_edges, n_edges)
        source = np.repeat(self.first_edge[indices], n_edges) + np.arange(len(first)) - first
        edge_index = self.edges[:, source] + np.repeat(part.offsets[:-1], n_edges)
        return Pack(
            torch.from_numpy(part.atomic_numbers.astype(np.int64)),
            torch.from_numpy(part.positions.astype(np.float32)),
            torch.arange(len(part)).repeat_interleave(torch.from_numpy(part.sizes)),
            torch.from_numpy(edge_index),
            torch.zeros(edge_index.shape[1], 3),
            torch.from_numpy(self.reverses[source] + first),
            torch.from_numpy(part.energy),
            torch.from_numpy(part.forces.astype(np.float32)),
            torch.from_numpy(part.sizes.astype(np.float32)),
            torch.full((len(part.atomic_numbers),), 1 / len(part.atomic_numbers)),
            torch.full((len(part),), 1 / len(part)),
        )
