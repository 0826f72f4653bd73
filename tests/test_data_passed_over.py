"""What files of other programs state and ASE's readers pass over: units of length, and cells."""

import ase.units
import numpy as np
import pytest

from assay.predictors.structure_files import read_frames
from assay.structures.geometry import lattice_fault
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

BOHR = ase.units.Bohr
COORD = "{}\n 0.0 0.0 0.0 o\n 1.8 0.0 0.0 h\n{}$end\n"
GJF = "%mem=1GB\n#p hf/sto-3g {}\n\nunits=bohr\n\n0 2\nO 0.0 0.0 0.0\nH 1.8 0.0 0.0\n\n"
DATA = """LAMMPS data file via write_data, version 2 Aug 2023, timestep = 0{}

2 atoms
1 atom types

0 20 xlo xhi
0 20 ylo yhi
0 20 zlo zhi

Masses

1 15.999

Atoms # atomic

1 1 5 5 5
2 1 6.8 5 5
"""
DUMP = """{}ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 20
0 20
0 20
ITEM: ATOMS id element x y z
1 O 5 5 5
2 O 6.8 5 5
"""


@pytest.mark.parametrize(
    ("name", "text", "length_A"),
    [
        ("coord", COORD.format("$coord", ""), BOHR),
        ("coord", COORD.format("$coord bohr natoms= 2", "$periodic 0\n"), BOHR),
        ("coord", COORD.format("$coord ANGS", ""), 1.0),
        ("a.tmol", COORD.format("$coord angs", "$user-defined bonds\n"), 1.0),
        ("a.gjf", GJF.format(""), 1.0),
        ("a.com", GJF.format("units=(ang, deg)"), 1.0),
        ("a.com", GJF.format("units=au opt(tight)"), BOHR),
        ("a.com", GJF.format("opt\n UNITS(Deg,Bohr)"), BOHR),
        ("a.data", DATA.format(""), 1.0),
        ("a.data", DATA.format(", units = real"), 1.0),
        ("a.data", DATA.format(", units = electron"), BOHR),
        ("a.dump", DUMP.format("ITEM: UNITS\nmetal\nITEM: TIME\n0.5\n"), 1.0),
        ("a.dump", DUMP.format("ITEM: UNITS\nnano\n"), 10.0),
    ],
)
def test_a_unit_of_length_that_a_file_states_is_that_of_its_positions_and_cell(tmp_path, name, text, length_A):
    (tmp_path / name).write_text(text)
    [load] = read_frames(tmp_path / name)
    np.testing.assert_allclose(np.ptp(load().positions, axis=0), [1.8 * length_A, 0.0, 0.0])
    if load().pbc.any():
        np.testing.assert_allclose(load().cell, 20.0 * length_A * np.eye(3))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("coord", COORD.format("$coord frac", ""), r"`\$coord frac`"),
        ("coord", COORD.format("$coord", "$periodic 2\n$cell\n 20 20 90\n"), r"`\$periodic 2`"),
        ("a.tmol", COORD.format("$coord", "$lattice angs\n 9 0 0\n 0 9 0\n 0 0 9\n"), r"`\$lattice angs`"),
        ("a.gjf", GJF.format("units=rad"), "`units=rad`"),
        ("a.data", DATA.format(", units = lj"), "units of LAMMPS' style `lj`"),
        ("a.dump", DUMP.format("ITEM: UNITS\nsi\n"), "units of LAMMPS' style `si`"),
    ],
)
def test_a_cell_or_a_unit_that_is_not_read_is_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(AssayError, match=rf"{name} .*{words}.*convert it to extended XYZ"):
        list(read_frames(tmp_path / name))


def test_lengths_of_n2p2_are_taken_for_no_unit(tmp_path):
    """RuNNer has them in bohr, for which ASE takes them, and n2p2 in whatever unit one likes."""
    atoms = "".join(f"atom {x} 0.0 0.0 H 0.0 0.0 0.0 0.1 0.0 0.0\n" for x in (0.0, 0.74))
    (tmp_path / "input.data").write_text(f"begin\ncomment in angstrom\n{atoms}energy -1.0\ncharge 0.0\nend\n")
    with pytest.raises(AssayError, match=r"input\.data .* does not say its unit of length: convert it to extended XYZ"):
        list(read_frames(tmp_path / "input.data"))


ONETEP = """ |        Linear-Scaling Ab Initio Total Energy Program          |
%BLOCK LATTICE_CART
 20.0 0.0 0.0
 0.0 20.0 0.0
 0.0 0.0 20.0
%ENDBLOCK LATTICE_CART
%BLOCK POSITIONS_ABS
H1 1.0 1.0 1.0
O 2.8 1.0 1.0
%ENDBLOCK POSITIONS_ABS
%BLOCK SPECIES
H1 H 1 1 8.0
O O 8 4 8.0
%ENDBLOCK SPECIES
Totals:      2        5         4
------------------------------ TIMING INFORMATION ------------------------------
"""


@pytest.mark.parametrize("block", ["%BLOCK ", "%block  "])
def test_the_cell_of_an_output_of_onetep_repeats(tmp_path, block):
    (tmp_path / "a.out").write_text(ONETEP.replace("%BLOCK ", block))
    [load] = read_frames(tmp_path / "a.out")
    assert load().numbers.tolist() == [1, 8] and load().pbc.all()
    np.testing.assert_allclose(load().cell, 20.0 * BOHR * np.eye(3), rtol=1e-6)


def test_an_output_of_onetep_whose_cell_ase_does_not_find_is_no_molecule(tmp_path):
    (tmp_path / "a.out").write_text(ONETEP.replace("LATTICE_CART", "LATTICE"))
    [load] = read_frames(tmp_path / "a.out")
    fault = lattice_fault(Structure.from_ase(load()))
    assert fault is not None and "along lattice vectors that are zero, dependent" in fault
