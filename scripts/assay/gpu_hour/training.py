"""Part 4: how fast steps of different sizes are, and training in the time that is left."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from assay.checkpoint import load_model, normalize
from assay.checkpoint.normalized import content_of
from assay.data import read_dataset
from assay.data.dataset import Dataset
from assay.gpu_hour.hour import ROOT, Hour, Piece, config
from assay.gpu_hour.travel import PACKED, unpack
from assay.structures.structure import symbols_of
from assay.training.loop import Recipe, Trainer
from assay.training.run import recipe_of
from assay.workflow.files import atomic_path

ATOMS_PER_STEP = (512, 2048, 4096, 8192)
TRAINED_AT = 2048  # atoms in a step of the training itself
FURTHER = {"peak": 0.4, "energy_weight": 8.0}  # of the round that trains a shipped student further
VALIDATED = 512  # structures
WARM_UP = 200  # steps; the shipped students, which train longer, have more
RESERVE_s = 90.0  # for compiling the step and for the last validation


def pieces(hour: Hour, data: Path | None, further: str | None) -> dict[str, Piece]:
    """What is measured: steps a second of the smallest student, its training, and steps a second of the others.

    The training takes the time that is left, so that what comes behind it waits for another call.

    Args:
        hour: the device and the time.
        data: labelled structures in any accepted format, or packed by ``travel.pack``; None for the shipped ones.
        further: the shipped student that is trained further; None trains the smallest one from new weights.
    """
    read = functools.cache(functools.partial(_data, hour.dry, data))
    sizes = (256,) if hour.dry else ATOMS_PER_STEP
    found: dict[str, Piece] = {}
    for variant in hour.variants:
        for atoms in sizes:
            name = f"{variant}, {atoms} atoms a step"
            found[name] = functools.partial(_steps_per_s, hour, variant, atoms, read)
        if further is None:
            found.setdefault("training", functools.partial(_train, hour, hour.variants[0], read, False))
    if further is not None:
        return {f"{further}, further": functools.partial(_train, hour, further, read, True)} | found
    return found


def _data(dry: bool, path: Path | None) -> tuple[Dataset, Dataset]:
    """The structures to learn from, and those to validate on."""
    shipped = ROOT / "data/dataset"
    held_out = read_dataset(shipped / "validation.h5").spaced(VALIDATED)
    if dry:
        return held_out.subset(range(64)), held_out.subset(range(16))
    if path is None:
        return read_dataset(shipped / "train.h5"), held_out
    return unpack(path) if path.suffix == PACKED else read_dataset(path), held_out


def recipe_with(part: Mapping[str, Any], **own: Any) -> Recipe:
    """What the config trains the shipped students by, for one round.

    Args:
        part: the attributes of the ``Round``.
        own: further attributes of the recipe that are others than in the config.
    """
    return recipe_of({"recipe": {"rounds": [part], **own}}, config("recipes.yaml")["distill"]["recipe"])[0]


def _trainer(hour: Hour, variant: str, recipe: Recipe, read: Any, state: Path, further: bool = False) -> Trainer:
    model, (train, held_out) = load_model(hour.checkpoint(variant)), read()
    start = model if further else None
    return Trainer(model.architecture, model.hyperparameters, train, held_out, recipe, state, hour.device, start)


def _steps_per_s(hour: Hour, variant: str, atoms: int, read: Any) -> dict[str, Any]:
    """Time steps after those that compile and warm up."""
    warm, timed = (2, 2) if hour.dry else (50, 200)
    part = {"steps": 2 * max(warm, timed), "atoms_per_step": atoms}
    recipe = recipe_with(part, warmup=WARM_UP, validate_every=max(warm, timed))
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(hour, variant, recipe, read, Path(folder, "state"))
        trainer.run()
    first, second = (entry["seconds"] for entry in trainer.history)
    assert first is not None and second is not None  # as every entry has them
    rate = max(warm, timed) / (second - first)
    return {"atoms_per_step": atoms, "steps_per_s": rate, "atoms_per_s": rate * atoms, "first_steps_s": first}


def _train(hour: Hour, variant: str, read: Any, further: bool) -> dict[str, Any]:
    """Train a student, from new weights or further, with as many steps as the time that is left allows."""
    atoms = 256 if hour.dry else TRAINED_AT
    rate = _steps_per_s(hour, variant, atoms, read)["steps_per_s"]
    steps = 4 if hour.dry else max(100, int(rate * (hour.left_s - RESERVE_s)))
    part = {"steps": steps, "atoms_per_step": atoms} | (FURTHER if further else {})
    recipe = recipe_with(part, warmup=min(WARM_UP, steps), validate_every=max(1, steps // 10))
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(hour, variant, recipe, read, Path(folder, "state"), further)
        model = trainer.run()
    elements = set(read()[0].atomic_numbers.tolist())
    if further:
        elements |= set(normalize(hour.checkpoint(variant)).atomic_numbers or [])
    with atomic_path(hour.out / f"{variant}.trained.pt") as path:
        torch.save(content_of(model) | {"elements": symbols_of(elements)}, path)
    return {
        "variant": variant,
        "recipe": asdict(recipe),
        "further": further,
        "data_sets": trainer.data_sets,
        "seconds": trainer.seconds,
        "curve": trainer.history,
    }
