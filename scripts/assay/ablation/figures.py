"""The figure of an ablation: the ratio of the force error of each setting to that of the base, with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.ablation.plan import BASE
from assay.workflow.plots import BLUE, GREEN, ORANGE, REFERENCE, figure


def draw(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the errors of all settings but the base, one line for each kind, as ratios on a logarithmic axis."""
    shown = [row for row in rows if row["setting"] != BASE]
    with figure(path, size=(5.6, 0.7 + 0.34 * len(shown))) as (_, axes):
        panel = axes[0, 0]
        looks = [
            ("force_mae_eV_per_A", "forces", BLUE, "o", 0.12),
            ("energy_mae_eV_per_atom", "energy", ORANGE, "s", -0.12),
            ("stress_mae_eV_per_A3", "stress", GREEN, "^", 0.0),
        ]
        for key, label, color, marker, shift in looks:
            if any(key not in row for row in shown):
                continue
            ratios = [row[key]["ratio"] for row in shown]
            ends = [
                [row[key]["ratio"] - row[key]["low"] for row in shown],
                [row[key]["high"] - row[key]["ratio"] for row in shown],
            ]
            heights = [len(shown) - 1 - k + shift for k in range(len(shown))]
            panel.errorbar(ratios, heights, xerr=ends, fmt=marker, color=color, linestyle="none", label=label)
        panel.axvline(1.0, marker="", **REFERENCE)
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("{x:g}")
        panel.set_yticks(range(len(shown)), [row["setting"].replace("+", ", ") for row in reversed(shown)])
        panel.set_xlabel("mean absolute error over that of the base (left is better)")
        panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
