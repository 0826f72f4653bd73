"""Units that files of labels state, wherever they state them."""

import numpy as np
import pytest
from ase.units import Bohr, Hartree

from assay.data import read_dataset

NUMBERS = np.array([8, 1])
FORCES = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, -0.5]])
POSITIONS = np.array([[0.0, 0.0, 0.0], [0.0, 0.1, 0.97]])


def labelled(n=3):
    """Geometries of hydroxide by the names of nothing in particular."""
    return {
        "atomic_numbers": NUMBERS,
        "positions": np.stack([POSITIONS] * n),
        "energy": -75.0 - np.arange(n),
        "forces": np.stack([FORCES] * n),
    }


@pytest.mark.parametrize(
    "names",
    [
        ("z", "R", "E", "F"),
        ("nuclear_charges", "coords", "energies", "forces"),
        ("atomic_numbers", "positions", "energy", "forces"),
    ],
)
@pytest.mark.parametrize(
    ("units", "energy_eV", "length_A"), [(("eV", "Ang"), 1.0, 1.0), (("hartree", "bohr"), Hartree, Bohr)]
)
def test_units_of_arrays_hold_whatever_the_arrays_are_called(tmp_path, names, units, energy_eV, length_A):
    arrays = dict(zip(names, labelled().values(), strict=True))
    np.savez(tmp_path / "set.npz", **arrays, e_unit=units[0], r_unit=units[1])
    read = read_dataset(tmp_path / "set.npz")
    np.testing.assert_allclose(read.energy, energy_eV * labelled()["energy"])
    np.testing.assert_allclose(read.forces[:2], energy_eV / length_A * FORCES)
    np.testing.assert_allclose(read.positions[:2], length_A * POSITIONS)
