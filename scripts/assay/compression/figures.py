"""The figure of a compression: the force error of each form over its time, both relative to the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.workflow.plots import REFERENCE, figure, series


def draw(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw one marker for each form, down and left of the student where it is better."""
    with figure(path, size=(6.4, 3.6)) as (_, axes):
        panel = axes[0, 0]
        for k, row in enumerate(row for row in rows if row["time_ratio"] is not None):
            look = series(k) | {"linestyle": "none"}
            panel.plot([row["time_ratio"]["median"]], [row["force_mae_ratio"]], label=row["form"], **look)
        panel.axhline(1.0, **REFERENCE)
        panel.axvline(1.0, **REFERENCE)
        panel.set_yscale("log")
        panel.set_xlabel("time over that of the student")
        panel.set_ylabel("force error over that of the student")
        panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)
