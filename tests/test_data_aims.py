"""Labels in outputs of FHI-aims: made-up runs of hydrogen on a spring, laid out as FHI-aims writes them."""

import warnings

import ase.io
import numpy as np
import pytest
from ase.units import Bohr, Hartree

from assay.data import read_dataset
from assay.data.formats import count_structures
from assay.workflow.errors import AssayError
from shared.spring import LENGTHS_A, check_slope, computed, positions_at, writes

CONTROL = """ MPI-parallelism will be employed.
------------------------------------------------------------
          Invoking FHI-aims ...
          Version 221103
  | Number of species                 :        1
  | Number of atoms                   :        2
  | Number of lattice vectors         :        {n_vectors}
  | Number of spin channels           :        1
  {control}
  {charged}
  Occupation type: Gaussian broadening, width =   0.100000E-01 eV.
  The structure contains        2 atoms,  and a total of          2.000 electrons.
  | Number of Kohn-Sham states (occupied + empty):        4
  Reading configuration options for species {species}                   .
  | Found nuclear charge :   {nuclear}
"""
BEGIN = (
    "          Begin self-consistency loop: {}nitialization.\n"
    "Convergence:    q app. |  density  | eigen (eV) | Etot (eV) | forces (eV/A) |       CPU time |     Clock time\n"
)
CONVERGED = "  Self-consistency cycle converged.\n"
END = "          Have a nice day.\n"
VECTORS = 8.0 * np.eye(3)
STRESS = """  |              Analytical stress tensor - Symmetrized               |
  |                  Cartesian components [eV/A**3]                   |
  +-------------------------------------------------------------------+
  |                x                y                z                |
  |                                                                   |
  |  x        -0.01000000       0.00100000       0.00200000           |
  |  y         0.00100000      -0.02000000       0.00300000           |
  |  z         0.00200000       0.00300000      -0.03000000           |
  |                                                                   |
  |  Pressure:       {}   [eV/A**3]                           |
"""


def header(length_A=0.70, cell=None, control="", species="H", nuclear="1.0000", charge=0.0, letters=2):
    neutral = "Charge =   0.000000E+00: Neutral system requested explicitly."
    charged = f"Charged system requested: Charge =   {charge:.6E}." if charge else neutral
    told = CONTROL.format(
        n_vectors=0 if cell is None else 3, control=control, species=species, nuclear=nuclear, charged=charged
    )
    vectors = "  | No unit cell requested.\n"
    if cell is not None:
        vectors = "  | Unit cell: \n" + "".join("  |  " + "".join(f"{x:17.6f}" for x in row) + "\n" for row in cell)
    rows = "".join(
        f"  |{k:5d}: Species {species[:letters]:2}" + "".join(f"{x:17.8f}" for x in row) + "\n"
        for k, row in enumerate(positions_at(length_A), 1)
    )
    title = "  | Atomic structure: \n  |       Atom                x [A]            y [A]            z [A]\n"
    return f"{told}  Input geometry:\n{vectors}{title}{rows}\n"


def table(title, length_A, cell=None, velocities=False, species="H"):
    vectors = [] if cell is None else [("lattice_vector", row, "") for row in cell]
    rows = vectors + [("            atom", row, f"  {species}") for row in positions_at(length_A)]
    moving = "     velocity           2.18158600         -1.27932248          7.00887289\n" if velocities else ""
    text = "".join(
        f"  {word} " + "".join(f"{x:17.8f}" for x in row) + f"{name}\n" + ("" if "lattice" in word else moving)
        for word, row, name in rows
    )
    return f"  {title}:\n                         x [A]             y [A]             z [A]\n{text}\n"


def label(length_A, converged=CONVERGED, stress="", cleaned="unitary forces cleaned"):
    energy_Eh, forces = computed(length_A)
    energies = "".join(
        f"  | {name:30}:  {energy:26.15E} eV\n"
        for name, energy in (
            ("Total energy uncorrected", energy_Eh * Hartree + 0.2),
            ("Total energy corrected", energy_Eh * Hartree + 0.1),
            ("Electronic free energy", energy_Eh * Hartree),
        )
    )
    rows = "".join(
        f"  |{k:5d}" + "".join(f"{x:30.15E}" for x in row) + "\n" for k, row in enumerate(forces * Hartree / Bohr, 1)
    )
    compact = f"  Energy and forces in a compact form:\n{energies}  Total atomic forces ({cleaned}) [eV/Ang]:\n{rows}\n"
    return converged + stress + compact


def relaxation(cell=None):
    first, *others = LENGTHS_A
    steps = "".join(table("Updated atomic structure", x, cell) + BEGIN.format("Re-i") + label(x) for x in others)
    return header(first, cell) + BEGIN.format("I") + label(first) + steps + table("Final atomic structure", 0.9) + END


