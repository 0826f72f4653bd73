"""Labelling in small files, so that it resumes where it stopped and spreads over processes."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.spatial.distance import pdist

from assay.data.dataset import Dataset, concatenate, from_structures
from assay.data.hdf5 import read_hdf5, write_hdf5
from assay.data.kinds import from_disk, on_disk
from assay.sampling import recipes
from assay.sampling.recipes import Geometry, Skipped
from assay.sampling.teacher import LabelError, Labels, Teacher
from assay.structures.structure import Structure
from assay.workflow.files import short_digest
from assay.workflow.progress import progress

# An atom farther from the origin than this has left its molecule in a classical force field that failed.
FARTHEST_A = 100.0


@dataclass(frozen=True)
class Shard:
    """A unit of work, named after its content: what changes the labels changes the name.

    Attributes:
        recipe: the name of a function in ``assay.sampling.recipes``.
        arguments: the arguments of that function, of plain types.
        teacher: the teacher that labels.
        max_force_eV_per_A: a geometry with a larger force on any atom is dropped.
        max_partly_filled: a geometry with more electrons than that in partly filled orbitals is dropped (see
            ``Labels.partly_filled``); None keeps all.
    """

    recipe: str
    arguments: dict[str, Any]
    teacher: Teacher
    max_force_eV_per_A: float
    max_partly_filled: float | None = None

    def path(self, folder: Path) -> Path:
        """Where its labels are kept."""
        recipe, arguments = on_disk(self.recipe), {on_disk(name): value for name, value in self.arguments.items()}
        about = asdict(self) | {"recipe": recipe, "arguments": arguments, "teacher": self.teacher.identity}
        if self.teacher.environment is None:
            del about["teacher"]["environment"]  # as shards are named that were labelled before there were environments
        if self.max_partly_filled is None:
            del about["max_partly_filled"]  # as shards are named that were labelled before there was a limit
        return folder / f"{recipe}-{short_digest(about)}.h5"


def label(shards: Sequence[Shard], folder: Path, processes: int, title: str) -> Dataset:
    """Label every shard that ``folder`` does not hold yet, with a progress bar, and return them all in order."""
    waiting = [shard for shard in shards if not shard.path(folder).exists()]
    os.environ["OMP_NUM_THREADS"] = "1"  # each process starts anew and reads it
    bar = progress(total=len(shards), initial=len(shards) - len(waiting), desc=title, unit="shards")
    with bar, multiprocessing.get_context("spawn").Pool(processes) as pool:
        for _ in pool.imap_unordered(partial(_label_shard, folder), waiting):
            bar.update()
    return concatenate([read_hdf5(shard.path(folder)) for shard in shards])


def dropped(shards: Sequence[Shard], folder: Path) -> Counter[str]:
    """How many geometries of finished shards were dropped, by reason."""
    total: Counter[str] = Counter()
    for shard in shards:
        with h5py.File(shard.path(folder)) as file:
            stored = json.loads(file.attrs["dropped"])
        total.update({from_disk(reason): count for reason, count in stored.items()})
    return total


def _label_shard(folder: Path, shard: Shard) -> None:
    labels = Labels(shard.teacher)
    arguments = shard.arguments | ({"labels": labels} if shard.recipe == "dynamics" else {})
    structures: list[Structure] = []
    reasons: Counter[str] = Counter()
    for outcome in getattr(recipes, shard.recipe)(**arguments):
        if isinstance(outcome, Geometry):
            outcome = _labelled(outcome, labels, shard)
        if isinstance(outcome, Structure):
            structures.append(outcome)
        else:
            reasons[on_disk(outcome.reason)] += 1
    write_hdf5(shard.path(folder), from_structures(structures), {"dropped": json.dumps(reasons)})


def _labelled(geometry: Geometry, labels: Labels, shard: Shard) -> Structure | Skipped:
    """The geometry as it is stored, rounded before it is labelled; or why it is dropped."""
    positions = np.round(geometry.positions, 4)
    if not (np.abs(positions).max() < FARTHEST_A):
        return Skipped("flown apart")
    if pdist(positions).min() < 0.3:
        return Skipped("coincident")
    try:
        energy, forces = labels(geometry.atomic_numbers, positions)
    except LabelError:
        return Skipped("teacher")
    if np.linalg.norm(forces, axis=1).max() > shard.max_force_eV_per_A:
        return Skipped("force")
    if shard.max_partly_filled is not None and labels.partly_filled > shard.max_partly_filled:
        return Skipped("partly filled orbitals")
    return Structure(
        geometry.name,
        geometry.atomic_numbers,
        positions,
        energy_eV=energy,
        forces_eV_per_A=forces,
        molecule=geometry.molecule,
    )
