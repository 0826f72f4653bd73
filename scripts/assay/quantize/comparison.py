"""What a quantized model gains (size, time) and costs (errors, consistency, drift), beside float32 in one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assay.benchmark.timing import interleave, ratio
from assay.data import read_examples
from assay.dynamics.run import run_dynamics
from assay.predictors.interface import BatchPredictor, Predictor, load_predictor
from assay.quantize.sessions import integer_share
from assay.structures.geometry import cut_out, moved
from assay.structures.structure import Structure, knows, nearest_in_size
from assay.workflow.errors import AssayError
from assay.workflow.teachers import labelled_by, whose_labels

ROUNDS = {1: 4, 32: 1}  # factor of the rounds by batch size: other processes disturb the shortest calls most
BATCH_SIZES = tuple(ROUNDS)
AGAIN = "fp32 in a second session"
CLUSTER_ATOMS = (12, 41)  # the fewest and, less one, the most atoms of a cluster that is cut out of a crystal
NONE_KNOWN = (
    "no file of labelled structures has open ones of elements that the model knows: name one as dataset.validation"
)
STEP_A = 0.01  # half the step of a finite difference: its energies differ by more than float32's noise


@dataclass(frozen=True)
class Motion:
    """The dynamics at constant energy that the drift is read from.

    Attributes:
        temperature_K: temperature of the first velocities.
        step_fs: time step, fs.
        duration_fs: length of a run, fs.
    """

    temperature_K: float
    step_fs: float
    duration_fs: float


@dataclass(frozen=True)
class Limits:
    """The limits that a scheme must hold to be worth shipping; config.yaml gives the reasons."""

    size_ratio: float
    latency_ratio_batch1: float
    latency_ratio_batch32: float
    force_mae_increase_relative: float
    energy_force_consistency: float
    drift_ratio: float


def sample_known(
    sources: Sequence[str | Mapping[str, Any]], count: int, seed: int, elements: Sequence[str] | None
) -> list[Structure]:
    """Draw at most ``count`` structures at random from the first labelled file that has some for model.onnx.

    It takes open structures, of elements that the model knows. Where the files have crystals alone, clusters are cut
    out of them, which have no labels (see ``with_usual_errors``).

    Args:
        sources: labelled files, each given as to ``read_dataset``.
        count: the largest number of structures.
        seed: seed of the draw.
        elements: symbols of the elements that the model knows; None if it takes all.

    Raises:
        AssayError: no file has any.
    """
    found = _draw(sources, count, seed, elements)
    if not found:
        raise AssayError(NONE_KNOWN)
    return found


def _draw(
    sources: Sequence[str | Mapping[str, Any]], count: int, seed: int, elements: Sequence[str] | None
) -> list[Structure]:
    """The structures of ``sample_known``; none if no file has any."""
    rng, crystals = np.random.default_rng(seed), []
    for source in sources:
        every = [structure for structure in read_examples([source]) if knows(elements, structure)]
        known = [structure for structure in every if not structure.pbc.any()]
        if known:
            return [known[k] for k in rng.permutation(len(known))[:count]]
        crystals += [structure for structure in every if structure.pbc.all()]
    return [_cluster(crystals[k], rng) for k in rng.integers(len(crystals), size=count)] if crystals else []


def sample_unseen(
    sources: Sequence[str | Mapping[str, Any]],
    teacher: str | None,
    count: int,
    seed: int,
    elements: Sequence[str] | None,
) -> tuple[list[Structure], dict[str, Any]]:
    """Draw structures to judge a student on: of files that its own teacher labelled, else of files whose teacher is
    unknown, and only without either of those that another teacher labelled.

    Args:
        sources, count, seed, elements: as in ``sample_known``; a source may name its ``teacher``.
        teacher: the name of the student's teacher; None if it is unknown.

    Returns:
        The structures; and whose their labels are, as ``whose_labels`` says it.

    Raises:
        AssayError: no file has any.
    """
    for group, whose in _by_teacher(sources, teacher):
        if found := _draw(group, count, seed, elements):
            return found, whose
    raise AssayError(NONE_KNOWN)


def _by_teacher(
    sources: Sequence[str | Mapping[str, Any]], teacher: str | None
) -> Iterator[tuple[list[str | Mapping[str, Any]], dict[str, Any]]]:
    """The files that the student's own teacher labelled, those whose teacher is unknown, those of another; and whose
    their labels are.
    """
    whose = [whose_labels(labelled_by(source), teacher) for source in sources]
    for own in (True, None, False):
        group = [source for source, said in zip(sources, whose, strict=True) if said["own"] is own]
        if group:
            yield group, next(said for said in whose if said["own"] is own)


def _cluster(crystal: Structure, rng: np.random.Generator) -> Structure:
    """Some atoms of a crystal around one of them, as an open structure."""
    first = int(rng.integers(len(crystal)))
    turned = moved(crystal, np.roll(crystal.positions, -first, axis=0))
    turned = replace(turned, atomic_numbers=np.roll(crystal.atomic_numbers, -first))
    return cut_out(turned, int(rng.integers(*CLUSTER_ATOMS)))


def with_usual_errors(
    clusters: Sequence[Structure], exact: Path, usual: Mapping[str, float], seed: int
) -> list[Structure]:
    """Give clusters labels from which the model is as far as it is from those of its held-out structures.

    The labels are its own predictions plus independent normal errors of that mean size, so that what a scheme adds to
    the errors is weighed as it is for labelled structures.

    Args:
        clusters: structures without labels.
        exact: the file of the model in single precision.
        usual: its mean absolute errors, as ``usual_errors`` finds them.
        seed: the seed of the errors.
    """
    rng, of_mean = np.random.default_rng(seed), np.sqrt(np.pi / 2.0)  # a normal error over its mean size
    of_energies, of_forces = of_mean * usual["energy_mae_eV_per_atom"], of_mean * usual["force_mae_eV_per_A"]
    labelled = []
    for cluster, found in zip(clusters, load_predictor(exact).predict(clusters), strict=True):
        labelled.append(
            replace(
                cluster,
                energy_eV=found.energy_eV + len(cluster) * of_energies * rng.normal(),
                forces_eV_per_A=found.forces_eV_per_A + of_forces * rng.normal(size=(len(cluster), 3)),
            )
        )
    return labelled


def usual_errors(
    student: Predictor,
    sources: Sequence[str | Mapping[str, Any]],
    teacher: str | None,
    count: int,
    seed: int,
    elements: Sequence[str] | None,
) -> dict[str, float]:
    """The ``errors`` of a student on labelled crystals, of those that ``sample_unseen`` cuts clusters out of.

    Args:
        student: a predictor of periodic structures.
        sources, teacher, count, seed, elements: as in ``sample_unseen``.

    Raises:
        AssayError: no file has any.
    """
    for group, _ in _by_teacher(sources, teacher):
        crystals = [s for s in read_examples(group) if s.pbc.all() and knows(elements, s)]
        if crystals:
            drawn = np.random.default_rng(seed).permutation(len(crystals))[:count]
            return errors(student, [crystals[k] for k in drawn])
    raise AssayError(NONE_KNOWN)


def typical(structures: Sequence[Structure], count: int) -> list[Structure]:
    """Choose ``count`` structures of about the median size."""
    return nearest_in_size(structures, sorted(map(len, structures))[len(structures) // 2])[:count]


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


def consistency(predictor: Predictor, structures: Sequence[Structure], seed: int = 0) -> float:
    """Compare forces along random directions with finite differences of the energy: 0 for an exact gradient.

    The result is the RMS of their differences over the RMS of those forces.
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
    by_size = sorted(unseen, key=len)
    smaller = by_size[: max(1, len(by_size) // 2)]
    moving = smaller[:: max(1, len(smaller) // n_moving)][:n_moving]
    exact = errors(predictors["fp32"], unseen)
    for name, path in files.items():
        rows[name] |= {
            "size_bytes": path.stat().st_size,
            "size_ratio": path.stat().st_size / files["fp32"].stat().st_size,
        }
        if name not in predictors:
            continue
        own = exact if name == "fp32" else errors(predictors[name], unseen)
        rows[name] |= {
            "integer_products_share": integer_share(path),
            **own,
            "force_mae_increase_relative": own["force_mae_eV_per_A"] / exact["force_mae_eV_per_A"] - 1.0,
            "energy_mae_increase_relative": own["energy_mae_eV_per_atom"] / exact["energy_mae_eV_per_atom"] - 1.0,
            "energy_force_consistency": consistency(predictors[name], moving),
            "nve_drift_meV_per_atom_per_ps": drift(predictors[name], moving, motion),
        }
    return rows


def measure_times(
    files: Mapping[str, Path], unseen: Sequence[Structure], seconds: float, threads: int
) -> dict[str, dict[str, Any]]:
    """Time every file beside "fp32", in turns.

    Args:
        files: model files by name, "fp32" among them.
        unseen: structures, of which those of median size are timed.
        seconds: how long each call of 32 structures is timed; a call of one structure is timed four times as long.
        threads: number of CPU threads.

    Returns:
        A row for each file; that of a file that does not run holds its error. The ratio of times in the row of "fp32"
        compares two sessions of one file, which tells how far the other ratios can be trusted.
    """
    predictors, rows = _load(files, threads)
    again, _ = _load({AGAIN: files["fp32"]}, threads)
    sessions = predictors | again
    times = {size: _times(sessions, typical(unseen, size), rounds * seconds) for size, rounds in ROUNDS.items()}
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
            rows[name]["error"] = str(error.__cause__ or error).splitlines()[0]  # what the runtime itself says
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
    rows: Mapping[str, Mapping[str, Any]], candidates: Sequence[str], limits: Limits, matmul_share: float
) -> dict[str, Any]:
    """Choose the scheme to ship, and say in a sentence whether to use it and why.

    Args:
        rows: the rows of ``measure_costs`` and ``measure_times``, joined; others are held against "fp32".
        candidates: the schemes that may be shipped.
        limits: see ``Limits``.
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


def _failed(row: Mapping[str, Any], exact: Mapping[str, Any], limits: Limits) -> list[str]:
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
