"""Structures in formats that ASE reads, where it would take one thing for another."""

import re

import ase
import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.formats import open_with_compression

from assay.data import read_dataset
from assay.predictors.structure_files import read_frames
from assay.runtime.template import read_template
from assay.structures.structure import Structure
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
        ("\nMasses\n\n", "has types of LAMMPS and no elements: add its section `Masses`"),
        (MASSES.format(14.027, 1.008), "has types with a mass of 14.027, which no element has"),  # CH2 as one atom
        (MASSES.format(15.999, 3.024), "has types with a mass of 3.024"),  # hydrogens made heavier
        (MASSES.format("1.0", "1"), "has types that all have a mass of 1, as in reduced units"),  # beads of a polymer
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


RECORD = """{name}
     by hand

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.1193 O   0  {code}  0  0  0  0
    0.0000    0.7632   -0.4770 H   0  0  0  0  0  0
-1234.0000-1200.7632   -0.4770 H   0  0  0  0  0  0
  1  2  1  0
{told}M  END
> <charge of nobody>
7

"""


@pytest.mark.parametrize("name", ["set.sdf", "SET.SDF", "set.mol"])
def test_every_record_of_an_sdf_is_read_with_its_formal_charges(tmp_path, name):
    records = [
        RECORD.format(name="one", code=0, told=""),
        RECORD.format(name="two", code=5, told=""),
        RECORD.format(name="three", code=3, told="M  CHG  2   1  -1   2  -1\nM  CHG  1   3   3\n"),
    ]
    (tmp_path / name).write_text("$$$$\n".join(records))
    frames = [load() for load in read_frames(tmp_path / name)]
    assert [atoms.info for atoms in frames] == [
        {"name": "one"},
        {"name": "two", "charge": -1},
        {"name": "three", "charge": 1},
    ]
    assert all(atoms.get_chemical_formula() == "H2O" and not atoms.pbc.any() for atoms in frames)
    np.testing.assert_allclose(frames[1].positions[::2], [[0.0, 0.0, 0.1193], [-1234.0, -1200.7632, -0.477]])
    [last] = read_frames(tmp_path / name, np.array([2]))
    assert last().info["name"] == "three"


def test_an_sdf_as_ase_writes_it_is_read(tmp_path):
    benzene = molecule("C6H6")
    ase.io.write(tmp_path / "set.sdf", benzene)
    [load] = read_frames(tmp_path / "set.sdf")
    assert load().numbers.tolist() == benzene.numbers.tolist()
    np.testing.assert_allclose(load().positions, benzene.positions, atol=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("V2000", "V3000", "V3000, which is not read"), (" H ", " Q ", "no element"), ("  3  2", " 30  2", "cut short")],
)
def test_a_bad_record_of_an_sdf_costs_no_other(tmp_path, old, new, words):
    good = RECORD.format(name="good", code=0, told="")
    (tmp_path / "set.sdf").write_text(f"{good.replace(old, new)}$$$$\n{good}$$$$\n")
    bad, other = read_frames(tmp_path / "set.sdf")
    assert other().info["name"] == "good"
    with pytest.raises(AssayError, match=rf"structure 0 of .*set\.sdf .*{words}"):
        bad()


GRO = "water t= {}\n1\n    1SOL     OW    1   0.{}00   0.000   0.012\n   1.0 1.0 1.0\n"
GEN = "1 S\nO\n1 1 0.{} 0.0 0.1\n0 0 0\n9 0 0\n0 9 0\n0 0 9\n"
POSCAR = "water {0}\n1.0\n9 0 0\n0 9 0\n0 0 9\nO\n1\nDirect\n0.{0} 0 0\n"
MOTION = "Lattice velocities and vectors\n 1\n{0}{0}{0}{1}{1}{1}\n{0}\n1\n 0.5\n{1}{0}{0}".format(
    " 0.0 0.0 0.0\n", " 12.0 12.0 12.0\n"
)
RES = "TITL water\nCELL 1.0 9 9 9 90 90 90\nLATT -1\nSFAC O\nO 1 0.{} 0 0 1.0\nEND\n"
GJF = "#p hf\n\nwater\n\n-1 2\nO 0.{} 0 0\n\n"


