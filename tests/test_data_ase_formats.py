"""Formats of ASE: those that its readers have whole, those whose text tells where they do not, and all others."""

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.io.formats import ioformats

from assay.data.ase_files import AseFile
from assay.data.formats import open_frames
from assay.predictors.structure_files import read_frames
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

HSD = 'Geometry = {\n TypeNames = { "O" }\n TypesAndCoordinates = {\n 1 0 0 0.225\n }\n}\n'
NWI = "geometry units au\nO 0 0 0.225\nend\n"
ABINIT = "acell 3*10 angstrom\nnatom 1\nntypat 1\nznucl 8\ntypat 1\nxcart 0 0 0.119 angstrom\n"
PUNCH = " $DATA\nwater\nCNV 2\n\nO 8.0 0.0 0.0 0.119\nH 1.0 0.0 0.763 -0.476\n $END\n"
CFG = """Number of particles = 1
A = {} Angstrom
H0(1,1) = 5 A
H0(2,2) = 5 A
H0(3,3) = 5 A
.NO_VELOCITY.
entry_count = 3
{}
{}
0.5 0.5 0.5
"""
DUMP = (
    "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
    "ITEM: ATOMS element mass x y z\n{} {} 1 1 1\n"
)
RES = "TITL salt\nCELL 1.0 5.64 5.64 5.64 90 90 90\nLATT {}\nSFAC Na\nNa 1 0.0 0.0 0.0 1.0\nEND\n"
CELL = (
    "%BLOCK LATTICE_CART\n{}\n9 0 0\n0 9 0\n0 0 9\n%ENDBLOCK LATTICE_CART\n"
    "%BLOCK POSITIONS_FRAC\nO 0 0 0\n%ENDBLOCK POSITIONS_FRAC\n"
)
CAR = "!BIOSYM archive 3\nPBC={}\n\n!DATE\n{}O1 0.0 0.0 0.1 XXXX 1 xx O 0.000\nend\n{}end\n"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "dftb_in.hsd",
            HSD,
            "is an input of DFTB.*, of which ASE's reader passes over units: give its geometry as a gen",
        ),
        (
            "a.nwi",
            NWI,
            r"is a file of ASE's format nwchem-in \(NWChem input file\), .* units, .*convert it to extended XYZ",
        ),
        ("abinit.in", ABINIT, "is a file of ASE's format abinit-in .*convert it to extended XYZ"),
        ("water.dat", PUNCH, "is a file of ASE's format gamess-us-punch .*convert it to extended XYZ"),
        ("salt.xsd", "<XSD/>\n", "is a file of ASE's format xsd .*convert it to extended XYZ"),
        ("salt.sys", "set cell 9 0 0 0 9 0 0 0 9 bohr\n", "is a file of ASE's format sys .*convert it to extended XYZ"),
        ("qbox.r", "<fpmd:simulation xmlns:fpmd='x'>\n", "is a file of ASE's format qbox .*convert it to extended XYZ"),
        ("amber.nc", "CDF\x01", "is a NetCDF trajectory, which tells types .* convert it to extended XYZ"),
        ("a.dcd", "CORD", "is a DCD file, which does not tell elements: convert it to extended XYZ"),
        ("lmp.cfg", CFG.format(1, 15.9994, "C"), "has atoms `C` with a mass of 15.9994, .*dump_modify ... element"),
        ("a.cfg", CFG.format(2, 15.9994, "O"), "has `A = 2 Angstrom`, which ASE's reader passes over"),
        ("a.cfg", CFG.format(1.5, 15.9994, "O"), "has `A = 1.5 Angstrom`, which ASE's reader passes over"),
        ("a.lammpstrj", DUMP.format("C", 15.9994), "has atoms `C` with a mass of 15.9994"),
        ("a.res", RES.format(4), "has `LATT 4`, which ASE's reader passes over"),
        ("a.cell", CELL.format("a0"), "has `a0`, which ASE's reader passes over"),
        ("a.car", CAR.format("2D", "", ""), "has `PBC=2D`, which ASE's reader passes over"),
        (
            "a.car",
            CAR.format("ON", "PBC 9.0 9.0 9.0 90.0 90.0 90.0 (FM-3M)\n", ""),
            "has `PBC 9.0 .*FM-3M.*passes over",
        ),
    ],
)
def test_what_ases_reader_may_pass_over_is_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(AssayError, match=f"{name} {words}"):
        list(read_frames(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "text", "number"),
    [
        ("a.cfg", CFG.format("1.0", 15.9994, "O"), 8),
        ("a.lammpstrj", DUMP.format("O", 15.9994), 8),
        ("a.lammpstrj", DUMP.format("C", 13.0034), 6),
        ("a.lammpstrj", DUMP.format("H", 2.014), 1),
        ("a.lammpstrj", DUMP.format("H", 4.0), 1),
        ("a.lammpstrj", DUMP.format("Se", 79.9165), 34),
        ("a.lammpstrj", DUMP.format("Ge", 69.924), 32),
        ("a.cfg", CFG.format(1, 1.0, "Cu"), 29),
        ("a.res", RES.format(-1), 11),
        ("a.res", RES.format("   -1"), 11),
        ("a.cell", CELL.format("ang"), 8),
        ("a.car", CAR.format("OFF", "", ""), 8),
    ],
)
def test_what_ase_has_whole_is_read(tmp_path, name, text, number):
    (tmp_path / name).write_text(text)
    [load] = read_frames(tmp_path / name)
    assert load().numbers.tolist() == [number]


