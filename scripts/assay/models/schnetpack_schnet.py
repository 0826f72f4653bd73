"""SchNet as schnetpack 2 trains it.

K. T. Schuett, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko, K.-R. Mueller, "SchNet: a deep learning architecture for
molecules and materials", J. Chem. Phys. 148, 241722 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from assay.models.activations import Activation
from assay.models.graph import Graph, Term
from assay.models.schnetpack_parts import SchnetpackPotential, share_parts


class _Block(nn.Module):
    """A continuous-filter convolution: y_i = f2out(sum_j filter(d_ij) * in2f(x_j)), added to x_i."""

    def __init__(self, hidden: int, n_filters: int, n_rbf: int, activation: str, arguments: Sequence[float]):
        super().__init__()
        self.in2f = nn.Linear(hidden, n_filters, bias=False)
        self.filter = nn.Sequential(
            nn.Linear(n_rbf, n_filters), Activation(activation, arguments), nn.Linear(n_filters, n_filters)
        )
        self.f2out = nn.Sequential(
            nn.Linear(n_filters, hidden), Activation(activation, arguments), nn.Linear(hidden, hidden)
        )

    def forward(self, x: Tensor, basis: Tensor, envelope: Tensor, graph: Graph) -> Tensor:
        filters = self.filter(basis) * envelope.unsqueeze(-1)  # (E, F)
        return x + self.f2out(graph.aggregate(Term(filters, self.in2f(x))))


class SchnetpackSchNet(SchnetpackPotential):
    """schnetpack's SchNet; see ``SchnetpackPotential`` for what is around its blocks.

    Args:
        hidden: the number of channels, H.
        n_blocks: the number of blocks, L.
        n_rbf: the number of radial basis functions, R.
        n_filters: the number of filters of an edge, F.
        max_z: see ``SchnetpackPotential``, as for all that are not named here.
        activation: the activation of all layers but those of the energy, see ``Activation``.
        activation_arguments: its numbers.
        shared_interactions: whether all blocks have the same layers.

    Raises:
        ValueError: the radial basis, the cutoff function or an activation is unknown.
    """

    architecture = "schnetpack-schnet"

    def __init__(
        self,
        hidden: int,
        n_blocks: int,
        n_rbf: int,
        n_filters: int,
        max_z: int = 99,
        cutoff_A: float = 5.0,
        radial_basis: str = "gaussian",
        cutoff_function: str = "cosine",
        cutoff_arguments: Sequence[float] = (),
        activation: str = "shifted_softplus",
        activation_arguments: Sequence[float] = (),
        head: Sequence[int] = (),
        head_activation: str = "silu",
        head_activation_arguments: Sequence[float] = (),
        shared_interactions: bool = False,
    ):
        super().__init__(
            hidden, n_rbf, max_z, cutoff_A, radial_basis, cutoff_function, cutoff_arguments, head, head_activation,
            head_activation_arguments,
        )  # fmt: skip
        self.hyperparameters |= {
            "n_blocks": n_blocks, "n_filters": n_filters, "activation": activation,
            "activation_arguments": list(activation_arguments), "shared_interactions": shared_interactions,
        }  # fmt: skip
        self.blocks = nn.ModuleList(
            _Block(hidden, n_filters, n_rbf, activation, activation_arguments) for _ in range(n_blocks)
        )
        share_parts(self.blocks, ("in2f", "filter", "f2out") * shared_interactions)

    def features(self, s: Tensor, basis: Tensor, envelope: Tensor, direction: Tensor, graph: Graph) -> Tensor:
        """The features of each atom behind all blocks, (N, H); see ``SchnetpackPotential.features``."""
        for block in self.blocks:
            s = block(s, basis, envelope, graph)
        return s
