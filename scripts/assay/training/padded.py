"""Packs padded to one size on the device, so that a step can be recorded once and replayed for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from assay.data.dataset import Dataset
from assay.training.packs import Pack, PackedDataset, Plan, centred_positions, virials

SPARE_EDGES = 1.04  # edges that a pack has room for, in units of the mean number of edges in a pack
CHUNK = 256  # packs that are assembled at once
MULTIPLE = 16  # of atoms and edges that a pack has room for


class PaddedPacks:
    """A dataset on a device, served as packs that are padded to one size.

    The padding of a pack is one structure of weight zero. Its atoms are far from all others, and its edges join its
    last two atoms, which are farther apart than the cutoff.

    Args:
        packs: the structures and their neighbor lists.
        atoms_per_pack: the largest number of atoms in a pack, padding aside.
        device: the device that packs are assembled on.
    """

    def __init__(self, packs: PackedDataset, atoms_per_pack: int, device: torch.device):
        dataset = packs.dataset
        assert isinstance(dataset, Dataset)  # all of it goes to the device
        self.dataset = dataset
        self.packs, self.device, self.atoms_per_pack = packs, device, atoms_per_pack
        mean_edges = packs.n_edges.sum() / max(1, dataset.sizes.sum())
        self.edges_per_pack = int(SPARE_EDGES * mean_edges * atoms_per_pack)
        self.n_atoms = _round_up(max(atoms_per_pack, dataset.sizes.max()) + 2)
        self.n_edges = _round_up(max(self.edges_per_pack, packs.n_edges.max()))
        self.numbers = self._put(dataset.atomic_numbers, torch.int64)
        self.positions = self._put(centred_positions(dataset), torch.float32)
        self.forces = self._put(dataset.forces, torch.float32)
        self.edges = torch.from_numpy(packs.edges).to(device)
        self.reverses = self._put(packs.reverses, torch.int32)
        self.shifts = None if packs.shifts is None else self._put(packs.shifts, torch.float32)
        self.virials, self.has_virial = virials(dataset)

    def _put(self, array: np.ndarray, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, dtype)

    def plan(self, seed: int, epoch: int, shares: Mapping[str, float]) -> Plan:
        """Plan the packs of an epoch; see ``PackedDataset.plan``."""
        return self.packs.plan(seed, epoch, self.atoms_per_pack, shares, self.edges_per_pack)

    def serve(self, plan: Sequence[np.ndarray]) -> Iterator[Pack]:
        """Yield the packs of a plan, each with ``n_atoms`` atoms, as many structures, and ``n_edges`` edges."""
        for start in range(0, len(plan), CHUNK):
            chunk = self._assemble(plan[start : start + CHUNK])
            for values in zip(*chunk, strict=True):
                yield Pack(*values)

    def _assemble(self, plan: Sequence[np.ndarray]) -> Pack:
        """Assemble several packs at once: each field has an axis of packs before its own axes."""
        dataset, packs = self.dataset, self.packs
        n_packs, width, length = len(plan), self.n_atoms, self.n_edges
        members = np.concatenate(plan)
        owner = np.repeat(np.arange(n_packs), [len(part) for part in plan])
        sizes, n_edges = dataset.sizes[members], packs.n_edges[members]
        slot, first_atom, first_edge = (_before(values, owner) for values in (np.ones_like(sizes), sizes, n_edges))

        atom_from, atom_to = self._ranges(dataset.offsets[:-1][members], owner * width + first_atom, sizes)
        edge_from, edge_to = self._ranges(packs.first_edge[members], owner * length + first_edge, n_edges)
        edge_offset = self._repeated(first_atom, n_edges)

        apart = torch.arange(width, device=self.device, dtype=torch.float32) * (1.2 * packs.cutoff)
        positions = (apart.unsqueeze(-1) * apart.new_tensor([0.0, 0.0, 1.0])).repeat(n_packs, 1)
        positions[atom_to] = self.positions[atom_from]
        numbers = torch.ones(n_packs * width, dtype=torch.int64, device=self.device)
        numbers[atom_to] = self.numbers[atom_from]
        forces = positions.new_zeros(n_packs * width, 3)
        forces[atom_to] = self.forces[atom_from]
        batch = torch.full_like(numbers, width - 1)
        batch[atom_to] = self._repeated(slot, sizes)
        padding = torch.tensor([[width - 2, width - 1], [width - 1, width - 2]], device=self.device)
        edge_index = padding.repeat(1, n_packs * length // 2)
        edge_index[:, edge_to] = self.edges[:, edge_from].long() + edge_offset
        reverse = torch.arange(length, device=self.device).bitwise_xor(1).repeat(n_packs)
        reverse[edge_to] = self.reverses[edge_from].long() + self._repeated(first_edge, n_edges)
        shift = positions.new_zeros(length, 3).expand(n_packs, length, 3)
        if self.shifts is not None:
            shift = positions.new_zeros(n_packs * length, 3)
            shift[edge_to] = self.shifts[edge_from]

        at = self._put(owner * width + slot, torch.int64)
        energy = torch.zeros(n_packs * width, dtype=torch.float64, device=self.device)
        energy[at] = self._put(dataset.energy[members], torch.float64)
        per_structure = torch.ones(n_packs * width, device=self.device)
        per_structure[at] = self._put(sizes, torch.float32)
        atom_weight, structure_weight = positions.new_zeros(2, n_packs * width)
        in_pack = np.bincount(owner, sizes, n_packs)
        atom_weight[atom_to] = self._repeated(1 / in_pack[owner], sizes)
        in_mean = 1 / np.bincount(owner)[owner]
        structure_weight[at] = self._put(in_mean, torch.float32)
        virial = positions.new_zeros(n_packs * width, 3, 3)
        virial[at] = self._put(self.virials[members], torch.float32)
        virial_weight = torch.zeros_like(structure_weight)
        virial_weight[at] = self._put(in_mean * self.has_virial[members], torch.float32)
        return Pack(
            numbers.view(n_packs, width),
            positions.view(n_packs, width, 3),
            batch.view(n_packs, width),
            edge_index.view(2, n_packs, length).transpose(0, 1).contiguous(),
            shift.view(n_packs, length, 3),
            reverse.view(n_packs, length),
            energy.view(n_packs, width),
            forces.view(n_packs, width, 3),
            per_structure.view(n_packs, width),
            atom_weight.view(n_packs, width),
            structure_weight.view(n_packs, width),
            virial.view(n_packs, width, 3, 3),
            virial_weight.view(n_packs, width),
        )

    def _repeated(self, values: np.ndarray, counts: np.ndarray) -> Tensor:
        """Repeat each value as often as its count says."""
        dtype = torch.float32 if values.dtype.kind == "f" else torch.int64
        return self._put(values, dtype).repeat_interleave(self._put(counts, torch.int64), output_size=int(counts.sum()))

    def _ranges(self, source: np.ndarray, target: np.ndarray, counts: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the indices of ``counts`` consecutive elements from each source on, and from each target on."""
        first = np.cumsum(counts) - counts
        index = torch.arange(int(counts.sum()), device=self.device)
        return index + self._repeated(source - first, counts), index + self._repeated(target - first, counts)


def _before(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Sum the values that come before each one and have the same owner; owners ascend."""
    before = np.cumsum(values) - values
    return before - before[np.searchsorted(owner, owner)]


def _round_up(number: float) -> int:
    return int(-(-number // MULTIPLE) * MULTIPLE)
