"""The HDF5 layout: columns of structures under ``structures/``, of labels under ``labels/``."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from assay.data.dataset import Dataset
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path

POSITION_STEP = 1e-4  # angstrom
FORCE_STEP = 1e-4  # eV/angstrom

_REQUIRED = (
    "structures/atomic_numbers",
    "structures/atomic_numbers_splits",
    "structures/positions",
    "labels/energy",
    "labels/forces",
)


def read_hdf5(path: str | Path) -> Dataset:
    """Read the layout; ``cells``, ``pbc``, ``names`` and ``molecules`` may be absent.

    ``atomic_numbers_splits`` holds the S + 1 offsets of structures; the leading 0 and the end may be absent.
    Numbers stored as scaled integers carry their unit step in the attribute ``step``.

    Raises:
        AssayError: if the file is not HDF5 or a column is missing.
    """
    try:
        with h5py.File(path) as file:
            missing = [name for name in _REQUIRED if name not in file]
            if missing:
                raise AssayError(f"{path} has no {', '.join(missing)}: it must follow the layout in data/README.md")
            numbers, energy = file["structures/atomic_numbers"][()].astype(np.int64), _numbers(file["labels/energy"])
            count = len(energy)
            return Dataset(
                atomic_numbers=numbers,
                offsets=_offsets(file["structures/atomic_numbers_splits"][()], count, len(numbers)),
                positions=_numbers(file["structures/positions"]),
                cells=_optional(file, "structures/cells", np.zeros((count, 3, 3))).reshape(-1, 3, 3),
                pbc=_optional(file, "structures/pbc", np.zeros((count, 3))).astype(bool).reshape(-1, 3),
                energy=energy.reshape(count),
                forces=_numbers(file["labels/forces"]),
                names=_strings(file, "structures/names", [f"structure-{index}" for index in range(count)]),
                molecules=_strings(file, "structures/molecules", [""] * count),
            )
    except OSError as error:
        raise AssayError(f"{path} cannot be read as HDF5 ({error}): check that it is a complete file") from None


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
        _write(file, "labels/energy", dataset.energy, "eV")
        _write_steps(file, "labels/forces", dataset.forces, FORCE_STEP, "eV/angstrom")


def _write(file: h5py.File, name: str, values: np.ndarray, unit: str = "") -> h5py.Dataset:
    compression = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if values.size else {}
    column = file.create_dataset(name, data=values, **compression)
    if unit:
        column.attrs["unit"] = unit
    return column


def _write_steps(file: h5py.File, name: str, values: np.ndarray, step: float, unit: str) -> None:
    _write(file, name, np.rint(values / step).astype(np.int32), unit).attrs["step"] = step


def _numbers(column: h5py.Dataset) -> np.ndarray:
    """Float64 values; division by the reciprocal of the step gives the decimal number that was rounded."""
    return column[()] / np.rint(1.0 / column.attrs["step"]) if "step" in column.attrs else column[()].astype(np.float64)


def _offsets(splits: np.ndarray, count: int, atoms: int) -> np.ndarray:
    """(S + 1,) offsets of splits that may lack their first or last."""
    offsets = splits.astype(np.int64)
    if len(offsets) <= count and not (len(offsets) and offsets[0] == 0):
        offsets = np.concatenate([[0], offsets])
    return np.append(offsets, atoms) if len(offsets) == count else offsets


def _optional(file: h5py.File, name: str, default: np.ndarray) -> np.ndarray:
    return file[name][()] if name in file else default


def _strings(file: h5py.File, name: str, default: list[str]) -> np.ndarray:
    values = [text.decode() for text in file[name][()]] if name in file else default
    return np.array(values, dtype=object)
