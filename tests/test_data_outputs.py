"""Inputs and outputs of quantum chemistry: their charge and multiplicity, and all of their structures."""

import numpy as np
import pytest

from assay.data.passed_over import check_read
from assay.predictors.structure_files import read_frames
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

WATER = [("O", 8, 0.0, 0.119), ("H", 1, 0.763, -0.476), ("H", 1, -0.763, -0.476)]


def orientation_of(shift):
    rows = "".join(f" {k} {number} 0 0.0 {y} {z + shift}\n" for k, (_, number, y, z) in enumerate(WATER, 1))
    return f" Standard orientation:\n ---\n Center\n Number\n ---\n{rows} ---\n SCF Done:  E(RB3LYP) =  -76.4 A.U.\n"


GAUSSIAN = " Entering Gaussian System\n Charge =  1 Multiplicity = 2\n{}" + r" 1\1\GINC-NODE\FOpt" + "\n\n"
ORCA = """   * O   R   C   A *
---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
  O      0.000000    0.000000    0.119000

 Total Charge           Charge          ....    {0}
 Multiplicity           Mult            ....    {1}
FINAL SINGLE POINT ENERGY       -75.0
 Total Charge           Charge          ....    {2}
ORCA TERMINATED NORMALLY
"""
ESPRESSO = """&control
/
&system
 ibrav = 0, nat = 1, ntyp = 1
 tot_charge = 1.0d0 ! and not -1
/
ATOMIC_SPECIES
O 16.0 O.upf
CELL_PARAMETERS angstrom
9 0 0
0 9 0
0 0 9
ATOMIC_POSITIONS angstrom
O 0 0 0.119
"""
ORCA_STEP = "CARTESIAN COORDINATES (ANGSTROEM)\n---\n  O  0.0 0.0 0.219\n\n"
GAMESS = """ GAMESS VERSION
 CHARGE OF MOLECULE                     =    1
 SPIN MULTIPLICITY                      =    2
 ATOM      ATOMIC                      COORDINATES (BOHR)
           CHARGE         X                   Y                   Z
 O           8.0     0.0000000000        0.0000000000        0.2248774081

"""
NWCHEM = """ Northwest Computational Chemistry Package
                             Geometry "geometry" -> ""
                             -------------------------

 Output coordinates in {} (scale by  1.889725989 to convert to a.u.)

  No.       Tag          Charge          X              Y              Z
 ---- ---------------- ---------- -------------- -------------- --------------
    1 O                    8.0000     0.00000000     0.00000000     0.11900000

                                 NWChem DFT Module
          Charge           :     1
          Spin multiplicity:     2
"""


CASTEP = """ | CCC   AA   SSS  TTTTT  EEEEE  PPPP        |
 Run started: Thu, 08 Jan 2015 12:00:00 +0000
 BFGS: starting iteration         1
 Starting MD iteration            1 ...
"""


