"""PaiNN, the student that this project trains and ships.

K. T. Schuett, O. T. Unke, M. Gastegger, "Equivariant message passing for the prediction of tensorial properties and
molecular spectra", ICML 2021 (arXiv 2102.03150). Vectors mix channels and never cartesian axes, so that the energy is
exactly invariant; so do tensors of the second rank, which it may carry besides. Every message carries the cutoff
envelope as its last factor, so that energy and forces go smoothly to zero there. What depends on an edge is linear in
the radial basis; the depth sits in atom-wise layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from assay.models.contact import DistanceFloor, FromContact
from assay.models.graph import Graph, Term
from assay.models.pair_energies import PairEnergies
from assay.models.potential import Potential
from assay.models.repulsion import ZBLRepulsion
from assay.models.tensors import contraction, harmonics, traceless_product
from assay.runtime.network_constants import FIRST_CENTER_A, N_FILTERS, N_GATES

ACTIVATIONS = {"silu": nn.SiLU, "softplus": nn.Softplus, "gelu": nn.GELU}


class RadialBasis(nn.Module):
    """R functions of the distance, (...,) to (..., R).

    Args:
        kind: "gaussian" (centers evenly spaced on [first, first + cutoff], width = spacing) or "bessel"
            (sin(n pi d / cutoff) / d, arXiv 2003.03123).
        n_rbf: the number of functions, R.
        cutoff: the cutoff radius, angstrom.
        first: the first center, angstrom.
    """

    centers: Tensor
    widths: Tensor
    frequencies: Tensor

    def __init__(self, kind: str, n_rbf: int, cutoff: float, first: float = 0.0):
        super().__init__()
        self.kind = kind
        if kind == "gaussian":
            self.register_buffer("centers", torch.linspace(first, first + cutoff, n_rbf))
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
    """A smooth step from 1 at zero distance to 0 at the cutoff and beyond.

    Args:
        kind: "cosine" (one continuous derivative) or "polynomial" (two of them; arXiv 2003.03123 with p = 6).
        cutoff: the cutoff radius, angstrom.
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
    """One interaction block: messages from the neighbors, then an update of each atom on its own."""

    def __init__(
        self, hidden: int, n_rbf: int, filter_bias: bool, act: Callable[[], nn.Module], epsilon: float, rank: int
    ):
        super().__init__()
        self.epsilon = epsilon
        self.n_filters, self.n_gates = N_FILTERS[rank], N_GATES[rank]
        self.filter = nn.Linear(n_rbf, self.n_filters * hidden, bias=filter_bias)
        self.context = nn.Sequential(nn.Linear(hidden, hidden), act(), nn.Linear(hidden, self.n_filters * hidden))
        self.mix = nn.Linear(hidden, 2 * hidden, bias=False)
        self.mix_tensors = nn.Linear(hidden, 2 * hidden, bias=False) if rank == 2 else None
        self.update = nn.Sequential(
            nn.Linear((rank + 1) * hidden, hidden), act(), nn.Linear(hidden, self.n_gates * hidden)
        )

    def forward(
        self,
        s: Tensor,
        equivariant: Sequence[Tensor | None],
        basis: Tensor,
        envelope: Tensor,
        directions: Sequence[Tensor],
        graph: Graph,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the scalars (N, H) and the equivariant features after this block.

        Args:
            s: scalars (N, H).
            equivariant: vectors (N, 3, H) and, for rank 2, tensors (N, 5, H); None for those that are still zero.
            basis: radial basis of each edge (E, R).
            envelope: cutoff envelope of each edge (E,).
            directions: unit vector of each edge (E, 3) and, for rank 2, its tensor (E, 5).
            graph: the neighbor relation.
        """
        filters = self.filter(basis) * envelope.unsqueeze(-1)
        w, x = filters.chunk(self.n_filters, -1), self.context(s).chunk(self.n_filters, -1)  # (E, H) and (N, H) each
        s = s + graph.aggregate(Term(w[0], x[0]))
        summed = []
        for rank, (direction, carried) in enumerate(zip(directions, equivariant, strict=True), start=1):
            k = 2 * rank - 1  # message k is new along the direction, message k + 1 scales the neighbor's features
            terms = [Term(w[k], x[k], (-1) ** rank, direction)]
            if carried is not None:
                terms.append(Term(w[k + 1].unsqueeze(-2), x[k + 1].unsqueeze(-2) * carried))
            total = graph.aggregate(*terms)
            summed.append(total if carried is None else carried + total)
        return self._updated(s, *summed)

    def _updated(self, s: Tensor, v: Tensor, t: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """Update the features of each atom by products of its own features."""
        left, right = self.mix(v).chunk(2, -1)  # (N, 3, H)
        invariants = [s, self._norm(left)]
        if self.mix_tensors is not None:
            left_t, right_t = self.mix_tensors(t).chunk(2, -1)  # (N, 5, H)
            invariants.append(self._norm(left_t))
        ds, v_gate, vv_gate, *gates = self.update(torch.cat(invariants, -1)).chunk(self.n_gates, -1)
        s = s + ds + vv_gate * (left * right).sum(-2)
        v = v + v_gate.unsqueeze(-2) * right
        if t is None:
            return s, [v]
        tt_gate, tv_gate, t_gate, product_gate = gates
        s = s + tt_gate * (left_t * right_t).sum(-2)
        v = v + tv_gate.unsqueeze(-2) * contraction(right_t, right)
        return s, [v, t + t_gate.unsqueeze(-2) * right_t + product_gate.unsqueeze(-2) * traceless_product(left, right)]

    def _norm(self, features: Tensor) -> Tensor:
        return torch.sqrt((features * features).sum(-2) + self.epsilon)


class PaiNN(Potential):
    """PaiNN with linear filters, reference energies, and optionally a screened nuclear repulsion and tensors.

    Args:
        hidden: the number of channels, H.
        n_blocks: the number of blocks, L.
        n_rbf: the number of radial basis functions, R.
        max_z: the largest atomic number.
        cutoff_A: the cutoff radius, angstrom.
        radial_basis: "bessel" or "gaussian".
        envelope: "polynomial" or "cosine".
        filter_bias: whether filters have a bias, which the envelope multiplies too.
        activation: "silu", "softplus" or "gelu".
        head: widths of the hidden layers of the atomic energy.
        epsilon: a small number that is added under the square root of each norm.
        repulsion: whether nuclei repel each other inside covalent contact (see ``ZBLRepulsion``).
        floor: whether the radial basis sees floored distances (see ``DistanceFloor``).
        from_contact: whether it sees how far a pair is from contact (see ``FromContact``); for Gaussians alone.
        pair_elements: rising atomic numbers of the elements whose pairs have an energy by themselves, too (see
            ``PairEnergies``).
        rank: 1 for scalars and vectors, which is PaiNN; 2 adds tensors (see ``assay.models.tensors``), which are summed
            over neighbors as vectors are and multiply with these in the update.

    Raises:
        ValueError: the radial basis, the envelope or the rank is unknown, ``from_contact`` is not for Gaussians, or
            ``pair_elements`` do not rise or are beyond ``max_z``.
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
        from_contact: bool = False,
        pair_elements: Sequence[int] = (),
        rank: int = 1,
    ):
        super().__init__()
        if rank not in (1, 2):
            raise ValueError(f"features have rank 1 or 2, not {rank!r}")
        if from_contact and radial_basis != "gaussian":
            raise ValueError("distances from contact, which may be negative, need gaussian radial functions")
        self.hyperparameters = {
            "hidden": hidden, "n_blocks": n_blocks, "n_rbf": n_rbf, "max_z": max_z, "cutoff_A": float(cutoff_A),
            "radial_basis": radial_basis, "envelope": envelope, "filter_bias": filter_bias,
            "activation": activation, "head": list(head), "epsilon": epsilon, "repulsion": repulsion, "floor": floor,
            "from_contact": from_contact, "pair_elements": list(pair_elements), "rank": rank,
        }  # fmt: skip
        self.cutoff, self.max_z, self.rank = float(cutoff_A), max_z, rank
        self.embedding = nn.Embedding(max_z + 1, hidden)
        self.radial = RadialBasis(radial_basis, n_rbf, self.cutoff, FIRST_CENTER_A if from_contact else 0.0)
        self.envelope = Envelope(envelope, self.cutoff)
        self.blocks = nn.ModuleList(
            Block(hidden, n_rbf, filter_bias, ACTIVATIONS[activation], epsilon, rank) for _ in range(n_blocks)
        )
        layers: list[nn.Module] = []
        for n_in, n_out in zip([hidden, *head], head, strict=False):
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
        self.head = nn.Sequential(*layers, nn.Linear([hidden, *head][-1], 1))
        self.pair_energies = PairEnergies(pair_elements, max_z, n_rbf) if pair_elements else None
        self.repulsion = ZBLRepulsion(max_z, self.cutoff) if repulsion else None
        self.floor = DistanceFloor(max_z, self.cutoff) if floor else None
        self.from_contact = FromContact(max_z, self.cutoff) if from_contact else None
        self.register_buffer("reference_energy", torch.zeros(max_z + 1, dtype=torch.float64))
        self.register_buffer("energy_scale", torch.ones(()))

    def atomic_energies(self, atomic_numbers: Tensor, vectors: Tensor, graph: Graph) -> Tensor:
        """The energy of each atom, eV, float64 (N,); see ``Potential.atomic_energies``."""
        distance = torch.sqrt((vectors * vectors).sum(-1))  # (E,)
        direction = vectors / distance.unsqueeze(-1)
        seen = distance if self.floor is None else self.floor(atomic_numbers, distance, graph)
        if self.from_contact is not None:
            seen = self.from_contact(atomic_numbers, seen, graph)
        basis, envelope = self.radial(seen), self.envelope(distance)
        directions = [direction] if self.rank == 1 else [direction, harmonics(direction)]
        s, equivariant = self.embedding(atomic_numbers), [None] * self.rank
        for block in self.blocks:
            s, equivariant = block(s, equivariant, basis, envelope, directions, graph)
        learned = self.head(s).squeeze(-1) * self.energy_scale
        energies = learned.double() + self.reference_energy[atomic_numbers]
        if self.pair_energies is not None:
            energies = energies + self.pair_energies(atomic_numbers, basis, envelope, graph).double()
        if self.repulsion is not None:
            energies = energies + self.repulsion(atomic_numbers, distance, graph).double()
        return energies
