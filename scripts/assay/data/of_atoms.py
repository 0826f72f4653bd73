"""What arrays, groups and rows of databases say of each atom, apart from what they say of a structure as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from assay.data.label_names import OF_CELLS, kind_of_label
from assay.data.spellings import ELEMENTS_OF_ARRAYS, as_array
from assay.runtime.charges import OF_ATOMS

_MOMENTS = "initial_magmoms"
IN_NUMBERS = (*OF_ATOMS, _MOMENTS)  # names under which each atom has one number; three if moments have directions


def is_for_all_atoms(name: str, shape: tuple[int, ...], numbers: tuple[int, ...]) -> bool:
    """Whether an array has an element, charge or moment for each atom of all geometries, and no row for each geometry.

    Args:
        name, shape: of the array.
        numbers: the shape of atomic numbers, (N,) or (C, N).
    """
    return name in (*ELEMENTS_OF_ARRAYS, *IN_NUMBERS) and shape == numbers[-1:]


def by_atoms(said: Mapping[str, Any], n_atoms: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Divide what is said by name into what is of the structure, and what is of each atom, (N,) or (N, K).

    Tables with a row for each atom are of the atoms, but for nine numbers of a stress or virial of three atoms; and so
    are N charges or moments, or moments of 3N numbers (N, 3), in whatever shape: N other numbers may be anything.
    """
    of_atoms = {name: column for name, value in said.items() if (column := _column(name, value, n_atoms)) is not None}
    return {name: value for name, value in said.items() if name not in of_atoms}, of_atoms


def _column(name: str, value: Any, n_atoms: int) -> np.ndarray | None:
    """What is said of each atom, (N,) or (N, K); None if it is said of something else."""
    values = as_array(value)
    if name in IN_NUMBERS and values.size == n_atoms and values.dtype.kind in "iuf":
        return values.reshape(n_atoms)
    if name == _MOMENTS and values.size == 3 * n_atoms:
        return values.reshape(n_atoms, 3)
    is_of_cell = values.shape == (3, 3) and kind_of_label(name) in OF_CELLS
    return values if values.ndim == 2 and len(values) == n_atoms and not is_of_cell else None
