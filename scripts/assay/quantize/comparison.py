"""What a quantized model gains (size, time) and costs (errors, consistency, drift), beside float32 in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assay.benchmark.timing import interleave, ratio
from assay.dynamics.run import run_dynamics
from assay.physics.base import STENCIL
from assay.predictors.interface import BatchPredictor, Predictor, load_predictor
from assay.quantize.sessions import integer_share
from assay.structures.structure import NO_FORCES_eV_per_A, Structure, evenly, typical_batch
from assay.workflow.config_models.physics_yaml import Motion, QuantizeLimits
from assay.workflow.errors import AssayError, reason_of

ROUNDS = {1: 4, 32: 1}  # factor of the rounds by batch size: other processes disturb the shortest calls most
BATCH_SIZES = tuple(ROUNDS)
AGAIN = "fp32 in a second session"
STEP_A = 0.01  # of a finite difference: its energies differ by more than float32's noise


def errors(predictor: Predictor, structures: Sequence[Structure]) -> dict[str, float]:
    """Return force MAE (eV/angstrom) and energy MAE (eV/atom) against the labels of ``structures``."""
    predictions = predictor.predict(structures)
    forces = [p.forces_eV_per_A - s.forces_eV_per_A for p, s in zip(predictions, structures, strict=True)]
    labelled = np.array([s.energy_eV for s in structures], dtype=np.float64)
    sizes = np.array([len(s) for s in structures])
    energies = (np.array([p.energy_eV for p in predictions]) - labelled) / sizes
    return {
        "force_mae_eV_per_A": float(np.abs(np.concatenate(forces)).mean()),
        "energy_mae_eV_per_atom": float(np.abs(energies).mean()),
    }


def consistency(predictor: Predictor, structures: Sequence[Structure]) -> float:
    """Compare forces along random directions with finite differences of the energy: 0 for an exact gradient.

    The result is the RMS of their differences over the RMS of those forces. The differences are of the fourth order, so
    that forces which are small beside the curvature, as in relaxed structures, are resolved as well.
    """
    rng = np.random.default_rng(0)
    directions = [rng.standard_normal((len(s), 3)) for s in structures]
    directions = [u / np.linalg.norm(u) for u in directions]
    shifted = [
        replace(s, positions=s.positions + n * STEP_A * u)
        for n, _ in STENCIL
        for s, u in zip(structures, directions, strict=True)
    ]
    energies = np.array([p.energy_eV for p in predictor.predict(shifted)]).reshape(len(STENCIL), -1)
    slope = -np.array([weight for _, weight in STENCIL]) @ energies / STEP_A
    here = predictor.predict(structures)
    force = np.array([(p.forces_eV_per_A * u).sum() for p, u in zip(here, directions, strict=True)])
    return float(np.sqrt(((slope - force) ** 2).mean() / (force**2).mean()))


def drift(predictor: Predictor, structures: Sequence[Structure], motion: Motion) -> float | None:
    """Return the drift of the energy in dynamics at constant energy, meV/atom/ps; None if a molecule blew up.

    It is the median over molecules of the absolute slope of the conserved energy.
    """
    run = run_dynamics(
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


def costs(
    predictor: Predictor, structures: Sequence[Structure], moving: Sequence[Structure], motion: Motion
) -> dict[str, Any]:
    """The errors of a form of a student on labelled structures, and how well its forces keep the energy.

    Args:
        predictor: the form.
        structures: labelled structures.
        moving: those that are moved, and displaced for ``consistency``; see ``moving_molecules``.
        motion: the dynamics that the drift is read from.
    """
    return errors(predictor, structures) | {
        "energy_force_consistency": consistency(predictor, moving),
        "nve_drift_meV_per_atom_per_ps": drift(predictor, moving, motion),
    }


def moving_molecules(structures: Sequence[Structure], count: int) -> list[Structure]:
    """So many of the smaller half of labelled structures, evenly over their sizes.

    Those of symmetry, whose atoms feel no forces, are left out where there are others.
    """
    felt = [s for s in structures if s.forces_eV_per_A is not None and np.std(s.forces_eV_per_A) > NO_FORCES_eV_per_A]
    by_size = sorted(felt or structures, key=len)
    return evenly(by_size[: max(1, len(by_size) // 2)], count)


def measure_costs(
    files: Mapping[str, Path], unseen: Sequence[Structure], motion: Motion, n_moving: int, threads: int
) -> dict[str, dict[str, Any]]:
    """Measure what every file costs beside "fp32": size, errors, consistency and drift.

    Args:
        files: model files by name, "fp32" among them.
        unseen: labelled structures; some of the smaller ones are moved.
        motion: the dynamics that the drift is read from.
        n_moving: how many structures are moved, and differenced for ``consistency``.
        threads: number of CPU threads.

    Returns:
        A row for each file; that of a file that does not run holds its error.
    """
    predictors, rows = _load(files, threads)
    moving = moving_molecules(unseen, n_moving)
    found = {name: costs(predictor, unseen, moving, motion) for name, predictor in predictors.items()}
    for name, path in files.items():
        rows[name] |= {
            "size_bytes": path.stat().st_size,
            "size_ratio": path.stat().st_size / files["fp32"].stat().st_size,
        }
        if name not in predictors:
            continue
        own, exact = found[name], found["fp32"]
        rows[name] |= {
            "integer_products_share": integer_share(path),
            **own,
            "force_mae_increase_relative": own["force_mae_eV_per_A"] / exact["force_mae_eV_per_A"] - 1.0,
            "energy_mae_increase_relative": own["energy_mae_eV_per_atom"] / exact["energy_mae_eV_per_atom"] - 1.0,
        }
    return rows


def measure_times(
    files: Mapping[str, Path], unseen: Sequence[Structure], seconds: float, threads: int
) -> dict[str, dict[str, Any]]:
    """Time every file beside "fp32", in turns.

    Args:
        files: model files by name, "fp32" among them.
        unseen: structures, of which those of median size are timed, repeated where they are fewer than a call takes.
        seconds: how long each call of 32 structures is timed; a call of one structure is timed four times as long.
        threads: number of CPU threads.

    Returns:
        A row for each file; that of a file that does not run holds its error. The ratio of times in the row of "fp32"
        compares two sessions of one file, which tells how far the other ratios can be trusted.
    """
    predictors, rows = _load(files, threads)
    again, _ = _load({AGAIN: files["fp32"]}, threads)
    sessions = predictors | again
    times = {size: _times(sessions, typical_batch(unseen, size), rounds * seconds) for size, rounds in ROUNDS.items()}
    for name in predictors:
        rows[name] |= {f"latency_ratio_batch{size}": times[size][name]["ratio"]["median"] for size in BATCH_SIZES}
        rows[name]["latency"] = {f"batch{size}": times[size][name] for size in BATCH_SIZES}
    return rows


def _load(files: Mapping[str, Path], threads: int) -> tuple[dict[str, BatchPredictor], dict[str, dict[str, Any]]]:
    """Load the files that run here, and begin a row for each file, with the error of one that does not."""
    predictors: dict[str, BatchPredictor] = {}
    rows: dict[str, dict[str, Any]] = {name: {} for name in files}
    for name, path in files.items():
        try:
            predictor = load_predictor(path, threads=threads)
        except AssayError as error:
            rows[name]["error"] = reason_of(error.__cause__ or error, 400)  # what the runtime itself says
            continue
        assert isinstance(predictor, BatchPredictor)
        predictors[name] = predictor
    return predictors, rows


def _times(
    predictors: Mapping[str, BatchPredictor], structures: Sequence[Structure], seconds: float
) -> dict[str, dict[str, Any]]:
    """Time all predictors on one batch in turns: the latency of each, and its ratio to that of "fp32".

    The ratio of "fp32" is that of its second session, ``AGAIN``.
    """
    timings = interleave({name: partial(p.evaluate, structures) for name, p in predictors.items()}, seconds)
    n_atoms = sum(map(len, structures))
    return {
        name: {
            "n_atoms": n_atoms,
            "ratio": ratio(timings[AGAIN] if name == "fp32" else timing, timings["fp32"]),
            **timing.summary(),
        }
        for name, timing in timings.items()
    }


def choose_scheme(
    rows: Mapping[str, Mapping[str, Any]], candidates: Sequence[str], limits: QuantizeLimits, matmul_share: float
) -> dict[str, Any]:
    """Choose the scheme to ship, and say in a sentence whether to use it and why.

    Args:
        rows: the rows of ``measure_costs`` and ``measure_times``, joined; others are held against "fp32".
        candidates: the schemes that may be shipped.
        limits: what a scheme must hold.
        matmul_share: the share of matrix products in the time of float32, which bounds what integers can save.

    Raises:
        AssayError: if no candidate runs.
    """
    failed = {name: _failed(rows[name], rows["fp32"], limits) for name in candidates if "error" not in rows[name]}
    if not failed:
        raise AssayError("no eight-bit file of this student runs here: install the onnxruntime of envs/core.txt")

    def rank(name: str) -> tuple[int, float]:
        return len(failed[name]), rows[name]["force_mae_increase_relative"]

    chosen = min(failed, key=rank)
    row = rows[chosen]
    figures = (
        f"{row['size_ratio']:.2f} of the size, {row['latency_ratio_batch1']:.2f} of the time at batch 1 and "
        f"{row['latency_ratio_batch32']:.2f} at batch 32, force MAE {100 * row['force_mae_increase_relative']:+.1f} %"
    )
    if not failed[chosen]:
        reason = f"{chosen} holds every limit and changes forces least ({figures})"
    else:
        reason = (
            f"do not use INT8 for this one{_unless(failed[chosen])}: {chosen} comes closest and fails "
            f"{', '.join(failed[chosen])} ({figures}); matrix products are {100 * matmul_share:.0f} % of the time of "
            f"fp32 at batch 32, so that integer products could not bring it below {1.0 - matmul_share:.2f}"
        )
    return {"chosen": chosen, "recommended": not failed[chosen], "reason": reason, "failed_limits": failed}


def on_labels_of(decision: Mapping[str, Any], whose: Mapping[str, Any]) -> dict[str, Any]:
    """The decision of ``choose_scheme`` with whose labels it rests on, as ``labelled_by``.

    Beside the difference of two teachers a growth of the error looks small, so that nothing is recommended then.
    """
    result = dict(decision) | {"labelled_by": dict(whose)}
    if whose["own"] is False:
        result["recommended"] = False
        result["reason"] = (
            f"do not use INT8 before its errors are judged by its own teacher: the structures here are "
            f"{whose['sentence']}; name a split of its own teacher under `dataset: splits`. Apart from that "
            f"{decision['reason']}"
        )
    return result


def _unless(failed: Sequence[str]) -> str:
    return " unless its file is too large" if failed == ["latency_ratio_batch32"] else ""


def _failed(row: Mapping[str, Any], exact: Mapping[str, Any], limits: QuantizeLimits) -> list[str]:
    drifts = row["nve_drift_meV_per_atom_per_ps"], exact["nve_drift_meV_per_atom_per_ps"]
    passed = {
        "size_ratio": row["size_ratio"] <= limits.size_ratio,
        "latency_ratio_batch1": row["latency"]["batch1"]["ratio"]["p5"] <= limits.latency_ratio_batch1,
        "latency_ratio_batch32": row["latency_ratio_batch32"] <= limits.latency_ratio_batch32,
        "force_mae_increase_relative": row["force_mae_increase_relative"] <= limits.force_mae_increase_relative,
        "energy_force_consistency": row["energy_force_consistency"] <= limits.energy_force_consistency,
        "nve_drift": drifts[0] is not None and (drifts[1] is None or drifts[0] <= limits.drift_ratio * drifts[1]),
    }
    return [name for name, ok in passed.items() if not ok]
