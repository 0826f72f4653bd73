"""Gathers the whole report as data, ``summary.json`` and ``comparison.csv``, from which pages are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from assay.report.choices import recommend
from assay.report.evidence import BRANCHES, Student
from assay.report.forms import Form, forms_of, plain_form
from assay.report.labels import labels_by_split
from assay.report.speed import busiest, teachers_timed
from assay.report.targets import judge_targets
from assay.report.wording import of_each
from assay.workflow.config_models.config_yaml import Targets
from assay.workflow.errors import listing
from assay.workflow.files import atomic_path, sha256_file
from assay.workflow.provenance import header

HEADLINE_METRICS = (
    "force_accuracy",
    "force_r2",
    "force_mae_eV_per_A",
    "force_rmse_eV_per_A",
    "energy_mae_eV_per_atom",
    "energy_rmse_eV_per_atom",
)
STRESS_METRICS = ("stress_mae_GPa", "stress_rmse_GPa", "stress_mae_meV_per_A3", "stress_rmse_meV_per_A3")


def summarize(
    students: Sequence[Student],
    dag: Mapping[str, Any] | None,
    goals: Targets,
    teachers: Mapping[str, str | None],
    data: Mapping[str, str | Path],
) -> dict[str, Any]:
    """Gather the content of ``summary.json``.

    Args:
        students: the variants with their results.
        dag: the times of the workflow's jobs, from ``dag.summarize``.
        goals: what the targets ask for.
        teachers: the name of each variant's teacher; None where it is unknown.
        data: the files that results rest on, by name.
    """
    deployable = {student.name: forms_of(student) for student in students}
    return _header(students) | {
        "teacher": common_teacher(teachers),
        "judged_against": _teachers_in_words(teachers),
        "variants": {student.name: _variant(student, deployable[student.name], teachers) for student in students},
        "choices": [asdict(choice) for choice in recommend(students, deployable)],
        "targets": [asdict(target) for target in judge_targets(students, deployable, dag, goals)],
        "labels": labels_by_split(students),
        "load_of_other_processes": busiest(students),
        "forms": [asdict(form) for points in deployable.values() for form in points],
        "data": {name: {"path": str(path), "sha256": sha256_file(path)} for name, path in data.items()},
        "teachers_timed": teachers_timed(students),
        "workflow": dict(dag) if dag else None,
    }


def _header(students: Sequence[Student]) -> dict[str, Any]:
    """The header, with the machine, the versions and the time of the measurements, as these tell them.

    Values that differ are told by student. Those of this process, which may run much later and elsewhere, stand only
    where nothing was measured.
    """
    own = header(None)
    measured = {s.name: found for s in students if (found := s.results.get("benchmark") or s.results.get("accuracy"))}
    found = {name: own | dict(result) for name, result in measured.items()} or {"": own}
    latest = max(found.values(), key=lambda result: result["created_utc"])
    return own | {
        "device": latest["device"],
        "device_name": of_each({name: result["device_name"] for name, result in found.items()}),
        "versions": {
            package: of_each({name: result["versions"].get(package, "none") for name, result in found.items()})
            for package in dict.fromkeys(package for result in found.values() for package in result["versions"])
        },
        "measured_utc": latest["created_utc"],
    }


def common_teacher(teachers: Mapping[str, str | None]) -> str | None:
    """Name the teacher of all variants; None if they have several or one is unknown."""
    names = set(teachers.values())
    return names.pop() if len(names) == 1 else None


def _teachers_in_words(teachers: Mapping[str, str | None]) -> str:
    """Say against which teachers the students are judged."""
    known = list(dict.fromkeys(name for name in teachers.values() if name))
    unknown = [variant for variant, name in teachers.items() if name is None]
    if not known:
        return "no teacher, because none is known"
    each = f"the teacher of each ({listing(known)})" if len(known) > 1 else known[0]
    return f"{each}; the teacher of {listing(unknown)} is unknown" if unknown else each


def _variant(student: Student, deployable: Sequence[Form], teachers: Mapping[str, str | None]) -> dict[str, Any]:
    """Gather what the first page says of one student; None for what was not measured."""
    plain = plain_form(deployable)
    return {
        "checkpoint_sha256": student.get("model", "checkpoint_sha256"),
        "architecture": student.get("model", "architecture"),
        "not_applicable": {branch: why for branch in BRANCHES if (why := student.not_applicable(branch))},
        "n_parameters": student.get("model", "n_parameters"),
        "teacher": teachers.get(student.name),
        "verdict": student.verdict(),
        "scope": student.get("model", "scope", "sentence"),
        "verdict_capped": student.cap,
        "n_checks": student.get("physics", "rests_on", "of"),
        "n_checks_judged": student.get("physics", "rests_on", "judged"),
        "failed_checks": student.get("physics", "failed"),
        "headline_split": student.headline_split,
        **{metric: student.headline(metric) for metric in HEADLINE_METRICS},
        "latency_ms_batch1": plain.latency_ms if plain else None,
        "latency_n_atoms": plain.n_atoms if plain else None,
        "timed_on": student.machine,
        "fastest_runtime": plain.runtime if plain else None,
        "speedup_over_teacher": plain.teacher_ratio if plain else None,
        "speedup_over_teacher_p5": plain.teacher_ratio_p5 if plain else None,
        "speedup_over_teacher_p95": plain.teacher_ratio_p95 if plain else None,
        "speedup_over_restarted_teacher": plain.restarted_ratio if plain else None,
        "speedup_over_restarted_teacher_p5": plain.restarted_ratio_p5 if plain else None,
        "speedup_over_restarted_teacher_p95": plain.restarted_ratio_p95 if plain else None,
        "atoms_per_s": plain.atoms_per_s if plain else None,
        "file_sizes_bytes": {form.precision: form.size_bytes for form in deployable},
        "files_verified": student.get("export", "passed"),
        "int8_scheme": student.get("quantization", "chosen"),
        "splits": {
            name: {metric: split.get(metric) for metric in ("n_structures", "n_structures_in_file", *HEADLINE_METRICS)}
            | {metric: split[metric] for metric in STRESS_METRICS if metric in split}
            | {"n_without_prediction": student.without_prediction.get(name, 0)}
            | {"labelled_by": student.get("accuracy", "splits", name, "labelled_by", "name")}
            for name, split in student.splits.items()
        },
    }


def comparison(summary: Mapping[str, Any]) -> pd.DataFrame:
    """Make a row for each variant: the plain values of its summary, sizes and splits spread over columns."""
    rows = []
    for name, variant in summary["variants"].items():
        row = {"variant": name} | {key: value for key, value in variant.items() if not isinstance(value, dict | list)}
        row["failed_checks"] = None if variant["failed_checks"] is None else " ".join(variant["failed_checks"])
        row |= {f"file_size_bytes_{precision}": size for precision, size in variant["file_sizes_bytes"].items()}
        row |= {f"{split}_{key}": v for split, values in variant["splits"].items() for key, v in values.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def write_comparison(path: str | Path, summary: Mapping[str, Any]) -> None:
    """Write ``comparison.csv``; what was not measured is an empty cell."""
    with atomic_path(path) as temporary:
        comparison(summary).to_csv(temporary, index=False)
