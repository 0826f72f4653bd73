"""Times students and peers, and peers in the compiled engine, in one process, in turns, on the same structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from assay.benchmark.points import Point
from assay.benchmark.timing import Call, Clock, interleave, ratio
from assay.predictors.interface import BatchPredictor

SEARCHED, KNOWN = "searched", "known"


def in_engine_name(peer: str) -> str:
    """The name of a peer's own network in the compiled engine, in rows and among the targets."""
    return f"{peer} in the engine"


def time_beside_peers(
    students: Mapping[str, BatchPredictor],
    peers: Mapping[str, BatchPredictor],
    points: Sequence[Point],
    seconds: float,
    min_rounds: int,
    timed: Clock | None = None,
    in_engine: Mapping[str, BatchPredictor] | None = None,
) -> list[dict[str, Any]]:
    """Time every runtime of a student and every peer at every point, with the neighbor search and without.

    Args:
        students: the runtimes of one student by name.
        peers: the peers by package.
        points: the batches to time.
        seconds, min_rounds, timed: the arguments of ``interleave``.
        in_engine: the networks of peers in the compiled engine, by package.

    Returns:
        A row for each point and network, with neighbors "searched" in the call and with neighbors "known" before. The
        ``latency_ratio`` of a runtime says how many times as long each peer takes. A network of ``in_engine`` is
        compared with its peer alone: its row has that as ``same_as``, and the largest differences of their energies
        and forces.
    """
    rows = []
    same = {in_engine_name(peer): peer for peer in in_engine or {}}
    copies = {name: in_engine[peer] for name, peer in same.items()} if in_engine else {}
    for point in points:
        calls, answers, errors = _calls({**students, **peers, **copies}, point)
        timings = interleave(calls, seconds, min_rounds=min_rounds, timed=timed)
        for key, timing in timings.items():
            name, neighbors = key.rsplit(", ", 1)
            row = _label(point, name, peers, neighbors) | timing.summary()
            row["structures_per_s"] = len(point.structures) / timing.median_s
            row["atoms_per_s"] = point.n_atoms / timing.median_s
            if name in same:
                row |= {"same_as": same[name]} | _differences(answers[name], answers.get(same[name]))
            if name not in peers:
                others = {peer: f"{peer}, {neighbors}" for peer in ([same[name]] if name in same else peers)}
                row["latency_ratio"] = {
                    peer: ratio(timings[other], timing) for peer, other in others.items() if other in timings
                }
            rows.append(row)
        for name, error in errors.items():
            whose = {"same_as": same[name]} if name in same else {}
            rows.append(_label(point, name, peers, SEARCHED) | whose | {"error": error})
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
        own = [row for row in here if not row["is_peer"] and "same_as" not in row]
        if not own:
            continue
        best = min(own, key=lambda row: row["latency_ms_median"])
        found += [_beside(best, peer) for peer in here if peer["is_peer"] and peer["network"] in best["latency_ratio"]]
    return found


def beside_themselves(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Find the network of each peer in the compiled engine beside the peer, for each point.

    Returns:
        Rows as ``fastest`` returns them, with ``energy_difference_eV`` and ``force_difference_eV_per_A`` besides.
    """
    found = []
    for row in (row for row in rows if row.get("latency_ratio") and "same_as" in row):
        (peer,) = (other for other in rows if other["network"] == row["same_as"] and _place(other) == _place(row))
        differences = {name: row[name] for name in ("energy_difference_eV", "force_difference_eV_per_A")}
        found.append(_beside(row, peer) | {"runtime": "engine"} | differences)
    return found


def _beside(own: Mapping[str, Any], peer: Mapping[str, Any]) -> dict[str, Any]:
    """The row of ``own`` beside that of a peer at the same point."""
    return {
        **{name: own[name] for name in ("system_size", "batch_size", "n_atoms", "neighbors")},
        "runtime": own["network"],
        "peer": peer["network"],
        "latency_ms_median": own["latency_ms_median"],
        "peer_latency_ms_median": peer["latency_ms_median"],
        "atoms_per_s": own["atoms_per_s"],
        "peer_atoms_per_s": peer["atoms_per_s"],
        "times_faster": own["latency_ratio"][peer["network"]],
    }


Answer = tuple[np.ndarray, np.ndarray]  # energies and forces


def _differences(one: Answer, other: Answer | None) -> dict[str, float]:
    """The largest differences of energies and forces; none if the other network gave none."""
    if other is None:
        return {}
    energy, force = (float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))
    return {"energy_difference_eV": energy, "force_difference_eV_per_A": force}


def _calls(
    networks: Mapping[str, BatchPredictor], point: Point
) -> tuple[dict[str, Call], dict[str, Answer], dict[str, str]]:
    """Return the calls by network, with neighbors searched and known, and the answers and the errors by network."""
    calls: dict[str, Call] = {}
    answers: dict[str, Answer] = {}
    errors: dict[str, str] = {}
    for name, network in networks.items():
        try:
            answers[name] = network.evaluate(point.structures)
            _check(answers[name], point)
            prepared = network.prepare(point.structures)
        except Exception as error:  # whatever a network raises is a result
            errors[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        calls[f"{name}, {SEARCHED}"] = partial(network.evaluate, point.structures)
        if prepared is not None:
            calls[f"{name}, {KNOWN}"] = prepared
    return calls, answers, errors


def _check(found: Answer, point: Point) -> None:
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
