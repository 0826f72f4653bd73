"""Whether forces are the gradient of energies: by finite differences of a teacher, or along neighbors in labelled data.

A student's forces are the exact gradient of its energy, so that it cannot learn forces that are none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from assay.data.dataset import Dataset
from assay.predictors.interface import Predictor
from assay.structures.geometry import moved
from assay.structures.structure import Structure, evenly
from assay.workflow.errors import AssayError

ASKED = 10  # structures on which a teacher's forces are compared with its energies
STEP_A = 0.01  # the largest displacement of an atom in a difference
WORST_RELATIVE, WORST_eV_per_A = 0.05, 0.01  # what a difference may be off, beside the slope and in itself

NEAR_A = 0.1  # the largest displacement of an atom between neighbors in the data
MOST_PAIRS = 2000
FEWEST_PAIRS = 20
LEAST_WORK_eV = 2e-3  # along a pair, below which rounding decides
FEWEST_TELLING = 5  # pairs with as much work or more
SLOPE = (0.8, 1.25)  # of differences of energies over the work of forces
LEAST_CORRELATION = 0.9


@dataclass(frozen=True)
class Slopes:
    """Slopes of the energy along random directions, in eV/angstrom.

    Attributes:
        of_energies: (K,) by finite differences.
        of_forces: (K,) minus the forces along the same directions.
    """

    of_energies: np.ndarray
    of_forces: np.ndarray


def measure_slopes(teacher: Predictor, structures: Sequence[Structure], seed: int = 0) -> Slopes:
    """Compare the forces of a teacher with differences of its energies, by five points of fourth order.

    Args:
        teacher: the teacher.
        structures: some structures, of which ``ASKED`` are taken evenly.
        seed: the seed of the directions.

    Raises:
        AssayError: the teacher gives no label for any of them.
    """
    rng = np.random.default_rng(seed)
    pairs, reason = [], ""
    for structure in evenly(structures, ASKED):
        direction = rng.normal(size=structure.positions.shape)
        direction /= np.linalg.norm(direction, axis=1).max()
        try:
            points = [moved(structure, structure.positions + k * STEP_A * direction) for k in (-2, -1, 0, 1, 2)]
            found = teacher.predict(points)
        except AssayError as error:
            reason = str(error)
            continue
        far_back, back, _, ahead, far_ahead = (prediction.energy_eV for prediction in found)
        by_energy = (8.0 * (ahead - back) - (far_ahead - far_back)) / (12.0 * STEP_A)
        pair = (by_energy, -float((found[2].forces_eV_per_A * direction).sum()))
        if not np.isfinite(pair).all():
            reason = f"energy or forces of {structure.name} are not finite"
            continue
        pairs.append(pair)
    if not pairs:
        raise AssayError(f"the teacher labels none of the first structures that it was asked about: {reason}")
    by_energy, by_forces = np.array(pairs).T
    return Slopes(by_energy, by_forces)


def require_gradient(slopes: Slopes, teacher: str) -> str:
    """Make sure that the forces of a teacher are the gradient of its energy.

    Returns:
        what was found, as a sentence.

    Raises:
        AssayError: they are not.
    """
    off, size = np.abs(slopes.of_energies - slopes.of_forces), np.abs(slopes.of_energies)
    bad = off > WORST_eV_per_A + WORST_RELATIVE * np.maximum(size, np.median(size))  # one steep slope allows no more
    telling = size > WORST_eV_per_A / WORST_RELATIVE
    ratio = 1.0
    if 2 * telling.sum() > len(bad):
        ratio = float(np.median(slopes.of_forces[telling] / slopes.of_energies[telling]))
    few = bad.sum() <= len(bad) // 5  # a step may meet one of the few places where a teacher's energy jumps
    if not few or abs(ratio - 1.0) > WORST_RELATIVE:
        worst = int(np.argmax(off))
        where = f"in {bad.sum()} of {len(bad)} structures they differ"
        if few:
            where = f"in most of {len(bad)} structures they are {ratio:.3g} times that"
        raise AssayError(
            f"the forces of {teacher} are no gradient of its energy: {where}, at worst "
            f"{slopes.of_forces[worst]:.3g} where differences of energies give {slopes.of_energies[worst]:.3g} "
            "eV/angstrom; use a teacher with forces that are"
        )
    but = f", but for {bad.sum()} in which they differ by up to {off.max():.2g}" if bad.any() else ""
    within = f"in {len(bad) - bad.sum()} structures, to {off[~bad].max():.2g} eV/angstrom"
    return f"the forces of {teacher} are the gradient of its energy {within}{but}"


def require_gradients(dataset: Dataset, path: str) -> str:
    """Compare energies with forces along neighbors in labelled data, as far as there are any.

    Between two structures of the same atoms in the same cell, none of which moves by more than ``NEAR_A``, the energy
    changes by minus the mean of both forces times the displacement, but for a term of third order.

    Returns:
        what was found, as a sentence.

    Raises:
        AssayError: the forces do not explain the energies.
    """
    rise, work = np.array(list(_neighbors(dataset))).reshape(-1, 2).T
    if len(work) < FEWEST_PAIRS or (np.abs(work) >= LEAST_WORK_eV).sum() < FEWEST_TELLING:
        return f"{path} has too few structures near each other to compare forces with energies"
    size = np.maximum(np.abs(rise), np.abs(work))
    size = np.maximum(size, max(float(np.median(size)), LEAST_WORK_eV))
    rise, work = rise / size, work / size  # so that a steep pair, or one with a wrong label, speaks for itself alone
    slope = float((rise * work).sum() / max((work * work).sum(), 1e-30))
    correlation = float((rise * work).sum() / np.sqrt(max((rise * rise).sum() * (work * work).sum(), 1e-30)))
    if not (SLOPE[0] <= slope <= SLOPE[1]) or correlation < LEAST_CORRELATION:
        raise AssayError(
            f"the forces of {path} are no gradient of its energies: along {len(work)} pairs of neighbors energies "
            f"change by {slope:.3g} times what the forces say (correlation {correlation:.2g}); check the names and "
            "units of the labels, and whether the energy is the one that the forces belong to"
        )
    return f"forces explain the changes of energies along {len(work)} pairs of neighbors (slope {slope:.3g})"


def _neighbors(dataset: Dataset) -> Iterator[tuple[float, float]]:
    """The rise of the energy, eV, and what the forces say of it, for pairs of structures near each other."""
    groups: dict[bytes, list[int]] = {}
    for index, structure in enumerate(dataset):
        key = structure.atomic_numbers.tobytes() + dataset.cells[index].round(6).tobytes() + structure.pbc.tobytes()
        groups.setdefault(key, []).append(index)
    n_pairs = 0
    for members in groups.values():
        for one, other in pairwise(members):
            pair = _pair(dataset[one], dataset[other])
            if pair is not None:
                yield pair
                n_pairs += 1
                if n_pairs >= MOST_PAIRS:
                    return


def _pair(one: Structure, other: Structure) -> tuple[float, float] | None:
    """The rise and the work between two structures of the same atoms; None where they are not near each other."""
    step = other.positions - one.positions
    if one.cell is not None and one.pbc.all():
        fractional = step @ np.linalg.inv(one.cell)
        step = (fractional - np.rint(fractional)) @ one.cell
    else:
        step = step - step.mean(axis=0)
    if not 0.0 < np.abs(step).max() <= NEAR_A:
        return None
    assert one.energy_eV is not None and other.energy_eV is not None
    assert one.forces_eV_per_A is not None and other.forces_eV_per_A is not None
    work = -0.5 * ((one.forces_eV_per_A + other.forces_eV_per_A) * step).sum()
    return other.energy_eV - one.energy_eV, float(work)
