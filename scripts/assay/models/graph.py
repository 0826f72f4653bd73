"""The neighbor relation, and the sums over it that a student network is made of.

A network sees its neighbors only through ``vectors`` and ``aggregate``. The relation is symmetric (whenever
j is a neighbor of i, i is one of j, at the opposite vector), and every kernel is either even under that reversal
(a function of the distance) or odd (the same times the direction). The adjoint of an aggregation is therefore the
aggregation itself, up to that sign, and neither the energy nor its gradients of any order need a scatter:

    y_i = sum_j K_ij * x_j        =>        dL/dx_j = sum_i K_ij * dL/dy_i = parity * sum_i K_ji * dL/dy_i

``EdgeGraph`` keeps a flat list of directed edges. ``assay.export.forms`` has the graphs that exported files sum over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

# The factors of the sum L that ``_Adjoint`` differentiates, by their places in (g, direction, kernel, x).
DIRECTION, KERNEL, X = 1, 2, 3


class Term(NamedTuple):
    """A product that an aggregation sums over the neighbors: kernel_ij * x_j, or direction_ij (outer product) that.

    Attributes:
        kernel: one factor for each edge, edge_shape + (...).
        x: the neighbor's features (N, ...), with as many trailing axes as the kernel, which broadcast; None stands
            for 1.
        parity: 1 if kernel and direction together are even under reversal of the edge, -1 if they are odd.
        direction: a vector or tensor for each edge, edge_shape + (A,), whose axis comes before the last one of the
            product; None for a product without direction.
    """

    kernel: Tensor
    x: Tensor | None = None
    parity: int = 1
    direction: Tensor | None = None


def _undo_broadcast(values: Tensor, trailing: tuple[int, ...]) -> Tensor:
    """Sum ``values`` over the trailing axes that broadcasting stretched from length 1."""
    lengths = values.shape[values.dim() - len(trailing) :]
    axes = [k - len(trailing) for k, (long, short) in enumerate(zip(lengths, trailing, strict=True)) if short < long]
    return values.sum(axes, keepdim=True) if axes else values


class _Aggregate(torch.autograd.Function):
    """y_i = sum_j (d1_ij * k1_ij * x1_j + d2_ij * k2_ij * x2_j + ...) in one sum over the neighbors.

    ``factors`` are d1, k1, x1, d2, ... The adjoint needs no scatter, and the function is differentiable to any order.
    """

    @staticmethod
    def forward(ctx: Any, graph: Graph, parities: tuple[int, ...], *factors: Tensor | None) -> Tensor:
        """Return y (N, ...), the sum of all terms; ``parities`` has one entry for each term."""
        ctx.save_for_backward(*factors)
        ctx.graph, ctx.parities = graph, parities
        kernels = cast(tuple[Tensor, ...], factors[1::3])
        messages = []
        for direction, kernel, x in zip(factors[::3], kernels, factors[2::3], strict=True):
            message = _message(graph, kernel, x)
            messages.append(message if direction is None else direction.unsqueeze(-1) * message.unsqueeze(-2))
        total, *rest = messages
        for message in rest:
            total = total + message
        return graph.reduce(total)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grads: list[Tensor | None] = []
        for k, parity in enumerate(ctx.parities):
            own = slice(3 * k, 3 * k + 3)
            needed = [False, *ctx.needs_input_grad[2:][own]]
            grads += _derivatives(needed, ctx.graph, parity, grad, *ctx.saved_tensors[own])[1:]
        return None, None, *grads


class _Adjoint(torch.autograd.Function):
    """The derivative of L = sum_ij g_i * d_ij * k_ij * x_j with respect to d, k or x.

    ``place`` says which one: it is the place of the factor in (g, d, k, x). L is linear in each factor, so the
    cotangent of a derivative takes the place of that factor in L, and it has the factor's parity under reversal of the
    edge: a displacement of the atoms enters every edge as x_j - x_i, which is odd, as the edge's vector is.
    """

    @staticmethod
    def forward(
        ctx: Any,
        place: int,
        graph: Graph,
        parity: int,
        g: Tensor,
        direction: Tensor | None,
        kernel: Tensor,
        x: Tensor | None,
    ) -> Tensor:
        """Return the derivative in the shape of its factor: d edge_shape + (A,), k edge_shape + (...), x (N, ...)."""
        ctx.save_for_backward(g, direction, kernel, x)
        ctx.place, ctx.graph, ctx.parity = place, graph, parity
        values = graph.at_neighbor(g) if place == X else graph.at_center(g)
        if place == DIRECTION:
            return (values * _message(graph, kernel, x).unsqueeze(-2)).sum(-1)
        if direction is not None:
            values = (values * direction.unsqueeze(-1)).sum(-2)
        if place == X:
            return parity * graph.reduce(_undo_broadcast(values * kernel, cast(Tensor, x).shape[1:]))
        if x is not None:
            values = values * graph.at_neighbor(x)
        elif direction is None:
            values = values.expand(graph.edge_shape + g.shape[1:]).clone()
        return _undo_broadcast(values, kernel.shape[len(graph.edge_shape) :])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        factors, needed = list(ctx.saved_tensors), list(ctx.needs_input_grad[3:])
        factors[ctx.place], needed[ctx.place] = grad, False
        return None, None, None, *_derivatives(needed, ctx.graph, ctx.parity, *factors)


def _message(graph: Graph, kernel: Tensor, x: Tensor | None) -> Tensor:
    return kernel if x is None else kernel * graph.at_neighbor(x)


def _derivatives(
    needed: list[bool], graph: Graph, parity: int, g: Tensor, *others: Tensor | None
) -> list[Tensor | None]:
    """Differentiate the sum L of ``_Adjoint`` by each factor that ``needed`` marks; None stands for the others."""
    in_g = _Aggregate.apply(graph, (parity,), *others).expand_as(g) if needed[0] else None
    places = (DIRECTION, KERNEL, X)
    return [in_g, *(_Adjoint.apply(place, graph, parity, g, *others) if needed[place] else None for place in places)]


class _Vectors(torch.autograd.Function):
    """r_ij = x_j - x_i. Its adjoint reads the gradient of the reversed edge: one gather of three numbers an edge."""

    @staticmethod
    def forward(ctx: Any, positions: Tensor, graph: Graph) -> Tensor:
        ctx.graph = graph
        return graph.at_neighbor(positions) - graph.at_center(positions)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Divergence.apply(grad, ctx.graph), None


class _Divergence(torch.autograd.Function):
    """y_i = sum_j (G_ji - G_ij), the adjoint of ``_Vectors`` for any G, symmetric or not."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, graph: Graph) -> Tensor:
        ctx.graph = graph
        return graph.reduce(graph.reverse(grad) - grad)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Vectors.apply(grad, ctx.graph), None