@pytest.mark.parametrize(
    ("name", "text", "spin"),
    [
        ("a.log", GAUSSIAN.format(orientation_of(0.0)), 2),
        ("a.out", ORCA.format(1, 2, 1), 2),
        ("a.pwi", ESPRESSO, 1),
        ("a.gamess", GAMESS, 2),
        ("a.nwo", NWCHEM.format("angstroms"), 2),
    ],
)
def test_outputs_and_inputs_tell_their_charge_and_multiplicity(tmp_path, name, text, spin):
    (tmp_path / name).write_text(text)
    [load] = read_frames(tmp_path / name)
    read = Structure.from_ase(load())
    assert (read.charge, read.spin) == (1, spin)
    np.testing.assert_allclose(load().positions[0], [0.0, 0.0, 0.119], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.out", ORCA.format(1, 2, 0), "tells several values of its charge: .* with that of each structure"),
        ("a.nwo", NWCHEM.format("a.u."), r"has `Output coordinates in a\.u\.`, which ASE's reader passes over"),
        ("a.out", ORCA.format(1, 2, 1).replace("  O  ", "  Mg>"), "has `Mg>"),
        (
            "a.out",
            ORCA.format(1, 2, 1).replace("---\n  O", "---\n  O  0.0 0.0 0.0\n  O").split("19000\n")[0],
            "ends within",
        ),
        ("a.out", "|  6> H :  0.0 0.0 1.0\n" + ORCA.format(1, 2, 1), "has `.*H :  0.0"),
        (
            "a.log",
            GAUSSIAN.format(" O-Bq  0. 0. 1.\n" + orientation_of(0.0)),
            "has `O-Bq  0. 0. 1.`, which ASE's reader passes over",
        ),
        (
            "a.nwo",
            NWCHEM.format("angstroms") + "      boundary conditions  = periodic    (version3)\n",
            r"has `boundary conditions  = periodic`, which ASE's reader passes over",
        ),
        ("a.castep", 2 * CASTEP, "has several structures"),
        ("a.castep", CASTEP + " Starting DMD iteration          1 ...\n", "has several structures"),
        ("a.castep", CASTEP + " TPSD: starting iteration         1\n", "has several structures"),
        (
            "a.castep",
            CASTEP + "            x                          Product                         x\n",
            "has several",
        ),
        ("OUTCAR", " vasp.6.4\n  free energy ML TOTEN  =  -10.5 eV\n", "has steps of a learned force field"),
        ("a.gamess", GAMESS + " COORDINATES OF ALL ATOMS ARE (ANGS)\n", "has several structures"),
        ("a.gamess", GAMESS + "     SCFTYP=RHF          RUNTYP=SURFACE      EXETYP=RUN\n", "has several structures"),
    ],
)
def test_an_output_that_ase_does_not_read_whole_is_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(AssayError, match=f"{name} {words}"):
        list(read_frames(tmp_path / name))


def test_steps_of_castep_that_ase_reads_one_by_one_are_not_refused(tmp_path):
    check_read("castep-castep", CASTEP.replace("MD", "BFGS"), tmp_path / "a.castep")
    check_read("castep-castep", CASTEP, tmp_path / "a.castep")
    with pytest.raises(AssayError, match=r"a\.castep has several structures"):
        check_read("castep-castep", 2 * CASTEP, tmp_path / "a.castep")


def test_orbitals_in_an_output_of_nwchem_cost_no_structure(tmp_path):
    """ASE fails on orbitals with a symmetry."""
    orbitals = """
                       DFT Final Molecular Orbital Analysis
                       ------------------------------------

 Vector    1  Occ=2.000000D+00  E=-1.886418D+01  Symmetry=a1
              MO Center=  1.1D-20,  1.5D-18,  1.2D-01, r^2= 1.5D-02
   Bfn.  Coefficient  Atom+Function         Bfn.  Coefficient  Atom+Function
  ----- ------------  ---------------      ----- ------------  ---------------
     1      0.983233  1 O  s

"""
    (tmp_path / "a.nwo").write_text(NWCHEM.format("angstroms") + orbitals)
    [load] = read_frames(tmp_path / "a.nwo")
    assert load().numbers.tolist() == [8]


def test_plane_waves_of_nwchem_around_a_molecule_without_images_are_read(tmp_path):
    (tmp_path / "a.nwo").write_text(NWCHEM.format("angstroms") + "      boundary conditions  = aperiodic\n")
    [load] = read_frames(tmp_path / "a.nwo")
    assert not load().pbc.any()


def test_every_structure_of_an_output_of_orca_is_read_with_the_charge_of_its_job(tmp_path):
    """ASE reads the last of several jobs, and none of a single point, in which no number of atoms is told."""
    anion = ORCA.format(-1, 3, -1).replace("0.119000\n", "0.319000\n  H : 0.0 0.0 1.3\n  H  0.0 0.0 -0.6\n")
    (tmp_path / "a.out").write_text(ORCA.format(1, 2, 1) + ORCA_STEP + anion)
    frames = [load() for load in read_frames(tmp_path / "a.out")]
    assert [(read.charge, read.spin) for read in map(Structure.from_ase, frames)] == [(1, 2), (1, 2), (-1, 3)]
    np.testing.assert_allclose([atoms.positions[0, 2] for atoms in frames], [0.119, 0.219, 0.319])
    assert [atoms.numbers.tolist() for atoms in frames] == [[8], [8], [8, 1]]


def test_a_job_of_orca_that_tells_no_charge_has_not_that_of_another_molecule(tmp_path):
    (tmp_path / "a.out").write_text(ORCA.format(-1, 2, -1) + ORCA_STEP.replace("  O", "  S"))
    frames = [load() for load in read_frames(tmp_path / "a.out")]
    assert [(read.charge, read.spin) for read in map(Structure.from_ase, frames)] == [(-1, 2), (None, None)]


