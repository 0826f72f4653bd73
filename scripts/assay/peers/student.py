"""One student beside its peers: networks of its size and elements, on structures that it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ase.data import atomic_numbers as number_of

from assay.benchmark.points import choose_points
from assay.benchmark.timing import clock
from assay.peers.compare import beside_themselves, fastest, time_beside_peers
from assay.peers.network import Size, in_engine, load_peers
from assay.predictors.interface import BatchPredictor
from assay.structures.structure import Structure, atomic_numbers, knows
from assay.workflow.config_models.config_yaml import Benchmark


def beside_peers(
    card: Mapping[str, Any],
    runtimes: Mapping[str, BatchPredictor],
    folders: Mapping[str, Path],
    structures: Sequence[Structure],
    settings: Benchmark,
    device: str = "cpu",
) -> dict[str, Any]:
    """Time a student beside the peers of its size, on the structures of elements that it knows.

    Args:
        card: the content of ``model.json``.
        runtimes: the runtimes of the student by name.
        folders: the folder of each installed package, by its name in ``PEERS``.
        structures: those of the data.
        settings: which structures are timed, and for how long.
        device: "cpu" or "cuda".

    Returns:
        What ``peers.json`` says of the student: rows, and what its peers are. Where it knows no structure whole, it has
        ``not_applicable`` with the reason, and no rows.

    Raises:
        AssayError: there is no structure.
    """
    about = {"checkpoint_sha256": card["checkpoint_sha256"], "n_parameters": card["n_parameters"]}
    known = [structure for structure in structures if knows(card["elements"], structure)]
    if structures and not known:
        reason = "every structure of the splits holds elements that it does not know"
        return about | {"not_applicable": reason, "peers": {}, "fastest": [], "in_engine": [], "rows": []}
    points = choose_points(known, settings)
    shape, named = card["hyperparameters"], card["elements"]
    elements = atomic_numbers(known) if named is None else {number_of[symbol] for symbol in named}
    size = Size(card["n_parameters"], shape["n_blocks"], shape["n_rbf"], shape["cutoff_A"], tuple(sorted(elements)))
    peers, told = load_peers(folders, size, device)
    same, reasons = in_engine(peers) if device == "cpu" else ({}, {})
    for package, reason in reasons.items():
        told[package]["not_in_engine"] = reason
    rows = time_beside_peers(runtimes, peers, points, settings.seconds, settings.min_rounds, clock(device), same)
    return about | {"peers": told, "fastest": fastest(rows), "in_engine": beside_themselves(rows), "rows": rows}
