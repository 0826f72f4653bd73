"""PaiNN, the student that this project trains and ships.

K. T. Schuett, O. T. Unke, M. Gastegger, "Equivariant message passing for the prediction of tensorial properties and
molecular spectra", ICML 2021 (arXiv 2102.03150). Vectors mix channels and never cartesian axes, so that the energy is
exactly invariant; so do tensors of the second rank, which it may carry besides. Every message carries the cutoff
envelope as its last factor, so that energy and forces go smoothly to zero there. What depends on an edge is linear in
the radial basis; the depth sits in atom-wise layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from assay.models.floor import DistanceFloor
from assay.models.graph import Graph, Term
from assay.models.potential import Potential
from assay.models.repulsion import ZBLRepulsion
from assay.models.tensors import contraction, harmonics, product

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

    def __init__(self, hidden: int, n_rbf: int, filter_bias: bool, activation: str, epsilon: float, rank: int):
        super().__init__()
        act = ACTIVATIONS[activation]
        self.epsilon = epsilon
        self.n_messages, self.n_gates = {1: (3, 3), 2: (5, 7)}[rank]
        self.filter = nn.Linear(n_rbf, self.n_messages * hidden, bias=filter_bias)
        self.context = nn.Sequential(nn.Linear(hidden, hidden), act(), nn.Linear(hidden, self.n_messages * hidden))
        self.mix = nn.Linear(hidden, 2 * hidden, bias=False)
        self.mix_tensors = nn.Linear(hidden, 2 * hidden, bias=False) if rank == 2 else None
        self.update = nn.Sequential(
            nn.Linear((rank + 1) * hidden, hidden), act(), nn.Linear(hidden, self.n_gates * hidden)
        )

    def forward(
        self,
        s: Tensor,
        higher: Sequence[Tensor | None],
        basis: Tensor,
        envelope: Tensor,
        directions: Sequence[Tensor],
        graph: Graph,
    ) -> tuple[Tensor, list[Tensor]]:
        """Scalars (N, H), and vectors (N, 3, H) and tensors (N, 5, H), each None while they are zero.

        ``directions`` holds the unit vector of each edge (E, 3), and its tensor (E, 5) where there are tensors.
        """
        filters = self.filter(basis) * envelope.unsqueeze(-1)
        w, x = filters.chunk(self.n_messages, -1), self.context(s).chunk(self.n_messages, -1)  # (E, H) and (N, H) each
        s = s + graph.aggregate(Term(w[0], x[0]))
        summed = []
        for rank, (direction, carried) in enumerate(zip(directions, higher, strict=True), start=1):
            new, old = 2 * rank - 1, 2 * rank
            terms = [Term(w[new], x[new], (-1) ** rank, direction)]
            if carried is not None:
                terms.append(Term(w[old].unsqueeze(-2), x[old].unsqueeze(-2) * carried))
            total = graph.aggregate(*terms)
            summed.append(total if carried is None else carried + total)
        return self._updated(s, *summed)

    def _updated(self, s: Tensor, v: Tensor, t: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Each atom's features after it looked at them."""
        left, right = self.mix(v).chunk(2, -1)  # (N, 3, H)
        seen = [s, self._norm(left)]
        if self.mix_tensors is not None:
            left_t, right_t = self.mix_tensors(t).chunk(2, -1)  # (N, 5, H)
            seen.append(self._norm(left_t))
        ds, v_gate, dot_gate, *gates = self.update(torch.cat(seen, -1)).chunk(self.n_gates, -1)
        s = s + ds + dot_gate * (left * right).sum(-2)
        v = v + v_gate.unsqueeze(-2) * right
        if t is None:
            return s, [v]
        dot_gate, turn_gate, t_gate, pair_gate = gates
        s = s + dot_gate * (left_t * right_t).sum(-2)
        v = v + turn_gate.unsqueeze(-2) * contraction(right_t, right)
        return s, [v, t + t_gate.unsqueeze(-2) * right_t + pair_gate.unsqueeze(-2) * product(left, right)]

    def _norm(self, features: Tensor) -> Tensor:
        return torch.sqrt((features * features).sum(-2) + self.epsilon)


class PaiNN(Potential):
    """PaiNN with linear filters, reference energies, and optionally a screened nuclear repulsion and tensors.

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
        rank: 1 for scalars and vectors, which is PaiNN, or 2 for tensors besides (see ``assay.models.tensors``). They
            are summed over neighbors as vectors are, and multiply with these in the update.

    Raises:
        ValueError: an unknown radial basis, envelope or rank.
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
        rank: int = 1,
    ):
        super().__init__()
        if rank not in (1, 2):
            raise ValueError(f"features have rank 1 or 2, not {rank!r}")
        self.hyperparameters = {
            "hidden": hidden, "n_blocks": n_blocks, "n_rbf": n_rbf, "max_z": max_z, "cutoff_A": float(cutoff_A),
            "radial_basis": radial_basis, "envelope": envelope, "filter_bias": filter_bias,
            "activation": activation, "head": list(head), "epsilon": epsilon, "repulsion": repulsion, "floor": floor,
            "rank": rank,
        }  # fmt: skip
        self.cutoff, self.max_z, self.rank = float(cutoff_A), max_z, rank
        self.embedding = nn.Embedding(max_z + 1, hidden)
        self.radial = RadialBasis(radial_basis, n_rbf, self.cutoff)
        self.envelope = Envelope(envelope, self.cutoff)
        self.blocks = nn.ModuleList(
            Block(hidden, n_rbf, filter_bias, activation, epsilon, rank) for _ in range(n_blocks)
        )
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
        directions = [direction] if self.rank == 1 else [direction, harmonics(direction)]
        s, higher = self.embedding(atomic_numbers), [None] * self.rank
        for block in self.blocks:
            s, higher = block(s, higher, basis, envelope, directions, graph)
        learned = self.head(s).squeeze(-1) * self.energy_scale
        energies = learned.double() + self.reference_energy[atomic_numbers]
        if self.repulsion is not None:
            energies = energies + self.repulsion(atomic_numbers, distance, graph).double()
        return energies
