"""Whether the forces are the negative gradient of the energy, and what follows if they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.physics.base import (
    STENCIL,
    Check,
    Measurement,
    NotApplicable,
    Subject,
    once,
    slope_by_stencil,
    worst,
)
from assay.predictors.interface import Prediction, rounding_eV
from assay.structures.geometry import moved

# The displacement of the four-point formula in float64 (True) and in anything coarser (False). It is chosen so that the
# error of the formula is about that of the rounded energies.
STEP_A = {True: 1e-3, False: 5e-3}
CURVED = 5e-3  # a displacement meets a kink where slopes over one and two steps differ by more than this share
SQUEEZED = 0.9  # all distances of a molecule are shortened to this share, where forces are ten times as large
PATH_A = 0.02  # the root-mean-square displacement over which work is measured
NODES = 12


@once
def _displaced(subject: Subject) -> list[tuple[Prediction, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Predict each small molecule and displace its coordinates: its prediction, its gradient (3N,), what rounded
    energies may add to that (3N,), its force Jacobian (3N, 3N), and which coordinates (3N,) are free of kinks.
    """
    if not subject.small:
        raise NotApplicable("no molecule of the reference is small enough")
    step, copies = STEP_A[subject.exact], []
    for molecule in subject.small:
        for k in range(3 * len(molecule)):
            shift = np.zeros(3 * len(molecule))
            shift[k] = step
            copies += [moved(molecule, molecule.positions + n * shift.reshape(-1, 3)) for n, _ in STENCIL]
    found, results = iter(subject.predictor.predict(copies)), []
    for molecule, center in zip(subject.small, subject.predictor.predict(subject.small), strict=True):
        gradient, rounding, jacobian, smooth = [], [], [], []
        for _ in range(3 * len(molecule)):
            around = [next(found) for _ in STENCIL]
            slope, off = slope_by_stencil(around, step)
            gradient.append(slope)
            rounding.append(off)
            outer_left, left, right, outer_right = (p.forces_eV_per_A.ravel() for p in around)
            near, far = (right - left) / (2 * step), (outer_right - outer_left) / (4 * step)
            jacobian.append((4 * near - far) / 3)  # the four points of the stencil
            smooth.append(bool(np.linalg.norm(near - far) <= CURVED * np.linalg.norm(jacobian[-1])))
        results.append((center, np.array(gradient), np.array(rounding), np.array(jacobian), np.array(smooth)))
    return results


def force_consistency(subject: Subject) -> Measurement:
    """Compare every component of the force with a four-point difference of the energy, less what rounded energies
    explain.
    """
    largest, squares, total, names = [], 0.0, 0.0, []
    for molecule, (center, gradient, rounding, *_) in zip(subject.small, _displaced(subject), strict=True):
        error = np.maximum(np.abs(center.forces_eV_per_A.ravel() + gradient) - rounding, 0.0)
        largest.append(worst(error))
        squares, total = squares + float(error @ error), total + float(gradient @ gradient)
        names.append(molecule.name)
    relative = float(np.sqrt(squares / total)) if total > 0 and np.isfinite(squares) else float("inf")
    return Measurement(
        {"max_error_eV_per_A": worst(largest), "relative_error": relative},
        {"molecules": names, "max_error_eV_per_A": largest, "step_A": STEP_A[subject.exact]},
    )


def jacobian_symmetry(subject: Subject) -> Measurement:
    """The antisymmetric part of the force Jacobian, zero for a gradient field.

    Second derivatives jump at a kink, and differences across it are no derivatives: those coordinates are left out, as
    long as they are the minority.
    """
    ratios, left_out = [], []
    for *_, jacobian, smooth in _displaced(subject):
        kept = smooth if smooth.mean() > 0.5 else np.ones_like(smooth)
        part = jacobian[np.ix_(kept, kept)]
        scale = np.linalg.norm(part)
        ratios.append(float(np.linalg.norm(part - part.T) / scale) if scale > 0 else np.nan)
        left_out.append(int((~kept).sum()))
    return Measurement(
        {"antisymmetry": worst(ratios)},
        {"molecules": [m.name for m in subject.small], "antisymmetry": ratios, "coordinates_left_out": left_out},
    )


def work(subject: Subject) -> Measurement:
    """The work of the forces along a path against the change of the energy, in molecules as they are and squeezed, and
    in a dense cluster: the worst of all paths.

    Gauss-Legendre quadrature on straight paths of random direction, each walked to where the forces lead, so that the
    work is large and a factor in the forces shows in full. Errors are relative to what the components of the forces do
    without their signs, as their sum may vanish where a path goes over a minimum.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    rng, copies, paths = subject.rng("work"), [], []
    squeezed = [moved(m, SQUEEZED * m.positions, f"{m.name}, squeezed") for m in subject.molecules]
    structures = [*subject.molecules, *squeezed, subject.dense_cluster]
    for structure, start in zip(structures, subject.predictor.predict(structures), strict=True):
        path = rng.normal(0.0, PATH_A, structure.positions.shape)
        paths.append(path * np.where(path * start.forces_eV_per_A < 0, -1.0, 1.0))
        copies += [moved(structure, structure.positions + t * paths[-1]) for t in (0.0, 1.0, *(0.5 * (1.0 + nodes)))]
    found, rows = subject.predictor.predict(copies), list[dict[str, Any]]()
    for index, (structure, path) in enumerate(zip(structures, paths, strict=True)):
        start, end, *inner = found[(NODES + 2) * index : (NODES + 2) * (index + 1)]
        powers = np.array([p.forces_eV_per_A * path for p in inner])
        done, effort = (0.5 * float(weights @ power.sum((1, 2))) for power in (powers, np.abs(powers)))
        error = max(abs(end.energy_eV - start.energy_eV + done) - rounding_eV([start, end]), 0.0)
        relative = error / effort if effort else np.inf if error else 0.0  # nothing pulls at an atom alone
        rows.append({"name": structure.name, "work_eV": done, "error_eV": error, "relative_error": relative})
    return Measurement({"relative_error": worst([row["relative_error"] for row in rows])}, {"paths": rows})


def net_force(subject: Subject) -> Measurement:
    """Sum of forces and of torques about the center."""
    structures = [*subject.molecules, subject.dense_cluster]
    forces, torques = [], []
    for structure, prediction in zip(structures, subject.predictor.predict(structures), strict=True):
        lever = structure.positions - structure.positions.mean(0)
        forces.append(float(np.linalg.norm(prediction.forces_eV_per_A.sum(0))))
        torques.append(float(np.linalg.norm(np.cross(lever, prediction.forces_eV_per_A).sum(0))))
    return Measurement(
        {"net_force_eV_per_A": worst(forces), "net_torque_eV": worst(torques)},
        {"net_force_eV_per_A": forces, "net_torque_eV": torques},
    )


CHECKS = [
    Check("force_consistency", "the forces are the negative gradient of the energy", force_consistency),
    Check("jacobian_symmetry", "the forces are the gradient of some energy", jacobian_symmetry),
    Check("work", "the forces' work along a path is the change of the energy", work),
    Check("net_force", "an isolated molecule exerts no force and no torque on itself", net_force),
]
