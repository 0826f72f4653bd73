"""On which structures students are timed, and in batches of how many."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.structures.geometry import LIQUID_ATOMS_PER_A3, droplet
from assay.structures.structure import Structure, nearest_in_size
from assay.workflow.errors import AssayError

DROPLET_MOLECULES = 12  # different ones


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is measured.

    Attributes:
        system_sizes: atoms; the structures of the data nearest to each are taken.
        single_sizes: further sizes, timed one structure a call; the teacher takes part up to the largest of the others.
        batch_sizes: structures in one call.
        detailed_batch_sizes: of them, where the teacher and calls without neighbor search are timed too.
        max_atoms: larger batches are left out.
        seconds: for which each call is measured at each point.
        min_rounds: turns of each call at least.
        max_rounds: and at most.
        longest_s: a runtime whose first call took longer is left out at a point larger than ``system_sizes``.
        time_step_fs: of the dynamics whose speed is told in ns/day.
    """

    system_sizes: Sequence[int]
    single_sizes: Sequence[int]
    batch_sizes: Sequence[int]
    detailed_batch_sizes: Sequence[int]
    max_atoms: int
    seconds: float
    min_rounds: int
    max_rounds: int
    longest_s: float
    time_step_fs: float


@dataclass(frozen=True)
class Point:
    """One batch that every runtime evaluates.

    Attributes:
        system_size: atoms that a structure should have.
        structures: of about that size.
    """

    system_size: int
    structures: list[Structure]

    @property
    def n_atoms(self) -> int:
        """Of the batch."""
        return sum(map(len, self.structures))

    @property
    def key(self) -> tuple[int, int]:
        """System size and batch size."""
        return self.system_size, len(self.structures)


def choose_points(structures: Sequence[Structure], settings: BenchmarkSettings) -> list[Point]:
    """For each system size the batches that fit, of open structures nearest to it, repeated where there are too few.

    A single size beyond the largest structure is a droplet of molecules, as dense as a liquid.
    """
    if not structures:
        raise AssayError("there is no structure to time, in dataset.splits of the config: name splits that hold some")
    open_ = [structure for structure in structures if not structure.pbc.any()] or list(structures)
    points = []
    for size in settings.system_sizes:
        nearest = nearest_in_size(open_, size)[: max(settings.batch_sizes)]
        for batch_size in sorted(settings.batch_sizes):
            batch = list(itertools.islice(itertools.cycle(nearest), batch_size))
            if batch_size == 1 or sum(map(len, batch)) <= settings.max_atoms:
                points.append(Point(size, batch))
    largest = max(map(len, open_))
    molecules = nearest_in_size(open_, min(settings.system_sizes))[:DROPLET_MOLECULES]
    for size in settings.single_sizes:
        if size > largest:
            made = droplet(molecules, size, LIQUID_ATOMS_PER_A3, np.random.default_rng(0))
        else:
            made = nearest_in_size(open_, size)[0]
        points.append(Point(size, [made]))
    return points
