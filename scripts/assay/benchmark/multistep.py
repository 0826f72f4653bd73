"""Students as inner forces of their teacher's dynamics: how much faster, and up to how many steps it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase import units
from ase.calculators.calculator import Calculator
from ase.md.verlet import VelocityVerlet

from assay.benchmark.timing import interleave, ratio
from assay.dynamics.internal import BOND_EDGES_A, TORSION_EDGES_deg
from assay.dynamics.multistep import ALONE, REPEATED, TEACHER, moving_atoms
from assay.runtime.respa import Respa
from assay.structures.structure import Structure
from assay.workflow import plots
from assay.workflow.config_models.commands_yaml import MultistepDynamics

Row = Mapping[str, Any]


def time_steps(
    structure: Structure,
    teacher: Callable[[], Calculator],
    students: Mapping[str, Calculator],
    settings: MultistepDynamics,
    seconds: float,
) -> list[dict[str, Any]]:
    """Time one step of the teacher's own dynamics and one of RESPA by each student at each n, in turns.

    Args:
        structure: the molecule.
        teacher: makes the teacher's calculator.
        students: the calculator of each student.
        settings: ``step_fs``, ``temperature_K``, ``corrected_every`` and ``seed``.
        seconds: for how long each is measured.

    Returns:
        a row for each student and n: ``student``, ``n``, ``name`` and ``n_atoms`` of the molecule, ``step_ms`` (n short
        steps and one correction), ``teacher_step_ms`` (one short step) and ``times_faster``, the ratio of the times for
        equal lengths of trajectory with its spread.
    """
    rng, step = np.random.default_rng(settings.seed), settings.step_fs * units.fs
    atoms = moving_atoms(structure, settings.temperature_K, rng)

    def moved() -> ase.Atoms:
        own = atoms.copy()
        own.calc = teacher()
        return own

    steps = {(name, n): Respa(moved(), step, student, n).step for name, student in students.items()
             for n in settings.corrected_every}  # fmt: skip
    calls = {"teacher": VelocityVerlet(moved(), step).step} | {f"{name} {n}": call for (name, n), call in steps.items()}
    times = interleave(calls, seconds, min_rounds=5, max_rounds=50)
    rows = []
    for name, n in steps:
        own = times[f"{name} {n}"]
        slower = ratio(times["teacher"], own)
        rows.append(
            {
                "student": name,
                "n": n,
                "name": structure.name,
                "n_atoms": len(structure),
                "step_ms": 1e3 * own.median_s,
                "teacher_step_ms": 1e3 * times["teacher"].median_s,
                "times_faster": {part: n * value for part, value in slower.items()},
            }
        )
    return rows


def summarize(rows: Sequence[Row], times: Sequence[Row], limit: float) -> list[dict[str, Any]]:
    """What all molecules together say of one student, for the student alone and for each n.

    Args:
        rows: those of ``dynamics.multistep.describe``, each with its ``n``.
        times: those of ``time_steps`` for this student.
        limit: the largest drift of a stable n, meV/atom/ps.

    Returns:
        for each n: ``stable`` (no molecule blew up, and none drifts by more than the limit), the largest
        ``drift_meV_per_atom_per_ps`` by absolute value and ``fluctuation_meV_per_atom``, the means of both distances,
        and ``times_faster``: the time of the teacher over that of RESPA for all molecules together.
    """
    found = []
    for n in dict.fromkeys(row["n"] for row in rows):
        own, timed = [row for row in rows if row["n"] == n], [row for row in times if row["n"] == n]
        drifts = [row["drift_meV_per_atom_per_ps"] for row in own]
        lost = any(row["blown_up_fs"] is not None or row["drift_meV_per_atom_per_ps"] is None for row in own)
        entry = {
            "n": n,
            "stable": bool(not lost and max(map(abs, drifts)) <= limit),
            "blown_up": sum(row["blown_up_fs"] is not None for row in own),
            "drift_meV_per_atom_per_ps": max((d for d in drifts if d is not None), key=abs, default=None),
            "fluctuation_meV_per_atom": _of(own, "fluctuation_meV_per_atom", max),
            "bond_distance_A": _of(own, "bond_distance_A", np.mean),
            "torsion_distance_deg": _of(own, "torsion_distance_deg", np.mean),
        }
        if timed:
            teacher = sum(row["n"] * row["teacher_step_ms"] for row in timed)
            entry["times_faster"] = teacher / sum(row["step_ms"] for row in timed)
        found.append(entry)
    return found


def collect(
    motions: Mapping[str, Mapping[str, Any]], times: Sequence[Row], teacher: str, limit: float
) -> dict[str, Any]:
    """What ``multistep.json`` says of all students.

    Args:
        motions: the ``multistep.json`` of each student.
        times: the rows of ``time_steps`` for all molecules.
        teacher: the name of the teacher.
        limit: the largest drift of a stable n, meV/atom/ps.

    Returns:
        ``best`` (see ``best_inner_force``); for each of ``students`` its ``summary``, its ``largest_stable`` entry,
        ``densities`` and ``rows``; of the ``teacher`` its rows, ``densities``, and the distances of its ``repeated``
        run; ``molecules``, ``times``, and the ``edges`` of the histograms.
    """
    first = next(iter(motions.values()))
    own = [row for row in first["teacher_rows"] if row["n"] == TEACHER]
    [again] = summarize([row for row in first["teacher_rows"] if row["n"] == REPEATED], [], limit)
    students: dict[str, dict[str, Any]] = {}
    for name, motion in motions.items():
        summary = summarize(motion["rows"], [row for row in times if row["student"] == name], limit)
        students[name] = {
            "checkpoint_sha256": motion["checkpoint_sha256"],
            "summary": summary,
            "largest_stable": largest_stable(summary),
            "densities": {
                str(entry["n"]): _pooled([row for row in motion["rows"] if row["n"] == entry["n"]]) for entry in summary
            },
            "rows": [{key: value for key, value in row.items() if key != "densities"} for row in motion["rows"]],
        }
    return {
        "teacher": teacher,
        "best": best_inner_force(students),
        "drift_limit_meV_per_atom_per_ps": limit,
        "molecules": [{"name": row["name"], "n_atoms": row["n_atoms"]} for row in own],
        "repeated": again,
        "densities": _pooled(own),
        "edges": {"bonds": BOND_EDGES_A, "torsions": TORSION_EDGES_deg},
        "students": students,
        "times": list(times),
    }


def largest_stable(summary: Sequence[Row]) -> Row | None:
    """The entry of the largest n up to which every n is stable; None if the smallest is not."""
    best = None
    for entry in sorted((entry for entry in summary if entry["n"] != ALONE), key=lambda entry: int(entry["n"])):
        if not entry["stable"]:
            break
        best = entry
    return best


def best_inner_force(students: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The student that is the fastest at its largest stable n; None if no student has one."""
    able = {name: own["largest_stable"]["times_faster"] for name, own in students.items() if own["largest_stable"]}
    return max(able, key=able.__getitem__) if able else None


