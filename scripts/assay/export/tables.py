"""The tables that a lowered network sums by, in PyTorch; TorchScript compiles these functions as they are."""

from __future__ import annotations

import torch
from torch import Tensor


def make_table(owner: Tensor, n_owners: int) -> Tensor:
    """Where ``owner`` (P,) is 0, 1, ..., as rows of a table int64 (n_owners, K >= 1), padded with P; places of owners
    beyond the last are in no row.
    """
    n_places = owner.shape[0]
    order = torch.cat([torch.argsort(owner, stable=True), owner.new_full((1,), n_places)])
    length = torch.bincount(owner, minlength=n_owners)[:n_owners]
    column = torch.arange(max(int(length.max()), 1), device=owner.device)
    cell = (length.cumsum(0) - length).unsqueeze(1) + column
    return torch.where(column < length.unsqueeze(1), order[cell.clamp(max=n_places)], n_places)


def table_inputs(
    atomic_numbers: Tensor,
    positions: Tensor,
    batch: Tensor,
    neighbor: Tensor,
    atom: Tensor,
    shift: Tensor,
    cutoff: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The inputs of a lowered network, as ``forms.TableInputs`` names them, from a neighbor list in any order.

    atomic_numbers and batch int64 (N,); positions (N, 3), angstrom; neighbor and atom int64 (E,) and shift (E, 3),
    angstrom, of each edge; cutoff, angstrom.
    """
    first, dummy = atom.new_zeros(1), shift.new_zeros(1, 3)
    dummy[0, 0] = 2.0 * cutoff
    n_atoms = positions.shape[0]
    return (
        atomic_numbers,
        positions,
        torch.cat([neighbor, first]),
        torch.cat([atom, first]),
        torch.cat([shift, dummy]),
        make_table(atom, n_atoms),
        make_table(neighbor, n_atoms),
        make_table(batch, int(batch.max()) + 1),
    )


def slot_inputs(
    atomic_numbers: Tensor,
    positions: Tensor,
    batch: Tensor,
    neighbor: Tensor,
    atom: Tensor,
    shift: Tensor,
    cutoff: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The same as ``forms.SlotInputs`` names them."""
    n_atoms, n_edges = positions.shape[0], neighbor.shape[0]
    place = make_table(atom, n_atoms)  # of the edge in each slot
    empty = place == n_edges
    itself = torch.arange(n_atoms, device=atom.device).unsqueeze(1)
    far = torch.zeros_like(positions[:1])
    far[0, 0] = 2.0 * cutoff
    slot_neighbor = torch.where(empty, itself, torch.cat([neighbor, neighbor.new_zeros(1)])[place])
    slot_shift = torch.cat([shift, far])[place]
    outgoing = make_table(torch.where(empty, n_atoms, slot_neighbor).reshape(-1), n_atoms)
    return atomic_numbers, positions, slot_neighbor, slot_shift, outgoing, make_table(batch, int(batch.max()) + 1)


def find_pairs(positions: Tensor, batch: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Neighbor and atom, int64 (E,), of every pair of different atoms of one structure within the cutoff."""
    n_atoms = positions.shape[0]
    candidate = make_table(batch, int(batch.max()) + 1)[batch]  # (N, M)
    vector = positions[candidate.clamp(max=n_atoms - 1)] - positions.unsqueeze(1)
    near = (vector * vector).sum(-1) <= cutoff * cutoff
    here = torch.arange(n_atoms, device=positions.device).unsqueeze(1)
    atom, column = torch.where(near & (candidate < n_atoms) & (candidate != here))
    return candidate[atom, column], atom
