"""Low-rank factors: each matrix inside a network is replaced by the nearest product of two thin ones.

The engine would multiply the factors when it loads them, so that only a file of factors could be smaller. Nothing
writes or reads one yet: checkpoints hold the products.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from assay.models import PaiNN


def truncated(matrix: Tensor, rank: int) -> Tensor:
    """The nearest matrix of at most this rank, by the singular value decomposition (Eckart and Young, 1936)."""
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    return ((left[:, :rank] * values[:rank]) @ right[:rank]).to(matrix.dtype)


@torch.no_grad()
def factored(model: PaiNN, share: float) -> tuple[PaiNN, int]:
    """The network with factors instead of its matrices wherever these have fewer numbers.

    Args:
        model: the network.
        share: the rank of the factors, over the rank that a matrix of its shape can have.

    Returns:
        The network with the products of the factors as its matrices, and the count of numbers with factors.
    """
    reduced, count = copy.deepcopy(model), 0
    for name, parameter in reduced.named_parameters():
        rank = max(1, round(share * min(parameter.shape))) if parameter.dim() == 2 else 0
        size = rank * sum(parameter.shape)
        if not name.startswith("blocks") or not 0 < size < parameter.numel():
            count += parameter.numel()
            continue
        parameter.copy_(truncated(parameter, rank))
        count += size
    return reduced, count
