"""Files of other programs as these write them: read in their units, with their cells, or refused by name."""

import gzip
import re
import tracemalloc
from io import StringIO

import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Bohr, Hartree, kcal, mol

from assay.data import read_dataset
from assay.data.formats import count_structures
from assay.predictors.structure_files import read_frames
from assay.workflow.errors import AssayError
from assay.workflow.runs import parts_of_runs

RESTART = """ &GLOBAL
   RUN_TYPE  {run}
 &END GLOBAL
 &MOTION
   &MD
     ENSEMBLE  {ensemble}
   &END MD
   &PRINT
     &TRAJECTORY  SILENT
       {unit}
       &EACH
         MD  1
       &END EACH
     &END TRAJECTORY
   &END PRINT
 &END MOTION
 &FORCE_EVAL
   &DFT
     CHARGE 1
     MULTIPLICITY 2
   &END DFT
   &SUBSYS
     &CELL
       A     9.0E+00    0.0E+00    0.0E+00
       B     1.0E+00    8.0E+00    0.0E+00
       C     0.0E+00    0.0E+00    7.0E+00
       PERIODIC  {periodic}
     &END CELL
     &COORD
O 0.0 0.0 0.3
H 0.0 0.0 1.3
     &END COORD
     &KIND O
       ELEMENT O
     &END KIND
     &KIND H
       ELEMENT H
     &END KIND
   &END SUBSYS
 &END FORCE_EVAL
"""
CELL = [[9.0, 0.0, 0.0], [1.0, 8.0, 0.0], [0.0, 0.0, 7.0]]
TABLE = "#   Step   Time [fs]" + "".join(f"       {vector}{axis} [Angstrom]" for vector in "ABC" for axis in "xyz")
TIMES = [", time =        0.000", ", time =        0.500", ""]  # an optimization tells none


def frames_of_cp2k(z, elements="OH"):
    """Three frames with the last number of each atom, ``z`` and ``z + 1``, by frame."""
    return "".join(
        f"       2\n i =     {step:3d}{time}, E =       -17.1643447{step:03d}\n"
        f"  {elements[0]}         0.0000000000        0.0000000000        {z[step]:.10f}\n"
        f"  {elements[1]}         0.0000000000        0.0000000000        {z[step] + 1.0:.10f}\n"
        for step, time in enumerate(TIMES)
    )


def run_of_cp2k(folder, restart=True, run="MD", ensemble="NVE", periodic="XYZ", unit="FORMAT XMOL"):
    """A folder as CP2K leaves it; the positions of its run."""
    (folder / "wat-er-pos-1.xyz").write_text(frames_of_cp2k([0.1, 0.2, 0.3]))
    (folder / "wat-er-frc-1.xyz").write_text(frames_of_cp2k([0.01, 0.02, 0.03]))
    if restart:
        text = RESTART.format(run=run, ensemble=ensemble, periodic=periodic, unit=unit)
        (folder / "wat-er-1.restart").write_text(text)
    return folder / "wat-er-pos-1.xyz"


def test_a_run_of_cp2k_is_read_in_its_units_with_its_forces_and_cell(tmp_path, capsys):
    path = run_of_cp2k(tmp_path)
    read = read_dataset(path)
    energies = -17.1643447 - np.array([0.0, 1e-10, 2e-10])
    np.testing.assert_allclose(read.energy, Hartree * energies, rtol=1e-12)
    np.testing.assert_allclose(read.forces[2], Hartree / Bohr * np.array([0.0, 0.0, 0.02]))
    np.testing.assert_allclose(read.positions[2:4, 2], [0.2, 1.2])
    np.testing.assert_allclose(read.cells, [CELL] * 3)
    assert read.pbc.all() and read.charge.tolist() == [1.0] * 3 and read.spin.tolist() == [2.0] * 3
    assert "energy from `energy` (hartree), forces from `forces` (hartree/bohr)" in capsys.readouterr().out


def test_structures_of_cp2k_are_drawn_with_their_own_forces(tmp_path):
    path = run_of_cp2k(tmp_path)
    assert count_structures(path) == 3
    read = read_dataset(path, at_most=1, seed=1)
    z = read.positions[0, 2]
    np.testing.assert_allclose(read.forces[0, 2], 0.1 * z * Hartree / Bohr)


