"""Errors of energies, forces and stress, each with a bootstrap confidence interval over molecules.

Every metric is a function of sums over structures. A resample draws whole molecules with replacement, which changes
only the weight of each in those sums, so that each resample is one matrix product.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ase.units
import numpy as np

from assay.structures.structure import NO_FORCES_eV_per_A, molecule_numbers

# Below this a teacher's force has no direction worth comparing: about the noise of a tight self-consistent field.
MIN_FORCE_FOR_ANGLE_eV_per_A = 0.05
PERCENTILES = (5, 25, 50, 75, 90, 95, 99, 100)

UNITS = {"GPa": 1.0 / ase.units.GPa, "meV_per_A3": 1e3}  # of stress, in eV/angstrom^3


class Errors:
    """Predictions beside labels, of S structures with A atoms in total.

    Attributes:
        atomic_numbers: (A,) int64.
        owner: (A,) int64, the structure of each atom.
        n_atoms: (S,) int64.
        energy, energy_teacher: (S,) float64, eV.
        forces, forces_teacher: (A, 3) float64, eV/angstrom.
        stress, stress_teacher: (S, 6) float64, eV/angstrom^3, with the sign of ASE and in the order xx, yy, zz, yz, xz,
            xy; NaN where a structure has none. None if no structure is labelled with a stress.
    """

    def __init__(
        self,
        atomic_numbers: np.ndarray,
        n_atoms: np.ndarray,
        energy: np.ndarray,
        energy_teacher: np.ndarray,
        forces: np.ndarray,
        forces_teacher: np.ndarray,
        stress: np.ndarray | None = None,
        stress_teacher: np.ndarray | None = None,
    ):
        self.atomic_numbers, self.n_atoms = atomic_numbers, n_atoms
        self.owner = np.repeat(np.arange(len(n_atoms)), n_atoms)
        self.energy, self.energy_teacher = energy, energy_teacher
        self.forces, self.forces_teacher = forces, forces_teacher
        self.stress, self.stress_teacher = stress, stress_teacher

    def __len__(self) -> int:
        return len(self.n_atoms)

    def subset(self, structures: np.ndarray) -> Errors:
        """The structures of a boolean mask (S,)."""
        atoms = structures[self.owner]
        return Errors(
            self.atomic_numbers[atoms],
            self.n_atoms[structures],
            self.energy[structures],
            self.energy_teacher[structures],
            self.forces[atoms],
            self.forces_teacher[atoms],
            None if self.stress is None else self.stress[structures],
            None if self.stress_teacher is None else self.stress_teacher[structures],
        )

    def per_structure(self, values: np.ndarray) -> np.ndarray:
        """Sums of (A,) values over the atoms of each structure, (S,)."""
        return np.bincount(self.owner, weights=values, minlength=len(self))

    @property
    def energy_error_per_atom(self) -> np.ndarray:
        """(S,) signed, eV/atom."""
        return (self.energy - self.energy_teacher) / self.n_atoms

    @property
    def stress_error(self) -> np.ndarray:
        """(S, 6) signed, eV/angstrom^3; NaN where a structure has no label or no prediction."""
        if self.stress is None or self.stress_teacher is None:
            return np.full((len(self), 6), np.nan)
        return self.stress - self.stress_teacher

    @property
    def force_error(self) -> np.ndarray:
        """(A,) length of the difference vector, eV/angstrom."""
        return np.linalg.norm(self.forces - self.forces_teacher, axis=1)

    @property
    def force_size(self) -> np.ndarray:
        """(A,) length of the teacher's force, eV/angstrom."""
        return np.linalg.norm(self.forces_teacher, axis=1)

    @property
    def cosine(self) -> np.ndarray:
        """(A,) cosine between predicted and teacher's force; NaN where the teacher's is too small to point anywhere."""
        product = (self.forces * self.forces_teacher).sum(1)
        lengths = np.linalg.norm(self.forces, axis=1) * self.force_size
        usable = self.force_size >= MIN_FORCE_FOR_ANGLE_eV_per_A
        return np.where(usable, product / np.maximum(lengths, 1e-12), np.nan)


def energy_after_element_shift(errors: Errors) -> np.ndarray:
    """(S,) energy errors, eV, less the best constant per element, fitted by least squares to these very errors.

    They are NaN where there are no more structures than constants that they tell, which then explain any errors.
    """
    counts = composition(errors)
    difference = errors.energy - errors.energy_teacher
    constants, _, rank, _ = np.linalg.lstsq(counts, difference, rcond=None)
    return difference - counts @ constants if len(errors) > rank else np.full(len(errors), np.nan)


