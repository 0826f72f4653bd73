"""The network of the students that users already have, flaws included.

Two of its properties are wrong, kept for fidelity, and measured by the physics checks: ``mixing_matrix`` acts on
the cartesian axes, so that the energy changes when a molecule is rotated, and the filter's bias survives the cutoff,
so that it jumps when an atom crosses it. The last block's matrix never reaches the energy.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from assay.models.graph import Graph, Term
from assay.models.potential import Potential


class _GaussianBasis(nn.Module):
    centers: Tensor
    widths: Tensor

    def __init__(self, n_rbf: int, cutoff: float):
        super().__init__()
        self.cutoff = cutoff
        self.register_buffer("centers", torch.linspace(0.0, cutoff, n_rbf))
        self.register_buffer("widths", torch.full((n_rbf,), cutoff / n_rbf))

    def forward(self, distance: Tensor) -> Tensor:
        gaussians = torch.exp(-(((distance.unsqueeze(-1) - self.centers) / self.widths) ** 2))
        envelope = 0.5 * (torch.cos(math.pi * distance / self.cutoff) + 1.0)
        return gaussians * envelope.unsqueeze(-1)


class _Message(nn.Module):
    def __init__(self, hidden: int, n_rbf: int):
        super().__init__()
        self.rbf_to_scalar = nn.Sequential(nn.Linear(n_rbf, hidden), nn.SiLU(), nn.Linear(hidden, 3 * hidden))

    def forward(
        self, s: Tensor, v: Tensor, basis: Tensor, direction: Tensor, inside: Tensor, graph: Graph
    ) -> tuple[Tensor, Tensor]:
        a, b, c = (self.rbf_to_scalar(basis) * inside).chunk(3, -1)  # (E, H)
        odd = Term(c, parity=-1, direction=direction)
        return s + graph.aggregate(Term(a, s)), v + graph.aggregate(Term(b.unsqueeze(-2), v), odd)


class _Update(nn.Module):
    def __init__(self, hidden: int):
        super().__init__()
        self.update_mlp = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, 3 * hidden))
        self.mixing_matrix = nn.Parameter(torch.eye(3))

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        norm = torch.linalg.vector_norm(v, dim=1)  # its gradient at zero is zero
        p, g1, g2 = self.update_mlp(torch.cat([s, norm], -1)).chunk(3, -1)
        mixed = torch.einsum("ab,nbh->nah", self.mixing_matrix, v)
        return s + p, v * g1.unsqueeze(1) + mixed * g2.unsqueeze(1)


class _Interaction(nn.Module):
    def __init__(self, hidden: int, n_rbf: int):
        super().__init__()
        self.message = _Message(hidden, n_rbf)
        self.update = _Update(hidden)

    def forward(
        self, s: Tensor, v: Tensor, basis: Tensor, direction: Tensor, inside: Tensor, graph: Graph
    ) -> tuple[Tensor, Tensor]:
        return self.update(*self.message(s, v, basis, direction, inside, graph))


class SeedPaiNN(Potential):
    """The network of the predecessor's students; its state dict has their keys.

    Args:
        hidden: the number of features of each atom, H.
        n_blocks: the number of blocks, L.
        n_rbf: the number of radial basis functions, R.
        max_z: the largest atomic number.
        cutoff_A: the cutoff radius, angstrom.
    """

    architecture = "seed-painn"

    def __init__(self, hidden: int = 128, n_blocks: int = 3, n_rbf: int = 20, max_z: int = 100, cutoff_A: float = 5.0):
        super().__init__()
        self.hyperparameters = {
            "hidden": hidden, "n_blocks": n_blocks, "n_rbf": n_rbf, "max_z": max_z, "cutoff_A": cutoff_A,
        }  # fmt: skip
        self.cutoff, self.max_z = float(cutoff_A), max_z
        self.embedding = nn.Embedding(max_z + 1, hidden)
        self.rbf = _GaussianBasis(n_rbf, self.cutoff)
        self.interactions = nn.ModuleList(_Interaction(hidden, n_rbf) for _ in range(n_blocks))
        self.energy_head = nn.Sequential(
            nn.Linear(hidden, hidden // 2), nn.SiLU(),
            nn.Linear(hidden // 2, hidden // 4), nn.SiLU(),
            nn.Linear(hidden // 4, 1),
        )  # fmt: skip

    def atomic_energies(self, atomic_numbers: Tensor, vectors: Tensor, graph: Graph) -> Tensor:
        """The energy of each atom, eV, float64 (N,); see ``Potential.atomic_energies``."""
        distance = torch.linalg.vector_norm(vectors, dim=-1)
        direction = vectors / (distance.unsqueeze(-1) + 1e-8)
        basis = self.rbf(distance)
        inside = (distance <= self.cutoff).to(vectors.dtype).unsqueeze(-1)
        s = self.embedding(atomic_numbers)
        v = s.new_zeros(s.shape[0], 3, s.shape[1])
        for block in self.interactions:
            s, v = block(s, v, basis, direction, inside, graph)
        return self.energy_head(s).squeeze(-1).double()
