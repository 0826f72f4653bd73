"""Reference energies of the elements, so that a network only learns what bonding adds to them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from assay.data.dataset import Dataset


def reference_energies(dataset: Dataset, max_z: int, energy: np.ndarray | None = None) -> Tensor:
    """Fit one energy to each element by least squares, eV, float64 (max_z + 1,); zero for elements that are absent.

    Args:
        dataset: the structures.
        max_z: the largest atomic number.
        energy: float64 (S,), eV, what is fitted; None for the labels.
    """
    counts = np.zeros((len(dataset), max_z + 1))
    np.add.at(counts, (dataset.owner, dataset.atomic_numbers), 1.0)
    present = counts.any(axis=0)
    solution, *_ = np.linalg.lstsq(counts[:, present], dataset.energy if energy is None else energy, rcond=None)
    references = np.zeros(max_z + 1)
    references[present] = solution
    return torch.from_numpy(references)
