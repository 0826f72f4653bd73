"""Prepares the worst structures for the report's viewer: atoms, bonds, and where the student's forces are wrong."""

from __future__ import annotations

from typing import Any

import ase
import ase.io
import numpy as np
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from assay.report.evidence import Student

PER_SPLIT = 4
BOND = 1.25  # the longest bond, in sums of covalent radii


def worst_scenes(student: Student) -> list[dict[str, Any]]:
    """Read the worst structures of each split, worst first; an empty list where none were kept.

    ``worst.xyz`` holds the structures that ``accuracy.json`` names, split by split, in the same order.
    """
    path = student.folder / "worst.xyz"
    if not path.is_file() or path.stat().st_size == 0:
        return []
    frames = iter(ase.io.read(path, index=":", format="extxyz"))
    found = []
    for split, judged in student.splits.items():
        rows = [(row, next(frames)) for row in judged["worst"]]
        found += [_scene(atoms, row, split) for row, atoms in rows[:PER_SPLIT]]
    return found


def _scene(atoms: ase.Atoms, row: dict[str, Any], split: str) -> dict[str, Any]:
    """Describe one structure, centered, with its largest extent along the screen."""
    centered = atoms.positions - atoms.positions.mean(0)
    axes = np.linalg.svd(centered, full_matrices=False)[2] if len(atoms) > 2 else np.eye(3)
    axes[-1] *= np.sign(np.linalg.det(axes)) if axes.shape == (3, 3) else 1.0
    return {
        "name": row["name"],
        "formula": atoms.get_chemical_formula(),
        "split": split,
        "force_rmse_eV_per_A": row["force_rmse_eV_per_A"],
        "energy_error_eV_per_atom": row["energy_error_eV_per_atom"],
        "symbols": atoms.get_chemical_symbols(),
        "positions": np.round(centered @ axes.T, 3).tolist(),
        "force_errors": _force_errors(atoms, axes),
        "bonds": bonds(atoms),
    }


def _force_errors(atoms: ase.Atoms, axes: np.ndarray) -> list[list[float]] | None:
    """Subtract the teacher's forces from the student's, in eV/angstrom, turned like the positions; None if unknown."""
    if "student_forces" not in atoms.arrays or atoms.calc is None:
        return None
    return np.round((atoms.arrays["student_forces"] - atoms.get_forces()) @ axes.T, 3).tolist()


def bonds(atoms: ase.Atoms) -> list[list[int]]:
    """Find the pairs of atoms closer than ``BOND`` times the sum of their covalent radii, in open boundaries."""
    radii = covalent_radii[atoms.numbers] * BOND
    i, j = neighbor_list("ij", ase.Atoms(atoms.numbers, atoms.positions), radii)
    return [[int(a), int(b)] for a, b in zip(i, j, strict=True) if a < b]
