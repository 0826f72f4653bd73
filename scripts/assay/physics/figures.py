"""The figures of the physics branch, drawn from the raw numbers in ``physics.json``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from assay.physics.checks import ERROR, NOT_APPLICABLE
from assay.physics.verdict import FAIL, PASS, label_of
from assay.workflow import plots

Checks = Mapping[str, Mapping[str, Any]]

TEACHER = {"color": "0.35", "linestyle": (0, (1, 1.2)), "linewidth": 2.2, "label": "teacher"}
STUDENT = {"color": plots.BLUE, "linestyle": "-", "label": "student"}
_MARKERS = {PASS: ("o", plots.BLUE), FAIL: ("X", plots.ORANGE), ERROR: ("X", plots.ORANGE)}
SMALLEST = 1e-9  # the least value over its limit that is drawn; smaller ones are drawn there


def draw_all(checks: Checks, paths: Mapping[str, str | Path]) -> None:
    """Draw every figure of ``FIGURES`` that has a path."""
    for name, path in paths.items():
        FIGURES[name](path, checks)


def draw_overview(path: str | Path, checks: Checks) -> None:
    """Draw every criterion as its value over its limit: left of the line is allowed."""
    rows = [(name, check, criterion) for name, check in checks.items() for criterion in check["criteria"]]
    with plots.figure(path, size=(7.2, 0.8 + 0.19 * len(rows))) as (_, axes):
        panel = axes[0, 0]
        for place, (_, check, criterion) in enumerate(reversed(rows)):
            ratio = _ratio(criterion)
            if check["outcome"] == NOT_APPLICABLE or ratio is None:
                panel.text(1.0, place, f" {check['outcome']}", va="center", fontsize=7, color="0.35")
                continue
            marker, color = _MARKERS[PASS if criterion["passed"] else FAIL]
            panel.plot([SMALLEST, ratio], [place, place], color="0.85", linestyle="-", linewidth=1, zorder=1)
            panel.plot(ratio, place, marker=marker, color=color, linestyle="none", zorder=2)
        labels = [f"{name}: {label_of(criterion['value_name'])}" for name, _, criterion in reversed(rows)]
        panel.set_yticks(range(len(rows)), labels, fontsize=7)
        panel.axvline(1.0, **plots.REFERENCE)
        panel.set(xscale="log", xlabel="value / limit", xlim=(SMALLEST / 2, None), ylim=(-0.7, len(rows) - 0.3))
        panel.set_title("pass: ●   fail: ✖")


def _ratio(criterion: Mapping[str, Any]) -> float | None:
    """Divide a value by its limit, or the limit by the value where it is a lower one; None without a value.

    Any value above a limit of zero is drawn a decade beyond the line.
    """
    if criterion["value"] is None:
        return None
    if "min" in criterion:
        return max(criterion["min"] / max(criterion["value"], 1e-12), SMALLEST)
    if criterion["max"] == 0:
        return SMALLEST if criterion["value"] <= 0 else 10.0 + criterion["value"]
    return float(np.clip(criterion["value"] / criterion["max"], SMALLEST, 1e9))


@contextmanager
def _grid(path: str | Path, count: int, columns: int, size: tuple[float, float]) -> Iterator[np.ndarray]:
    """Yield ``count`` panels in rows; the unused ones of the last row are hidden."""
    rows = -(-count // columns)
    with plots.figure(path, rows, columns, size=size) as (_, axes):
        flat = axes.ravel()
        for panel in flat[count:]:
            panel.set_visible(False)
        yield flat


def _absent(path: str | Path, check: Mapping[str, Any]) -> None:
    """Draw a figure that says why there is nothing to draw."""
    with plots.figure(path, size=(4.0, 1.0)) as (_, axes):
        axes[0, 0].axis("off")
        axes[0, 0].text(0.5, 0.5, f"{check['outcome']}: {check['message']}", ha="center", va="center", wrap=True)


def draw_nve(path: str | Path, checks: Checks) -> None:
    """Draw the energy along dynamics at constant energy, a row for each time step.

    On the left is the total energy, on the right the shadow energy, which lacks the integrator's share.
    """
    raw = checks["nve"]["raw"]
    steps = [key for key in raw if key.startswith("step_")]
    if not steps:
        return _absent(path, checks["nve"])
    with plots.figure(path, len(steps), 2, size=(4.4, 2.4)) as (_, axes):
        for row, step in zip(axes, steps, strict=True):
            for panel, key in zip(row, ("total_meV_per_atom", "shadow_meV_per_atom"), strict=True):
                for index, (name, trace) in enumerate(zip(raw["molecules"], raw[step][key], strict=True)):
                    style = plots.series(index) | {"marker": "", "linewidth": 0.9, "label": name}
                    panel.plot(raw[step]["time_fs"], _floats(trace), **style)
                kind = key.split("_")[0]
                panel.set(ylabel=f"{kind} energy\n(meV/atom)", title=step.replace("_", " ").replace("step", "step of"))
        for panel in axes[-1]:
            panel.set_xlabel("time (fs)")
        axes[0, 0].legend(fontsize=6, ncols=2)


def draw_cutoff(path: str | Path, checks: Checks) -> None:
    """Draw energy and force along the crossing with the largest jump, and the jumps of all crossings."""
    raw = checks["cutoff"]["raw"]
    if "scan_distance_A" not in raw:
        return _absent(path, checks["cutoff"])
    with plots.figure(path, 1, 3, size=(3.3, 2.6)) as (_, axes):
        distance = np.array(raw["scan_distance_A"])
        cutoff = distance[0] + 0.8
        for panel, key, label in (
            (axes[0, 0], "scan_energy_eV", "energy (meV)"),
            (axes[0, 1], "scan_force_eV_per_A", "force along the path (meV/Å)"),
        ):
            panel.plot(distance, 1e3 * _floats(raw[key]), color=plots.BLUE, marker=".", markersize=3, linestyle="none")
            panel.axvline(cutoff, **plots.REFERENCE)
            panel.set(xlabel="distance of the closest atoms (Å)", ylabel=label)
        axes[0, 0].set_title(raw["scan_pair"])
        jumps = np.maximum(_floats(raw["energy_jump_eV"]), 1e-16)
        axes[0, 2].plot(np.sort(jumps), np.arange(1, len(jumps) + 1) / len(jumps), color=plots.BLUE, drawstyle="steps")
        axes[0, 2].set(xscale="log", xlabel="jump of the energy (eV)", ylabel="crossings with less")


def draw_continuity(path: str | Path, checks: Checks) -> None:
    """Draw what the forces leave unexplained at each step of each loop, and the energy along the worst loop."""
    paths = checks["continuity"]["raw"].get("paths", [])
    if not paths:
        return _absent(path, checks["continuity"])
    with plots.figure(path, 1, 2, size=(3.8, 2.9)) as (_, axes):
        worst = paths[int(np.argmax(np.nan_to_num(_floats([row["largest_jump_eV"] for row in paths]), nan=np.inf)))]
        for row in paths:
            style = {"color": plots.ORANGE, "zorder": 3, "label": row["name"]} if row is worst else {"color": "0.75"}
            left = np.maximum(np.abs(_floats(row["unexplained_eV"])), 1e-12)
            axes[0, 0].plot(left, linestyle="-", linewidth=0.9, **style)
        axes[0, 0].set(
            yscale="log", xlabel="step of the path", ylabel="change of the energy that\nthe forces do not explain (eV)"
        )
        axes[0, 0].legend(fontsize=6)
        axes[0, 1].plot(_floats(worst["energy_eV"]), color=plots.ORANGE, marker=".", markersize=3)
        axes[0, 1].set(xlabel="step of the path", ylabel="energy (eV)", title=worst["name"])


def _curves(check: str, unit: str) -> Callable[[str | Path, Checks], None]:
    def draw(path: str | Path, checks: Checks) -> None:
        """Draw a panel for each curve, beside the teacher's."""
        curves = checks[check]["raw"].get("curves", {})
        if not curves:
            return _absent(path, checks[check])
        with _grid(path, len(curves), 7, (1.55, 1.35)) as panels:
            for panel, (name, curve) in zip(panels, curves.items(), strict=False):
                teacher = _floats(curve["teacher_eV"])
                panel.plot(curve["distance_A"], teacher, **TEACHER)
                panel.plot(curve["distance_A"], _floats(curve["energy_eV"]), **STUDENT)
                low = min(float(np.nanmin(teacher)), -0.05)
                panel.set(ylim=(1.6 * low, max(3.0 * -low, 0.4)), title=name)
                panel.locator_params(nbins=3)
            panels[0].legend(fontsize=6)
            panels[0].set(xlabel="distance (Å)", ylabel=f"energy ({unit})")

    return draw


