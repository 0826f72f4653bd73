"""The figures of the accuracy branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from assay.accuracy.domain import Novelty
from assay.accuracy.evaluation import force_rmse
from assay.accuracy.metrics import UNITS, Errors, of_elements
from assay.workflow import plots

_PERCENTILES = (50, 90, 99)
BINS = 12  # of force, over which the error is drawn
FEW = 3000  # so few points are drawn as larger squares


def draw_parity(path: str | Path, splits: Mapping[str, Errors]) -> None:
    """Draw predicted against labelled forces, energies and, where a split has some, stress as densities, one column a
    split; without splits, that the figure is not applicable.
    """
    if not splits:
        return _draw_nothing(path)
    with_stress = {name: np.isfinite(errors.stress_error).all(1) for name, errors in splits.items()}
    rows = 3 if any(present.any() for present in with_stress.values()) else 2
    with plots.figure(path, rows, len(splits), size=(2.9, 2.8)) as (_, axes):
        for column, (name, errors) in zip(axes.T, splits.items(), strict=True):
            _parity(column[0], errors.forces_teacher.ravel(), errors.forces.ravel(), "force component (eV/Å)")
            constant = of_elements(errors)
            labelled = (errors.energy_teacher - constant) / errors.n_atoms
            predicted = (errors.energy - constant) / errors.n_atoms
            _parity(column[1], labelled, predicted, "energy less a constant\nper element (eV/atom)")
            column[0].set_title(name.replace("_", " "))
            if rows == 3:
                _stress_parity(column[2], errors, with_stress[name])


def _stress_parity(axes: Axes, errors: Errors, present: np.ndarray) -> None:
    """Draw the stress of the structures of a mask (S,), or that there is none."""
    if errors.stress is None or errors.stress_teacher is None or not present.any():
        return _say(axes, "no stress")
    labelled, predicted = (UNITS["GPa"] * stress[present].ravel() for stress in (errors.stress_teacher, errors.stress))
    _parity(axes, labelled, predicted, "stress component (GPa)")


def _parity(axes: Axes, labelled: np.ndarray, predicted: np.ndarray, quantity: str) -> None:
    plots.density(axes, labelled, predicted, bins=100 if len(labelled) > FEW else 60)
    plots.identity_line(axes, labelled, predicted)
    axes.set(xlabel=f"labelled: {quantity}", ylabel="student")


def draw_errors(path: str | Path, splits: Mapping[str, Errors], judged: Mapping[str, Any]) -> None:
    """Draw the distributions of the errors, and how they depend on force, size and element.

    Without splits it draws that the figure is not applicable.
    """
    if not splits:
        return _draw_nothing(path)
    with plots.figure(path, 2, 4, size=(3.3, 2.7)) as (_, axes):
        for index, (name, errors) in enumerate(splits.items()):
            style = plots.series(index) | {"label": name.replace("_", " ")}
            line = style | {"marker": ""}
            cosine = errors.cosine[np.isfinite(errors.cosine)]
            _cumulative(axes[0, 0], errors.force_error, line)
            _cumulative(axes[0, 1], np.abs(errors.energy_error_per_atom) * 1e3, line)
            _cumulative(axes[0, 2], np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))), line)
            _histogram(axes[0, 3], np.linalg.norm(errors.forces, axis=1) - errors.force_size, line)
            _binned(axes[1, 0], errors.force_size, errors.force_error, style)
            _per_size(axes[1, 1], judged[name]["per_size"], style)
        axes[0, 0].set(xlabel="force error (eV/Å)", ylabel="atoms with less", title="force error")
        axes[0, 1].set(xlabel="|energy error| (meV/atom)", ylabel="structures with less", title="energy error")
        axes[0, 2].set(xlabel="angle to the labelled force (°)", ylabel="atoms with less", title="direction")
        axes[0, 3].set(xlabel="|F| − |F labelled| (eV/Å)", ylabel="density", yscale="log", title="magnitude")
        axes[1, 0].set(
            xlabel="|F labelled| (eV/Å)", ylabel="median force error (eV/Å)", title="error against force", yscale="log"
        )
        axes[1, 1].set(xlabel="atoms", ylabel="force RMSE (eV/Å)", title="error against size", ylim=(0, None))
        _per_element(axes[1, 2], judged, "force_rmse_eV_per_A", "force RMSE (eV/Å)")
        _per_element(axes[1, 3], judged, "force_accuracy", "1 − RMSE / RMS")
        axes[0, 0].legend(loc="lower right")


def _cumulative(axes: Axes, values: np.ndarray, style: dict[str, Any]) -> None:
    """Draw a cumulative distribution on a logarithmic axis, with dots at the 50th, 90th and 99th percentile."""
    values = np.sort(values[np.isfinite(values)])
    if len(values) == 0:
        return
    thin = np.unique(np.linspace(0, len(values) - 1, 300).astype(int))
    axes.plot(np.maximum(values[thin], 1e-6), (thin + 1) / len(values), **style)
    at = np.percentile(values, _PERCENTILES)
    axes.plot(at, np.array(_PERCENTILES) / 100, "o", color=style["color"], markersize=4)
    axes.set(xscale="log", ylim=(0, 1.02), xlim=(max(np.percentile(values, 1), 1e-6), None))


def _histogram(axes: Axes, values: np.ndarray, style: dict[str, Any]) -> None:
    values = values[np.isfinite(values)]
    if len(values):
        limit = max(float(np.percentile(np.abs(values), 99.8)), 1e-6)
        bins = {"bins": 81, "binrange": (-limit, limit), "stat": "density"}
        sns.histplot(x=values, element="poly", fill=False, ax=axes, **bins, **style)
        heights = np.asarray(axes.lines[-1].get_ydata(), dtype=float)
        axes.lines[-1].set_ydata(np.where(heights > 0, heights, np.nan))  # bins that hold nothing are gaps


def _binned(axes: Axes, x: np.ndarray, y: np.ndarray, style: dict[str, Any]) -> None:
    """Draw the median of y, with its quartiles as a band, in bins of x that hold equally many points."""
    usable = np.isfinite(y)
    x, y = x[usable], y[usable]
    if len(x) < BINS:
        return
    rank = np.argsort(np.argsort(x))
    centers = pd.Series(x).groupby(rank * BINS // len(x)).transform("median")
    band = {"errorbar": ("pi", 50), "err_kws": {"alpha": 0.15}}
    sns.lineplot(x=centers, y=y, estimator="median", **band, markeredgewidth=0, legend=False, ax=axes, **style)


def _per_size(axes: Axes, rows: Sequence[Mapping[str, Any]], style: dict[str, Any]) -> None:
    centers = [(row["n_atoms_min"] + (row["n_atoms_max"] or 1.3 * row["n_atoms_min"])) / 2 for row in rows]
    axes.plot(centers, [row["force_rmse_eV_per_A"] for row in rows], **style)


def _per_element(axes: Axes, judged: Mapping[str, Any], key: str, label: str) -> None:
    found = [
        {"split": split, "element": symbol, key: row[key]}
        for split, errors in judged.items()
        for symbol, row in errors["per_element"].items()
    ]
    if found:
        rows = pd.DataFrame(found).astype({key: float}).sort_values("element")
        colors = [plots.series(index)["color"] for index in range(len(judged))]
        names = {"x": "element", "y": key, "hue": "split", "hue_order": list(judged)}
        sns.barplot(rows, **names, palette=colors, saturation=1, errorbar=None, legend=False, ax=axes)
    axes.grid(False, axis="x")
    axes.set(xlabel="", ylabel=label, title="per element")


def draw_novelty(
    path: str | Path,
    splits: Mapping[str, Errors],
    novelties: Mapping[str, Sequence[Novelty]],
    compared_with: str,
) -> None:
    """Draw force error against the distance from the training data, in units of the distance that flags a structure.

    Args:
        path: the SVG file to write.
        splits: errors of the student, by split.
        novelties: those of the structures, by split; none of a split whose structures cannot be compared.
        compared_with: the structures that others are compared with, in words.
    """
    if not splits:
        return _draw_nothing(path)
    with plots.figure(path, 1, len(splits), size=(2.9, 2.7)) as (drawing, axes):
        for index, (name, errors) in enumerate(splits.items()):
            panel, rmse = axes[0, index], force_rmse(errors)
            panel.set_title(name.replace("_", " "))
            if name not in novelties:
                _say(panel, "the training data\nare unknown")
                continue
            score = np.array([min(novelty.score, 10.0) for novelty in novelties[name]])
            unknown = np.array([bool(novelty.unknown) for novelty in novelties[name]], dtype=bool)
            for chosen, marker, color, label in (
                (~unknown, "o", plots.BLUE, "known bonding"),
                (unknown, "X", plots.ORANGE, "unknown bonding"),
            ):
                style = {"marker": marker, "color": color, "linestyle": "none", "markersize": 3, "alpha": 0.5}
                panel.plot(score[chosen], rmse[chosen], label=label, **style)
            panel.axvline(1.0, **plots.REFERENCE)
            panel.set(yscale="log", xlabel="distance from the training data")
        if novelties:
            drawing.suptitle(f"compared with {compared_with}", fontsize="medium")
            axes[0, 0].set_ylabel("force RMSE (eV/Å)")
            drawing.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)


def _draw_nothing(path: str | Path) -> None:
    """Draw that a figure is not applicable, because its student knows the elements of no split."""
    with plots.figure(path) as (_, axes):
        _say(axes[0, 0], "not applicable")


def _say(axes: Axes, text: str) -> None:
    """Write a text in the place of a panel."""
    axes.text(0.5, 0.5, text, ha="center", transform=axes.transAxes)
    axes.set(xticks=[], yticks=[])


def draw_comparison(path: str | Path, accuracies: Sequence[Mapping[str, Any]], target: float) -> None:
    """Draw the accuracy of all variants side by side, with bootstrap intervals over molecules where there are any.

    Args:
        path: the SVG file to write.
        accuracies: the contents of ``accuracy.json``, one a variant.
        target: the force accuracy that is asked for.
    """
    panels = {
        "force_accuracy": "force accuracy\n1 − RMSE / RMS",
        "force_mae_eV_per_A": "force MAE (eV/Å)",
        "energy_mae_eV_per_atom": "energy MAE (eV/atom)",
    }
    names = list(dict.fromkeys(name for accuracy in accuracies for name in accuracy["splits"]))
    if not names:
        _draw_nothing(path)
        return
    with plots.figure(path, 1, len(panels), size=(3.2, 2.8)) as (_, axes):
        for panel, (key, label) in zip(axes[0], panels.items(), strict=True):
            for index, accuracy in enumerate(accuracies):
                present = [k for k, name in enumerate(names) if name in accuracy["splits"]]
                own = [accuracy["splits"][names[k]] for k in present]
                values = np.array([split.get(key) or np.nan for split in own])
                ends = [split["confidence_intervals"].get(key, (np.nan, np.nan)) for split in own]
                intervals = np.array([[np.nan if end is None else end for end in pair] for pair in ends])
                low, high = intervals.reshape(-1, 2).T
                places = np.array(present) + 0.12 * (index - (len(accuracies) - 1) / 2)
                errors = np.clip([values - low, high - values], 0.0, None)
                style = plots.series(index) | {"linestyle": "none", "label": accuracy["variant"]}
                panel.errorbar(places, values, yerr=errors, capsize=2, elinewidth=1, **style)
            panel.set_xticks(np.arange(len(names)), [name.replace("_", "\n") for name in names])
            panel.set(ylabel=label, xlim=(-0.5, len(names) - 0.5))
        plots.target(axes[0, 0], target, f"asked for: {target:g}")
        axes[0, 0].legend()
