"""A structure, and a batch of structures as tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from typing import Any, TypeVar

import ase
import numpy as np
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from torch import Tensor

from assay.runtime.charges import (
    CHARGES,
    MULTIPLICITIES,
    ROUNDING,
    SPINS,
    is_whole,
    numbers_in,
    summed_charge_and_spin,
)
from assay.workflow.errors import AssayError

Item = TypeVar("Item")

NO_FORCES_eV_per_A = 1e-4  # labelled forces with a smaller root mean square are none to compare with


@dataclass(frozen=True)
class Structure:
    """Atoms in space, with their labels where they are known.

    Attributes:
        name: the name that reports show.
        atomic_numbers: (N,) int64.
        positions: (N, 3) float64, angstrom.
        cell: (3, 3) float64, angstrom, lattice vectors in rows; None for an isolated structure.
        pbc: (3,) bool, whether the structure repeats along each lattice vector.
        energy_eV: the labelled energy; None if unknown.
        forces_eV_per_A: (N, 3) float64, the labelled forces; None if unknown.
        stress_eV_per_A3: (3, 3) float64, the labelled stress, dE/d(strain) per volume as in ASE: positive where the
            structure would contract; None if unknown.
        molecule: the identity of the molecule, by which data is split; "" if unknown.
        charge: the total charge in units of the elementary charge; None if it is not told.
        spin: the multiplicity 2S + 1; None if it is not told.
    """

    name: str
    atomic_numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None = None
    pbc: np.ndarray = field(default_factory=lambda: np.zeros(3, dtype=bool))
    energy_eV: float | None = None
    forces_eV_per_A: np.ndarray | None = None
    molecule: str = ""
    stress_eV_per_A3: np.ndarray | None = None
    charge: int | None = None
    spin: int | None = None

    def __len__(self) -> int:
        return len(self.atomic_numbers)

    @property
    def volume_A3(self) -> float:
        """The volume of the cell, angstrom^3; zero without one."""
        return 0.0 if self.cell is None else abs(float(np.linalg.det(self.cell)))

    @property
    def state_spin(self) -> int | None:
        """The multiplicity, where it is a state of its own: the moments of a periodic cell fluctuate, and add up to
        another one in a cell of another size, so that they are none.
        """
        return None if self.pbc.any() else self.spin

    @classmethod
    def from_ase(cls, atoms: ase.Atoms, name: str = "", molecule: str = "") -> Structure:
        """Copy an ``ase.Atoms``. Labels come from the stored results of its calculator and are never computed.

        Charge and spin are ``charge`` and ``spin`` of ``atoms.info``, or else what its initial charges and magnetic
        moments add up to.

        Raises:
            AssayError: a charge or a spin is not whole, or two of them differ.
        """
        results = atoms.calc.results if atoms.calc is not None else {}
        given = atoms.info.get("name", "")  # which a file may give as a number
        name = name or str(given) or atoms.get_chemical_formula()
        charge, spin = told_charge_and_spin(atoms.info, atoms.arrays, name)
        energy, forces, stress = results.get("energy"), results.get("forces"), results.get("stress")
        return cls(
            name=name,
            atomic_numbers=atoms.numbers.astype(np.int64),
            positions=atoms.positions.astype(np.float64),
            cell=np.array(atoms.cell, dtype=np.float64) if atoms.cell.rank else None,
            pbc=atoms.pbc.copy(),
            energy_eV=None if energy is None else float(energy),
            forces_eV_per_A=None if forces is None else np.array(forces, dtype=np.float64),
            molecule=molecule or str(atoms.info.get("molecule", "")),
            stress_eV_per_A3=None if stress is None or not atoms.cell.rank else full_stress(stress),
            charge=charge,
            spin=spin,
        )

    def to_ase(self) -> ase.Atoms:
        """Copy to an ``ase.Atoms``, with the labels, if there are any, in a ``SinglePointCalculator``."""
        atoms = ase.Atoms(self.atomic_numbers, self.positions, cell=self.cell, pbc=self.pbc)
        told = {"molecule": self.molecule or None, "charge": self.charge, "spin": self.spin}
        atoms.info.update({"name": self.name} | {key: value for key, value in told.items() if value is not None})
        stress = None if self.stress_eV_per_A3 is None else full_3x3_to_voigt_6_stress(self.stress_eV_per_A3)
        labels = {"energy": self.energy_eV, "forces": self.forces_eV_per_A, "stress": stress}
        known = {key: value for key, value in labels.items() if value is not None}
        if known:
            atoms.calc = SinglePointCalculator(atoms, **known)
        return atoms


def full_stress(values: np.ndarray) -> np.ndarray:
    """A stress (3, 3), float64, of nine numbers, or of six in the order xx, yy, zz, yz, xz, xy (Voigt)."""
    values = np.asarray(values, dtype=np.float64).ravel()
    return voigt_6_to_full_3x3_stress(values) if values.size == 6 else values.reshape(3, 3)


def tells_charge_or_spin(name: str) -> bool:
    """Whether a number of this name is the total charge or the multiplicity of a structure."""
    return name.lower() in (*CHARGES, *MULTIPLICITIES, *SPINS)


def told_charge_and_spin(
    info: Mapping[str, Any], arrays: Mapping[str, Any], where: str
) -> tuple[int | None, int | None]:
    """The total charge and the multiplicity that a file or an ``ase.Atoms`` tells of a structure; None if it does not.

    Args:
        info: what is said of the structure as a whole: ``charge`` and its synonyms, and ``multiplicity`` or ``spin``
            and their synonyms, in small or capital letters; see ``tells_charge_or_spin``. Beside a multiplicity 2S + 1
            a spin may be S or 2S.
        arrays: what is said of each atom (N,), which counts where no total is told; see ``summed_charge_and_spin``.
        where: how errors name the structure.

    Raises:
        AssayError: a total is not whole, or two of them differ.
    """
    charge, spin = summed_charge_and_spin(arrays)
    total, multiplicity = _total(numbers_in(info, CHARGES), "total charge", where), _multiplicity(info, where)
    return charge if total is None else total, spin if multiplicity is None else multiplicity


def _total(told: Mapping[str, float], what: str, where: str) -> int | None:
    """The whole number that is told; others beside it, such as sums of partial charges, say nothing."""
    whole = {name: round(number) for name, number in told.items() if is_whole(number)}
    if told and not whole:
        name, number = next(iter(told.items()))
        raise AssayError(f"{where} has `{name}` {number:g}, but a {what} is a whole number: correct it")
    for (name, total), (other, its) in pairwise(whole.items()):
        if total != its:
            raise _differ(name, total, other, its, where)
    return next(iter(whole.values()), None)


def _multiplicity(info: Mapping[str, Any], where: str) -> int | None:
    """The multiplicity 2S + 1, beside which a spin may be S or 2S; zero and less tell nothing."""
    told, spins = (
        {name: number for name, number in numbers_in(info, names).items() if abs(number) > ROUNDING}
        for names in (MULTIPLICITIES, SPINS)
    )
    total = _total(told or spins, "multiplicity", where)
    if total is None or total < 0:
        return None
    for name, spin in spins.items() if told else ():
        if min(abs(abs(spin) - alike) for alike in (total, total - 1, (total - 1) / 2)) > ROUNDING:
            raise _differ(next(iter(told)), total, name, spin, where)
    return total


def _differ(name: str, number: float, other: str, its: float, where: str) -> AssayError:
    return AssayError(f"{where} has `{name}` {number:g} and `{other}` {its:g}, which differ: leave one of them out")


def symbols_of(atomic_numbers: Iterable[int]) -> str:
    """The symbols of elements in words, by rising atomic number; a number stands for itself where no element has it."""
    return ", ".join(chemical_symbols[z] if z < len(chemical_symbols) else str(z) for z in sorted(atomic_numbers))


def knows(elements: Sequence[str] | None, structure: Structure) -> bool:
    """Whether a structure holds only these elements, which are symbols; None allows all."""
    return elements is None or {chemical_symbols[z] for z in structure.atomic_numbers}.issubset(elements)


def open_molecules(structures: Iterable[Structure]) -> list[Structure]:
    """The open structures of more than one atom: an isolated atom has no neighbors and shows nothing of a network."""
    return [structure for structure in structures if len(structure) > 1 and not structure.pbc.any()]


def nearest_in_size(structures: Sequence[Structure], n_atoms: int) -> list[Structure]:
    """Sort structures by how near their size is to ``n_atoms``, and equally near ones by name."""
    return sorted(structures, key=lambda structure: (abs(len(structure) - n_atoms), structure.name))


def batch_of_size(structures: Sequence[Structure], n_atoms: int, count: int) -> list[Structure]:
    """A batch of ``count`` structures whose size is nearest to ``n_atoms``, repeated where there are too few."""
    return list(islice(cycle(nearest_in_size(structures, n_atoms)), count))


def typical_batch(structures: Sequence[Structure], count: int) -> list[Structure]:
    """A batch of ``count`` structures of about the median size, repeated where there are too few."""
    return batch_of_size(structures, sorted(map(len, structures))[len(structures) // 2], count)


def molecule_numbers(molecules: Iterable[str]) -> np.ndarray:
    """(S,) int64, the number of each structure's molecule, in the order in which they first occur.

    Args:
        molecules: the name of each structure's molecule; one without a name, "", stands for itself.
    """
    numbers: dict[str | int, int] = {}
    found = [numbers.setdefault(str(name) or k, len(numbers)) for k, name in enumerate(molecules)]
    return np.array(found, dtype=np.int64)


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Pick ``count`` evenly spaced items, the first and the last among them; all where there are fewer."""
    picked = np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))
    return [items[k] for k in picked] if items else []


