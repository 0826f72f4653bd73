"""Labelled forces that a constraint set to zero, found by what a student predicts there.

A force is zero by symmetry, or far from everything, for the student too. One that only the label has zero was written
by a program that holds an atom, or an axis, fixed: ``get_forces()`` of ASE does so for ``FixAtoms``.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from assay.accuracy.label_units import MANY
from assay.accuracy.metrics import Errors

FEELS_FORCES_eV_per_A = 0.1
BEYOND_ERROR = 2.0  # so many times a student's error elsewhere, a prediction is no error of zero


@dataclass(frozen=True)
class Held:
    """Labelled forces that are zero where predicted ones are not.

    Attributes:
        what: which they are, in words.
        components: (A, 3) bool, the components of forces.
        structures: (S,) bool, the structures in which that shows.
    """

    what: str
    components: np.ndarray
    structures: np.ndarray


def held_forces(errors: Errors) -> list[Held]:
    """Find labelled forces that are zero on some atoms of a structure, or along an axis on all, but not predicted so.

    Structures whose forces are all zero are not meant. That must show in most structures with such forces, and in at
    least three of them (or all): what the student predicts there is large beside its error on the other forces.

    Args:
        errors: finite predictions beside labels.
    """
    zero = errors.forces_teacher == 0.0
    along = np.column_stack([errors.per_structure(~zero[:, axis]) == 0 for axis in range(3)])
    kept = (~along.all(1) & (errors.n_atoms > 1))[errors.owner]
    atoms, axes = zero.all(1) & kept, along[errors.owner] & kept[:, None]
    found = []
    if (shown := _shown(errors, np.repeat(atoms[:, None], 3, axis=1))).any():
        what = f"on {np.count_nonzero(atoms & shown[errors.owner]):,} atoms"
        found.append(Held(what, np.repeat(atoms[:, None], 3, axis=1), shown))
    if (shown := _shown(errors, axes)).any():
        letters = " and ".join(np.array(list("xyz"))[along[shown].any(0)])
        found.append(Held(f"along {letters}", axes, shown))
    return found


def without(errors: Errors, held: list[Held]) -> Errors:
    """The same errors, where held components are predicted as zero too."""
    rest = copy.copy(errors)
    for one in held:
        rest.forces = np.where(one.components, 0.0, rest.forces)
    return rest


def _shown(errors: Errors, held: np.ndarray) -> np.ndarray:
    """The structures (S,) bool in which components (A, 3) bool are no zeros for a student; none if these are few."""
    count = errors.per_structure(held.sum(1))
    others = np.maximum(3 * errors.n_atoms - count, 1)
    own = np.where(held, 0.0, errors.forces)
    sizes = errors.per_structure((own**2).sum(1)) * errors.per_structure((errors.forces_teacher**2).sum(1))
    product = errors.per_structure((own * errors.forces_teacher).sum(1))
    unexplained = 1.0 - np.minimum(product**2 / np.maximum(sizes, 1e-30), 1.0)
    error = unexplained * errors.per_structure((own**2).sum(1)) / others
    predicted = errors.per_structure((np.where(held, errors.forces, 0.0) ** 2).sum(1)) / np.maximum(count, 1)
    shown = (count > 0) & (predicted > np.maximum(FEELS_FORCES_eV_per_A**2, BEYOND_ERROR**2 * error))
    is_many = shown.sum() >= MANY or shown.all()
    return shown if is_many and 2 * shown.sum() > (count > 0).sum() else np.zeros_like(shown)
