"""Structures in formats that ASE reads, where it would take one thing for another."""

import ase
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from assay.data import read_dataset
from assay.predictors.structure_files import read_frames
from assay.workflow.errors import AssayError

DUMP = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 10
0 10
0 10
ITEM: ATOMS id type {column}x y z
1 1 {first}1 1 1
2 2 {second}1 1 2.3
"""


@pytest.mark.parametrize(("column", "first", "second"), [("element ", "C ", "O "), ("mass ", "12.011 ", "15.999 ")])
def test_a_dump_of_lammps_with_elements_is_read(tmp_path, column, first, second):
    (tmp_path / "set.lammpstrj").write_text(DUMP.format(column=column, first=first, second=second))
    [load] = read_frames(tmp_path / "set.lammpstrj")
    assert load().numbers.tolist() == [6, 8] and load().pbc.all()
    np.testing.assert_allclose(np.ptp(load().positions, axis=0), [0.0, 0.0, 1.3])


def test_a_dump_of_lammps_whose_types_are_no_elements_is_refused(tmp_path):
    (tmp_path / "set.lammpstrj").write_text(DUMP.format(column="", first="", second=""))
    with pytest.raises(AssayError, match=r"set\.lammpstrj has types of LAMMPS and no elements: .*dump_modify"):
        list(read_frames(tmp_path / "set.lammpstrj"))


@pytest.mark.parametrize("name", ["set.TRAJ", "set.Db"])
def test_a_suffix_may_have_large_letters(tmp_path, name):
    atoms = ase.Atoms("HF", [[0.0, 0.0, 0.0], [0.0, 0.0, 0.9]])
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((2, 3)))
    ase.io.write(tmp_path / name.lower(), [atoms, atoms])
    (tmp_path / name.lower()).rename(tmp_path / name)
    assert read_dataset(tmp_path / name, at_most=1).energy.tolist() == [-1.0]