def draw(path: str | Path, result: Mapping[str, Any]) -> None:
    """Draw drift, speed and both distances over n for each student, and the distributions of the best one.

    Args:
        path: the SVG file to write.
        result: the content of ``multistep.json``.
    """
    panels = {
        "drift_meV_per_atom_per_ps": ("meV/atom/ps", "drift of the total energy", True),
        "times_faster": ("times", "speed over the teacher", False),
        "bond_distance_A": ("Å", "bonds: distance from the teacher's", True),
        "torsion_distance_deg": ("°", "torsions: distance from the teacher's", False),
    }
    with plots.figure(path, 2, 3, size=(3.8, 3.0)) as (drawing, axes):
        for panel, (key, (unit, title, logarithmic)) in zip(axes[:, :2].flat, panels.items(), strict=True):
            for index, (name, own) in enumerate(result["students"].items()):
                rows = [row for row in own["summary"] if row["n"] != ALONE and row.get(key) is not None]
                shown = [abs(row[key]) for row in rows]
                panel.plot([row["n"] for row in rows], shown, label=name, **plots.series(index))
            panel.set(xlabel="short steps between corrections, n", ylabel=unit, title=title)
            panel.set_yscale("log" if logarithmic else "linear")
            if result["repeated"].get(key) is not None:
                plots.target(panel, result["repeated"][key], "teacher, again")
        plots.target(axes[0, 0], result["drift_limit_meV_per_atom_per_ps"], "limit")
        _draw_distributions(axes[:, 2], result)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _draw_distributions(axes: Any, result: Mapping[str, Any]) -> None:
    """Draw the distributions of bonds and torsions of the best inner force, alone and corrected, and the teacher's."""
    best = result["best"]
    if best is None:
        for panel in axes:
            panel.set_axis_off()
        return
    own = result["students"][best]
    curves = {
        result["teacher"]: (result["densities"], {"color": plots.BLACK}),
        f"{best} alone": (own["densities"][ALONE], {"color": plots.ORANGE, "linestyle": "--"}),
        f"{best}, n = {own['largest_stable']['n']}": (
            own["densities"][str(own["largest_stable"]["n"])],
            {"color": plots.BLUE, "linestyle": "-."},
        ),
    }
    for panel, kind, unit in zip(axes, ("bonds", "torsions"), ("Å", "°"), strict=True):
        edges = np.array(result["edges"][kind])
        for label, (counts, style) in curves.items():
            share = np.array(counts[kind]) / max(1, np.sum(counts[kind]))
            panel.plot(0.5 * (edges[1:] + edges[:-1]), 100 * share, marker="", label=label, **style)
        panel.set(ylabel="%", xlabel=f"{'length less the mean' if kind == 'bonds' else 'angle'} ({unit})")
        panel.set_title(f"all {kind}")
    axes[0].legend(loc="upper right", fontsize=6)


def _pooled(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """The histograms of all molecules together."""
    known = [row["densities"] for row in rows if "densities" in row]
    zeros = {"bonds": np.zeros(len(BOND_EDGES_A) - 1), "torsions": np.zeros(len(TORSION_EDGES_deg) - 1)}
    return {kind: sum((np.array(row[kind]) for row in known), start=zero) for kind, zero in zeros.items()}


def _of(rows: Sequence[Row], key: str, how: Callable[[list[float]], Any]) -> float | None:
    """What a function says of the values that are known; None if none is."""
    known = [row[key] for row in rows if row[key] is not None]
    return float(how(known)) if known else None
