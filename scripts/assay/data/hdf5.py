"""The HDF5 layout: columns of structures under ``structures/``, of labels under ``labels/``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from assay.data.dataset import Dataset, from_structures
from assay.data.deepmd_files import DeepmdFile, is_deepmd
from assay.data.frames import Frame, Layout
from assay.data.hdf5_groups import GroupFile, opened, told_of, unit_of
from assay.data.labels import Labels
from assay.data.spellings import PBC, take_periodicity
from assay.data.stated_units import stated_units
from assay.structures.structure import tells_charge_or_spin
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path
from assay.workflow.units import factor

POSITION_STEP = 1e-4  # angstrom
FORCE_STEP = 1e-4  # eV/angstrom

_REQUIRED = ("structures/atomic_numbers", "structures/atomic_numbers_splits", "structures/positions")
_TOLD = {"charge": "charges", "spin": "spins"}  # columns by what they tell
_BLOCK = 500  # structures that are in memory at once


class ColumnFile:
    """The layout; see ``FrameFile``.

    All but atomic numbers, their splits and positions may be absent: ``cells``, ``pbc``, ``names``, ``molecules``,
    ``charges`` and ``spins``, where NaN tells nothing.
    ``atomic_numbers_splits`` holds the S + 1 offsets of structures; the leading 0 and the end may be absent. Numbers
    stored as scaled integers carry their unit step in the attribute ``step``; the attribute ``unit`` is honored.
    """

    def __init__(self, path: Path, file: h5py.File):
        self.path = path
        missing = [name for name in _REQUIRED if name not in file]
        if missing:
            raise AssayError(f"{path} has no {', '.join(missing)}: it must follow the layout in data/README.md")
        n_atoms = len(file["structures/atomic_numbers"])
        self._offsets = _offsets(file["structures/atomic_numbers_splits"][()], n_atoms)
        count = self.count()
        if (np.diff(self._offsets) < 1).any():
            raise AssayError(f"the sizes of structures in {path} do not add up to its {n_atoms} atoms: write it again")
        shapes = {"positions": n_atoms} | dict.fromkeys(("cells", "pbc", "names", "molecules", *_TOLD.values()), count)
        columns = {name: file[f"structures/{name}"] for name in shapes if f"structures/{name}" in file}
        labels = dict(file["labels"].items()) if "labels" in file else {}
        self._per_atom = {
            name
            for name, column in labels.items()
            if column.shape[:1] == (n_atoms,) and (column.ndim == 2 or n_atoms != count)
        }
        for name, column in (columns | labels).items():
            needed = shapes.get(name, n_atoms if column.ndim == 2 and column.shape[1] == 3 else count)
            if column.shape[0] != needed and name not in self._per_atom:
                raise AssayError(
                    f"{name} in {path} have shape {column.shape} where {needed} rows are needed: write it again"
                )
        self._of_all = {name: value for name, value in told_of(file).items() if tells_charge_or_spin(name)}
        self._structure_columns, self._label_columns = list(columns), list(labels)
        units = {name: unit for name, column in labels.items() if (unit := unit_of(column))}
        groups = [file, *(file[name] for name in ("structures", "labels") if name in file)]
        kinds = {kind: unit for group in groups for kind, unit in stated_units(told_of(group)).items()}
        length, of_cells = (unit_of(columns[name]) if name in columns else "" for name in ("positions", "cells"))
        kinds |= {"length": length} if length else {}
        length = kinds.get("length", "angstrom")
        self._cell_scale = factor(of_cells, "length") / factor(length, "length") if of_cells else 1.0
        self.layout = Layout(units, kinds=kinds)

    def count(self) -> int:
        """See ``FrameFile.count``."""
        return len(self._offsets) - 1

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        chosen = np.arange(self.count()) if chosen is None else chosen
        with opened(self.path) as file:
            for block in np.unique(chosen // _BLOCK).tolist():
                start, end = block * _BLOCK, min((block + 1) * _BLOCK, self.count())
                read = self._read(file, start, end)
                for index in chosen[chosen // _BLOCK == block].tolist():
                    yield partial(self._frame, index, start, read)

    def _read(self, file: h5py.File, start: int, end: int) -> dict[str, np.ndarray]:
        rows, atoms = slice(start, end), slice(self._offsets[start], self._offsets[end])
        columns = {"atomic_numbers": file["structures/atomic_numbers"][atoms].astype(np.int64)}
        for name in self._structure_columns:
            column, own = file[f"structures/{name}"], atoms if name == "positions" else rows
            columns[name] = _numbers(column, own) if name in ("positions", "cells") else column[own]
        for name in self._label_columns:
            columns[f"labels/{name}"] = _numbers(file[f"labels/{name}"], atoms if name in self._per_atom else rows)
        return columns

    def _frame(self, index: int, start: int, columns: dict[str, np.ndarray]) -> Frame:
        row = index - start
        said = {name: columns[f"labels/{name}"][row] for name in self._label_columns if name not in self._per_atom}
        told = {name: columns[own][row] for name, own in _TOLD.items() if own in columns}
        atoms = slice(*(self._offsets[index : index + 2] - self._offsets[start]))
        where = f"structure {index} of {self.path}"
        own = {name: columns[name][row] for name in ("cells", PBC) if name in columns}
        cell, pbc, is_told_open = take_periodicity(own, where)
        return Frame(
            where,
            _text(columns, "names", row),
            _text(columns, "molecules", row),
            columns["atomic_numbers"][atoms],
            columns["positions"][atoms],
            None if cell is None else cell * self._cell_scale,
            pbc,
            self._of_all | said | {name: value for name, value in told.items() if np.isfinite(value)},
            {name: columns[f"labels/{name}"][atoms] for name in self._label_columns if name in self._per_atom},
            is_told_open,
        )


def open_hdf5(path: Path) -> ColumnFile | GroupFile | DeepmdFile:
    """An HDF5 file of the layout, or of those of others.

    Raises:
        AssayError: the file is not HDF5, or of no layout that is known.
    """
    with opened(path) as file:
        if "structures" in file:
            return ColumnFile(path, file)
        return DeepmdFile(path) if is_deepmd(file) else GroupFile(path, file)


def read_hdf5(path: str | Path) -> Dataset:
    """Read what ``write_hdf5`` wrote, which may be empty, without checks of what is in it.

    Raises:
        AssayError: if the file is not HDF5 or a column is missing.
    """
    file = open_hdf5(Path(path))
    labels = ("energy", "forces", "stress")
    own = Labels({label: label for label in labels}, {}, dict.fromkeys((*labels, "length"), 1.0))
    return from_structures([own.structure(load(), f"structure-{index}") for index, load in enumerate(file.frames())])


def write_hdf5(path: str | Path, dataset: Dataset, attributes: dict[str, str] | None = None) -> None:
    """Write the layout, compressed, atomically.

    Positions and forces become integers of 1e-4 angstrom and 1e-4 eV/angstrom: exact for positions rounded to that
    before labelling, and below the teacher's own noise for forces. Energies stay float64, eV.
    """
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(attributes or {})
        _write(file, "structures/atomic_numbers", dataset.atomic_numbers.astype(np.uint8))
        _write(file, "structures/atomic_numbers_splits", dataset.offsets.astype(np.int64))
        _write_steps(file, "structures/positions", dataset.positions, POSITION_STEP, "angstrom")
        _write(file, "structures/cells", dataset.cells)
        _write(file, "structures/pbc", dataset.pbc)
        _write(file, "structures/names", dataset.names.astype("S"))
        _write(file, "structures/molecules", dataset.molecules.astype("S"))
        for name, own in _TOLD.items():
            if getattr(dataset, name) is not None:
                _write(file, f"structures/{own}", getattr(dataset, name))
        _write(file, "labels/energy", dataset.energy, "eV")
        _write_steps(file, "labels/forces", dataset.forces, FORCE_STEP, "eV/angstrom")
        if dataset.stress is not None:
            _write(file, "labels/stress", dataset.stress, "eV/angstrom^3")


def _write(file: h5py.File, name: str, values: np.ndarray, unit: str = "") -> h5py.Dataset:
    compression = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if values.size else {}
    column = file.create_dataset(name, data=values, **compression)
    if unit:
        column.attrs["unit"] = unit
    return column


def _write_steps(file: h5py.File, name: str, values: np.ndarray, step: float, unit: str) -> None:
    _write(file, name, np.rint(values / step).astype(np.int32), unit).attrs["step"] = step


def _numbers(column: h5py.Dataset, rows: slice) -> np.ndarray:
    """Float64 values; division by the reciprocal of the step gives the decimal number that was rounded."""
    if "step" in column.attrs:
        return column[rows] / np.rint(1.0 / column.attrs["step"])
    return column[rows].astype(np.float64)


def _offsets(splits: np.ndarray, n_atoms: int) -> np.ndarray:
    """(S + 1,) offsets of splits that may lack their first or last."""
    offsets = splits.astype(np.int64)
    if not len(offsets) or offsets[0] != 0:
        offsets = np.concatenate([[0], offsets])
    return offsets if offsets[-1] == n_atoms else np.append(offsets, n_atoms)


def _text(columns: dict[str, np.ndarray], name: str, row: int) -> str:
    value = columns[name][row] if name in columns else b""
    return value.decode() if isinstance(value, bytes) else str(value)
