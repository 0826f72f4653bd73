"""One training of a student of one's own: it reads stored structures and writes a checkpoint, its record and curve."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from assay.data.dataset import Dataset
from assay.data.store import StoredDataset, in_memory, open_stored
from assay.engine.painn import why_unsupported
from assay.models import Potential, build_model, count_parameters
from assay.training import processes
from assay.training.curve import draw_curve
from assay.training.effort import count_steps, rounds_of, seconds_per_step, steps_of_an_epoch
from assay.training.evaluation import check_held_out, validation_errors
from assay.training.loop import Recipe, Round, Trainer
from assay.training.loss import Loss, for_labels_of
from assay.training.origin import Origin, read_origin
from assay.training.packs import find_neighbors
from assay.training.run import describe, on_record, write_student
from assay.training.size import hyperparameters_for, of_matter, parameters_of_shape, with_elements
from assay.training.states import remove_states, unfinished
from assay.workflow.files import read_json, sha256_file

ARCHITECTURE = "painn"  # of new weights
SAMPLED = 200  # structures that tell how many neighbors an atom has
FITTED = 20_000  # structures that a student's energies are brought in line with before it goes on
VALIDATIONS = 20  # of a training, unless it has more than so many thousand steps
WARM_UP, LONGEST_WARM_UP = 0.05, 500  # share of a round, and steps
IN_MEAN = 20  # the running mean of weights covers at most this part of a training

# Keys of a student that are also keys of the config's section ``training``.
OF_RECIPE = ("matrix_lr", "other_lr", "weight_decay", "clip", "seed")


@dataclass(frozen=True)
class OwnRun:
    """A training before its first step.

    Attributes:
        model: the network, whose weights are new unless there is an ``origin``.
        origin: the student that it goes on from.
        recipe: how it is trained.
        step_s: about how long a step takes on one core, in seconds.
    """

    model: Potential
    origin: Origin | None
    recipe: Recipe
    step_s: float


def plan_run(
    student: Mapping[str, Any],
    training: Mapping[str, Any],
    origin: Mapping[str, Any] | None,
    train: Dataset | StoredDataset,
) -> OwnRun:
    """Decide the size of a student and how long it is trained.

    Args:
        student: the entry of the config's ``students``.
        training: the config's section of that name; keys of the student go before, and its minutes or epochs before
            the general steps.
        origin: the ``path`` of the checkpoint to go on from, and what is told of it, as ``read_origin`` takes them;
            None for new weights.
        train: the structures that it learns from.

    Raises:
        AssayError: a size is not possible, or the checkpoint to go on from cannot be used.
    """
    settings = {**training, **{key: student[key] for key in student if key in training or key == "steps"}}
    if "steps" not in student and {"minutes", "epochs"} & student.keys():
        settings["steps"] = None
    sample = in_memory(train, FITTED)
    torch.manual_seed(settings["seed"])
    began = None if origin is None else read_origin(train=sample, **origin)
    model = _new_model(student, train.elements, bool(sample.pbc.any())) if began is None else began.model
    neighbors, atoms = _mean_neighbors(sample, model.cutoff)
    per_step = max(float(settings["atoms_per_step"]), atoms)
    step_s = seconds_per_step(model.hyperparameters, why_unsupported(model) is None, per_step, neighbors)
    of_an_epoch = steps_of_an_epoch(train.offsets, settings["atoms_per_step"])
    counted = count_steps(step_s, of_an_epoch, settings["minutes"], settings["epochs"])
    steps = settings.get("steps") or counted
    peak = settings["from_peak"] if began is not None else 1.0
    return OwnRun(model, began, _recipe(settings, rounds_of(steps, settings["atoms_per_step"], peak), train), step_s)


def train_own(
    name: str,
    train: Path,
    validation: Path,
    about_data: Path,
    student: Mapping[str, Any],
    training: Mapping[str, Any],
    origin: Mapping[str, Any] | None,
    seen: Mapping[str, Any] | None,
    teacher: Mapping[str, Any],
    said: Mapping[str, Any],
    states: Path,
    device: torch.device | str,
    log: Path,
    checkpoint: Path,
    record: Path,
    curve: Path,
) -> None:
    """Train a student of one's own, or go on where the last run stopped.

    Every process that trains calls this with the same arguments; see ``assay.training.processes``. The first one
    writes.

    Args:
        name: the name of the student.
        train, validation: stored structures, see ``data.store``.
        about_data: the JSON that says how they were split.
        student, training, origin: as in ``plan_run``.
        seen: how many of the held-out structures the origin learned from, as ``accuracy.overlap.overlap`` says; None if
            that is not known.
        teacher: the keys of a ``NamedTeacher``, which the record keeps.
        said: what the config says of the student, as ``own_students.said_of`` gives it, which the record keeps.
        states: the folder of the files that a stopped run resumes from. Their names follow from all that decides the
            weights and their errors, so that another config or other data start anew.
        device: the device that trains; on a machine with several GPUs each process takes its own.
        log: the log file, one line of JSON for each validation.
        checkpoint, record, curve: the files to write.

    Raises:
        AssayError: as ``plan_run`` does, or a file cannot be read.
    """
    if processes.leads():
        logging.basicConfig(filename=log, level=logging.INFO, format="%(message)s")
    torch.set_num_threads(training["threads"])
    data, split = open_stored(train), read_json(about_data)
    if isinstance(data, StoredDataset) and torch.device(device).type == "cuda":
        data = data.sample(len(data))
    held_out = in_memory(open_stored(validation), FITTED)
    held_out = held_out.spaced(student.get("validation_structures", training["validation_structures"]))
    check_held_out(held_out, validation)
    run = plan_run(student, training, origin, data)
    model = run.model
    n_parameters = count_parameters(model)
    if processes.leads():
        print(
            f"{name}: {n_parameters:,} parameters, {len(data):,} structures; {run.recipe.steps:,} steps, about "
            f"{_minutes(run)} on one core"
        )
    state = unfinished(states, name, [*_decides(run, data), held_out.content_sha256()])
    start = model if run.origin is not None else None
    with processes.joined(device) as own:
        trainer = Trainer(
            model.architecture, model.hyperparameters, data, held_out, run.recipe, state, own, start=start
        )
        before = validation_errors(start, held_out) if start is not None and processes.leads() else None
        trained = trainer.run()
        about = describe(name, teacher, trainer, training["threads"])
        about |= {"split": split["sentence"], "config": said}
        about |= {"held_out_sha256": sha256_file(validation), "train_file_sha256": sha256_file(train)}
    if not processes.leads():
        return
    if run.origin is not None:
        about |= {"from": run.origin.record | {"held_out": seen}, "before": before}
        about["split"] += f", {_seen_before(seen, run.origin.record['path'])}"
    in_doubt = run.origin.checkpoint.in_doubt if run.origin is not None else ()
    write_student(trained, about, checkpoint, record, device, in_doubt)
    draw_curve(curve, trainer.history, about["recipe"]["rounds"])
    remove_states(states, name, but=state)


def _new_model(student: Mapping[str, Any], elements: Sequence[int], periodic: bool) -> Potential:
    """A network with new weights that knows the elements of the data."""
    given, largest = dict(student.get("hyperparameters", {})), elements[-1]
    if "parameters" in student:
        chosen = of_matter(student["parameters"], elements, periodic) | given
        given = hyperparameters_for(student["parameters"], chosen, largest)
    else:
        given = with_elements(given, largest, "the student")
    parameters_of_shape(ARCHITECTURE, given)
    return build_model(ARCHITECTURE, given)


def _recipe(settings: Mapping[str, Any], rounds: list[Round], train: Dataset | StoredDataset) -> Recipe:
    first, steps = rounds[0].steps, sum(part.steps for part in rounds)
    return Recipe(
        rounds=rounds,
        warmup=max(1, min(LONGEST_WARM_UP, round(WARM_UP * first))),
        ema_decay=min(settings["ema_decay"], 1.0 - IN_MEAN / steps) if steps > IN_MEAN else 0.0,
        loss=Loss(**for_labels_of(train, settings["loss"])),
        validate_every=min(1000, max(1, steps // VALIDATIONS)),
        **{key: settings[key] for key in OF_RECIPE},
    )


def _mean_neighbors(dataset: Dataset, cutoff: float) -> tuple[float, float]:
    """The mean numbers of neighbors of an atom and of atoms of a structure, from evenly spaced structures."""
    some = dataset.spaced(SAMPLED)
    lists = find_neighbors(some, cutoff)
    return float(lists.n_edges.sum() / len(some.atomic_numbers)), float(some.sizes.mean())


def _minutes(run: OwnRun) -> str:
    seconds = sum(
        part.steps * run.step_s * part.atoms_per_step / run.recipe.rounds[0].atoms_per_step
        for part in run.recipe.rounds
    )
    if seconds < 90:
        return "a minute or less"
    return f"{seconds / 3600:.1f} hours" if seconds > 7200 else f"{round(seconds / 60)} minutes"


def _seen_before(seen: Mapping[str, Any] | None, origin: str) -> str:
    """How many of the held-out structures the origin, named by its path, learned from, as a clause."""
    if seen is None:
        return f"and it is not known which of them {origin} learned from"
    if seen["is_lower_bound"] and not seen["same_structure"]:
        return f"none of which {origin} is known to have learned from"
    bound = "at least " if seen["is_lower_bound"] else ""
    return f"{bound}{seen['same_structure']:,} of which {origin} learned from"


def _decides(run: OwnRun, data: Dataset | StoredDataset) -> list[Any]:
    """All that decides the weights."""
    origin = None if run.origin is None else [run.origin.record["sha256"], run.origin.record["told"]]
    return [run.model.architecture, run.model.hyperparameters, on_record(run.recipe), data.content_sha256(), origin]