@pytest.mark.parametrize("between", ["", "\n", "\n\n"])
def test_every_structure_of_a_file_of_gromacs_is_read(tmp_path, between):
    (tmp_path / "a.gro").write_text(
        GRO.format(0, 1) + between + GRO.format(1, 2).replace("1.0 1.0 1.0", "2.0 2.0 2.0") + "\n"
    )
    first, second = (load() for load in read_frames(tmp_path / "a.gro"))
    np.testing.assert_allclose([first.positions[0, 0], second.positions[0, 0]], [1.0, 2.0])
    np.testing.assert_allclose([first.cell[0, 0], second.cell[0, 0]], [10.0, 20.0])


def test_what_is_no_structure_behind_one_of_gromacs_is_refused(tmp_path):
    (tmp_path / "a.gro").write_text(GRO.format(0, 1) + "; by hand\n")
    with pytest.raises(AssayError, match=r"a\.gro has `; by hand` behind a structure: cut it off"):
        list(read_frames(tmp_path / "a.gro"))


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ("", "ends within a structure"),
        ("   1.0   1.0", r"has a box of `1\.0   1\.0`, not of 3 or 9 numbers"),
        ("1000.000001000.000001000.00000", r"has a box of `1000\.000001000\.00"),  # of three columns, for ASE none
    ],
)
def test_a_file_of_gromacs_that_ends_within_a_structure_costs_that_one_alone(tmp_path, box, words):
    (tmp_path / "a.gro").write_text(GRO.format(0, 1) + GRO.format(1, 2).rsplit("   1.0", 3)[0] + box)
    frames = read_frames(tmp_path / "a.gro")
    assert next(frames)().numbers.tolist() == [8]
    with pytest.raises(AssayError, match=rf"a\.gro {words}"):
        next(frames)


@pytest.mark.parametrize(
    ("name", "one", "between"),
    [
        ("a.gen", GEN, ""),
        ("a.gjf", GJF, "--Link1--\n"),
        ("POSCAR", POSCAR, ""),
        ("a.vasp", POSCAR + MOTION, ""),
        ("a.res", RES, ""),
        ("coord", "$coord\n 0.{} 0 0 o\n$end\n", ""),
    ],
)
def test_a_file_whose_structures_ase_does_not_read_one_by_one_is_refused(tmp_path, name, one, between):
    (tmp_path / name).write_text(one.format(1, 1))
    [load] = read_frames(tmp_path / name)
    assert load().numbers.tolist() == [8]
    (tmp_path / name).write_text(one.format(1, 1) + between + one.format(2, 2))
    with pytest.raises(AssayError, match=rf"{name} has several structures, which ASE does not read one by one"):
        list(read_frames(tmp_path / name))


XTB = "3\n energy: -5.07 gnorm: 0.01{}\no 0 0 0\nh 0 0 0.96\nh 0 0.93 -0.24\n"
PLAIN = "1\nwater\nO 0 0 0\n"


@pytest.mark.parametrize("name", ["xtbopt.log", "xtb.trj", "xtbopt.xyz", "frames"])
@pytest.mark.parametrize("version", ["", " xtb: 6.4.1 (afa7bdf)"])
def test_a_trajectory_of_xtb_is_read_by_its_comment_lines_whatever_its_name(tmp_path, name, version):
    (tmp_path / name).write_text(2 * XTB.format(version))
    _, last = read_frames(tmp_path / name)
    assert last().numbers.tolist() == [8, 1, 1] and not last().pbc.any()
    np.testing.assert_allclose(last().positions[1], [0.0, 0.0, 0.96])


