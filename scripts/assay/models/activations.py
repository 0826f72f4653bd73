"""Activation functions by name, with the numbers that they take."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Function = Callable[..., Tensor]


def shifted_softplus(x: Tensor, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    """The softplus that is zero at zero: alpha (log(1 + exp(beta x)) - log 2) / beta, and alpha x / 2 for beta = 0."""
    if beta == 0.0:
        return 0.5 * alpha * x
    return alpha / beta * (nn.functional.softplus(beta * x) - math.log(2.0))


def _relu(x: Tensor) -> Tensor:
    return torch.where(x > 0.0, x, torch.zeros_like(x))


def _leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
    return torch.where(x > 0.0, x, slope * x)


def _elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return torch.where(x > 0.0, x, alpha * (torch.exp(x.clamp(max=0.0)) - 1.0))


def _celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return torch.where(x > 0.0, x, alpha * (torch.exp(x.clamp(max=0.0) / alpha) - 1.0))


def _selu(x: Tensor) -> Tensor:
    return 1.0507009873554804934193349852946 * _elu(x, 1.6732632423543772848170429916717)


def _gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def _mish(x: Tensor) -> Tensor:
    return x * torch.tanh(nn.functional.softplus(x))


def _softsign(x: Tensor) -> Tensor:
    return x / (1.0 + torch.where(x > 0.0, x, -x))


def _logsigmoid(x: Tensor) -> Tensor:
    return -nn.functional.softplus(-x)


# Each function with the most numbers that it takes.
ACTIVATIONS: dict[str, tuple[Function, int]] = {
    "silu": (nn.functional.silu, 0),
    "shifted_softplus": (shifted_softplus, 2),
    "softplus": (nn.functional.softplus, 2),
    "relu": (_relu, 0),
    "leaky_relu": (_leaky_relu, 1),
    "elu": (_elu, 1),
    "celu": (_celu, 1),
    "selu": (_selu, 0),
    "gelu": (nn.functional.gelu, 0),
    "gelu_tanh": (_gelu_tanh, 0),
    "mish": (_mish, 0),
    "tanh": (torch.tanh, 0),
    "sigmoid": (torch.sigmoid, 0),
    "softsign": (_softsign, 0),
    "logsigmoid": (_logsigmoid, 0),
    "identity": (lambda x: x, 0),
}


class Activation(nn.Module):
    """An activation function of ``ACTIVATIONS``.

    Args:
        name: its name.
        arguments: its numbers, in the order of the function: alpha and beta of ``shifted_softplus``, beta and
            threshold of ``softplus``, the slope of ``leaky_relu``, alpha of ``elu`` and ``celu``. Those that are not
            given have their usual values.

    Raises:
        ValueError: the name is unknown, or there are more numbers than the function takes.
    """

    def __init__(self, name: str, arguments: Sequence[float] = ()):
        super().__init__()
        if name not in ACTIVATIONS:
            raise ValueError(f"unknown activation {name!r}: choose one of {', '.join(ACTIVATIONS)}")
        self.function, most = ACTIVATIONS[name]
        if len(arguments) > most:
            raise ValueError(f"activation {name!r} takes at most {most} numbers, not {len(arguments)}")
        self.name, self.arguments = name, tuple(map(float, arguments))

    def forward(self, x: Tensor) -> Tensor:
        """Return the function of each element of ``x``."""
        return self.function(x, *self.arguments)
