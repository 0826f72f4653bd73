"""Minima of many molecules in one batch, and their vibrations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import units
from ase.data import atomic_masses

from assay.predictors.interface import Predictor
from assay.structures.geometry import STRAIGHT, moved
from assay.structures.structure import Structure

MAX_STEP_A = 0.15
FIRST_STIFFNESS = 40.0  # eV/angstrom^2, between a bend and a stretch


def relax(
    predictor: Predictor, structures: Sequence[Structure], max_force_eV_per_A: float, max_steps: int
) -> tuple[list[Structure], np.ndarray]:
    """Quasi-Newton minimization (BFGS, one Hessian a molecule); molecules that have converged are no longer evaluated.

    Returns:
        Relaxed structures, and (S,) the largest force component that is left, eV/angstrom; infinite where the
        evaluation failed.
    """
    positions = [structure.positions.copy() for structure in structures]
    hessians = [FIRST_STIFFNESS * np.eye(3 * len(structure)) for structure in structures]
    last: list[tuple[np.ndarray, np.ndarray] | None] = [None] * len(structures)
    residual = np.full(len(structures), np.inf)
    active = list(range(len(structures)))
    for _ in range(max_steps):
        predictions = predictor.predict([moved(structures[k], positions[k]) for k in active])
        going = []
        for k, prediction in zip(active, predictions, strict=True):
            forces = prediction.forces_eV_per_A.ravel()
            if not np.isfinite(forces).all():
                residual[k] = np.inf
                continue
            residual[k] = np.abs(forces).max()
            if residual[k] < max_force_eV_per_A:
                continue
            previous = last[k]
            if previous is not None:
                hessians[k] = _updated(hessians[k], positions[k].ravel() - previous[0], previous[1] - forces)
            last[k] = (positions[k].ravel().copy(), forces)
            positions[k] = positions[k] + _step(hessians[k], forces)
            going.append(k)
        active = going
        if not active:
            break
    return [moved(s, x) for s, x in zip(structures, positions, strict=True)], residual


def _updated(hessian: np.ndarray, dx: np.ndarray, dg: np.ndarray) -> np.ndarray:
    """BFGS update for a step dx that changed the gradient by dg."""
    hx = hessian @ dx
    curvature, expected = float(dx @ dg), float(dx @ hx)
    if abs(curvature) < 1e-12 or abs(expected) < 1e-12:
        return hessian
    return hessian + np.outer(dg, dg) / curvature - np.outer(hx, hx) / expected


def _step(hessian: np.ndarray, forces: np.ndarray) -> np.ndarray:
    """(N, 3) downhill step along every mode, scaled so that no atom moves by more than ``MAX_STEP_A``."""
    values, vectors = np.linalg.eigh(hessian)
    step = (vectors @ ((vectors.T @ forces) / np.maximum(np.abs(values), 1e-3))).reshape(-1, 3)
    return step * min(1.0, MAX_STEP_A / max(float(np.linalg.norm(step, axis=1).max()), 1e-12))


def force_jacobians(predictor: Predictor, structures: Sequence[Structure], step_A: float) -> list[np.ndarray]:
    """dF/dx of each structure, (3N, 3N), eV/angstrom^2, by central differences: row i is the change of all forces with
    coordinate i. All displaced copies go through the predictor together.
    """
    copies = []
    for structure in structures:
        for k in range(3 * len(structure)):
            shift = np.zeros(3 * len(structure))
            shift[k] = step_A
            copies += [moved(structure, structure.positions + sign * shift.reshape(-1, 3)) for sign in (1, -1)]
    forces = [prediction.forces_eV_per_A.ravel() for prediction in predictor.predict(copies)]
    jacobians, start = [], 0
    for structure in structures:
        n = 3 * len(structure)
        plus, minus = np.array(forces[start : start + 2 * n : 2]), np.array(forces[start + 1 : start + 2 * n : 2])
        jacobians.append((plus - minus) / (2.0 * step_A))
        start += 2 * n
    return jacobians


def frequencies(structure: Structure, hessian: np.ndarray, n_modes: int = 0) -> np.ndarray:
    """Harmonic frequencies in 1/cm, ascending, imaginary ones negative, without translations and rotations.

    Args:
        structure: a molecule at its minimum.
        hessian: (3N, 3N), eV/angstrom^2.
        n_modes: at least so many modes are returned: those that a straight molecule has one more of than a bent one
            are kept where it is bent by the little that is left of the forces.
    """
    root = np.sqrt(np.repeat(atomic_masses[structure.atomic_numbers], 3))
    weighted = 0.5 * (hessian + hessian.T) / np.outer(root, root)
    inner = _internal_directions(structure, root, n_modes)
    return wavenumbers(eigenvalues(inner.T @ weighted @ inner))


def eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """The eigenvalues of a symmetric matrix (M, M), ascending; NaN where one of its entries is no number."""
    return np.linalg.eigvalsh(matrix) if np.isfinite(matrix).all() else np.full(len(matrix), np.nan)


def wavenumbers(eigenvalues: np.ndarray) -> np.ndarray:
    """Wavenumbers in 1/cm, ascending, imaginary ones negative, of eigenvalues in eV/angstrom^2 over atomic masses."""
    angular = np.sqrt(np.abs(eigenvalues) * units._e / units._amu) * 1e10  # rad/s
    return np.sort(np.sign(eigenvalues) * angular / (2.0 * np.pi * units._c * 100.0))


def _internal_directions(structure: Structure, root_mass: np.ndarray, least: int) -> np.ndarray:
    """(3N, M) orthonormal mass-weighted directions that neither shift nor turn the molecule, or, so that there are at
    least so many, turn it least.
    """
    centered = structure.positions - structure.positions.mean(0)
    rigid = [np.tile(axis, len(structure)) for axis in np.eye(3)]
    rigid += [np.cross(axis, centered).ravel() for axis in np.eye(3)]
    u, s, _ = np.linalg.svd(np.array(rigid).T * root_mass[:, None], full_matrices=True)
    return u[:, min(int((s > STRAIGHT * s[0]).sum()), len(u) - least) :]
