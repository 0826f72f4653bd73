"""Packs: random batches of structures with their neighbor lists, assembled from memory or from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np
import torch
from torch import Tensor

from assay.data.dataset import Dataset
from assay.data.kinds import kind_of
from assay.data.store import StoredDataset
from assay.models.graph import reverse_edges
from assay.neighbors.lists import neighbor_list
from assay.runtime.checks import centred
from assay.structures.batching import pack

AT_ONCE = 100_000  # structures whose sizes are looked up at once


class Pack(NamedTuple):
    """A batch of structures with labels.

    Attributes:
        atomic_numbers: int64 (A,), atomic number of each atom.
        positions: float32 (A, 3), position of each atom, angstrom.
        batch: int64 (A,), index of the structure that each atom belongs to.
        edge_index: int64 (2, E), rows (neighbor, center).
        shift: float32 (E, 3), displacement of the neighbor's periodic image, angstrom; zeros in open structures.
        reverse_index: int64 (E,), index of the reversed edge of each edge.
        energy: float64 (S,), labelled energy of each structure, eV.
        forces: float32 (A, 3), labelled force on each atom, eV/angstrom.
        n_atoms: float32 (S,), number of atoms of each structure.
        atom_weight: float32 (A,), weight of each atom in a mean over atoms.
        structure_weight: float32 (S,), weight of each structure in a mean over structures.
        virial: float32 (S, 3, 3), labelled virial of each structure, minus volume times stress, eV; else zeros.
        virial_weight: float32 (S,), ``structure_weight`` where a structure has a virial, and 0 elsewhere.
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
    virial: Tensor
    virial_weight: Tensor


class Plan(Sequence[np.ndarray]):
    """The indices of the structures of each pack of an epoch.

    Args:
        order: int32 (S,), the structures in the order in which they come.
        ends: int64 (P + 1,), where each pack begins in that order, and where the last one ends.
    """

    def __init__(self, order: np.ndarray, ends: np.ndarray):
        self.order, self.ends = order, ends

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, which: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, which: slice) -> Plan: ...
    def __getitem__(self, which: int | slice) -> np.ndarray | Plan:
        if isinstance(which, slice):
            start, stop, step = which.indices(len(self))
            if step != 1:
                raise ValueError("packs are taken one after the other")
            return Plan(self.order, self.ends[start : max(stop, start) + 1])
        first, last = self.ends[:-1][which], self.ends[1:][which]
        return self.order[first:last].astype(np.int64)


class NeighborLists(NamedTuple):
    """The neighbor lists of some structures, one after the other.

    Attributes:
        n_edges: int64 (S,), number of edges of each structure.
        edges: integers (2, E), rows (neighbor, center), atoms counted from the first one of their structure.
        reverses: integers (E,), the reversed edge of each edge, counted from the first one of their structure.
        shifts: float32 (E, 3), displacement of the neighbor's periodic image, angstrom; None where all are zero.
    """

    n_edges: np.ndarray
    edges: np.ndarray
    reverses: np.ndarray
    shifts: np.ndarray | None


def centred_positions(dataset: Dataset) -> np.ndarray:
    """Positions (A, 3) float64, angstrom, about the mean of each structure, whose digits single precision keeps."""
    return centred(dataset.positions, dataset.owner)


def find_neighbors(dataset: Dataset, cutoff: float) -> NeighborLists:
    """Find the neighbor lists of a dataset within ``cutoff`` angstrom, with periodic images."""
    batch = torch.arange(len(dataset)).repeat_interleave(torch.from_numpy(dataset.sizes))
    positions, periodic = torch.from_numpy(dataset.positions), bool(dataset.pbc.any())
    lattice = (dataset.cells, dataset.pbc) if periodic else (None, None)
    edge_index, shift = neighbor_list(positions, batch, cutoff, *lattice)
    owner = batch[edge_index[1]]
    n_edges = torch.bincount(owner, minlength=len(dataset))
    first_edge = n_edges.cumsum(0) - n_edges
    first_atom = torch.from_numpy(dataset.offsets[:-1])[owner]
    small = torch.int16 if int(dataset.sizes.max(initial=0)) < 2**15 else torch.int32
    return NeighborLists(
        n_edges.numpy(),
        (edge_index - first_atom).to(small).numpy(),
        (reverse_edges(edge_index, shift) - first_edge[owner]).to(torch.int32).numpy(),
        shift.float().numpy() if periodic else None,
    )


