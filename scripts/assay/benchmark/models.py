"""The times of several networks beside the first of them, in turns, by the engine where it computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.benchmark.timing import interleave, ratio
from assay.models import Potential
from assay.predictors.networks import predictor_of
from assay.structures.structure import Structure, typical_batch

BATCH = 32  # structures in a call


def time_beside_first(
    models: Mapping[str, Potential], structures: Sequence[Structure], seconds: float
) -> dict[str, dict[str, float]]:
    """Time energies and forces of a batch of 32 structures of about the median size, their neighbors found before.

    Structures are repeated where there are fewer.

    Args:
        models: the networks by name, the one that others are compared with first.
        structures: structures of any size.
        seconds: for how long each network is timed.

    Returns:
        The times of each network over those of the first, round by round: ``median``, ``p5`` and ``p95``.
    """
    batch = typical_batch(structures, BATCH)
    times = interleave({name: predictor_of(model, name).prepare(batch) for name, model in models.items()}, seconds)
    first = times[next(iter(models))]
    return {name: ratio(timing, first) for name, timing in times.items()}