def atomic_numbers(structures: Iterable[Structure]) -> set[int]:
    """The atomic numbers that occur in any of the structures."""
    return {int(z) for structure in structures for z in structure.atomic_numbers}


def covering(structures: Sequence[Structure], elements: Collection[int], least: int = 0) -> list[Structure]:
    """Pick structures that together hold each element that occurs in any: for each, the rarest one first, the first
    structure with it, unless one with it was picked; then the first others. The order stays.

    Args:
        structures: to pick from.
        elements: the atomic numbers that are looked for.
        least: how many are picked at least, as far as there are so many.
    """
    held = [set(structure.atomic_numbers.tolist()) for structure in structures]
    counts = Counter(z for numbers in held for z in numbers.intersection(elements))
    picked: set[int] = set()
    for z in sorted(counts, key=lambda z: (counts[z], z)):
        holders = [k for k, numbers in enumerate(held) if z in numbers]
        if picked.isdisjoint(holders):
            picked.add(holders[0])
    others = [k for k in range(len(structures)) if k not in picked]
    return [structures[k] for k in sorted(picked.union(others[: max(0, least - len(picked))]))]


def cells_of(structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray]:
    """The lattice vectors of structures and the axes along which they repeat.

    Returns:
        cells float64 (S, 3, 3), vectors in rows, angstrom, zeros of a structure without a cell; pbc bool (S, 3).
    """
    cells = np.array([np.zeros((3, 3)) if s.cell is None else s.cell for s in structures], dtype=np.float64)
    return cells.reshape(-1, 3, 3), np.array([s.pbc for s in structures], dtype=bool).reshape(-1, 3)


def collate(
    structures: Sequence[Structure],
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor, Tensor]:
    """Concatenate structures to one batch of tensors.

    Returns:
        atomic_numbers (N,) int64; positions (N, 3) ``dtype``, angstrom; batch (N,) int64, the structure of each atom.
    """
    numbers = np.concatenate([structure.atomic_numbers for structure in structures])
    positions = np.concatenate([structure.positions for structure in structures])
    batch = np.repeat(np.arange(len(structures)), [len(structure) for structure in structures])
    return (
        torch.as_tensor(numbers, dtype=torch.int64, device=device),
        torch.as_tensor(positions, dtype=dtype, device=device),
        torch.as_tensor(batch, dtype=torch.int64, device=device),
    )