def test_a_trajectory_of_crest_is_read_by_its_comment_lines(tmp_path):
    (tmp_path / "crestopt.log").write_text(XTB.format("").replace(" energy: -5.07 gnorm: 0.01", " Etot=   -5.0705443"))
    [load] = read_frames(tmp_path / "crestopt.log")
    assert load().numbers.tolist() == [8, 1, 1]


def test_a_trajectory_of_xtb_has_no_labels(tmp_path):
    (tmp_path / "xtb.trj").write_text(XTB.format(""))
    with pytest.raises(AssayError, match=r"xtb\.trj is a trajectory of xtb, which has energies and no forces: label"):
        read_dataset(tmp_path / "xtb.trj")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("opt.log", PLAIN, "holds no structures as gaussian-out, for which ASE takes it: give it the suffix"),
        ("opt.trj", PLAIN, "is of no format that ASE knows by its suffix or content: give it the suffix"),
        ("control.in", "xc pbe\n", "holds no structures as aims, for which ASE takes it: give it the suffix"),
        ("mm.cif", "data_1ABC\n#\n_entry.id 1ABC\n", "is mmCIF, which is not read: convert it to PDB"),
        ("geometry", "1\n\nO 0 0 0\n", "is XYZ by another name: let it end in .xyz"),
        ("qc.json", '{"schema_name": "qcschema_output"}', "or convert it to extended XYZ if it is of another program"),
    ],
)
def test_a_file_that_is_taken_for_another_kind_is_told_so(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(AssayError, match=f"{name} .*{words}"):
        list(read_frames(tmp_path / name))


def test_a_cube_is_refused_for_it_does_not_say_whether_its_box_repeats(tmp_path):
    """A molecule with a grid around it would be a crystal."""
    cube = "water\n\n1 0 0 0\n1 9 0 0\n1 0 9 0\n1 0 0 9\n8 8.0 0 0 0\n0.5\n"
    (tmp_path / "a.cube").write_text(cube)
    with pytest.raises(AssayError, match=r"a\.cube .* does not say whether its box repeats: .* extended XYZ"):
        list(read_frames(tmp_path / "a.cube"))


def test_an_input_of_gaussian_tells_its_charge_and_multiplicity(tmp_path):
    again = "--Link1--\n%chk=a.chk\n#p freq hf Geom=AllCheck guess=read\n\n"
    (tmp_path / "a.gjf").write_text(GJF.format(1) + again)
    [load] = read_frames(tmp_path / "a.gjf")
    read = Structure.from_ase(load())
    assert (read.charge, read.spin) == (-1, 2)


CIF = """data_x
_cell_length_a 9
_cell_length_b 9
_cell_length_c 9
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
C1 C 0.5 0.5 0.5 1.0
{}"""


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        ("Cl1 Cl 0.6 0.4 0.4 0.7\nBr1 Br 0.6 0.4 0.4 0.3\n", "Cl with an occupancy of 0.7"),
        ("H4 H 0.8 0.8 0.8 0.5\n", "H with an occupancy of 0.5"),
    ],
)
def test_a_crystal_with_atoms_in_part_is_refused(tmp_path, atoms, words):
    (tmp_path / "a.cif").write_text(CIF.format(atoms))
    [load] = read_frames(tmp_path / "a.cif")
    with pytest.raises(AssayError, match=rf"structure 0 of .*a\.cif has an atom {words}: keep one"):
        load()


def test_a_crystal_with_whole_atoms_is_read(tmp_path):
    (tmp_path / "a.cif").write_text(CIF.format("Cl1 Cl 0.6 0.4 0.4 1\n"))
    [load] = read_frames(tmp_path / "a.cif")
    assert load().numbers.tolist() == [6, 17] and load().pbc.all()


