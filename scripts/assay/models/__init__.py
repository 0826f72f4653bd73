"""The student networks by name, what they are made of, and the neighbor relation that they sum over.

Only differentiable networks in PyTorch enter here: no file, no device, no neighbor search.
"""

from __future__ import annotations

from assay.models.painn import PaiNN
from assay.models.potential import EnergyForces, Potential, count_parameters
from assay.models.schnetpack_painn import SchnetpackPaiNN
from assay.models.schnetpack_schnet import SchnetpackSchNet
from assay.models.seed_painn import SeedPaiNN

ARCHITECTURES: dict[str, type[Potential]] = {
    model.architecture: model for model in (PaiNN, SchnetpackPaiNN, SchnetpackSchNet, SeedPaiNN)
}

__all__ = [
    "ARCHITECTURES",
    "EnergyForces",
    "PaiNN",
    "Potential",
    "SchnetpackPaiNN",
    "SchnetpackSchNet",
    "SeedPaiNN",
    "build_model",
    "count_parameters",
]


def build_model(architecture: str, hyperparameters: dict) -> Potential:
    """Build a network with newly drawn weights.

    Raises:
        KeyError: the architecture is unknown.
        TypeError: the architecture does not have one of the hyperparameters.
        ValueError: the architecture does not know the value of a hyperparameter.
    """
    return ARCHITECTURES[architecture](**hyperparameters)
