"""A smaller student that learns from a larger one: its energies and forces, and its Hessian-vector products.

I. Amin et al., "Towards fast, specialized machine learning force fields: distilling foundation models via energy
Hessians" (arXiv 2501.09009) let the student match rows of the teacher's Hessian. Here a random direction u takes their
place: H u is a difference of forces, -(F(x + h u) - F(x)) / h, of both networks. So structures come in pairs, x and
x + h u, and the compiled engine computes all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from assay.data.dataset import Dataset
from assay.predictors.interface import Predictor
from assay.training.loop import Trainer
from assay.training.loss import Loss
from assay.training.packs import Pack, PackedDataset


def relabelled(dataset: Dataset, predictor: Predictor) -> Dataset:
    """The same structures with energies, forces and, where they have some, stresses as a larger student gives them."""
    predictions = predictor.predict(list(dataset))
    energy = np.array([p.energy_eV for p in predictions], dtype=np.float64)
    forces = np.concatenate([p.forces_eV_per_A for p in predictions])
    stress = None if dataset.stress is None else dataset.stress.copy()
    for k, prediction in enumerate(predictions):
        if stress is not None and np.isfinite(stress[k]).all():
            stress[k] = prediction.stress_eV_per_A3
    return replace(dataset, energy=energy, forces=forces, stress=stress)


def in_pairs(dataset: Dataset, step_A: float, seed: int) -> Dataset:
    """Each structure x followed by x + step_A * u, where u is random with the root mean square 1 over atoms.

    The labels of the second are those of the first: ``relabelled`` gives both their own.
    """
    draw, twice = np.random.default_rng(seed), dataset.subset(np.repeat(np.arange(len(dataset)), 2))
    positions = twice.positions.copy()
    for k in range(1, len(twice), 2):
        atoms = slice(twice.offsets[k], twice.offsets[k + 1])
        u = draw.standard_normal(positions[atoms].shape)
        positions[atoms] += (step_A * u / np.sqrt((u**2).sum(-1).mean())).astype(positions.dtype)
    return replace(twice, positions=positions)


@dataclass(frozen=True, kw_only=True)
class HessianLoss(Loss):
    """The loss of energies and forces, and of Hessian-vector products, for packs of pairs (see ``in_pairs``).

    Attributes:
        hessian_weight: the weight of the products' term, angstrom.
        hessian_delta_eV_per_A2: errors of products count quadratically below it and linearly above it.
        step_A: the distance of the two structures of a pair, as in ``in_pairs``.
    """

    hessian_weight: float
    hessian_delta_eV_per_A2: float
    step_A: float

    def __call__(self, energy: Tensor, forces: Tensor, virial: Tensor | None, pack: Pack) -> Tensor:
        """The loss of a pack of pairs, eV/angstrom; see ``Loss``."""
        second = pack.batch % 2 == 1
        errors = forces - pack.forces
        squared = (((errors[second] - errors[~second]) / self.step_A) ** 2).sum(-1)
        bend = self.hessian_delta_eV_per_A2
        products = (torch.sqrt(squared + bend**2) - bend) * 2 * pack.atom_weight[second]
        return super().__call__(energy, forces, virial, pack) + self.hessian_weight * products.sum()


class PackedPairs(PackedDataset):
    """A dataset of pairs, of which no pack separates one."""

    def draw(self, rng: np.random.Generator, shares: Mapping[str, float] | None) -> np.ndarray:
        """The pairs (G, 2) of an epoch in random order; see ``PackedDataset.draw``. ``shares`` leave none out."""
        firsts = 2 * rng.permutation(len(self.dataset) // 2).astype(np.int32)
        return np.stack([firsts, firsts + 1], axis=1)


class PairTrainer(Trainer):
    """A training on pairs."""

    packing = PackedPairs
