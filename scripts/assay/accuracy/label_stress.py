"""Mistakes in labelled stresses, found by what a student predicts: another unit, a turned sign, a factor of volume,
six numbers in another order, zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.accuracy.label_units import MANY, TURNED
from assay.accuracy.metrics import Errors
from assay.workflow.units import factor

UNIT = "eV/angstrom^3"
TIMES, DIVIDED = "stresses times the volume", "stresses divided by the volume"
OTHERS = ("GPa", "kbar", "MPa", "bar", "hartree/bohr^3")
LEAST_COSINE = 0.8  # between six labelled and six predicted components of a stress in another unit
WIDTH = 0.35  # how far the logarithm of a slope may lie from that of another unit
SOUND_COSINE, SOUND_WIDTH = 0.5, 1.0  # the same for stresses that nothing is said of
LEAST_COSINE_OF_CHANGES = 0.5  # between labelled and predicted departures from the median stress
# Where xx, yy, zz, yz, xz and xy stand among six numbers in the orders of others.
ORDERS = {
    "xx, yy, zz, xy, yz, zx, which is that of VASP": (0, 1, 2, 4, 5, 3),
    "xx, yy, zz, xy, xz, yz, which is that of LAMMPS": (0, 1, 2, 5, 4, 3),
    "xx, xy, xz, yy, yz, zz": (0, 3, 5, 4, 2, 1),
}
FITS, MISSES = 0.8, 0.5  # mean cosines between labelled and predicted shear in a right and a wrong order
SHEARED = 0.03  # of a stress, and a tenth of the median, is shear that tells an order
ENOUGH_SHEARED = 5  # structures
FEELS_eV_per_A3 = 0.003  # half a GPa, which is more than what good students miss where a crystal is relaxed
FAR = 1.5  # a logarithm: stresses of a student that knows the forces are not so far off


@dataclass(frozen=True)
class OtherStresses:
    """Labelled stresses that are not what they are taken for.

    Attributes:
        what: what they seem to be.
        slope: the median of labelled over predicted stresses.
        structures: (S,) bool, the structures of which it is said.
    """

    what: str
    slope: float
    structures: np.ndarray


def other_stresses(
    errors: Errors, volumes_A3: np.ndarray, student_is_trusted: bool, read_as: str = UNIT
) -> OtherStresses | None:
    """Say what labelled stresses seem to be; None if they may well be what they were read as, or it cannot be told.

    A pressure has one sign and one size, which a poor student may miss by any factor in all structures alike. So
    another unit is named only if changes of the stress between structures are predicted with the same sign, or if
    forces show that the student knows the structures and the factor is large.

    Args:
        errors: finite predictions of energies and forces beside labels.
        volumes_A3: (S,) of the cells.
        student_is_trusted: whether labelled forces show that the student knows these structures.
        read_as: the unit that they were read as.
    """
    shown, predicted, labelled = _with_both(errors)
    size, size_labelled = (np.linalg.norm(values, axis=1) for values in (predicted, labelled))
    telling = shown & (size > 0.0) & (size_labelled > 0.0) & (volumes_A3 > 0.0)
    if not telling.any():
        return None
    telling &= size > 0.1 * np.median(size[telling])
    predicted, labelled, volumes_A3 = predicted[telling], labelled[telling], volumes_A3[telling]
    product = (predicted * labelled).sum(1)
    slope = product / size[telling] ** 2
    cosine = product / (size * size_labelled)[telling]
    if 2 * _near(slope, cosine, 1.0, SOUND_COSINE, SOUND_WIDTH).sum() > len(slope):
        return None
    expected = _factors(volumes_A3, read_as)
    near = {what: _near(slope, cosine, values, LEAST_COSINE, WIDTH) for what, values in expected.items()}
    what = max(near, key=lambda one: (int(near[one].sum()), -_distance(slope, expected[one])))
    count = int(near[what].sum())
    if 2 * count <= len(slope) or (count < MANY and count < len(errors)):
        return None
    is_far = student_is_trusted and abs(float(np.median(np.log(np.abs(expected[what]))))) > FAR
    if not is_far and not _changes_agree(predicted, labelled / expected[what][:, None]):
        return None
    structures = np.zeros(len(errors), dtype=bool)
    structures[telling] = near[what]
    if count == len(slope):
        structures |= shown
    return OtherStresses(what, float(np.median(slope[near[what]])), structures)


def zero_stresses(errors: Errors) -> np.ndarray:
    """Which structures (S,) have stresses that are exactly zero although some are predicted; none if these are few."""
    shown, predicted, labelled = _with_both(errors)
    zero = shown & ~labelled.any(1) & (np.linalg.norm(predicted, axis=1) > FEELS_eV_per_A3)
    return zero & (zero.sum() >= MANY or bool(zero[shown].all()))


def other_orders(errors: Errors) -> tuple[list[str], np.ndarray] | None:
    """Say in which orders six labelled numbers fit predicted stresses; None if the right one may do, or none does.

    Only shear tells, and a structure counts by its direction alone, so neither a unit nor a pressure matters.

    Args:
        errors: predictions beside labels.

    Returns:
        The orders, more than one if shear does not tell them apart, and the structures (S,) bool that do tell.
    """
    _, predicted, labelled = _with_both(errors)
    shear = np.linalg.norm(predicted[:, 3:], axis=1)
    telling = shear > SHEARED * np.linalg.norm(predicted, axis=1)
    if telling.sum() < ENOUGH_SHEARED:
        return None
    telling &= shear > 0.1 * np.median(shear[telling])
    fit = {
        what: _mean_cosine(predicted[telling, 3:], labelled[telling][:, order[3:]]) for what, order in ORDERS.items()
    }
    best = max(fit.values())
    if best < FITS or _mean_cosine(predicted[telling, 3:], labelled[telling, 3:]) > MISSES:
        return None
    return [what for what, value in fit.items() if value > best - 0.05], telling


def _with_both(errors: Errors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which structures (S,) bool have a predicted and a labelled stress, and these (S, 6); zeros of the others."""
    shown = np.isfinite(errors.stress_error).all(1)
    if errors.stress is None or errors.stress_teacher is None:
        return shown, np.zeros((len(errors), 6)), np.zeros((len(errors), 6))
    predicted, labelled = np.where(shown[:, None], (errors.stress, errors.stress_teacher), 0.0)
    return shown, predicted, labelled