def test_structures_of_cp2k_need_no_forces_but_a_cell(tmp_path):
    path = run_of_cp2k(tmp_path, periodic="NONE")
    (tmp_path / "wat-er-frc-1.xyz").unlink()
    *_, last = read_frames(path)
    assert not last().pbc.any() and last().positions[1, 2] == pytest.approx(1.3)
    with pytest.raises(AssayError, match=r"structure 0 of .*pos-1\.xyz has no forces"):
        read_dataset(path)


@pytest.mark.parametrize("name", ["wat-er-pos-1.xyz", "run.xyz"])
def test_a_trajectory_of_cp2k_without_its_cell_is_refused(tmp_path, name):
    """It would be a molecule."""
    path = run_of_cp2k(tmp_path, restart=False).rename(tmp_path / name)
    with pytest.raises(AssayError, match=rf"{name} is .* of CP2K, which does not tell its cell: .*-1\.restart"):
        list(read_frames(path))


@pytest.mark.parametrize(("more", "axes"), [('pbc="F F F"', [False] * 3), ('Lattice="9 0 0 0 9 0 0 0 9"', [True] * 3)])
def test_a_trajectory_of_cp2k_whose_comment_lines_tell_its_cell_is_read(tmp_path, more, axes):
    lines = frames_of_cp2k([0.1, 0.2, 0.3]).splitlines()
    (tmp_path / "run.xyz").write_text("\n".join(f"{line} {more}" if " E =" in line else line for line in lines))
    assert [load().pbc.tolist() for load in read_frames(tmp_path / "run.xyz")] == [axes] * 3


@pytest.mark.parametrize(("kind", "word"), [("frc", "forces"), ("vel", "velocities")])
@pytest.mark.parametrize(
    "comment",
    [
        " i =        0, time =        0.000, E =       -17.1643447508",
        'Lattice="9.0 0.0 0.0 0.0 9.0 0.0 0.0 0.0 9.0" Properties=species:S:1:pos:R:3 pbc="T T T" Step=0 Time=0.000 '
        "Energy=-17.1643447508",
    ],
)
def test_forces_of_cp2k_are_no_positions(tmp_path, kind, word, comment):
    path = tmp_path / f"water-{kind}-1.xyz"
    path.write_text(f"2\n{comment}\nO 0 0 0.01\nH 0 0 -0.01\n")
    with pytest.raises(AssayError, match=rf"{path.name} holds {word} of CP2K, and no positions: give water-pos-1\.xyz"):
        list(read_frames(path))


@pytest.mark.parametrize(
    "forces",
    [
        frames_of_cp2k([0.01, 0.02, 0.03]).replace("time =        0.500", "time =        1.000"),
        frames_of_cp2k([0.01, 0.02, 0.03], "HO"),
        "".join(frames_of_cp2k([0.01, 0.02, 0.03]).splitlines(keepends=True)[:4]),
    ],
    ids=["step", "atoms", "end"],
)
def test_forces_of_other_steps_or_atoms_are_refused(tmp_path, forces):
    path = run_of_cp2k(tmp_path)
    (tmp_path / "wat-er-frc-1.xyz").write_text(forces)
    with pytest.raises(
        AssayError, match=r"structure [01] of .* is not of the same step and atoms as that of wat-er-frc"
    ):
        read_dataset(path)


@pytest.mark.parametrize(("run", "ensemble"), [("CELL_OPT", "NVE"), ("MD", "NPT_I")])
def test_a_run_of_cp2k_that_changes_its_cell_needs_all_of_them(tmp_path, run, ensemble):
    path = run_of_cp2k(tmp_path, run=run, ensemble=ensemble)
    with pytest.raises(AssayError, match=r"changes its cell .*: put wat-er-1\.cell"):
        read_dataset(path)
    rows = [f"{step} 0.0 9.0 0.0 0.0 1.0 8.0 0.0 0.0 0.0 {7.0 + step} 500.0" for step in range(3)]
    (tmp_path / "wat-er-1.cell").write_text("\n".join([f"{TABLE}      Volume [Angstrom^3]", *rows]))
    read = read_dataset(path)
    np.testing.assert_allclose(read.cells[:, 2, 2], [7.0, 8.0, 9.0])
    np.testing.assert_allclose(read.cells[:, 1], [CELL[1]] * 3)
    (tmp_path / "wat-er-1.cell").write_text("\n".join([TABLE, *rows[:2]]))
    with pytest.raises(AssayError, match=r"is step 2, whose cell is not in .*wat-er-1\.cell"):
        read_dataset(path)
    (tmp_path / "wat-er-1.cell").write_text("\n".join([TABLE.replace("Angstrom", "bohr"), *rows]))
    with pytest.raises(AssayError, match=r"wat-er-1\.cell is no table of cells of CP2K in angstrom"):
        read_dataset(path)


