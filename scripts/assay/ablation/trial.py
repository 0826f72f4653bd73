"""One training of an ablation: it resumes where it stopped, and ends in the errors on the validation structures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from assay.ablation.plan import ERRORS
from assay.data.dataset import Dataset
from assay.models import count_parameters
from assay.training.loop import Recipe, Round, Trainer
from assay.training.loss import Loss, for_labels_of
from assay.training.packs import packs_of_an_epoch
from assay.training.size import with_elements


def steps_within(budget: Mapping[str, int], train: Dataset, atoms_per_step: int) -> int:
    """The number of steps of a training.

    Args:
        budget: ``{"steps": n}``, or ``{"atoms": n}`` for about as many atoms in all steps together.
        train: the structures, which steps hold whole.
        atoms_per_step: the largest number of atoms in a step, unless one structure alone has more.
    """
    if "steps" in budget:
        return budget["steps"]
    epochs = budget["atoms"] / int(train.offsets[-1])
    return max(1, round(epochs * packs_of_an_epoch(train.offsets, atoms_per_step)))


def run_trial(
    training: dict[str, Any],
    seed: int,
    train: Dataset,
    validation: Dataset,
    state_file: Path,
    threads: int,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Train one setting from one seed.

    Args:
        training: what to train and how, see ``assay.ablation.plan.training_of``.
        seed: the seed of the weights, of the order of the data, and of the share of the data that is drawn.
        train, validation: labelled structures.
        state_file: the file that a stopped trial resumes from.
        threads: the number of CPU threads.
        device: the device that trains.

    Returns:
        The errors after the last step, the numbers of parameters, structures and steps, and the curve.

    Raises:
        AssayError: the data hold an element beyond `max_z`.
    """
    torch.set_num_threads(threads)
    n_drawn = max(1, round(training["data_share"] * len(train)))
    drawn = np.sort(np.random.default_rng(seed).permutation(len(train))[:n_drawn])
    data = train if n_drawn == len(train) else train.subset(drawn)
    steps = steps_within(training["budget"], train, training["atoms_per_step"])
    rounds = [Round(steps, training["atoms_per_step"])]
    loss = Loss(**for_labels_of(train, training["loss"]))
    recipe = Recipe(rounds=rounds, seed=seed, loss=loss, **training["recipe"])
    largest_z = int(max(dataset.atomic_numbers.max() for dataset in (train, validation)))  # whatever share is drawn
    hyperparameters = with_elements(training["hyperparameters"], largest_z, "the base")
    trainer = Trainer(training["architecture"], hyperparameters, data, validation, recipe, state_file, device)
    trainer.run()
    errors = {key: trainer.history[-1][key] for key in ERRORS if key in trainer.history[-1]}
    return errors | {
        "seed": seed,
        "n_parameters": count_parameters(trainer.model),
        "n_structures": len(data),
        "steps": steps,
        "seconds": trainer.seconds,
        "hyperparameters": trainer.model.hyperparameters,
        "curve": trainer.history,
    }
