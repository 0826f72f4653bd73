"""Screened nuclear repulsion, so that no two atoms can fall into each other where there were no labels."""

from __future__ import annotations

import torch
from ase.data import covalent_radii
from torch import Tensor, nn

from assay.models.graph import Graph, Term

COULOMB_EV_A = 14.3996454784  # e^2 / (4 pi epsilon_0)
BOHR_A = 0.529177210903
COEFFICIENTS = (0.1818, 0.5099, 0.2802, 0.02817)
EXPONENTS = (3.2, 0.9423, 0.4028, 0.2016)


def contact_radii(max_z: int, cutoff: float) -> Tensor:
    """Covalent radii by atomic number, angstrom, float32 (max_z + 1,), so small that a contact is within the cutoff."""
    return torch.as_tensor(covalent_radii[: max_z + 1], dtype=torch.float32).clamp(max=cutoff / 2)


class ZBLRepulsion(nn.Module):
    """E_i = 1/2 sum_j Z_i Z_j e^2 / d * phi(d / a) * f(d), the universal potential of Ziegler, Biersack and Littmark.

    f switches it off, with two continuous derivatives, at the sum of the covalent radii: bonds are left to the network.

    Args:
        max_z: largest atomic number.
        cutoff: radius of the neighbor list, angstrom; the switch ends before it.
    """

    charge: Tensor
    screening: Tensor
    radius: Tensor

    def __init__(self, max_z: int, cutoff: float):
        super().__init__()
        z = torch.arange(max_z + 1, dtype=torch.float32)
        self.register_buffer("charge", z, persistent=False)
        self.register_buffer("screening", z**0.23, persistent=False)
        self.register_buffer("radius", contact_radii(max_z, cutoff), persistent=False)

    def forward(self, atomic_numbers: Tensor, distance: Tensor, graph: Graph) -> Tensor:
        """Energy of each atom, eV (N,), from distances in angstrom, graph.edge_shape."""

        def mine_plus_theirs(table: Tensor) -> Tensor:
            x = table[atomic_numbers]
            return graph.gather(x) + graph.spread(x)

        charge = self.charge[atomic_numbers]
        inside = (1.0 - distance / mine_plus_theirs(self.radius)).clamp(min=0.0)
        switch = inside**3 * (10.0 - 15.0 * inside + 6.0 * inside * inside)
        reduced = distance * mine_plus_theirs(self.screening) / (0.8854 * BOHR_A)
        phi = torch.zeros_like(distance)
        for c, b in zip(COEFFICIENTS, EXPONENTS, strict=True):
            phi = phi + c * torch.exp(-b * reduced)
        pair = COULOMB_EV_A * graph.gather(charge) * graph.spread(charge) / distance * phi * switch
        return 0.5 * graph.aggregate(Term(pair))
