"""The table of what going on from a trained student is worth on few data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.report.markdown import code
from assay.report.wording import count, number, percent
from assay.workflow.markdown import table

RESULT = "results/fine_tuning.json"


def collect(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the training records of students of the same data say of their errors, as ``RESULT`` holds it."""
    keys = ("force_accuracy", "force_mae_eV_per_A", "energy_mae_eV_per_atom")
    first = records[0]
    rows = [
        {
            "student": record["student"],
            "from": Path(record["from"]["path"]).stem if "from" in record else None,
            "n_parameters": record["n_parameters"],
            "steps": record["curve"][-1]["step"],
            "before": record.get("before"),
            "after": {key: record["curve"][-1][key] for key in keys},
        }
        for record in records
    ]
    return {
        "teacher": first["teacher"]["name"],
        "n_structures": first["n_structures"],
        "split": first["split"],
        "device_name": first["device_name"],
        "created_utc": first["created_utc"],
        "threads": first["threads"],
        "torch": first["versions"]["torch"],
        "students": rows,
    }


def fine_tuning(figures: Mapping[str, Any]) -> str:
    """Errors of students that began with new weights beside those that went on from a trained one."""
    found = figures.get("fine_tuning")
    if found is None:
        return "This was not tried in this run: `snakemake fine_tuning` does that."
    rows = []
    for row in found["students"]:
        begun = code(row["from"]) if row["from"] else "new weights"
        rows.append(
            [
                begun,
                count(row["n_parameters"]),
                count(row["steps"]),
                percent(row["before"]["force_accuracy"]) if row["before"] else "–",
                percent(row["after"]["force_accuracy"]),
                number(1e3 * row["after"]["force_mae_eV_per_A"]),
                number(1e3 * row["after"]["energy_mae_eV_per_atom"]),
            ]
        )
    columns = [
        "begun from",
        "parameters",
        "steps",
        "force accuracy before",
        "after",
        "force MAE (meV/Å)",
        "energy MAE (meV/atom)",
    ]
    threads = "one thread" if found["threads"] == 1 else f"{found['threads']} threads"
    return (
        f"{table(columns, rows)}\n\nThe teacher is {found['teacher']}; {found['split']}. Measured on "
        f"{found['created_utc'][:10]} on {found['device_name']} with {threads}, by torch {found['torch']}."
    )


FINE_TUNING = {"fine-tuning": fine_tuning}
