"""PaiNN as schnetpack 2 trains it, with its own basis, cutoff function, activations, sharing and energy offsets.

Its parts bear the names that they have in ``assay.models.painn``, whose blocks these are at rank 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from assay.models.activations import Activation
from assay.models.graph import Graph
from assay.models.painn import Block
from assay.models.schnetpack_parts import SchnetpackPotential, share_parts

SHARED_PARTS = ("context", "mix", "update")  # what blocks that share their interactions have in common


class SchnetpackPaiNN(SchnetpackPotential):
    """schnetpack's PaiNN; see ``SchnetpackPotential`` for what is around its blocks.

    Args:
        hidden: the number of channels, H.
        n_blocks: the number of blocks, L.
        n_rbf: the number of radial basis functions, R.
        max_z: see ``SchnetpackPotential``, as for all that are not named here.
        activation: the activation of messages and updates, see ``Activation``.
        activation_arguments: its numbers.
        epsilon: a small number that is added under the square root of each norm.
        shared_filters: whether all blocks have the same filters.
        shared_interactions: whether all blocks have the same other layers.

    Raises:
        ValueError: the radial basis, the cutoff function or an activation is unknown.
    """

    architecture = "schnetpack-painn"

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
        super().__init__(
            hidden, n_rbf, max_z, cutoff_A, radial_basis, cutoff_function, cutoff_arguments, head, head_activation,
            head_activation_arguments,
        )  # fmt: skip
        self.hyperparameters |= {
            "n_blocks": n_blocks, "activation": activation, "activation_arguments": list(activation_arguments),
            "epsilon": epsilon, "shared_filters": shared_filters, "shared_interactions": shared_interactions,
        }  # fmt: skip
        self.blocks = nn.ModuleList(
            Block(hidden, n_rbf, True, lambda: Activation(activation, activation_arguments), epsilon, rank=1)
            for _ in range(n_blocks)
        )
        share_parts(self.blocks, ("filter",) * shared_filters + SHARED_PARTS * shared_interactions)

    def features(self, s: Tensor, basis: Tensor, envelope: Tensor, direction: Tensor, graph: Graph) -> Tensor:
        """The features of each atom behind all blocks, (N, H); see ``SchnetpackPotential.features``."""
        equivariant = [None]
        for block in self.blocks:
            s, equivariant = block(s, equivariant, basis, envelope, [direction], graph)
        return s