def test_a_run_of_cp2k_in_other_units_or_of_other_atoms_is_refused(tmp_path):
    with pytest.raises(AssayError, match=r"1\.restart says that TRAJECTORY has the UNIT bohr, which is not read"):
        read_dataset(run_of_cp2k(tmp_path, unit="UNIT bohr"))
    assert len(read_dataset(run_of_cp2k(tmp_path, unit="UNIT angstrom"))) == 3
    path = run_of_cp2k(tmp_path)
    path.write_text(frames_of_cp2k([0.1, 0.2, 0.3], "OF"))
    with pytest.raises(AssayError, match=r"has other atoms than .*1\.restart: put the restart file of its own run"):
        read_dataset(path)


def test_a_file_of_forces_that_ends_within_a_line_is_named(tmp_path):
    """As while a run goes on; its positions are whole."""
    path = run_of_cp2k(tmp_path)
    forces = tmp_path / "wat-er-frc-1.xyz"
    forces.write_text(forces.read_text()[:-30])
    with pytest.raises(AssayError, match=r"structure 2 of .*wat-er-frc-1\.xyz does not have the columns"):
        read_dataset(path)


def test_structures_of_cp2k_do_not_need_the_forces_of_each(tmp_path):
    """A run may print them less often than positions."""
    path = run_of_cp2k(tmp_path)
    (tmp_path / "wat-er-frc-1.xyz").write_text(frames_of_cp2k([0.01, 0.02, 0.03]).replace("time =        0.500", ""))
    assert [load().positions[0, 2] for load in read_frames(path)] == pytest.approx([0.1, 0.2, 0.3])
    with pytest.raises(AssayError, match=r"structure 1 of .* is not of the same step and atoms"):
        read_dataset(path)


@pytest.mark.parametrize("words", ["UNIT bohr", "SCALED T"])
def test_the_unit_of_the_last_positions_of_cp2k_is_not_that_of_its_trajectory(tmp_path, words):
    """As crystals have it whose input gives fractions of lattice vectors."""
    path = run_of_cp2k(tmp_path)
    restart = tmp_path / "wat-er-1.restart"
    restart.write_text(restart.read_text().replace("&COORD\n", f"&COORD\n       {words}\n", 1))
    read = read_dataset(path)
    np.testing.assert_allclose(read.positions[:2, 2], [0.1, 1.1])
    np.testing.assert_allclose(read.cells, [CELL] * 3)


def test_a_unit_of_cp2k_below_a_part_of_its_section_counts(tmp_path):
    path = run_of_cp2k(tmp_path)
    restart = tmp_path / "wat-er-1.restart"
    section = "     &FORCES\n &EACH\n MD 1\n &END EACH\n UNIT eV*angstrom^-1\n &END FORCES\n"
    restart.write_text(restart.read_text().replace("   &END PRINT", f"{section}   &END PRINT"))
    with pytest.raises(AssayError, match=r"says that FORCES has the UNIT eV\*angstrom\^-1, which is not read"):
        read_dataset(path)
    restart.write_text(restart.read_text().replace("FORCES", "VELOCITIES"))
    assert len(read_dataset(path)) == 3


def test_a_run_of_cp2k_that_kept_its_cell_only_at_last_has_all_of_them(tmp_path):
    """As one at constant pressure and then, under the same name, at constant volume."""
    path = run_of_cp2k(tmp_path)
    rows = [f"{step} 0.0 9.0 0.0 0.0 1.0 8.0 0.0 0.0 0.0 {length} 500.0" for step, length in enumerate([7.5, 7.2, 7.0])]
    (tmp_path / "wat-er-1.cell").write_text("\n".join([TABLE, *rows]))
    np.testing.assert_allclose(read_dataset(path).cells[:, 2, 2], [7.5, 7.2, 7.0])
    (tmp_path / "wat-er-1.cell").write_text("\n".join([TABLE, rows[2]]))
    np.testing.assert_allclose(read_dataset(path).cells, [CELL] * 3)


@pytest.mark.parametrize("name", ["wat-er-pos-1.xyz", "wat-er-frc-1.xyz", "wat-er-1.restart"])
def test_each_file_of_a_run_of_cp2k_may_be_compressed(tmp_path, name):
    path, compressed = run_of_cp2k(tmp_path), tmp_path / f"{name}.gz"
    compressed.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    (tmp_path / name).unlink()
    path = path if path.is_file() else compressed
    np.testing.assert_allclose(read_dataset(path).forces[2], Hartree / Bohr * np.array([0.0, 0.0, 0.02]))
    assert {path, *parts_of_runs({"path": str(path)})} == set(tmp_path.iterdir())


