"""Active learning: a student moves atoms, and the frames that it cannot know yet go to the teacher.

Two students of equal size and other first weights form the committee (query by committee: Seung, Opper and Sompolinsky,
1992). A frame is worth a label where their forces differ, or where it is unlike what they were trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from assay.accuracy.domain import Domain
from assay.dynamics.run import run_dynamics
from assay.predictors.interface import Predictor
from assay.structures.geometry import moved, wrapped
from assay.structures.structure import Structure, evenly
from assay.workflow.config_models.students_yaml import Exploration
from assay.workflow.config_models.types import steps_between

MOTION = "-student_md-"  # after the name of a start in that of its frames
DECIMALS = 4  # of positions in angstrom: what a file keeps of them


@dataclass(frozen=True)
class Seen:
    """A frame of a trajectory, and what says whether it is worth a label.

    Attributes:
        structure: the atoms of the frame, without labels.
        trajectory: the number of its trajectory.
        difference_eV_per_A: the largest difference of the committee's forces on an atom.
        novelty: how unlike the training data it is; 1 and above is unlike them.
    """

    structure: Structure
    trajectory: int
    difference_eV_per_A: float
    novelty: float


def explore(
    committee: tuple[Predictor, Predictor],
    domain: Domain,
    labelled: Sequence[Structure],
    settings: Exploration,
    number: int,
) -> tuple[list[Structure], dict[str, Any]]:
    """Move atoms by the first student of the committee, and choose the frames that are worth a label.

    Args:
        committee: two students that learned from ``labelled``.
        domain: the description of ``labelled``.
        labelled: all structures that are labelled so far.
        settings: how to look for structures.
        number: the number of the round, from 1 on.

    Returns:
        The chosen frames without labels, and what a record says of the round.
    """
    draw = np.random.default_rng([settings.seed, number])
    starts = [labelled[k] for k in draw.choice(len(labelled), min(settings.trajectories, len(labelled)), replace=False)]
    seen, ended = frames_of(committee, domain, starts, settings, number)
    chosen = worth_labelling(seen, settings)
    differences = np.array([frame.difference_eV_per_A for frame in seen])
    record = {
        "round": number,
        "settings": settings.model_dump(),
        "n_trajectories": len(starts),
        "n_trajectories_ended_early": ended,
        "n_frames": len(seen),
        "n_frames_chosen": len(chosen),
        "n_frames_unlike_training": sum(frame.novelty >= 1.0 for frame in seen),
        "n_frames_apart": int((differences > settings.agree_eV_per_A).sum()),
        "median_difference_eV_per_A": float(np.median(differences)) if len(seen) else None,
        "sentence": f"{len(chosen)} of {len(seen)} frames of {len(starts)} trajectories are to be labelled",
    }
    return [frame.structure for frame in chosen], record


def frames_of(
    committee: tuple[Predictor, Predictor],
    domain: Domain,
    starts: Sequence[Structure],
    settings: Exploration,
    number: int,
) -> tuple[list[Seen], int]:
    """The frames of the trajectories until each loses its meaning, and how many of the trajectories do."""
    frame_every = steps_between(settings.frame_every_fs, settings.step_fs)
    before = (number - 1) * len(starts)  # turns go on where those of the last round ended
    temperatures = [settings.temperatures_K[(before + k) % len(settings.temperatures_K)] for k in range(len(starts))]
    trajectory = run_dynamics(
        committee[0],
        starts,
        temperature_K=temperatures,
        step_fs=settings.step_fs,
        n_steps=round(1e3 * settings.duration_ps / settings.step_fs),
        friction_per_fs=settings.friction_per_fs,
        frame_every=frame_every,
        seed=settings.seed + number,
    )
    found, ended = [], 0
    for k, start in enumerate(starts):
        begun = start.molecule or start.name.partition(MOTION)[0]  # which may be a frame itself
        name = f"{begun}{MOTION}{temperatures[k]:.0f}K-round{number}.{k}"
        times = frame_every * settings.step_fs * np.arange(1, len(trajectory.frames) + 1)
        alive = ~(times >= trajectory.blown_up_fs[k])  # a trajectory that never blows up has NaN
        frames = [
            _rounded(moved(start, frame[trajectory.owner == k], f"{name}.{index}"))
            for index, frame in enumerate(trajectory.frames[alive])
        ]
        differences = committee_difference(committee, frames)
        meaningful = np.cumprod(differences <= settings.part_eV_per_A).astype(bool)
        ended += not (alive.all() and meaningful.all())
        frames = frames[: int(meaningful.sum())]
        novelties = domain.novelties_of(frames)
        found += [
            Seen(frame, k, float(difference), max(novelty.score, float(novelty.flagged)))
            for frame, difference, novelty in zip(frames, differences, novelties, strict=False)
        ]
    return found, ended


def _rounded(structure: Structure) -> Structure:
    """The structure with its atoms in the cell and positions as a file keeps them."""
    return replace(structure, positions=wrapped(structure).round(DECIMALS))


def committee_difference(committee: tuple[Predictor, Predictor], structures: Sequence[Structure]) -> np.ndarray:
    """The largest difference of the forces on an atom, eV/angstrom, for each structure."""
    one, other = (predictor.predict(structures) for predictor in committee)
    return np.array(
        [
            np.linalg.norm(a.forces_eV_per_A - b.forces_eV_per_A, axis=1).max(initial=0.0)
            for a, b in zip(one, other, strict=True)
        ]
    )


def worth_labelling(seen: Sequence[Seen], settings: Exploration) -> list[Seen]:
    """The frames in which the committee is of two minds, or that are unlike the training data.

    Where these are more than are to be labelled, each trajectory gives an equal share, evenly over its time: neighbors
    in time tell the same. They are in the order of trajectories and times, by which their end is held out.
    """
    worth = [s for s in seen if s.difference_eV_per_A > settings.agree_eV_per_A or s.novelty >= 1.0]
    chosen: list[Seen] = []
    groups = sorted(_by_trajectory(worth).values(), key=len)
    for place, group in enumerate(groups):
        share = (settings.label - len(chosen)) // (len(groups) - place)
        chosen += evenly(group, share)
    return sorted(chosen, key=lambda frame: frame.trajectory)


def _by_trajectory(seen: Sequence[Seen]) -> Mapping[int, list[Seen]]:
    groups: dict[int, list[Seen]] = {}
    for frame in seen:
        groups.setdefault(frame.trajectory, []).append(frame)
    return groups
