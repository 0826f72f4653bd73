"""The neighbor relation, and the sums over it that a student network is made of.

A network sees its neighbors only through ``vectors`` and ``aggregate``. The relation is symmetric (whenever
j is a neighbor of i, i is one of j, at the opposite vector), and every kernel is either even under that reversal
(a function of the distance) or odd (the same times the direction). The adjoint of an aggregation is therefore the
aggregation itself, up to that sign, and neither the energy nor its gradients of any order need a scatter:

    y_i = sum_j K_ij * x_j        =>        dL/dx_j = sum_i K_ij * dL/dy_i = parity * sum_i K_ji * dL/dy_i

``EdgeGraph`` keeps a flat list of directed edges. ``assay.export.forms`` holds the forms that exported files sum by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor


def _collapse(x: Tensor, shape: torch.Size) -> Tensor:
    """Sum ``x`` over the axes that broadcasting stretched from ``shape``."""
    axes = [k for k, (long, short) in enumerate(zip(x.shape, shape, strict=True)) if short == 1 and long != 1]
    return x.sum(axes, keepdim=True) if axes else x


class _Aggregate(torch.autograd.Function):
    """y_i = sum_j (K1_ij * x1_j + K2_ij * x2_j + ...), summed once, with a scatter-free adjoint, differentiable to any
    order. ``tensors`` are K1, x1, K2, x2, ...; an x that is None counts as 1.
    """

    @staticmethod
    def forward(ctx: Any, graph: Graph, parities: tuple[int, ...], *tensors: Tensor | None) -> Tensor:
        """Kernels edge_shape + (...) and x (N, ...), one parity for each pair of them, to y (N, ...)."""
        ctx.save_for_backward(*tensors)
        ctx.graph, ctx.parities = graph, parities
        kernels = cast(tuple[Tensor, ...], tensors[::2])
        pairs = zip(kernels, tensors[1::2], strict=True)
        terms = [kernel if x is None else kernel * graph.gather(x) for kernel, x in pairs]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return graph.reduce(total)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """From dL/dy (N, ...) the gradient in each kernel, g_i * x_j, and in each x, the aggregation of g."""
        graph: Graph = ctx.graph
        grads: list[Tensor | None] = []
        for k, parity in enumerate(ctx.parities):
            kernel, x = ctx.saved_tensors[2 * k : 2 * k + 2]
            grad_kernel = grad_x = None
            if ctx.needs_input_grad[2 + 2 * k]:
                grad_kernel = _collapse(_Pair.apply(grad, x, graph, parity), kernel.shape)
            if x is not None and ctx.needs_input_grad[3 + 2 * k]:
                grad_x = _collapse(parity * _Aggregate.apply(graph, (parity,), kernel, grad), x.shape)
            grads += [grad_kernel, grad_x]
        return None, None, *grads


class _Pair(torch.autograd.Function):
    """p_ij = g_i * x_j, the adjoint of an aggregation in its kernel. What flows back into it is a kernel again, of the
    same parity: a displacement of the atoms enters every edge as x_j - x_i, hence odd, just as the vector itself.
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor | None, graph: Graph, parity: int) -> Tensor:
        ctx.save_for_backward(g, x)
        ctx.graph, ctx.parity = graph, parity
        if x is None:
            return graph.spread(g).expand(graph.edge_shape + g.shape[1:]).clone()
        return graph.spread(g) * graph.gather(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """From dL/dp, a kernel of the forward's parity, the gradients in g and x, both (N, ...): two aggregations."""
        g, x = ctx.saved_tensors
        grad_g = grad_x = None
        if ctx.needs_input_grad[0]:
            grad_g = _collapse(_Aggregate.apply(ctx.graph, (ctx.parity,), grad, x), g.shape)
        if x is not None and ctx.needs_input_grad[1]:
            grad_x = _collapse(ctx.parity * _Aggregate.apply(ctx.graph, (ctx.parity,), grad, g), x.shape)
        return grad_g, grad_x, None, None


class _Vectors(torch.autograd.Function):
    """r_ij = x_j - x_i. Its adjoint needs the gradient at the reversed edge: one gather of three numbers an edge."""

    @staticmethod
    def forward(ctx: Any, positions: Tensor, graph: Graph) -> Tensor:
        ctx.graph = graph
        return graph.gather(positions) - graph.spread(positions)

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
    """What the lowerings share. Subclasses say how to gather, spread, reduce and reverse.

    Edge tensors have the shape ``edge_shape + (...)``. The edge from j to i carries r_ij = x_j - x_i + shift, angstrom.
    """

    shift: Tensor
    edge_shape: tuple[int, ...]

    def gather(self, x: Tensor) -> Tensor:
        """Value of the neighbor j on each edge: (N, ...) to edge_shape + (...)."""
        raise TypeError(f"{type(self).__name__} does not say how to gather")

    def spread(self, x: Tensor) -> Tensor:
        """Value of the atom i on each edge, at least in broadcast form."""
        raise TypeError(f"{type(self).__name__} does not say how to spread")

    def reduce(self, e: Tensor) -> Tensor:
        """Sum over the neighbors j of each atom i: edge_shape + (...) to (N, ...)."""
        raise TypeError(f"{type(self).__name__} does not say how to reduce")

    def reverse(self, e: Tensor) -> Tensor:
        """Value of the edge from i to j in the place of the edge from j to i."""
        raise TypeError(f"{type(self).__name__} does not say how to reverse")

    def vectors(self, positions: Tensor) -> Tensor:
        """r_ij = x_j - x_i + shift, edge_shape + (3,), in the dtype of ``positions``, in angstrom."""
        return _Vectors.apply(positions, self) + self.shift.to(positions.dtype)

    def aggregate(self, *terms: tuple[Tensor, Tensor | None, int]) -> Tensor:
        """y_i = sum_j (K1_ij * x1_j + K2_ij * x2_j + ...).

        Args:
            terms: (kernel, x, parity) each: a kernel of shape edge_shape + (...), even (parity 1) or odd (-1) under
                reversal of the edge; x (N, ...) of the same trailing axes, or of length 1 there, or None for 1.
        """
        tensors = [tensor for kernel, x, _ in terms for tensor in (kernel, x)]
        return _Aggregate.apply(self, tuple(parity for *_, parity in terms), *tensors)


@dataclass
class EdgeGraph(Graph):
    """A flat list of directed edges.

    Attributes:
        edge_index: int64 (2, E), rows (j, i): the neighbor, and the atom that it is a neighbor of.
        shift: (E, 3), periodic image of the neighbor, angstrom.
        n_atoms: N.
        reverse_index: int64 (E,), place of the reversed edge; found by sorting when it is needed and was not given.
    """

    edge_index: Tensor
    shift: Tensor
    n_atoms: int
    reverse_index: Tensor | None = None

    def __post_init__(self) -> None:
        self.neighbor, self.atom = self.edge_index[0], self.edge_index[1]
        self.edge_shape = (self.edge_index.shape[1],)

    def gather(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.neighbor)

    def spread(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.atom)

    def reduce(self, e: Tensor) -> Tensor:
        return e.new_zeros((self.n_atoms, *e.shape[1:])).index_add(0, self.atom, e)

    def reverse(self, e: Tensor) -> Tensor:
        if self.reverse_index is None:
            self.reverse_index = reverse_edges(self.edge_index, self.shift)
        return e.index_select(0, self.reverse_index)


def reverse_edges(edge_index: Tensor, shift: Tensor) -> Tensor:
    """Place of the reversed edge of each edge.

    Args:
        edge_index: int64 (2, E).
        shift: (E, 3), angstrom; the reversed edge has the opposite shift.

    Returns:
        int64 (E,), an involution.

    Raises:
        ValueError: if the relation is not symmetric.
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
