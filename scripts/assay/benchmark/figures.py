"""The figure of the benchmark branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from assay.benchmark.points import atoms_at
from assay.workflow import plots

Rows = Sequence[Mapping[str, Any]]


def draw_benchmark(path: str | Path, result: Mapping[str, Any]) -> None:
    """Draw latency against system size, throughput against batch size, and the share of the machine's peak.

    Latency and throughput stand beside those of the teacher and of the matrix peak.

    Args:
        path: the SVG file to write.
        result: the content of ``benchmark.json``.
    """
    rows = [row for row in result["rows"] if "latency_ms_median" in row]
    sizes = list(dict.fromkeys(row["system_size"] for row in rows if row["batch_size"] > 1))
    runtimes = list(dict.fromkeys(row["runtime"] for row in rows))
    with plots.figure(path, 1, len(sizes) + 2, size=(3.2, 2.9)) as (drawing, axes):
        latency, *throughput, efficiency = axes[0]
        for index, runtime in enumerate(runtimes):
            own = [row for row in rows if row["runtime"] == runtime]
            style = plots.series(index) | {"label": runtime.replace("_", " ")}
            _latency(latency, [row for row in own if row["batch_size"] == 1], style)
            for panel, size in zip(throughput, sizes, strict=True):
                here = [row for row in own if row["system_size"] == size]
                panel.plot([row["batch_size"] for row in here], [row["atoms_per_s"] for row in here], **style)
            known = [row for row in own if row["fraction_of_matrix_peak"] is not None]
            efficiency.plot(
                [row["n_atoms"] for row in known],
                [100 * row["fraction_of_matrix_peak"] for row in known],
                **style | {"linestyle": "none"},
            )
        peak = result["matrix_peak"]["gflop_per_s"]
        _teacher(latency, throughput, sizes, result["teacher"])
        _least_time(latency, [row for row in rows if row["batch_size"] == 1], peak)
        for panel, size in zip(throughput, sizes, strict=True):
            _limit(panel, [row for row in rows if row["system_size"] == size], peak)
            panel.set(xlabel="structures in a call", ylabel="atoms/s", xscale="log", yscale="log")
            panel.set_title(f"throughput, {atoms_at(rows, size)} atoms")
        latency.set(
            xlabel="atoms", ylabel="ms, energy and forces", xscale="log", yscale="log", title="latency of one structure"
        )
        efficiency.set(xlabel="atoms in a call", ylabel="%", xscale="log", title="of the measured matrix peak")
        handles, labels = latency.get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _latency(axes: Axes, rows: Rows, style: dict[str, Any]) -> None:
    """Draw medians, with a bar from p5 to p95."""
    middle = [row["latency_ms_median"] for row in rows]
    below = [row["latency_ms_median"] - row["latency_ms_p5"] for row in rows]
    above = [row["latency_ms_p95"] - row["latency_ms_median"] for row in rows]
    axes.errorbar([row["n_atoms"] for row in rows], middle, yerr=[below, above], capsize=2, elinewidth=0.8, **style)


def _teacher(latency: Axes, throughput: Sequence[Axes], sizes: Sequence[int], teacher: Mapping[str, Any]) -> None:
    """Draw the teacher's time and throughput, one structure after another."""
    if not teacher["rows"]:
        return
    single = [row for row in teacher["rows"] if row["call"] == "teacher" and row["batch_size"] == 1]
    style = {"color": plots.BLACK, "marker": "*", "linestyle": ":", "label": teacher["name"]}
    latency.plot([row["n_atoms"] for row in single], [row["latency_ms_median"] for row in single], **style)
    for panel, size in zip(throughput, sizes, strict=True):
        for row in (row for row in single if row["system_size"] == size):
            plots.target(panel, row["n_atoms"] / row["latency_ms_median"] * 1e3, teacher["name"])


def _limit(axes: Axes, rows: Rows, peak_gflop_per_s: float) -> None:
    """Draw the throughput if the matrix products ran at their peak and all else took no time."""
    counted = [row for row in rows if row["matrix_gflop"]]
    if counted:
        largest = max(counted, key=lambda row: row["n_atoms"])
        plots.target(axes, peak_gflop_per_s / (largest["matrix_gflop"] / largest["n_atoms"]), "matrix peak")


def _least_time(axes: Axes, rows: Rows, peak_gflop_per_s: float) -> None:
    """Draw the latency if the matrix products ran at their peak and all else took no time."""
    counted = sorted({(row["n_atoms"], row["matrix_gflop"]) for row in rows if row["matrix_gflop"]})
    if counted:
        n_atoms, gflop = zip(*counted, strict=True)
        times = [value / peak_gflop_per_s * 1e3 for value in gflop]
        axes.plot(n_atoms, times, marker="", label="matrix peak", **plots.REFERENCE)
