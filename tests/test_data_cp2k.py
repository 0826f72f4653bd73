"""Labels in outputs of single points of CP2K: made-up runs of a spring, laid out as versions 7 and 2025 write them."""

import numpy as np
import pytest
from ase.units import Bohr, GPa, Hartree

from assay.data import read_dataset
from assay.data.formats import count_structures
from assay.predictors.structure_files import read_frames
from assay.workflow.errors import AssayError
from shared.spring import LENGTHS_A, check_slope, computed, positions_at, writes

STRESS = np.array([[-7.9, 0.1, 0.2], [0.1, -8.0, 0.3], [0.2, 0.3, -8.1]])  # GPa, positive under pressure
CELL = np.array([[9.0, 0.0, 0.0], [1.0, 8.0, 0.0], [0.0, 0.0, 7.0]])
BEGIN = """  **** **** ******  **  PROGRAM STARTED AT               2020-08-14 06:09:53.115
 CP2K| version string:                                          CP2K version 7.1
 GLOBAL| Run type                                                   {run}
{cell}
 DFT| Multiplicity                                                             {multiplicity}
 DFT| Charge                                                                   {charge}
"""
PERIODIC = " POISSON| Periodicity                                                        {}\n"
CONVERGED = "  *** SCF run converged in    17 steps ***\n"
END = "  **** **** ******  **  PROGRAM ENDED AT                 2020-08-14 06:10:02.425\n"


def vectors(cell, is_new):
    digits = 6 if is_new else 3
    return "\n".join(
        f" CELL| Vector {name} [angstrom]:"
        + "".join(f"{x:10.3f}" for x in row)
        + f"    |{name}| = {np.linalg.norm(row):12.{digits}f}"
        for name, row in zip("abc", cell, strict=True)
    )


def coordinates(length_A, is_new, effective=1.0):
    rows = "".join(
        f"       {k}     1 X    1" + "".join(f"{x:12.6f}" for x in row) + f"      {effective:.4f}      1.0079\n"
        for k, row in enumerate(positions_at(length_A), 1)
    )
    title = (
        " MODULE QUICKSTEP: ATOMIC COORDINATES IN ANGSTROM"
        if is_new
        else " MODULE QUICKSTEP:  ATOMIC COORDINATES IN angstrom"
    )
    gap = "" if is_new else "\n"
    return f"{title}\n\n  Atom  Kind  Element       X           Y           Z          Z(eff)       Mass\n{gap}{rows}\n"


def labels(length_A, is_new):
    energy, forces = computed(length_A)
    if is_new:
        rows = "".join(
            f" FORCES|      {k}" + "".join(f"{x:16.8E}" for x in row) + f"{np.linalg.norm(row):16.8E}\n"
            for k, row in enumerate(forces, 1)
        )
        stress = "".join(
            f" STRESS|      {axis}" + "".join(f"{x:20.11E}" for x in row) + "\n"
            for axis, row in zip("xyz", STRESS * 1e4, strict=True)
        )
        return (
            f" ENERGY| Total FORCE_EVAL ( QS ) energy [hartree]  {energy:24.15f}\n"
            " FORCES| Atomic forces [hartree/bohr]\n"
            f" FORCES|   Atom     x               y               z               |f|\n{rows}"
            " FORCES| Sum     0.0  0.0  0.0\n FORCES| Total atomic force     0.0\n"
            f" STRESS| Analytical stress tensor [bar]\n STRESS|           x         y         z\n{stress}"
            " STRESS| 1/3 Trace          -8.0E+04\n"
        )
    rows = "".join(
        f"      {k}      1      X    " + "".join(f"{x:15.8f}" for x in row) + "\n" for k, row in enumerate(forces, 1)
    )
    stress = "".join(
        f"  {axis} " + "".join(f"{x:16.8f}" for x in row) + "\n" for axis, row in zip("XYZ", STRESS, strict=True)
    )
    return (
        f" ENERGY| Total FORCE_EVAL ( QS ) energy (a.u.):  {energy:24.15f}\n\n\n ATOMIC FORCES in [a.u.]\n\n"
        f" # Atom   Kind   Element          X              Y              Z\n{rows}"
        " SUM OF ATOMIC FORCES           0.0     0.0    -0.0     0.0\n\n"
        f" STRESS TENSOR [GPa]\n\n            X               Y               Z\n{stress}\n"
    )


def single(length_A=0.70, is_new=False, cell=CELL, periodic="XYZ", charge=0, converged=CONVERGED, run="ENERGY_FORCE"):
    begin = BEGIN.format(run=run, cell=vectors(cell, is_new), multiplicity=1 + charge, charge=charge)
    told = coordinates(length_A, is_new) + PERIODIC.format(periodic)
    return begin + told + converged + labels(length_A, is_new) + END


write = writes("cp2k.out")


@pytest.mark.parametrize("is_new", [False, True])
def test_forces_are_the_slope_of_the_energy_in_both_layouts(is_new, write):
    path = write("".join(single(x, is_new) for x in LENGTHS_A))
    data = read_dataset(path)
    assert len(data) == count_structures(path) == 3 and set(data.atomic_numbers.tolist()) == {1}
    check_slope(data)
    for length, structure in zip(LENGTHS_A, data, strict=True):
        energy, forces = computed(length)
        assert structure.energy_eV == pytest.approx(energy * Hartree)
        np.testing.assert_allclose(structure.forces_eV_per_A, forces * Hartree / Bohr, atol=1e-6)
        np.testing.assert_allclose(structure.positions, positions_at(length), atol=1e-6)
        np.testing.assert_allclose(structure.stress_eV_per_A3, -STRESS * GPa, rtol=1e-6)
        np.testing.assert_allclose(structure.cell, CELL, atol=1e-6)
        assert structure.pbc.all() and (structure.charge, structure.spin) == (0, 1)


