"""Labels of a teacher that are kept as they come, and found again by the atoms that they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.data.dataset import Dataset, from_structures
from assay.data.store import StoredDataset, StoreWriter
from assay.structures.structure import Structure


class KeptLabels:
    """Labels of one teacher in small files of a folder, which several jobs may write to.

    A structure is known by its atoms, cell, charge and spin, wherever it stands in a file and whatever it is called.

    Args:
        folder: the folder.
        teacher: all that the labels rest on, see ``Teacher.identity``.
    """

    def __init__(self, folder: Path, teacher: Mapping[str, Any]):
        self._stem = folder / _sha256(json.dumps(teacher, sort_keys=True).encode())
        self._places: dict[str, tuple[Path, int]] = {}
        self._open: tuple[Path, Dataset] | None = None
        for path in sorted(folder.glob(f"{self._stem.name}-*.h5")):
            self._note(path)

    def __contains__(self, structure: Structure) -> bool:
        return _digest(structure) in self._places

    def add(self, labelled: Sequence[Structure]) -> None:
        """Keep labelled structures in a file of their own; none make no file."""
        if not labelled:
            return
        names = [_digest(structure) for structure in labelled]
        path = self._stem.with_name(f"{self._stem.name}-{_sha256(' '.join(names).encode())}.h5")
        kept = [replace(structure, name=name, molecule="") for structure, name in zip(labelled, names, strict=True)]
        with StoreWriter(path, rows=len(kept)) as file:
            file.add(from_structures(kept))
        self._note(path)

    def label(self, structure: Structure) -> Structure:
        """The structure with its labels, which are kept."""
        path, row = self._places[_digest(structure)]
        kept = self._read(path)[row]
        return replace(
            structure,
            energy_eV=kept.energy_eV,
            forces_eV_per_A=kept.forces_eV_per_A,
            stress_eV_per_A3=kept.stress_eV_per_A3,
        )

    def _note(self, path: Path) -> None:
        self._places |= {str(name): (path, row) for row, name in enumerate(self._read(path).names)}

    def _read(self, path: Path) -> Dataset:
        if self._open is None or self._open[0] != path:
            stored = StoredDataset(path)
            self._open = path, stored.subset(np.arange(len(stored)))
        return self._open[1]


def _digest(structure: Structure) -> str:
    """What a structure is known by."""
    arrays = (structure.atomic_numbers, structure.positions, structure.cell, structure.pbc)
    parts = [b"" if array is None else np.ascontiguousarray(array).tobytes() for array in arrays]
    return _sha256(b"".join(parts) + f"{structure.charge} {structure.spin}".encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]
