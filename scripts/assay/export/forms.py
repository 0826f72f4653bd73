"""Energy, forces and virial of a network in two forms that hold no scatter.

A scatter that adds into duplicate rows runs in a different order each time, or in ONNX drops neighbors. Here the input
alone decides the order of every sum. An edge that stands for no neighbor is a *dummy*: an atom's own image twice the
cutoff away, where all kernels and their derivatives are exactly zero, so that no sum needs a mask.

What cannot be computed becomes NaN and never a calm number. Comparisons drop pairs whose distance is not a number, so
to every atom a term is added that is exactly zero for finite positions of an element that the network was trained on,
and NaN else.

``TablePotential`` keeps a flat list of edges and sums rows that padded tables name: least memory, and best where each
operation is a loop of its own (ONNX, TorchScript). ``SlotPotential`` gives each atom a row of K slots for its neighbors
and sums along it: a compiler fuses such sums into the loops that make their terms.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from assay.models.graph import Graph
from assay.models.potential import Potential

OUTPUTS = ("energy", "forces", "virial")
SPATIAL = ("positions", "shift")  # inputs whose last axis is x, y, z


class TableInputs(NamedTuple):
    """Atoms, a flat list of edges with a dummy as the last, and where sums find their terms.

    atomic_numbers int64 (N,); positions (N, 3), angstrom; neighbor and atom int64 (E,) and shift (E, 3), angstrom, of
    each edge; incoming int64 (N, K), the edges of each atom, and outgoing (N, K'), those whose neighbor it is, padded
    with E - 1; members int64 (S, M), the atoms of each structure, padded with N.
    """

    atomic_numbers: Tensor
    positions: Tensor
    neighbor: Tensor
    atom: Tensor
    shift: Tensor
    incoming: Tensor
    outgoing: Tensor
    members: Tensor


class SlotInputs(NamedTuple):
    """Atoms and K slots for the neighbors of each, empty ones being dummies.

    atomic_numbers int64 (N,); positions (N, 3), angstrom; neighbor int64 (N, K) and shift (N, K, 3), angstrom, of each
    slot; outgoing int64 (N, K'), the flat places of the slots whose neighbor is the atom, padded with N * K; members
    int64 (S, M), the atoms of each structure, padded with N.
    """

    atomic_numbers: Tensor
    positions: Tensor
    neighbor: Tensor
    shift: Tensor
    outgoing: Tensor
    members: Tensor


class _Tables(Graph):
    def __init__(self, neighbor: Tensor, atom: Tensor, incoming: Tensor):
        self.neighbor, self.atom, self.incoming = neighbor, atom, incoming
        self.edge_shape = (neighbor.shape[0],)

    def at_neighbor(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.neighbor)

    def at_center(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.atom)

    def reduce(self, e: Tensor) -> Tensor:
        return table_sum(e, self.incoming)


class _Slots(Graph):
    def __init__(self, neighbor: Tensor):
        self.neighbor, self.edge_shape = neighbor, tuple(neighbor.shape)

    def at_neighbor(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.neighbor.reshape(-1)).view(*self.edge_shape, *x.shape[1:])

    def at_center(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1)

    def reduce(self, e: Tensor) -> Tensor:
        return e.sum(1)


def table_sum(x: Tensor, table: Tensor) -> Tensor:
    """Sum rows of ``x`` (E, ...) by ``table`` (N, K) to (N, ...)."""
    rows = x.reshape(x.shape[0], math.prod(x.shape[1:]))
    return nn.functional.embedding(table, rows).sum(1).view(-1, *x.shape[1:])


def _with_zero(x: Tensor) -> Tensor:
    """Append to ``x`` a row of zeros, which padding points at."""
    return torch.cat([x, x.new_zeros(1, *x.shape[1:])])


class LoweredPotential(nn.Module, ABC):
    """A network that takes inputs of one form and returns ``OUTPUTS``.

    These are the energy of each structure, float64 (S,) in eV, the forces (N, 3) in eV/angstrom, and the virial
    (S, 3, 3) in eV, which is -dE/d(strain). All of a structure that holds an unknown element or a number that is not
    finite is NaN, and so is the energy of a structure without atoms.

    Args:
        model: the network.
        elements: the atomic numbers that it was trained on; None takes all that it has an embedding for.

    Attributes:
        Inputs: the names and shapes of the inputs.
        taint: zero for each known atomic number and NaN for the others, (max_z + 2,). Its ends, which are NaN, answer
            for all numbers below and beyond, too.
    """

    Inputs: ClassVar[type[NamedTuple]]
    taint: Tensor

    def __init__(self, model: Potential, elements: Collection[int] | None = None):
        super().__init__()
        self.model = model
        taint = torch.full((model.max_z + 2,), torch.nan, dtype=next(model.parameters()).dtype)
        taint[list(range(1, model.max_z + 1) if elements is None else elements)] = 0.0
        self.register_buffer("taint", taint)

    @staticmethod
    @abstractmethod
    def example(dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Inputs with valid shapes and indices to trace with.

        All sizes differ and none is 3, because the tracer takes equal sizes for one and the same.
        """

    def _evaluate(
        self, atomic_numbers: Tensor, positions: Tensor, shift: Tensor, graph: Graph, outgoing: Tensor, members: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return energy, forces and virial.

        The force on atom i is the sum of dE/dr over the edges of i, less the sum over those whose neighbor is i. The
        virial is minus the sum of dE/dr times r, made symmetric.
        """
        row = atomic_numbers.clamp(0, self.model.max_z + 1)
        nothing = 0.0 * positions + self.taint[row].unsqueeze(-1)  # (N, 3), zeros or NaN
        tainted = positions + nothing
        vectors = graph.at_neighbor(tainted) - graph.at_center(tainted) + shift
        vectors = (vectors + 0.0 * vectors).detach().requires_grad_()  # NaN for a shift that is infinite
        atomic = self.model.atomic_energies(row.clamp(max=self.model.max_z), vectors, graph)
        (slope,) = torch.autograd.grad(atomic.sum(), vectors)
        forces = graph.reduce(slope) - table_sum(self._rows(slope), outgoing) + nothing
        known = atomic.detach() + nothing.sum(-1)
        is_empty = members.narrow(1, 0, 1).squeeze(1) == known.shape[0]
        unknown = self.taint.narrow(0, 0, 1).to(known.dtype)  # (1,), NaN
        energy = torch.where(is_empty, unknown, table_sum(_with_zero(known), members))
        outer = graph.reduce(slope.unsqueeze(-1) * vectors.detach().unsqueeze(-2))  # (N, 3, 3)
        total = -table_sum(_with_zero(outer), members)
        return energy, forces, 0.5 * (total + total.mT)

    @abstractmethod
    def _rows(self, slope: Tensor) -> Tensor:
        """Values of all edges, (edges, 3), as the rows that ``outgoing`` counts."""


class TablePotential(LoweredPotential):
    """The network over ``TableInputs``."""

    Inputs = TableInputs

    def forward(
        self,
        atomic_numbers: Tensor,
        positions: Tensor,
        neighbor: Tensor,
        atom: Tensor,
        shift: Tensor,
        incoming: Tensor,
        outgoing: Tensor,
        members: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return energy, forces and virial, see ``LoweredPotential``."""
        graph = _Tables(neighbor, atom, incoming)
        return self._evaluate(atomic_numbers, positions, shift, graph, outgoing, members)

    def _rows(self, slope: Tensor) -> Tensor:
        return slope

    @staticmethod
    def example(dtype: torch.dtype = torch.float32) -> TableInputs:
        """See ``LoweredPotential.example``."""
        n_atoms, n_edges, n_in, n_out, n_structures, n_members = 7, 23, 5, 6, 2, 4
        draw = torch.Generator().manual_seed(0)

        def integers(high: int, *shape: int) -> Tensor:
            return torch.randint(0, high, shape, generator=draw)

        return TableInputs(
            1 + integers(8, n_atoms), torch.randn(n_atoms, 3, generator=draw, dtype=dtype),
            integers(n_atoms, n_edges), integers(n_atoms, n_edges),
            torch.randn(n_edges, 3, generator=draw, dtype=dtype),
            integers(n_edges, n_atoms, n_in), integers(n_edges, n_atoms, n_out),
            integers(n_atoms + 1, n_structures, n_members),
        )  # fmt: skip


class SlotPotential(LoweredPotential):
    """The network over ``SlotInputs``."""

    Inputs = SlotInputs

    def forward(
        self,
        atomic_numbers: Tensor,
        positions: Tensor,
        neighbor: Tensor,
        shift: Tensor,
        outgoing: Tensor,
        members: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return energy, forces and virial, see ``LoweredPotential``."""
        return self._evaluate(atomic_numbers, positions, shift, _Slots(neighbor), outgoing, members)

    def _rows(self, slope: Tensor) -> Tensor:
        return _with_zero(slope.reshape(-1, 3))

    @staticmethod
    def example(dtype: torch.dtype = torch.float32) -> SlotInputs:
        """See ``LoweredPotential.example``."""
        table = TablePotential.example(dtype)
        n_atoms, n_slots = table.incoming.shape
        shift = table.shift[:1].expand(n_atoms * n_slots, 3).reshape(n_atoms, n_slots, 3).clone()
        neighbor = table.incoming % n_atoms
        return SlotInputs(table.atomic_numbers, table.positions, neighbor, shift, table.outgoing, table.members)
