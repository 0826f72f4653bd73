"""Templates of i-PI: files that tell elements, and none of which they would be guessed."""

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io.formats import open_with_compression

from assay.runtime.template import read_template

DUMP = (
    "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\nITEM: ATOMS id {}\n1 {}\n"
)


@pytest.mark.parametrize("name", ["a.xyz", "a.pdb", "POSCAR", "a.cif", "a.pdb.gz", "a.xyz.bz2"])
def test_a_template_that_tells_elements_is_read(tmp_path, name):
    salt = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    ase.io.write(tmp_path / name, salt)
    read = read_template(str(tmp_path / name))
    assert read.numbers.tolist() == salt.numbers.tolist() and read.pbc.all()
    np.testing.assert_allclose(read.cell.lengths(), 5.64)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.gro", "ion\n1\n    1CL     CL    1   0.100   0.000   0.012\n   1.0 1.0 1.0\n"),
        ("a.pdb", "ATOM      1  CA  LIG A   1       0.000   0.000   0.000  1.00  0.00\nEND\n"),
        ("CONFIG", "ion\n0 0 1\nCL 1\n0 0 0\n"),
        ("POSCAR", "POSCAR\n1.0\n4 0 0\n0 4 0\n0 0 4\n1\nDirect\n0 0 0\n"),
        ("a.lammpstrj", DUMP.format("type x y z", "1 0 0 0")),
        ("two.lammpstrj", DUMP.format("element x y z", "O 0 0 0") + DUMP.format("type x y z", "1 0 0 0")),
        (
            "a.lammps-data",
            "ion\n\n1 atoms\n1 atom types\n0 9 xlo xhi\n0 9 ylo yhi\n0 9 zlo zhi\n\nAtoms\n\n1 1 0 0 0\n",
        ),
        ("a.cfg", "Number of particles = 1\nA = 1.0\n"),
        ("dump.nc", "CDF"),
        ("a.restart", "&SUBSYS\n&COORD\nHO 0 0 0\n&END COORD\n&END SUBSYS\n"),
        (
            "a.cif",
            "data_i\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nCL1 0 0 0\n",
        ),
    ],
)
@pytest.mark.parametrize("packed", ["", ".gz", ".xz"])
def test_a_template_without_elements_is_refused(tmp_path, name, text, packed):
    with open_with_compression(str(tmp_path / f"{name}{packed}"), "w") as file:
        file.write(text)
    with pytest.raises(ValueError, match=rf"{name}{packed} does not tell elements, or is in a format"):
        read_template(str(tmp_path / f"{name}{packed}"))


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.xyz", "1\n\n6 0 0 0\n", r"cannot be read as a template \(KeyError\('6'\)\)"),
        ("a.xyz", "1\n\nD 0 0 0\n", "with deuterium as H"),
        ("POSCAR", "cut off\n", r"cannot be read as a template \(IndexError"),
        ("a.pdb", "END\n", "has no atoms"),
        (".", None, "there is no file"),
        ("none.xyz", None, "there is no file"),
    ],
)
def test_what_is_no_template_is_said_in_a_sentence(tmp_path, name, text, why):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=why):
        read_template(str(tmp_path / name))


def test_a_cell_of_one_angstrom_in_pdb_is_none(tmp_path):
    ase.io.write(tmp_path / "a.pdb", molecule("H2O"))
    cell = "CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n"
    (tmp_path / "a.pdb").write_text(cell + (tmp_path / "a.pdb").read_text())
    assert not read_template(str(tmp_path / "a.pdb")).pbc.any()


def test_a_dump_with_elements_is_a_template(tmp_path):
    (tmp_path / "a.lammpstrj").write_text(DUMP.format("element x y z", "O 0 0 0"))
    assert read_template(str(tmp_path / "a.lammpstrj")).numbers.tolist() == [8]


CIF = "data_i\n_publ_author_name 'M\xfcller'\n_cell_length_a 9\n_cell_length_b 9\n_cell_length_c 9\n" + "".join(
    [*(f"_cell_angle_{angle} 90\n" for angle in ("alpha", "beta", "gamma")), "loop_\n_atom_site_label\n"]
    + [f"_atom_site_fract_{axis}\n" for axis in "xyz"]
)


@pytest.mark.parametrize("labels", [("OW1", "HW1", "HW2"), ("O1", "H1", "H2")])
def test_a_cif_in_latin_1_and_with_labels_of_water_is_read(tmp_path, labels):
    rows = "".join(f"{label} 0 0 0.{k}\n" for k, label in enumerate(labels))
    (tmp_path / "a.cif").write_bytes((CIF + rows).encode("latin-1"))
    assert sorted(read_template(str(tmp_path / "a.cif")).numbers) == [1, 1, 8]


def test_a_data_file_of_lammps_tells_elements_by_masses(tmp_path):
    water = molecule("H2O", cell=[9, 9, 9], pbc=True)
    water.write(tmp_path / "a.lammps-data", format="lammps-data", masses=True)
    assert sorted(read_template(str(tmp_path / "a.lammps-data")).numbers) == [1, 1, 8]


@pytest.mark.parametrize("name", ["XDATCAR", "a.com", "a.in", "a.gen"])
def test_formats_that_tell_elements_and_axes_are_templates(tmp_path, name):
    water = molecule("H2O", cell=[9, 9, 9], pbc=name != "a.com")
    own = {"a.in": {"format": "espresso-in", "pseudopotentials": {"O": "O.upf", "H": "H.upf"}}}
    ase.io.write(tmp_path / name, water, **own.get(name, {}))
    read = read_template(str(tmp_path / name))
    assert sorted(read.numbers) == [1, 1, 8] and (read.pbc == water.pbc).all()
