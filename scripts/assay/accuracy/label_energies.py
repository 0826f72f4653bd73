"""What labelled energies seem to be, judged by differences that no reference energy of a teacher changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from assay.accuracy.label_references import NEARLY_ALL, second_reference
from assay.accuracy.label_units import MANY, STEEP, Unit
from assay.accuracy.metrics import Errors, composition

CLOSE = 0.01  # energies that agree so well in relation to their size are in the same unit
UNEXPLAINED = 0.9  # a residual so near to the spread itself explains nothing
ENOUGH = 3  # degrees of freedom that differences need
ENOUGH_TO_SORT = 4  # structures of one composition
MANY_DIFFERENCES = 8  # and those that a correlation of nothing needs
BY_CHANCE = 0.01  # how often few differences may name a unit that is not theirs
BETWEEN_COMPOSITIONS_eV = 10.0
OUTLIER_SPREADS, OUTLIER_eV = 30.0, 1.0


@dataclass(frozen=True)
class EnergyFindings:
    """What labelled energies seem to be.

    Attributes:
        unit: the unit of most; None if that cannot be told.
        others: structures (S,) bool in another unit than most, by that unit.
        zero: structures (S,) bool whose label is zero while others are not.
        all_equal: whether every label is the same number.
        shuffled: whether labels are those of other structures of the file.
        disordered: structures (S,) bool whose labels are those of others of the same composition.
        off: (S,) errors of the labels, less the constants of ``Differences``, eV; zero where that cannot be told.
        outliers: structures (S,) bool that stand apart for no reason that is known.
        second: structures (S,) bool that follow other constants than the rest; all else is said as if they did not.
    """

    unit: Unit | None
    others: dict[str, np.ndarray]
    zero: np.ndarray
    all_equal: bool
    shuffled: bool
    disordered: np.ndarray
    off: np.ndarray
    outliers: np.ndarray
    second: np.ndarray


class Differences:
    """Energies less what a constant for each composition explains, or for each element where no composition repeats.

    Constants are those with the least absolute residuals, so that a tenth of wrong labels does not move them.
    """

    def __init__(self, errors: Errors):
        counts = np.column_stack([composition(errors), np.ones(len(errors))])
        kinds, kind, repeats = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
        self.kind = kind.ravel()
        self.rank = rank = int(np.linalg.matrix_rank(counts)) if len(counts) else 0
        within, across = len(counts) - len(kinds), len(counts) - rank
        self.by_composition = within >= ENOUGH and 2 * within >= len(counts)
        self.degrees_of_freedom = within if self.by_composition else across
        self.usable = repeats[self.kind] > 1 if self.by_composition else np.ones(len(counts), dtype=bool)
        self.counts = counts

    def of(self, energy: np.ndarray) -> np.ndarray:
        """(S,) residuals, eV, of energies (S,)."""
        return self.within_compositions(energy) if self.by_composition else self.across_compositions(energy)

    def within_compositions(self, energy: np.ndarray) -> np.ndarray:
        """(S,) energies (S,) less the median of their composition, eV."""
        result = np.zeros(len(energy))
        for kind in range(self.kind.max() + 1):
            here = self.kind == kind
            result[here] = energy[here] - np.median(energy[here])
        return result

    def across_compositions(self, energy: np.ndarray) -> np.ndarray:
        """(S,) energies (S,) less a constant for each element and one for all, eV."""
        return energy - self.counts @ least_absolute(self.counts, energy)

    def robust(self, energy: np.ndarray) -> np.ndarray:
        """(S,) energies (S,) less a constant for each element where there are enough structures, else for each
        composition, else for all: one wrong label in two of a composition would blame both.
        """
        if len(energy) >= 4 * self.rank:
            return self.across_compositions(energy)
        return self.within_compositions(energy) if self.by_composition else energy - np.median(energy)


def least_absolute(counts: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """The constants (K,) with the least absolute residuals of energies (S,) for counts (S, K)."""
    weights = np.ones(len(energy))
    for _ in range(30):  # weighted least squares again and again
        fitted = np.linalg.lstsq(counts * weights[:, None], energy * weights, rcond=None)[0]
        weights = 1.0 / np.sqrt(np.maximum(np.abs(energy - counts @ fitted), 1e-6))
    return fitted


def energy_findings(
    errors: Errors, units: list[Unit], student_is_trusted: bool, states: Callable[[], np.ndarray]
) -> EnergyFindings:
    """Say what labelled energies seem to be; where one unit and reference leave much, two are tried.

    Args:
        errors: finite predictions beside labels.
        units: those that labels may be in, as ``energy_units`` gives them.
        student_is_trusted: whether labelled forces show that the student knows these structures: they point where the
            predicted ones do, or are those of the file in a wrong order.
        states: gives charges and the like (S, K), which a student may not know.
    """
    found = _of_one_reference(errors, units, student_is_trusted)
    if not student_is_trusted or found.all_equal or (found.unit is not None and found.outliers.sum() <= MANY):
        return found
    for name, mask, energy in _with_the_second_as_the_first(errors, units, found.zero, states):
        moved = copy.copy(errors)
        moved.energy_teacher = energy
        again = _of_one_reference(moved, units, student_is_trusted)
        if again.unit is not None and not again.shuffled and again.outliers.sum() <= found.outliers.sum():
            return replace(again, others={**again.others, name: mask}) if name else replace(again, second=mask)
    return found


def _with_the_second_as_the_first(
    errors: Errors, units: list[Unit], zero: np.ndarray, states: Callable[[], np.ndarray]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Structures (S,) bool in another unit than the rest, by its name, or with constants of their own, without one; and
    all labels (S,) with theirs as those of the rest.
    """
    predicted, labelled, n = errors.energy, errors.energy_teacher, errors.n_atoms
    right = zero | _close(predicted, labelled)
    for unit in units[1:]:
        energy = in_eV(labelled, n, unit)
        mask = ~right & _close(predicted, energy)
        if mask.sum() >= MANY and right.any() and (right | mask).mean() > NEARLY_ALL:
            yield unit.name, mask, np.where(mask, energy, labelled)
    differences, mask = Differences(errors.subset(~zero)), np.zeros(len(errors), dtype=bool)
    off = differences.across_compositions((labelled - predicted)[~zero])
    same = np.column_stack([differences.kind, states()[~zero]])
    if second := second_reference(off, differences.counts, np.unique(same, axis=0, return_inverse=True)[1].ravel()):
        mask[~zero], energy = second.structures, labelled.copy()
        energy[~zero] += second.shift_eV
        yield "", mask, energy