def composition(errors: Errors) -> np.ndarray:
    """(S, K) float64, how many atoms of each of the K elements that occur."""
    elements, column = np.unique(errors.atomic_numbers, return_inverse=True)
    counts = np.zeros((len(errors), len(elements)))
    np.add.at(counts, (errors.owner, column), 1.0)
    return counts


def of_elements(errors: Errors) -> np.ndarray:
    """(S,) what the best constant per element, fitted to the labelled energies by least squares, says of these, eV."""
    counts = composition(errors)
    return counts @ np.linalg.lstsq(counts, errors.energy_teacher, rcond=None)[0]


def _sums(errors: Errors) -> dict[str, np.ndarray]:
    """(S,) sums from which every metric follows."""
    difference = errors.forces - errors.forces_teacher
    energy_error = errors.energy - errors.energy_teacher
    shifted = energy_after_element_shift(errors)
    cosine = errors.cosine
    return {
        "structures": np.ones(len(errors)),
        "components": 3.0 * errors.n_atoms,
        "abs_f": errors.per_structure(np.abs(difference).sum(1)),
        "sq_f": errors.per_structure((difference**2).sum(1)),
        "f": errors.per_structure(errors.forces_teacher.sum(1)),
        "ff": errors.per_structure((errors.forces_teacher**2).sum(1)),
        "cos": errors.per_structure(np.nan_to_num(cosine)),
        "angles": errors.per_structure(np.isfinite(cosine).astype(float)),
        "abs_e": np.abs(energy_error),
        "sq_e": energy_error**2,
        "abs_e_atom": np.abs(energy_error / errors.n_atoms),
        "sq_e_atom": (energy_error / errors.n_atoms) ** 2,
        "abs_e_shift": np.abs(shifted / errors.n_atoms),
        "sq_e_shift": (shifted / errors.n_atoms) ** 2,
        **_stress_sums(errors),
    }


def _stress_sums(errors: Errors) -> dict[str, np.ndarray]:
    """(S,) sums over the components of the stress; none if no structure is labelled with one."""
    if errors.stress_teacher is None:
        return {}
    error, present = errors.stress_error, np.isfinite(errors.stress_error).all(1)
    error = np.where(present[:, None], error, 0.0)
    return {"stress_components": 6.0 * present, "abs_s": np.abs(error).sum(1), "sq_s": (error**2).sum(1)}