def dynamics(restarted=False):
    """The structure that stands before the first step of a run that goes on is not that of this step."""
    title = "tomic structure (and velocities) as used in the preceding time step"
    told = "  Input geometry read from MD restart information.\n" if restarted else ""
    moves = "  Molecular dynamics: Attempting to update all nuclear coordinates.\n"
    steps = [BEGIN.format("Re-i") + label(x) + moves for x in LENGTHS_A]
    tables = [table(f"A{title}", x, velocities=True) for x in LENGTHS_A]
    tables[-1] = table(f"Final a{title}", LENGTHS_A[-1], velocities=True)
    together = "".join(map("".join, zip(steps, tables, strict=True)))
    return told + header(0.9 if restarted else LENGTHS_A[0]) + together + END


def single(length_A, **options):
    return header(length_A, **options) + BEGIN.format("I") + label(length_A) + END


write = writes("aims.out")


@pytest.mark.parametrize("run", [relaxation, dynamics, lambda: dynamics(restarted=True)])
def test_forces_are_the_slope_of_the_free_energy_and_steps_have_their_positions(run, write):
    path = write(run())
    data = read_dataset(path)
    assert len(data) == count_structures(path) == 3 and not data.pbc.any() and list(data.charge) == 3 * [0]
    check_slope(data)
    for length, structure in zip(LENGTHS_A, data, strict=True):
        np.testing.assert_allclose(structure.positions, positions_at(length), atol=1e-8)
        assert structure.energy_eV == pytest.approx(computed(length)[0] * Hartree)


def test_one_step_is_what_ase_reads(write):
    path = write(header() + BEGIN.format("I") + label(0.70) + END)
    [structure] = read_dataset(path)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        atoms = ase.io.read(path, format="aims-output")
    assert structure.energy_eV == pytest.approx(atoms.calc.results["free_energy"], abs=1e-9)
    np.testing.assert_allclose(structure.forces_eV_per_A, atoms.get_forces(), atol=1e-9)
    np.testing.assert_allclose(structure.positions, atoms.positions, atol=1e-9)


def test_cells_of_a_relaxation_and_a_stress_positive_under_tension(write):
    wider = 1.1 * VECTORS
    text = header(0.70, VECTORS) + BEGIN.format("I") + label(0.70, stress=STRESS.format("0.02000000"))
    text += table("Updated atomic structure", 0.71, wider) + BEGIN.format("Re-i") + label(0.71) + END
    first, last = read_dataset(write(text))
    np.testing.assert_array_equal(first.cell, VECTORS)
    np.testing.assert_allclose(last.cell, wider)
    assert first.pbc.all() and last.pbc.all() and last.stress_eV_per_A3 is None
    np.testing.assert_array_equal(np.diag(first.stress_eV_per_A3), [-0.01, -0.02, -0.03])
    assert first.stress_eV_per_A3[0, 1] == 0.001
    with pytest.raises(AssayError, match="a stress that is not of the pressure below it"):
        read_dataset(write(text.replace("0.02000000   [", "-0.02000000   [")))


@pytest.mark.parametrize("letters", [2, 6])
def test_names_of_species_are_no_elements_but_their_nuclear_charges(letters, write):
    text = header(species="Hydrogen", charge=1.0, letters=letters) + BEGIN.format("I") + label(0.70)
    text += table("Updated atomic structure", 0.71, species="Hydrogen") + BEGIN.format("Re-i") + label(0.71) + END
    data = read_dataset(write(text))
    assert set(data.atomic_numbers.tolist()) == {1} and list(data.charge) == [1, 1]
    for wrong in ("0.7500", "0.0000"):
        with pytest.raises(AssayError, match=rf"a nuclear charge of {float(wrong):g}, which is no element"):
            read_dataset(write(text.replace("1.0000\n", f"{wrong}\n")))
    unused = "  Reading configuration options for species X                   .\n  | Found nuclear charge :   0.5000\n"
    assert len(read_dataset(write(text.replace("  Input geometry", f"{unused}  Input geometry")))) == 2


def test_a_mixer_that_is_restarted_moves_no_atom(write):
    """The energy and forces of the cycle that did not converge stand there too."""
    stopped = label(0.99, converged="  No geometry change - only restart of scf mixer after initial iterations.\n")
    for run in (relaxation, dynamics):
        whole = run()
        at = whole.index(BEGIN.format("Re-i"))
        text = whole[:at] + BEGIN.format("Re-i") + stopped + whole[at:]
        data = read_dataset(write(text))
        np.testing.assert_allclose(data.energy, [computed(x)[0] * Hartree for x in LENGTHS_A])
        check_slope(data)


