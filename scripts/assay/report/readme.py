"""Writes the figure of the README: the report's picture of error against time, as a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.report import svg
from assay.report.charts import pareto_of
from assay.report.forms import compared_atoms, compared_split, runtimes_in_words
from assay.report.wording import percent, words
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path

WIDTH, HEIGHT, MARGIN = 520.0, 398.0, 44.0  # the chart, 310 high, is centred between the margins


def write_figure(path: str | Path, summary: Mapping[str, Any]) -> None:
    """Write an SVG file that shows on light and dark pages alike, and says what was measured where.

    Args:
        path: the file to write.
        summary: the content of ``summary.json``.

    Raises:
        AssayError: error or speed were not measured.
    """
    chart = pareto_of(summary)
    if chart is None:
        raise AssayError("the figure needs accuracy and speed, and the summary lacks one of them: run all first")
    split = compared_split(variant["headline_split"] for variant in summary["variants"].values())
    n_atoms = compared_atoms(form["n_atoms"] for form in summary["forms"])
    load = summary["load_of_other_processes"]
    busy = f", beside other work, which used up to {percent(load, 0)} of it" if load else ""
    notes = [
        f"Errors on {words(split or '')}, time for one of {n_atoms} atoms.",
        f"{summary['device_name']}{busy}; {summary['created_utc'][:10]}.",
        f"Area: file size. Each as its package runs it, or else at its fastest: {runtimes_in_words(summary['forms'])}.",
    ]
    lines = [
        svg.text(WIDTH / 2, HEIGHT - MARGIN + 10 + 13 * k, note, anchor="middle", size=10, color=svg.MUTED)
        for k, note in enumerate(notes)
    ]
    title = svg.text(WIDTH / 2, 30, "Force error against time", anchor="middle", size=14, weight="600")
    with atomic_path(path) as temporary:
        temporary.write_text(
            f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{1.5 * WIDTH:g}" font-family="{svg.FONTS}" '
            f'xmlns="http://www.w3.org/2000/svg">'
            f'<rect width="{WIDTH:g}" height="{HEIGHT:g}" rx="8" fill="#ffffff"/>{title}{chart}{"".join(lines)}</svg>\n'
        )
