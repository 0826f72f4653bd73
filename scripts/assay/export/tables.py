"""Neighbor tables, by which a lowered network sums, in PyTorch; TorchScript compiles these functions as they are."""

from __future__ import annotations

import torch
from torch import Tensor


def make_table(owner: Tensor, n_owners: int) -> Tensor:
    """Return a table int64 (n_owners, K), K >= 1, whose row i lists the places where ``owner`` is i, padded with P.

    ``owner`` is int64 (P,). A place whose owner is ``n_owners`` or more is in no row.
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
    """Return the inputs that ``forms.TableInputs`` names, from a neighbor list in any order.

    Args:
        atomic_numbers: int64 (N,).
        positions: (N, 3), angstrom.
        batch: int64 (N,), the structure of each atom.
        neighbor: int64 (E,), the neighbor in each edge.
        atom: int64 (E,), the atom in each edge.
        shift: (E, 3), angstrom: the vector of an edge is positions[neighbor] - positions[atom] + shift.
        cutoff: angstrom.
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
    """Return the inputs that ``forms.SlotInputs`` names; arguments as in ``table_inputs``."""
    n_atoms, n_edges = positions.shape[0], neighbor.shape[0]
    edge = make_table(atom, n_atoms)  # the edge in each slot
    empty = edge == n_edges
    itself = torch.arange(n_atoms, device=atom.device).unsqueeze(1)
    far = torch.zeros_like(positions[:1])
    far[0, 0] = 2.0 * cutoff
    slot_neighbor = torch.where(empty, itself, torch.cat([neighbor, neighbor.new_zeros(1)])[edge])
    slot_shift = torch.cat([shift, far])[edge]
    outgoing = make_table(torch.where(empty, n_atoms, slot_neighbor).reshape(-1), n_atoms)
    return atomic_numbers, positions, slot_neighbor, slot_shift, outgoing, make_table(batch, int(batch.max()) + 1)


def find_pairs(positions: Tensor, batch: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Return neighbor and atom, int64 (E,), of all pairs of different atoms of one structure within the cutoff.

    A pair whose distance is not a number is among them, so that it reaches the energy.

    positions (N, 3) and cutoff are in angstrom; batch is int64 (N,), the structure of each atom.
    """
    n_atoms = positions.shape[0]
    candidate = make_table(batch, int(batch.max()) + 1)[batch]  # (N, M)
    vector = positions[candidate.clamp(max=n_atoms - 1)] - positions.unsqueeze(1)
    near = ~((vector * vector).sum(-1) > cutoff * cutoff)
    here = torch.arange(n_atoms, device=positions.device).unsqueeze(1)
    atom, column = torch.where(near & (candidate < n_atoms) & (candidate != here))
    return candidate[atom, column], atom
