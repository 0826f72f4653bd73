"""What a student was taught, and what of a structure lies outside of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms

from .charges import (
    CHARGES,
    MULTIPLICITIES,
    ROUNDING,
    SPINS,
    is_whole,
    lowest_spin,
    number_in,
    numbers_in,
    summed_charge_and_spin,
    told_by,
)

RADIUS_A = 5.0  # of the sphere in which neighbors are counted
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
        found = {}
        for kind, words in zip(("charge", "spin"), unread(atoms), strict=True):
            if words:
                found[kind] = f"its {kind} {words} is ignored, because it cannot be read as a number"
        values = values_outside(self.record, atoms.numbers, atoms.pbc, *charge_and_spin(atoms), neighbors)
        known = {name: self.record.get(name) for name in ("n_atoms", "neighbors")}
        return found | {kind: _SENTENCES[kind].format(value, **known) for kind, value in values.items()}


_SENTENCES = {
    "charge": "its charge of {:+.9g} is ignored, because the student knows no charges",
    "spin": "its multiplicity of {:.9g} is ignored, because the student knows no spins",
    "periodicity": "it repeats along {} axes, as no training data did",
    "size": "it has {} atoms, and the training data had at most {n_atoms[1]}",
    "density": "an atom has {:.0f} neighbors, and in the training data at most {neighbors[1]:.0f}",
}


def values_outside(
    record: Mapping[str, Any],
    numbers: np.ndarray,
    pbc: np.ndarray,
    charge: float | None,
    spin: float | None,
    neighbors: float | None,
) -> dict[str, float]:
    """What of a structure lies outside of a scope: by kind, the charge, multiplicity, number of periodic axes, number
    of atoms, and mean number of neighbors that do.

    Args:
        record: as ``Scope`` takes it.
        numbers: (N,) int, atomic numbers.
        pbc: (3,) bool, which axes are periodic.
        charge, spin: the total charge and the multiplicity that it names; None for what it does not name. What it names
            lies outside wherever not all training data had just that, since the student ignores it. A multiplicity of
            a periodic structure counts as none: magnetic moments add up to another one in a cell of another size.
        neighbors: the mean number of atoms within ``RADIUS_A`` of an atom; None if it is not known.
    """
    found: dict[str, float] = {}
    charges, spins = record.get("charges") or (0,), record.get("spins") or (1,)
    if charge is not None and (charge not in charges or len(charges) > 1):
        found["charge"] = charge
    own = spin = None if pbc.any() else spin
    if record.get("spins") and spin is None and not pbc.any():
        own = lowest_spin(numbers, charge or 0)
    if own is not None and (own not in spins or (spin is not None and len(spins) > 1)):
        found["spin"] = own
    axes, n_atoms, dense = (record.get(key) for key in ("axes", "n_atoms", "neighbors"))
    if axes is not None and int(pbc.sum()) not in axes:
        found["periodicity"] = int(pbc.sum())
    if n_atoms is not None and len(numbers) > n_atoms[1]:
        found["size"] = len(numbers)
    if neighbors is not None and dense is not None and neighbors > DENSER * dense[1]:
        found["density"] = neighbors
    return found


def charge_and_spin(atoms: Atoms) -> tuple[float | None, float | None]:
    """The total charge and the multiplicity that a structure names; None for what it does not name.

    They are what stands under the names of ``CHARGES``, ``MULTIPLICITIES`` and ``SPINS`` in ``atoms.info``, in small or
    capital letters, or else what ``summed_charge_and_spin`` says. What ``atoms.info`` names is as it stands, but for
    rounding: 0.4 is not neutral. A multiplicity counts before a spin, which may be S or 2S, and zero is none.
    """
    sums = summed_charge_and_spin(atoms.arrays)
    charge = _first(atoms.info, CHARGES, sums[0])
    spin = _first(atoms.info, (*MULTIPLICITIES, *SPINS), sums[1], lowest=ROUNDING)
    return charge, spin if spin is None or spin > 0 else None


def unread(atoms: Atoms) -> tuple[str, str]:
    """What stands in ``atoms.info`` for the charge and the multiplicity and is no number; empty where nothing is."""
    return _unread(atoms.info, CHARGES), _unread(atoms.info, (*MULTIPLICITIES, *SPINS))


def _first(info: Mapping[str, Any], names: Sequence[str], otherwise: float | None, lowest: float = 0.0) -> float | None:
    """The first number under these names whose size is not below ``lowest``; one that is nearly whole, which is
    then rounded, goes before partial charges.
    """
    told = [number for number in numbers_in(info, names).values() if abs(number) >= lowest]
    number = next(iter([*filter(is_whole, told)] or told), otherwise)
    return round(number) if number is not None and is_whole(number) else number


def _unread(info: Mapping[str, Any], names: Sequence[str]) -> str:
    """What stands under these names, if none of it is a number; empty if one is, or nothing does."""
    told = [*told_by(info, names).values()]
    return "" if any(number_in(value) is not None for value in told) else f"{told[0]!r:.40}" if told else ""
