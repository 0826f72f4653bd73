"""Size, time, errors and physics of each form of a student, and the recommendation that follows from them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from assay.benchmark.models import time_beside_first
from assay.compression.tables import TERMS, tabulated
from assay.models import PaiNN, Potential, build_model, count_parameters
from assay.physics.base import Subject
from assay.physics.checks import CHECKS, measure
from assay.physics.reference import Reference
from assay.physics.verdict import verdict_of
from assay.predictors.interface import Predictor
from assay.predictors.networks import predictor_of
from assay.quantize.comparison import costs, moving_molecules
from assay.structures.structure import Structure
from assay.workflow.config_models.physics_yaml import Motion
from assay.workflow.progress import progress

ERRORS = {"force_mae": "eV_per_A", "energy_mae": "eV_per_atom", "stress_mae": "eV_per_A3"}  # with their units
STUDENT, FEW_TERMS = "student", "few terms"
NETWORK, BITS = "network", "bits"  # kinds of rows: forms that a file can hold and a runtime computes
TABLE, FACTORS = "table", "factors"  # and what no file holds as it is counted here


def compare(
    student: PaiNN,
    forms: Mapping[str, tuple[Potential, int]],
    quantization: Mapping[str, Any],
    test: Sequence[Structure],
    reference: Reference,
    settings: Mapping[str, Any],
    physics: Mapping[str, Any],
    teacher: str | None,
    elements: frozenset[int] | None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure a student and all its forms, and decide what is worth shipping.

    Args:
        student: the network.
        forms: the networks of its forms by name, each with the count of its numbers.
        quantization: the content of the student's quantization.json.
        test: labelled structures.
        reference: what the physics checks hold students against.
        settings: the section `compress` of the config.
        physics: ``seed``, ``dynamics`` and ``thresholds`` of the section `physics`.
        teacher: the name of the student's teacher; None if it is unknown.
        elements: the atomic numbers that the student knows; None for all.

    Returns:
        A row for each form, the student's first, and the ``recommendation``.
    """
    n_student = count_parameters(student)
    tables = {f"table-{points}": (tabulated(student, points), n_student) for points in settings["table_points"]}
    every: dict[str, tuple[Potential, int]] = {STUDENT: (student, n_student), **forms}
    ratios, of_tables = times({name: model for name, (model, _) in every.items()}, test, settings["seconds"])
    moving, motion = moving_molecules(test, settings["molecules"]), Motion(**settings["motion"])
    names = [name for name in CHECKS if name not in settings["without_checks"]]
    rows: list[dict[str, Any]] = []
    for name, (model, n_numbers) in progress([*every.items(), *tables.items()], unit="forms", desc="measuring"):
        subject = Subject(
            predictor_of(copy.deepcopy(model).double(), name, elements),
            predictor_of(model, name, elements),
            reference,
            physics["dynamics"],
            physics["seed"],
            teacher,
        )
        judged = verdict_of(measure(subject, names), physics["thresholds"])
        rows.append(
            {
                "form": name,
                "kind": TABLE if name in tables else kind_of(model, n_numbers),
                "n_numbers": n_numbers,
                "size_ratio": n_numbers / n_student,
                "time_ratio": ratios.get(name, of_tables),
                **costs(subject.moving, test, moving, motion),
                "stress_mae_eV_per_A3": stress_mae(subject.moving, test),
                "verdict": judged["verdict"],
                "failed": judged["failed"],
            }
        )
    for row in rows:
        for key, unit in ERRORS.items():
            of_student = rows[0][f"{key}_{unit}"]
            row[f"{key}_ratio"] = None if of_student is None else row[f"{key}_{unit}"] / of_student
    rows += eight_bits(quantization)
    return rows, recommendation(rows, settings["limits"])


def kind_of(model: Potential, n_numbers: int) -> str:
    """The kind of a form's row: a network, or factors whose products its checkpoint holds.

    Args:
        model: the network of the form.
        n_numbers: how many numbers the form counts.
    """
    return NETWORK if n_numbers == count_parameters(model) else FACTORS


def stress_mae(predictor: Predictor, structures: Sequence[Structure]) -> float | None:
    """The mean absolute error of the stress, eV/angstrom^3, of those that are labelled with one; None if none is."""
    labelled = [structure for structure in structures if structure.stress_eV_per_A3 is not None]
    if not labelled:
        return None
    found = np.array([prediction.stress_eV_per_A3 for prediction in predictor.predict(labelled)])
    return float(np.abs(found - np.array([structure.stress_eV_per_A3 for structure in labelled])).mean())