def _of_one_reference(errors: Errors, units: list[Unit], student_is_trusted: bool) -> EnergyFindings:
    """What ``energy_findings`` says of energies most of which are in one unit and have one reference."""
    predicted, labelled, n = errors.energy, errors.energy_teacher, errors.n_atoms
    nothing = np.zeros(len(errors), dtype=bool)
    if len(errors) == 0:
        return EnergyFindings(None, {}, nothing, False, False, nothing, 0.0 * n, nothing, nothing)
    if np.ptp(labelled) == 0.0 and (len(errors) > 1 or labelled[0] == 0.0) and np.abs(predicted).max() > 0.0:
        spread = float(np.abs(predicted[0]) if len(errors) == 1 else np.ptp(predicted))
        moving = spread > (1e-3 if n.max() > 1 else OUTLIER_eV)  # lone atoms have the zero of energy, but for errors
        return EnergyFindings(None, {}, nothing, moving, False, nothing, 0.0 * n, nothing, nothing)
    zero = _missing(errors)
    differences = Differences(errors.subset(~zero))
    kept = np.flatnonzero(~zero)
    unit = _unit_of_most(units, predicted[kept], labelled[kept], n[kept], differences, student_is_trusted)
    shuffled = unit is None and _shuffled(units, predicted[kept], labelled[kept], differences, student_is_trusted)
    others: dict[str, np.ndarray] = {}
    outliers, disordered, off = nothing.copy(), nothing.copy(), np.zeros(len(errors))
    if unit is not None:
        energy = in_eV(labelled[kept], n[kept], unit)
        off[kept] = differences.robust(energy - predicted[kept])
        found, outliers[kept] = _apart(energy, off[kept], labelled[kept], n[kept], differences, unit, units)
        for name, mask in found.items():
            others[name] = nothing.copy()
            others[name][kept] = mask
        if student_is_trusted:
            disordered[kept] = _disordered(predicted[kept], energy, differences)
    return EnergyFindings(unit, others, zero, False, shuffled, disordered, off, outliers & ~disordered, nothing)