class Graph:
    """A symmetric neighbor relation. Subclasses define ``at_neighbor``, ``at_center``, ``reduce`` and ``reverse``.

    The edge ij leads from the center i to its neighbor j and carries r_ij = x_j - x_i + shift, in angstrom. A tensor
    with one entry for each edge has the shape ``edge_shape + (...)``.
    """

    shift: Tensor
    edge_shape: tuple[int, ...]

    def at_neighbor(self, x: Tensor) -> Tensor:
        """The value of the neighbor j for each edge ij: (N, ...) to edge_shape + (...)."""
        raise TypeError(f"{type(self).__name__} does not define at_neighbor")

    def at_center(self, x: Tensor) -> Tensor:
        """The value of the center i for each edge ij, in a shape that broadcasts to edge_shape + (...)."""
        raise TypeError(f"{type(self).__name__} does not define at_center")

    def reduce(self, e: Tensor) -> Tensor:
        """The sum over the neighbors j of each center i: edge_shape + (...) to (N, ...)."""
        raise TypeError(f"{type(self).__name__} does not define reduce")

    def reverse(self, e: Tensor) -> Tensor:
        """The value of the reversed edge ji for each edge ij."""
        raise TypeError(f"{type(self).__name__} does not define reverse")

    def vectors(self, positions: Tensor) -> Tensor:
        """The edge vectors r_ij = x_j - x_i + shift, edge_shape + (3,), angstrom, in the dtype of ``positions``."""
        return _Vectors.apply(positions, self) + self.shift.to(positions.dtype)

    def aggregate(self, *terms: Term) -> Tensor:
        """y_i = sum_j (direction1_ij * kernel1_ij * x1_j + direction2_ij * kernel2_ij * x2_j + ...), (N, ...)."""
        factors = [factor for term in terms for factor in (term.direction, term.kernel, term.x)]
        return _Aggregate.apply(self, tuple(term.parity for term in terms), *factors)


@dataclass
class EdgeGraph(Graph):
    """A flat list of directed edges.

    Attributes:
        edge_index: int64 (2, E), rows (neighbor j, center i).
        shift: (E, 3), displacement of the neighbor's periodic image, angstrom.
        n_atoms: number of atoms, N.
        reverse_index: int64 (E,), the index of each edge's reversed edge; found by sorting on first use where it is
            not given.
    """

    edge_index: Tensor
    shift: Tensor
    n_atoms: int
    reverse_index: Tensor | None = None

    def __post_init__(self) -> None:
        self.neighbor, self.center = self.edge_index[0], self.edge_index[1]
        self.edge_shape = (self.edge_index.shape[1],)

    def at_neighbor(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.neighbor)

    def at_center(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.center)

    def reduce(self, e: Tensor) -> Tensor:
        return e.new_zeros((self.n_atoms, *e.shape[1:])).index_add(0, self.center, e)

    def reverse(self, e: Tensor) -> Tensor:
        if self.reverse_index is None:
            self.reverse_index = reverse_edges(self.edge_index, self.shift)
        return e.index_select(0, self.reverse_index)


def reverse_edges(edge_index: Tensor, shift: Tensor) -> Tensor:
    """Find the reversed edge of each edge: the one with both atoms swapped and the opposite shift.

    Args:
        edge_index: int64 (2, E), rows (neighbor, center).
        shift: (E, 3), angstrom.

    Returns:
        int64 (E,), the index of the reversed edge; applied twice, it is the identity.

    Raises:
        ValueError: some edge has no reversed edge, so the relation is not symmetric.
    """
    images = torch.round(shift.double() * 1e4).to(torch.int64)
    key_there, key_back = edge_index.new_zeros(2, edge_index.shape[1])
    pairs = [(edge_index[0], edge_index[1]), (edge_index[1], edge_index[0]), *zip(images.T, -images.T, strict=True)]
    for there, back in pairs:
        _, label = torch.unique(torch.cat([there, back]), return_inverse=True)
        n_labels = int(label.max()) + 1 if len(label) else 1
        label_there, label_back = label.chunk(2)
        key_there, key_back = key_there * n_labels + label_there, key_back * n_labels + label_back
    order_there, order_back = key_there.argsort(), key_back.argsort()
    if not torch.equal(key_there[order_there], key_back[order_back]):
        raise ValueError("the neighbor list is not symmetric: some edge has no reverse")
    reverse = torch.empty_like(order_there)
    reverse[order_back] = order_there
    return reverse
