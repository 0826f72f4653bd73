"""Structures in formats that ASE reads, where it would take one thing for another."""

import re

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


DATA = """water, by hand

3 atoms
2 atom types

0.0 10.0 xlo xhi
0.0 10.0 ylo yhi
0.0 10.0 zlo zhi
{types}
Atoms # {style}

2 {own}2 5.0 5.76 4.52
1 {own}1 5.0 5.0 5.12
3 {own}2 5.0 4.24 4.52
"""
MASSES = "\nMasses\n\n1 {} # first\n2 {}\n"


@pytest.mark.parametrize("name", ["water.data", "data.water", "water.lmp", "water.lmpdat"])
@pytest.mark.parametrize(
    ("types", "style", "own"),
    [
        (MASSES.format("15.9994", "1.0"), "atomic", ""),
        (MASSES.format("16", "2.014"), "full", "1 "),
        ("\nAtom Type Labels\n\n1 O\n2 H\n", "atomic", ""),
    ],
)
def test_a_data_file_of_lammps_is_read_by_its_masses_or_labels(tmp_path, name, types, style, own):
    written = DATA.format(types=types, style=style, own=own)
    (tmp_path / name).write_text(re.sub(r"(?m)^(\d 1 \d)", r"\1 0.0", written) if own else written)
    [load] = read_frames(tmp_path / name)
    assert load().numbers.tolist() == [8, 1, 1] and load().pbc.all()
    np.testing.assert_allclose(load().positions[0], [5.0, 5.0, 5.12])


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ("", "has types of LAMMPS and no elements: add its section `Masses`"),
        ("\nAtom Type Labels\n\n1 OW\n2 HW\n", "has types of LAMMPS and no elements"),
        (MASSES.format(14.027, 1.008), "has types with a mass of 14.027, which no element has"),  # CH2 as one atom
        (MASSES.format(15.999, 3.024), "has types with a mass of 3.024"),  # hydrogens made heavier
    ],
)
def test_a_data_file_of_lammps_that_does_not_tell_elements_is_refused(tmp_path, types, words):
    (tmp_path / "water.data").write_text(DATA.format(types=types, style="atomic", own=""))
    with pytest.raises(AssayError, match=rf"water\.data {words}"):
        list(read_frames(tmp_path / "water.data"))


def test_a_dump_of_lammps_with_united_atoms_is_refused(tmp_path):
    (tmp_path / "set.lammpstrj").write_text(DUMP.format(column="mass ", first="15.035 ", second="12.011 "))
    with pytest.raises(AssayError, match=r"set\.lammpstrj has types with a mass of 15.035, which no element has"):
        list(read_frames(tmp_path / "set.lammpstrj"))


@pytest.mark.parametrize("name", ["set.TRAJ", "set.Db"])
def test_a_suffix_may_have_large_letters(tmp_path, name):
    atoms = ase.Atoms("HF", [[0.0, 0.0, 0.0], [0.0, 0.0, 0.9]])
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((2, 3)))
    ase.io.write(tmp_path / name.lower(), [atoms, atoms])
    (tmp_path / name.lower()).rename(tmp_path / name)
    assert read_dataset(tmp_path / name, at_most=1).energy.tolist() == [-1.0]