def _missing(errors: Errors) -> np.ndarray:
    """The structures (S,) bool whose label is zero where those of the others let expect something else, and the student
    too: isolated atoms have no other in a file of cohesive energies.
    """
    zero = errors.energy_teacher == 0.0
    if not MANY <= zero.sum() < len(errors):
        return np.zeros(len(errors), dtype=bool)
    counts = np.column_stack([composition(errors), np.ones(len(errors))])

    def _off(energy: np.ndarray) -> np.ndarray:
        return np.abs(energy - counts @ least_absolute(counts[~zero], energy[~zero]))

    off = _off(errors.energy_teacher)
    apart = zero & (off > OUTLIER_SPREADS * max(float(np.median(off[~zero])), 1e-3))
    return apart & (_off(errors.energy_teacher - errors.energy) > 0.5 * off)


def in_eV(labelled: np.ndarray, n_atoms: np.ndarray, unit: Unit) -> np.ndarray:
    """(S,) energies in eV of labels (S,) in a unit, as they were read."""
    return labelled / unit.factor / n_atoms ** float(unit.atoms)


def _unit_of_most(
    units: list[Unit],
    predicted: np.ndarray,
    labelled: np.ndarray,
    n_atoms: np.ndarray,
    differences: Differences,
    trusted: bool,
) -> Unit | None:
    """The unit in which labels agree with predictions: in their sizes where a student shares the teacher's reference,
    and else in their differences, if the student is trusted: one whose forces are half too large has such energies too.
    None if none does, or differences contradict sizes.
    """
    as_read = units[0]
    near = {u: _close(predicted, in_eV(labelled, n_atoms, u)) for u in units}
    by_size = max(units, key=lambda u: (int(near[u].sum()), -_median_off(predicted, in_eV(labelled, n_atoms, u))))
    shared = near[by_size].mean() > 0.5
    if differences.degrees_of_freedom < ENOUGH:
        return by_size if shared else None
    in_units = {u: in_eV(labelled, n_atoms, u) for u in units}
    score = {u: _score(predicted, energy, differences) for u, energy in in_units.items()}
    if shared and (by_size is as_read or score[by_size] <= score[as_read]):
        return by_size if by_size is not as_read or score[as_read] < UNEXPLAINED else None
    best = min(units, key=lambda u: score[u])
    no_better = best is as_read or not trusted or score[best] > 0.5 * min(1.0, score[as_read])
    off, off_as_read = in_units[best] - predicted, in_units[as_read] - predicted
    if no_better or _may_be_chance(off, off_as_read, differences, len(units)):
        return as_read if score[as_read] < UNEXPLAINED else None
    return best


def _may_be_chance(off: np.ndarray, as_read: np.ndarray, differences: Differences, n_units: int) -> bool:
    """Whether so few differences are as small in one of the units in more than ``BY_CHANCE`` of all cases by chance.

    Args:
        off: (S,) errors of the labels in that unit, eV.
        as_read: (S,) those in the unit as read.
        differences: of these structures.
        n_units: how many units were tried.
    """
    if differences.degrees_of_freedom >= MANY_DIFFERENCES:
        return False
    largest, largest_as_read = (np.abs(differences.of(own)[differences.usable]).max() for own in (off, as_read))
    bound = (BY_CHANCE / n_units) ** (1.0 / differences.degrees_of_freedom)
    return bool(largest > bound * largest_as_read)


def _close(predicted: np.ndarray | float, energy: np.ndarray | float) -> np.ndarray:
    return np.asarray(np.abs(energy - predicted) < CLOSE * np.abs(predicted))


def _median_off(predicted: np.ndarray, energy: np.ndarray | float) -> float:
    return float(np.median(np.abs(energy - predicted)))


