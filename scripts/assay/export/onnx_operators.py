"""Tensor operations of PyTorch in ONNX, one to one.

The converter that PyTorch brings optimizes as it goes, and takes an added 1e-8 for zero: with it the gradient of a norm
became 0/0 for lone atoms. This one writes what the graph says, in a second, and knows only what the networks need.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, fx

from assay.workflow.errors import AssayError

aten = torch.ops.aten
ELEMENT = {
    torch.float16: onnx.TensorProto.FLOAT16,
    torch.float32: onnx.TensorProto.FLOAT,
    torch.float64: onnx.TensorProto.DOUBLE,
    torch.int64: onnx.TensorProto.INT64,
    torch.bool: onnx.TensorProto.BOOL,
}
UNARY = {
    aten.sigmoid.default: "Sigmoid", aten.sqrt.default: "Sqrt", aten.neg.default: "Neg", aten.sin.default: "Sin",
    aten.cos.default: "Cos", aten.exp.default: "Exp", aten.log.default: "Log", aten.erf.default: "Erf",
    aten.tanh.default: "Tanh", aten.abs.default: "Abs", aten.clone.default: "Identity",
    aten.reciprocal.default: "Reciprocal",
}  # fmt: skip
BINARY = {
    aten.mul.Tensor: "Mul", aten.mul.Scalar: "Mul", aten.add.Tensor: "Add", aten.add.Scalar: "Add",
    aten.sub.Tensor: "Sub", aten.sub.Scalar: "Sub", aten.div.Tensor: "Div", aten.div.Scalar: "Div",
    aten.pow.Tensor_Scalar: "Pow", aten.le.Scalar: "LessOrEqual", aten.lt.Scalar: "Less",
    aten.ge.Scalar: "GreaterOrEqual", aten.gt.Scalar: "Greater", aten.eq.Scalar: "Equal",
    aten.le.Tensor: "LessOrEqual", aten.lt.Tensor: "Less", aten.ge.Tensor: "GreaterOrEqual", aten.gt.Tensor: "Greater",
    aten.bmm.default: "MatMul", aten.logical_and.default: "And", aten.logical_and_.default: "And",
}  # fmt: skip

Value = str | int | float | bool
Rule = Callable[..., str]  # (writer, node, *arguments of the node) to the name of the result
RULES: dict[Any, Rule] = {}


def rule(*targets: Any) -> Callable[[Rule], Rule]:
    """Register how ``targets`` are written."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(targets, function))
        return function

    return register


