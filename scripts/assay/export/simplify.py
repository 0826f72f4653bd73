"""Rewrites of a traced graph that need fewer operations and leave every number as it is."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten
BROADCASTING = {aten.mul.Tensor, aten.add.Tensor, aten.sub.Tensor, aten.div.Tensor}
CUTS = (operator.getitem, aten.slice.Tensor)


def simplify(graph: fx.Graph) -> None:
    """Rewrite ``graph`` in place.

    A multiplication by 1 goes, and one by -1 becomes a sign. A matrix product with zeros is not added. An operand that
    is stretched to the shape of the other broadcasts by itself. A part that is cut out of joined tensors along a seam
    is the tensor that was joined. An operation in place becomes an ordinary one, since nothing else reads its input.
    """
    for node in graph.find_nodes(op="call_function", target=aten.mul.Tensor):
        if node.args[1] == 1 or (_is_one(node.args[1]) and _broadcasts(node, node.args[1])):
            node.replace_all_uses_with(node.args[0])
        elif node.args[1] == -1:
            node.target, node.args = aten.neg.default, node.args[:1]
    for node in graph.find_nodes(op="call_function", target=aten.expand.default):
        if all(_broadcasts(user, node) for user in node.users):
            node.replace_all_uses_with(node.args[0])
    for node in [node for target in CUTS for node in graph.find_nodes(op="call_function", target=target)]:
        part = _joined_part(node)
        if part is not None:
            node.replace_all_uses_with(part)
    for node in graph.find_nodes(op="call_function", target=aten.add.Tensor):
        terms = [term for term in node.args if not _is_zero_product(term)]
        if len(terms) == 1:
            node.replace_all_uses_with(terms[0])
    for node in graph.find_nodes(op="call_function", target=aten.masked_fill_.Scalar):
        node.target = aten.masked_fill.Scalar


def _is_one(argument: Any) -> bool:
    """Tell whether ``argument`` is a tensor of ones, of whatever shape."""
    while isinstance(argument, fx.Node) and argument.target is aten.unsqueeze.default:
        argument = argument.args[0]
    return isinstance(argument, fx.Node) and argument.target is aten.full_like.default and argument.args[1:] == (1,)


def _is_zero_product(argument: Any) -> bool:
    """Tell whether ``argument`` is a matrix product whose first factor is zero."""
    if not isinstance(argument, fx.Node) or argument.target is not aten.mm.default:
        return False
    factor: Any = argument.args[0]
    return factor.target is aten.zeros.default


def _broadcasts(user: fx.Node, operand: Any) -> bool:
    """Tell whether the other operand of ``user`` alone has the shape of its result."""
    others = [argument for argument in user.args if isinstance(argument, fx.Node) and argument is not operand]
    return user.target in BROADCASTING and any(o.meta["val"].shape == user.meta["val"].shape for o in others)


def _joined_part(node: fx.Node) -> fx.Node | None:
    """Return the tensor that was joined to others and that ``node`` cuts out again; None if it cuts elsewhere."""
    arguments: Any = node.args
    if node.target is operator.getitem:
        cut, index = arguments
        if cut.target is not aten.split.Tensor:
            return None
        joined, size, axis = (*cut.args, 0)[:3]
        wanted = index * size, (index + 1) * size
    else:
        joined, axis, *wanted = arguments
    if joined.target is not aten.cat.default:
        return None
    rank, start = joined.meta["val"].dim(), 0
    parts, seam = (*joined.args, 0)[:2]
    for part in parts if seam % rank == axis % rank else []:
        end = start + part.meta["val"].shape[axis]
        if (start, end) == tuple(wanted):
            return part
        start = end
    return None
