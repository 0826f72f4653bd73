"""What a student was taught: the elements, charges, spins, periodicity, sizes and densities of its training data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols

from assay.data.dataset import Dataset
from assay.neighbors.lists import neighbor_list
from assay.runtime.charges import lowest_spin
from assay.runtime.scope import RADIUS_A, values_outside
from assay.structures.batching import pack_structures
from assay.structures.structure import Structure, cells_of, collate
from assay.workflow.errors import listing

RARE = 0.01  # a charge or spin of a smaller share of the structures is not in scope


@dataclass(frozen=True)
class Scope:
    """What a student was taught; None stands for what is not known.

    Attributes:
        elements: symbols, by atomic number.
        charges: total charges, ascending; a structure that names none counts as neutral.
        spins: multiplicities of molecules, ascending; one that names none counts as the lowest that its electrons
            allow.
        axes: numbers of periodic axes, ascending: 0 for molecules, 3 for liquids and crystals.
        n_atoms: the smallest and the largest number of atoms.
        neighbors: the smallest and the largest mean number of atoms within 5 angstrom of an atom of a structure.
        n_structures: number of the structures that say so.
        reason: why the rest is not known; empty if it is.
    """

    elements: tuple[str, ...] | None = None
    charges: tuple[int, ...] | None = None
    spins: tuple[int, ...] | None = None
    axes: tuple[int, ...] | None = None
    n_atoms: tuple[int, int] | None = None
    neighbors: tuple[float, float] | None = None
    n_structures: int | None = None
    reason: str = ""

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> Scope:
        """Read what ``record`` wrote; nothing is known without it or where it is something else."""
        if not isinstance(record, Mapping):
            return cls(reason="the file does not say what it was trained on")
        known: dict[str, Any] = {}
        for name in (field.name for field in fields(cls) if field.name in record):
            known[name] = tuple(record[name]) if isinstance(record[name], list | tuple) else record[name]
        return cls(**known)

    @property
    def known(self) -> bool:
        """Whether more than the elements is known."""
        return self.axes is not None

    @property
    def taught(self) -> dict[str, Any]:
        """What is known alone, equal for every file that tells the same."""
        return {name: value for name, value in asdict(self).items() if name != "reason"}

    @property
    def record(self) -> dict[str, Any]:
        """What JSON files and exported files say of the scope."""
        return asdict(self) | {"sentence": self.sentence}

    @property
    def sentence(self) -> str:
        """What the student is meant for, as in "neutral, closed-shell molecules of H and O, up to 9 atoms"."""
        named = f" of {listing(self.elements)}" if self.elements else ""
        if self.axes is None or self.n_atoms is None:
            return f"structures{named} like its training data, which are unknown: {self.reason or 'nothing tells'}"
        kind = listing([name for axes, name in _KINDS if axes in self.axes])
        adjectives = ["neutral"] * (self.charges == (0,)) + ["closed-shell"] * (self.spins == (1,))
        told = []
        if not {0}.issuperset(self.charges or ()):
            told.append(f"with charges {listing([f'{charge:+d}' for charge in self.charges or ()])}")
        if not {1}.issuperset(self.spins or ()):
            told.append(f"with multiplicities {listing([str(spin) for spin in self.spins or ()])}")
        missing = "; no liquids, no crystals" if 3 not in self.axes else ""
        molecules = "" if 0 in self.axes else "; no lone molecules"
        words = " ".join(filter(None, (", ".join(adjectives), kind)))
        return f"{', '.join([words + named, *told])}, up to {self.n_atoms[1]:,} atoms{missing}{molecules}"

    def with_outside(self, n_outside: int, n_structures: int) -> str:
        """``sentence`` and how many of so many structures lie outside; that none does only where enough is known."""
        if n_outside:
            return f"{self.sentence}; {n_outside} of {n_structures} structures lie outside of it"
        return f"{self.sentence}; no structure lies outside of it" if self.known else self.sentence

    def outside(self, structure: Structure) -> dict[str, str]:
        """What of a structure lies outside of the scope: a sentence for each kind, "elements", "charge", "spin",
        "periodicity", "size" and "density".

        A charge or spin that is not taught is said wherever the structure names one, since the model ignores it.
        """
        found = {}
        symbols = {chemical_symbols[z] for z in structure.atomic_numbers.tolist()}
        if self.elements is not None and (new := sorted(symbols.difference(self.elements))):
            found["elements"] = f"it holds {listing(new)}, which it was not trained on"
        dense = None if self.neighbors is None or not len(structure) else float(neighbor_means([structure])[0])
        values = values_outside(
            vars(self), structure.atomic_numbers, structure.pbc, structure.charge, structure.spin, dense
        )
        taught = listing([name for number, name in _KINDS if number in (self.axes or ())])
        known = {"taught": taught, "n_atoms": self.n_atoms, "neighbors": self.neighbors, "radius": RADIUS_A}
        return found | {kind: _SENTENCES[kind].format(value, **known) for kind, value in values.items()}


_KINDS = ((0, "molecules"), (1, "wires"), (2, "slabs"), (3, "periodic structures"))
_SENTENCES = {
    "charge": "its charge of {:+d} is ignored: the model knows no charges and spins",
    "spin": "its multiplicity of {} is ignored: the model knows no charges and spins",
    "periodicity": "it repeats along {} axes, and its training data were {taught}",
    "size": "it has {:,} atoms, and its training data at most {n_atoms[1]:,}",
    "density": "it has {:.0f} neighbors within {radius:g} angstrom of an atom on average, "
    "and its training data at most {neighbors[1]:.0f}",
}


def charge_and_spin(structure: Structure) -> tuple[int, int | None]:
    """The total charge and the multiplicity of a structure: those that it names, else zero and the lowest that its
    electrons allow. The multiplicity of a periodic one is None: a metal has no other spin with an odd number of
    electrons in a cell, and a magnet no other one in a larger cell.
    """
    charge = structure.charge or 0
    lowest = None if structure.pbc.any() else lowest_spin(structure.atomic_numbers, charge)
    return charge, structure.state_spin or lowest


def neighbor_means(structures: Sequence[Structure]) -> np.ndarray:
    """(S,) the mean number of atoms within 5 angstrom of an atom of each structure, periodic images included."""
    means = np.zeros(len(structures))
    for packed in pack_structures(structures, RADIUS_A):
        here = [structures[k] for k in packed]
        _, positions, batch = collate(here, dtype=torch.float64)
        edges, _ = neighbor_list(positions, batch, RADIUS_A, *cells_of(here))
        counts = np.bincount(batch.numpy()[edges[1].numpy()], minlength=len(here))
        means[packed] = counts / np.array([len(structure) for structure in here])
    return means


def scope_of(dataset: Dataset) -> Scope:
    """The scope of a student that learns from these structures."""
    structures = list(dataset)
    pairs = [charge_and_spin(structure) for structure in structures]
    spins = [spin for _, spin in pairs if spin is not None]
    means, sizes = neighbor_means(structures), dataset.sizes
    return Scope(
        elements=tuple(chemical_symbols[z] for z in dataset.elements),
        charges=_usual([charge for charge, _ in pairs]),
        spins=_usual(spins) if spins else None,
        axes=tuple(np.unique(dataset.pbc.sum(axis=1)).tolist()),
        n_atoms=(int(sizes.min()), int(sizes.max())),
        neighbors=(round(float(means.min()), 1), round(float(means.max()), 1)),
        n_structures=len(dataset),
    )


def count_outside(scope: Scope, structures: Iterable[Structure]) -> dict[str, Any]:
    """Count the structures that lie outside of a scope.

    Returns:
        ``n_outside``; ``by_kind``, how many for each kind that ``Scope.outside`` knows; ``first``, for each kind the
        name of the first structure and what is said of it; and ``scope``, the sentence.
    """
    by_kind: Counter[str] = Counter()
    first: dict[str, str] = {}
    n_outside = 0
    for structure in structures:
        found = scope.outside(structure)
        n_outside += bool(found)
        by_kind.update(found.keys())
        for kind, sentence in found.items():
            first.setdefault(kind, f"{structure.name}: {sentence}")
    return {"n_outside": n_outside, "by_kind": dict(by_kind), "first": first, "scope": scope.sentence}


def _usual(values: Sequence[int]) -> tuple[int, ...]:
    """The values that are not rare, ascending."""
    kinds, counts = np.unique(values, return_counts=True)
    return tuple(kinds[counts >= RARE * len(values)].tolist())
