"""The figure of a material's properties: students beside their teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assay.physics.figures import TEACHER
from assay.physics.material import of_largest_size
from assay.workflow import plots
from assay.workflow.errors import AssayError

Found = Mapping[str, Mapping[str, Any]]  # the content of properties.json by student


def draw_material(path: str | Path, students: Found, teacher: Mapping[str, Any] | None) -> None:
    """Draw radial distribution functions and mean squared displacements at the size and temperature of the teacher,
    and diffusion coefficients over the inverse temperature.

    Args:
        path: the SVG file to write.
        students: what was measured of each, by name.
        teacher: what was measured of the teacher; None if it was left out.

    Raises:
        AssayError: no model knows the elements of the structure, so that there is nothing to draw.
    """
    told = {name: found for name, found in students.items() if "rows" in found}
    teacher = teacher if teacher and "rows" in teacher else None
    if not told and teacher is None:
        raise AssayError(
            "no variant knows all elements of the structure of `properties`: name another structure, or a variant that "
            "was trained on them"
        )
    first = {name: found["rows"][0] for name, found in told.items()} | ({"": teacher["rows"][0]} if teacher else {})
    pairs = [key for key in next(iter(first.values()))["radial_distribution"] if key != "distance_A"]
    columns = len(pairs) + 2
    with plots.figure(path, 1, columns, size=(2.7, 2.6), shows=told) as (_, axes):
        for place, (name, row) in enumerate(first.items()):
            style = TEACHER if not name else plots.series(place) | {"marker": "", "label": name}
            for panel, pair in zip(axes[0], pairs, strict=False):
                panel.plot(row["radial_distribution"]["distance_A"], row["radial_distribution"][pair], **style)
                panel.set(xlabel="distance (Å)", title=pair)
            for symbol, found in row["diffusion"].items():
                axes[0, -2].plot(found["lags_ps"], found["squared_A2"], **style)
                axes[0, -2].annotate(symbol, (found["lags_ps"][-1], found["squared_A2"][-1]), fontsize=7)
        axes[0, 0].set_ylabel("radial distribution g(r)")
        axes[0, 0].legend(fontsize=7)
        row = next(iter(first.values()))
        about = f"{row['n_atoms']} atoms, {row['temperature_K']:g} K"
        axes[0, -2].set(xlabel="time (ps)", ylabel="mean squared displacement (Å²)", title=about)
        _draw_arrhenius(axes[0, -1], told, teacher)


def _draw_arrhenius(panel: Any, students: Found, teacher: Mapping[str, Any] | None) -> None:
    """Draw diffusion coefficients of the largest size over the inverse temperature; the teacher's as a mark."""
    for place, found in enumerate(students.values()):
        rows = of_largest_size(found["rows"])
        for symbol in rows[0]["diffusion"]:
            values, errors = _of(rows, symbol)
            inverse = [1e3 / row["temperature_K"] for row in rows]
            panel.errorbar(inverse, values, errors, **plots.series(place))
            panel.annotate(f" {symbol}", (inverse[0], values[0]), fontsize=7)
        panel.set_title(f"diffusion, {rows[0]['n_atoms']} atoms")
    rows = teacher["rows"] if teacher else []
    for symbol in rows[0]["diffusion"] if rows else ():
        values, errors = _of(rows, symbol)
        inverse = [1e3 / row["temperature_K"] for row in rows]
        panel.errorbar(inverse, values, errors, color="0.35", marker="*", markersize=9)
    panel.set(xlabel="1000 / T (1/K)", ylabel="D (cm²/s)", yscale="log")


def _of(rows: list[Mapping[str, Any]], symbol: str) -> tuple[np.ndarray, np.ndarray]:
    own = [row["diffusion"][symbol] for row in rows]
    return (
        np.array([found["coefficient_cm2_per_s"] for found in own]),
        np.array([found["standard_error_cm2_per_s"] for found in own], dtype=float),
    )
