"""The structures on which students are timed, and the batches that they are put in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.structures.geometry import LIQUID_ATOMS_PER_A3, droplet
from assay.structures.structure import Structure, batch_of_size, nearest_in_size, open_molecules
from assay.workflow.errors import AssayError

DROPLET_MOLECULES = 12  # the number of different molecules in a droplet


@dataclass(frozen=True)
class BenchmarkSettings:
    """The sizes, batches and times of a benchmark: the config's section ``benchmark``.

    Attributes:
        system_sizes: numbers of atoms; the structures of the data that are nearest to each are timed.
        single_sizes: further numbers of atoms, timed one structure a call; the teacher is timed beside them up to the
            largest of ``system_sizes``.
        batch_sizes: numbers of structures in one call.
        detailed_batch_sizes: the batch sizes at which the teacher and calls without neighbor search are timed too.
        max_atoms: the largest number of atoms in a batch; larger batches are left out.
        seconds: the time for which each call is measured at each point.
        min_rounds, max_rounds: the least and the largest number of turns of each call.
        longest_s: the longest first call, in seconds, after which a runtime is still timed at points larger than
            ``system_sizes``.
        time_step_fs: the time step that ns/day refer to, in femtoseconds.
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
        system_size: the number of atoms that a structure should have.
        structures: structures of about that size.
    """

    system_size: int
    structures: list[Structure]

    @property
    def n_atoms(self) -> int:
        """The number of atoms in the batch."""
        return sum(map(len, self.structures))

    @property
    def key(self) -> tuple[int, int]:
        """System size and batch size."""
        return self.system_size, len(self.structures)


def atoms_at(rows: Iterable[Mapping[str, Any]], system_size: int) -> int:
    """The number of atoms of the structure that was timed for a system size, which is the nearest that the data have.

    Args:
        rows: rows of ``benchmark.json``, of which the one with the fewest structures of that size tells it.
        system_size: the number of atoms that the structure should have.
    """
    row = min((row for row in rows if row["system_size"] == system_size), key=lambda row: row["batch_size"])
    return round(row["n_atoms"] / row["batch_size"])


def choose_points(structures: Sequence[Structure], settings: BenchmarkSettings) -> list[Point]:
    """Choose the batches of each system size that fit, and the single structures.

    A batch holds the molecules whose size is nearest, repeated where there are too few. A single structure larger
    than any of the data is a droplet of molecules, as dense as a liquid.

    Raises:
        AssayError: there is no structure.
    """
    if not structures:
        raise AssayError("there is no structure to time, in dataset.splits of the config: name splits that hold some")
    periodic = [structure for structure in structures if structure.pbc.any()]
    chosen = open_molecules(structures) or periodic or list(structures)
    points = []
    for size in settings.system_sizes:
        for batch_size in sorted(settings.batch_sizes):
            batch = batch_of_size(chosen, size, batch_size)
            if batch_size == 1 or sum(map(len, batch)) <= settings.max_atoms:
                points.append(Point(size, batch))
    largest = max(map(len, chosen))
    molecules = nearest_in_size(chosen, min(settings.system_sizes))[:DROPLET_MOLECULES]
    for size in settings.single_sizes:
        if size > largest:
            made = droplet(molecules, size, LIQUID_ATOMS_PER_A3, np.random.default_rng(0))
        else:
            made = nearest_in_size(chosen, size)[0]
        points.append(Point(size, [made]))
    return points
