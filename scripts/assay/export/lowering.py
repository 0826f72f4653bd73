"""The network and its gradient as one flat graph of tensor operations, free of scatters.

A scatter that adds into duplicate rows runs in a different order each time, or in ONNX drops neighbors. Here every sum
is a gather by a padded table followed by a sum over its columns, in an order that the input alone decides:

    incoming (N, K)   for each atom, its edges; padding points at the last edge
    outgoing (N, K')  for each atom, the edges whose neighbor it is; likewise
    members  (S, M)   for each structure, its atoms; padding is N, where a zero is appended

The last edge is a dummy: atom 0 and its own image twice the cutoff away, where all kernels and their derivatives are
exactly zero. So there is always an edge, and a padded sum needs no mask.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn
from torch._decomp import get_decompositions
from torch._functorch.compile_utils import fx_graph_cse
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from assay.graph import Graph
from assay.models.potential import Potential

aten = torch.ops.aten
INPUTS = ("atomic_numbers", "positions", "neighbor", "atom", "shift", "incoming", "outgoing", "members")
OUTPUTS = ("energy", "forces", "virial")
DECOMPOSED = [
    aten.silu, aten.silu_backward, aten.gelu, aten.gelu_backward, aten.softplus, aten.softplus_backward,
    aten.rsub, aten.new_zeros, aten.zeros_like, aten.ones_like,
]  # fmt: skip
BROADCASTING = {aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor, aten.div.Tensor}


class TableInputs(NamedTuple):
    """What the lowered network reads, in the order of ``INPUTS``.

    atomic_numbers int64 (N,); positions (N, 3), angstrom; neighbor and atom int64 (E,) and shift (E, 3), angstrom,
    of each edge, the dummy last; incoming (N, K), outgoing (N, K') and members (S, M), int64.
    """

    atomic_numbers: Tensor
    positions: Tensor
    neighbor: Tensor
    atom: Tensor
    shift: Tensor
    incoming: Tensor
    outgoing: Tensor
    members: Tensor


class TableGraph(Graph):
    """A flat list of edges whose sums are gathers by a padded table.

    Args:
        neighbor, atom: int64 (E,), of each edge.
        table: int64 (N, K), the edges that are summed for each atom.
    """

    def __init__(self, neighbor: Tensor, atom: Tensor, table: Tensor):
        self.neighbor, self.atom, self.table = neighbor, atom, table
        self.edge_shape = (neighbor.shape[0],)

    def gather(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.neighbor)

    def spread(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.atom)

    def reduce(self, e: Tensor) -> Tensor:
        return table_sum(e, self.table)


def table_sum(x: Tensor, table: Tensor) -> Tensor:
    """Sum rows of ``x`` (E, ...) by ``table`` (N, K) to (N, ...)."""
    rows = x.reshape(x.shape[0], math.prod(x.shape[1:]))
    return nn.functional.embedding(table, rows).sum(1).view(-1, *x.shape[1:])


class LoweredPotential(nn.Module):
    """Energy float64 (S,), forces (N, 3) and virial (S, 3, 3) from ``TableInputs``, without a scatter."""

    def __init__(self, model: Potential):
        super().__init__()
        self.model = model

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
        """F_i = sum of dE/dr over the edges of i, less those where i is the neighbor; W = -sum of dE/dr times r."""
        graph = TableGraph(neighbor, atom, incoming)
        vectors = (graph.gather(positions) - graph.spread(positions) + shift).detach().requires_grad_()
        atomic = self.model.atomic_energies(atomic_numbers, vectors, graph)
        (slope,) = torch.autograd.grad(atomic.sum(), vectors)
        forces = table_sum(slope, incoming) - table_sum(slope, outgoing)
        energy = table_sum(torch.cat([atomic.detach(), atomic.new_zeros(1)]), members)
        outer = table_sum(slope.unsqueeze(-1) * vectors.detach().unsqueeze(-2), incoming)  # (N, 3, 3)
        total = -table_sum(torch.cat([outer, outer.new_zeros(1, 3, 3)]), members)
        return energy, forces, 0.5 * (total + total.mT)


def lower(model: Potential) -> fx.GraphModule:
    """Trace energy and gradient of ``model`` into a flat graph over ``INPUTS`` with every size symbolic.

    The graph's attributes carry the names of the model's parameters and buffers, with underscores for dots.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    table = get_decompositions(DECOMPOSED)
    table |= {aten.detach.default: lambda x: x, aten.index.Tensor: _gather_rows}
    trace = make_fx(LoweredPotential(model), tracing_mode="symbolic", decomposition_table=table)
    graph_module = trace(*_symbolic(example_inputs(next(model.parameters()).dtype)))
    _name_constants(graph_module, model)
    _simplify(graph_module.graph)
    graph_module.graph.eliminate_dead_code()
    graph_module.graph = fx_graph_cse(graph_module.graph)
    graph_module.recompile()
    return graph_module.eval()


def example_inputs(dtype: torch.dtype = torch.float32) -> TableInputs:
    """Valid shapes and indices, for tracing. No size is that of another or 3: equal ones would be taken for one."""
    n_atoms, n_edges, n_in, n_out, n_structures, n_members = 7, 23, 5, 6, 2, 4
    draw = torch.Generator().manual_seed(0)

    def integers(high: int, *shape: int) -> Tensor:
        return torch.randint(0, high, shape, generator=draw)

    return TableInputs(
        1 + integers(8, n_atoms), torch.randn(n_atoms, 3, generator=draw, dtype=dtype),
        integers(n_atoms, n_edges), integers(n_atoms, n_edges), torch.randn(n_edges, 3, generator=draw, dtype=dtype),
        integers(n_edges, n_atoms, n_in), integers(n_edges, n_atoms, n_out),
        integers(n_atoms + 1, n_structures, n_members),
    )  # fmt: skip


def _symbolic(inputs: TableInputs) -> list[Tensor]:
    """Stand-ins without data, whose sizes are symbols but for the three of space."""
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    dynamic = {"positions": 1, "shift": 1}
    return [
        mode.from_tensor(
            tensor,
            symbolic_context=StatelessSymbolicContext(
                [DimDynamic.DYNAMIC] * dynamic.get(name, tensor.dim())
                + [DimDynamic.STATIC] * (tensor.dim() - dynamic.get(name, tensor.dim()))
            ),
        )
        for name, tensor in zip(INPUTS, inputs, strict=True)
    ]


def _gather_rows(x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    """``x[index]`` with one flat index is a row gather, which every runtime has."""
    if len(indices) == 1 and indices[0] is not None and indices[0].dim() == 1:
        return x.index_select(0, indices[0])
    return NotImplemented


def _name_constants(graph_module: fx.GraphModule, model: nn.Module) -> None:
    names = {id(tensor): name for name, tensor in [*model.named_parameters(), *model.named_buffers()]}
    for node in graph_module.graph.find_nodes(op="get_attr"):
        tensor = getattr(graph_module, node.target)
        name = names.get(id(tensor), node.target).replace(".", "_")
        graph_module.register_buffer(name, tensor.detach().clone())
        node.target = name
    used = {node.target for node in graph_module.graph.find_nodes(op="get_attr")}
    for name in [name for name in [*graph_module._parameters, *graph_module._buffers] if name not in used]:
        delattr(graph_module, name)
    for name in [name for name in vars(graph_module) if name.startswith(("_tensor_constant", "_param_constant"))]:
        delattr(graph_module, name)


def _simplify(graph: fx.Graph) -> None:
    """Multiplication by 1 is nothing, by -1 a sign; a stretched operand of a product broadcasts by itself; and what is
    written in place is nowhere else read.
    """
    for node in graph.find_nodes(op="call_function", target=aten.mul.Tensor):
        if node.args[1] == 1:
            node.replace_all_uses_with(node.args[0])
        elif node.args[1] == -1:
            node.target, node.args = aten.neg.default, node.args[:1]
    for node in graph.find_nodes(op="call_function", target=aten.expand.default):
        if all(_broadcasts(user, node) for user in node.users):
            node.replace_all_uses_with(node.args[0])
    for node in graph.find_nodes(op="call_function", target=aten.masked_fill_.Scalar):
        node.target = aten.masked_fill.Scalar


def _broadcasts(user: fx.Node, operand: fx.Node) -> bool:
    """Whether the other operand of ``user`` alone has the shape of its result."""
    others = [argument for argument in user.args if isinstance(argument, fx.Node) and argument is not operand]
    return user.target in BROADCASTING and any(o.meta["val"].shape == user.meta["val"].shape for o in others)
