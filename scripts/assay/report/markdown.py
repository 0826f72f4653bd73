"""Pieces of Markdown that the tables of the documentation are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from assay.report.wording import number, percent

BUSY = 0.1  # share of the processor from which other processes disturb


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first ``left`` columns are text, the others numbers."""
    rule = ["---" if k < left else "---:" for k in range(len(columns))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [columns, rule, *rows])


def code(name: str) -> str:
    """A name as code."""
    return f"`{name}`"


def spread(ratio: Mapping[str, float] | None) -> str:
    """A ratio's median and the range of its rounds."""
    if not ratio:
        return "–"
    return f"{number(ratio['median'])} ({number(ratio['p5'], 2)}–{number(ratio['p95'], 2)})"


def of_others(load: float | None) -> str:
    """A sentence on the load of other processes, if it disturbed."""
    return f" Other processes used up to {percent(load, 0)} of the processor." if load and load > BUSY else ""