class PackedDataset:
    """A dataset with its neighbor lists, from which packs are assembled in an order that seed and epoch determine.

    Args:
        dataset: structures with labels, in memory or in a file.
        cutoff: the radius of the neighbor lists, angstrom.
    """

    def __init__(self, dataset: Dataset | StoredDataset, cutoff: float):
        self.dataset, self.cutoff = dataset, cutoff
        self.kinds = [kind_of(name) for name in dataset.names] if isinstance(dataset, Dataset) else []
        if isinstance(dataset, Dataset):
            self._keep_neighbors(dataset)

    def _keep_neighbors(self, dataset: Dataset) -> None:
        """Find all neighbor lists once: they fit into memory beside structures that do."""
        found, chunks = [], pack(dataset.sizes, dataset.sizes, max_atoms=4096, max_edges=4096)
        for chunk in chunks:
            found.append(find_neighbors(dataset.subset(chunk), self.cutoff))
        self.n_edges = np.zeros(len(dataset), np.int64)
        self.first_edge = np.zeros(len(dataset), np.int64)
        start = 0
        for chunk, lists in zip(chunks, found, strict=True):
            self.n_edges[chunk] = lists.n_edges
            self.first_edge[chunk] = start + np.cumsum(lists.n_edges) - lists.n_edges
            start += int(lists.n_edges.sum())
        self.edges = np.concatenate([lists.edges for lists in found], axis=1)
        self.reverses = np.concatenate([lists.reverses for lists in found])
        self.shifts = None
        if any(lists.shifts is not None for lists in found):
            self.shifts = np.concatenate(
                [np.zeros((len(r), 3), np.float32) if s is None else s for _, _, r, s in found]
            )

    def sizes_of(self, indices: np.ndarray) -> np.ndarray:
        """The numbers of atoms, int64, of the structures with these indices, in the same shape."""
        offsets = self.dataset.offsets
        return offsets[1:][indices] - offsets[:-1][indices]

    def neighbors_of(self, indices: np.ndarray, part: Dataset) -> NeighborLists:
        """The neighbor lists of the structures with these indices, which ``part`` holds."""
        if not isinstance(self.dataset, Dataset):
            return find_neighbors(part, self.cutoff)
        n_edges = self.n_edges[indices]
        first = np.repeat(np.cumsum(n_edges) - n_edges, n_edges)
        source = np.repeat(self.first_edge[indices], n_edges) + np.arange(len(first)) - first
        shifts = None if self.shifts is None else self.shifts[source]
        return NeighborLists(n_edges, self.edges[:, source], self.reverses[source], shifts)

    def plan(
        self,
        seed: int,
        epoch: int,
        atoms_per_pack: int,
        shares: Mapping[str, float] | None = None,
        edges_per_pack: int | None = None,
    ) -> Plan:
        """Draw the packs of an epoch: each structure once, in random order.

        Args:
            seed, epoch: the numbers that determine the draw.
            atoms_per_pack: the largest number of atoms in a pack, unless one structure alone has more.
            shares: the fraction of some kinds of structures that is drawn; all structures of other kinds are.
            edges_per_pack: the largest number of edges in a pack, likewise; None for no limit.
        """
        groups = self.draw(np.random.default_rng([seed, epoch]), shares)
        ends, at_once = [0], max(AT_ONCE, atoms_per_pack + 1)  # more than a pack has
        while ends[-1] < len(groups):
            start, part = ends[-1], groups[ends[-1] : ends[-1] + at_once]
            limits = [(self.sizes_of(part), atoms_per_pack)]
            if edges_per_pack is not None:
                limits.append((self.n_edges[part], edges_per_pack))
            of_part = ends_of_packs([(counts.sum(1), most) for counts, most in limits])
            if start + len(part) < len(groups):
                of_part.pop()  # this pack may go on in the next part
            ends += [start + end for end in of_part]
        return Plan(groups.reshape(-1), groups.shape[1] * np.array(ends))

    def draw(self, rng: np.random.Generator, shares: Mapping[str, float] | None) -> np.ndarray:
        """The structures (G, m) of an epoch in random order, int32, in groups of m that no pack separates: here of one.

        Args:
            rng: the source of the order.
            shares: as in ``plan``.
        """
        order = np.arange(len(self.dataset), dtype=np.int32)
        rng.shuffle(order)
        if shares and self.kinds:
            share = np.array([shares.get(kind, 1.0) for kind in self.kinds])
            order = order[rng.random(len(order)) < share[order]]
        return order[:, None]

    def assemble(self, indices: np.ndarray) -> Pack:
        """Assemble the pack of the structures with these indices."""
        part = self.dataset.subset(indices)
        lists = self.neighbors_of(indices, part)
        first = np.repeat(np.cumsum(lists.n_edges) - lists.n_edges, lists.n_edges)
        edge_index = lists.edges + np.repeat(part.offsets[:-1], lists.n_edges)
        shift = np.zeros((len(first), 3), np.float32) if lists.shifts is None else lists.shifts
        virial, has_virial = virials(part)
        return Pack(
            torch.from_numpy(part.atomic_numbers.astype(np.int64)),
            torch.from_numpy(centred_positions(part).astype(np.float32)),
            torch.arange(len(part)).repeat_interleave(torch.from_numpy(part.sizes)),
            torch.from_numpy(edge_index),
            torch.from_numpy(shift),
            torch.from_numpy(lists.reverses + first),
            torch.from_numpy(part.energy),
            torch.from_numpy(part.forces.astype(np.float32)),
            torch.from_numpy(part.sizes.astype(np.float32)),
            torch.full((len(part.atomic_numbers),), 1 / len(part.atomic_numbers)),
            torch.full((len(part),), 1 / len(part)),
            torch.from_numpy(virial),
            torch.from_numpy((has_virial / len(part)).astype(np.float32)),
        )


