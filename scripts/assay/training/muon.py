"""Muon: momentum whose matrices are orthogonalized, so that all directions of a weight matrix learn at one rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalize(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Approximate the nearest semi-orthogonal matrix of each matrix (singular values to about 30 %).

    The quintic Newton-Schulz iteration runs in the dtype of the matrices. Each iteration multiplies by a polynomial of
    the Gram matrix, so that only Gram matrices are iterated: for a matrix three times as wide as high this takes two
    thirds of the arithmetic. Gram matrices of one size are iterated together. ``torch.optim.Muon`` iterates in
    bfloat16, which a CPU without bfloat16 units emulates: there it cost more than the rest of a training step.
    """
    wide = [matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT for matrix in matrices]
    norms = torch._foreach_norm(wide)
    torch._foreach_add_(norms, 1e-7)
    wide = list(torch._foreach_div(wide, norms))
    by_size: dict[int, list[int]] = defaultdict(list)
    for index, x in enumerate(wide):
        by_size[x.shape[0]].append(index)
    for indices in by_size.values():
        factors = _iterate(torch.stack([wide[index] @ wide[index].mT for index in indices]))
        for index, factor in zip(indices, factors, strict=True):
            wide[index] = factor @ wide[index]
    return [x if x.shape == matrix.shape else x.mT for x, matrix in zip(wide, matrices, strict=True)]


def _iterate(gram: Tensor) -> Tensor:
    """The product of the left factors of all iterations, for Gram matrices (n, m, m)."""
    product = factor = _polynomial(gram)
    for _ in range(ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = _polynomial(gram)
        product = factor @ product
    return product


def _polynomial(gram: Tensor) -> Tensor:
    a, b, c = NEWTON_SCHULZ
    polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
    return polynomial


class Muon(torch.optim.Optimizer):
    """Keller Jordan's Muon with Nesterov momentum and decoupled weight decay.

    Updates are multiplied by 0.2 sqrt(larger side), which gives them the size of AdamW's (arXiv 2502.16982).

    Args:
        params: matrices only, each with a gradient.
        lr: the learning rate, a tensor where steps are recorded into a CUDA graph.
        momentum: the decay of the running mean of gradients.
        weight_decay: the decoupled weight decay.
    """

    def __init__(self, params: ParamsT, lr: float | Tensor, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every matrix. The optimizer interface of torch has ``closure``; it is not called."""
        for group in self.param_groups:
            matrices, gradients = group["params"], [p.grad for p in group["params"]]
            means = [self.state[p].setdefault("mean", torch.zeros_like(p)) for p in matrices]
            torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
            updates = orthogonalize(torch._foreach_lerp(gradients, means, group["momentum"]))
            torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_mul_(updates, [-0.2 * max(p.shape) ** 0.5 for p in matrices])
            torch._foreach_mul_(updates, group["lr"])
            torch._foreach_add_(matrices, updates)