def times(
    forms: Mapping[str, Potential], structures: Sequence[Structure], seconds: float
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Time each form beside the student, in the engine and in turns.

    Args:
        forms: the networks by name, the student first.
        structures: structures of any size.
        seconds: for how long each network is timed.

    Returns:
        The ratios of each form; and that of the student's network with four radial functions: as many products as a
        table is read with, so that no table can take less time.
    """
    student = forms[STUDENT]
    bound = build_model(student.architecture, student.hyperparameters | {"n_rbf": TERMS})
    ratios = time_beside_first({**forms, FEW_TERMS: bound}, structures, seconds)
    return ratios, ratios.pop(FEW_TERMS)


def eight_bits(quantization: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of half precision and of the best scheme of eight bits, beside the file of single precision.

    Args:
        quantization: the content of the student's quantization.json.
    """
    rows = []
    for name, scheme in (("float16", "fp16"), (f"int8 ({quantization['chosen']})", quantization["chosen"])):
        found = quantization["schemes"].get(scheme)
        if found is None or "size_ratio" not in found:
            continue
        rows.append(
            {
                "form": name,
                "kind": BITS,
                "n_numbers": None,
                "recommended": quantization["recommended"] and scheme == quantization["chosen"],
                "size_ratio": found["size_ratio"],
                "time_ratio": found.get("latency", {}).get("batch32", {}).get("ratio"),
                "force_mae_ratio": 1.0 + found["force_mae_increase_relative"],
                "energy_mae_ratio": 1.0 + found["energy_mae_increase_relative"],
                "stress_mae_ratio": None,
                "energy_force_consistency": found["energy_force_consistency"],
                "nve_drift_meV_per_atom_per_ps": found["nve_drift_meV_per_atom_per_ps"],
                "verdict": None,
                "failed": [],
            }
        )
    return rows


def pays(row: Mapping[str, Any], student: Mapping[str, Any], limits: Mapping[str, float]) -> bool:
    """Whether a form is worth shipping instead of the student.

    It must save time or size, not be slower, cost little accuracy, and keep the physics of the student: it fails no
    check that the student passes. Of forms with fewer bits, `snakemake quantize` decides.

    Args:
        row, student: the row of the form, and that of the student.
        limits: `compress: limits` of the config.
    """
    if row["kind"] == BITS:
        return bool(row["recommended"])
    time = row["time_ratio"]["median"]
    saves = row["size_ratio"] <= limits["size_ratio"] or time <= limits["time_ratio"]
    sound = set(row["failed"]) <= set(student["failed"])
    consistent = row["energy_force_consistency"] <= limits["energy_force_consistency"]
    ratios = {f"{key}_ratio": row[f"{key}_ratio"] for key in ERRORS}
    accurate = all(ratio <= limits[key] for key, ratio in ratios.items() if ratio is not None)
    return saves and time <= limits["slowest"] and accurate and sound and consistent and _is_calm(row, student, limits)


def _is_calm(row: Mapping[str, Any], student: Mapping[str, Any], limits: Mapping[str, float]) -> bool:
    """Whether the energy of a form drifts little beside that of the student; it is None where a molecule blew up."""
    own, of_student = (found["nve_drift_meV_per_atom_per_ps"] for found in (row, student))
    return own is not None and (of_student is None or own <= limits["drift_ratio"] * of_student)


def recommendation(rows: Sequence[Mapping[str, Any]], limits: Mapping[str, float]) -> dict[str, Any]:
    """Choose the form that is worth shipping instead of the student: the fastest of those that pay.

    Args:
        rows: the student's row first, then those of its forms; tables, which no engine reads yet, and factors, which
            no file holds, are never chosen.
        limits: as in ``pays``.

    Returns:
        ``form``, or None where nothing pays; and the sentence that ``says`` so.
    """
    student, *others = rows
    built = [row for row in others if row["kind"] in (NETWORK, BITS)]
    paying = [row for row in built if pays(row, student, limits)]
    if not paying:
        networks = [row for row in built if row["kind"] == NETWORK]
        nearest = min(networks, key=lambda row: row["force_mae_ratio"], default=None)
        says = "Nothing pays: no form holds all limits, so keep the student as it is."
        if nearest is not None:
            says += f" The most accurate smaller form is {nearest['form']}, with {_gains_in_words(nearest)}."
        return {"form": None, "says": says}
    best = min(paying, key=lambda row: row["time_ratio"]["median"])
    return {"form": best["form"], "says": f"Ship {best['form']}, with {_gains_in_words(best)}."}


def _gains_in_words(row: Mapping[str, Any]) -> str:
    ratio = row["stress_mae_ratio"]
    of_stress = "" if ratio is None else f" and {ratio:.2f} times that of the stress"
    return (
        f"{row['size_ratio']:.2f} of the size, {row['time_ratio']['median']:.2f} of the time and "
        f"{row['force_mae_ratio']:.2f} times the force error{of_stress}"
    )
