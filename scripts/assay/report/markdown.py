"""Pieces of Markdown that the tables of the documentation are made of."""

from __future__ import annotations

from collections.abc import Mapping

from assay.report.wording import number, percent
from assay.workflow.markdown import BUSY


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
