"""The units that labels may be in, and which of them explains labels by what a student predicts in eV and angstrom.

Labels come as they were read: in eV and angstrom if they are in the unit that a file or a config names, or is usual.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.stats

from assay.workflow.units import factor, of_structure

TURNED = ", with the sign turned"
MANY = 3  # so few structures make no group of their own
ALIKE = 0.1  # a difference of logarithms of two units
STEEP = 8.0  # times the median size: one such structure would outweigh all others in a sum

_SIZE_EV = {unit: factor(unit, "energy") for unit in ("eV", "meV", "hartree", "rydberg", "kcal/mol", "kJ/mol")}
_SIZE_A = {unit: factor(unit, "length") for unit in ("angstrom", "bohr", "nm")}
# The lengths that forces in each energy are divided by, where these are not angstrom and bohr.
_LENGTHS: dict[str, Collection[str]] = {"eV": _SIZE_A, "kcal/mol": _SIZE_A, "kJ/mol": _SIZE_A, "meV": ()}


@dataclass(frozen=True)
class Unit:
    """A unit that labels may be in.

    Attributes:
        name: the unit, and whether the sign is turned.
        factor: what multiplies labels in it, by the unit that they were read as; negative where the sign is turned.
        atoms: the power of the number of atoms that multiplies them too: -1 for an energy per atom that was read as one
            of the structure.
    """

    name: str
    factor: float
    atoms: int = 0

    @property
    def is_as_read(self) -> bool:
        """Whether labels were read in this unit, so that they are in eV and angstrom."""
        return self.factor == 1.0 and not self.atoms

    def is_like(self, other: Unit) -> bool:
        """Whether a student's error hides which of both labels are in, such as rydberg/bohr and hartree/angstrom."""
        ratio = self.factor / other.factor
        return ratio > 0.0 and abs(float(np.log(ratio))) < ALIKE

    @property
    def width(self) -> float:
        """How far the logarithm of a slope may lie from this unit's: less, the nearer it is to that of right labels."""
        distance = abs(float(np.log(abs(self.factor))))
        return min(0.25, 0.07 * distance) if distance else 0.25


_ENERGIES = _SIZE_EV
_FORCES = {
    f"{energy}/{length}": size / _SIZE_A[length]
    for energy, size in _SIZE_EV.items()
    for length in _LENGTHS.get(energy, ["angstrom", "bohr"])
}


def force_units(read_as: str = "eV/angstrom") -> list[Unit]:
    """The units that forces may be in that were read as one of them, which is the first."""
    return _as_read_first(_candidates(_FORCES, read_as, factor(read_as, "forces")))


def single_precision_eV(energy: np.ndarray) -> np.ndarray:
    """(S,) by how much single precision rounds energies (S,), eV; zeros unless, in some unit, all are numbers of it."""
    for size in _SIZE_EV.values():
        single = (energy / size).astype(np.float32)
        if np.allclose(single.astype(np.float64) * size, energy, rtol=1e-14, atol=0.0):
            return 0.5 * size * np.spacing(np.abs(single)).astype(np.float64)
    return np.zeros(len(energy))


def energy_units(read_as: str = "eV") -> list[Unit]:
    """The units that energies may be in that were read as one of them, which is the first; of the structure, and per
    atom.
    """
    per_structure = of_structure(read_as)
    found = _candidates(_ENERGIES, per_structure, factor(per_structure, "energy"))
    per_atom = [Unit(_per_atom(unit.name), unit.factor, -1) for unit in found]
    if per_structure == read_as:
        return _as_read_first([*found, *per_atom])
    return _as_read_first([Unit(unit.name, unit.factor, unit.atoms + 1) for unit in (*found, *per_atom)])


def _per_atom(name: str) -> str:
    return f"{name.removesuffix(TURNED)} per atom{TURNED if name.endswith(TURNED) else ''}"