def ends_of_packs(limits: Sequence[tuple[np.ndarray, int]]) -> list[int]:
    """Where packs of consecutive groups end, each as long as the sums of its counts (G,) stay within all limits."""
    totals = [(np.concatenate([[0], np.cumsum(counts)]), most) for counts, most in limits]
    ends, n_groups = [0], len(limits[0][0])
    while ends[-1] < n_groups:
        start = ends[-1]
        reached = [np.searchsorted(total, total[start] + most, side="right") - 1 for total, most in totals]
        ends.append(max(start + 1, int(min(reached))))
    return ends[1:]


def packs_of_an_epoch(offsets: np.ndarray, atoms_per_pack: int) -> float:
    """About how many packs an epoch has, for packs hold whole structures and are rarely full; of many structures a
    sample tells.

    Args:
        offsets: (S + 1,), where the atoms of each structure begin, and where those of the last one end.
        atoms_per_pack: the largest number of atoms in a pack, unless one structure alone has more.
    """
    rng, count = np.random.default_rng(0), len(offsets) - 1
    drawn = rng.permutation(count) if count <= AT_ONCE else rng.integers(count, size=AT_ONCE)
    sizes = offsets[1:][drawn] - offsets[:-1][drawn]
    return len(ends_of_packs([(sizes, atoms_per_pack)])) * float(offsets[-1] / sizes.sum())


def virials(part: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The labelled virials, minus volume times stress, float32 (S, 3, 3) in eV with zeros where there is none, and
    which structures have one, bool (S,).
    """
    if part.stress is None:
        return np.zeros((len(part), 3, 3), np.float32), np.zeros(len(part), bool)
    known = np.isfinite(part.stress).all(axis=(1, 2))
    volumes = np.abs(np.linalg.det(part.cells))
    virial = np.where(known[:, None, None], -volumes[:, None, None] * part.stress, 0.0)
    return (0.5 * (virial + virial.transpose(0, 2, 1))).astype(np.float32), known
