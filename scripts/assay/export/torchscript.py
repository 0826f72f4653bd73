"""TorchScript: the lowered network with its own neighbor search, for plain ``torch.jit.load`` in Python and C++."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from assay.files import atomic_path

aten = torch.ops.aten
IDENTITY = "identity.json"


class ScriptedPotential(nn.Module):
    """``forward`` finds the neighbors of open structures; ``from_edges`` takes a neighbor list.

    Args:
        network: of ``lowering.lower``.
        cutoff: angstrom.
    """

    def __init__(self, network: fx.GraphModule, cutoff: float):
        super().__init__()
        self.network = _scriptable(network)
        self.cutoff = cutoff

    def forward(self, atomic_numbers: Tensor, positions: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Energy float64 (S,) in eV and forces (N, 3) in eV/angstrom.

        atomic_numbers int64 (N,); positions (N, 3), angstrom; batch int64 (N,), the structure of each atom.
        """
        members = make_table(batch, int(batch.max()) + 1)
        neighbor, atom = find_pairs(positions, batch, members, self.cutoff)
        shift = positions.new_zeros(neighbor.shape[0], 3)
        energy, forces, _ = self._evaluate(atomic_numbers, positions, members, neighbor, atom, shift)
        return energy, forces

    @torch.jit.export
    def from_edges(
        self, atomic_numbers: Tensor, positions: Tensor, batch: Tensor, edge_index: Tensor, edge_shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energy (S,), forces (N, 3) and virial (S, 3, 3) in eV, for periodic structures and kept neighbor lists.

        edge_index int64 (2, E), rows (neighbor, atom), both ways; edge_shift (E, 3), angstrom: the vector of an edge is
        positions[neighbor] - positions[atom] + edge_shift.
        """
        members = make_table(batch, int(batch.max()) + 1)
        return self._evaluate(atomic_numbers, positions, members, edge_index[0], edge_index[1], edge_shift)

    def _evaluate(
        self, atomic_numbers: Tensor, positions: Tensor, members: Tensor, neighbor: Tensor, atom: Tensor, shift: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        n_atoms = positions.shape[0]
        incoming, outgoing = make_table(atom, n_atoms), make_table(neighbor, n_atoms)
        first, dummy = atom.new_zeros(1), shift.new_zeros(1, 3)
        dummy[0, 0] = 2.0 * self.cutoff
        energy, forces, virial = self.network(
            atomic_numbers, positions, torch.cat([neighbor, first]), torch.cat([atom, first]),
            torch.cat([shift, dummy]), incoming, outgoing, members,
        )  # fmt: skip
        return energy, forces, virial


def make_table(owner: Tensor, n_owners: int) -> Tensor:
    """Where ``owner`` (P,) is 0, 1, ..., as rows of a table int64 (n_owners, K >= 1), padded with P."""
    n_places = owner.shape[0]
    order = torch.cat([torch.argsort(owner, stable=True), owner.new_full((1,), n_places)])
    length = torch.bincount(owner, minlength=n_owners)
    column = torch.arange(max(int(length.max()), 1), device=owner.device)
    cell = (length.cumsum(0) - length).unsqueeze(1) + column
    return torch.where(column < length.unsqueeze(1), order[cell.clamp(max=n_places)], n_places)


def find_pairs(positions: Tensor, batch: Tensor, members: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Neighbor and atom, int64 (E,), of every pair of different atoms of one structure within the cutoff."""
    n_atoms = positions.shape[0]
    candidate = members[batch]  # (N, M)
    vector = positions[candidate.clamp(max=n_atoms - 1)] - positions.unsqueeze(1)
    near = (vector * vector).sum(-1) <= cutoff * cutoff
    here = torch.arange(n_atoms, device=positions.device).unsqueeze(1)
    atom, column = torch.where(near & (candidate < n_atoms) & (candidate != here))
    return candidate[atom, column], atom


def to_torchscript(network: fx.GraphModule, cutoff: float) -> torch.jit.ScriptModule:
    """Script and freeze, keeping ``forward`` and ``from_edges``."""
    scripted = torch.jit.script(ScriptedPotential(network, cutoff).eval())
    return torch.jit.freeze(scripted, preserved_attrs=["from_edges", "cutoff"])


def save(module: torch.jit.ScriptModule, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a ``.ts.pt`` file, atomically, with ``metadata`` as its extra file ``IDENTITY``."""
    with atomic_path(path) as temporary:
        torch.jit.save(module, str(temporary), _extra_files={IDENTITY: json.dumps(metadata)})


def _scriptable(network: fx.GraphModule) -> fx.GraphModule:
    """A copy in the operators that the scripting compiler knows."""
    network = copy.deepcopy(network)
    for node in network.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target is aten.sym_size.int:
            node.target = aten.size.int
        elif node.target is aten.sym_numel.default:
            node.target = aten.numel.default
        elif node.target is aten._to_copy.default:
            node.target = aten.to.dtype
            node.kwargs = {"dtype": node.kwargs["dtype"]}
        if isinstance(node.target, torch._ops.OpOverload):
            node.target = node.target.overloadpacket
    network.recompile()
    return network