def _candidates(known: Mapping[str, float], read_as: str, value: float) -> list[Unit]:
    """Units of either sign, by their values in eV and angstrom, with that which labels are read as."""
    if not any(np.isclose(abs(value), other, rtol=1e-9) for other in known.values()):
        known = {read_as.lstrip("+- "): abs(value), **known}
    factors = {name: value / other for name, other in known.items()}
    factors |= {name + TURNED: -of_name for name, of_name in factors.items()}
    return [Unit(name, 1.0 if np.isclose(one, 1.0, rtol=1e-9) else float(one)) for name, one in factors.items()]


def _as_read_first(found: list[Unit]) -> list[Unit]:
    return sorted(found, key=lambda unit: not unit.is_as_read)


def groups_of_slopes(
    slopes: np.ndarray, cosines: np.ndarray, n_atoms: np.ndarray, units: list[Unit]
) -> list[tuple[Unit, np.ndarray]]:
    """Group structures by the unit that their labelled forces are in, the largest group first.

    A unit other than that of labels as read needs at least three structures (or all), more of them near its slope than
    further off on both sides: a poor student spreads its slopes evenly, a unit puts them in one place. In a group of
    less than half, each structure's cosine must be one that chance reaches once in a thousand.

    Args:
        slopes: (S,) labelled over predicted forces, by least squares over each structure.
        cosines: (S,) of the angle between both, over all components of a structure.
        n_atoms: (S,) the sizes of the structures.
        units: what ``force_units`` gives.

    Returns:
        Each unit with the mask (S,) of its structures.
    """
    degrees_of_freedom = np.maximum(3 * n_atoms - 6, 1)
    significant = np.sqrt(scipy.stats.beta.isf(0.002, 0.5, np.maximum(degrees_of_freedom - 1, 0.1) / 2))
    left, found = np.ones(len(slopes), dtype=bool), []
    with np.errstate(divide="ignore"):
        logarithms = np.log(np.abs(slopes))
    while left.any():
        best = _largest(logarithms, slopes, cosines, left, units)
        if best is None or 2 * best[1].sum() < len(slopes):
            best = _largest(logarithms, slopes, np.where(np.abs(cosines) > significant, cosines, 0.0), left, units)
        if best is None:
            break
        found.append(best)
        left &= ~best[1]
        units = [unit for unit in units if unit is best[0] or not unit.is_like(best[0])]
    return found


def _largest(
    logarithms: np.ndarray, slopes: np.ndarray, cosines: np.ndarray, left: np.ndarray, units: list[Unit]
) -> tuple[Unit, np.ndarray] | None:
    """The unit of most structures that are ``left`` (S,) bool, with the mask (S,) of them; None if there is none."""
    best: tuple[Unit, np.ndarray] | None = None
    for unit in units:
        near, beside = _near(unit, logarithms, slopes, cosines, left)
        if _is_group(unit, logarithms, near, beside) and (best is None or near.sum() > best[1].sum()):
            best = unit, near
    if best is None or best[0].is_as_read:
        return best
    middle = float(np.median(logarithms[best[1]]))
    alike = [unit for unit in units if unit.factor * best[0].factor > 0]
    return min(alike, key=lambda unit: abs(np.log(abs(unit.factor)) - middle)), best[1]


def _near(
    unit: Unit, logarithms: np.ndarray, slopes: np.ndarray, cosines: np.ndarray, left: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The structures (S,) bool whose slopes are near a unit's, and those that are a little further off."""
    sign, center = np.sign(unit.factor), np.log(abs(unit.factor))
    least = 0.5 if unit.is_as_read else 0.8 if sign < 0 or abs(center) > 1.5 else 0.95
    alike = left & (slopes * sign > 0) & (cosines * sign > least)
    distance = np.abs(logarithms - center)
    return alike & (distance < unit.width), alike & (distance >= unit.width) & (distance < 3 * unit.width)


def _is_group(unit: Unit, logarithms: np.ndarray, near: np.ndarray, beside: np.ndarray) -> bool:
    count = int(near.sum())
    if unit.is_as_read:
        return count > 0
    centered = count and abs(np.median(logarithms[near | beside]) - np.log(abs(unit.factor))) < 0.6 * unit.width
    return bool(centered) and count > int(beside.sum()) and (count >= MANY or count == len(near))
