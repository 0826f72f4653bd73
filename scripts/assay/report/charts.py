"""Draws the report's own charts: accuracy against speed, learning, throughput, and the workflow's jobs over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from assay.report import svg
from assay.report.forms import Form, comparable, front, known_of
from assay.report.wording import duration, file_size, name_of, number, quantity, words

SHAPES = {"fp32": "circle", "fp16": "square", "int8": "diamond"}
TEACHER_RADIUS = 6.0
MARKERS = ("circle", "square", "triangle", "diamond")
MIN_RADIUS, MAX_RADIUS = 5.0, 20.0
MOST_MARKERS = 15
LANE = 26.0


def pareto_of(summary: Mapping[str, Any]) -> str | None:
    """Draw force error against latency from the content of ``summary.json``; None if no form has both."""
    points = [Form(**form) for form in summary["forms"]]
    teacher = summary["teacher"] or ""  # of all students: its error is zero for none else
    return draw_pareto(points, list(summary["variants"]), summary["teachers_timed"].get(teacher), teacher)


def apart(summary: Mapping[str, Any]) -> list[str]:
    """Name the students that are compared with none: timed on other atoms or elsewhere, or judged on another split."""
    points = [Form(**form) for form in summary["forms"]]
    same = comparable(points)
    return [name for name in summary["variants"] if any(p.variant == name and p not in same for p in known_of(points))]


def draw_pareto(points: Sequence[Form], variants: Sequence[str], teacher_ms: float | None, teacher: str) -> str | None:
    """Draw force error against latency: a bubble for each form, its area the file size, and the teacher.

    Args:
        points: all forms of all variants.
        variants: the names of the variants, in the order of their colors.
        teacher_ms: the time of one call of the teacher on the structure that latencies refer to, in milliseconds; its
            error is zero by definition.
        teacher: the name of the teacher.

    A star marks what is compared with no other (see ``apart``).

    Returns:
        the SVG element; None if no form has both error and latency.
    """
    known = known_of(points)
    if not known:
        return None
    times = [p.latency_ms for p in known if p.latency_ms is not None]
    errors = [p.force_mae_eV_per_A for p in known if p.force_mae_eV_per_A is not None]
    x = svg.spanning(
        "one structure, energies and forces (ms)", [*times, *([teacher_ms] if teacher_ms else [])], log=True
    )
    y = svg.spanning("force error, MAE (eV/Å)", errors, zero=True)
    chart = svg.Chart(x, y, "Force error against latency", top=32.0)
    chart.key(
        [
            (SHAPES[precision], name_of(precision))
            for precision in SHAPES
            if any(p.precision == precision for p in known)
        ]
    )
    same = comparable(known)
    best = front(same)
    chart.line([(p.latency_ms, p.force_mae_eV_per_A) for p in best], svg.MUTED, dash="2 4", width=1.5)  # type: ignore[misc]
    if teacher_ms:
        tip = f"{teacher}: {quantity(teacher_ms, 'ms')}, error 0 by definition"
        chart.marker(teacher_ms, 0.0, "triangle", svg.INK, TEACHER_RADIUS, tip)
        chart.label(teacher_ms, 0.0, teacher, dy=-TEACHER_RADIUS - 6)
    largest = max((p.size_bytes or 0 for p in known), default=0) or 1
    for point in sorted(known, key=lambda p: -(p.size_bytes or 0)):
        radius = max(MIN_RADIUS, MAX_RADIUS * math.sqrt((point.size_bytes or 0) / largest))
        color = svg.color_of(variants.index(point.variant))
        where = (point.latency_ms, point.force_mae_eV_per_A)
        on = "" if point in same else f", of {point.n_atoms} atoms, on {words(point.split or '')}, by {point.machine}"
        tip = (
            f"{point.variant} {name_of(point.precision)} by {words(point.runtime or '')}: {quantity(where[0], 'ms')}, "
            f"{quantity(where[1], 'eV/Å')}, {file_size(point.size_bytes)}{on}"
        )
        chart.marker(*where, SHAPES[point.precision], color, radius, tip, solid=point.precision == "fp32")  # type: ignore[arg-type]
        if point.precision == "fp32":
            chart.label(*where, point.variant if point in same else f"{point.variant}*", dy=-radius - 6)  # type: ignore[arg-type]
    return chart.render()


def draw_learning(curves: Mapping[str, Sequence[tuple[int, float]]], variants: Sequence[str]) -> str | None:
    """Draw the validation error of forces against steps of training, a line for each variant; None without a point.

    Args:
        curves: pairs (step, 1 - force accuracy) by variant.
        variants: the names of the variants, in the order of their colors.
    """
    known = {name: curve for name, curve in curves.items() if curve}
    if not known:
        return None
    x = svg.spanning("steps of training", [float(step) for curve in known.values() for step, _ in curve], log=True)
    y = svg.spanning("1 − force accuracy, validation", [error for c in known.values() for _, error in c], log=True)
    chart = svg.Chart(x, y, "Validation error against steps of training")
    for name, curve in known.items():
        _line(chart, name, variants.index(name), curve, lambda step, error: f"{number(step)} steps: {number(error)}")
    return chart.render()


def _line(
    chart: svg.Chart, name: str, index: int, curve: Sequence[tuple[int, float]], tip: Callable[[float, float], str]
) -> None:
    """Draw a curve with markers, only the last one where there are many, and its name at its end."""
    chart.line(curve, svg.color_of(index))
    for point in curve if len(curve) <= MOST_MARKERS else curve[-1:]:
        chart.marker(*point, MARKERS[index % len(MARKERS)], svg.color_of(index), 4.5, f"{name}, {tip(*point)}")
    chart.label(*curve[-1], name, dy=18 if curve[-1][1] < curve[0][1] else -11)


def draw_throughput(
    curves: Mapping[str, Sequence[tuple[int, float]]], variants: Sequence[str], teacher: tuple[str, float] | None
) -> str | None:
    """Draw atoms per second against batch size, a line for each variant; None without a point.

    Args:
        curves: pairs (batch size, atoms per second) by variant.
        variants: the names of the variants, in the order of their colors.
        teacher: the name of the teacher and its atoms per second; None if it was not timed.
    """
    known = {name: curve for name, curve in curves.items() if curve}
    if not known:
        return None
    rates = [rate for curve in known.values() for _, rate in curve] + ([teacher[1]] if teacher else [])
    batches = [float(batch) for curve in known.values() for batch, _ in curve]
    x = svg.spanning("structures in one call", batches, log=True)
    chart = svg.Chart(x, svg.spanning("atoms per second", rates, log=True), "Throughput against batch size")
    if teacher:
        chart.line([(x.low, teacher[1]), (x.high, teacher[1])], svg.MUTED, dash="4 4", width=1.2)
        chart.label(x.low, teacher[1], teacher[0], dx=40, dy=-6, color=svg.MUTED)
    for name, curve in known.items():
        _line(chart, name, variants.index(name), curve, lambda n, rate: f"{n} in one call: {quantity(rate, 'atoms/s')}")
    return chart.render()


def draw_workflow(workflow: Mapping[str, Any]) -> str:
    """Draw the jobs of the longest run over time: one bar each, packed into lanes, colored by rule."""
    jobs = [job for job in workflow["jobs"] if job["run"] == _longest_run(workflow["jobs"])]
    lanes = _lanes(jobs)
    end = max(job["started_s"] + job["duration_s"] for job in jobs)
    colors = {rule: svg.color_of(index) for index, rule in enumerate(workflow["rules"])}
    width, bottom = 1100.0, LANE * (max(lanes) + 1)
    scale = width / end
    bars = [_bar(job, lane, scale, colors[job["rule"]]) for job, lane in zip(jobs, lanes, strict=True)]
    ticks = [
        svg.text(
            min(tick * scale, width - 2),
            bottom + 14,
            f"{number(tick)}\u202fs",
            anchor="start" if tick == 0 else "end" if tick > 0.95 * end else "middle",
            color=svg.MUTED,
        )
        for tick in svg.Axis("", 0.0, end).ticks()
    ]
    return (
        f'<svg class="chart wide" viewBox="-2 -2 {width + 4:g} {bottom + 22:g}" role="img" '
        f'aria-label="Jobs of the workflow over time" xmlns="http://www.w3.org/2000/svg">'
        f"{''.join([*bars, *ticks])}</svg>"
    )


def _bar(job: Mapping[str, Any], lane: int, scale: float, color: str) -> str:
    """Draw a job as a bar, with as much of its name as fits."""
    x, y, width = job["started_s"] * scale, lane * LANE, max(job["duration_s"] * scale, 1.5)
    name = f"{job['rule']} {job['variant']}"
    shown = next((label for label in (name, job["rule"]) if width > 8 + 6.8 * len(label)), "")
    tip = escape(f"{name}: {duration(job['duration_s'])}")
    return (
        f"<g><title>{tip}</title>"
        f'<rect x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{LANE - 4:g}" rx="3" '
        f'fill="{color}" fill-opacity="0.18" stroke="{color}"/>{svg.text(x + 5, y + LANE / 2 + 2, shown)}</g>'
    )


def _longest_run(jobs: Sequence[Mapping[str, Any]]) -> int:
    """Find the index of the run whose jobs took the longest in sum."""
    totals: dict[int, float] = {}
    for job in jobs:
        totals[job["run"]] = totals.get(job["run"], 0.0) + job["duration_s"]
    return max(totals, key=totals.__getitem__)


def _lanes(jobs: Sequence[Mapping[str, Any]]) -> list[int]:
    """Give each job, in order of start, the first lane that is free when it begins."""
    free: list[float] = []
    lanes = []
    for job in jobs:
        lane = next((k for k, end in enumerate(free) if end <= job["started_s"] + 0.5), len(free))
        free[lane : lane + 1] = [job["started_s"] + job["duration_s"]]
        lanes.append(lane)
    return lanes
