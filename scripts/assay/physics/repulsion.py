"""What happens when atoms come too close: nothing may fall into a hole that the teacher does not have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.physics import reference
from assay.physics.base import Check, Measurement, NotApplicable, Subject, asked, once, worst

WALL_eV = 2.0  # a wall is as high as this, over two separate atoms or molecules: nothing should get through
FLAT_eV_per_A = 0.02  # forces below this have no sign
RIPPLE_eV = 0.01  # minima shallower than this are none


@once
def _curves(subject: Subject, kind: str) -> dict[str, dict[str, np.ndarray]]:
    """Energies less that at the largest distance, their negative slopes (repulsion positive), and what the forces
    themselves do along the curve, of both.
    """
    curves = {}
    for name, (frames, predictions) in asked(subject, kind).items():
        distance = np.array([frame.coordinate for frame in frames])
        energy = np.array([prediction.energy_eV for prediction in predictions])
        teacher = np.array([frame.energy_eV for frame in frames])
        path = np.gradient(np.array([frame.structure.positions for frame in frames]), distance, axis=0)
        curves[name] = {
            "distance_A": distance,
            "energy_eV": energy - energy[-1],
            "teacher_eV": teacher - teacher[-1],
            "force_eV_per_A": -np.gradient(energy, distance),
            "own_force_eV_per_A": _along(path, [prediction.forces_eV_per_A for prediction in predictions]),
            "teacher_own_force_eV_per_A": _along(path, [frame.structure.forces_eV_per_A for frame in frames]),
            "teacher_force_eV_per_A": -np.gradient(teacher, distance),
        }
    return curves


def _along(path: np.ndarray, forces_eV_per_A: Sequence[np.ndarray | None]) -> np.ndarray:
    """Forces (D, N, 3) along a path (D, N, 3), the change of positions by distance; NaN where there are none."""
    pairs = zip(path, forces_eV_per_A, strict=True)
    return np.array([np.nan if forces is None else np.sum(forces * step) for step, forces in pairs])


def walls(curve: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Indices of each stretch of distances where the teacher repels inside ``WALL_eV``: from the closest one outwards,
    as long as it stays above that.

    Two molecules may react behind a barrier: where the teacher attracts, a student has to. A stretch therefore ends a
    point before the teacher turns, since a barrier that is a grid point off is no hole.
    """
    high = curve["teacher_eV"] > WALL_eV
    outer = int(np.argmin(high)) if not high.all() else len(high)  # first point that is not high
    repels = curve["teacher_force_eV_per_A"] > FLAT_eV_per_A
    inside = np.flatnonzero((repels & np.append(True, repels[:-1]) & np.append(repels[1:], True))[:outer])
    return np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1) if len(inside) else []


def _turns(force_eV_per_A: np.ndarray) -> np.ndarray:
    """Where the teacher's own force does not repel, or is a point from where it does not, whatever its slopes say."""
    turns = force_eV_per_A <= FLAT_eV_per_A
    return turns | np.append(False, turns[:-1]) | np.append(turns[1:], False)


def short_range(subject: Subject) -> Measurement:
    """Bare atoms and facing molecules pushed into each other, wherever the teacher repels."""
    holes, attractive, raw = [], [], {}
    # Crystals alone have no contacts, and a reference without either kind says so.
    kinds = [kind for kind in (reference.DIMER, reference.CONTACT) if subject.reference.groups(kind)]
    for kind in kinds or [reference.DIMER]:
        for name, curve in _curves(subject, kind).items():
            stretches = walls(curve)
            if not stretches:
                continue
            inside = np.concatenate(stretches)
            repels = curve["force_eV_per_A"] >= -FLAT_eV_per_A
            repels &= (curve["own_force_eV_per_A"] >= -FLAT_eV_per_A) | _turns(curve["teacher_own_force_eV_per_A"])
            pull = int((~repels[inside]).sum())
            attractive.append(pull > 0)
            energies = [curve["energy_eV"][stretch] for stretch in stretches]
            holes.append(worst([energy[-1] - energy.min() for energy in energies]))
            raw[f"{kind} {name}"] = {"attractive_points": pull, "hole_eV": holes[-1], "points": len(inside)}
    if not holes:
        raise NotApplicable(f"the teacher has no wall of {WALL_eV:g} eV at the distances of the reference")
    return Measurement({"attractive_pairs": float(sum(attractive)), "deepest_hole_eV": worst(holes)}, {"pairs": raw})


def shape(energy: np.ndarray, force: np.ndarray) -> tuple[int, int]:
    """How often the force changes its sign, and how many minima the energy has, ripples left out."""
    signs = np.sign(force[np.abs(force) > FLAT_eV_per_A])
    flips = int((signs[1:] != signs[:-1]).sum())
    minima = 0
    for k in range(1, len(energy) - 1):
        left, right = energy[:k], energy[k + 1 :]
        minima += (
            energy[k] < left[-1] and energy[k] <= right[0] and min(left.max(), right.max()) > energy[k] + RIPPLE_eV
        )
    return flips, minima


def _shapes(subject: Subject, kind: str) -> Measurement:
    extra, curves = [], {}
    for name, curve in _curves(subject, kind).items():
        flips, minima = shape(curve["energy_eV"], curve["force_eV_per_A"])
        teacher_flips, teacher_minima = shape(curve["teacher_eV"], curve["teacher_force_eV_per_A"])
        extra.append(abs(flips - teacher_flips) if np.isfinite(curve["energy_eV"]).all() else np.inf)
        counts = {"flips": flips, "teacher_flips": teacher_flips, "minima": minima, "teacher_minima": teacher_minima}
        curves[name] = {key: curve[key] for key in ("distance_A", "energy_eV", "teacher_eV")} | counts
    minima_off = [abs(curve["minima"] - curve["teacher_minima"]) for curve in curves.values()]
    return Measurement(
        {"mean_wrong_flips": float(np.mean(extra)), "mean_wrong_minima": float(np.mean(minima_off))},
        {"curves": curves},
    )


def dimer_curves(subject: Subject) -> Measurement:
    """Two bare atoms: the number of turns of the force and of minima beside the teacher's."""
    return _shapes(subject, reference.DIMER)


def contact_curves(subject: Subject) -> Measurement:
    """Two facing molecules: the same, and how far the energies are off where molecules meet."""
    found = _shapes(subject, reference.CONTACT)
    errors = []
    for curve in found.raw["curves"].values():
        met = np.abs(curve["teacher_eV"]) < 0.5
        errors.append(np.abs(curve["energy_eV"] - curve["teacher_eV"])[met].mean())
    return Measurement(found.values | {"energy_mae_eV": float(np.mean(errors))}, found.raw)


CHECKS = [
    Check(
        "short_range",
        "atoms that come too close repel each other, as the teacher says",
        short_range,
        against_teacher=True,
    ),
    Check(
        "dimer_curves", "two bare atoms attract and repel where the teacher's do", dimer_curves, against_teacher=True
    ),
    Check(
        "contact_curves",
        "two facing molecules attract and repel where the teacher's do",
        contact_curves,
        against_teacher=True,
    ),
]