def pdb_of(*atoms):
    """Hydrogens of PDB by name, alternative location, residue and occupancy."""
    line = "ATOM  {:5d}  {:<3}{:1}ALA A{:4d}    {:8.3f}   0.000   0.000{:>6}  0.00           H\n"
    rows = (
        line.format(k, name, where, residue, k, occupancy) for k, (name, where, residue, occupancy) in enumerate(atoms)
    )
    return "".join(rows) + "END\n"


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        ([("H1", "A", 1, "0.60"), ("H1", "B", 1, "0.40")], "has alternative locations of the atom 'H1 BALA A"),
        ([("H1", "A", 1, ""), ("H1", "B", 1, "")], "has alternative locations of the atom"),
        ([("H1", "", 1, "1.00"), ("H2", "", 1, "0.50")], "has an atom 'H2 .*' with an occupancy of 0.50"),
    ],
)
def test_alternative_locations_of_an_atom_are_refused(tmp_path, atoms, words):
    (tmp_path / "a.pdb").write_text(pdb_of(*atoms))
    with pytest.raises(AssayError, match=rf"a\.pdb {words}"):
        list(read_frames(tmp_path / "a.pdb"))


@pytest.mark.parametrize(
    "atoms",
    [
        [("H1", "", 1, "1.00"), ("H2", "", 1, "1.00")],
        [("H1", "", 1, "0.00"), ("H2", "", 1, "")],
        [("H1", "A", 1, "0.60"), ("H1", "B", 2, "0.70")],
        [("H1", "A", 1, "0.60"), ("H2", "A", 1, "0.60")],
    ],
)
def test_one_location_of_each_atom_is_read_from_every_model(tmp_path, atoms):
    (tmp_path / "a.pdb").write_text(2 * pdb_of(*atoms))
    assert [load().numbers.tolist() for load in read_frames(tmp_path / "a.pdb")] == [[1, 1], [1, 1]]


def numbers_of(path, text):
    path.write_text(text)
    [load] = read_frames(path)
    return load().numbers.tolist()


def gro_of(residue, *names):
    line = "    1{:<5}{:>5}{:5d}   0.{:d}00   0.000   0.012\n"
    rows = "".join(line.format(residue, name, k, k) for k, name in enumerate(names))
    return f"by hand\n{len(names)}\n{rows}   1.0 1.0 1.0\n"


def named_pdb_of(residue, *names):
    """PDB without its columns of elements."""
    line = "ATOM  {:5d} {:<4} {:<4}A   1    {:8.3f}   0.000   0.000  1.00  0.00\n"
    return "".join(line.format(k, name, residue, k) for k, name in enumerate(names)) + "END\n"


def g96_of(residue, *names):
    line = "    1 {:<5} {:<5}{:7d}{:15.9f}    0.000000000    0.000000000\n"
    rows = "".join(line.format(residue, name, k, k / 10) for k, name in enumerate(names))
    return f"TITLE\nby hand\nEND\nPOSITION\n{rows}END\nBOX\n 1.0 1.0 1.0\nEND\n"


NAMED = {"a.gro": gro_of, "a.pdb": named_pdb_of, "a.g96": g96_of}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    ("residue", "names", "numbers"),
    [
        ("SOL", ("OW", "HW1", "HW2"), [8, 1, 1]),
        ("GLU", ("N", "CA", "HA", "CB", "CD", "OE1", "HG2"), [7, 6, 1, 6, 6, 8, 1]),
        ("NHIE", ("NE2", "HE2", "CD2", "CE1"), [7, 1, 6, 6]),
        ("CYS2", ("CA", "SG"), [6, 16]),
        ("LIG", ("C12", "HO3'", "OXT", "Cl1", "S", "F1", "Na"), [6, 1, 8, 17, 16, 9, 11]),
    ],
)
def test_names_of_atoms_that_tell_elements_are_read(tmp_path, name, residue, names, numbers):
    assert numbers_of(tmp_path / name, NAMED[name](residue, *names)) == numbers


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(
    ("residue", "unclear"),
    [
        ("CL", "CL"),
        ("NA", "NA"),
        ("ION", "SOD"),
        ("LIG", "BR1"),
        ("LIG", "CA"),
        ("SOL", "MW"),
        ("HG", "HG"),
        ("MSE", "SE"),
        ("ALA", "BB"),
    ],
)
def test_names_of_atoms_that_do_not_tell_elements_are_refused(tmp_path, name, residue, unclear):
    (tmp_path / name).write_text(NAMED[name](residue, "C1", unclear))
    words = rf"{name} has names of atoms and no elements, and '{unclear}' in a residue '{residue}' may be of several"
    with pytest.raises(AssayError, match=words):
        list(read_frames(tmp_path / name))


