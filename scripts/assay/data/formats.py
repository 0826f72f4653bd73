"""One reader for every file of labelled structures."""

from __future__ import annotations

import sqlite3
import warnings
from pathlib import Path

import ase.db
import numpy as np

from assay.data.checks import check, lacks_hydrogens
from assay.data.dataset import Dataset, from_structures
from assay.data.extxyz import read_extxyz
from assay.data.hdf5 import read_hdf5
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError


def read_dataset(path: str | Path) -> Dataset:
    """Read and check labelled structures: extended XYZ (.xyz, .extxyz, also .gz), ASE db (.db), HDF5 (.h5, .hdf5).

    Warns with the number of structures that look as if their hydrogens were dropped.

    Raises:
        AssayError: if the file is missing, of another format, or holds something no student can learn from.
    """
    path = Path(path)
    if not path.is_file():
        raise AssayError(f"there is no file {path}: check the path")
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    readers = {
        ".xyz": read_extxyz,
        ".extxyz": read_extxyz,
        ".db": _read_ase_db,
        ".h5": read_hdf5,
        ".hdf5": read_hdf5,
    }
    if suffix not in readers or (path.suffix == ".gz" and readers[suffix] is not read_extxyz):
        raise AssayError(f"{path} is of no format that is known: use extended XYZ (.xyz, .xyz.gz), .db or .h5")
    dataset = readers[suffix](path)
    check(dataset, path)
    suspicious = sum(lacks_hydrogens(structure) for structure in dataset)
    if suspicious:
        warnings.warn(
            f"{suspicious} of {len(dataset)} structures of {path} look as if their hydrogens were dropped", stacklevel=2
        )
    return dataset


def _read_ase_db(path: Path) -> Dataset:
    structures = []
    try:
        with ase.db.connect(path) as database:
            for index, row in enumerate(database.select()):
                if row.get("energy") is None or row.get("forces") is None:
                    raise AssayError(f"row {row.id} of {path} has no energy or no forces: label it first")
                pairs = row.key_value_pairs
                structures.append(
                    Structure(
                        name=str(pairs.get("name", f"structure-{index}")),
                        atomic_numbers=row.numbers.astype(np.int64),
                        positions=np.asarray(row.positions, dtype=np.float64),
                        cell=np.asarray(row.cell, dtype=np.float64) if np.any(row.cell) else None,
                        pbc=np.asarray(row.pbc, dtype=bool),
                        energy_eV=float(row.energy),
                        forces_eV_per_A=np.asarray(row.forces, dtype=np.float64),
                        molecule=str(pairs.get("molecule", "")),
                    )
                )
    except (sqlite3.Error, OSError, ValueError) as error:
        raise AssayError(f"{path} cannot be read as an ASE database ({error}): check the file") from None
    return from_structures(structures)