def _mean_cosine(predicted: np.ndarray, labelled: np.ndarray) -> float:
    """The mean cosine between rows (n, 3), zero for a row of zeros."""
    lengths = np.linalg.norm(predicted, axis=1) * np.linalg.norm(labelled, axis=1)
    return float(((predicted * labelled).sum(1) / np.maximum(lengths, 1e-30)).mean())


def _factors(volumes_A3: np.ndarray, read_as: str) -> dict[str, np.ndarray]:
    """What multiplies stresses of (T,) cells that are something else than they were read as, by what they are."""
    ratio = {unit: factor(read_as, "stress") / factor(unit, "stress") for unit in (UNIT, *OTHERS)}
    if not any(np.isclose(abs(value), 1.0) for value in ratio.values()):
        ratio = {read_as.lstrip("+- "): float(np.sign(factor(read_as, "stress"))), **ratio}
    found = {unit: np.full_like(volumes_A3, value) for unit, value in ratio.items()}
    found |= {TIMES: volumes_A3, DIVIDED: 1.0 / volumes_A3}
    found |= {what + TURNED: -values for what, values in found.items()}
    return {what: values for what, values in found.items() if not np.isclose(values, 1.0).all()}


def _distance(slope: np.ndarray, expected: np.ndarray) -> float:
    """How far the logarithms of most slopes are from those of factors."""
    return float(np.median(np.abs(np.log(np.maximum(np.abs(slope / expected), 1e-30)))))


def _near(
    slope: np.ndarray, cosine: np.ndarray, expected: np.ndarray | float, least_cosine: float, width: float
) -> np.ndarray:
    """Which (T,) slopes are near the factors that are expected."""
    ratio = slope / expected
    logarithm = np.abs(np.log(np.maximum(np.abs(ratio), 1e-30)))
    return (ratio > 0.0) & (np.abs(cosine) > least_cosine) & (logarithm < width)


def _changes_agree(predicted: np.ndarray, labelled: np.ndarray) -> bool:
    """Whether most of (T, 6) stresses depart from the median in the same direction, predicted and labelled."""
    if len(predicted) < MANY:
        return False
    own, other = (values - np.median(values, axis=0) for values in (predicted, labelled))
    lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(other, axis=1)
    cosine = (own * other).sum(1) / np.maximum(lengths, 1e-30)
    return float(np.median(cosine)) > LEAST_COSINE_OF_CHANGES
