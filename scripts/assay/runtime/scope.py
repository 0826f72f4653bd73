"""What a student was taught, and what of a structure lies outside of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms

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
            atoms: the structure; its total charge and multiplicity are ``charge`` and ``spin`` of ``atoms.info``, or
                else the sums of its initial charges and magnetic moments.
            neighbors: the mean number of atoms within 5 angstrom of an atom; None if it is not known.
        """
        charges, spins, axes, n_atoms, dense = (
            self.record.get(key) for key in ("charges", "spins", "axes", "n_atoms", "neighbors")
        )
        found = {}
        charge, spin = charge_and_spin(atoms)
        if charge is not None and (charge not in (charges or [0]) or len(charges or [0]) > 1):
            found["charge"] = f"its charge of {charge:+d} is ignored, because the student knows no charges"
        if spin is not None and (spin not in (spins or [1]) or len(spins or [1]) > 1):
            found["spin"] = f"its multiplicity of {spin} is ignored, because the student knows no spins"
        if axes is not None and int(atoms.pbc.sum()) not in axes:
            found["periodicity"] = f"it repeats along {int(atoms.pbc.sum())} axes, as no training data did"
        if n_atoms is not None and len(atoms) > n_atoms[1]:
            found["size"] = f"it has {len(atoms)} atoms, and the training data had at most {n_atoms[1]}"
        if neighbors is not None and dense is not None and neighbors > DENSER * dense[1]:
            found["density"] = f"an atom has {neighbors:.0f} neighbors, and in the training data at most {dense[1]:.0f}"
        return found


def charge_and_spin(atoms: Atoms) -> tuple[int | None, int | None]:
    """The total charge and the multiplicity that a structure names; None for what it does not name."""
    unpaired = _sum_of(atoms, "initial_magmoms")
    charge = atoms.info.get("charge", _sum_of(atoms, "initial_charges"))
    spin = atoms.info.get("spin", None if unpaired is None else abs(unpaired) + 1)
    return _whole(charge), _whole(spin)


def _sum_of(atoms: Atoms, name: str) -> float | None:
    values = atoms.arrays.get(name)
    return None if values is None or values.ndim != 1 else float(np.sum(values))


def _whole(value: Any) -> int | None:
    try:
        return round(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
