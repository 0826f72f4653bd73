"""Times students and peers in one process, in turns, on the same structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from assay.benchmark.points import Point
from assay.benchmark.timing import Call, Clock, interleave, ratio
from assay.predictors.interface import BatchPredictor

SEARCHED, KNOWN = "searched", "known"


def time_beside_peers(
    students: Mapping[str, BatchPredictor],
    peers: Mapping[str, BatchPredictor],
    points: Sequence[Point],
    seconds: float,
    min_rounds: int,
    timed: Clock | None = None,
) -> list[dict[str, Any]]:
    """Time every runtime of a student and every peer at every point, with the neighbor search and without.

    Args:
        students: the runtimes of one student by name.
        peers: the peers by package.
        points: the batches to time.
        seconds, min_rounds, timed: the arguments of ``interleave``.

    Returns:
        A row for each point and network, with neighbors "searched" in the call and with neighbors "known" before. The
        ``latency_ratio`` of a runtime says how many times as long each peer takes.
    """
    rows = []
    for point in points:
        calls, errors = _calls({**students, **peers}, point)
        timings = interleave(calls, seconds, min_rounds=min_rounds, timed=timed)
        for key, timing in timings.items():
            name, neighbors = key.rsplit(", ", 1)
            row = _label(point, name, peers, neighbors) | timing.summary()
            row["structures_per_s"] = len(point.structures) / timing.median_s
            row["atoms_per_s"] = point.n_atoms / timing.median_s
            if name in students:
                others = {peer: f"{peer}, {neighbors}" for peer in peers}
                row["latency_ratio"] = {
                    peer: ratio(timings[other], timing) for peer, other in others.items() if other in timings
                }
            rows.append(row)
        rows += [_label(point, name, peers, SEARCHED) | {"error": error} for name, error in errors.items()]
    return rows


def fastest(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Find the fastest runtime of the student beside each peer, for each point, with neighbors searched and known.

    Returns:
        Rows with ``runtime``, ``latency_ms`` of both, and ``times_faster`` with median, p5 and p95.
    """
    found = []
    timed = [row for row in rows if "latency_ms_median" in row]
    for key in dict.fromkeys(map(_place, timed)):
        here = [row for row in timed if _place(row) == key]
        own = [row for row in here if not row["is_peer"]]
        if not own:
            continue
        best = min(own, key=lambda row: row["latency_ms_median"])
        for peer in (row for row in here if row["is_peer"] and row["network"] in best["latency_ratio"]):
            common = {name: best[name] for name in ("system_size", "batch_size", "n_atoms", "neighbors")}
            found.append(
                {
                    **common,
                    "runtime": best["network"],
                    "peer": peer["network"],
                    "latency_ms_median": best["latency_ms_median"],
                    "peer_latency_ms_median": peer["latency_ms_median"],
                    "atoms_per_s": best["atoms_per_s"],
                    "peer_atoms_per_s": peer["atoms_per_s"],
                    "times_faster": best["latency_ratio"][peer["network"]],
                }
            )
    return found


def _calls(networks: Mapping[str, BatchPredictor], point: Point) -> tuple[dict[str, Call], dict[str, str]]:
    """Return the calls by network, with neighbors searched and known, and the errors of those that fail."""
    calls: dict[str, Call] = {}
    errors: dict[str, str] = {}
    for name, network in networks.items():
        try:
            _check(network.evaluate(point.structures), point)
            prepared = network.prepare(point.structures)
        except Exception as error:  # whatever a network raises is a result
            errors[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        calls[f"{name}, {SEARCHED}"] = partial(network.evaluate, point.structures)
        if prepared is not None:
            calls[f"{name}, {KNOWN}"] = prepared
    return calls, errors


def _check(found: tuple[np.ndarray, np.ndarray], point: Point) -> None:
    """Refuse to time a network that did not compute finite energies and forces."""
    energies, forces = found
    if energies.size != len(point.structures) or forces.shape != (point.n_atoms, 3):
        raise ValueError(f"energies {energies.shape} and forces {forces.shape} of {len(point.structures)} structures")
    if not (np.isfinite(energies).all() and np.isfinite(forces).all() and forces.any()):
        raise ValueError("energies or forces that are not finite, or no forces")


def _label(point: Point, name: str, peers: Mapping[str, BatchPredictor], neighbors: str) -> dict[str, Any]:
    size, batch_size = point.key
    return {
        "network": name,
        "is_peer": name in peers,
        "neighbors": neighbors,
        "system_size": size,
        "batch_size": batch_size,
        "n_atoms": point.n_atoms,
    }


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["system_size"], row["batch_size"], row["neighbors"]