def test_runs_in_one_file_have_their_own_positions_cells_and_charges(write):
    text = single(0.7) + single(0.9, charge=-1.0) + relaxation() + single(0.8, cell=VECTORS)
    data = read_dataset(write(text))
    lengths = (0.7, 0.9, *LENGTHS_A, 0.8)
    for length, structure in zip(lengths, data, strict=True):
        np.testing.assert_allclose(structure.positions, positions_at(length), atol=1e-8)
        assert structure.energy_eV == pytest.approx(computed(length)[0] * Hartree)
    assert list(data.charge) == [0, -1, 0, 0, 0, 0] and [s.pbc.all() for s in data] == 5 * [False] + [True]


@pytest.mark.parametrize("word", ["Invoking FHI-aims ...", "Atomic structure", "Begin self", "compact form", "Updated"])
def test_a_run_that_was_killed_costs_no_other(word, write, recwarn):
    killed = relaxation()
    killed = killed[: killed.rindex(word) + len(word)] + "\n"
    data = read_dataset(write(killed + single(0.9)))
    np.testing.assert_allclose(data.positions[-2:], positions_at(0.9), atol=1e-8)
    assert data.energy[-1] == pytest.approx(computed(0.9)[0] * Hartree)
    said = [str(warning.message) for warning in recwarn if "another run follows" in str(warning.message)]
    assert bool(said) == (word in ("compact form",)), said


def test_forces_that_are_no_numbers_are_not_passed_over(write):
    text = single(0.7)
    with pytest.raises(AssayError, match="forces in a compact form that cannot be read"):
        read_dataset(write(text[: text.index("  |    1   ")] + "  |    1   NaN NaN NaN\n" + END))


def test_steps_whose_electrons_are_not_converged_are_left_out(write, capsys):
    again = "  ** Self-consistency cycle not yet converged - restarting mixer to attempt better convergence.\n"
    text = header(0.70) + BEGIN.format("I") + again + BEGIN.format("Re-i") + label(0.70)
    text += table("Updated atomic structure", 0.71) + BEGIN.format("Re-i") + label(0.71, converged="") + END
    [structure] = read_dataset(write(text))
    assert structure.energy_eV == pytest.approx(computed(0.70)[0] * Hartree)
    assert "the electrons of 1 structures of" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["compact form", "Electronic free", "cleaned) [eV/Ang]", "    2  "])
def test_a_step_that_is_there_in_part_is_left_out_with_a_warning(word, write):
    whole = relaxation()
    text = whole[: whole.rindex(word) + len(word)]
    with pytest.warns(UserWarning, match=r"aims\.out ends within an ionic step, which is left out"):
        assert len(read_dataset(write(text))) == 2


def test_a_step_of_dynamics_whose_positions_are_not_there_is_left_out(write):
    whole = dynamics()
    text = whole[: whole.rindex("Final atomic structure (and")]
    with pytest.warns(UserWarning, match="ends within an ionic step"):
        assert len(read_dataset(write(text))) == 2
    cut = whole.replace("as used in the preceding", "of the", 1)
    with pytest.raises(AssayError, match="does not tell the positions of one of its steps"):
        read_dataset(write(cut))


@pytest.mark.parametrize(
    "line",
    [
        "homogeneous_field 0.0 0.0 0.1",
        "  constrain_relaxation .true.",
        "total_energy_method rpa",
        "multipole 0.0 0.0 5.0 0 1.0",
        "compute_numerical_stress .true.",
    ],
)
def test_forces_that_no_student_knows_are_refused(line, write):
    with pytest.raises(AssayError, match=rf"a run of FHI-aims with `{line.split()[0]}"):
        read_dataset(write(header(control=line) + BEGIN.format("I") + label(0.70) + END))
    for idle in (f"# {line.strip()}", "constrain_relaxation .false.", "external_pressure 0.0", "Multipole moments: 1"):
        assert len(read_dataset(write(header(control=idle) + BEGIN.format("I") + label(0.70) + END))) == 1


def test_forces_after_constraints_ghosts_and_runs_without_forces_are_refused(write):
    constrained = label(0.70, cleaned="unitary forces were cleaned, then relaxation constraints were applied")
    with pytest.raises(AssayError, match="then relaxation constraints were applied"):
        read_dataset(write(header() + BEGIN.format("I") + constrained + END))
    plain = label(0.70, cleaned="derivative of free energy")
    assert len(read_dataset(write(header() + BEGIN.format("I") + plain + END))) == 1
    ghost = "  |       Ghost               x [A]            y [A]            z [A]\n  |    3: Ghost H  0.0 0.0 1.0\n"
    with pytest.raises(AssayError, match="has ghost atoms"):
        read_dataset(write(header().rstrip("\n") + f"\n{ghost}" + BEGIN.format("I") + label(0.70) + END))
    with pytest.raises(AssayError, match=r"has no forces: set `compute_forces .true.`"):
        read_dataset(write(header() + BEGIN.format("I") + CONVERGED + END))
