"""Judges the targets, each by a number: value, what was asked for, verdict, and how it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from assay.report.evidence import HEADLINE_SPLIT, Student
from assay.report.forms import PACKAGED, Form, plain_form
from assay.report.speed import disturbance
from assay.report.wording import (
    NOT_APPLICABLE,
    NOT_MEASURED,
    beside,
    change,
    limit,
    number,
    of_each,
    percent,
    quantity,
    words,
)
from assay.workflow.config_models.config_yaml import Targets

Verdict = Literal["met", "unmet", "not measured", "not applicable"]


@dataclass(frozen=True)
class Target:
    """One target for one student, or for all if ``variant`` is None; ``reason`` is what to know of this one."""

    name: str
    variant: str | None
    value: float | None
    shown: str
    asked: str
    verdict: Verdict
    how: str
    reason: str | None = None


def judge_targets(
    students: Sequence[Student], forms: Mapping[str, Sequence[Form]], dag: Mapping[str, Any] | None, goals: Targets
) -> list[Target]:
    """Judge every target for every student, in the order of the report's table.

    Args:
        students: the variants with their results.
        forms: the deployable forms by variant.
        dag: what ``dag.summarize`` returned.
        goals: the numbers that are asked for.
    """
    rows: list[Target] = []
    for target_of in (_accuracy, _speedup, _latency):
        rows += [_if_applicable(target_of(s, forms[s.name], goals), s, BRANCH_OF[target_of]) for s in students]
    rows += [_if_applicable(_formats(student), student, "export") for student in students]
    rows += [_if_applicable(_int8(student), student, "quantization") for student in students]
    return [*rows, _dag(dag, goals)]


def said_of(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    """Write what the rows of one target in ``summary.json`` say under a key, by student where they differ.

    A student without a value says nothing, unless none has one.
    """
    return of_each({row["variant"]: row[key] for row in [row for row in rows if row["value"] is not None] or rows})


def _if_applicable(target: Target, student: Student, branch: str) -> Target:
    """The target, or that it is not applicable where the branch that it judges is not."""
    reason = student.not_applicable(branch)
    if target.value is not None or reason is None:
        return target
    return replace(target, shown=NOT_APPLICABLE, verdict="not applicable", reason=reason)


def _verdict(value: float | None, met: bool) -> Verdict:
    if value is None:
        return "not measured"
    return "met" if met else "unmet"


def _accuracy(student: Student, _: Sequence[Form], goals: Targets) -> Target:
    value, split = student.headline("force_accuracy"), student.headline_split
    return Target(
        name="Force accuracy",
        variant=student.name,
        value=value,
        shown=beside(goals.force_accuracy, value, percent, 1),
        asked=f"> {limit(100 * goals.force_accuracy)}\u202f%",
        verdict=_verdict(value, value is not None and value > goals.force_accuracy and not student.gap(split)),
        how="1 − RMSE / RMS of forces" + (f", {words(split)}" if split else ""),
        reason="; ".join(filter(None, (student.gap(split), _whose_labels(student, split)))),
    )


def _whose_labels(student: Student, split: str | None) -> str:
    """Say whose labels the errors rest on, unless they are known to be those of the student's teacher."""
    if student.splits and split is None:
        return f"no split is labelled by {student.teacher}, its teacher"
    seen = student.get("accuracy", "splits", split or "", "overlap") or {"same_structure": 0}
    leaked = seen["sentence"] if seen["same_structure"] else ""
    return "; ".join(filter(None, [student.doubt_of_labels(split), leaked]))


def _speedup(student: Student, forms: Sequence[Form], goals: Targets) -> Target:
    plain = plain_form(forms)
    value = None if plain is None else plain.restarted_ratio or plain.teacher_ratio
    shown, where, disturbed = NOT_MEASURED, "", disturbance(student)
    if plain and value is not None:
        asked = goals.speedup_over_teacher
        shown = _with_range(asked, plain.teacher_ratio, plain.teacher_ratio_p5, plain.teacher_ratio_p95)
        if plain.restarted_ratio is not None:
            restarted = _with_range(asked, plain.restarted_ratio, plain.restarted_ratio_p5, plain.restarted_ratio_p95)
            shown = f"{restarted} in dynamics, {shown} from scratch"
        where = f" of {plain.n_atoms} atoms"
    return Target(
        name="Speed over teacher",
        variant=student.name,
        value=value,
        shown=shown,
        asked=f"≥ {goals.speedup_over_teacher:g}×",
        verdict=_verdict(None if disturbed else value, value is not None and value >= goals.speedup_over_teacher),
        how=f"the teacher's time over the student's, one structure{where}: median (5 % to 95 % of the rounds); in "
        "dynamics the teacher starts from the density of the step before, and this is what is judged",
        reason="; ".join(filter(None, (_whose_time(student), disturbed))),
    )


