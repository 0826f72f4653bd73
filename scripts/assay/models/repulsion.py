"""Screened nuclear repulsion, so that no two atoms can fall into each other where there were no labels."""

from __future__ import annotations

import numpy as np
import torch
from ase.data import covalent_radii
from torch import Tensor, nn

from assay.models.graph import Graph, Term
from assay.runtime.network_constants import (
    BOHR_A,
    CHARGE_POWER,
    COEFFICIENTS,
    COULOMB_EV_A,
    EXPONENTS,
    SCREENING_BOHR,
)


def contact_radii(max_z: int, cutoff: float) -> Tensor:
    """Covalent radii by atomic number, angstrom, float32 (max_z + 1,), at most half of the cutoff each.

    Numbers beyond the last element, which some networks have rows for and no atom has, get the radius of no element.
    """
    known = covalent_radii[: max_z + 1]
    none = np.full(max_z + 1 - len(known), covalent_radii[0])
    radii = torch.as_tensor(np.append(known, none), dtype=torch.float32)
    return radii.clamp(max=cutoff / 2)


class ZBLRepulsion(nn.Module):
    """E_i = 1/2 sum_j Z_i Z_j e^2 / d * phi(d / a) * f(d), the universal potential of Ziegler, Biersack and Littmark.

    f goes from 1 to 0 at the sum of the covalent radii, with two continuous derivatives, so that bonds are left to the
    network.

    Args:
        max_z: the largest atomic number.
        cutoff: the radius of the neighbor list, angstrom; f is zero there.
    """

    charge: Tensor
    screening: Tensor
    radius: Tensor

    def __init__(self, max_z: int, cutoff: float):
        super().__init__()
        z = torch.arange(max_z + 1, dtype=torch.float32)
        self.register_buffer("charge", z, persistent=False)
        self.register_buffer("screening", z**CHARGE_POWER, persistent=False)
        self.register_buffer("radius", contact_radii(max_z, cutoff), persistent=False)

    def forward(self, atomic_numbers: Tensor, distance: Tensor, graph: Graph) -> Tensor:
        """The energy of each atom, eV (N,), for distances in angstrom of shape ``graph.edge_shape``."""

        def sum_of_pair(table: Tensor) -> Tensor:
            x = table[atomic_numbers]
            return graph.at_neighbor(x) + graph.at_center(x)

        charge = self.charge[atomic_numbers]
        inside = (1.0 - distance / sum_of_pair(self.radius)).clamp(min=0.0)
        switch = inside**3 * (10.0 - 15.0 * inside + 6.0 * inside * inside)
        reduced = distance * sum_of_pair(self.screening) / (SCREENING_BOHR * BOHR_A)
        phi = torch.zeros_like(distance)
        for c, b in zip(COEFFICIENTS, EXPONENTS, strict=True):
            phi = phi + c * torch.exp(-b * reduced)
        pair = COULOMB_EV_A * graph.at_neighbor(charge) * graph.at_center(charge) / distance * phi * switch
        return 0.5 * graph.aggregate(Term(pair))