LAMMPS = (
    '2\nTimestep=10 Time=5.000000 pbc="T T T" Lattice="9 0 0 1 8 0 0 0 7" Potential_energy=-3.5 Temperature=300.1 '
    'Stress="100 0 0 0 100 0 0 0 100" Properties=species:S:1:pos:R:3:vel:R:3:forces:R:3\n'
    "O 0 0 0.1 9 9 9 0 0 2.5\nH 0 0 1.1 9 9 9 0 0 -2.5\n"
)


def test_a_dump_of_lammps_as_extended_xyz_does_not_tell_its_units(tmp_path):
    """They are those of ``units``, such as kcal/mol, and its pressure has the sign of no stress."""
    path = tmp_path / "dump.extxyz"
    path.write_text(LAMMPS)
    with pytest.raises(
        AssayError, match=r"dump\.extxyz does not say its units: name them .* units: {energy: \.\.\.}, or by"
    ):
        read_dataset(path)
    read = read_dataset({"path": path, "units": {"energy": "kcal/mol"}})
    np.testing.assert_allclose(read.energy, [-3.5 * kcal / mol])
    np.testing.assert_allclose(read.forces[0], [0.0, 0.0, 2.5 * kcal / mol])
    assert read.stress is None
    [load] = read_frames(path)
    np.testing.assert_allclose(load().positions[1], [0.0, 0.0, 1.1])
    np.testing.assert_allclose(load().cell, CELL)


def test_a_dump_of_lammps_that_ase_wrote_again_tells_no_more(tmp_path):
    path = tmp_path / "again.xyz"
    (tmp_path / "dump.extxyz").write_text(LAMMPS)
    ase.io.write(path, ase.io.read(tmp_path / "dump.extxyz"), format="extxyz")
    with pytest.raises(AssayError, match=r"again\.xyz does not say its units"):
        read_dataset(path)
    read = read_dataset({"path": path, "units": {"energy": "kcal/mol"}})
    np.testing.assert_allclose(read.energy, [-3.5 * kcal / mol])
    assert read.stress is None


def test_a_dump_of_lammps_that_others_labelled_has_their_labels(tmp_path):
    """In eV, as any extended XYZ; what LAMMPS said of it stays there."""
    atoms = ase.io.read(StringIO(LAMMPS), format="extxyz")
    stress = 0.01 * np.arange(1.0, 7.0)
    atoms.calc = SinglePointCalculator(atoms, energy=-7.0, forces=np.ones((2, 3)), stress=stress)
    ase.io.write(tmp_path / "labelled.xyz", atoms, format="extxyz")
    read = read_dataset({"path": tmp_path / "labelled.xyz", "energy_key": "energy", "forces_key": "forces"})
    assert read.energy.tolist() == [-7.0] and read.forces.tolist() == [[1.0] * 3] * 2
    np.testing.assert_allclose(np.diagonal(read.stress[0]), stress[:3])


def test_positions_of_dftb_without_their_cell_are_refused(tmp_path):
    (tmp_path / "geo_end.xyz").write_text("1\nGeometry step: 185, Lattice step: 8 **\nC 0 0 0 4.0\n")
    [load] = read_frames(tmp_path / "geo_end.xyz")
    with pytest.raises(AssayError, match=r"geo_end\.xyz is of DFTB\+, whose cell does not .*: give geo_end\.gen"):
        load()


@pytest.mark.parametrize("n", [1, 2])
def test_lattice_vectors_below_the_atoms_are_not_passed_over(tmp_path, n):
    """As AMS writes them: the crystal would be a molecule."""
    vectors = "VEC1       4.12000000000000       0.00000000000000       0.00000000000000\n"
    (tmp_path / "output.xyz").write_text(n * "1\nBand in AMS.\nCs 0 0 0\n" + vectors)
    answers = read_frames(tmp_path / "output.xyz")
    assert all(next(answers)().numbers.tolist() == [55] for _ in range(n - 1))
    with pytest.raises(AssayError, match=rf"structure {n - 1} of .*output\.xyz has lattice vectors below its atoms"):
        next(answers)


