"""Finds where throughput falls although more is computed at once, and why."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

FALL = 0.05  # the least relative fall that counts

Row = Mapping[str, Any]


def falls(rows: Sequence[Row], cache_MB: float | None) -> list[dict[str, Any]]:
    """List every step to a larger batch at which a runtime has fewer atoms a second, with the reason if it shows.

    Args:
        rows: the rows of ``benchmark.json`` that were timed.
        cache_MB: the size of the processor's largest cache, in MB; None if unknown, or on another device.
    """
    steps = list(_steps(rows))
    changes: dict[tuple[int, int], list[float]] = {}
    for small, large in steps:
        changes.setdefault(_place(large), []).append(large["atoms_per_s"] / small["atoms_per_s"])
    found = []
    for small, large in steps:
        change = large["atoms_per_s"] / small["atoms_per_s"]
        if change < 1.0 - FALL:
            found.append(
                {
                    "runtime": large["runtime"],
                    "system_size": large["system_size"],
                    "from_batch": small["batch_size"],
                    "to_batch": large["batch_size"],
                    "throughput_ratio": change,
                    "reason": _reason(small, large, changes[_place(large)], cache_MB),
                }
            )
    return found


def _steps(rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Pairs of rows that are neighbors on the curve of a runtime and system size."""
    for key in dict.fromkeys((row["runtime"], row["system_size"]) for row in rows):
        curve = [row for row in rows if (row["runtime"], row["system_size"]) == key]
        yield from itertools.pairwise(sorted(curve, key=lambda row: row["batch_size"]))


def _reason(small: Row, large: Row, changes_of_all: Sequence[float], cache_MB: float | None) -> str:
    edges = [(row["n_edges"] or 0) / row["n_atoms"] for row in (small, large)]
    if all(edges) and large["atoms_per_s"] * edges[1] >= (1.0 - FALL) * small["atoms_per_s"] * edges[0]:
        return f"its structures are denser: {edges[1]:.1f} instead of {edges[0]:.1f} neighbors an atom"
    if large["n_atoms"] / large["latency_ms_p5"] >= small["n_atoms"] / small["latency_ms_p95"]:
        return "within the spread of the timings"
    if len(changes_of_all) > 2 and np.median(changes_of_all) < 1.0 - FALL:
        return "most runtimes fall at this step: the machine was slower meanwhile"
    before, after = small["peak_memory_MB"], large["peak_memory_MB"]
    if cache_MB and before and after and before <= cache_MB < after:
        return f"its {after:.0f} MB no longer fit into the cache of {cache_MB:.0f} MB"
    return "not known"


def _place(row: Row) -> tuple[int, int]:
    return row["system_size"], row["batch_size"]
