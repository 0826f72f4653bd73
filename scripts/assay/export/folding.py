"""Algebra on a network before it is traced: exact but for rounding, and whole passes over the edges fewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from assay.models.painn import PaiNN


class Parts(nn.Module):
    """A linear layer as one for each of the parts that its result is cut into, (..., R) to (..., H) each, joined.

    Args:
        weights: of the parts, (H, R).
    """

    def __init__(self, weights: Sequence[Tensor]):
        super().__init__()
        self.part = nn.ParameterList(nn.Parameter(weight.clone(), requires_grad=False) for weight in weights)

    def forward(self, x: Tensor) -> Tensor:
        """Of ``x`` (..., R)."""
        return torch.cat([nn.functional.linear(x, weight) for weight in self.part], -1)


def fold_filters(model: PaiNN) -> None:
    """Let the basis carry the envelope and part the filters of a block, in place: ``(W b + c) e = [W c] [b e, e]``.

    The filters, 3H or 5H numbers an edge, are then neither multiplied by the envelope nor cut and joined again; and the
    derivative of the envelope comes with that of the basis.
    """
    blocks: Any = model.blocks
    for block in blocks:
        weight, bias = block.filter.weight, block.filter.bias
        if bias is not None:
            weight = torch.cat([weight, bias.unsqueeze(1)], 1)
        block.add_module("filter", Parts(weight.chunk(block.n_filters)))
        block.register_forward_pre_hook(_with_envelope if bias is not None else _times_envelope)


def _times_envelope(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs of a block, the basis times the envelope, and ones for it."""
    s, equivariant, basis, envelope, *others = inputs
    return s, equivariant, basis * envelope.unsqueeze(-1), torch.ones_like(envelope), *others


def _with_envelope(block: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same, and the envelope behind the basis, which the bias of the filters is multiplied by."""
    s, equivariant, basis, ones, *others = _times_envelope(block, inputs)
    return s, equivariant, torch.cat([basis, inputs[3].unsqueeze(-1)], -1), ones, *others
