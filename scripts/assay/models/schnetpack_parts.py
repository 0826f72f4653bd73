"""What schnetpack's networks share: what is around their blocks, from the distances to the energies of atoms.

K. T. Schuett, S. S. P. Hessmann, N. W. A. Gebauer, J. Lederer, M. Gastegger, "SchNetPack 2.0", J. Chem. Phys. 158,
144801 (2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from assay.models.activations import Activation
from assay.models.graph import Graph
from assay.models.painn import RadialBasis
from assay.models.potential import Potential

# The cutoff functions, and how many numbers each has beside the cutoff.
CUTOFF_FUNCTIONS = {"cosine": 0, "mollifier": 1, "switch": 2}


class CutoffFunction(nn.Module):
    """A factor of each message that is zero at the cutoff and beyond.

    Args:
        kind: "cosine" (0.5 + 0.5 cos(pi d / cutoff)), "mollifier" (exp(1 - 1 / (1 - (d / cutoff)^2))) or "switch" (1 up
            to a distance a, 0 from a distance b on, with t = (d - a) / (b - a) the quotient g(1 - t) / (g(t) +
            g(1 - t)) of g(t) = exp(-1 / t) between them).
        cutoff: the radius of the neighbor list, angstrom.
        arguments: for "mollifier" the distance before the cutoff from which on it is zero; for "switch" a and b. All
            in angstrom.

    Raises:
        ValueError: the kind is unknown, or has other numbers.
    """

    def __init__(self, kind: str, cutoff: float, arguments: Sequence[float] = ()):
        super().__init__()
        if kind not in CUTOFF_FUNCTIONS:
            raise ValueError(f"unknown cutoff function {kind!r}: choose one of {', '.join(CUTOFF_FUNCTIONS)}")
        if len(arguments) != CUTOFF_FUNCTIONS[kind]:
            raise ValueError(f"cutoff function {kind!r} has {CUTOFF_FUNCTIONS[kind]} numbers, not {len(arguments)}")
        if kind == "switch" and not 0.0 <= arguments[0] < arguments[1] <= cutoff:
            raise ValueError("a switch begins before it ends, at the cutoff at most")
        self.kind, self.cutoff, self.arguments = kind, cutoff, tuple(map(float, arguments))

    def forward(self, distance: Tensor) -> Tensor:
        """Return the factors of distances in angstrom, in their shape."""
        if self.kind == "cosine":
            return 0.5 * (torch.cos(math.pi / self.cutoff * distance.clamp(max=self.cutoff)) + 1.0)
        if self.kind == "mollifier":
            inside = (distance + self.arguments[0] < self.cutoff).to(distance.dtype)
            x = distance * inside / self.cutoff
            return torch.exp(1.0 - 1.0 / (1.0 - x * x)) * inside
        begin, end = self.arguments
        # At the ends exp(-1 / t) and its derivatives round to zero long before t does: 1e-3 divides by no zero.
        t = ((distance - begin) / (end - begin)).clamp(1e-3, 1.0 - 1e-3)
        rising, falling = torch.exp(-1.0 / t), torch.exp(-1.0 / (1.0 - t))
        return falling / (rising + falling)


class SchnetpackPotential(Potential):
    """A network of schnetpack with an ``Atomwise`` energy that is summed over the atoms.

    Its energy is that of schnetpack's model behind all its postprocessors: these scale it by ``energy_scale`` and add
    the ``reference_energy`` of each atom. The buffers of the radial basis are those of the file, trained or not.
    Subclasses set ``blocks`` and define ``features``.

    Args:
        hidden: the number of channels, H.
        n_rbf: the number of radial basis functions, R.
        max_z: the largest atomic number.
        cutoff_A: the cutoff radius, angstrom.
        radial_basis: "gaussian" (exp(-(d - center)^2 / (2 width^2))) or "bessel" (sin(frequency d) / d).
        cutoff_function: see ``CutoffFunction``.
        cutoff_arguments: its numbers.
        head: the widths of the hidden layers of the atomic energy.
        head_activation: the activation behind each of them, see ``Activation``.
        head_activation_arguments: its numbers.

    Raises:
        ValueError: the radial basis, the cutoff function or an activation is unknown.
    """

    reference_energy: Tensor
    energy_scale: Tensor

    def __init__(
        self,
        hidden: int,
        n_rbf: int,
        max_z: int,
        cutoff_A: float,
        radial_basis: str,
        cutoff_function: str,
        cutoff_arguments: Sequence[float],
        head: Sequence[int],
        head_activation: str,
        head_activation_arguments: Sequence[float],
    ):
        super().__init__()
        self.hyperparameters = {
            "hidden": hidden, "n_rbf": n_rbf, "max_z": max_z, "cutoff_A": float(cutoff_A),
            "radial_basis": radial_basis, "cutoff_function": cutoff_function,
            "cutoff_arguments": list(cutoff_arguments), "head": list(head), "head_activation": head_activation,
            "head_activation_arguments": list(head_activation_arguments),
        }  # fmt: skip
        self.cutoff, self.max_z = float(cutoff_A), max_z
        self.embedding = nn.Embedding(max_z + 1, hidden)
        self.radial = RadialBasis(radial_basis, n_rbf, self.cutoff)
        self.envelope = CutoffFunction(cutoff_function, self.cutoff, cutoff_arguments)
        layers: list[nn.Module] = []
        for n_in, n_out in zip([hidden, *head], head, strict=False):
            layers += [nn.Linear(n_in, n_out), Activation(head_activation, head_activation_arguments)]
        self.head = nn.Sequential(*layers, nn.Linear([hidden, *head][-1], 1))
        self.register_buffer("reference_energy", torch.zeros(max_z + 1, dtype=torch.float64))
        self.register_buffer("energy_scale", torch.ones(()))

    def features(self, s: Tensor, basis: Tensor, envelope: Tensor, direction: Tensor, graph: Graph) -> Tensor:
        """The features of each atom behind all blocks, (N, H).

        Args:
            s: the embedding of each atom (N, H).
            basis: the radial basis of each edge (E, R).
            envelope: the cutoff function of each edge (E,).
            direction: the unit vector of each edge (E, 3).
            graph: the neighbor relation.
        """
        raise TypeError(f"{type(self).__name__} does not define features")

    def atomic_energies(self, atomic_numbers: Tensor, vectors: Tensor, graph: Graph) -> Tensor:
        """The energy of each atom, eV, float64 (N,); see ``Potential.atomic_energies``."""
        distance = torch.sqrt((vectors * vectors).sum(-1))  # (E,)
        direction = vectors / distance.unsqueeze(-1)
        embedded = self.embedding(atomic_numbers)
        s = self.features(embedded, self.radial(distance), self.envelope(distance), direction, graph)
        learned = self.head(s).squeeze(-1) * self.energy_scale
        return learned.double() + self.reference_energy[atomic_numbers]


def share_parts(blocks: nn.ModuleList, parts: Sequence[str]) -> None:
    """Let all blocks use these parts of the first one, which alone has them in its state dict."""
    first, *others = blocks
    for block in others:
        for part in parts:
            delattr(block, part)
            object.__setattr__(block, part, first.get_submodule(part))
