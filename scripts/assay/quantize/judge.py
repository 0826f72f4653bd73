"""What a quantized model gains (size, time) and costs (errors, consistency, drift), beside float32 in the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assay import dynamics
from assay.predictors import BatchPredictor, Predictor, load_predictor
from assay.structures import Structure
from assay.timing import interleave, ratio

STEP_A = 0.01  # half of a finite difference: above float32's noise in the energy, below what curvature hides


@dataclass(frozen=True)
class Motion:
    """The dynamics at constant energy that drift is read from: temperature_K, step_fs, duration_fs."""

    temperature_K: float
    step_fs: float
    duration_fs: float


@dataclass(frozen=True)
class Limits:
    """What a scheme must reach to be worth shipping; see config.yaml for the reasons."""

    size_ratio: float
    latency_ratio: float
    force_mae_increase_relative: float
    energy_force_consistency: float
    drift_ratio: float


def errors(predictor: Predictor, structures: Sequence[Structure]) -> dict[str, float]:
    """Force MAE (eV/angstrom) and energy MAE (eV/atom) against the labels of ``structures``."""
    predictions = predictor.predict(structures)
    forces = [p.forces_eV_per_A - s.forces_eV_per_A for p, s in zip(predictions, structures, strict=True)]
    energies = [(p.energy_eV - s.energy_eV) / len(s) for p, s in zip(predictions, structures, strict=True)]
    return {
        "force_mae_eV_per_A": float(np.abs(np.concatenate(forces)).mean()),
        "energy_mae_eV_per_atom": float(np.abs(energies).mean()),
    }


def consistency(predictor: Predictor, structures: Sequence[Structure], seed: int = 0) -> float:
    """RMS difference between forces along random directions and finite differences of the energy, over the RMS of
    those forces: 0 for an exact gradient.
    """
    rng = np.random.default_rng(seed)
    directions = [rng.standard_normal((len(s), 3)) for s in structures]
    directions = [u / np.linalg.norm(u) for u in directions]
    shifted = [
        replace(s, positions=s.positions + sign * STEP_A * u)
        for sign in (1, -1)
        for s, u in zip(structures, directions, strict=True)
    ]
    energies = np.array([p.energy_eV for p in predictor.predict(shifted)]).reshape(2, -1)
    slope = -(energies[0] - energies[1]) / (2 * STEP_A)
    here = predictor.predict(structures)
    force = np.array([(p.forces_eV_per_A * u).sum() for p, u in zip(here, directions, strict=True)])
    return float(np.sqrt(((slope - force) ** 2).mean() / (force**2).mean()))


def drift(predictor: Predictor, structures: Sequence[Structure], motion: Motion) -> float | None:
    """Median over molecules of |slope of the conserved energy| at constant energy, meV/atom/ps; None if one blew up."""
    run = dynamics.run(
        predictor,
        structures,
        temperature_K=motion.temperature_K,
        step_fs=motion.step_fs,
        n_steps=round(motion.duration_fs / motion.step_fs),
    )
    if not np.isnan(run.blown_up_fs).all():
        return None
    slopes = np.polyfit(run.time_fs / 1e3, run.shadow_eV * 1e3, 1)[0]
    return float(np.median(np.abs(slopes) / [len(s) for s in structures]))


def compare(
    files: Mapping[str, Path],
    unseen: Sequence[Structure],
    motion: Motion,
    n_moving: int,
    seconds: float,
    threads: int,
) -> dict[str, dict[str, Any]]:
    """Measure every file beside "fp32".

    Args:
        files: model files by name, "fp32" among them.
        unseen: labelled structures, 32 at least.
        motion: see ``Motion``.
        n_moving: how many of the structures are moved and differenced.
        seconds: for which each call is timed.
        threads: of the CPU.
    """
    predictors = {name: load_predictor(path, threads=threads) for name, path in files.items()}
    timings = {
        size: interleave({name: partial(_evaluate, p, unseen[:size]) for name, p in predictors.items()}, seconds)
        for size in (1, 32)
    }
    exact = errors(predictors["fp32"], unseen)
    moving = sorted(unseen, key=len)[:: max(1, len(unseen) // n_moving)][:n_moving]
    rows = {}
    for name, predictor in predictors.items():
        own = errors(predictor, unseen)
        rows[name] = {
            "size_bytes": files[name].stat().st_size,
            "size_ratio": files[name].stat().st_size / files["fp32"].stat().st_size,
            "latency_ratio_batch1": float(ratio(timings[1][name], timings[1]["fp32"])["median"]),
            "latency_ratio_batch32": float(ratio(timings[32][name], timings[32]["fp32"])["median"]),
            "latency": {f"batch{size}": timing[name].summary() for size, timing in timings.items()},
            **own,
            **{f"{key.split('_mae')[0]}_mae_increase_relative": own[key] / exact[key] - 1 for key in exact},
            "energy_force_consistency": consistency(predictor, moving),
            "nve_drift_meV_per_atom_per_ps": drift(predictor, moving, motion),
        }
    return rows


def choose(rows: Mapping[str, Mapping[str, Any]], limits: Limits) -> dict[str, Any]:
    """The scheme to ship, whether to use it, and why, in a sentence.

    Args:
        rows: of ``compare``; "fp32" is what others are held against.
        limits: see ``Limits``.
    """
    failed = {name: _failed(row, rows["fp32"], limits) for name, row in rows.items() if name != "fp32"}

    def rank(name: str) -> tuple[int, float]:
        return len(failed[name]), rows[name]["force_mae_increase_relative"]

    chosen = min(failed, key=rank)
    row = rows[chosen]
    figures = (
        f"{row['size_ratio']:.2f} of the size, {row['latency_ratio_batch1']:.2f} of the time at batch 1 and "
        f"{row['latency_ratio_batch32']:.2f} at batch 32, force MAE {100 * row['force_mae_increase_relative']:+.1f} %"
    )
    if failed[chosen]:
        reason = (
            f"do not use INT8 for this one: {chosen} comes closest and fails {', '.join(failed[chosen])} ({figures})"
        )
    else:
        reason = f"{chosen} holds every limit and changes forces least ({figures})"
    return {"chosen": chosen, "recommended": not failed[chosen], "reason": reason, "failed_limits": failed}


def _failed(row: Mapping[str, Any], exact: Mapping[str, Any], limits: Limits) -> list[str]:
    drifts = row["nve_drift_meV_per_atom_per_ps"], exact["nve_drift_meV_per_atom_per_ps"]
    passed = {
        "size_ratio": row["size_ratio"] <= limits.size_ratio,
        "latency_ratio_batch1": row["latency_ratio_batch1"] <= limits.latency_ratio,
        "latency_ratio_batch32": row["latency_ratio_batch32"] <= limits.latency_ratio,
        "force_mae_increase_relative": row["force_mae_increase_relative"] <= limits.force_mae_increase_relative,
        "energy_force_consistency": row["energy_force_consistency"] <= limits.energy_force_consistency,
        "nve_drift": drifts[0] is not None and (drifts[1] is None or drifts[0] <= limits.drift_ratio * drifts[1]),
    }
    return [name for name, ok in passed.items() if not ok]


def _evaluate(predictor: BatchPredictor, structures: Sequence[Structure]) -> None:
    predictor.evaluate(structures)
