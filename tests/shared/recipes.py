"""Recipes of short trainings."""

from assay.training.loop import Recipe
from assay.training.loss import Loss

LOSS = Loss(force_delta_eV_per_A=0.1, energy_delta_eV_per_atom=0.01, energy_weight=4.0)


def recipe_with(*rounds, **own):
    """The recipe of some rounds, with usual values of what is not given."""
    usual = {"matrix_lr": 4e-3, "other_lr": 2e-3, "warmup": 200, "ema_decay": 0.999, "seed": 0, "validate_every": 1000}
    return Recipe(**{"rounds": list(rounds), "loss": LOSS, **usual, **own})
