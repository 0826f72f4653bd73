"""The targets, each judged by a number: value, what was asked for, verdict, and how it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from assay.report.evidence import Student
from assay.report.forms import Form
from assay.report.wording import NOT_MEASURED, number, percent, quantity, words

Verdict = Literal["met", "unmet", "not measured"]


@dataclass(frozen=True)
class Goals:
    """What is asked for; the keys of the config's section ``report: targets``.

    Attributes:
        force_accuracy: 1 - RMSE / RMS of forces, more than.
        speedup_over_teacher: times faster than one teacher call on the same structure, at least.
        latency_ms: one structure, energies and forces, less than.
        dag_speedup: sum of job times over wall time, at least.
        int8_size_ratio: size of the INT8 file over fp32, at most.
        int8_latency_ratio: time with INT8 over fp32, at most.
        int8_force_mae_increase: relative, at most.
    """

    force_accuracy: float
    speedup_over_teacher: float
    latency_ms: float
    dag_speedup: float
    int8_size_ratio: float
    int8_latency_ratio: float
    int8_force_mae_increase: float


@dataclass(frozen=True)
class Target:
    """One target for one student (or for all: ``variant`` None)."""

    name: str
    variant: str | None
    value: float | None
    shown: str
    asked: str
    verdict: Verdict
    how: str


def judge_targets(
    students: Sequence[Student], forms: Mapping[str, Sequence[Form]], dag: Mapping[str, Any] | None, goals: Goals
) -> list[Target]:
    """Every target for every student, in the order of the report's table.

    Args:
        students: the variants.
        forms: deployable forms by variant.
        dag: what ``dag.summarize`` gives.
        goals: what is asked for.
    """
    rows: list[Target] = []
    for judge in (_accuracy, _speedup, _latency):
        rows += [judge(student, forms[student.name], goals) for student in students]
    rows += [_formats(student) for student in students]
    rows += [_int8(student, goals) for student in students]
    return [*rows, _dag(dag, goals)]


def _verdict(value: float | None, met: bool) -> Verdict:
    if value is None:
        return "not measured"
    return "met" if met else "unmet"


def _accuracy(student: Student, _: Sequence[Form], goals: Goals) -> Target:
    value, split = student.headline("force_accuracy"), student.headline_split
    return Target(
        name="Force accuracy",
        variant=student.name,
        value=value,
        shown=percent(value),
        asked=f"> {percent(goals.force_accuracy, 0)}",
        verdict=_verdict(value, value is not None and value > goals.force_accuracy),
        how=f"1 − RMSE / RMS of the teacher's forces, {words(split or 'no split')}",
    )


def _speedup(student: Student, forms: Sequence[Form], goals: Goals) -> Target:
    timed = [form for form in forms if form.precision == "fp32" and form.teacher_ratio is not None]
    best = max(timed, key=lambda form: form.teacher_ratio or 0.0, default=None)
    value = best.teacher_ratio if best else None
    how = "teacher's time over the student's, one structure, energies and forces, same machine, same run"
    return Target(
        name="Speed over the teacher",
        variant=student.name,
        value=value,
        shown=NOT_MEASURED if value is None else f"{number(value)}×",
        asked=f"≥ {number(goals.speedup_over_teacher)}×",
        verdict=_verdict(value, value is not None and value >= goals.speedup_over_teacher),
        how=how,
    )


def _latency(student: Student, forms: Sequence[Form], goals: Goals) -> Target:
    timed = [form for form in forms if form.precision == "fp32" and form.latency_ms is not None]
    best = min(timed, key=lambda form: form.latency_ms or 0.0, default=None)
    value = best.latency_ms if best else None
    where = f", {best.n_atoms} atoms, {best.runtime}" if best else ""
    return Target(
        name="Latency at batch 1",
        variant=student.name,
        value=value,
        shown=quantity(value, "ms"),
        asked=f"< {number(goals.latency_ms)}\u202fms",
        verdict=_verdict(value, value is not None and value < goals.latency_ms),
        how=f"median of one call{where}, energies and forces, neighbor list included",
    )


def _formats(student: Student) -> Target:
    files = student.get("export", "files")
    passed = sum(bool(row.get("passed")) for row in files.values()) if files else None
    return Target(
        name="Deployable files verified",
        variant=student.name,
        value=passed / len(files) if files else None,
        shown=f"{passed} of {len(files)}" if files else NOT_MEASURED,
        asked="all",
        verdict=_verdict(passed, bool(files) and passed == len(files)),
        how="each file run and compared with the float64 network; same result in every repetition",
    )


def _int8(student: Student, goals: Goals) -> Target:
    chosen = student.get("quantization", "schemes", student.get("quantization", "chosen") or "") or {}
    size, error = chosen.get("size_ratio"), chosen.get("force_mae_increase_relative")
    times = [t for t in (chosen.get("latency_ratio_batch1"), chosen.get("latency_ratio_batch32")) if t is not None]
    time = max(times, default=None)
    known = size is not None and error is not None and time is not None
    met = known and (
        size <= goals.int8_size_ratio and time <= goals.int8_latency_ratio and error <= goals.int8_force_mae_increase
    )
    asked = (
        f"size ≤ {number(goals.int8_size_ratio)}×, time ≤ {number(goals.int8_latency_ratio)}×, "
        f"force error ≤ +{percent(goals.int8_force_mae_increase, 0)}"
    )
    return Target(
        name="INT8 pays",
        variant=student.name,
        value=size if known else None,
        shown=f"{number(size, 2)}× size, {number(time, 2)}× time, {100 * error:+.1f}\u202f%" if known else NOT_MEASURED,
        asked=asked,
        verdict=_verdict(size if known else None, met),
        how="chosen scheme against fp32 of the same graph, same run; the slower of batch 1 and 32; force MAE",
    )


def _dag(dag: Mapping[str, Any] | None, goals: Goals) -> Target:
    value = dag["parallel_speedup"] if dag else None
    how = "sum of job times over wall time, from Snakemake's benchmark files; jobs that time something run alone"
    return Target(
        name="Parallel speed-up of the workflow",
        variant=None,
        value=value,
        shown=NOT_MEASURED if value is None else f"{number(value)}×",
        asked=f"≥ {number(goals.dag_speedup)}×",
        verdict=_verdict(value, value is not None and value >= goals.dag_speedup),
        how=how,
    )
