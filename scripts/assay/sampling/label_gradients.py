"""Whether forces and stresses are those of energies: by differences of a teacher, or along neighbors in labelled data.

A student's forces are the exact gradient of its energy, so that it cannot learn forces that are none.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from assay.accuracy.overlap import fingerprints_of
from assay.data.dataset import Dataset
from assay.predictors.interface import Prediction, Predictor, rounding_eV
from assay.structures.geometry import completed_cell, moved
from assay.structures.structure import Structure, evenly
from assay.workflow.errors import AssayError

ASKED = 10  # structures on which a teacher's forces are compared with its energies
STEP_A = 0.01  # the largest displacement of an atom in a difference
LONG_STEP_A = 0.05  # the same where energies are rounded too coarsely for the short one
WORST_RELATIVE, WORST_eV_per_A = 0.05, 0.01  # what a difference may be off, beside the slope and in itself

NEAR_A = 0.1  # the largest displacement of an atom between neighbors in the data
MOST_PAIRS = 2000
FEWEST_PAIRS = 20
LEAST_WORK_eV = 2e-3  # along a pair, below which rounding decides
FEWEST_TELLING = 5  # pairs with as much work or more
SLOPE = (0.8, 1.25)  # of differences of energies over the work of forces
SLOPE_OF_STRESSES = (0.5, 2.0)  # the same for stresses
LEAST_CORRELATION = 0.9
LEAST_STRAIN, MOST_STRAIN = 1e-4, 0.03  # between the cells of neighbors whose stresses are compared


@dataclass(frozen=True)
class Slopes:
    """Slopes of the energy along random directions, in eV/angstrom.

    Attributes:
        of_energies: (K,) by finite differences.
        of_forces: (K,) minus the forces along the same directions.
        rounding: (K,) what the rounding of energies to single precision may add to those of differences.
        asked: the K structures, each with what the teacher says of it.
    """

    of_energies: np.ndarray
    of_forces: np.ndarray
    rounding: np.ndarray | float = 0.0
    asked: Sequence[tuple[Structure, Prediction]] = ()


def measure_slopes(teacher: Predictor, structures: Sequence[Structure]) -> Slopes:
    """Compare the forces of a teacher with differences of its energies, by five points of fourth order.

    Args:
        teacher: the teacher.
        structures: some structures, of which ``ASKED`` are taken evenly.

    Raises:
        AssayError: the teacher gives no label for any of them.
    """
    rng = np.random.default_rng(0)
    rows, asked, reason = [], [], ""
    for structure in evenly(structures, ASKED):
        direction = rng.normal(size=structure.positions.shape)
        direction /= np.linalg.norm(direction, axis=1).max()
        try:
            row, found = _slope_of(teacher, structure, direction, STEP_A)
            if row[2] > WORST_eV_per_A:
                row, found = _slope_of(teacher, structure, direction, LONG_STEP_A)
        except AssayError as error:
            reason = str(error)
            continue
        if not np.isfinite(row).all():
            reason = f"energy or forces of {structure.name} are not finite"
            continue
        rows.append(row)
        asked.append((structure, found))
    if not rows:
        raise AssayError(f"the teacher labels none of the first structures that it was asked about: {reason}")
    of_energies, of_forces, rounding = np.array(rows).T
    return Slopes(of_energies, of_forces, rounding, asked)


def _slope_of(
    teacher: Predictor, structure: Structure, direction: np.ndarray, step_A: float
) -> tuple[tuple[float, float, float], Prediction]:
    """One of each number of ``Slopes``, by points ``step_A`` apart, and what the teacher says of the middle."""
    found = teacher.predict([moved(structure, structure.positions + k * step_A * direction) for k in (-2, -1, 0, 1, 2)])
    far_back, back, _, ahead, far_ahead = (prediction.energy_eV for prediction in found)
    by_energy = (8.0 * (ahead - back) - (far_ahead - far_back)) / (12.0 * step_A)
    rounding = 18.0 * rounding_eV(found) / (12.0 * step_A)
    return (by_energy, -float((found[2].forces_eV_per_A * direction).sum()), rounding), found[2]


def require_gradient(slopes: Slopes, teacher: str) -> str:
    """Make sure that the forces of a teacher are the gradient of its energy, as far as single precision tells.

    Returns:
        what was found, as a sentence.

    Raises:
        AssayError: they are not.
    """
    off, size = np.abs(slopes.of_energies - slopes.of_forces), np.abs(slopes.of_energies)
    rounding = np.broadcast_to(slopes.rounding, size.shape)
    if np.median(rounding) > np.median(size):
        return (
            f"the energies of {teacher} are in single precision, which rounds them too coarsely to hold its forces "
            f"against them: differences tell slopes to {np.median(rounding):.2g} eV/angstrom"
        )
    least = WORST_eV_per_A + rounding
    bad = off > least + WORST_RELATIVE * np.maximum(size, np.median(size))  # one steep slope allows no more
    telling = size > least / WORST_RELATIVE
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
    told = f"; its energies, in single precision, tell slopes to {np.median(rounding):.2g}" if rounding.any() else ""
    return f"the forces of {teacher} are the gradient of its energy {within}{but}{told}"


def require_gradients(dataset: Dataset, path: str) -> str:
    """Compare energies with forces along neighbors in labelled data, as far as there are any.

    Between two structures of the same atoms, charge and multiplicity in the same cell, none of which moves by more than
    ``NEAR_A``, the energy changes by minus the mean of both forces times the displacement, but for a term of third
    order.

    Returns:
        what was found, as a sentence, and what several charges or multiplicities of the same atoms mean.

    Raises:
        AssayError: the forces do not explain the energies.
    """
    several = _several_states(dataset)
    rise, work = _along(_neighbors(dataset, _pair))
    if len(work) < FEWEST_PAIRS or (np.abs(work) >= LEAST_WORK_eV).sum() < FEWEST_TELLING:
        return f"there are too few structures near each other in {path} to compare forces with energies{several}"
    slope, correlation = _slope(rise, work)
    if not (SLOPE[0] <= slope <= SLOPE[1]) or correlation < LEAST_CORRELATION:
        raise AssayError(
            f"the forces of {path} are no gradient of its energies: along {len(work)} pairs of neighbors energies "
            f"change by {slope:.3g} times what the forces say (correlation {correlation:.2g}); check the names and "
            f"units of the labels, and whether the energy is the one that the forces belong to{_held(dataset)}"
        )
    return f"forces explain the changes of energies along {len(work)} pairs of neighbors (slope {slope:.3g}){several}"


def _held(dataset: Dataset) -> str:
    """The end of a sentence on structures in which some atoms alone have no force; "" if there are none."""
    zero = np.add.reduceat(~dataset.forces.any(axis=1), dataset.offsets[:-1], dtype=np.int64)
    count = int(((zero > 0) & (zero < dataset.sizes)).sum())
    if not count:
        return ""
    return (
        f"; in {count:,} structures some atoms have forces of zero, as if a constraint held them: if they move "
        "nevertheless, label them without it, by get_forces(apply_constraint=False) in ASE"
    )


def require_stresses(dataset: Dataset, path: str) -> str:
    """Compare energies with stresses along neighbors in labelled data that differ by a small strain, if there are any.

    What the forces explain of a change of the energy is taken off first. The rest is volume times mean stress times
    strain. A factor of two is allowed, since energies in another set of plane waves are not quite those of stresses.

    Returns:
        what was found, as a sentence; "" if nothing can be told.

    Raises:
        AssayError: the stresses are others than those of the energies, by a factor or by their sign.
    """
    if dataset.stress is None:
        return ""
    rise, work = _along(_neighbors(dataset, _strained_pair))
    telling = (np.abs(rise) >= LEAST_WORK_eV) & (work != 0.0)
    if len(work) < FEWEST_PAIRS or telling.sum() < FEWEST_TELLING:
        return ""
    usual = float(np.median(np.abs(rise[telling] / work[telling])))  # so that a pair far off counts by its own size
    slope, correlation = _slope(rise, usual * work)
    slope *= usual
    if abs(correlation) < LEAST_CORRELATION:
        return ""
    if not SLOPE_OF_STRESSES[0] <= slope <= SLOPE_OF_STRESSES[1]:
        raise AssayError(
            f"the stresses of {path} are not those of its energies: along {len(work)} pairs of strained neighbors "
            f"energies change by {slope:.3g} times what the stresses say; check their name, unit and sign"
        )
    return f"stresses explain the changes of energies along {len(work)} pairs of neighbors (slope {slope:.3g})"


def _several_states(dataset: Dataset) -> str:
    """The end of a sentence on molecules in several charges or multiplicities; "" if there are none.

    Isomers are molecules of their own, which bonds tell, or names in the file: a state may have other bonds. What is
    periodic has bonds that come and go, and is told by its atoms alone, as two atoms are.
    """
    structures = list(dataset)
    some = _in_several_states(structures, [_atoms(structure) for structure in structures])
    molecules = [structure for structure in some if not structure.pbc.any()]
    bonds = fingerprints_of(molecules).molecules.tolist()
    by_bonds = [_atoms(s) if len(s) <= 2 else bond for s, bond in zip(molecules, bonds, strict=True)]
    by_name = [(_atoms(s), s.molecule or bond) for s, bond in zip(molecules, by_bonds, strict=True)]
    told = {id(s) for names in (by_bonds, by_name) for s in _in_several_states(molecules, names)}
    count = len(some) - len(molecules) + len(told)
    if not count:
        return ""
    return (
        f"; but {count:,} of {len(dataset):,} structures are of molecules or cells in several charges or "
        "multiplicities, which no student tells apart: it learns a mean of their energies, so keep one charge and "
        "multiplicity of each"
    )


def _atoms(structure: Structure) -> bytes:
    """What atoms a structure has, and along which axes it repeats."""
    return np.sort(structure.atomic_numbers).tobytes() + structure.pbc.tobytes()


def _in_several_states(structures: Sequence[Structure], molecules: Sequence[Hashable]) -> list[Structure]:
    """The structures of those molecules, of which each is told by a value, that have several charges or
    multiplicities.
    """
    states: dict[Hashable, tuple[set[int], set[int]]] = {}
    for structure, molecule in zip(structures, molecules, strict=True):
        charges, spins = states.setdefault(molecule, (set(), set()))
        charges.add(structure.charge or 0)
        if structure.state_spin is not None:
            spins.add(structure.state_spin)
    several = {molecule for molecule, found in states.items() if max(map(len, found)) > 1}
    return [structure for structure, molecule in zip(structures, molecules, strict=True) if molecule in several]


def _slope(rise: np.ndarray, work: np.ndarray) -> tuple[float, float]:
    """The slope of rises (P,) of energies over works (P,), and their correlation."""
    size = np.maximum(np.abs(rise), np.abs(work))
    size = np.maximum(size, max(float(np.median(size)), LEAST_WORK_eV))
    rise, work = rise / size, work / size  # so that a steep pair, or one with a wrong label, speaks for itself alone
    slope = float((rise * work).sum() / max((work * work).sum(), 1e-30))
    correlation = float((rise * work).sum() / np.sqrt(max((rise * rise).sum() * (work * work).sum(), 1e-30)))
    return slope, correlation


def _along(pairs: Iterable[tuple[float, float]]) -> np.ndarray:
    """The rises and the works (2, P) along pairs."""
    return np.array(list(islice(pairs, MOST_PAIRS))).reshape(-1, 2).T


def _neighbors(
    dataset: Dataset, pair: Callable[[Structure, Structure], tuple[float, float] | None]
) -> Iterator[tuple[float, float]]:
    """The rise of the energy, eV, and what labels say of it, for pairs of structures near each other."""
    last: dict[bytes, Structure] = {}
    for structure in dataset:
        key = structure.atomic_numbers.tobytes() + structure.pbc.tobytes()
        key += f"{structure.charge} {structure.state_spin}".encode()
        if pair is _pair and structure.cell is not None:
            key += structure.cell.round(6).tobytes()
        found = pair(last[key], structure) if key in last else None
        if found is not None:
            yield found
        last[key] = structure


def _pair(one: Structure, other: Structure) -> tuple[float, float] | None:
    """The rise and the work between two structures of the same atoms; None where they are not near each other."""
    step = _step(one, other)
    if not 0.0 < np.abs(step).max() <= NEAR_A:
        return None
    return _rise_and_work(one, other, step)


def _step(one: Structure, other: Structure) -> np.ndarray:
    """The displacements (N, 3) between two structures of the same atoms, along periodic axes to the nearest image.

    What a file shifted as a whole is moved back. A constraint leaves zeros of forces, without which the others do not
    add up to zero, so that its atoms tell the shift; else it is the mean, unless all are near as they are.
    """
    assert one.forces_eV_per_A is not None and other.forces_eV_per_A is not None
    cell = np.eye(3) if one.cell is None else completed_cell(one.cell, one.pbc)
    fractional = (other.positions - one.positions) @ np.linalg.inv(cell)
    step = (fractional - one.pbc * np.rint(fractional)) @ cell
    held = (one.forces_eV_per_A == 0.0) & (other.forces_eV_per_A == 0.0)
    if held.any() or np.abs(step).max() > NEAR_A:
        step -= np.average(step, axis=0, weights=held | ~held.any(axis=0))
    return step


def _strained_pair(one: Structure, other: Structure) -> tuple[float, float] | None:
    """The rise that forces leave unexplained and the work of stresses between two structures of the same atoms in
    different cells; None where they are not near each other.
    """
    if one.stress_eV_per_A3 is None or other.stress_eV_per_A3 is None or not one.pbc.all():
        return None
    assert one.cell is not None and other.cell is not None
    cell = 0.5 * (one.cell + other.cell)
    strain = np.linalg.solve(cell, other.cell - one.cell)
    fractional = other.positions @ np.linalg.inv(other.cell) - one.positions @ np.linalg.inv(one.cell)
    step = (fractional - np.rint(fractional)) @ cell
    if not LEAST_STRAIN <= np.abs(strain).max() <= MOST_STRAIN or np.abs(step).max() > NEAR_A:
        return None
    rise, work = _rise_and_work(one, other, step)
    virial = np.linalg.det(one.cell) * one.stress_eV_per_A3 + np.linalg.det(other.cell) * other.stress_eV_per_A3
    return rise - work, float(0.5 * np.sign(np.linalg.det(cell)) * (virial * strain).sum())


def _rise_and_work(one: Structure, other: Structure, step: np.ndarray) -> tuple[float, float]:
    """The rise of the energy, and the work that both forces say displacements (N, 3) take, eV."""
    assert one.energy_eV is not None and other.energy_eV is not None
    assert one.forces_eV_per_A is not None and other.forces_eV_per_A is not None
    work = -0.5 * ((one.forces_eV_per_A + other.forces_eV_per_A) * step).sum()
    return other.energy_eV - one.energy_eV, float(work)
