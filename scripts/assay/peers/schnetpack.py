"""PaiNN as schnetpack has it, the implementation that most people train."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.data import dataloader

from assay.neighbors.inputs import Inputs
from assay.peers.network import Size

# schnetpack 2.1.1 imports this type variable by the name that it had before it became private to torch.
dataloader.T_co = dataloader._T_co  # type: ignore[attr-defined]

import schnetpack  # noqa: E402
from schnetpack import properties  # noqa: E402

NAME = "schnetpack PaiNN"
DISTRIBUTION = "schnetpack"
ABOUT = "as many blocks and radial basis functions as the student, Gaussians, cosine cutoff, schnetpack's own head"


def build(size: Size, width: int) -> nn.Module:
    """Build PaiNN as ``Adapter.build`` describes."""
    network = schnetpack.representation.PaiNN(
        n_atom_basis=width,
        n_interactions=size.n_blocks,
        radial_basis=schnetpack.nn.GaussianRBF(n_rbf=size.n_rbf, cutoff=size.cutoff_A),
        cutoff_fn=schnetpack.nn.CosineCutoff(size.cutoff_A),
        nuclear_embedding=nn.Embedding(max(size.elements) + 1, width),
    )
    return schnetpack.model.NeuralNetworkPotential(
        representation=network,
        input_modules=[schnetpack.atomistic.PairwiseDistances()],
        output_modules=[schnetpack.atomistic.Atomwise(n_in=width, output_key="energy"), schnetpack.atomistic.Forces()],
    )


def bind(
    network: nn.Module, size: Size, atoms: Inputs, edge_index: Tensor, n_structures: int
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Bind inputs as ``Adapter.bind`` describes."""
    neighbor, atom = edge_index
    inputs = {
        properties.Z: atoms.atomic_numbers,
        properties.R: atoms.positions,
        properties.idx_i: atom,
        properties.idx_j: neighbor,
        properties.offsets: atoms.positions.new_zeros(len(atom), 3),
        properties.idx_m: atoms.batch,
        properties.n_atoms: torch.bincount(atoms.batch, minlength=n_structures),
    }

    def call() -> tuple[Tensor, Tensor]:
        found = network(dict(inputs))
        return found["energy"], found["forces"]

    return call