FORMATS = {
    "aims": "geometry.in",
    "castep-cell": "a.cell",
    "castep-geom": "a.geom",
    "castep-md": "a.md",
    "cfg": "a.cfg",
    "cif": "a.cif",
    "crystal": "a.f34",
    "dlp4": "CONFIG",
    "eon": "a.con",
    "gaussian-in": "a.gjf",
    "gen": "a.gen",
    "gromacs": "a.gro",
    "gromos": "a.g96",
    "magres": "a.magres",
    "onetep-in": "a.onetep-in",
    "proteindatabank": "a.pdb",
    "res": "a.res",
    "struct": "a.struct",
    "traj": "a.traj",
    "v-sim": "a.ascii",
    "vasp": "POSCAR",
    "vasp-xdatcar": "XDATCAR",
    "xsf": "a.xsf",
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_crystal_as_ase_writes_it_is_read_whole(tmp_path, kind):
    salt = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    ase.io.write(tmp_path / FORMATS[kind], salt, format=kind)
    [load] = AseFile(tmp_path / FORMATS[kind]).frames()
    read = load().to_ase()
    assert sorted(read.numbers) == sorted(salt.numbers) and read.pbc.all()
    np.testing.assert_allclose(read.cell.cellpar(), salt.cell.cellpar(), atol=1e-4)
    nearest = np.sort(read.get_all_distances(mic=True), axis=1)[:, 1]
    np.testing.assert_allclose(nearest, 2.82, atol=1e-3)


READ = {*FORMATS, "abinit-gsr", "aims-output", "castep-castep", "castep-phonon", "cp2k-restart", "db", "dlp-history"}
READ |= {"dmol-car", "elk", "espresso-in", "espresso-out", "gamess-us-out", "gaussian-out", "gpaw-out", "gpw", "json"}
READ |= {"lammps-data", "lammps-dump-text", "nomad-json", "nwchem-out", "onetep-out", "orca-output", "siesta-xv"}
READ |= {"struct_out", "turbomole", "turbomole-gradient", "vasp-out", "vasp-xml"}


@pytest.mark.parametrize("kind", sorted({kind for kind, form in ioformats.items() if form.can_read} - READ))
def test_every_other_format_of_ase_is_refused(tmp_path, monkeypatch, kind):
    """So is a new one, until it is known to be read whole."""
    monkeypatch.setattr("assay.data.ase_files.filetype", lambda _: kind)
    (tmp_path / "a.file").write_text("nothing\n")
    with pytest.raises(AssayError, match=r"a\.file (is|has) .*: (convert it|give its|write it|let it)"):
        list(AseFile(tmp_path / "a.file").frames())


RESTART = """ &FORCE_EVAL
   &DFT
     CHARGE  1
     MULTIPLICITY  2
   &END DFT
   &QMMM
     &CELL
       PERIODIC  Z
     &END CELL
   &END QMMM
   &SUBSYS
     &CELL
       A     1.0E+01    0.0E+00    0.0E+00
       B     0.0E+00    1.0E+01    0.0E+00
       C     0.0E+00    0.0E+00    1.0E+01
       {}
     &END CELL
     &COORD
{}OW 0.0 0.0 0.119
HO 0.0 0.763 -0.476
HO 0.0 -0.763 -0.476
     &END COORD
     &KIND OW
       BASIS_SET DZVP
       ELEMENT O
     &END KIND
     &KIND HO
       ELEMENT H
       &POTENTIAL
       &END POTENTIAL
     &END KIND
   &END SUBSYS
 &END FORCE_EVAL
"""


@pytest.mark.parametrize(
    ("periodic", "axes"),
    [("PERIODIC  NONE", [False] * 3), ("PERIODIC XY", [True, True, False]), ("MULTIPLE_UNIT_CELL 1 1 1", [True] * 3)],
)
def test_a_restart_of_cp2k_has_the_elements_of_its_kinds_and_the_axes_that_it_names(tmp_path, periodic, axes):
    (tmp_path / "a.restart").write_text(RESTART.format(periodic, ""))
    [load] = read_frames(tmp_path / "a.restart")
    assert load().numbers.tolist() == [8, 1, 1] and load().pbc.tolist() == axes
    read = Structure.from_ase(load())
    assert (read.charge, read.spin) == (1, 2)


@pytest.mark.parametrize("words", ["UNIT bohr", "SCALED T"])
def test_a_restart_of_cp2k_in_another_unit_is_refused(tmp_path, words):
    (tmp_path / "a.restart").write_text(RESTART.format("", f"       {words}\n"))
    with pytest.raises(AssayError, match=rf"a\.restart has `&COORD.*{words}`, which ASE's reader passes over"):
        list(read_frames(tmp_path / "a.restart"))


@pytest.mark.parametrize("text", ["LAMMPS", RESTART.partition("&END SUBSYS")[0]])
def test_a_restart_that_is_cut_off_or_of_another_program_is_refused(tmp_path, text):
    (tmp_path / "a.restart").write_text(text)
    with pytest.raises(AssayError, match=r"a\.restart is no whole restart of CP2K, for which ASE takes it"):
        list(read_frames(tmp_path / "a.restart"))


XDATCAR = """NaCl
 1
 4.0 0.0 0.0
 0.0 4.0 0.0
 0.0 0.0 4.0
 Na_pv/6a2f5 Cl/0b61a
 1 1
Direct configuration=     1
 0.0 0.0 0.0
 0.5 0.5 0.5
"""
HALF = "Direct configuration=     2\n 0.0 0.0 0.0\n 0.4"


def test_an_xdatcar_names_potentials_behind_elements(tmp_path):
    (tmp_path / "XDATCAR").write_text(XDATCAR + HALF + " 0.5 0.5\n")
    first, second = read_frames(tmp_path / "XDATCAR")
    assert first().numbers.tolist() == [11, 17]
    np.testing.assert_allclose(second().positions[1], [1.6, 2.0, 2.0])


@pytest.mark.parametrize(("text", "n_whole"), [(XDATCAR + HALF, 1), (XDATCAR[:-14], 0)])
def test_an_xdatcar_that_ends_within_a_structure_costs_that_one_alone(tmp_path, text, n_whole):
    (tmp_path / "XDATCAR").write_text(text)
    frames = read_frames(tmp_path / "XDATCAR")
    assert [next(frames)().numbers.tolist() for _ in range(n_whole)] == n_whole * [[11, 17]]
    with pytest.raises(AssayError, match="XDATCAR ends within a structure"):
        next(frames)


OUTCAR = """ vasp.5.4.4
 POTCAR:    PAW_PBE Ge 05Jan2001
 POTCAR:    PAW_PBE Ge 05Jan2001
   ISPIN  =      1
   ions per type =               1
---------------------------------- Iteration      1(   1)  ----------------------------------
      direct lattice vectors                 reciprocal lattice vectors
     4.0 0.0 0.0     0.25 0.0 0.0
     0.0 5.0 0.0     0.0 0.2 0.0
     0.0 0.0 6.0     0.0 0.0 0.16667

 POSITION                                       TOTAL-FORCE (eV/Angst),             FORCE-w/o vdW (eV/Angst)
 -----------------------------------------------------------------------------------
      1.0  2.0  3.0     0.1 0.0 0.0    0.2 0.0 0.0
 -----------------------------------------------------------------------------------

  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =       -33.3 eV    w/o vdW =       -32.3 eV

  energy  without entropy=      -33.5 eV    w/o vdW =       -32.5  energy(sigma->0) =      -33.4 eV    w/o vdW =  -32.4
"""


def test_an_outcar_may_tell_energies_without_dispersion(tmp_path):
    (tmp_path / "OUTCAR").write_text(OUTCAR)
    [load] = open_frames(tmp_path / "OUTCAR").frames()
    np.testing.assert_allclose(load().positions, [[1.0, 2.0, 3.0]])
    assert (load().info["free_energy"], load().info["e_0_energy"], load().arrays["forces"][0, 0]) == (-33.3, -33.4, 0.1)


def test_an_outcar_with_steps_of_a_learned_force_field_is_refused(tmp_path):
    (tmp_path / "OUTCAR").write_text(OUTCAR.replace("energy   TOTEN", "energy ML TOTEN"))
    with pytest.raises(AssayError, match=r"OUTCAR has steps of a learned force field, .*: give its XDATCAR"):
        next(read_frames(tmp_path / "OUTCAR"))