BANNERS = {
    "Psi4": "\n    ------\n          Psi4: An Open-Source Ab Initio Electronic Structure Package\n",
    "Q-Chem": "You are running Q-Chem version: 5.2.0\n\n    Welcome to Q-Chem\n",
    "Turbomole": "\n grad (node) : TURBOMOLE V7.1 ( 20661 ) 10 Jun 2016 at 08:56:48\n",
    "DFTB+": "mermin_energy       :real:0:\n -0.41E+001\ntotal_energy        :real:0:\n -0.41E+001\n",
    "MOPAC": " ** (a) MOPAC2012, James J. P. Stewart, Stewart Computational Chemistry,   **\n",
    "Molpro": "                         ***  PROGRAM SYSTEM MOLPRO  ***\n",
    "SIESTA": "Siesta Version  : v4.0.2\n",
    "ABINIT": "\n.Version 7.8.2 of ABINIT \n",
    "DMol3": "\n     Materials Studio DMol^3 version 3.0\n",
    "Jaguar": "  |           Jaguar version 8.0, release 15           |\n",
    "xtb": "      |                           x T B                           |\n",
}


READ = {  # as structures
    "VASP": " vasp.5.4.4.18Apr17-6-g9f103f2a35 (build Sep 18 2018 16:57:57) complex\n",
    "NWChem": "              Northwest Computational Chemistry Package (NWChem) 6.6\n",
}
READ_WITH_LABELS = {
    "CP2K": " DBCSR| Multrec recursion limit   512\n CP2K| version string:    CP2K version 7.1\n FORCES|   1  1.0\n",
    "FHI-aims": "------\n          Invoking FHI-aims ...\n",
    "Gaussian": " Entering Gaussian System, Link 0=g16\n",
    "Quantum ESPRESSO": "\n     Program PWSCF v.5.4.0 starts on 22Sep2019 at 18: 5:43\n",
    "ORCA": "\n                                 * O   R   C   A *\n",
}
LABELS = (
    "(write its structures as extended XYZ, with `energy` in eV|.*dpdata makes it an ASE trajectory, by `dpdata /"
    r"|give vasprun\.xml or OUTCAR of its run)"
)


@pytest.mark.parametrize("program", BANNERS)
@pytest.mark.parametrize("name", ["run.out", "run.log", "output.dat", "stdout"])
def test_an_output_of_another_program_is_refused_by_its_name(tmp_path, name, program):
    (tmp_path / name).write_text(BANNERS[program])
    with pytest.raises(AssayError, match=rf"{name} is of {re.escape(program)}, whose outputs are not read: \w+"):
        list(read_frames(tmp_path / name))


@pytest.mark.parametrize(("program", "text"), [*BANNERS.items(), *READ.items()])
def test_an_output_whose_labels_are_not_read_says_what_makes_them(tmp_path, program, text):
    (tmp_path / "run.out").write_text(text)
    words = rf"run\.out is of {re.escape(program)}, whose outputs are not read as labels: {LABELS}"
    with pytest.raises(AssayError, match=words):
        read_dataset(tmp_path / "run.out")


@pytest.mark.parametrize(("program", "text"), [*READ.items(), *READ_WITH_LABELS.items()])
def test_an_output_that_is_read_is_not_refused_for_its_program(tmp_path, program, text):
    """What is wrong with it is something else, such as that it was cut off."""
    (tmp_path / "run.out").write_text(text)
    for read in (lambda path: list(read_frames(path)), *([read_dataset] if program in READ_WITH_LABELS else [])):
        with pytest.raises(AssayError, match=r"run\.out") as error:
            read(tmp_path / "run.out")
        assert "whose outputs" not in str(error.value)


@pytest.mark.parametrize("other", ["xtb", "MOPAC"])
def test_a_program_that_runs_another_is_named_itself(tmp_path, other):
    (tmp_path / "run.out").write_text(READ["NWChem"] + BANNERS[other])
    with pytest.raises(AssayError, match=r"run\.out is of NWChem, whose outputs are not read as labels"):
        read_dataset(tmp_path / "run.out")


def test_a_large_file_without_ends_of_lines_is_refused_by_its_beginning(tmp_path):
    path = tmp_path / "frames.bin"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    tracemalloc.start()
    with pytest.raises(AssayError, match=r"frames\.bin is of no format that is known"):
        read_dataset(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_mol2_file_is_refused_by_its_name(tmp_path):
    (tmp_path / "water.mol2").write_text("@<TRIPOS>MOLECULE\nwater\n")
    with pytest.raises(AssayError, match=r"water\.mol2 is a mol2 file, which is not read: convert it to SDF"):
        list(read_frames(tmp_path / "water.mol2"))
