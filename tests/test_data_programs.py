"""Files of other programs as these write them: read in their units, with their cells, or refused by name."""

import numpy as np
import pytest
from ase.units import kcal, mol

from assay.data import read_dataset
from assay.predictors.structure_files import read_frames
from assay.workflow.errors import AssayError

CELL = [[9.0, 0.0, 0.0], [1.0, 8.0, 0.0], [0.0, 0.0, 7.0]]
LAMMPS = (
    '2\nTimestep=10 Time=5.000000 pbc="T T T" Lattice="9 0 0 1 8 0 0 0 7" Potential_energy=-3.5 Temperature=300.1 '
    'Stress="100 0 0 0 100 0 0 0 100" Properties=species:S:1:pos:R:3:vel:R:3:forces:R:3\n'
    "O 0 0 0.1 9 9 9 0 0 2.5\nH 0 0 1.1 9 9 9 0 0 -2.5\n"
)


def test_a_dump_of_lammps_as_extended_xyz_does_not_tell_its_units(tmp_path):
    """They are those of ``units``, such as kcal/mol, and its pressure has the sign of no stress."""
    path = tmp_path / "dump.extxyz"
    path.write_text(LAMMPS)
    with pytest.raises(AssayError, match=r"dump\.extxyz does not say its units: name them .* units: {energy"):
        read_dataset(path)
    read = read_dataset({"path": path, "units": {"energy": "kcal/mol"}})
    np.testing.assert_allclose(read.energy, [-3.5 * kcal / mol])
    np.testing.assert_allclose(read.forces[0], [0.0, 0.0, 2.5 * kcal / mol])
    assert read.stress is None
    [load] = read_frames(path)
    np.testing.assert_allclose(load().positions[1], [0.0, 0.0, 1.1])
    np.testing.assert_allclose(load().cell, CELL)


def test_positions_of_dftb_without_their_cell_are_refused(tmp_path):
    (tmp_path / "geo_end.xyz").write_text("1\nGeometry step: 185, Lattice step: 8 **\nC 0 0 0 4.0\n")
    [load] = read_frames(tmp_path / "geo_end.xyz")
    with pytest.raises(AssayError, match=r"geo_end\.xyz is of DFTB\+, whose cell does not .*: give geo_end\.gen"):
        load()