def test_an_output_of_orca_that_ends_within_a_structure_costs_that_one_alone(tmp_path):
    comment = "|  1> # CARTESIAN COORDINATES (ANGSTROEM)\n"
    (tmp_path / "a.out").write_text(comment + ORCA.format(1, 2, 1) + ORCA_STEP.rstrip("\n"))
    frames = read_frames(tmp_path / "a.out")
    assert next(frames)().numbers.tolist() == [8]
    with pytest.raises(AssayError, match=r"a\.out ends within a structure"):
        next(frames)


@pytest.mark.parametrize(("number", "kind"), [(0, 0), (-1, 1)])
def test_ghosts_dummies_and_fragments_in_an_output_of_gaussian_are_no_atoms(tmp_path, number, kind):
    whole = orientation_of(0.0).replace(" ---\n SCF", f"   4  {number}  {kind}  0.0  0.0  1.0\n ---\n SCF")
    fragment = " Counterpoise: doing DCBS calculation for fragment   1\n" + orientation_of(0.1)
    again = " Counterpoise: doing full-system calculation\n" + orientation_of(0.2)
    (tmp_path / "a.log").write_text(GAUSSIAN.format(whole + fragment + again))
    frames = [load() for load in read_frames(tmp_path / "a.log")]
    assert [atoms.numbers.tolist() for atoms in frames] == [[8, 1, 1]] * 2
    np.testing.assert_allclose([atoms.positions[0, 2] for atoms in frames], [0.119, 0.319])


def test_every_job_of_an_output_of_gaussian_is_read(tmp_path):
    """Frequencies behind an optimization, or what follows by --Link1--, stand behind what ASE takes for the end."""
    cation = GAUSSIAN.format(orientation_of(0.0) + orientation_of(0.1))
    anion = GAUSSIAN.format(orientation_of(0.2)).replace("Charge =  1", "Charge = -1")
    (tmp_path / "a.log").write_text(cation + anion)
    frames = [load() for load in read_frames(tmp_path / "a.log")]
    assert [Structure.from_ase(atoms).charge for atoms in frames] == [1, 1, -1]
    np.testing.assert_allclose([atoms.positions[0, 2] for atoms in frames], [0.119, 0.219, 0.319])


@pytest.mark.parametrize(
    ("charges", "atoms"),
    [
        ("1 2", "O 0 0 0.119\nH 0 0.763 -0.476\nH 0 -0.763 -0.476"),
        ("1 2", " O -1 0.0 0.0 0.119\n H 0 0.0 0.763 -0.476\n H 0 0.0 -0.763 -0.476"),
        ("1 2 0 1 0 1", " O 0 0.0 0.0 0.119 H\n H 0 0.0 0.763 -0.476 H\n H 0 0.0 -0.763 -4.76D-01 L H 1"),
        ("1,2 0,1 1,2", "O(Fragment=1) 0.0 0.0 0.119\nH(Fragment=2) 0.0 0.763 -0.476\nH(Fragment=2) 0.0 -.763 -0.476"),
        ("1 2", "O\nH 1 0.96\nH 1 0.96 2 104.5"),
    ],
)
def test_an_input_of_gaussian_may_freeze_atoms_and_have_fragments_and_layers(tmp_path, charges, atoms):
    (tmp_path / "a.com").write_text(
        f"%mem=1GB\n# hf geom=connectivity\n\nwater\n\n{charges}\n{atoms}\n\n 1 2 1.0\n 2\n\n"
    )
    [load] = read_frames(tmp_path / "a.com")
    read = Structure.from_ase(load())
    assert (read.charge, read.spin) == (1, 2) and load().numbers.tolist() == [8, 1, 1]
    np.testing.assert_allclose(load().get_distances(0, [1, 2]), 0.967, atol=0.01)


def test_an_input_of_gaussian_without_a_charge_is_refused(tmp_path):
    (tmp_path / "a.com").write_text("# hf geom=check\n\nwater\n\n")
    with pytest.raises(
        AssayError, match=r"a\.com has no line of a charge and a multiplicity below its route and title"
    ):
        list(read_frames(tmp_path / "a.com"))