def _from_sums(total: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Metrics from sums over structures; works on numbers and on arrays of resamples alike."""
    n, m = total["structures"], total["components"]
    with np.errstate(invalid="ignore", divide="ignore"):
        stress = {}
        if "abs_s" in total:
            components = total["stress_components"]
            stress = {"mae": total["abs_s"] / components, "rmse": np.sqrt(total["sq_s"] / components)}
        accuracy = 1.0 - np.sqrt(total["sq_f"] / total["ff"])
        spread = total["ff"] - total["f"] ** 2 / m
        labelled = total["ff"] > m * NO_FORCES_eV_per_A**2
        return {
            "force_accuracy": np.where(labelled, accuracy, np.nan),
            "force_r2": np.where(labelled, 1.0 - total["sq_f"] / spread, np.nan),
            "force_mae_eV_per_A": total["abs_f"] / m,
            "force_rmse_eV_per_A": np.sqrt(total["sq_f"] / m),
            "force_cosine": total["cos"] / total["angles"],
            "energy_mae_eV": total["abs_e"] / n,
            "energy_rmse_eV": np.sqrt(total["sq_e"] / n),
            "energy_mae_eV_per_atom": total["abs_e_atom"] / n,
            "energy_rmse_eV_per_atom": np.sqrt(total["sq_e_atom"] / n),
            "energy_mae_after_element_shift_eV_per_atom": total["abs_e_shift"] / n,
            "energy_rmse_after_element_shift_eV_per_atom": np.sqrt(total["sq_e_shift"] / n),
            **{f"stress_{name}_{unit}": value * size for name, value in stress.items() for unit, size in UNITS.items()},
        }


def metrics(errors: Errors) -> dict[str, float | None]:
    """All metrics of a set of structures; None where one is undefined (no structures, no forces).

    ``force_accuracy`` is 1 - RMSE(F) / RMS(F_teacher) over components, ``force_r2`` the coefficient of determination
    over components, ``force_cosine`` the mean over atoms whose teacher's force is at least
    ``MIN_FORCE_FOR_ANGLE_eV_per_A``. Errors "after element shift" are what is left when the best constant per
    element, fitted to these very errors, is taken out. Errors of the stress are over its six components, of the
    structures that have both a label and a prediction.
    """
    if len(errors) == 0:
        return {}
    total = {name: values.sum() for name, values in _sums(errors).items()}
    return {name: _number(value) for name, value in _from_sums(total).items()}


def confidence_intervals(
    errors: Errors, molecules: Iterable[str], resamples: int, confidence: float, seed: int
) -> dict[str, list[float | None]]:
    """[low, high] of each metric: the central ``confidence`` of its values over resampled sets of molecules.

    Structures of one molecule have errors alike, so that they are drawn together. The element shift is the one of the
    full set in every resample.

    Args:
        errors: of S structures, at least one.
        molecules: (S,) the molecule of each; one without a name, "", stands for itself.
        resamples: how many sets of as many molecules are drawn.
        confidence: the share of the values that lie inside of an interval.
        seed: of the draw.

    Returns:
        the ends by metric, both None where fewer than two molecules say anything about it.
    """
    sums, group = _sums(errors), molecule_numbers(molecules)
    n = int(group.max()) + 1
    matrix = np.stack([np.bincount(group, weights=values, minlength=n) for values in sums.values()], 1)  # (n, K)
    generator, chance = np.random.default_rng(seed), np.full(n, 1.0 / n)
    resampled = np.stack([generator.multinomial(n, chance) @ matrix for _ in range(resamples)])  # (B, K)
    tail, drawn = (1.0 - confidence) / 2.0, dict(zip(sums, resampled.T, strict=True))
    held = dict(zip(sums, (matrix > 0).sum(0), strict=True))
    with np.errstate(invalid="ignore"):  # between two infinite values
        return {
            name: [_number(np.nanquantile(values, q)) for q in (tail, 1.0 - tail)]
            if held[_counted_in(name)] > 1 and np.isfinite(values).any()
            else [None, None]
            for name, values in _from_sums(drawn).items()
        }


def _counted_in(metric: str) -> str:
    """The sum over structures that tells how much a metric is a mean of."""
    return "stress_components" if metric.startswith("stress") else "angles" if "cosine" in metric else "structures"


def baselines(errors: Errors) -> dict[str, dict[str, float | None]]:
    """Metrics of two models that know nothing of geometry, fitted to these very labels: zero forces and
    stress, and either the mean energy per atom or the best constant per element.
    """
    per_atom = (errors.energy_teacher / errors.n_atoms).mean() * errors.n_atoms
    fitted, zero = of_elements(errors), np.zeros_like(errors.forces_teacher)
    still = None if errors.stress_teacher is None else np.zeros_like(errors.stress_teacher)
    return {
        name: metrics(
            Errors(
                errors.atomic_numbers,
                errors.n_atoms,
                energy,
                errors.energy_teacher,
                zero,
                errors.forces_teacher,
                still,
                errors.stress_teacher,
            )
        )
        for name, energy in (("zero_force_mean_energy", per_atom), ("zero_force_constant_per_element", fitted))
    }


def force_metrics_of_atoms(errors: Errors, atoms: np.ndarray) -> dict[str, float | int | None]:
    """Force errors over a boolean mask (A,) of atoms, at least one."""
    difference = (errors.forces - errors.forces_teacher)[atoms]
    teacher = errors.forces_teacher[atoms]
    rmse, rms = np.sqrt((difference**2).mean()), np.sqrt((teacher**2).mean())
    cosine = errors.cosine[atoms]
    return {
        "n_atoms": len(difference),
        "force_accuracy": _number(1.0 - rmse / rms) if rms > NO_FORCES_eV_per_A else None,
        "force_mae_eV_per_A": _number(np.abs(difference).mean()),
        "force_rmse_eV_per_A": _number(rmse),
        "force_rms_teacher_eV_per_A": _number(rms),
        "force_cosine": _number(np.nanmean(cosine)) if np.isfinite(cosine).any() else None,
    }


def percentiles(values: np.ndarray) -> dict[str, float]:
    """Percentiles of finite values by name: p5 ... p100."""
    finite = values[np.isfinite(values)]
    return {f"p{p}": float(np.percentile(finite, p)) for p in PERCENTILES} if len(finite) else {}


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
