"""A network's energy and gradient, traced into one flat graph of tensor operations with every size a symbol."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import get_decompositions
from torch._functorch.compile_utils import fx_graph_cse
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from assay.export.folding import fold_filters
from assay.export.forms import SPATIAL, LoweredPotential, TablePotential
from assay.export.simplify import simplify
from assay.models import PaiNN, Potential, SchnetpackPaiNN

aten = torch.ops.aten
DECOMPOSED = [
    aten.silu, aten.silu_backward, aten.gelu, aten.gelu_backward, aten.softplus, aten.softplus_backward,
    aten.tanh_backward, aten.sigmoid_backward,
    aten.rsub, aten.new_zeros, aten.zeros_like, aten.ones_like,
]  # fmt: skip


def lower(
    model: Potential, form: type[LoweredPotential] = TablePotential, elements: Collection[int] | None = None
) -> fx.GraphModule:
    """Trace energy, forces and virial of ``model`` over the inputs of ``form``.

    The graph's attributes carry the names of the model's parameters and buffers, with underscores for dots.

    Args:
        model: the network; it is not changed.
        form: ``TablePotential`` or ``SlotPotential``.
        elements: the atomic numbers that it was trained on, as ``LoweredPotential`` takes them.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    if isinstance(model, PaiNN | SchnetpackPaiNN):
        fold_filters(model)
    table: dict[Any, Callable] = {**get_decompositions(DECOMPOSED)}
    table |= {aten.detach.default: lambda x: x, aten.index.Tensor: _gather_rows}
    table |= {aten.unbind.int: _rows, aten.select.int: _row, aten.stack.default: _stacked}
    lowered = form(model, elements)
    trace = make_fx(lowered, tracing_mode="symbolic", decomposition_table=table)
    graph_module = trace(*_symbolic(form, next(model.parameters()).dtype))
    _name_constants(graph_module, lowered)
    simplify(graph_module.graph)
    graph_module.graph.eliminate_dead_code()
    graph_module.graph = fx_graph_cse(graph_module.graph)
    graph_module.recompile()
    return graph_module.eval()


def dynamic_axes(name: str, tensor: Tensor) -> range:
    """Return the axes of the input called ``name`` that may have any size."""
    return range(tensor.dim() - (name in SPATIAL))


def _symbolic(form: type[LoweredPotential], dtype: torch.dtype) -> list[Tensor]:
    """Make stand-ins for the inputs of ``form`` that hold no data and whose sizes are symbols."""
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    inputs: list[Tensor] = []
    for name, tensor in zip(form.Inputs._fields, form.example(dtype), strict=True):
        sizes = [DimDynamic.STATIC] * tensor.dim()
        for axis in dynamic_axes(name, tensor):
            sizes[axis] = DimDynamic.DYNAMIC
        inputs.append(mode.from_tensor(tensor, symbolic_context=StatelessSymbolicContext(sizes)))
    return inputs


def _gather_rows(x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    """Write ``x[index]`` with one flat index as a row gather, which every runtime has."""
    if len(indices) == 1 and indices[0] is not None and indices[0].dim() == 1:
        return x.index_select(0, indices[0])
    return NotImplemented


def _rows(x: Tensor, axis: int = 0) -> Sequence[Tensor]:
    """Write ``x.unbind(axis)`` as one cut along the next axis, which every runtime has."""
    axis %= x.dim()
    if axis + 1 == x.dim():
        return NotImplemented
    return x.flatten(axis, axis + 1).split(x.shape[axis + 1], axis)


def _row(x: Tensor, axis: int, index: int) -> Tensor:
    """Write ``x.select(axis, index)`` as one row of the cut of ``_rows``, which all rows share."""
    rows = _rows(x, axis)
    return NotImplemented if rows is NotImplemented else rows[index]


def _stacked(rows: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Write ``torch.stack(rows, axis)`` as the inverse of ``_rows``."""
    axis %= rows[0].dim() + 1
    if axis == rows[0].dim():
        return NotImplemented
    return torch.cat(list(rows), axis).unflatten(axis, (len(rows), -1))


def _name_constants(graph_module: fx.GraphModule, lowered: LoweredPotential) -> None:
    tensors = [*lowered.named_parameters(), *lowered.named_buffers()]
    names = {id(tensor): name.removeprefix("model.") for name, tensor in tensors}
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
