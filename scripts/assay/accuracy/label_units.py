"""The units that labels may be in, and which of them explains labels by what a student predicts in eV and angstrom."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import scipy.stats

from assay.workflow.units import factor

TURNED = ", with the sign turned"
MANY = 3  # so few structures make no group of their own
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
        factor: what multiplies a value in eV or eV/angstrom; negative where the sign is turned.
        per_atom: whether an energy is divided by the number of atoms.
    """

    name: str
    factor: float
    per_atom: bool = False

    @property
    def width(self) -> float:
        """How far the logarithm of a slope may lie from this unit's: less, the nearer the unit is to eV."""
        distance = abs(float(np.log(abs(self.factor))))
        return min(0.25, 0.07 * distance) if distance else 0.25


def _with_both_signs(found: list[Unit]) -> list[Unit]:
    return [*found, *(Unit(unit.name + TURNED, -unit.factor, unit.per_atom) for unit in found)]


FORCES = _with_both_signs(
    [
        Unit(f"{energy}/{length}", _SIZE_A[length] / size)
        for energy, size in _SIZE_EV.items()
        for length in _LENGTHS.get(energy, ["angstrom", "bohr"])
    ]
)
ENERGIES = _with_both_signs(
    [Unit(name, 1.0 / size) for name, size in _SIZE_EV.items()]
    + [Unit(f"{name} per atom", 1.0 / size, per_atom=True) for name, size in _SIZE_EV.items()]
)
EV_PER_A, EV = FORCES[0], ENERGIES[0]


def groups_of_slopes(slopes: np.ndarray, cosines: np.ndarray, n_atoms: np.ndarray) -> list[tuple[Unit, np.ndarray]]:
    """Group structures by the unit that their labelled forces are in, the largest group first.

    A unit other than eV/angstrom needs at least three structures (or all), more of them near its slope than further off
    on both sides: a poor student spreads its slopes evenly, a unit puts them in one place. In a group of less than
    half, each structure's cosine must be one that chance reaches once in a thousand.

    Args:
        slopes: (S,) labelled over predicted forces, by least squares over each structure.
        cosines: (S,) of the angle between both, over all components of a structure.
        n_atoms: (S,) the sizes of the structures.

    Returns:
        Each unit with the mask (S,) of its structures.
    """
    degrees_of_freedom = np.maximum(3 * n_atoms - 6, 1)
    significant = np.sqrt(scipy.stats.beta.isf(0.002, 0.5, np.maximum(degrees_of_freedom - 1, 0.1) / 2))
    left, found = np.ones(len(slopes), dtype=bool), []
    with np.errstate(divide="ignore"):
        logarithms = np.log(np.abs(slopes))
    while left.any():
        best = _largest(logarithms, slopes, cosines, left)
        if best is None or 2 * best[1].sum() < len(slopes):
            best = _largest(logarithms, slopes, np.where(np.abs(cosines) > significant, cosines, 0.0), left)
        if best is None:
            break
        found.append(best)
        left &= ~best[1]
    return found


def _largest(
    logarithms: np.ndarray, slopes: np.ndarray, cosines: np.ndarray, left: np.ndarray
) -> tuple[Unit, np.ndarray] | None:
    """The unit of most structures that are ``left`` (S,) bool, with the mask (S,) of them; None if there is none."""
    best: tuple[Unit, np.ndarray] | None = None
    for unit in FORCES:
        near, beside = _near(unit, logarithms, slopes, cosines, left)
        if _is_group(unit, logarithms, near, beside) and (best is None or near.sum() > best[1].sum()):
            best = unit, near
    if best is None or best[0] is EV_PER_A:
        return best
    middle = float(np.median(logarithms[best[1]]))
    alike = [unit for unit in FORCES if unit.factor * best[0].factor > 0]
    return min(alike, key=lambda unit: abs(np.log(abs(unit.factor)) - middle)), best[1]


def _near(
    unit: Unit, logarithms: np.ndarray, slopes: np.ndarray, cosines: np.ndarray, left: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The structures (S,) bool whose slopes are near a unit's, and those that are a little further off."""
    sign, center = np.sign(unit.factor), np.log(abs(unit.factor))
    least = 0.5 if unit is EV_PER_A else 0.8 if sign < 0 or abs(center) > 1.5 else 0.95
    alike = left & (slopes * sign > 0) & (cosines * sign > least)
    distance = np.abs(logarithms - center)
    return alike & (distance < unit.width), alike & (distance >= unit.width) & (distance < 3 * unit.width)


def _is_group(unit: Unit, logarithms: np.ndarray, near: np.ndarray, beside: np.ndarray) -> bool:
    count = int(near.sum())
    if unit is EV_PER_A:
        return count > 0
    centered = count and abs(np.median(logarithms[near | beside]) - np.log(abs(unit.factor))) < 0.6 * unit.width
    return bool(centered) and count > int(beside.sum()) and (count >= MANY or count == len(near))
