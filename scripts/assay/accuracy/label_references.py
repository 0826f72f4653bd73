"""Labelled energies of two levels of theory in one file, found by what a student predicts.

Each level has its own constants of elements. That a second set of them explains what one leaves may be an error of a
student that does not know some of the molecules, ions or broken bonds, unless several compositions have structures of
both that are alike in these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.accuracy.label_units import MANY

SEPARATED = 10.0  # so many times the usual residual a structure is off by the constants of the others
NEARLY_ALL = 0.95  # of the structures are
LEAST_eV = 0.5  # a smaller step between two references may be the student's
ROUNDS = 20


@dataclass(frozen=True)
class SecondReference:
    """Structures whose energies follow constants of their own.

    Attributes:
        structures: (S,) bool, those of the smaller part, without what may be of either.
        shift_eV: (S,) what takes their labels to the constants of the others; zero for the others.
    """

    structures: np.ndarray
    shift_eV: np.ndarray


def second_reference(off_eV: np.ndarray, counts: np.ndarray, kind: np.ndarray) -> SecondReference | None:
    """Split structures in two parts, each with constants of its own; None if these are not two for certain.

    Args:
        off_eV: (S,) labelled less predicted energies, less the constants that fit all of them best.
        counts: (S, K) of elements, and a one.
        kind: (S,) which of them have the same composition, charge, spin and number of pieces.
    """
    size = np.abs(off_eV)
    high, low = np.full((2, kind.max() + 1), [[-np.inf], [np.inf]])
    np.maximum.at(high, kind, off_eV)
    np.minimum.at(low, kind, off_eV)
    for first in (off_eV > (0.5 * (high + low))[kind], size > SEPARATED * np.median(size), off_eV > 0.0):
        if (found := _split(first, off_eV, counts)) is None:
            continue
        part, fitted = found
        own, other = (np.abs(off_eV - np.where(which, *fitted)) for which in (part, ~part))
        step = max(SEPARATED * float(np.median(own)), LEAST_eV)
        are_apart = np.mean(other > step) > NEARLY_ALL and np.mean(own < step / 2) > NEARLY_ALL
        if are_apart and len(np.intersect1d(kind[part], kind[~part])) >= MANY:
            return SecondReference(part & (other > step), np.where(part, fitted[1] - fitted[0], 0.0))
    return None


def _split(part: np.ndarray, off_eV: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]] | None:
    """A part (S,) bool of less than half and what each part's constants fit (S,), by turns of fits and new parts."""
    fitted: list[np.ndarray] = []
    least = max(2 * int(np.linalg.matrix_rank(counts)), MANY + 1)
    for _ in range(ROUNDS):
        part = part if 2 * part.sum() <= len(part) else ~part
        if part.sum() < least:
            return None
        fitted = [counts @ np.linalg.lstsq(counts[own], off_eV[own], rcond=None)[0] for own in (part, ~part)]
        nearer = np.abs(off_eV - fitted[0]) < np.abs(off_eV - fitted[1])
        if (nearer == part).all():
            return part, fitted
        part = nearer
    return None