def test_lengths_with_more_decimals_count(write):
    [structure] = read_dataset(write(single(is_new=True, cell=np.diag([9.00042, 8.0, 7.0]))))
    np.testing.assert_allclose(structure.cell, np.diag([9.00042, 8.0, 7.0]), atol=1e-9)


def test_a_molecule_a_slab_and_charges_of_their_own(write):
    data = read_dataset(write(single(periodic="NONE", charge=1) + single(periodic="XY")))
    molecule, slab = data
    assert not molecule.pbc.any() and molecule.cell is None and molecule.stress_eV_per_A3 is None
    assert slab.pbc.tolist() == [True, True, False] and slab.stress_eV_per_A3 is None
    assert list(data.charge) == [1, 0] and list(data.spin) == [2, 1]


def test_what_is_not_converged_or_was_killed_costs_no_other(write, capsys):
    rough = single(0.9, converged=" *** WARNING in qs_scf.F:542 :: SCF run NOT converged ***\n")
    rough += single(1.0, converged=" SCF not converged! \n")
    aborted = single(1.1, converged=" *** ERROR in qs_scf.F:611 :: SCF run NOT converged. To continue ***\n")
    rough += aborted[: aborted.index(" ENERGY|")]
    killed = single(0.8)
    killed = killed[: killed.index("SUM OF ATOMIC")]
    with pytest.warns(UserWarning, match="it is there in part, and another run follows"):
        [structure] = read_dataset(write(rough + killed + single(0.7)))
    assert structure.energy_eV == pytest.approx(computed(0.7)[0] * Hartree)
    assert "the electrons of 3 structures of" in capsys.readouterr().out
    with pytest.warns(UserWarning, match="ends within an ionic step"):
        assert len(read_dataset(write(single() + killed))) == 1


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("ENERGY_FORCE", "MD", r"a run of CP2K of type MD, .*: give PROJECT-pos-1\.xyz of that run"),
        ("ENERGY_FORCE", "GEO_OPT", "of type GEO_OPT"),
        ("( QS )", "( QMMM )", r"`FORCE_EVAL \( QMMM \)`, of which students know nothing"),
        (" ATOMIC FORCES in", " FORCES in", "a run of CP2K without forces that can be read: .* &PRINT &FORCES"),
        ("ATOMIC COORDINATES", "COORDINATES", "a run of CP2K without coordinates in angstrom that can be read"),
        ("\n       2     1 X", "\n *** WARNING\n       2     1 X", "without coordinates in angstrom"),
        ("\n       2     1 X", "\n       3     1 X", "has atoms in its table that cannot be read"),
        ("1.0000      1.0079", "0.5000      1.0079", "a core of 0.5000 charges, which is no element"),
        (" ENERGY|", "   Electric field interaction energy:     0.00123\n ENERGY|", "with `Electric field interaction"),
        (
            " ENERGY|",
            " ENERGY| Total FORCE_EVAL ( MIXED ) energy [hartree]   -1.0\n ENERGY|",
            r"`FORCE_EVAL \( MIXED \)`",
        ),
        (" POISSON| Periodicity", " POISSON| Solver", "does not tell its cell or which axes repeat"),
        ("[a.u.]", "[furlong]", "has forces in furlong, which is not known"),
        ("1.0000      1.0079", "0.0000      1.0079", "has ghost atoms"),
        ("      2      1      X  ", "      3      1      X  ", "has 2 atoms, and forces of 2"),
        (f"{-7.9:16.8f}", 16 * "*", "has a stress that cannot be read"),
    ],
)
def test_what_no_student_learns_from_is_refused_in_a_sentence(right, wrong, said, write):
    text = single()
    assert right in text
    with pytest.raises(AssayError, match=said):
        read_dataset(write(text.replace(right, wrong, 1)))


def test_forces_that_fixed_atoms_have_lost_are_refused(write):
    text = single(is_new=True)
    zero = "".join(f"{x:16.8E}" for x in np.zeros(4))
    lines = [f" FORCES|      1{zero}" if line.startswith(" FORCES|      1") else line for line in text.splitlines()]
    with pytest.raises(AssayError, match=r"has atoms without a force, .* without FIXED_ATOMS"):
        read_dataset(write("\n".join([*lines, ""])))


def test_names_of_files_and_a_beginning_that_is_cut_off(write):
    named = single().replace(" DFT| Charge", " GLOBAL| Project name    EFIELD SCF run NOT\n DFT| Charge")
    assert len(read_dataset(write(named))) == 1
    with pytest.warns(UserWarning, match="the beginning of its run is not there"):
        assert len(read_dataset(write(single(0.8)[200:] + single()))) == 1


def test_a_structure_without_labels_is_read_as_a_structure(write):
    text = single(charge=1)
    path = write(text[: text.index(" ENERGY|")] + END)
    [load] = read_frames(path)
    atoms = load()
    assert atoms.pbc.all() and atoms.info["charge"] == 1 and atoms.numbers.tolist() == [1, 1]
    with pytest.raises(AssayError, match="without forces"):
        read_dataset(path)
    with pytest.raises(AssayError, match=r"`QMMM\| "):
        list(read_frames(write(text.replace(" DFT| Charge", " QMMM| Number of QM atoms 2\n DFT| Charge"))))
