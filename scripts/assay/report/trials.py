"""The tables of the commands that nobody needs for a verdict: what choices in training and smaller forms are worth."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.report.markdown import code, of_others, spread
from assay.report.wording import NOT_MEASURED, count, number, words
from assay.workflow.errors import listing
from assay.workflow.files import atomic_path, read_json
from assay.workflow.markdown import table

TRIALS = {"ablation": "ablate", "compression": "compress"}  # keys of docs/figures.json, and what measures them
STRESS = "stress_mae_eV_per_A3"  # of a row of an ablation whose structures have stresses

Figures = Mapping[str, Any]


def take_over(figures: dict[str, Any], results: Mapping[str, Path], docs: Path) -> dict[str, Any]:
    """The figures together with the results of trials, whose pictures are copied into the documentation.

    Args:
        figures: the content of ``docs/figures.json``.
        results: the JSON file of each trial, by the keys of ``TRIALS``, with a picture of the same name beside it.
        docs: the folder of the documentation.
    """
    for key, path in results.items():
        with atomic_path(docs / f"{key}.svg") as picture:
            shutil.copyfile(path.with_suffix(".svg"), picture)
    return figures | {key: read_json(path) for key, path in results.items()}


def _origin(found: Mapping[str, Any]) -> str:
    return (
        f"Measured on {found['created_utc'][:10]} on one thread of {found['device_name']}, by torch "
        f"{found['versions']['torch']}.{of_others(found['load_of_other_processes'])}"
    )


def _missing(key: str) -> str:
    return f"This was not measured: `snakemake {TRIALS[key]}` does that."


def ablation(figures: Figures) -> str:
    """What each choice in a student and its training is worth at one budget."""
    found = figures.get("ablation")
    if found is None:
        return _missing("ablation")
    rows, with_stress = [], any(STRESS in row for row in found["rows"])
    for row in found["rows"]:
        force, energy = row["force_mae_eV_per_A"], row["energy_mae_eV_per_atom"]
        change = words(row["setting"].replace("+", ", "))
        rows.append(
            [
                change,
                count(row["n_parameters"]),
                number(row["time_ratio"]["median"]),
                number(1e3 * force["mean"]),
                _interval(force),
                _interval(energy),
                *([_interval(row[STRESS])] if with_stress else []),
                force["says"] or "–",
            ]
        )
    first = found["rows"][0]
    heads = ["setting", "parameters", "time", "force MAE (meV/Å)", "force error", "energy error"]
    heads += [*(["stress error"] if with_stress else []), "forces are"]
    minutes, seeds = number(found["training_seconds"] / 60), len(first["seeds"])
    text = (
        f"{_origin(found)} Each setting was trained for {count(first['steps'])} steps from {seeds} seeds. "
        f"All trainings together took {minutes} minutes."
    )
    return f"{table(heads, rows)}\n\n{text}"


def _interval(error: Mapping[str, Any]) -> str:
    """A ratio to the base, with its interval."""
    if error["low"] is None:
        return number(error["ratio"])
    return f"{number(error['ratio'])} ({number(error['low'])}–{number(error['high'])})"


def compression(figures: Figures) -> str:
    """Size, time, errors and physics of each smaller form of a student, and the recommendation."""
    found = figures.get("compression")
    if found is None:
        return _missing("compression")
    rows, with_stress = [], any(row.get("stress_mae_ratio") is not None for row in found["rows"])
    for row in found["rows"]:
        ratio = row["time_ratio"]
        time = f"≥ {number(ratio['median'])}" if row["kind"] == "table" else spread(ratio)
        failed = listing([words(name) for name in row["failed"]]) or "none"
        rows.append(
            [
                row["form"],
                number(row["size_ratio"]),
                time,
                number(row["force_mae_ratio"]),
                number(row["energy_mae_ratio"]),
                *([number(row["stress_mae_ratio"])] if with_stress else []),
                number(row["energy_force_consistency"], 2),
                number(row["nve_drift_meV_per_atom_per_ps"], 2),
                NOT_MEASURED if row["verdict"] is None else failed,
            ]
        )
    heads = ["form", "size", "time", "force error", "energy error", *(["stress error"] if with_stress else [])]
    heads += ["forces − slope", "drift (meV/atom/ps)", "fails"]
    says = f"{code(found['variant'])}: {found['recommendation']['says']}"
    return f"{table(heads, rows)}\n\n{says}\n\n{_origin(found)}"