class Writer:
    """Collects ONNX nodes and constants while it walks an FX graph.

    Attributes:
        nodes: the ONNX nodes written so far, in execution order.
        constants: the arrays that they read, by name.
        names: the ONNX name of each node of the FX graph.
    """

    def __init__(self, graph_module: fx.GraphModule):
        self.graph_module = graph_module
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.names: dict[fx.Node, str] = {}

    def write(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Convert the graph, calling its placeholders ``inputs`` and its results ``outputs``.

        Raises:
            AssayError: an operation that has no rule.
        """
        given = iter(inputs)
        for node in self.graph_module.graph.nodes:
            if node.op == "placeholder":
                self.names[node] = next(given)
            elif node.op == "get_attr":
                self.names[node] = self.constant(getattr(self.graph_module, node.target).numpy(), node.target)
            elif node.op == "call_function":
                self.names[node] = self._convert(node)
            elif node.op == "output":
                for value, name in zip(node.args[0], outputs, strict=True):
                    self.add("Identity", [self.names[value]], name)

    def _convert(self, node: fx.Node) -> str:
        arguments: tuple[Any, ...] = node.args
        if node.target in UNARY:
            return self.add(UNARY[node.target], [self.of(arguments[0])], node.name)
        if node.target in BINARY:
            left, right = (self.operand(argument, node) for argument in arguments[:2])
            return self.add(BINARY[node.target], [left, right], node.name)
        if node.target not in RULES:
            raise AssayError(
                f"the network uses {node.target}, which has no ONNX form: add it to export/onnx_operators.py"
            )
        return RULES[node.target](self, node, *arguments)

    def add(self, op_type: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Append a node with one output called ``name``."""
        self.nodes.append(onnx.helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, array: np.ndarray, name: str | None = None) -> str:
        """Store an array and return its name; equal arrays without a name are stored once."""
        if name is None:
            digits = "_".join(map(str, np.atleast_1d(array).ravel().tolist()))
            name = f"constant_{array.dtype}_{array.ndim}d_{digits}"
        self.constants[name] = np.ascontiguousarray(array).reshape(array.shape)
        return name

    def integers(self, *values: int) -> str:
        """Store an int64 vector and return its name."""
        return self.constant(np.array(values, dtype=np.int64))

    def of(self, node: fx.Node) -> str:
        """Return the ONNX name of a tensor."""
        return self.names[node]

    def operand(self, argument: fx.Node | float, node: fx.Node) -> str:
        """Return the name of an operand of an elementwise ``node``, cast to the dtype that the operation is done in.

        An operand may also be a size, with which only integers are compared.
        """
        values = [value.meta["val"] for value in node.args if isinstance(value, fx.Node)]
        tensors = [value for value in values if isinstance(value, Tensor)]
        dtype = tensors[0].dtype
        for tensor in tensors[1:]:
            dtype = torch.result_type(tensors[0], tensor)
        if not isinstance(argument, fx.Node):
            return self.constant(torch.tensor(argument, dtype=dtype).numpy())
        if isinstance(argument.meta["val"], torch.SymInt) or argument.meta["val"].dtype == dtype:
            return self.of(argument)
        return self.add("Cast", [self.of(argument)], f"{node.name}_cast_{argument.name}", to=ELEMENT[dtype])

    def shape(self, sizes: Sequence[fx.Node | int], name: str) -> str:
        """Return the name of a shape, any of whose sizes may be dynamic."""
        fixed = [size for size in sizes if isinstance(size, int)]
        if len(fixed) == len(sizes):
            return self.integers(*fixed)
        parts = [self.integers(size) if isinstance(size, int) else self.of(size) for size in sizes]
        return parts[0] if len(parts) == 1 else self.add("Concat", parts, f"{name}_shape", axis=0)

    def initializers(self) -> list[onnx.TensorProto]:
        """Return the constants as initializers of a graph."""
        return [numpy_helper.from_array(array, name) for name, array in self.constants.items()]


@rule(aten.sym_size.int)
def _size(writer: Writer, node: fx.Node, source: fx.Node, axis: int) -> str:
    return writer.add("Shape", [writer.of(source)], node.name, start=axis, end=axis + 1)


@rule(aten.sym_numel.default)
def _numel(writer: Writer, node: fx.Node, source: fx.Node) -> str:
    size = writer.add("Size", [writer.of(source)], f"{node.name}_scalar")
    return writer.add("Reshape", [size, writer.integers(1)], node.name)


@rule(operator.mul)
def _size_product(writer: Writer, node: fx.Node, *sizes: fx.Node | int) -> str:
    factors = [writer.integers(size) if isinstance(size, int) else writer.of(size) for size in sizes]
    return writer.add("Mul", factors, node.name)


@rule(aten.view.default, aten._unsafe_view.default, aten.reshape.default)
def _view(writer: Writer, node: fx.Node, source: fx.Node, sizes: Sequence[fx.Node | int]) -> str:
    sizes = list(sizes)
    dynamic = [axis for axis, size in enumerate(sizes) if not isinstance(size, int)]
    if len(dynamic) == 1 and -1 not in sizes:
        sizes[dynamic[0]] = -1
    return writer.add("Reshape", [writer.of(source), writer.shape(sizes, node.name)], node.name)


@rule(aten.unsqueeze.default, aten.squeeze.dim)
def _axis(writer: Writer, node: fx.Node, source: fx.Node, axis: int) -> str:
    kind = "Unsqueeze" if node.target is aten.unsqueeze.default else "Squeeze"
    return writer.add(kind, [writer.of(source), writer.integers(axis)], node.name)


@rule(aten.expand.default)
def _expand(writer: Writer, node: fx.Node, source: fx.Node, sizes: Sequence[fx.Node | int]) -> str:
    sizes = [1 if size == -1 else size for size in sizes]  # ONNX keeps an axis that is stretched to 1
    return writer.add("Expand", [writer.of(source), writer.shape(sizes, node.name)], node.name)


@rule(aten.permute.default)
def _permute(writer: Writer, node: fx.Node, source: fx.Node, axes: Sequence[int]) -> str:
    rank = source.meta["val"].dim()
    order = [axis % rank for axis in axes]
    if source.op == "get_attr":  # a weight: turned here rather than at each start
        return writer.constant(writer.constants[writer.of(source)].transpose(order), node.name)
    return writer.add("Transpose", [writer.of(source)], node.name, perm=order)


@rule(aten.t.default, aten.transpose.int)
def _transpose(writer: Writer, node: fx.Node, source: fx.Node, first: int = 0, second: int = -1) -> str:
    order = list(range(source.meta["val"].dim()))
    order[first], order[second] = order[second], order[first]
    return _permute(writer, node, source, order)


@rule(aten.mm.default, aten.addmm.default)
def _matrix_product(writer: Writer, node: fx.Node, *operands: fx.Node) -> str:
    *bias, left, right = operands
    right, transposed = _untransposed(right)
    if not bias and not transposed:
        return writer.add("MatMul", [writer.of(left), writer.of(right)], node.name)
    inputs = [writer.of(left), writer.of(right), *map(writer.of, bias)]
    return writer.add("Gemm", inputs, node.name, transB=int(transposed))


def _untransposed(node: fx.Node) -> tuple[fx.Node, bool]:
    """Return the matrix under any number of transpositions, and whether that number is odd."""
    odd = False
    while node.target is aten.t.default:
        [node], odd = node.all_input_nodes, not odd
    return node, odd


@rule(aten.index_select.default)
def _index_select(writer: Writer, node: fx.Node, source: fx.Node, axis: int, index: fx.Node) -> str:
    return writer.add("Gather", [writer.of(source), writer.of(index)], node.name, axis=axis)


@rule(aten.embedding.default)
def _embedding(writer: Writer, node: fx.Node, table: fx.Node, index: fx.Node, *_: Any) -> str:
    return writer.add("Gather", [writer.of(table), writer.of(index)], node.name, axis=0)


@rule(aten.sum.dim_IntList, aten.sum.default)
def _sum(writer: Writer, node: fx.Node, source: fx.Node, axes: Sequence[int] | None = None, keep: bool = False) -> str:
    over = [] if axes is None else [writer.integers(*axes)]
    return writer.add("ReduceSum", [writer.of(source), *over], node.name, keepdims=int(keep))


@rule(aten.linalg_vector_norm.default)
def _norm(writer: Writer, node: fx.Node, source: fx.Node, order: float, axes: Sequence[int], keep: bool = False) -> str:
    if order != 2:
        raise AssayError(f"the network uses a norm of order {order}, which has no ONNX form here: use the second")
    return writer.add("ReduceL2", [writer.of(source), writer.integers(*axes)], node.name, keepdims=int(keep))


@rule(aten.cat.default)
def _cat(writer: Writer, node: fx.Node, parts: Sequence[fx.Node], axis: int = 0) -> str:
    return writer.add("Concat", [writer.of(part) for part in parts], node.name, axis=axis)


@rule(aten.split.Tensor)
def _split(writer: Writer, node: fx.Node, source: fx.Node, _size: fx.Node | int, axis: int = 0) -> str:
    names = [f"{node.name}_{part}" for part in range(len(node.meta["val"]))]
    sizes = writer.integers(*[int(value.shape[axis]) for value in node.meta["val"]])
    inputs = [writer.of(source), sizes]
    writer.nodes.append(onnx.helper.make_node("Split", inputs, names, name=node.name, axis=axis))
    return node.name


@rule(operator.getitem)
def _part(writer: Writer, node: fx.Node, source: fx.Node, index: int) -> str:
    return f"{writer.of(source)}_{index}"


@rule(aten.slice.Tensor)
def _slice(writer: Writer, node: fx.Node, source: fx.Node, axis: int, start: int, end: int) -> str:
    bounds = [writer.integers(start), writer.integers(end), writer.integers(axis)]
    return writer.add("Slice", [writer.of(source), *bounds], node.name)


@rule(aten.clamp.default)
def _clamp(writer: Writer, node: fx.Node, source: fx.Node, low: float | None = None, high: float | None = None) -> str:
    bounds = ["" if bound is None else writer.operand(bound, node) for bound in (low, high)]
    return writer.add("Clip", [writer.of(source), *bounds], node.name)


@rule(aten.where.self)
def _where(writer: Writer, node: fx.Node, *operands: fx.Node) -> str:
    return writer.add("Where", [writer.of(operand) for operand in operands], node.name)


@rule(aten.masked_fill.Scalar)
def _masked_fill(writer: Writer, node: fx.Node, source: fx.Node, mask: fx.Node, value: float) -> str:
    filling = writer.constant(torch.tensor(value, dtype=node.meta["val"].dtype).numpy())
    return writer.add("Where", [writer.of(mask), filling, writer.of(source)], node.name)


@rule(aten.log1p.default)
def _log1p(writer: Writer, node: fx.Node, source: fx.Node) -> str:
    shifted = writer.add("Add", [writer.of(source), writer.operand(1.0, node)], f"{node.name}_plus_1")
    return writer.add("Log", [shifted], node.name)


@rule(aten._to_copy.default)
def _cast(writer: Writer, node: fx.Node, source: fx.Node) -> str:
    return writer.add("Cast", [writer.of(source)], node.name, to=ELEMENT[node.meta["val"].dtype])


@rule(aten.scalar_tensor.default)
def _scalar(writer: Writer, node: fx.Node, value: float) -> str:
    return writer.constant(torch.tensor(value, dtype=node.meta["val"].dtype).numpy())


@rule(aten.full.default, aten.full_like.default, aten.zeros.default)
def _filled(writer: Writer, node: fx.Node, like: Any, fill: float = 0.0) -> str:
    """Write a filled tensor; ``like`` is its shape or, in ``full_like``, a tensor of that shape."""
    result: Tensor = node.meta["val"]
    value = torch.tensor(fill, dtype=result.dtype).numpy()
    if all(isinstance(size, int) for size in result.shape):
        return writer.constant(np.full(tuple(result.shape), value))
    if node.target is aten.full_like.default:
        shape = writer.add("Shape", [writer.of(like)], f"{node.name}_shape")
    else:
        shape = writer.shape(like, node.name)
    return writer.add("Expand", [writer.constant(value), shape], node.name)
