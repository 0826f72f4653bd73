"""The learning curve of a training as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.workflow.plots import BLUE, GREEN, ORANGE, figure

# Key of a validation, name on the axis, factor, color.
PANELS = (
    ("force_mae_eV_per_A", "force MAE (meV/Å)", 1e3, BLUE),
    ("energy_mae_eV_per_atom", "energy MAE (meV/atom)", 1e3, ORANGE),
    ("stress_mae_eV_per_A3", "stress MAE (GPa)", 160.2177, GREEN),
)


def draw_curve(path: str | Path, curve: Sequence[Mapping[str, Any]], rounds: Sequence[Mapping[str, Any]]) -> None:
    """Draw the errors on held-out structures against steps; dashed lines are where a round ends.

    Args:
        path: the SVG file to write.
        curve: the validations of a training record.
        rounds: the rounds of its recipe.
    """
    panels = [panel for panel in PANELS if any(panel[0] in row for row in curve)]
    with figure(path, columns=len(panels)) as (_, axes):
        for axis, (key, label, factor, color) in zip(axes[0], panels, strict=True):
            rows = [row for row in curve if key in row]
            axis.plot([row["step"] for row in rows], [factor * row[key] for row in rows], color=color, marker="o")
            end = 0
            for part in rounds[:-1]:
                end += part["steps"]
                axis.axvline(end, color="0.45", linewidth=0.9, linestyle="--", marker="")
            axis.set(xlabel="step", ylabel=label, yscale="log")
