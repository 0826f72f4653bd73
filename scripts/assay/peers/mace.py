"""MACE with the defaults of its trainer, and scalar messages, which are its fastest."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from assay.neighbors.inputs import Inputs
from assay.peers.network import Size

with torch.serialization.safe_globals([slice]):  # the constants of e3nn 0.4.4 hold slices
    from e3nn.o3 import Irreps
    from mace.modules import ScaleShiftMACE, interaction_classes

NAME = "MACE"
DISTRIBUTION = "mace-torch"
ABOUT = "2 interactions, scalar messages, angular order 3, correlation 3, radial layers of 64"
INTERACTION = interaction_classes["RealAgnosticResidualInteractionBlock"]
N_NEIGHBORS = 16.0  # the divisor of sums over neighbors


def build(size: Size, width: int) -> nn.Module:
    """Build MACE as ``Adapter.build`` describes."""
    warnings.filterwarnings(
        "ignore", message="The TorchScript type system"
    )  # it would come once for every part of the network
    return ScaleShiftMACE(
        r_max=size.cutoff_A,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=INTERACTION,
        interaction_cls_first=INTERACTION,
        num_interactions=2,
        num_elements=len(size.elements),
        hidden_irreps=Irreps(f"{width}x0e"),
        MLP_irreps=Irreps("16x0e"),
        atomic_energies=np.zeros(len(size.elements)),
        avg_num_neighbors=N_NEIGHBORS,
        atomic_numbers=list(size.elements),
        correlation=3,
        gate=nn.functional.silu,
        radial_MLP=[64, 64, 64],
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )


def bind(
    network: nn.Module, size: Size, atoms: Inputs, edge_index: Tensor, n_structures: int
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Bind inputs as ``Adapter.bind`` describes."""
    known = torch.tensor(size.elements, device=edge_index.device)
    shifts = atoms.positions.new_zeros(edge_index.shape[1], 3)
    ends = torch.bincount(atoms.batch, minlength=n_structures).cumsum(0)
    inputs = {
        "positions": atoms.positions,
        "node_attrs": (atoms.atomic_numbers[:, None] == known).to(atoms.positions.dtype),
        "edge_index": edge_index,
        "shifts": shifts,
        "unit_shifts": shifts,
        "cell": atoms.positions.new_zeros(3 * n_structures, 3),
        "batch": atoms.batch,
        "ptr": torch.cat([ends.new_zeros(1), ends]),
    }

    def call() -> tuple[Tensor, Tensor]:
        found = network(dict(inputs), training=False, compute_force=True)
        return found["energy"], found["forces"]

    return call