@pytest.mark.parametrize("name", NAMED)
def test_small_letters_that_are_types_tell_no_elements_of_their_residue(tmp_path, name):
    assert numbers_of(tmp_path / name, NAMED[name]("PA", "Ch1", "Hn2", "O3", "Zn4")) == [6, 1, 8, 30]
    (tmp_path / name).write_text(NAMED[name]("PA", "Ch1", "Hn2", "Ca3"))
    with pytest.raises(AssayError, match="'CA3' in a residue 'PA' may be of several"):
        list(read_frames(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "number"), [("OW", 8), ("Na+", 11), ("NA", None), ("CL", None), ("HO", 1), ("Cfa", None)]
)
def test_names_of_dl_poly_are_elements_or_refused(tmp_path, name, number):
    (tmp_path / "CONFIG").write_text(f"by hand\n0 1 1\n9 0 0\n0 9 0\n0 0 9\n{name} 1\n0 0 0\n")
    [load] = read_frames(tmp_path / "CONFIG")
    if number is None:
        told = f"names of atoms and .*'{name}' may be|an atom `{name}`, which is no element"
        with pytest.raises(AssayError, match=rf"structure 0 of .*CONFIG has ({told})"):
            load()
    else:
        assert load().numbers.tolist() == [number]


POSCAR = "{}\n1.0\n4 0 0\n0 4 0\n0 0 4\n{}\nDirect\n0 0 0\n0.5 0.5 0.5\n"


@pytest.mark.parametrize(
    ("comment", "counts", "numbers"),
    [("In As", "1 1", [49, 33]), ("POSCAR", "C O\n1 1", [6, 8]), ("Cu", "2 ! atoms", [29, 29])],
)
def test_a_poscar_that_tells_elements_is_read(tmp_path, comment, counts, numbers):
    assert numbers_of(tmp_path / "POSCAR", POSCAR.format(comment, counts)) == numbers


@pytest.mark.parametrize(("comment", "counts"), [("In As", "2"), ("POSCAR", "2"), ("H2O", "2"), ("NaCl cell", "1 1")])
def test_a_poscar_whose_comment_is_no_list_of_elements_is_refused(tmp_path, comment, counts):
    (tmp_path / "POSCAR").write_text(POSCAR.format(comment, counts))
    with pytest.raises(AssayError, match=r"POSCAR does not say its elements: write a line with their symbols"):
        list(read_frames(tmp_path / "POSCAR"))


def test_potentials_beside_a_poscar_do_not_tell_its_elements(tmp_path):
    (tmp_path / "POTCAR").write_text("   TITEL  = PAW_PBE Ga_d 06Jul2010\n   TITEL  = PAW_PBE N 08Apr2002\n")
    (tmp_path / "POSCAR").write_text(POSCAR.format("P O in a box", "1 1"))
    with pytest.raises(AssayError, match="POSCAR does not say its elements"):
        list(read_frames(tmp_path / "POSCAR"))


@pytest.mark.parametrize("name", ["a.cif", "a.pdb", "POSCAR", "a.cif.gz"])
def test_a_name_in_latin_1_is_passed_over(tmp_path, name):
    salt, path = bulk("NaCl", "rocksalt", 5.64, cubic=True), tmp_path / name
    ase.io.write(path, salt)
    with open_with_compression(str(path), "rb") as file:
        first, rest = file.read().split(b"\n", 1)
    by = {"a.pdb": b"REMARK M\xfcller\n" + first, "POSCAR": b"M\xfcller"}.get(name, b"# M\xfcller\n" + first)
    with open_with_compression(str(path), "wb") as file:
        file.write(by + b"\n" + rest)
    assert len(next(iter(read_frames(path)))()) == len(salt)
    assert read_template(str(path)).numbers.tolist() == salt.numbers.tolist()


