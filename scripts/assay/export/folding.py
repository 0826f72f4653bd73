"""Algebra on a network before it is traced: exact but for rounding, and whole passes over the edges fewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from assay.models.painn import PaiNN


class EnvelopedBasis(nn.Module):
    """The radial basis times the envelope, and behind it the envelope if there is a bias: (...,) to (..., R + 1).

    Args:
        radial: (...,) to (..., R).
        envelope: (...,) to (...,).
        bias: whether the filters have one.
    """

    def __init__(self, radial: nn.Module, envelope: nn.Module, bias: bool):
        super().__init__()
        self.radial, self.envelope, self.bias = radial, envelope, bias

    def forward(self, distance: Tensor) -> Tensor:
        """Of ``distance``, angstrom."""
        envelope: Tensor = self.envelope(distance).unsqueeze(-1)
        basis: Tensor = self.radial(distance) * envelope
        return torch.cat([basis, envelope], -1) if self.bias else basis


class One(nn.Module):
    """What is left of an envelope that the basis carries."""

    def forward(self, distance: Tensor) -> Tensor:
        """As many ones as there are distances."""
        return torch.ones_like(distance)


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
    """Let the basis carry the envelope, (W b + c) e = [W c] [b e, e], and make the three filters apart, in place.

    The filters, 3H numbers an edge, are then neither multiplied by the envelope nor cut and joined again; and the
    derivative of the envelope comes with that of the basis.
    """
    basis = EnvelopedBasis(model.radial, model.envelope, model.hyperparameters["filter_bias"])
    model.add_module("radial", basis)
    model.add_module("envelope", One())
    for block in model.blocks:
        linear: Any = block.filter
        weight = linear.weight
        if linear.bias is not None:
            weight = torch.cat([weight, linear.bias.unsqueeze(1)], 1)
        block.add_module("filter", Parts(weight.chunk(3)))