def _with_range(asked: float, median: float | None, p5: float | None, p95: float | None) -> str:
    return f"{beside(asked, median, number, 3)}× ({number(p5, 2)}–{number(p95, 2)})"


def _whose_time(student: Student) -> str:
    """Say whose time the speed is compared with, unless it is known to be that of the student's teacher."""
    timed = student.get("benchmark", "teacher") or {"own": True}
    if timed.get("own", True):
        return ""
    if timed["name"] is None:
        return f"the config has no calculator of {student.teacher}, its teacher"
    return f"over {timed['name']}, while the teacher of the student is unknown"


def _by_package(form: Form | None) -> str:
    return ", as the package computes them" if form and form.runtime == PACKAGED else ""


def _latency(student: Student, forms: Sequence[Form], goals: Targets) -> Target:
    plain = plain_form(forms)
    value = plain.latency_ms if plain else None
    where = f" of {plain.n_atoms} atoms" if plain and value is not None else ""
    met = value is not None and value < goals.latency_ms
    disturbed = "" if met else disturbance(student)  # others make a time longer, never shorter
    return Target(
        name="Latency at batch 1",
        variant=student.name,
        value=value,
        shown=beside(goals.latency_ms, value, lambda ms, digits: quantity(ms, "ms", digits), 3),
        asked=f"< {goals.latency_ms:g}\u202fms",
        verdict=_verdict(None if disturbed else value, met),
        how=f"one structure{where}, energies and forces{_by_package(plain)}",
        reason=disturbed,
    )


BRANCH_OF = {_accuracy: "accuracy", _speedup: "benchmark", _latency: "benchmark"}


def _formats(student: Student) -> Target:
    files = student.get("export", "files")
    passed = sum(bool(row.get("passed")) for row in (files or {}).values())
    value = passed / len(files) if files else None
    return Target(
        name="Files verified",
        variant=student.name,
        value=value,
        shown=f"{passed} of {len(files)}" if files else NOT_MEASURED,
        asked="all",
        verdict=_verdict(value, value == 1.0),
        how="files of export.json, run again and again beside the float64 network",
    )


def _int8(student: Student) -> Target:
    limits = student.get("quantization", "limits") or {}
    kinds = {"size_ratio": "× size", "latency_ratio_batch32": "× time"}
    asked = [f"≤ {limit(limits[key])}{what}" for key, what in kinds.items() if key in limits]
    if "force_mae_increase_relative" in limits:
        asked.append(f"≤ +{limit(100 * limits['force_mae_increase_relative'])}\u202f% error")
    target = Target(
        name="INT8 pays",
        variant=student.name,
        value=None,
        shown=NOT_MEASURED,
        asked=", ".join(asked) or "smaller and faster",
        verdict="not measured",
        how="the best scheme over fp32 of the same graph",
    )
    chosen = student.get("quantization", "schemes", student.get("quantization", "chosen") or "") or {}
    size, time, error = (
        chosen.get(key) for key in ("size_ratio", "latency_ratio_batch32", "force_mae_increase_relative")
    )
    if size is None or time is None or error is None:
        return target
    headline = HEADLINE_SPLIT if HEADLINE_SPLIT in student.splits else next(iter(student.splits), None)
    shown = f"{number(size, 2)}× size, {number(time, 2)}× time, {change(error)}"
    return replace(
        target,
        value=size,
        shown=shown,
        verdict=_verdict(size, bool(student.get("quantization", "recommended"))),
        reason=student.doubt_of_labels(headline),
    )


def _dag(dag: Mapping[str, Any] | None, goals: Targets) -> Target:
    value = dag["parallel_speedup"] if dag else None
    return Target(
        name="Parallel workflow",
        variant=None,
        value=value,
        shown=beside(goals.dag_speedup, value, lambda ratio, digits: f"{number(ratio, digits)}×", 3),
        asked=f"≥ {goals.dag_speedup:g}×",
        verdict=_verdict(value, value is not None and value >= goals.dag_speedup),
        reason="were the files under benchmarks/ copied?" if dag and value is None else None,
        how="sum of the jobs' times over wall time",
    )
