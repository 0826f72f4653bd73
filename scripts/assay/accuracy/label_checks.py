"""Mistakes in labels, found by what a student predicts: other units, turned signs, wrong orders, lone outliers.

Every structure is asked by itself, so that a few of them do not speak for all. A student that is merely poor spreads
over directions and sizes; labels with a mistake lie near one factor, or are those of other rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist

from assay.accuracy.label_constraints import FEELS_FORCES_eV_per_A, held_forces, without
from assay.accuracy.label_energies import EnergyFindings, energy_findings
from assay.accuracy.label_stress import other_orders, other_stresses, zero_stresses
from assay.accuracy.label_units import (
    MANY,
    STEEP,
    Unit,
    energy_units,
    force_units,
    groups_of_slopes,
    single_precision_eV,
)
from assay.accuracy.metrics import Errors
from assay.data.dataset import Dataset
from assay.structures.geometry import fragments

UNRELATED = 0.3  # labelled forces whose cosine with predicted ones is below this belong to other atoms
SAME_SIZES = 0.25  # relative difference of quantiles of two sets that count as the same numbers
FAR_OFF = 0.3  # relative error of forces above which their order is looked into
OUTLIER_TIMES, OUTLIER_eV_per_A = 10.0, 1.0
CLASH_A = 0.6
ROUNDED_eV_per_atom = 5e-4  # beside which errors of good students are not small any more
NAMED = 5  # so many structures are named in a sentence


@dataclass(frozen=True)
class _Forces:
    """Labelled beside predicted forces of S structures.

    Attributes:
        slope: (S,) labelled over predicted, by least squares.
        cosine: (S,) of the angle between both, over all components of a structure.
        rms: (S,) root mean square over the components of the predicted ones, eV/angstrom.
        zero: (S,) whether all are labelled zero although some are predicted.
        telling: (S,) whether there are enough and large enough forces to say something.
    """

    slope: np.ndarray
    cosine: np.ndarray
    rms: np.ndarray
    zero: np.ndarray
    telling: np.ndarray


def check_labels(errors: Errors, dataset: Dataset) -> dict[str, Any]:
    """Say in which units labels seem to be, and what is suspicious of them.

    Args:
        errors: predictions beside the labels of ``dataset``; structures whose prediction or label is not finite are
            left out.
        dataset: the structures, and what their labels were read as.

    Returns:
        ``energy_unit`` and ``force_unit``, the units of most structures in their file (None if they cannot be told),
        ``force_slope`` and ``force_correlation``, medians over structures, ``suspicions`` (sentences), ``outliers``
        (``name``, ``number`` and ``reason`` of structures that stand apart) and ``sentence``, all of it in words.
    """
    dataset = replace(dataset, numbers=dataset.places)  # which a part of them keeps
    finite = np.isfinite(errors.energy) & np.isfinite(errors.energy_teacher)
    finite &= np.isfinite(errors.per_structure((errors.forces + errors.forces_teacher).sum(1)))
    errors, dataset = errors.subset(finite), dataset.subset(finite)
    of_forces = force_units(dataset.read_as.get("forces", "eV/angstrom"))
    of_energies = energy_units(dataset.read_as.get("energy", "eV"))
    of_stress = dataset.read_as.get("stress", "eV/angstrom^3")
    held, say = held_forces(errors), _Names(dataset)
    errors = without(errors, held)
    forces = _forces(errors)
    told = np.flatnonzero(forces.telling)
    groups = groups_of_slopes(forces.slope[told], forces.cosine[told], errors.n_atoms[told], of_forces)
    units = [(unit, np.isin(np.arange(len(errors)), told[near])) for unit, near in groups]
    unit = units[0][0] if units and 2 * units[0][1].sum() >= forces.telling.sum() else None
    suspicions = _force_units(units, of_forces[0], forces, say)
    suspicions += [
        f"labelled forces are exactly zero {one.what} and predicted ones are not, in {say(one.structures)}: as if a "
        "constraint held them, which get_forces(apply_constraint=False) of ASE leaves out"
        for one in held
    ]
    disordered = _disordered_molecules(errors, dataset, forces, unit) if unit else {}
    shuffled = unit is None and _all_shuffled(errors, forces)
    if shuffled:
        suspicions.append(
            "labelled forces are as large as predicted ones but point elsewhere, as if they were shuffled or belonged "
            "to other atoms"
        )
    suspicions += [f"{what} of {say(mask)}" for what, mask in disordered.items()]
    energies = energy_findings(errors, of_energies, unit is not None or shuffled, partial(_states, dataset))
    suspicions += _of_energies(energies, of_energies[0], say) + _rounded(errors, say)
    if stresses := other_stresses(errors, np.abs(np.linalg.det(dataset.cells)), unit is not None, of_stress):
        suspicions.append(
            f"labelled stresses, read as {of_stress}, are {stresses.slope:.3g} times the predicted ones, as "
            f"{stresses.what} would be, in {say(stresses.structures)}"
        )
    if (zeros := zero_stresses(errors)).any():
        suspicions.append(f"labelled stresses are zero in {say(zeros)}")
    if orders := other_orders(errors):
        suspicions.append(
            "labelled stresses agree with the predicted ones if their six numbers are "
            f"{', or '.join(orders[0])}, in {say(orders[1])}"
        )
    explained = np.zeros(len(errors), dtype=bool)
    known = [*(mask for other, mask in units if other is not unit), *disordered.values()]
    for mask in [*known, *energies.others.values(), energies.disordered, energies.zero]:
        explained |= mask
    apart = (_force_outliers(errors, forces, unit) | energies.outliers) & ~explained & ~forces.zero
    if apart.sum() > max(MANY, 0.1 * len(errors)):
        suspicions.append(f"labels and predictions are far apart for {say(apart)}, more than the others by far")
    result = {
        "energy_unit": energies.unit.name if energies.unit else None,
        "force_unit": unit.name if unit else None,
        "force_slope": _median(forces.slope[forces.telling]),
        "force_correlation": _median(forces.cosine[forces.telling]),
        "suspicions": suspicions,
        "outliers": [say.outlier(int(k), _farthest(errors, unit), energies.off) for k in np.flatnonzero(apart)],
    }
    return result | {"sentence": _in_sentences(result)}


def units_in_words(found: Mapping[str, Any]) -> str:
    """Say what ``check_labels`` takes the units of labels to be."""
    return "; ".join(
        f"{what} are taken for {unit}" if unit else f"the unit of {what} cannot be told"
        for what, unit in (("energies", found["energy_unit"]), ("forces", found["force_unit"]))
    )


def _in_sentences(found: Mapping[str, Any]) -> str:
    """Say what ``check_labels`` found, in a sentence or more."""
    parts = [units_in_words(found), *(f"suspicious: {sentence}" for sentence in found["suspicions"])]
    if found["outliers"]:
        rows = [f"{row['name']} ({row['reason']})" for row in found["outliers"][:NAMED]]
        more = len(found["outliers"]) - len(rows)
        parts.append(f"stands apart: {', '.join(rows)}{f' and {more} more' if more > 0 else ''}")
    return ". ".join(part[0].upper() + part[1:] for part in parts) + "."


def _states(dataset: Dataset) -> np.ndarray:
    """(S, K) what of structures of one composition a student may not know: their charges and spins as far as they are
    told, and into how many pieces bonds divide an open one.
    """
    pieces = [1 if structure.pbc.any() else fragments(structure).max() + 1 for structure in dataset]
    stated = [column for column in (dataset.charge, dataset.spin) if column is not None]
    return np.nan_to_num(np.array([pieces, *stated], dtype=np.float64)).T


class _Names:
    """Names structures in a sentence: how many, and the first of them by name and number in the file."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __call__(self, mask: np.ndarray) -> str:
        if mask.all():
            return f"all {len(mask):,} structures"
        chosen = np.flatnonzero(mask)
        first = [f"{self.dataset.names[k]} (number {self.dataset.places[k]})" for k in chosen[:NAMED]]
        more = ", ..." if len(chosen) > NAMED else ""
        return f"{len(chosen):,} of {len(mask):,} structures: {', '.join(first)}{more}"

    def outlier(self, k: int, force_error: np.ndarray, energy_error: np.ndarray) -> dict[str, Any]:
        """Name a structure that stands apart, and say what is known of it.

        Args:
            k: its index.
            force_error: (S,) the largest error of a force on an atom, eV/angstrom.
            energy_error: (S,) the error of the energy less what other structures explain, eV.
        """
        nearest = float(pdist(self.dataset[k].positions).min()) if len(self.dataset[k]) > 1 else np.inf
        near = f", two atoms are {nearest:.2f} angstrom apart" if nearest < CLASH_A else ""
        off = f"forces off by up to {force_error[k]:.3g} eV/angstrom, energy by {abs(energy_error[k]):.3g} eV"
        return {"name": str(self.dataset.names[k]), "number": int(self.dataset.places[k]), "reason": off + near}


