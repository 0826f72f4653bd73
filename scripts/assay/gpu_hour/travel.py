"""Labelled structures packed to travel: as small as they get with forces that are exact to 1e-4 eV/angstrom.

Positions stay as they are stored, in steps of 1e-4 angstrom, because labels belong to them. The geometries of a
molecule stand behind each other, each as the difference to the one before. Forces are rounded to steps that are nearly
twice as large as their error may be. All numbers are split into planes of bytes, which LZMA then compresses.
"""

from __future__ import annotations

import io
import lzma
from pathlib import Path

import numpy as np

from assay.data.dataset import Dataset
from assay.data.hdf5 import POSITION_STEP
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path

PACKED = ".travel"  # the suffix of a packed file
FORCE_STEP = 1.9e-4  # eV/angstrom; half of it is the largest error
ENERGY_STEP = 1e-6  # eV


def pack(dataset: Dataset, path: Path) -> int:
    """Write a dataset, and return the size of the file in bytes.

    Structures come in an order of their own: by molecule. Cells, stress, charges and names do not travel.

    Args:
        dataset: open structures, whose positions are multiples of 1e-4 angstrom.
        path: the file to write.

    Raises:
        AssayError: a structure repeats, or has positions between these steps.
    """
    if dataset.pbc.any():
        raise AssayError("a structure repeats along an axis: only open structures are packed")
    order = np.lexsort((np.arange(len(dataset)), dataset.sizes, dataset.molecules))
    own = dataset.subset(order)
    positions = np.rint(own.positions / POSITION_STEP)
    if np.abs(positions * POSITION_STEP - own.positions).max(initial=0.0) > 1e-3 * POSITION_STEP:
        raise AssayError(f"there are positions between steps of {POSITION_STEP} angstrom: labels would not fit them")
    follows = _follows(own)
    columns = {
        "sizes": own.sizes,
        "follows": follows,
        "atomic_numbers": own.atomic_numbers,
        "positions": _differences(positions.astype(np.int64), own.offsets, follows),
        "forces": np.rint(own.forces / FORCE_STEP).astype(np.int64),
        "energy": np.rint(own.energy / ENERGY_STEP).astype(np.int64),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{name: _planes(column) for name, column in columns.items()})  # type: ignore[arg-type]
    content = lzma.compress(buffer.getvalue(), preset=6)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return len(content)


def unpack(path: Path) -> Dataset:
    """Read what ``pack`` wrote.

    Raises:
        AssayError: it is no such file.
    """
    try:
        stored = np.load(io.BytesIO(lzma.decompress(path.read_bytes())))
        columns = {name: _whole(stored[name]) for name in stored.files}
    except (OSError, lzma.LZMAError, ValueError, KeyError) as error:
        raise AssayError(f"{path} is no packed dataset ({error}): pack it again") from None
    sizes = columns["sizes"]
    offsets, count = np.concatenate([[0], np.cumsum(sizes)]), len(sizes)
    moves = columns["positions"].reshape(-1, 3)
    return Dataset(
        columns["atomic_numbers"],
        offsets,
        _summed(moves, offsets, columns["follows"]) * POSITION_STEP,
        np.zeros((count, 3, 3)),
        np.zeros((count, 3), bool),
        columns["energy"] * ENERGY_STEP,
        columns["forces"].reshape(-1, 3) * FORCE_STEP,
        np.full(count, ""),
        np.full(count, ""),
    )


def _follows(dataset: Dataset) -> np.ndarray:
    """Whether each structure has the atoms of the one before, as integers (S,)."""
    found = np.zeros(len(dataset), np.int64)
    for k in range(1, len(dataset)):
        before, own = (
            dataset.atomic_numbers[dataset.offsets[index] : dataset.offsets[index + 1]] for index in (k - 1, k)
        )
        found[k] = np.array_equal(before, own)
    return found


def _differences(positions: np.ndarray, offsets: np.ndarray, follows: np.ndarray) -> np.ndarray:
    moves = positions.copy()
    for k in np.flatnonzero(follows):
        moves[offsets[k] : offsets[k + 1]] -= positions[offsets[k - 1] : offsets[k]]
    return moves


def _summed(moves: np.ndarray, offsets: np.ndarray, follows: np.ndarray) -> np.ndarray:
    positions = moves.copy()
    for k in np.flatnonzero(follows):
        positions[offsets[k] : offsets[k + 1]] += positions[offsets[k - 1] : offsets[k]]
    return positions


def _planes(values: np.ndarray) -> np.ndarray:
    """The bytes of integers, least significant first, as many planes as the largest needs; uint8 (planes, n).

    The sign goes into the lowest bit, so that small numbers of either sign have zeros above.
    """
    flat = values.reshape(-1).astype(np.int64)
    folded = ((flat << 1) ^ (flat >> 63)).view(np.uint64)
    count = max(1, (int(folded.max(initial=0)).bit_length() + 7) // 8)
    return np.stack([(folded >> np.uint64(8 * k)).astype(np.uint8) for k in range(count)])


def _whole(planes: np.ndarray) -> np.ndarray:
    folded = np.zeros(planes.shape[1], np.uint64)
    for k, plane in enumerate(planes):
        folded |= plane.astype(np.uint64) << np.uint64(8 * k)
    return (folded >> np.uint64(1)).astype(np.int64) ^ -(folded & np.uint64(1)).astype(np.int64)