def draw_torsions(path: str | Path, checks: Checks) -> None:
    """Draw energies along dihedral angles beside the teacher's."""
    scans = checks["torsions"]["raw"].get("scans", {})
    if not scans:
        return _absent(path, checks["torsions"])
    with _grid(path, len(scans), 4, (2.5, 1.9)) as panels:
        for panel, (name, scan) in zip(panels, scans.items(), strict=False):
            teacher = _floats(scan["teacher_kcal_per_mol"])
            panel.plot(scan["coordinate"], teacher - teacher.min(), **TEACHER)
            panel.plot(scan["coordinate"], _floats(scan["energy_kcal_per_mol"]) - teacher.min(), **STUDENT)
            panel.set(title=name, xticks=(-180, -90, 0, 90, 180))
        panels[0].set(xlabel="dihedral angle (°)", ylabel="energy (kcal/mol)")
        panels[0].legend(fontsize=6)


def draw_vibrations(path: str | Path, checks: Checks) -> None:
    """Draw harmonic frequencies beside the teacher's, and the density of both over all molecules."""
    molecules = checks["vibrations"]["raw"].get("molecules", {})
    if not molecules:
        return _absent(path, checks["vibrations"])
    own = np.concatenate([_floats(row["frequencies_per_cm"]) for row in molecules.values()])
    teacher = np.concatenate([_floats(row["teacher_per_cm"]) for row in molecules.values()])
    with plots.figure(path, 1, 2, size=(3.6, 2.9)) as (_, axes):
        if len(own) == len(teacher):
            axes[0, 0].plot(teacher, own, "o", color=plots.BLUE, markersize=3, alpha=0.7)
            plots.identity_line(axes[0, 0], teacher, own)
        axes[0, 0].set(xlabel="teacher (1/cm)", ylabel="student (1/cm)", title="harmonic frequencies")
        grid = np.linspace(0.0, 4000.0, 800)
        for values, style in ((teacher, TEACHER), (own, STUDENT)):
            axes[0, 1].plot(grid, np.exp(-(((grid[:, None] - values) / 20.0) ** 2)).sum(1), **style)
        axes[0, 1].set(xlabel="frequency (1/cm)", ylabel="modes (20/cm wide)", title="vibrational spectrum")
        axes[0, 1].legend()


