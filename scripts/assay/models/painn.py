"""PaiNN, the student that this project trains and ships.

K. T. Schuett, O. T. Unke, M. Gastegger, "Equivariant message passing for the prediction of tensorial properties and
molecular spectra", ICML 2021 (arXiv 2102.03150). Vectors mix channels and never cartesian axes, so that the energy is
exactly invariant. Every message carries the cutoff envelope as its last factor, so that energy and forces go smoothly
to zero there. What depends on an edge is linear in the radial basis; the depth sits in atom-wise layers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from assay.graph import Graph
from assay.models.floor import DistanceFloor
from assay.models.potential import Potential
from assay.models.repulsion import ZBLRepulsion

ACTIVATIONS = {"silu": nn.SiLU, "softplus": nn.Softplus, "gelu": nn.GELU}


class RadialBasis(nn.Module):
    """Functions of the distance, (...,) to (..., R).

    Args:
        kind: "gaussian" (equal spacing on [0, cutoff], width = spacing) or "bessel"
            (sin(n pi d / cutoff) / d, arXiv 2003.03123).
        n_rbf: R.
        cutoff: angstrom.
    """

    centers: Tensor
    widths: Tensor
    frequencies: Tensor

    def __init__(self, kind: str, n_rbf: int, cutoff: float):
        super().__init__()
        self.kind = kind
        if kind == "gaussian":
            self.register_buffer("centers", torch.linspace(0.0, cutoff, n_rbf))
            self.register_buffer("widths", torch.full((n_rbf,), cutoff / max(n_rbf - 1, 1)))
        elif kind == "bessel":
            self.register_buffer("frequencies", torch.arange(1, n_rbf + 1) * (math.pi / cutoff))
        else:
            raise ValueError(f"unknown radial basis {kind!r}: choose gaussian or bessel")

    def forward(self, distance: Tensor) -> Tensor:
        d = distance.unsqueeze(-1)
        if self.kind == "gaussian":
            return torch.exp(-0.5 * ((d - self.centers) / self.widths) ** 2)
        return torch.sin(d * self.frequencies) / d


class Envelope(nn.Module):
    """Smooth step from 1 at zero distance to 0 at the cutoff and beyond.

    Args:
        kind: "cosine" (one continuous derivative) or "polynomial" (p = 6 of arXiv 2003.03123: two of them).
        cutoff: angstrom.
    """

    def __init__(self, kind: str, cutoff: float):
        super().__init__()
        if kind not in ("cosine", "polynomial"):
            raise ValueError(f"unknown envelope {kind!r}: choose cosine or polynomial")
        self.kind, self.cutoff = kind, cutoff

    def forward(self, distance: Tensor) -> Tensor:
        x = (distance / self.cutoff).clamp(max=1.0)
        if self.kind == "cosine":
            return 0.5 * (torch.cos(math.pi * x) + 1.0)
        x3 = x * x * x
        return 1.0 - x3 * x3 * (28.0 - 48.0 * x + 21.0 * x * x)


class Block(nn.Module):
    """One round: messages from the neighbors, then an atom-wise update."""

    def __init__(self, hidden: int, n_rbf: int, filter_bias: bool, activation: str, epsilon: float):
        super().__init__()
        act = ACTIVATIONS[activation]
        self.epsilon = epsilon
        self.filter = nn.Linear(n_rbf, 3 * hidden, bias=filter_bias)
        self.context = nn.Sequential(nn.Linear(hidden, hidden), act(), nn.Linear(hidden, 3 * hidden))
        self.mix = nn.Linear(hidden, 2 * hidden, bias=False)
        self.update = nn.Sequential(nn.Linear(2 * hidden, hidden), act(), nn.Linear(hidden, 3 * hidden))

    def forward(
        self, s: Tensor, v: Tensor | None, basis: Tensor, envelope: Tensor, direction: Tensor, graph: Graph
    ) -> tuple[Tensor, Tensor]:
        """Scalars (N, H) and vectors (N, 3, H), or None while they are zero."""
        filters = self.filter(basis) * envelope.unsqueeze(-1)  # (E, 3H)
        w_s, w_r, w_v = filters.chunk(3, -1)
        x_s, x_r, x_v = self.context(s).chunk(3, -1)
        s = s + graph.aggregate((w_s, x_s, 1))
        terms = [(direction.unsqueeze(-1) * w_r.unsqueeze(-2), x_r.unsqueeze(-2), -1)]  # (E, 3, H), (N, 1, H)
        if v is not None:
            terms.append((w_v.unsqueeze(-2), x_v.unsqueeze(-2) * v, 1))  # (E, 1, H), (N, 3, H)
        dv = graph.aggregate(*terms)
        v = dv if v is None else v + dv

        left, right = self.mix(v).chunk(2, -1)  # (N, 3, H)
        norm = torch.sqrt((left * left).sum(-2) + self.epsilon)
        ds, dv_gate, dot_gate = self.update(torch.cat([s, norm], -1)).chunk(3, -1)
        s = s + ds + dot_gate * (left * right).sum(-2)
        return s, v + dv_gate.unsqueeze(-2) * right


class PaiNN(Potential):
    """PaiNN with linear filters, reference energies and an optional screened nuclear repulsion.

    Args:
        hidden: H, features per atom.
        n_blocks: L.
        n_rbf: R.
        max_z: largest atomic number.
        cutoff_A: angstrom.
        radial_basis: "bessel" or "gaussian".
        envelope: "polynomial" or "cosine".
        filter_bias: whether the filter has a bias (before the envelope).
        activation: "silu", "softplus" or "gelu".
        head: widths of the hidden layers of the atomic energy.
        epsilon: added under the square root of the vectors' norm.
        repulsion: add Ziegler-Biersack-Littmark repulsion inside covalent contact.
        floor: let the radial basis see distances above a floor only (see ``DistanceFloor``).
    """

    architecture = "painn"
    reference_energy: Tensor
    energy_scale: Tensor

    def __init__(
        self,
        hidden: int,
        n_blocks: int,
        n_rbf: int,
        max_z: int = 36,
        cutoff_A: float = 5.0,
        radial_basis: str = "bessel",
        envelope: str = "polynomial",
        filter_bias: bool = True,
        activation: str = "silu",
        head: tuple[int, ...] = (32,),
        epsilon: float = 1e-8,
        repulsion: bool = False,
        floor: bool = False,
    ):
        super().__init__()
        self.hyperparameters = {
            "hidden": hidden, "n_blocks": n_blocks, "n_rbf": n_rbf, "max_z": max_z, "cutoff_A": float(cutoff_A),
            "radial_basis": radial_basis, "envelope": envelope, "filter_bias": filter_bias,
            "activation": activation, "head": list(head), "epsilon": epsilon, "repulsion": repulsion, "floor": floor,
        }  # fmt: skip
        self.cutoff, self.max_z = float(cutoff_A), max_z
        self.embedding = nn.Embedding(max_z + 1, hidden)
        self.radial = RadialBasis(radial_basis, n_rbf, self.cutoff)
        self.envelope = Envelope(envelope, self.cutoff)
        self.blocks = nn.ModuleList(Block(hidden, n_rbf, filter_bias, activation, epsilon) for _ in range(n_blocks))
        layers: list[nn.Module] = []
        for n_in, n_out in zip([hidden, *head], head, strict=False):
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
        self.head = nn.Sequential(*layers, nn.Linear([hidden, *head][-1], 1))
        self.repulsion = ZBLRepulsion(max_z, self.cutoff) if repulsion else None
        self.floor = DistanceFloor(max_z, self.cutoff) if floor else None
        self.register_buffer("reference_energy", torch.zeros(max_z + 1, dtype=torch.float64))
        self.register_buffer("energy_scale", torch.ones(()))

    def atomic_energies(self, atomic_numbers: Tensor, vectors: Tensor, graph: Graph) -> Tensor:
        """Energy of each atom, eV, float64 (N,); see ``Potential.atomic_energies``."""
        distance = torch.sqrt((vectors * vectors).sum(-1))  # (E,)
        direction = vectors / distance.unsqueeze(-1)
        seen = distance if self.floor is None else self.floor(atomic_numbers, distance, graph)
        basis, envelope = self.radial(seen), self.envelope(distance)
        s, v = self.embedding(atomic_numbers), None
        for block in self.blocks:
            s, v = block(s, v, basis, envelope, direction, graph)
        learned = self.head(s).squeeze(-1) * self.energy_scale
        energies = learned.double() + self.reference_energy[atomic_numbers]
        if self.repulsion is not None:
            energies = energies + self.repulsion(atomic_numbers, distance, graph).double()
        return energies
