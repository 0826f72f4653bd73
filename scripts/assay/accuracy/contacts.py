"""How near atoms of two elements come to each other, and how near they came in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols

NUMBERS = 128  # more than there are elements


@dataclass(frozen=True)
class Contacts:
    """Pairs of atoms within a cutoff, each once.

    Attributes:
        atoms: (P,) index of one atom of each pair.
        kinds: (P,) which two elements they are, see ``kinds_of``.
        distances_A: (P,).
    """

    atoms: np.ndarray
    kinds: np.ndarray
    distances_A: np.ndarray


def kinds_of(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A number for two elements, atomic numbers (P,) each, whichever comes first."""
    return np.minimum(one, other) * NUMBERS + np.maximum(one, other)


def elements_of(kinds: Any) -> tuple[Any, Any]:
    """The atomic numbers of both elements, the smaller first: the inverse of ``kinds_of``, for (P,) or for one."""
    return np.divmod(kinds, NUMBERS)


@dataclass(frozen=True)
class Nearest:
    """The shortest distances of each kind of pair, so many of each at most.

    Attributes:
        kinds: (P,) ascending, see ``kinds_of``.
        distances_A: (P,) ascending within a kind.
    """

    kinds: np.ndarray
    distances_A: np.ndarray

    def with_contacts(self, contacts: Contacts, most: int) -> Nearest:
        """The ``most`` shortest distances of each kind, of these and of ``contacts``."""
        kinds = np.concatenate([self.kinds, contacts.kinds])
        distances = np.concatenate([self.distances_A, contacts.distances_A.astype(np.float32)])
        order = np.lexsort((distances, kinds))
        kinds, distances = kinds[order], distances[order]
        kept = np.arange(len(kinds)) - np.searchsorted(kinds, kinds) < most
        return Nearest(kinds[kept], distances[kept])

    def limits_A(self, kinds: np.ndarray, rank: int) -> np.ndarray:
        """(P,) the distance of each of ``kinds`` (P,) that only ``rank`` - 1 pairs fall below; infinite where there are
        not so many pairs.
        """
        known, place = np.append(self.kinds, -1), np.searchsorted(self.kinds, kinds) + rank - 1
        place = place.clip(max=len(self.kinds))
        return np.where(known[place] == kinds, np.append(self.distances_A, np.inf)[place], np.inf)


def none_yet() -> Nearest:
    """No distances of any kind."""
    return Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32))


def contact_in_words(kind: np.integer, limit_A: float, cutoff_A: float) -> str:
    """Two elements that are nearer than ``limit_A``; than the cutoff, if that is infinite."""
    one, other = (chemical_symbols[z] for z in elements_of(kind))
    return f"{one} and {other} nearer than {min(limit_A, cutoff_A):.2f} A"
