"""What all figures share: a style that is safe for color-blind readers and survives a black-and-white printer.

Colors are those of M. Okabe and K. Ito (2008); a series is told apart by its line style and marker as well.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from assay.workflow.compact_svg import compact
from assay.workflow.files import atomic_path

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, YELLOW, BLACK = "#56B4E9", "#E69F00", "#F0E442", "#000000"
COLORS = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER, BLACK)
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DENSITY = "cividis"  # ordered in lightness for every kind of color vision, and in print
REFERENCE: dict[str, Any] = {
    "color": "0.45",
    "linewidth": 0.9,
    "linestyle": (0, (4, 3)),
    "zorder": 0,
}  # targets and identity lines

_STYLE: Any = {
    "axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=LINES),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "font.size": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "image.cmap": DENSITY,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],  # two of one width: the browser has one of them
    "svg.fonttype": "none",
    "svg.hashsalt": "assay",
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@contextmanager
def figure(
    path: str | Path,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (3.4, 2.8),
    shows: Iterable[str] = (),
) -> Iterator[Any]:
    """Yield a grid of axes in the shared style, and write it to ``path`` when the block ends.

    Args:
        path: the SVG file to write.
        rows, columns: the shape of the grid.
        size: the width and height of one panel, in inches.
        shows: the names of what it shows, which ``compact_svg.names_shown`` reads from the file.

    Yields:
        the figure and its axes, an array (rows, columns).
    """
    with plt.rc_context(_STYLE):
        drawing, axes = plt.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False)
        try:
            yield drawing, axes
            save(drawing, path, shows)
        finally:
            plt.close(drawing)


def save(drawing: Figure, path: str | Path, shows: Iterable[str] = ()) -> None:
    """Write a figure as SVG, atomically, compact and without a date, so that equal figures are equal files."""
    content = io.StringIO()
    drawing.savefig(content, format="svg", metadata=_NO_METADATA | {"Keywords": list(shows) or None})
    with atomic_path(path) as temporary:
        temporary.write_text(compact(content.getvalue()))


def series(index: int) -> dict[str, Any]:
    """Return the arguments of ``Axes.plot`` for the series with this index: color, line style and marker."""
    other = (index + index // len(COLORS)) % len(COLORS)  # colors that come again have other lines and markers
    return {"color": COLORS[index % len(COLORS)], "linestyle": LINES[other], "marker": MARKERS[other]}


def density(axes: Axes, x: np.ndarray, y: np.ndarray, bins: int = 100) -> None:
    """Draw how many points (x, y) fall into each of ``bins`` x ``bins`` squares, on a logarithmic scale of color.

    A scatter plot of as many points would be a blob. The squares are one small image that no renderer smooths, so that
    the figure stays small and sharp.
    """
    if len(x):
        counts, x_edges, y_edges = np.histogram2d(x, y, bins)
        extent = (x_edges[0], x_edges[-1], y_edges[0], y_edges[-1])
        shown = np.ma.masked_equal(counts.T, 0)
        axes.imshow(shown, norm=LogNorm(), extent=extent, origin="lower", aspect="auto", interpolation="none")


def identity_line(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw the line y = x over the range of both, on equal axes."""
    if len(x):
        low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
        margin = 0.03 * (high - low) or 1.0
        axes.plot([low - margin, high + margin], [low - margin, high + margin], marker="", **REFERENCE)
        axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
        axes.set_aspect("equal")


def target(axes: Axes, value: float, label: str) -> None:
    """Draw a horizontal line at a threshold, with its name at the right end."""
    axes.axhline(value, marker="", **REFERENCE)
    axes.annotate(
        label, (1.0, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7, color="0.35"
    )