def test_capital_letters_for_an_element_of_a_crystal_are_refused(tmp_path):
    (tmp_path / "a.cif").write_text(CIF.format("Cl1 CL 0.6 0.4 0.4 1\n"))
    with pytest.raises(AssayError, match=r"a\.cif has an atom 'CL', which may be of several elements"):
        list(read_frames(tmp_path / "a.cif"))


CRYST1 = "CRYST1{0:9.3f}{0:9.3f}{0:9.3f}  90.00  90.00  90.00 P 1           1\n"
WHOLE = pdb_of(("H1", "", 1, "1.00"), ("H2", "", 1, "1.00"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.pdb", CRYST1.format(1.0) + WHOLE),
        ("a.pdb", CRYST1.format(0.0) + WHOLE),
        ("a.gro", gro_of("SOL", "OW", "HW1", "HW2").replace("1.0 1.0 1.0", "0.00000 0.00000 0.00000")),
        ("a.g96", g96_of("SOL", "OW", "HW1", "HW2").replace("1.0 1.0 1.0", "0.0 0.0 0.0")),
    ],
)
def test_a_cell_that_stands_for_none_is_none(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    [load] = read_frames(tmp_path / name)
    assert not load().pbc.any() and not load().cell.any()


def test_a_cell_above_the_models_of_a_pdb_holds_for_all_and_the_last_line_is_none(tmp_path):
    model = "MODEL        1\n" + WHOLE.replace("END\n", "ENDMDL\n")
    (tmp_path / "a.pdb").write_text(CRYST1.format(9.0) + 2 * model + CRYST1.format(8.0) + model + "END\n")
    frames = [load() for load in read_frames(tmp_path / "a.pdb")]
    assert [atoms.cell.lengths().round(3).tolist() for atoms in frames] == [[9.0] * 3, [9.0] * 3, [8.0] * 3]
    assert all(atoms.pbc.all() for atoms in frames)


@pytest.mark.parametrize(
    "group", ["P 1           1", "P1", "p 1", "P 1       1", "P 1 1 1", "\bP 1        1", "          ", ""]
)
def test_a_pdb_without_symmetry_is_read(tmp_path, group):
    written = CRYST1.format(9.0).replace("P 1           1", group).replace(" \b", "")  # one column to the left
    (tmp_path / "a.pdb").write_text(written + WHOLE)
    [load] = read_frames(tmp_path / "a.pdb")
    assert load().pbc.all() and len(load()) == 2


@pytest.mark.parametrize(
    "group", ["P 21 21 2     8", "P -1          2", "P 43 21 2", "P 1 1 2       2", "P 1 21 1      2"]
)
def test_a_pdb_with_one_part_of_a_cell_is_refused(tmp_path, group):
    written = CRYST1.format(9.0).replace("P 1           1", group) + WHOLE
    (tmp_path / "a.pdb").write_text(written)
    with pytest.raises(AssayError, match=rf"a\.pdb has a cell of the space group '{group[:10].strip()}', whose other"):
        list(read_frames(tmp_path / "a.pdb"))
    (tmp_path / "a.pdb").write_text(written.replace("9.000", "1.000"))  # no cell
    assert len(list(read_frames(tmp_path / "a.pdb"))) == 1


def test_a_pdb_tells_formal_charges(tmp_path):
    ions = WHOLE.replace(" H\n", " H1+\n")
    (tmp_path / "a.pdb").write_text(WHOLE + ions + ions.replace("1+", "1-", 1).replace("1+", "3-"))
    assert [load().info.get("charge") for load in read_frames(tmp_path / "a.pdb")] == [None, 2, -4]
