"""What schnetpack's networks share: their cutoff functions, and the network that makes energies of features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from assay.models.activations import Activation

# The cutoff functions, and how many numbers each has beside the cutoff.
CUTOFF_FUNCTIONS = {"cosine": 0, "mollifier": 1, "switch": 2}


class CutoffFunction(nn.Module):
    """A factor of each message that is zero at the cutoff and beyond.

    Args:
        kind: "cosine" (0.5 + 0.5 cos(pi d / cutoff)), "mollifier" (exp(1 - 1 / (1 - (d / cutoff)^2))) or "switch" (1 up
            to a distance a, 0 from a distance b on, with t = (d - a) / (b - a) the quotient g(1 - t) / (g(t) +
            g(1 - t)) of g(t) = exp(-1 / t) between them).
        cutoff: the radius of the neighbor list, angstrom.
        arguments: for "mollifier" the distance before the cutoff from which on it is zero; for "switch" a and b. All
            in angstrom.

    Raises:
        ValueError: the kind is unknown, or has other numbers.
    """

    def __init__(self, kind: str, cutoff: float, arguments: Sequence[float] = ()):
        super().__init__()
        if kind not in CUTOFF_FUNCTIONS:
            raise ValueError(f"unknown cutoff function {kind!r}: choose one of {', '.join(CUTOFF_FUNCTIONS)}")
        if len(arguments) != CUTOFF_FUNCTIONS[kind]:
            raise ValueError(f"cutoff function {kind!r} has {CUTOFF_FUNCTIONS[kind]} numbers, not {len(arguments)}")
        if kind == "switch" and not 0.0 <= arguments[0] < arguments[1] <= cutoff:
            raise ValueError("a switch begins before it ends, at the cutoff at most")
        self.kind, self.cutoff, self.arguments = kind, cutoff, tuple(map(float, arguments))

    def forward(self, distance: Tensor) -> Tensor:
        """Return the factors of distances in angstrom, in their shape."""
        if self.kind == "cosine":
            return 0.5 * (torch.cos(math.pi / self.cutoff * distance.clamp(max=self.cutoff)) + 1.0)
        if self.kind == "mollifier":
            inside = (distance + self.arguments[0] < self.cutoff).to(distance.dtype)
            x = distance * inside / self.cutoff
            return torch.exp(1.0 - 1.0 / (1.0 - x * x)) * inside
        begin, end = self.arguments
        # At the ends exp(-1 / t) and its derivatives round to zero long before t does: 1e-3 divides by no zero.
        t = ((distance - begin) / (end - begin)).clamp(1e-3, 1.0 - 1e-3)
        rising, falling = torch.exp(-1.0 / t), torch.exp(-1.0 / (1.0 - t))
        return falling / (rising + falling)


def energy_head(hidden: int, widths: Sequence[int], activation: str, arguments: Sequence[float]) -> nn.Sequential:
    """Layers of these widths with an activation behind each, and one that gives the energy, (N, H) to (N, 1)."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip([hidden, *widths], widths, strict=False):
        layers += [nn.Linear(n_in, n_out), Activation(activation, arguments)]
    return nn.Sequential(*layers, nn.Linear([hidden, *widths][-1], 1))


def share_parts(blocks: nn.ModuleList, parts: Sequence[str]) -> None:
    """Let all blocks use these parts of the first one, which alone has them in its state dict."""
    first, *others = blocks
    for block in others:
        for part in parts:
            delattr(block, part)
            object.__setattr__(block, part, first.get_submodule(part))
