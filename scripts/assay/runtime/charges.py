"""The total charge and the multiplicity of structures: under which names, and in which forms, they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isfinite
from typing import Any

import numpy as np

# What files and packages call them.
CHARGES = ("charge", "total_charge", "net_charge", "molecular_charge", "tot_charge")
MULTIPLICITIES = ("multiplicity", "spin_multiplicity", "mult", "molecular_multiplicity")
SPINS = ("spin", "total_spin")  # a multiplicity, too, unless one stands beside it
OF_ATOMS = ("initial_charges", "formal_charges")  # arrays of charges whose sum is the total
ROUNDING = 1e-3  # of a number that a program meant to be whole, such as a sum of partial charges


def told_by(info: Mapping[Any, Any], names: Sequence[str]) -> dict[str, Any]:
    """What stands under ``names``, in small or capital letters, in the order of ``names``; None counts as nothing."""
    told = [(str(key), value) for key, value in info.items() if str(key).lower() in names and value is not None]
    return dict(sorted(told, key=lambda item: names.index(item[0].lower())))


def numbers_in(info: Mapping[Any, Any], names: Sequence[str]) -> dict[str, float]:
    """The finite numbers among ``told_by``."""
    numbers = ((name, number_in(value)) for name, value in told_by(info, names).items())
    return {name: number for name, number in numbers if number is not None and isfinite(number)}


def is_whole(number: float) -> bool:
    """Whether a charge or a multiplicity is a whole number but for rounding."""
    return abs(number - round(number)) <= ROUNDING


def number_in(value: object) -> float | None:
    """A number, which may stand in an array of its own; None for anything else, such as true and false."""
    if value is None:
        return None
    with suppress(TypeError, ValueError, OverflowError):
        given = np.asarray(value)
        if given.dtype.kind == "b":
            return None
        [number] = given.ravel().astype(np.float64)
        return float(number)
    return None


def summed_charge_and_spin(arrays: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The charge and the multiplicity that values of atoms (N,) add up to; None for what no array tells.

    The charge is the sum of ``initial_charges``, or else of ``formal_charges``; the sum of ``initial_magmoms`` is the
    number of unpaired electrons. Both are rounded, because partial charges add up to whole numbers only about.
    """
    charge, unpaired = _sum_of(arrays, *OF_ATOMS), _sum_of(arrays, "initial_magmoms")
    return None if charge is None else round(charge), None if unpaired is None else round(abs(unpaired) + 1)


def lowest_spin(numbers: np.ndarray, charge: float) -> int:
    """The lowest multiplicity that the electrons of atoms with these atomic numbers (N,) allow."""
    return 1 + (int(numbers.sum()) - round(charge)) % 2


def _sum_of(arrays: Mapping[str, Any], *names: str) -> float | None:
    """The sum over the first array of values of atoms that is there; None if none is, or it is not finite."""
    sums = (float(np.sum(arrays[name])) for name in names if name in arrays and np.ndim(arrays[name]) == 1)
    total = next(sums, None)
    return None if total is None or not isfinite(total) else total
