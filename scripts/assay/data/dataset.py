"""Many structures as columns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.structures.structure import Structure, cells_of, evenly


@dataclass(frozen=True)
class Dataset:
    """S labelled structures of A atoms in total; structure i owns the atoms offsets[i]:offsets[i + 1].

    Attributes:
        atomic_numbers: (A,) int64.
        offsets: (S + 1,) int64.
        positions: (A, 3) float64, angstrom.
        cells: (S, 3, 3) float64, angstrom; zeros where a structure has no cell.
        pbc: (S, 3) bool.
        energy: (S,) float64, eV.
        forces: (A, 3) float64, eV/angstrom.
        names: (S,) str.
        molecules: (S,) str, identity of the molecule; "" if unknown.
        stress: (S, 3, 3) float64, eV/angstrom^3, dE/d(strain) per volume as in ASE: positive where the structure would
            contract; NaN where a structure has none, None where no structure has one.
        numbers: (S,) int64, the place of each structure in the file that it was read from; None without a file.
        charge: (S,) float64, total charge in elementary charges; NaN where it is not told, None where it nowhere is.
        spin: (S,) float64, multiplicity 2S + 1; NaN where it is not told, None where it nowhere is.
        read_as: the units that "energy" ("eV/atom" if it was one per atom), "forces" and "stress" were read in from a
            file; none of what no file told.
    """

    atomic_numbers: np.ndarray
    offsets: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    pbc: np.ndarray
    energy: np.ndarray
    forces: np.ndarray
    names: np.ndarray
    molecules: np.ndarray
    stress: np.ndarray | None = None
    numbers: np.ndarray | None = None
    charge: np.ndarray | None = None
    spin: np.ndarray | None = None
    read_as: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Structure:
        if not -len(self) <= index < len(self):
            raise IndexError(f"structure {index} of {len(self)}")
        index %= len(self)
        atoms = slice(self.offsets[index], self.offsets[index + 1])
        return Structure(
            name=str(self.names[index]),
            atomic_numbers=self.atomic_numbers[atoms],
            positions=self.positions[atoms],
            cell=self.cells[index] if self.cells[index].any() else None,
            pbc=self.pbc[index],
            energy_eV=float(self.energy[index]),
            forces_eV_per_A=self.forces[atoms],
            molecule=str(self.molecules[index]),
            stress_eV_per_A3=self._stress_of(index),
            charge=_told(self.charge, index),
            spin=_told(self.spin, index),
        )

    def _stress_of(self, index: int) -> np.ndarray | None:
        return None if self.stress is None or np.isnan(self.stress[index]).all() else self.stress[index]

    def __iter__(self) -> Iterator[Structure]:
        return (self[index] for index in range(len(self)))

    @property
    def places(self) -> np.ndarray:
        """(S,) int64, the place of each structure in its file; without a file that among these structures."""
        return np.arange(len(self)) if self.numbers is None else self.numbers

    @property
    def sizes(self) -> np.ndarray:
        """(S,) int64, atoms of each structure."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> np.ndarray:
        """(A,) int64, the structure of each atom."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @property
    def elements(self) -> list[int]:
        """The atomic numbers that occur, ascending."""
        return np.unique(self.atomic_numbers).tolist()

    @property
    def has_stress(self) -> bool:
        """Whether some structure has a stress."""
        return self.stress is not None

    def subset(self, indices: Sequence[int] | np.ndarray) -> Dataset:
        """The structures of ``indices``, in that order; indices may repeat, or be a boolean mask."""
        chosen = np.arange(len(self))[indices]
        sizes = self.sizes[chosen]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        atoms = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], sizes)
        return Dataset(
            self.atomic_numbers[atoms],
            offsets,
            self.positions[atoms],
            self.cells[chosen],
            self.pbc[chosen],
            self.energy[chosen],
            self.forces[atoms],
            self.names[chosen],
            self.molecules[chosen],
            *(
                None if column is None else column[chosen]
                for column in (self.stress, self.numbers, self.charge, self.spin)
            ),
            read_as=self.read_as,
        )

    def spaced(self, most: int | None) -> Dataset:
        """At most so many structures, evenly spaced, the first and the last among them; None takes all."""
        return self if most is None else self.subset(evenly(range(len(self)), most))

    def content_sha256(self) -> str:
        """Hexadecimal SHA-256 of what a student learns from, see ``content_digest``."""
        stress = None if self.stress is None or not np.isfinite(self.stress).any() else [self.stress]
        return content_digest(lambda name: [getattr(self, name)], stress)


# Columns of whole numbers, and columns of which a digest covers millionths, in their order.
_COUNTED = ("atomic_numbers", "offsets", "pbc")
_ROUNDED = ("positions", "cells", "energy", "forces")


def content_digest(column: Callable[[str], Iterable[np.ndarray]], stress: Iterable[np.ndarray] | None = None) -> str:
    """Hexadecimal SHA-256 of labelled structures, whatever file format they came in.

    It covers atomic numbers, sizes, cells, periodicity and labels; positions to 1e-6 angstrom, energies to 1e-6 eV,
    forces to 1e-6 eV/angstrom, stresses to 1e-6 eV/angstrom^3; not names. Structures without stress have the digest
    that they had before stresses counted.

    Args:
        column: gives a column of ``Dataset`` by its name, in pieces.
        stress: the pieces of (S, 3, 3), eV/angstrom^3, with NaN where a structure has none; None if none has one.
    """
    digest = hashlib.sha256()
    for name in _COUNTED:
        for part in column(name):
            digest.update(part.astype("<i8").tobytes())
    for name in _ROUNDED:
        for part in column(name):
            digest.update(np.rint(part.astype(np.float64) * 1e6).astype("<i8").tobytes())
    for part in stress or ():
        told = np.isfinite(part)
        digest.update(told.tobytes() + np.rint(np.where(told, part, 0.0) * 1e6).astype("<i8").tobytes())
    return digest.hexdigest()


def from_structures(structures: Sequence[Structure]) -> Dataset:
    """Columns of labelled structures: every one has ``energy_eV`` and ``forces_eV_per_A``."""
    sizes = np.array([len(structure) for structure in structures], dtype=np.int64)
    cells, pbc = cells_of(structures)
    return Dataset(
        atomic_numbers=_stack([s.atomic_numbers for s in structures], (0,), np.int64),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        positions=_stack([s.positions for s in structures], (0, 3), np.float64),
        cells=cells,
        pbc=pbc,
        energy=np.array([s.energy_eV for s in structures], dtype=np.float64),
        forces=_stack([s.forces_eV_per_A for s in structures], (0, 3), np.float64),
        names=np.array([s.name for s in structures], dtype=object),
        molecules=np.array([s.molecule for s in structures], dtype=object),
        stress=_stresses([s.stress_eV_per_A3 for s in structures]),
        charge=_all_told([s.charge for s in structures]),
        spin=_all_told([s.spin for s in structures]),
    )


def concatenate(datasets: Sequence[Dataset]) -> Dataset:
    """One dataset after the other."""
    sizes = np.concatenate([dataset.sizes for dataset in datasets])
    columns = ("atomic_numbers", "positions", "cells", "pbc", "energy", "forces", "names", "molecules")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in datasets]) for name in columns}
    return Dataset(
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        **joined,
        stress=_stresses([dataset._stress_of(index) for dataset in datasets for index in range(len(dataset))]),
        charge=_all_told([_told(dataset.charge, index) for dataset in datasets for index in range(len(dataset))]),
        spin=_all_told([_told(dataset.spin, index) for dataset in datasets for index in range(len(dataset))]),
    )


def _stresses(stresses: Sequence[np.ndarray | None]) -> np.ndarray | None:
    if all(stress is None for stress in stresses):
        return None
    return np.array([np.full((3, 3), np.nan) if stress is None else stress for stress in stresses])


def _told(column: np.ndarray | None, index: int) -> int | None:
    """A whole number of a column that may be absent, or NaN there."""
    return None if column is None or np.isnan(column[index]) else int(column[index])


def _all_told(values: Sequence[int | None]) -> np.ndarray | None:
    """A column (S,) with NaN for None; None if there is nothing else."""
    told = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return told if np.isfinite(told).any() else None


def _stack(parts: Sequence[np.ndarray | None], empty: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.concatenate([np.asarray(part, dtype=dtype) for part in parts]) if parts else np.zeros(empty, dtype)
