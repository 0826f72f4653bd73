"""Labelled structures in a file that is written piece by piece and read as it is needed, for any number of structures.

The file has the layout of ``hdf5`` in eV and angstrom, uncompressed and in chunks, so that every reader of labelled
files reads it too. Positions and forces are float32, all other numbers float64. Names have 64 bytes each, or as many as
they need where one is longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from assay.data.dataset import Dataset, content_digest
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path

CHUNK = 1024  # rows that lie together in a file
BLOCK = 2000  # structures that are in memory at once while all are gone through
GAP, WINDOW = 4 * CHUNK, 64 * CHUNK  # rows that are read along rather than skipped, and rows that are read at once
OF_RARE = 20  # structures of each element that a sample would have missed
IN_MEMORY_ATOMS = 10_000_000  # up to so many atoms a training keeps all structures and their neighbors in memory

_NUMBERS = "structures/atomic_numbers"
_SPLITS = "structures/atomic_numbers_splits"
_WIDTH = 64
_TEXT = f"S{_WIDTH}"
# The columns by their name in the file: the attribute of a dataset, shape of a row, type, and unit.
_PER_ATOM: dict[str, tuple[str, tuple[int, ...], Any, str]] = {
    _NUMBERS: ("atomic_numbers", (), "u1", ""),
    "structures/positions": ("positions", (3,), "f4", "angstrom"),
    "labels/forces": ("forces", (3,), "f4", "eV/angstrom"),
}
_PER_STRUCTURE: dict[str, tuple[str, tuple[int, ...], Any, str]] = {
    "structures/cells": ("cells", (3, 3), "f8", "angstrom"),
    "structures/pbc": ("pbc", (3,), "?", ""),
    "structures/names": ("names", (), _TEXT, ""),
    "structures/molecules": ("molecules", (), _TEXT, ""),
    "labels/energy": ("energy", (), "f8", "eV"),
    "labels/stress": ("stress", (3, 3), "f8", "eV/angstrom^3"),
    "labels/charge": ("charge", (), "f8", ""),
    "labels/spin": ("spin", (), "f8", ""),
}
_OPTIONAL = ("stress", "charge", "spin")  # columns that are NaN where a structure has none


class StoreWriter:
    """Writes structures to a file, which is complete or absent: ``with StoreWriter(path) as store: store.add(part)``.

    Args:
        path: the file.
        rows: rows that lie together in it; fewer make a file of few structures smaller.
    """

    def __init__(self, path: str | Path, rows: int = CHUNK):
        self.path, self.rows = Path(path), rows
        self._stack = ExitStack()

    def __enter__(self) -> StoreWriter:
        temporary = self._stack.enter_context(atomic_path(self.path))
        self._file = self._stack.enter_context(h5py.File(temporary, "w"))
        for name, (_, shape, dtype, unit) in {**_PER_ATOM, **_PER_STRUCTURE, _SPLITS: ("", (), "i8", "")}.items():
            column = self._file.create_dataset(
                name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(self.rows, *shape)
            )
            if unit:
                column.attrs["unit"] = unit
        _append(self._file[_SPLITS], np.zeros(1, np.int64))
        self._n_atoms = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for name, (attribute, _, _, _) in _PER_STRUCTURE.items():
                if attribute in _OPTIONAL and not any(np.isfinite(part).any() for part in _parts(self._file[name])):
                    del self._file[name]
        self._stack.__exit__(kind, error, trace)

    def add(self, part: Dataset) -> None:
        """Append structures."""
        for name, (attribute, shape, dtype, _) in {**_PER_ATOM, **_PER_STRUCTURE}.items():
            values = getattr(part, attribute)
            if dtype == _TEXT:
                self._append_texts(name, [text.encode() for text in values])
                continue
            if values is None:
                values = np.full((len(part), *shape), np.nan)
            _append(self._file[name], values)
        _append(self._file[_SPLITS], part.offsets[1:] + self._n_atoms)
        self._n_atoms += len(part.atomic_numbers)

    def _append_texts(self, name: str, texts: list[bytes]) -> None:
        """Append to a column of texts, which has no width any more once one of them is longer than it."""
        column = self._file[name]
        if column.dtype.kind == "S" and any(len(text) > _WIDTH for text in texts):
            self._file.move(name, "narrow")
            column = self._file.create_dataset(name, (0,), h5py.string_dtype(), maxshape=(None,), chunks=(self.rows,))
            for part in _parts(self._file["narrow"]):
                _append(column, part.astype(object))
            del self._file["narrow"]
        _append(column, np.array(texts, dtype=_TEXT if column.dtype.kind == "S" else object))


class StoredDataset:
    """The structures of a file that ``StoreWriter`` wrote, read as they are needed.

    What stays in memory is the place of each structure, 8 bytes.

    Attributes:
        path: the file.
        offsets: (S + 1,) int64; structure i owns the atoms offsets[i]:offsets[i + 1].

    Raises:
        AssayError: the file cannot be read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r")
            self.offsets = _whole(self._file[_SPLITS])
        except (OSError, KeyError) as error:
            raise AssayError(f"{path} cannot be read as stored structures ({error}): make it again") from None
        self._present = {name: about for name, about in _PER_STRUCTURE.items() if name in self._file}

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_atoms(self) -> int:
        """The number of atoms of all structures."""
        return int(self.offsets[-1])

    def subset(self, indices: Sequence[int] | np.ndarray) -> Dataset:
        """The structures of ``indices``, in that order; see ``Dataset.subset``."""
        chosen = np.asarray(indices, dtype=np.int64)
        sizes = self.offsets[chosen + 1] - self.offsets[chosen]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        atoms = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], sizes)
        columns: dict[str, Any] = {about[0]: self._read(name, atoms) for name, about in _PER_ATOM.items()}
        columns |= {about[0]: self._read(name, chosen) for name, about in self._present.items()}
        return Dataset(offsets=offsets, **columns)

    def _read(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Some rows of a column."""
        column = self._file[name]
        parts = [column[part[0] : part[-1] + 1][part - part[0]] for part in _near_each_other(rows)]
        values = np.concatenate(parts) if parts else column[:0]
        if name == _NUMBERS:
            return values.astype(np.int64)
        if column.dtype.kind in "SO":
            return np.array([value.decode(errors="replace") for value in values], dtype=object)
        return values if column.dtype.kind == "b" else values.astype(np.float64)

    def blocks(self) -> Iterator[Dataset]:
        """All structures, so many at once as memory should hold."""
        for start in range(0, len(self), BLOCK):
            yield self.subset(np.arange(start, min(start + BLOCK, len(self))))

    def sample(self, n: int, seed: int = 0) -> Dataset:
        """So many structures, drawn at random without repetition, in their order; all where there are no more.

        Of each element that none of these holds, the first ``OF_RARE`` structures that do come besides.
        """
        if len(self) <= n:
            return self.subset(np.arange(len(self)))
        chosen = np.sort(np.random.default_rng(seed).choice(len(self), n, replace=False))
        drawn = self.subset(chosen)
        rare = set(self.elements).difference(drawn.atomic_numbers.tolist())
        return self.subset(np.union1d(chosen, self._holding(rare))) if rare else drawn

    def _holding(self, elements: Iterable[int]) -> np.ndarray:
        """The first ``OF_RARE`` structures that hold an element, for each of some, int64."""
        places: dict[int, list[int]] = {z: [] for z in elements}
        first = 0
        for part in _parts(self._file[_NUMBERS]):
            for z, found in places.items():
                atoms = first + np.flatnonzero(part == z)
                found += np.unique(np.searchsorted(self.offsets, atoms, side="right") - 1)[:OF_RARE].tolist()
            first += len(part)
        return np.array([k for found in places.values() for k in found[:OF_RARE]], dtype=np.int64)

    @property
    def has_stress(self) -> bool:
        """Whether some structure has a stress."""
        return "labels/stress" in self._present

    @property
    def elements(self) -> list[int]:
        """The atomic numbers that occur, ascending."""
        found: set[int] = set()
        for part in _parts(self._file[_NUMBERS]):
            found |= set(np.unique(part).tolist())
        return sorted(found)

    def content_sha256(self) -> str:
        """The hash of ``Dataset.content_sha256``."""
        places = {about[0]: name for name, about in {**_PER_ATOM, **_PER_STRUCTURE}.items()} | {"offsets": _SPLITS}
        stress = _parts(self._file[places["stress"]]) if self.has_stress else None
        return content_digest(lambda name: _parts(self._file[places[name]]), stress)


def open_stored(path: str | Path) -> Dataset | StoredDataset:
    """The structures of a file that ``StoreWriter`` wrote, in memory where they are not too many.

    Raises:
        AssayError: the file cannot be read.
    """
    stored = StoredDataset(path)
    return stored.subset(np.arange(len(stored))) if stored.n_atoms <= IN_MEMORY_ATOMS else stored


def in_memory(data: Dataset | StoredDataset, most: int) -> Dataset:
    """A dataset that is in memory as it is, or at most so many structures of one that is not; see ``sample``."""
    return data if isinstance(data, Dataset) else data.sample(most)


def _append(column: h5py.Dataset, values: np.ndarray) -> None:
    start = len(column)
    column.resize(start + len(values), axis=0)
    column[start:] = values


def _parts(column: h5py.Dataset, rows: int = 100 * CHUNK) -> Iterator[np.ndarray]:
    """A column in pieces."""
    return (column[start : start + rows] for start in range(0, len(column), rows))


def _whole(column: h5py.Dataset) -> np.ndarray:
    """A column in memory. At one go HDF5 would take as much again for the places of its chunks."""
    values = np.empty(column.shape, column.dtype)
    for start, part in zip(range(0, len(column), WINDOW), _parts(column, WINDOW), strict=True):
        values[start : start + WINDOW] = part
    return values


def _near_each_other(rows: np.ndarray) -> list[np.ndarray]:
    """Rows in parts that ascend within one window, none of them empty."""
    apart = np.diff(rows)
    breaks = (apart < 0) | (apart > GAP) | (np.diff(rows // WINDOW) != 0)
    return np.split(rows, np.flatnonzero(breaks) + 1) if len(rows) else []
