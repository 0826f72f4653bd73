"""Cells in which vesin finds neighbors, neither by a signal nor in minutes."""

from __future__ import annotations

import numpy as np

MAX_EXTENT_A = 1e4  # no structure is larger
MIN_HEIGHT_A = 0.1  # where images are closer, each atom has thousands of them within a cutoff
VESIN_BOXES = 1e5  # vesin 0.6 coarsens its grid beyond so many boxes, and fails where no box is left along an axis


def enclosing_cell(positions: np.ndarray, full: np.ndarray, pbc: np.ndarray, cutoff: float) -> np.ndarray:
    """A cell that may repeat along all axes: so long along the open ones that no pair crosses them.

    vesin divides the axes of slabs and wires by their own lattice vectors, which may be zero: where atoms are far apart
    along them it takes minutes or ends the process by SIGFPE.

    Args:
        positions: (N, 3), angstrom.
        full: (3, 3), lattice vectors in rows, angstrom; those of open axes have length 1, perpendicular to the others.
        pbc: bool (3,), which axes are periodic.
        cutoff: radius of the neighbor search, angstrom.

    Returns:
        (3, 3), angstrom; the vectors of the periodic axes are those of ``full``.
    """
    lengths = np.ptp(positions @ np.linalg.inv(full), axis=0) + 2.0 * cutoff
    return np.where(pbc[:, None], full, full * lengths[:, None])


def cell_heights(cells: np.ndarray) -> np.ndarray:
    """The distances (..., 3) between the faces of cells (..., 3, 3), angstrom."""
    return 1.0 / np.linalg.norm(np.linalg.inv(cells), axis=-2)


def keeps_boxes(heights: np.ndarray, cutoff: float) -> np.ndarray:
    """Whether vesin's grid keeps a box along each axis of cells with these ``heights``, (..., 3) to bool (...)."""
    boxes = np.maximum(heights // cutoff, 1.0)
    return boxes.min(-1) ** 3 > 1.5 * boxes.prod(-1) / VESIN_BOXES


def searchable_cell(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> np.ndarray:
    """The ``enclosing_cell`` of a structure that may be anything.

    Args:
        positions: (N, 3), angstrom.
        cell: (3, 3), lattice vectors in rows, angstrom; those of open axes are not read.
        pbc: bool (3,), which axes are periodic.
        cutoff: radius of the neighbor search, angstrom.

    Raises:
        ValueError: no atoms, positions that are not finite or farther apart than ``MAX_EXTENT_A``, or periodic axes
            whose lattice vectors are not finite, zero, dependent, or leave a cell too long and flat.
    """
    if len(positions) == 0:
        raise ValueError("there must be atoms")
    if not np.isfinite(positions).all():
        raise ValueError("there are positions that are not finite")
    if np.ptp(positions, axis=0).max() > MAX_EXTENT_A:
        raise ValueError(f"atoms are more than {MAX_EXTENT_A:g} angstrom apart: is one astray?")
    periodic = np.asarray(pbc, bool)
    if not np.isfinite(cell[periodic]).all():
        raise ValueError("there are lattice vectors that are not finite")
    full = np.array(cell, dtype=np.float64)
    full[~periodic] = np.linalg.svd(cell[periodic])[2][periodic.sum() :]  # perpendicular to all that repeat
    if abs(np.linalg.det(full)) > 0.0:
        full = enclosing_cell(positions, full, periodic, cutoff)
        apart = cell_heights(full)
        if apart.min() > MIN_HEIGHT_A and keeps_boxes(apart, cutoff):
            return full
    raise ValueError("the cell is too flat for a neighbor search, or has no volume: correct its lattice vectors")