def _score(predicted: np.ndarray, energy: np.ndarray, differences: Differences) -> float:
    """The median error of differences, in units of the median size of the predicted ones; 0 is perfect."""
    use = differences.usable
    spread = float(np.median(np.abs(differences.of(predicted)[use])))
    return float(np.median(np.abs(differences.of(energy - predicted)[use]))) / max(spread, 1e-9)


def _shuffled(
    units: list[Unit], predicted: np.ndarray, labelled: np.ndarray, differences: Differences, trusted: bool
) -> bool:
    """Whether labels are the right ones in a wrong order, or have nothing to do with the composition.

    The first shows once both are sorted: by itself where compositions differ, and else only if the student is not to
    blame. The second needs that too.
    """
    if len(predicted) < ENOUGH_TO_SORT:
        return False
    alike = 0.2 if differences.degrees_of_freedom >= MANY_DIFFERENCES else 0.02
    spread = float(np.median(np.abs(predicted - np.median(predicted))))
    for unit in (unit for unit in units if not unit.atoms):
        energy = labelled / unit.factor
        if not unit.is_as_read and not _close(float(np.median(predicted)), float(np.median(energy))).all():
            continue
        paired = np.median(np.abs(energy - predicted))
        ranked = np.median(np.abs(np.sort(energy) - np.sort(predicted)))
        if (trusted or spread > BETWEEN_COMPOSITIONS_eV) and ranked < alike * spread and paired > 0.5 * spread:
            return True
        if trusted and 2 * _disordered(predicted, energy, differences).sum() > len(energy):
            return True
    if not trusted or differences.degrees_of_freedom < MANY_DIFFERENCES:
        return False
    own = float(np.median(np.abs(differences.of(predicted))))
    return bool(np.median(np.abs(differences.of(labelled))) > 30.0 * max(own, 1e-3))


def _disordered(predicted: np.ndarray, energy: np.ndarray, differences: Differences) -> np.ndarray:
    """The structures (S,) bool of compositions whose energies agree only once they are sorted."""
    result = np.zeros(len(energy), dtype=bool)
    off = np.abs(differences.robust(energy - predicted))
    for kind in range(differences.kind.max() + 1):
        here = differences.kind == kind
        size = np.maximum(*(np.abs(values - np.median(values[here])) for values in (predicted, energy)))
        here &= size <= STEEP * np.median(size[here])
        if here.sum() < ENOUGH_TO_SORT:
            continue
        own, label = (values[here] - np.median(values[here]) for values in (predicted, energy))
        paired, sorted_ = np.abs(label - own).mean(), np.abs(np.sort(label) - np.sort(own)).mean()
        usual = float(np.median(off[~here])) if (~here).sum() >= ENOUGH_TO_SORT else sorted_
        if sorted_ < 0.25 * paired and paired > 0.5 * np.abs(own).mean() and paired > 4.0 * usual:
            result |= here
    return result


def _apart(
    energy: np.ndarray,
    off: np.ndarray,
    labelled: np.ndarray,
    n_atoms: np.ndarray,
    differences: Differences,
    unit: Unit,
    units: list[Unit],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The structures (S,) bool in another unit than most, by unit, and those that stand apart without one that fits.

    Args:
        energy: (S,) the labels in eV, if they are in the unit of most.
        off: (S,) their errors, eV.
        labelled: (S,) the labels as they are.
        n_atoms: (S,) the sizes of the structures.
        differences: of these structures.
        unit: the unit of most.
        units: all that they may be in.
    """
    expected = energy - off
    apart = np.abs(off) > max(OUTLIER_SPREADS * float(np.median(np.abs(off))), OUTLIER_eV)
    apart &= np.abs(off) > 0.5 * np.abs(differences.of(expected))
    others: dict[str, np.ndarray] = {}
    for other in (other for other in units if other is not unit):
        fits = apart & _close(expected, in_eV(labelled, n_atoms, other))
        if fits.sum() >= MANY:
            others[other.name] = fits
            apart = apart & ~fits
    return others, apart if len(off) >= MANY else np.zeros_like(apart)
