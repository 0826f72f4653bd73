"""The figures that the pages of the documentation show: what ``docs/figures.json`` holds of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from assay.report import speed
from assay.report.evidence import Student
from assay.workflow.files import read_json

OF_THE_RUN = (
    "schema_version",
    "device",
    "device_name",
    "versions",
    "teacher",
    "load_of_other_processes",
)
TIMED = (
    "system_size",
    "batch_size",
    "n_atoms",
    "runtime",
    "latency_ms_median",
    "atoms_per_s",
    "speedup_over_teacher",
    "speedup_over_restarted_teacher",
)
OF_A_PEER = ("name", "package", "version", "width", "n_parameters", "error")
OF_A_SCHEME = (
    "size_ratio",
    "latency_ratio_batch1",
    "latency_ratio_batch32",
    "force_mae_increase_relative",
    "energy_mae_increase_relative",
    "energy_force_consistency",
    "nve_drift_meV_per_atom_per_ps",
    "error",
)


def digest(summary: Mapping[str, Any], students: Sequence[Student], peers: str | Path) -> dict[str, Any]:
    """The content of ``figures.json``: a part of the summary, and what the tables need of each student.

    Args:
        summary: the content of ``summary.json``.
        students: the variants with their results.
        peers: path of ``peers.json``; a missing file is a comparison that was not made.
    """
    return {key: summary[key] for key in OF_THE_RUN} | {
        "created_utc": summary["measured_utc"],
        "data": summary["data"],
        "variants": summary["variants"],
        "forms": summary["forms"],
        "teachers_timed": summary["teachers_timed"],
        "targets": summary["targets"],
        "students": {student.name: _student(student) for student in students},
        "peers": _peers(Path(peers), students),
    }


def _student(student: Student) -> dict[str, Any]:
    """What is known of one student; null for what was not measured."""
    endurance = student.folder / "endurance.json"
    return {
        "checkpoint": student.get("model", "source", "path"),
        "file_sha256": student.get("model", "source", "sha256"),
        "checkpoint_sha256": student.get("model", "checkpoint_sha256"),
        "hyperparameters": student.get("model", "hyperparameters"),
        "checks": _checks(student),
        "threads": student.get("benchmark", "threads", "torch"),
        "runtimes": [_runtime(row) for row in speed.by_runtime(student)],
        "sizes": [_part(row, TIMED) for row in speed.by_size(student)],
        "files": _files(student),
        "eight_bits": _eight_bits(student),
        "compared_with": student.get("accuracy", "training_data", "compared_with"),
        "flagged": {
            name: student.get("accuracy", "splits", name, "domain", "flagged_fraction") for name in student.splits
        },
        "training": _training(student),
        "endurance": _endurance(read_json(endurance), student) if endurance.is_file() else None,
    }


def _checks(student: Student) -> dict[str, Any]:
    return {
        name: {key: check[key] for key in ("outcome", "needed_for")}
        | {"criteria": [_part(row, ("value_name", "value", "max", "min", "passed")) for row in check["criteria"]]}
        for name, check in (student.get("physics", "checks") or {}).items()
    }


def _runtime(row: Mapping[str, Any]) -> dict[str, Any]:
    """A runtime at the headline size: its time for one structure, and its highest rate."""
    return {key: row[key] for key in ("runtime", "file", "precision", "error")} | {
        "single": _part(row["single"], TIMED),
        "best": _part(row["best"], TIMED),
    }


def _files(student: Student) -> dict[str, Any]:
    files = student.get("export", "files") or {}
    return {
        name: {"size_bytes": row["size_bytes"], "passed": row["passed"]}
        | _part(row.get("parity"), ("energy_error_eV_max", "forces_error_eV_per_A_max"))
        for name, row in files.items()
    }


def _eight_bits(student: Student) -> dict[str, Any] | None:
    if not student.get("quantization"):
        return None
    schemes = student.get("quantization", "schemes")
    keys = ("chosen", "recommended", "failed_limits", "limits")
    return {key: student.get("quantization", key) for key in keys} | {
        "schemes": {name: _part(row, OF_A_SCHEME) for name, row in schemes.items()},
        "matmul_share": student.get("quantization", "arithmetic", "matmul_share"),
        "operator_shares": {
            name: row["share"] for name, row in student.get("quantization", "arithmetic", "operator_ms").items()
        },
    }


def _training(student: Student) -> dict[str, Any] | None:
    """The record of its training: sizes of the data, hours, devices, the threads of all processes of the last run, and
    the validation at the end of each round.
    """
    record = student.get("training")
    if record is None:
        return None
    curve = {row["step"]: row for row in record["curve"]}
    rounds = [r if isinstance(r, dict) else {"steps": r} for r in record["recipe"]["rounds"]]
    ends = accumulate(row["steps"] for row in rounds)
    usual = _part(record["recipe"].get("loss"), ("energy_weight",))
    return {
        "n_structures": [data["n_structures"] for data in record["data_sets"]],
        "hours": record["hours"],
        "threads": record["threads"] * record.get("processes", 1) if "threads" in record else None,
        "devices": [row["device_name"] for row in record["devices"]],
        "rounds": [
            usual
            | _part(row, ("steps", "atoms_per_step", "peak", "energy_weight"))
            | _part(curve.get(end), ("force_accuracy", "force_mae_eV_per_A", "energy_mae_eV_per_atom"))
            for row, end in zip(rounds, ends, strict=True)
        ],
    }


def _endurance(result: Mapping[str, Any], student: Student) -> dict[str, Any] | None:
    """How many molecules survived long dynamics; None if that was measured with other weights."""
    if result["checkpoint_sha256"] != student.get("model", "checkpoint_sha256"):
        return None
    return {key: result[key] for key in ("n_molecules", "n_survived", "duration_ps", "device_name", "created_utc")} | {
        "temperature_K": result["settings"]["temperature_K"],
        "largest_bond_change_A": max(row["largest_bond_change_A"] for row in result["molecules"]),
    }


def _peers(path: Path, students: Sequence[Student]) -> dict[str, Any] | None:
    """The fastest runtime of each student beside each peer; None if none was timed with the weights of this run."""
    result = read_json(path) if path.is_file() else {"students": {}}
    found = {}
    for student in students:
        own = result["students"].get(student.name)
        if own and own["checkpoint_sha256"] == student.get("model", "checkpoint_sha256"):
            about = {peer: _part(row, OF_A_PEER) for peer, row in own["peers"].items()}
            kept = {key: own[key] for key in ("fastest", "in_engine", "not_applicable") if key in own}
            found[student.name] = {"peers": about} | kept
    if not found:
        return None
    keys = ("device_name", "created_utc", "versions", "load_of_other_processes")
    return {key: result[key] for key in keys} | {"threads": result["threads"]["torch"], "students": found}


def _part(row: Mapping[str, Any] | None, keys: Sequence[str]) -> dict[str, Any]:
    """The entries of a row that have these keys; none of a missing row."""
    return {key: row[key] for key in keys if key in row} if row else {}
