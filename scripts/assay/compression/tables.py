"""Tabulated filters: read between the points of a table by cubic polynomials, and not computed from a radial basis.

Filters are linear in the radial basis. So a table of the filters, read by cubic Hermite interpolation, gives what the
filters of a tabulated basis give, and this module tabulates the basis. The error falls with the fourth power of the
distance between points.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from assay.models import PaiNN
from assay.models.painn import RadialBasis
from assay.runtime.network_constants import FLAT_BELOW, UNCHANGED_BEYOND

FIRST_A = 0.1  # the smallest distance of a table; nearer atoms have the filters of this distance
TERMS = 4  # products of a number and a table's entry in one cubic interpolation


class TabulatedBasis(RadialBasis):
    """A radial basis by cubic Hermite interpolation between evenly spaced distances.

    Args:
        basis: the basis that is tabulated.
        cutoff: the largest distance, angstrom.
        points: the number of distances.
        first: the smallest of them, angstrom.
    """

    values: Tensor
    slopes: Tensor

    def __init__(self, basis: RadialBasis, cutoff: float, points: int, first: float = FIRST_A):
        nn.Module.__init__(self)
        self.kind, self.first, self.spacing = "table", first, (cutoff - first) / (points - 1)
        at = torch.linspace(first, cutoff, points, dtype=torch.float64)
        exact = copy.deepcopy(basis).double()
        values, slopes = torch.func.jvp(exact, (at,), (torch.ones_like(at),))[:2]
        dtype = next(basis.buffers()).dtype
        self.register_buffer("values", values.to(dtype))
        self.register_buffer("slopes", (slopes * self.spacing).to(dtype))

    def forward(self, distance: Tensor) -> Tensor:
        """The radial functions (..., R) of distances (...,), angstrom."""
        place = ((distance - self.first) / self.spacing).clamp(0.0, len(self.values) - 1.0)
        index = place.detach().floor().long().clamp(max=len(self.values) - 2)
        x = (place - index).unsqueeze(-1)
        y = 1.0 - x
        return (
            (1.0 + 2.0 * x) * y * y * self.values[index]
            + x * y * y * self.slopes[index]
            + (1.0 + 2.0 * y) * x * x * self.values[index + 1]
            - y * x * x * self.slopes[index + 1]
        )


def tabulated(model: PaiNN, points: int) -> PaiNN:
    """The network with tables of this many points for its radial basis; PyTorch computes it, the engine does not."""
    changed = copy.deepcopy(model)
    changed.radial = TabulatedBasis(model.radial, model.cutoff, points, _least_seen(model))
    return changed


def _least_seen(model: PaiNN) -> float:
    """The smallest distance of a table: where they count from contact, that of the two largest atoms at one place."""
    if model.from_contact is None:
        return FIRST_A
    contact = 2.0 * float(model.from_contact.radius.max())
    return contact * (0.5 * (FLAT_BELOW + UNCHANGED_BEYOND) - 1.0 if model.floor is not None else -1.0)
