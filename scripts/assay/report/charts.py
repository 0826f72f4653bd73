"""The charts that the report draws itself: accuracy against speed, and the jobs of the workflow over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from assay.report import svg
from assay.report.forms import Form, front
from assay.report.wording import duration, file_size, number, quantity

SHAPES = {"fp32": "circle", "fp16": "square", "int8": "diamond"}
MIN_RADIUS, MAX_RADIUS = 5.0, 20.0


def draw_pareto(points: Sequence[Form], variants: Sequence[str], teacher_ms: float | None, teacher: str) -> str | None:
    """Force error against latency, one bubble per form, area by file size; None if no form has both.

    Args:
        points: all forms of all variants.
        variants: in the order of their colours.
        teacher_ms: one call of the teacher on the structure that latencies refer to; its error is zero by definition.
        teacher: its name.
    """
    known = [p for p in points if p.latency_ms is not None and p.force_mae_eV_per_A is not None]
    if not known:
        return None
    times = [p.latency_ms for p in known if p.latency_ms is not None]
    errors = [p.force_mae_eV_per_A for p in known if p.force_mae_eV_per_A is not None]
    x = svg.spanning(
        "one structure, energies and forces (ms)", [*times, *([teacher_ms] if teacher_ms else [])], log=True
    )
    chart = svg.Chart(x, svg.spanning("force error, MAE (eV/Å)", errors, zero=True), "Force error against latency")
    best = front(known)
    chart.line([(p.latency_ms, p.force_mae_eV_per_A) for p in best], svg.MUTED, dash="2 4", width=1.5)  # type: ignore[misc]
    if teacher_ms:
        chart.vertical(teacher_ms, f"{teacher}: error 0 by definition")
    largest = max((p.size_bytes or 0 for p in known), default=0) or 1
    for point in sorted(known, key=lambda p: -(p.size_bytes or 0)):
        radius = max(MIN_RADIUS, MAX_RADIUS * math.sqrt((point.size_bytes or 0) / largest))
        color = svg.color_of(variants.index(point.variant))
        where = (point.latency_ms, point.force_mae_eV_per_A)
        tip = (
            f"{point.variant} {point.precision}: {quantity(where[0], 'ms')}, {quantity(where[1], 'eV/Å')}, "
            f"{file_size(point.size_bytes)}"
        )
        chart.marker(*where, SHAPES[point.precision], color, radius, tip, solid=point.precision == "fp32")  # type: ignore[arg-type]
        name = point.variant if point.precision == "fp32" else point.precision
        chart.label(*where, name, dx=radius + 5, dy=4, color=svg.INK)  # type: ignore[arg-type]
    return chart.render()


def draw_workflow(workflow: Mapping[str, Any]) -> str:
    """The jobs of the longest run over time: one bar each, packed into lanes, coloured by rule."""
    jobs = [job for job in workflow["jobs"] if job["run"] == _longest_run(workflow["jobs"])]
    lanes = _lanes(jobs)
    end = max(job["started_s"] + job["duration_s"] for job in jobs)
    rules = list(workflow["rules"])
    width, left, row, n_lanes = 720.0, 8.0, 26.0, max(lanes) + 1
    scale = (width - 2 * left) / end
    parts = []
    for job, lane in zip(jobs, lanes, strict=True):
        x, w = left + job["started_s"] * scale, max(job["duration_s"] * scale, 1.5)
        color = svg.color_of(rules.index(job["rule"]))
        tip = f"{job['rule']} {job['variant']}: {duration(job['duration_s'])}"
        y = 4 + lane * row
        parts.append(
            f'<g><title>{svg.escape(tip)}</title><rect x="{x:.1f}" y="{y:g}" width="{w:.1f}" height="{row - 5:g}" rx="3" '
            f'fill="{color}" fill-opacity="0.18" stroke="{color}"/></g>'
        )
        label = f"{job['rule']} {job['variant']}"
        if w > 6.2 * len(label):
            parts.append(svg.text(x + 5, y + 14.5, label, size=11))
        elif w > 6.2 * len(job["rule"]):
            parts.append(svg.text(x + 5, y + 14.5, job["rule"], size=11))
    bottom = 4 + n_lanes * row
    for tick in svg.Axis("", 0.0, end).ticks():
        anchor = "start" if tick == 0 else "middle"
        parts.append(
            svg.text(
                left + tick * scale, bottom + 14, f"{number(tick)}\u202fs", anchor=anchor, size=11, color=svg.MUTED
            )
        )
    return (
        f'<svg class="chart wide" viewBox="0 0 {width:g} {bottom + 22:g}" role="img" '
        f'aria-label="Jobs of the workflow over time" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _longest_run(jobs: Sequence[Mapping[str, Any]]) -> int:
    """Index of the run with the most work in it."""
    totals: dict[int, float] = {}
    for job in jobs:
        totals[job["run"]] = totals.get(job["run"], 0.0) + job["duration_s"]
    return max(totals, key=totals.__getitem__)


def _lanes(jobs: Sequence[Mapping[str, Any]]) -> list[int]:
    """The first lane that is free when a job, in order of start, begins."""
    free: list[float] = []
    lanes = []
    for job in jobs:
        lane = next((k for k, end in enumerate(free) if end <= job["started_s"] + 0.5), len(free))
        free[lane : lane + 1] = [job["started_s"] + job["duration_s"]]
        lanes.append(lane)
    return lanes