def draw_energies(path: str | Path, checks: Checks) -> None:
    """Draw relative energies of conformers and tautomers beside the teacher's."""
    with plots.figure(path, 1, 2, size=(3.3, 2.9)) as (_, axes):
        for panel, (check, key) in zip(axes[0], (("conformers", "molecules"), ("tautomers", "pairs")), strict=True):
            rows = list(checks[check]["raw"].get(key, {}).items())
            for index, (name, row) in enumerate(rows):
                style = plots.series(index) | {"linestyle": "none", "label": name, "markersize": 3.5}
                panel.plot(_floats(row["teacher_kcal_per_mol"]), _floats(row["energy_kcal_per_mol"]), **style)
            if rows:
                plots.identity_line(
                    panel,
                    np.concatenate([_floats(row["teacher_kcal_per_mol"]) for _, row in rows]),
                    np.concatenate([_floats(row["energy_kcal_per_mol"]) for _, row in rows]),
                )
                panel.legend(fontsize=5)
            panel.set(xlabel="teacher (kcal/mol)", ylabel="student (kcal/mol)", title=check)


def _floats(values: Any) -> np.ndarray:
    """Turn numbers as they come from JSON into an array, None into NaN."""
    return np.array([np.nan if value is None else value for value in values], dtype=float)


FIGURES: dict[str, Callable[[str | Path, Checks], None]] = {
    "overview": draw_overview,
    "nve": draw_nve,
    "cutoff": draw_cutoff,
    "continuity": draw_continuity,
    "dimers": _curves("dimer_curves", "eV"),
    "contacts": _curves("contact_curves", "eV"),
    "torsions": draw_torsions,
    "vibrations": draw_vibrations,
    "energies": draw_energies,
}
