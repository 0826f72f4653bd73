"""What a student was taught, and what of a structure lies outside of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import isfinite
from typing import Any

import numpy as np
from ase import Atoms

RADIUS_A = 5.0  # of the sphere in which neighbors are counted
CHARGES = ("charge", "total_charge", "net_charge", "molecular_charge", "tot_charge")  # in ``atoms.info``
SPINS = ("multiplicity", "spin_multiplicity", "mult", "molecular_multiplicity", "spin", "total_spin")
OF_ATOMS = ("initial_charges", "formal_charges")  # in ``atoms.arrays``
ROUNDING = 1e-4  # a charge that is no farther from a whole number is one, such as a sum of partial charges
DENSER = 1.1  # structures with so many times the neighbors are no longer as dense as those that were taught


class Scope:
    """The scope of a student, as its file tells.

    Args:
        record: ``charges``, ``spins``, ``axes`` (numbers of periodic axes), ``n_atoms`` and ``neighbors`` (smallest and
            largest) of the training data, each None where it is not known, and ``sentence``; None if the file tells
            nothing.
    """

    def __init__(self, record: Mapping[str, Any] | None):
        self.record = dict(record or {})

    def __str__(self) -> str:
        return str(self.record.get("sentence") or "what it was trained on, of which its file tells nothing")

    def outside(self, atoms: Atoms, neighbors: float | None = None) -> dict[str, str]:
        """Say what of a structure lies outside of the scope: a sentence for each kind.

        Args:
            atoms: the structure, whose total charge and multiplicity are as ``charge_and_spin`` reads them.
            neighbors: the mean number of atoms within 5 angstrom of an atom; None if it is not known.
        """
        charges, spins, axes, n_atoms, dense = (
            self.record.get(key) for key in ("charges", "spins", "axes", "n_atoms", "neighbors")
        )
        found = {}
        charge, spin = charge_and_spin(atoms)
        own = spin
        if spins and spin is None and not atoms.pbc.any():  # of a molecule, the lowest that its electrons allow
            own = 1 + (int(atoms.numbers.sum()) - round(charge or 0)) % 2
        if charge is not None and (charge not in (charges or [0]) or len(charges or [0]) > 1):
            found["charge"] = f"its charge of {charge:+.9g} is ignored, because the student knows no charges"
        if own is not None and (own not in (spins or [1]) or (spin is not None and len(spins or [1]) > 1)):
            found["spin"] = f"its multiplicity of {own:.9g} is ignored, because the student knows no spins"
        for kind, words in zip(("charge", "spin"), unread(atoms), strict=True):
            if words:
                found.setdefault(kind, f"its {kind} {words} is ignored, because it cannot be read as a number")
        if axes is not None and int(atoms.pbc.sum()) not in axes:
            found["periodicity"] = f"it repeats along {int(atoms.pbc.sum())} axes, as no training data did"
        if n_atoms is not None and len(atoms) > n_atoms[1]:
            found["size"] = f"it has {len(atoms)} atoms, and the training data had at most {n_atoms[1]}"
        if neighbors is not None and dense is not None and neighbors > DENSER * dense[1]:
            found["density"] = f"an atom has {neighbors:.0f} neighbors, and in the training data at most {dense[1]:.0f}"
        return found


def charge_and_spin(atoms: Atoms) -> tuple[float | None, float | None]:
    """The total charge and the multiplicity that a structure names; None for what it does not name.

    They are what stands under the names of ``CHARGES`` and ``SPINS`` in ``atoms.info``, in small or capital letters, or
    else the sums of its initial or formal charges and of its initial magnetic moments, rounded, because partial charges
    add up to whole numbers only about. What ``atoms.info`` names is as it stands, but for rounding: 0.4 is not neutral.
    A multiplicity counts before a spin, which may be S or 2S, and zero is none.
    """
    info, unpaired = _lower(atoms.info), _sum_of(atoms, "initial_magmoms")
    charge = _first(info, CHARGES, _sum_of(atoms, *OF_ATOMS))
    some = {name: value for name, value in info.items() if _number(value)}
    spin = _first(some, SPINS, None if unpaired is None else abs(unpaired) + 1)
    return charge, spin if spin is None or spin > 0 else None


def unread(atoms: Atoms) -> tuple[str, str]:
    """What stands in ``atoms.info`` for the charge and the multiplicity and is no number; empty where nothing is."""
    info = _lower(atoms.info)
    return _unread(info, CHARGES), _unread(info, SPINS)


def _lower(info: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in info.items()}


def _first(info: Mapping[str, Any], names: Sequence[str], otherwise: float | None) -> float | None:
    """The first finite number under these names, or else ``otherwise``, rounded."""
    for name in names:
        number = _number(info.get(name))
        if number is not None and isfinite(number):
            return round(number) if abs(number - round(number)) < ROUNDING else number
    return None if otherwise is None or not isfinite(otherwise) else round(otherwise)


def _unread(info: Mapping[str, Any], names: Sequence[str]) -> str:
    """What stands under these names, if none of it is a number; empty if one is, or nothing does."""
    told = [info[name] for name in names if info.get(name) is not None]
    return "" if any(_number(value) is not None for value in told) else f"{told[0]!r:.40}" if told else ""


def _number(value: object) -> float | None:
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


def _sum_of(atoms: Atoms, *names: str) -> float | None:
    found = (atoms.arrays[name] for name in names if name in atoms.arrays and atoms.arrays[name].ndim == 1)
    return next((float(np.sum(values)) for values in found), None)
