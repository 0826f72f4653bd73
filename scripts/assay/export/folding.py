"""Algebra on a network before it is traced, which saves whole passes over the edges and changes rounding only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from assay.models import PaiNN, SchnetpackPaiNN


class SplitLinear(nn.Module):
    """A linear layer without bias whose result is cut into equal parts: one product for each part, then all joined.

    Args:
        weights: the rows of the layer's weight that make each part, (H, R).
    """

    def __init__(self, weights: Sequence[Tensor]):
        super().__init__()
        self.part = nn.ParameterList(nn.Parameter(weight.clone(), requires_grad=False) for weight in weights)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``x`` (..., R) to (..., n H), where n is the number of parts."""
        return torch.cat([nn.functional.linear(x, weight) for weight in self.part], -1)


def fold_filters(model: PaiNN | SchnetpackPaiNN) -> None:
    """Let the radial basis carry the envelope, (W b + c) e = [W c] [b e, e], and split the filter layers, in place.

    The filters are 3H or 5H numbers an edge. After this they are neither multiplied by the envelope nor cut and joined
    again, and the derivative of the envelope comes with that of the basis.
    """
    blocks: Any = model.blocks
    folded: dict[nn.Linear, SplitLinear] = {}  # blocks may share their filters
    for block in blocks:
        linear = block.filter
        if linear not in folded:
            weight = linear.weight if linear.bias is None else torch.cat([linear.weight, linear.bias.unsqueeze(1)], 1)
            folded[linear] = SplitLinear(weight.chunk(block.n_filters))
        block.filter = folded[linear]
        block.register_forward_pre_hook(_times_envelope if linear.bias is None else _with_envelope)


def _times_envelope(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A forward hook: multiply the basis by the envelope, and hand the block ones for an envelope."""
    s, equivariant, basis, envelope, *others = inputs
    return s, equivariant, basis * envelope.unsqueeze(-1), torch.ones_like(envelope), *others


def _with_envelope(block: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A forward hook like ``_times_envelope`` that also appends the envelope to the basis, to multiply the bias by."""
    s, equivariant, basis, ones, *others = _times_envelope(block, inputs)
    return s, equivariant, torch.cat([basis, inputs[3].unsqueeze(-1)], -1), ones, *others
