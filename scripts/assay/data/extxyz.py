"""Extended XYZ, parsed frame by frame with numpy: ASE's own reader takes minutes for a million atoms."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from ase.data import atomic_numbers as NUMBERS
from ase.io.extxyz import key_val_str_to_dict

from assay.data.dataset import Dataset, from_structures
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

_ENERGY = ("energy", "free_energy", "Energy", "REF_energy")
_FORCES = ("forces", "force", "Forces", "REF_forces")


def read_extxyz(path: str | Path) -> Dataset:
    """Read frames with ``Lattice``, ``pbc``, ``energy`` (eV), ``name``, ``molecule``, and forces (eV/angstrom).

    Raises:
        AssayError: if a frame is cut short, lacks labels, or is not extended XYZ.
    """
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rt") as file:
            return from_structures(list(_frames(file, path)))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise AssayError(f"{path} cannot be read ({error}): check that it is a complete file") from None


def _frames(file: TextIO, path: str | Path) -> Iterator[Structure]:
    index = 0
    for line in file:
        if not line.strip():
            continue
        where = f"structure {index} of {path}"
        try:
            count = int(line)
            info = key_val_str_to_dict(next(file))
            rows = [next(file).split() for _ in range(count)]
        except (ValueError, KeyError, StopIteration, RuntimeError):
            raise AssayError(f"{where} is not extended XYZ, or the file is cut short: write it again") from None
        yield _structure(info, rows, index, where)
        index += 1


def _structure(info: dict[str, Any], rows: list[list[str]], index: int, where: str) -> Structure:
    try:
        columns = _columns(info.get("Properties", "species:S:1:pos:R:3"), rows)
        numbers = columns["Z"].astype(np.int64)[:, 0] if "Z" in columns else _numbers(columns["species"], where)
        positions = columns["pos"].astype(np.float64)
        forces = _first(columns, _FORCES, f"{where} has no forces: add a column forces:R:3")
        energy = float(_first(info, _ENERGY, f"{where} has no energy: add energy=... to its comment line"))
        forces = forces.astype(np.float64)
    except (ValueError, TypeError, KeyError, IndexError):
        raise AssayError(f"{where} does not have the columns that its Properties promise: write it again") from None
    lattice = info.get("Lattice")
    return Structure(
        name=str(info.get("name", f"structure-{index}")),
        atomic_numbers=numbers,
        positions=positions,
        cell=None if lattice is None else np.array(lattice, dtype=np.float64).reshape(3, 3).T,
        pbc=np.broadcast_to(np.array(info.get("pbc", lattice is not None), dtype=bool), 3).copy(),
        energy_eV=energy,
        forces_eV_per_A=forces,
        molecule=str(info.get("molecule", "")),
    )


def _columns(properties: str, rows: list[list[str]]) -> dict[str, np.ndarray]:
    """Text columns (N, width) by name."""
    fields = properties.split(":")
    widths = [int(width) for width in fields[2::3]]
    table = np.array(rows, dtype=str).reshape(len(rows), -1)
    if table.shape[1] < sum(widths):
        raise ValueError
    ends = np.cumsum(widths)
    return {name: table[:, end - width : end] for name, width, end in zip(fields[0::3], widths, ends, strict=True)}


def _numbers(species: np.ndarray, where: str) -> np.ndarray:
    try:
        return np.array([NUMBERS[symbol] for symbol in species[:, 0]], dtype=np.int64)
    except KeyError as error:
        raise AssayError(f"{where} has an atom {error}, which is no element: correct its symbol") from None


def _first(values: dict[str, Any], names: tuple[str, ...], missing: str) -> Any:
    for name in names:
        if name in values:
            return values[name]
    raise AssayError(missing)
