"""PaiNN as schnetpack 2 trains it, with its own basis, cutoff function, activations, sharing and energy offsets.

K. T. Schuett, S. S. P. Hessmann, N. W. A. Gebauer, J. Lederer, M. Gastegger, "SchNetPack 2.0", J. Chem. Phys. 158,
144801 (2023). Its parts bear the names that they have in ``assay.models.painn``, whose blocks these are at rank 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from assay.models.activations import Activation
from assay.models.graph import Graph
from assay.models.painn import Block, RadialBasis
from assay.models.potential import Potential
from assay.models.schnetpack_parts import CutoffFunction, energy_head, share_parts

SHARED_PARTS = ("context", "mix", "update")  # what blocks that share their interactions have in common


class SchnetpackPaiNN(Potential):
    """schnetpack's PaiNN with an ``Atomwise`` energy that is summed over the atoms.

    Its energy is that of schnetpack's model behind all its postprocessors: these scale it by ``energy_scale`` and add
    the ``reference_energy`` of each atom. The buffers of the radial basis are those of the file, trained or not.

    Args:
        hidden: the number of channels, H.
        n_blocks: the number of blocks, L.
        n_rbf: the number of radial basis functions, R.
        max_z: the largest atomic number.
        cutoff_A: the cutoff radius, angstrom.
        radial_basis: "gaussian" (exp(-(d - center)^2 / (2 width^2))) or "bessel" (sin(frequency d) / d).
        cutoff_function: see ``CutoffFunction``.
        cutoff_arguments: its numbers.
        activation: the activation of messages and updates, see ``Activation``.
        activation_arguments: its numbers.
        head: the widths of the hidden layers of the atomic energy.
        head_activation: the activation behind each of them.
        head_activation_arguments: its numbers.
        epsilon: a small number that is added under the square root of each norm.
        shared_filters: whether all blocks have the same filters.
        shared_interactions: whether all blocks have the same other layers.

    Raises:
        ValueError: the radial basis, the cutoff function or an activation is unknown.
    """

    architecture = "schnetpack-painn"
    reference_energy: Tensor
    energy_scale: Tensor

    def __init__(
        self,
        hidden: int,
        n_blocks: int,
        n_rbf: int,
        max_z: int = 99,
        cutoff_A: float = 5.0,
        radial_basis: str = "gaussian",
        cutoff_function: str = "cosine",
        cutoff_arguments: Sequence[float] = (),
        activation: str = "silu",
        activation_arguments: Sequence[float] = (),
        head: Sequence[int] = (),
        head_activation: str = "silu",
        head_activation_arguments: Sequence[float] = (),
        epsilon: float = 1e-8,
        shared_filters: bool = False,
        shared_interactions: bool = False,
    ):
        super().__init__()
        self.hyperparameters = {
            "hidden": hidden, "n_blocks": n_blocks, "n_rbf": n_rbf, "max_z": max_z, "cutoff_A": float(cutoff_A),
            "radial_basis": radial_basis, "cutoff_function": cutoff_function,
            "cutoff_arguments": list(cutoff_arguments), "activation": activation,
            "activation_arguments": list(activation_arguments), "head": list(head),
            "head_activation": head_activation, "head_activation_arguments": list(head_activation_arguments),
            "epsilon": epsilon, "shared_filters": shared_filters, "shared_interactions": shared_interactions,
        }  # fmt: skip
        self.cutoff, self.max_z = float(cutoff_A), max_z
        self.embedding = nn.Embedding(max_z + 1, hidden)
        self.radial = RadialBasis(radial_basis, n_rbf, self.cutoff)
        self.envelope = CutoffFunction(cutoff_function, self.cutoff, cutoff_arguments)
        self.blocks = nn.ModuleList(
            Block(hidden, n_rbf, True, lambda: Activation(activation, activation_arguments), epsilon, rank=1)
            for _ in range(n_blocks)
        )
        share_parts(self.blocks, ("filter",) * shared_filters + SHARED_PARTS * shared_interactions)
        self.head = energy_head(hidden, head, head_activation, head_activation_arguments)
        self.register_buffer("reference_energy", torch.zeros(max_z + 1, dtype=torch.float64))
        self.register_buffer("energy_scale", torch.ones(()))

    def atomic_energies(self, atomic_numbers: Tensor, vectors: Tensor, graph: Graph) -> Tensor:
        """The energy of each atom, eV, float64 (N,); see ``Potential.atomic_energies``."""
        distance = torch.sqrt((vectors * vectors).sum(-1))  # (E,)
        directions = [vectors / distance.unsqueeze(-1)]
        basis, envelope = self.radial(distance), self.envelope(distance)
        s, equivariant = self.embedding(atomic_numbers), [None]
        for block in self.blocks:
            s, equivariant = block(s, equivariant, basis, envelope, directions, graph)
        learned = self.head(s).squeeze(-1) * self.energy_scale
        return learned.double() + self.reference_energy[atomic_numbers]
