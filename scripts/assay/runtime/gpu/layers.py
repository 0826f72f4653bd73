"""Linear layers on the device: by one kernel where there are few atoms, otherwise by the products of a library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import triton
from torch import Tensor

from ..network_constants import ACTIVATIONS, SOFTPLUS_IS_LINEAR_FROM
from . import launch, layer_kernels
from .model_file import Layer

PRECISION = "ieee"
ROWS, DEPTH, COLUMNS, WARPS = 16, 32, 16, 4  # the tile of one of its programs


@contextmanager
def full_precision() -> Iterator[None]:
    """Let torch multiply matrices in full single precision, without TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class DeviceLayer:
    """A linear layer on the device.

    Attributes:
        weight: float32 (outputs, inputs), by which derivatives are multiplied.
        transposed: float32 (inputs, outputs), by which values are.
        bias: float32 (outputs,), or None.
    """

    def __init__(self, layer: Layer, device: torch.device):
        self.weight = torch.tensor(layer.weight, dtype=torch.float32, device=device)
        self.transposed = self.weight.T.contiguous()
        self.bias = None if layer.bias is None else torch.tensor(layer.bias, dtype=torch.float32, device=device)


def multiply(
    n_atoms: int, rows: Tensor, weight: Tensor, *, bias: Tensor | None = None, added: Tensor | None = None,
    activation: int | None = None, before: Tensor | None = None, slope_of: int = 0,
) -> Tensor:  # fmt: skip
    """Multiply rows with a weight, in single precision.

    Args:
        n_atoms: the number of atoms, by which the kernel or the library is chosen.
        rows: float32 (rows, inputs); where ``activation`` names a kind, its activation is multiplied.
        weight: float32 (inputs, outputs).
        bias: float32 (outputs,), added if given.
        added: float32 (rows, outputs), added if given.
        activation: a place in ``ACTIVATIONS``.
        before: float32 (rows, outputs), by the derivative of whose activation the product is multiplied if given.
        slope_of: the kind of that activation.

    Returns:
        float32 (rows, outputs).
    """
    if n_atoms > launch.FEW_ATOMS:
        constant = added if bias is None else bias
        rows = rows if activation is None else _activate(ACTIVATIONS[activation], rows)
        out = rows @ weight if constant is None else torch.addmm(constant, rows, weight)
        return out if before is None else _activate_adjoint(ACTIVATIONS[slope_of], out, before)
    out = rows.new_empty(len(rows), weight.shape[1])
    grid = triton.cdiv(weight.shape[1], COLUMNS), triton.cdiv(len(rows), ROWS)
    layer_kernels.linear[grid](
        rows, weight, _or(bias, out), _or(added, out), _or(before, out), out, len(rows), *weight.shape,
        ACTIVATED=-1 if activation is None else activation, BIAS=bias is not None, ADDED=added is not None,
        ADJOINT=-1 if before is None else slope_of,
        ROWS=ROWS, DEPTH=DEPTH, COLUMNS=COLUMNS, PRECISION=PRECISION, num_warps=WARPS,
        **launch.options(n_atoms, rows.device),
    )  # fmt: skip
    return out


def multiply_components(
    vectors: Tensor, tensors: Tensor, weights: tuple[Tensor, Tensor | None], added: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Multiply all components of vectors and of tensors with a weight of each.

    Args:
        vectors, tensors: float32 (N, 3, inputs) and (N, 5, inputs).
        weights: float32 (inputs, outputs) each; the second is None where there are no tensors, which are then returned.
        added: float32 (N, 3, outputs) and (N, 5, outputs), added if given.
    """
    n, (weight, weight2) = len(vectors), weights
    given = (None, None) if added is None else tuple(part.reshape(-1, weight.shape[1]) for part in added)
    rows, rows2 = vectors.reshape(-1, weight.shape[0]), tensors.reshape(-1, weight.shape[0])
    if weight2 is None:
        return multiply(n, rows, weight, added=given[0]).reshape(n, 3, -1), tensors
    if n > launch.FEW_ATOMS:
        found = (multiply(n, a, w, added=b) for a, w, b in ((rows, weight, given[0]), (rows2, weight2, given[1])))
        return tuple(part.reshape(n, -1, weight.shape[1]) for part in found)  # type: ignore[return-value]
    out, out2 = rows.new_empty(len(rows), weight.shape[1]), rows.new_empty(len(rows2), weight.shape[1])
    tiles = triton.cdiv(len(rows), ROWS) + triton.cdiv(len(rows2), ROWS)
    layer_kernels.two_products[(triton.cdiv(weight.shape[1], COLUMNS), tiles)](
        rows, weight, _or(given[0], out), out, len(rows), rows2, weight2, _or(given[1], out2), out2, len(rows2),
        *weight.shape, ADDED=added is not None,
        ROWS=ROWS, DEPTH=DEPTH, COLUMNS=COLUMNS, PRECISION=PRECISION, num_warps=WARPS,
        **launch.options(n, rows.device),
    )  # fmt: skip
    return out.reshape(n, 3, -1), out2.reshape(n, 5, -1)


def _or(value: Tensor | None, other: Tensor) -> Tensor:
    return other if value is None else value


def _activate(name: str, x: Tensor) -> Tensor:
    if name == "silu":
        return torch.nn.functional.silu(x)
    soft = torch.nn.functional.softplus(x, 1.0, SOFTPLUS_IS_LINEAR_FROM)
    return soft if name == "softplus" else soft - float(np.log(2.0))


def _activate_adjoint(name: str, y_bar: Tensor, x: Tensor) -> Tensor:
    """The derivative by the argument of an activation, from that by its value."""
    if name == "silu":
        return torch.ops.aten.silu_backward(y_bar, x)
    return torch.ops.aten.softplus_backward(y_bar, x, 1.0, SOFTPLUS_IS_LINEAR_FROM)
