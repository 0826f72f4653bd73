"""The check that equal inputs give equal bits, run after run and with any number of threads."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from assay.predictors.interface import BatchPredictor, load_predictor
from assay.structures.structure import Structure


def check_determinism(path: Path, batch: Sequence[Structure], runs: int, threads: Sequence[int]) -> dict[str, Any]:
    """Evaluate a batch again and again, and count the different results.

    Args:
        path: the exported file.
        batch: the structures of one call.
        runs: how many evaluations there are with each number of threads.
        threads: numbers of CPU threads.
    """
    before = torch.get_num_threads()
    counts: dict[int, Counter[str]] = {}
    try:
        for number in threads:
            predictor = load_predictor(path, threads=number)
            assert isinstance(predictor, BatchPredictor)
            counts[number] = count_results(predictor.evaluate, batch, runs)
    finally:
        torch.set_num_threads(before)
    return {
        "runs": runs,
        "n_atoms": sum(map(len, batch)),
        "different_results_by_threads": {str(number): len(count) for number, count in counts.items()},
        "same_for_all_threads": len(set().union(*counts.values())) == 1,
        "passed": all(len(count) == 1 for count in counts.values()),
    }


def count_results(evaluate: Callable, batch: Sequence[Structure], runs: int) -> Counter[str]:
    """Evaluate a batch again and again, and count how often each result came, by its SHA-256."""
    results: Counter[str] = Counter()
    for _ in range(runs):
        energy, forces = evaluate(batch)
        results[hashlib.sha256(energy.tobytes() + forces.tobytes()).hexdigest()] += 1
    return results
