"""The settings of an ablation: a base, and what differs from it. Rules read this, so that it imports nothing heavy."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

BASE = "base"
ONE_AT_A_TIME = "one_at_a_time"
HYPERPARAMETERS = ("rank", "n_blocks", "hidden", "n_rbf", "radial_basis", "from_contact", "cutoff_A")
LOSS = ("force_delta_eV_per_A", "energy_delta_eV_per_atom", "energy_weight")
RECIPE = ("optimizer", "matrix_lr", "other_lr", "atoms_per_step")
DATA = ("data_share",)
ERRORS = ("force_mae_eV_per_A", "energy_mae_eV_per_atom", "stress_mae_eV_per_A3")  # the last where there are stresses

Setting = dict[str, Any]  # values by the names above, of those that differ from the base


def settings(vary: Mapping[str, list[Any]], grid: str) -> dict[str, Setting]:
    """The settings by name, the base first.

    Args:
        vary: the values that are tried besides the base's own, by what they belong to.
        grid: "one_at_a_time" for settings that differ from the base in one value each, or "all_together" for each
            combination of the values and those of the base.
    """
    if grid == ONE_AT_A_TIME:
        changes: list[Setting] = [{key: value} for key, values in vary.items() for value in values]
    else:
        choices = [[None, *values] for values in vary.values()]
        every = (dict(zip(vary, combination, strict=True)) for combination in itertools.product(*choices))
        changes = [{key: value for key, value in change.items() if value is not None} for change in every]
    return {BASE: {}} | {name_of(change): change for change in changes if change}


def name_of(setting: Setting) -> str:
    """A name that a file may have, such as ``rank=1`` or ``hidden=24+rank=1``."""
    return "+".join(f"{key}={value}" for key, value in sorted(setting.items()))


def training_of(setting: Setting, base: Mapping[str, Any], budget: Mapping[str, int]) -> dict[str, Any]:
    """What a setting trains, and how.

    Args:
        setting: what differs from the base.
        base: the section `ablate: base` of the config.
        budget: ``{"steps": n}``, or ``{"atoms": n}`` for about as many atoms in all steps together.

    Returns:
        ``architecture``, ``hyperparameters``, ``recipe``, ``loss``, ``budget``, ``atoms_per_step`` and ``data_share``.
    """

    def own(keys: tuple[str, ...]) -> Setting:
        return {key: setting[key] for key in keys if key in setting}

    recipe = base["recipe"] | own(RECIPE)
    loss, atoms_per_step = recipe.pop("loss") | own(LOSS), recipe.pop("atoms_per_step")
    return {
        "architecture": base["architecture"],
        "hyperparameters": base["hyperparameters"] | own(HYPERPARAMETERS),
        "recipe": recipe,
        "loss": loss,
        "budget": dict(budget),
        "atoms_per_step": atoms_per_step,
        "data_share": setting.get("data_share", 1.0),
    }
