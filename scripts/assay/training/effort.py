"""How long a student is trained: a number of steps that follows from its size and its data by counting.

No clock decides, so that equal configs give equal weights. The costs are those of the engine on one core of an AMD EPYC
of 2026; another processor takes another time for the same steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from assay.training.loop import Round
from assay.training.packs import packs_of_an_epoch

# Microseconds for one block and one atom: for each channel and neighbor, and for each pair of channels.
PER_NEIGHBOR_us, PER_PAIR_us = 0.04, 0.01
WITHOUT_ENGINE = 10.0  # how much longer a network takes that the engine does not compute
MOST_STEPS = 100_000  # for data that are seen often; more only where one epoch has more
LAST_SHARE, LAST_PACKS, LAST_PEAK = 0.1, 4, 0.3  # of the second round: share of the steps, atoms a step, learning rates


def seconds_per_step(hyperparameters: Mapping[str, Any], engine: bool, atoms: float, neighbors: float) -> float:
    """About how long a step takes on one core.

    Args:
        hyperparameters: those of the network; ``hidden`` and ``n_blocks`` matter.
        engine: whether the engine computes the network.
        atoms: the number of atoms in a step.
        neighbors: the mean number of neighbors of an atom.
    """
    hidden, blocks = (
        hyperparameters["hidden"],
        hyperparameters.get("n_blocks", hyperparameters.get("n_interactions", 3)),
    )
    per_atom_us = blocks * hidden * (PER_NEIGHBOR_us * neighbors + PER_PAIR_us * hidden)
    return atoms * per_atom_us * 1e-6 * (1.0 if engine else WITHOUT_ENGINE)


def steps_of_an_epoch(offsets: np.ndarray, atoms_per_step: int) -> float:
    """About how many steps show each structure once, on an average over both of ``rounds_of``.

    Args:
        offsets: (S + 1,), where the atoms of each structure begin, and where those of the last one end.
        atoms_per_step: the largest number of atoms in a step, unless one structure alone has more.
    """
    first, last = (packs_of_an_epoch(offsets, packs * atoms_per_step) for packs in (1, LAST_PACKS))
    return 1.0 / ((1.0 - LAST_SHARE) / first + LAST_SHARE / (LAST_PACKS * last))


def count_steps(step_s: float, of_an_epoch: float, minutes: float, epochs: float) -> int:
    """The number of steps of a training: as many as fit into ``minutes``, or where that is more, as many as show each
    structure ``epochs`` times, up to the larger of ``MOST_STEPS`` and one epoch.

    Args:
        step_s: seconds that a step takes.
        of_an_epoch: how many steps show each structure once.
        minutes, epochs: the two measures of the effort.
    """
    steps = max(60.0 * minutes / step_s, min(epochs * of_an_epoch, max(MOST_STEPS, of_an_epoch)))
    return max(100, 100 * round(steps / 100))


def rounds_of(steps: int, atoms_per_step: int, peak: float) -> list[Round]:
    """The rounds of a training that sees as many atoms as ``steps`` of ``atoms_per_step``; the last ones are larger."""
    last = max(1, min(10, steps // (2 * LAST_PACKS)), round(steps * LAST_SHARE / LAST_PACKS))
    first = max(1, steps - LAST_PACKS * last)
    return [Round(first, atoms_per_step, peak), Round(last, LAST_PACKS * atoms_per_step, LAST_PEAK * peak)]
