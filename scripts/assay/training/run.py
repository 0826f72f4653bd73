"""One training run: it reads data files and writes a checkpoint and its training record."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from assay.checkpoint.normalized import content_of
from assay.data import read_dataset
from assay.data.kinds import on_disk
from assay.data.scope import scope_of
from assay.data.store import in_memory
from assay.models import Potential, build_model, count_parameters
from assay.training import processes
from assay.training.evaluation import check_held_out
from assay.training.loop import Recipe, Round, Trainer
from assay.training.loss import Loss
from assay.workflow.files import atomic_path, read_json, training_record, write_json
from assay.workflow.provenance import header

logger = logging.getLogger(__name__)

SCOPED = 100_000  # structures that tell the scope of a student that learned from more than fit into memory


def train_student(
    name: str,
    train: Path,
    validation: Path,
    student: dict[str, Any],
    recipe: dict[str, Any],
    teacher: dict[str, Any],
    shipped: Path,
    state_file: Path,
    threads: int,
    device: torch.device | str,
    log: Path,
    checkpoint: Path,
    record: Path,
) -> None:
    """Train a student, and write its checkpoint and training record.

    Every process that trains calls this with the same arguments; see ``assay.training.processes``. The first one
    writes.

    Args:
        name: the name of the student.
        train, validation: labelled structures in any accepted format.
        student: ``architecture``, ``hyperparameters`` and, as ``recipe``, the keys of the recipe in which it differs.
        recipe: the keys of ``Recipe`` for all students, and ``validation_structures``, how many structures
            are validated on at most.
        teacher: the config's section of that name, which the record keeps.
        shipped: the checkpoint of an earlier run, with its record beside it. If the rounds of that run are the
            first ones of the recipe, but not all of them, and the teacher and all else of the recipe are the same, the
            run is continued; otherwise training starts anew.
        state_file: the file that a stopped run resumes from.
        threads: the number of CPU threads of each process.
        device: the device that trains; on a machine with several GPUs each process takes its own.
        log: the log file, one line of JSON for each validation.
        checkpoint: the file to write, with the keys "model_state_dict", "config" and "training".
        record: the JSON file to write: hashes of the data, recipe, curve, device, versions, hours.

    Raises:
        AssayError: a data file cannot be read, or the state is of another network, recipe or teacher.
    """
    if processes.leads():
        logging.basicConfig(filename=log, level=logging.INFO, format="%(message)s")
    torch.set_num_threads(threads)
    own_recipe, n_validation = recipe_of(student, recipe)
    data, held_out = read_dataset(train), read_dataset(validation).spaced(n_validation)
    check_held_out(held_out, validation)
    with processes.joined(device) as own_device:
        trainer = Trainer(
            student["architecture"],
            student["hyperparameters"],
            data,
            held_out,
            own_recipe,
            state_file,
            own_device,
            teacher=_labels_by(teacher),
        )
        if not state_file.exists():
            _continue_shipped(shipped, trainer)
        model = trainer.run()
        training = describe(name, teacher, trainer, threads)
    if processes.leads():
        write_student(model, training, checkpoint, record, device)


def write_student(
    model: Potential,
    training: dict[str, Any],
    checkpoint: Path,
    record: Path,
    device: torch.device | str,
    in_doubt: Sequence[str] = (),
) -> None:
    """Write a checkpoint, and the record of its training beside it; see ``train_student`` and ``describe``.

    The checkpoint keeps which settings were assumed of the student that the training went on from; see
    ``Checkpoint.in_doubt``.
    """
    with atomic_path(checkpoint) as path:
        torch.save(content_of(model, in_doubt) | {"training": training}, path)
    write_json(record, header(training["student"], device=device) | training)


def recipe_of(student: Mapping[str, Any], recipe: Mapping[str, Any]) -> tuple[Recipe, int]:
    """The recipe of a student, and how many structures it is validated on at most; arguments: see ``train_student``."""
    settings = {**recipe, **student.get("recipe", {})}
    n_validation = settings.pop("validation_structures")
    settings["loss"] = Loss(**settings["loss"])
    settings["rounds"] = [Round(**part) for part in settings["rounds"]]
    return Recipe(**settings), n_validation


def describe(name: str, teacher: Mapping[str, Any], trainer: Trainer, threads: int) -> dict[str, Any]:
    """Describe a finished run for its record. The arguments are those of ``train_student``."""
    data = trainer.packs.dataset
    return {
        "student": name,
        "teacher": dict(teacher),
        "train_sha256": data.content_sha256(),
        "validation_sha256": trainer.validation.content_sha256(),
        "n_structures": len(data),
        "n_atoms": int(data.offsets[-1]),
        "elements": data.elements,
        "scope": scope_of(in_memory(data, SCOPED)).record,
        "recipe": on_record(trainer.recipe),
        "n_parameters": count_parameters(trainer.model),
        "threads": threads,
        "processes": processes.place()[1],
        "hours": trainer.seconds / 3600,
        "data_sets": trainer.data_sets,
        "devices": trainer.devices,
        "skipped_steps": int(trainer.update.skipped),
        "curve": trainer.history,
    }


def _continue_shipped(shipped: Path, trainer: Trainer) -> None:
    """Continue the shipped checkpoint if its rounds are the first ones of the recipe, but not all of them.

    One of another teacher, network or recipe is left as it is, and the log says why.
    """
    path = training_record(shipped)
    if not (shipped.exists() and path.exists()):
        return
    record, checkpoint = read_json(path), torch.load(shipped, weights_only=True)
    done, asked = record["recipe"], on_record(trainer.recipe)
    n_done = len(done["rounds"])
    free = ("rounds", "validate_every")
    changed = [key for key in {**asked, **done} if key not in free and done.get(key) != asked.get(key)]
    if asked["rounds"][:n_done] != done["rounds"]:
        changed.append("rounds")
    config, model = dict(checkpoint["config"]), trainer.model
    earlier = build_model(config.pop("architecture"), config)
    if (earlier.architecture, earlier.hyperparameters) != (model.architecture, model.hyperparameters):
        changed.append("hyperparameters")
    if _labels_by(record["teacher"]) != trainer.teacher:
        changed.append("teacher")
    if changed:
        logger.info("begins anew: %s was trained with other values of %s", shipped, ", ".join(changed))
    elif n_done < len(asked["rounds"]):
        trainer.continue_from(checkpoint["model_state_dict"], record)


def _labels_by(teacher: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the labels of a teacher, of its section in the config: not where or how long it may run."""
    return {key: teacher.get(key) or None for key in ("name", "calculator", "arguments")}


def on_record(recipe: Recipe) -> dict[str, Any]:
    """A recipe with the spelling that training records have."""
    entries = asdict(recipe)
    if not recipe.loss.virial_weight:  # as records have it that are older than the learning of virials
        entries["loss"] = {key: value for key, value in entries["loss"].items() if not key.startswith("virial")}
    for part in entries["rounds"]:
        if part["energy_weight"] is None:
            del part["energy_weight"]  # records name one only where a round has its own
        part["shares"] = {on_disk(kind): share for kind, share in part["shares"].items()}
    if entries["optimizer"] == Recipe.optimizer:
        del entries["optimizer"]  # records name one only where it is another than Muon
    return entries
