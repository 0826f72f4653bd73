"""Two hydrogens on a spring, whose energy and forces a formula gives, in outputs of programs that are made up."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.units import Bohr

from assay.data import read_dataset
from assay.data.dataset import Dataset
from assay.structures.structure import Structure

REST_bohr, STIFFNESS = 1.4, 0.37  # Eh/bohr^2
DIRECTION = np.array([1.0, 2.0, -2.0]) / 3.0
LENGTHS_A = (0.70, 0.71, 0.72)


def positions_at(length_A: float) -> np.ndarray:
    """Positions (2, 3), angstrom."""
    return np.array([np.zeros(3), length_A * DIRECTION])


def computed(length_A: float) -> tuple[float, np.ndarray]:
    """The energy (Eh) and the forces (Eh/bohr) of a spring of this length."""
    stretch = length_A / Bohr - REST_bohr
    slope = STIFFNESS * stretch * DIRECTION
    return 0.5 * STIFFNESS * stretch**2 - 1.17, np.array([slope, -slope])


def check_slope(data: Dataset) -> None:
    """The forces at ``LENGTHS_A``, which ``data`` begins with, are the slope of the energy."""
    n = len(LENGTHS_A)
    forces, positions = (column.reshape(-1, 2, 3)[:n] for column in (data.forces, data.positions))
    work_eV = ((forces[1:] + forces[:-1]) / 2 * np.diff(positions, axis=0)).sum(axis=(1, 2))
    np.testing.assert_allclose(work_eV, -np.diff(data.energy[:n]), rtol=1e-3)


def check_as_ase_reads(structure: Structure, path: Path, kind: str) -> None:
    """A structure, and the only one of an output, are what ASE reads of that output."""
    atoms = ase.io.read(path, format=kind)
    [alone] = read_dataset(path)
    for found in (structure, alone):
        assert found.energy_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(found.forces_eV_per_A, atoms.get_forces(), atol=1e-6)
        np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-7)


def writes(usual: str):
    """A fixture that writes a text to a file, which has this name unless another one is given, and returns its path."""

    @pytest.fixture
    def write(tmp_path):
        def _write(text: str, name: str = usual) -> Path:
            (tmp_path / name).write_text(text)
            return tmp_path / name

        return _write

    return write
