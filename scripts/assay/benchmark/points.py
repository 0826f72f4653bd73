"""The structures on which students are timed, and the batches that they are put in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.structures.geometry import LIQUID_ATOMS_PER_A3, droplet
from assay.structures.structure import Structure, batch_of_size, nearest_in_size, open_molecules
from assay.workflow.config_models.config_yaml import Benchmark
from assay.workflow.errors import AssayError

DROPLET_MOLECULES = 12  # the number of different molecules in a droplet


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


def choose_points(structures: Sequence[Structure], settings: Benchmark) -> list[Point]:
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