def _forces(errors: Errors) -> _Forces:
    predicted = errors.per_structure((errors.forces**2).sum(1))
    labelled = errors.per_structure((errors.forces_teacher**2).sum(1))
    product = errors.per_structure((errors.forces * errors.forces_teacher).sum(1))
    rms = np.sqrt(predicted / (3 * np.maximum(errors.n_atoms, 1)))
    zero = (labelled == 0.0) & (rms > FEELS_FORCES_eV_per_A) & (errors.n_atoms > 1)
    moving = (predicted > 0.0) & (labelled > 0.0)
    large = moving & (errors.n_atoms > 2)
    telling = large if large.any() else moving
    telling &= rms > 0.1 * (np.median(rms[telling]) if telling.any() else 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(moving, product / predicted, 0.0)
        cosine = np.where(moving, product / np.sqrt(predicted * labelled), 0.0)
    return _Forces(slope, cosine, rms, zero, telling)


def _force_units(units: list[tuple[Unit, np.ndarray]], as_read: Unit, forces: _Forces, say: _Names) -> list[str]:
    """What labelled forces seem to be where they are not in the unit that they were read as."""
    found = []
    for unit, mask in units:
        if unit is not as_read:
            slope = np.median(forces.slope[mask])
            whole = mask | ~forces.telling if mask.sum() == forces.telling.sum() else mask
            found.append(
                f"labelled forces, read as {as_read.name}, are {slope:.3g} times the predicted ones, as {unit.name} "
                f"would be, in {say(whole)}"
            )
    if forces.zero.any() and (forces.zero.all() or forces.zero.sum() >= MANY):
        found.append(f"labelled forces are zero in {say(forces.zero)}")
    return found


def _all_shuffled(errors: Errors, forces: _Forces) -> bool:
    """Whether labelled forces are unrelated to predicted ones although they are the same numbers."""
    if forces.telling.sum() < 1 or np.median(forces.rms[forces.telling]) < FEELS_FORCES_eV_per_A:
        return False
    if np.median(np.abs(forces.cosine[forces.telling])) > UNRELATED:
        return False
    atoms = forces.telling[errors.owner]
    return _same_sizes(errors.forces[atoms], errors.forces_teacher[atoms])


def _same_sizes(predicted: np.ndarray, labelled: np.ndarray) -> bool:
    """Whether two sets of forces (n, 3) have the same quantiles of their sizes."""
    at = (20, 35, 50, 65, 80, 95)
    own, other = (np.percentile(np.linalg.norm(values, axis=1), at) for values in (predicted, labelled))
    return bool(np.abs(np.log(np.maximum(other, 1e-9) / np.maximum(own, 1e-9))).max() < SAME_SIZES)


def _disordered_molecules(errors: Errors, dataset: Dataset, forces: _Forces, unit: Unit) -> dict[str, np.ndarray]:
    """Structures (S,) bool of molecules whose rows of labels are in another order, by what is in another order."""
    numbers = [
        dataset.atomic_numbers[a:b].tobytes() for a, b in zip(dataset.offsets, dataset.offsets[1:], strict=False)
    ]
    keys = [f"{molecule}:{order.hex()}" for molecule, order in zip(dataset.molecules, numbers, strict=True)]
    _, molecule = np.unique(keys, return_inverse=True)
    off = _relative_error(errors, unit)
    sizes = [errors.per_structure((values**2).mean(1)) for values in (errors.forces, errors.forces_teacher)]
    size = np.sqrt(np.maximum(*sizes) / errors.n_atoms)
    found: dict[str, np.ndarray] = {}
    for one in np.unique(molecule[forces.telling & (off > FAR_OFF)]):
        mask = (molecule == one) & forces.telling
        mask &= size <= STEEP * np.median(size[mask])
        if mask.sum() < MANY or np.median(off[mask]) < FAR_OFF:
            continue
        if what := _disorder(errors, mask, unit):
            found[what] = found.get(what, False) | mask
    return found


def _disorder(errors: Errors, mask: np.ndarray, unit: Unit) -> str | None:
    """What is in another order in the labels of one molecule's structures (S,) bool; None if nothing shows."""
    atoms = mask[errors.owner]
    predicted, labelled = errors.forces[atoms], errors.forces_teacher[atoms] / unit.factor
    frames, size = int(mask.sum()), len(predicted) // int(mask.sum())
    by_frame = [values.reshape(frames, -1) for values in (predicted, labelled)]
    by_atom = [values.reshape(frames, size, 3).swapaxes(0, 1).reshape(size, -1) for values in (predicted, labelled)]
    if _gain(*([values] for values in by_frame)) < 0.4:
        return "labelled forces are those of other structures of the same molecule: rows are in another order"
    in_frames = [np.split(values, frames) for values in (predicted, labelled)]
    if _gain(*([values] for values in by_atom)) < 0.4 or _gain(*in_frames) < 0.25:
        return "labelled forces are those of other atoms: atoms are in another order"
    cosine = float((predicted * labelled).sum() / np.sqrt((predicted**2).sum() * (labelled**2).sum()))
    felt = np.sqrt((predicted**2).mean()) > FEELS_FORCES_eV_per_A
    if felt and abs(cosine) < UNRELATED and _same_sizes(predicted, labelled):
        return "labelled forces are as large as predicted ones but point elsewhere: rows are in another order"
    return None


def _gain(predicted: Sequence[np.ndarray], labelled: Sequence[np.ndarray]) -> float:
    """The distance of rows (n, D) from those of the labels in the best order, over that in the order they have; summed
    over several sets of rows.
    """
    best = given = 0.0
    for own, other in zip(predicted, labelled, strict=True):
        distances = cdist(own, other)
        best += distances[linear_sum_assignment(distances)].sum()
        given += np.diagonal(distances).sum()
    return best / max(given, 1e-12)


def _relative_error(errors: Errors, unit: Unit) -> np.ndarray:
    """(S,) size of the difference of labelled and predicted forces over the larger of both, 0 to 2."""
    labelled = errors.forces_teacher / unit.factor
    difference = errors.per_structure(((errors.forces - labelled) ** 2).sum(1))
    larger = np.maximum(errors.per_structure((errors.forces**2).sum(1)), errors.per_structure((labelled**2).sum(1)))
    return np.sqrt(difference / np.maximum(larger, 1e-12))


def _force_outliers(errors: Errors, forces: _Forces, unit: Unit | None) -> np.ndarray:
    """(S,) structures whose forces are off by more than their own size, and by far more than is usual."""
    if unit is None:
        return np.zeros(len(errors), dtype=bool)
    difference = ((errors.forces - errors.forces_teacher / unit.factor) ** 2).sum(1)
    rmse = np.sqrt(errors.per_structure(difference) / (3 * errors.n_atoms))
    usual = max(float(np.median(rmse[forces.telling])), 1e-3)
    return (_relative_error(errors, unit) > 0.7) & (rmse > OUTLIER_TIMES * usual) & (rmse > OUTLIER_eV_per_A)


def _of_energies(found: EnergyFindings, as_read: Unit, say: _Names) -> list[str]:
    """What is suspicious of labelled energies."""
    sentences = []
    if found.all_equal:
        sentences.append("all labelled energies are the same number")
    if found.unit is not None and found.unit is not as_read:
        sentences.append(
            f"labelled energies, read as {as_read.name}, agree with the predicted ones if they are in {found.unit.name}"
        )
    if found.shuffled:
        sentences.append("labelled energies are unrelated to these structures, as if they were shuffled")
    if found.zero.any():
        sentences.append(f"labelled energies are zero in {say(found.zero)}")
    if found.disordered.any():
        sentences.append(
            "labelled energies are those of other structures of the same composition, as if rows were in another "
            f"order: {say(found.disordered)}"
        )
    if found.second.any():
        sentences.append(
            "labelled energies are as if of two levels of theory, each with constants of its own for elements: the "
            f"smaller part is {say(found.second)}"
        )
    sentences += [
        f"labelled energies, read as {as_read.name}, are as if in {name} in {say(mask)}"
        for name, mask in found.others.items()
    ]
    return sentences


def _rounded(errors: Errors, say: _Names) -> list[str]:
    """What single precision takes from large total energies."""
    rounded_eV_per_atom = single_precision_eV(errors.energy_teacher) / errors.n_atoms
    if not (coarse := rounded_eV_per_atom > ROUNDED_eV_per_atom).any():
        return []
    return [
        f"labelled energies are in single precision, which rounds them by up to {1e3 * rounded_eV_per_atom.max():.2g} "
        f"meV/atom, so that no student is nearer to them, in {say(coarse)}"
    ]


def _farthest(errors: Errors, unit: Unit | None) -> np.ndarray:
    """(S,) the largest error of a force on an atom of each structure, eV/angstrom."""
    result = np.zeros(len(errors))
    difference = errors.forces - errors.forces_teacher / (unit.factor if unit else 1.0)
    np.maximum.at(result, errors.owner, np.linalg.norm(difference, axis=1))
    return result


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None
