"""Labels in outputs of Quantum ESPRESSO: a dynamics of water that pw.x 6.7 computed, laid out as pw.x writes it."""

import gzip
from contextlib import nullcontext

import ase.io
import numpy as np
import pytest
from ase.units import Bohr, Rydberg

from assay.data import read_dataset
from assay.data.formats import count_structures
from assay.predictors.structure_files import read_frames
from assay.workflow.errors import AssayError
from shared.spring import writes

ALAT_bohr = 9.465623
CELL_alat = [[0.998205, 0.059892, 0.0], [0.0, 1.038133, 0.0], [0.019964, 0.0, 1.078061]]
STEPS = [  # energies in Ry, forces in Ry/bohr, and positions in angstrom, those of the first in parts of alat
    (
        -34.03949924,
        [[-0.00662274, 0.04996315, -0.02721573], [0.00115256, -0.00846402, -0.00366282],
         [0.00547018, -0.04149914, 0.03087855]],
        [[0.0, 0.0, 0.0199641], [0.0, 0.1537235, 0.1397487], [0.0199641, -0.1517271, 0.1297666]],
    ),
    (
        -34.03965931,
        [[-0.00626788, 0.04666644, -0.02571520], [0.00115501, -0.00808052, -0.00332463],
         [0.00511287, -0.03858591, 0.02903984]],
        [[-0.0000120160, 0.0000906506, 0.0999506211], [0.0000334584, 0.7697542930, 0.6998936697],
         [0.1001587970, -0.7612047033, 0.6508963920]],
    ),
    (
        -34.04005972,
        [[-0.00536557, 0.03804911, -0.02170208], [0.00120633, -0.00702523, -0.00211579],
         [0.00415924, -0.03102388, 0.02381787]],
        [[-0.0000467762, 0.0003506398, 0.0998079295], [0.0001339761, 0.7690394373, 0.6995943139],
         [0.1006144430, -0.7646496737, 0.6534788136]],
    ),
    (
        -34.04051229,
        [[-0.00399018, 0.02517607, -0.01562272], [0.00124473, -0.00527295, -0.00048744],
         [0.00274545, -0.01990312, 0.01611016]],
        [[-0.0001010065, 0.0007486977, 0.0995864876], [0.0003045323, 0.7679167022, 0.6991721173],
         [0.1013115710, -0.7698958657, 0.6574440817]],
    ),
]  # fmt: skip
NEXT = [[-0.0001697159, 0.0012381121, 0.0993083555], [0.0005473567, 0.7664878238, 0.6987216202],
        [0.1021680974, -0.7762976169, 0.6623446925]]  # fmt: skip
STRESS = [[-0.00047662, -0.00000783, 0.00000131], [-0.00000783, -0.00039738, -0.00006022],
          [0.00000131, -0.00006022, -0.00046080]]  # fmt: skip
SPECIES = (
    "        H              1.00     1.00000     H ( 1.00)\n        O              6.00    16.00000     O ( 1.00)\n"
)


def begin(labels=("O", "H", "H"), species=SPECIES, electrons=8.0, said="", functional="SLA  PZ   NOGX NOGC"):
    axes = "".join(
        f"               a({k}) = ({''.join(f'{x:11.6f}' for x in row)} )  \n" for k, row in enumerate(CELL_alat, 1)
    )
    sites = "".join(
        f"{k:10d}           {label:4s}tau({k:4d}) = ({''.join(f'{x:12.7f}' for x in row)}  )\n"
        for k, (label, row) in enumerate(zip(labels, STEPS[0][2], strict=True), 1)
    )
    return f"""
     Program PWSCF v.6.7MaX starts on 30Nov2026 at 11:22: 8 

     bravais-lattice index     =            0
     lattice parameter (alat)  =       9.4656  a.u.
     number of atoms/cell      =            3
     number of atomic types    =            2
     number of electrons       = {electrons:12.2f}
     scf convergence threshold =      1.0E-06
     Exchange-correlation= {functional}
                           (   1   1   0   0   0   0   0)
{said}
     celldm(1)={ALAT_bohr:11.6f}  celldm(2)=   0.000000  celldm(3)=   0.000000
     celldm(4)=   0.000000  celldm(5)=   0.000000  celldm(6)=   0.000000

     crystal axes: (cart. coord. in units of alat)
{axes}
     atomic species   valence    mass     pseudopotential
{species}
   Cartesian axes

     site n.     atom                  positions (alat units)
{sites}
     number of k points=     1
                       cart. coord. in units 2pi/alat
        k(    1) = (   0.0000000   0.0000000   0.0000000), wk =   2.0000000

"""  # noqa: W291


def iterations(energy, accuracy=4.1e-7, mark="!", says="has been achieved in   8 iterations", said=""):
    return f"""     Self-consistent Calculation

     iteration #  1     ecut=    20.00 Ry     beta= 0.70
     total energy              = {energy + 0.174:17.8f} Ry
     estimated scf accuracy    <       0.45188763 Ry
{said}
     End of self-consistent calculation

          k = 0.0000 0.0000 0.0000 (   708 PWs)   bands (ev):

   -24.4207 -12.2592  -8.2556  -6.3835

     highest occupied level (ev):    -6.3835

{mark:5s}total energy              = {energy:17.8f} Ry
     estimated scf accuracy    < {accuracy:17.8f} Ry

     The total energy is the sum of the following terms:
     convergence {says}

"""


def rows_of_forces(forces):
    return "".join(
        f"     atom {k:4d} type {1 + (k == 1):2d}   force = {''.join(f'{x:14.8f}' for x in row)}\n"
        for k, row in enumerate(forces, 1)
    )


def results(forces, stress=STRESS, further=""):
    text = f"     Forces acting on atoms (cartesian axes, Ry/au):\n\n{rows_of_forces(forces)}{further}\n"
    if stress is not None:
        table = "".join(f"{''.join(f'{x:14.8f}' for x in row)}{''.join(f'{x:13.2f}' for x in row)}\n" for row in stress)
        text += "     Computing stress (Cartesian axis) and pressure\n\n"
        text += f"          total   stress  (Ry/bohr**3)                   (kbar)     P=      -65.45\n{table}\n"
    return text


def positions(rows, unit="angstrom", labels=("O", "H", "H")):
    atoms = "".join(f"{name:3s}{''.join(f'{x:20.10f}' for x in row)}\n" for name, row in zip(labels, rows, strict=True))
    return f"\nATOMIC_POSITIONS ({unit})\n{atoms}\n\n"


END = "\n     End of molecular dynamics calculation\n\n   JOB DONE.\n"


def dynamics(begin_with=None, n_steps=4, labels=("O", "H", "H"), **said):
    text = begin_with or begin()
    for k, (energy, forces, _) in enumerate(STEPS[:n_steps]):
        after = STEPS[k + 1][2] if k + 1 < len(STEPS) else NEXT
        text += iterations(energy, **said) + results(forces) + positions(after, labels=labels)
    return text + END


write = writes("pw.out")


def test_labels_are_those_that_ase_reads_and_forces_the_slope_of_the_energy(write):
    path = write(dynamics())
    data, of_ase = read_dataset(path), ase.io.read(path, ":", format="espresso-out")
    assert len(data) == len(of_ase) == count_structures(path) == 4, "the last positions were not computed"
    for structure, other in zip(data, of_ase, strict=True):
        found = other.calc.results
        assert list(structure.atomic_numbers) == [8, 1, 1] and structure.pbc.all() and structure.charge == 0
        assert structure.energy_eV == pytest.approx(found["energy"], abs=1e-4)  # constants of other years
        np.testing.assert_allclose(structure.forces_eV_per_A, found["forces"], atol=1e-6)
        np.testing.assert_allclose(structure.stress_eV_per_A3, other.get_stress(voigt=False), atol=1e-8)
        np.testing.assert_allclose(structure.positions, other.positions, atol=1e-7)
        np.testing.assert_allclose(structure.cell, other.cell, atol=1e-7)
    middle_eV_per_A = (data.forces.reshape(4, 3, 3)[1:] + data.forces.reshape(4, 3, 3)[:-1]) / 2
    work_eV = (middle_eV_per_A * np.diff(data.positions.reshape(4, 3, 3), axis=0)).sum(axis=(1, 2))
    np.testing.assert_allclose(work_eV, -np.diff(data.energy), rtol=0.02)


def test_cells_and_positions_in_every_unit_are_the_same_structures(write):
    cell = ALAT_bohr * Bohr * np.array(CELL_alat)
    cell_A = 1.01 * cell
    place = np.array(STEPS[1][2])
    units = {
        ("angstrom", "angstrom"): (cell_A, place),
        ("bohr", "bohr"): (cell_A / Bohr, place / Bohr),
        (f"alat={ALAT_bohr:12.8f}", "alat"): (cell_A / (ALAT_bohr * Bohr), place / (ALAT_bohr * Bohr)),
        ("alat", "crystal"): (cell_A / (ALAT_bohr * Bohr), place @ np.linalg.inv(cell_A)),
    }
    for (of_cell, of_atoms), (vectors, rows) in units.items():
        card = "".join(f"{''.join(f'{x:14.9f}' for x in row)}\n" for row in vectors)
        text = begin() + iterations(STEPS[0][0]) + results(STEPS[0][1])
        text += f"CELL_PARAMETERS ({of_cell})\n{card}" + positions(rows, of_atoms)
        path = write(text + iterations(STEPS[1][0]) + results(STEPS[1][1]) + END)
        first, second = read_dataset(path)
        np.testing.assert_allclose(first.cell, cell, atol=1e-6)
        np.testing.assert_allclose(second.cell, cell_A, atol=1e-6)
        np.testing.assert_allclose(second.positions, place, atol=1e-6)


def test_the_final_calculation_of_a_relaxed_cell_has_the_structure_that_its_new_summary_tells(write):
    text = begin() + iterations(STEPS[0][0]) + results(STEPS[0][1])
    text += "Begin final coordinates\nCELL_PARAMETERS (angstrom)\n" + "".join("  5.0 0.0 0.0\n" for _ in range(3))
    text += positions(STEPS[1][2]) + "End final coordinates\n     A final scf calculation at the relaxed structure\n"
    summary = begin().split("starts on")[1]
    first, last = read_dataset(write(text + summary + iterations(STEPS[0][0]) + results(STEPS[0][1]) + END))
    np.testing.assert_array_equal(first.positions, last.positions)
    np.testing.assert_array_equal(first.cell, last.cell)


def test_the_energy_of_a_hybrid_functional_is_that_of_its_last_exchange(write):
    """ASE takes the first, which was off by 81 meV for hydrogen."""
    said = "     EXX-fraction              =        0.25\n"
    rounds = iterations(-34.1) + "     EXX: now go back to refine exchange calculation\n" + iterations(-34.2)
    exact = rounds + "!!   total energy              =     -34.25000000 Ry\n     EXX self-consistency reached\n"
    path = write(begin(said=said, functional="PBE0") + exact + results(STEPS[0][1]) + END)
    [found] = read_dataset(path)
    assert found.energy_eV == pytest.approx(-34.25 * Rydberg)
    assert ase.io.read(path, format="espresso-out").get_potential_energy() == pytest.approx(-34.1 * Rydberg, abs=1e-3)
    path = write(begin(said=said) + rounds + results(STEPS[0][1]) + END)
    with pytest.raises(AssayError, match=r"no structure of .*pw\.out has converged electrons: .* electron_maxstep"):
        read_dataset(path)


def test_electrons_that_are_not_converged_are_left_out_whatever_the_output_says(write, capsys):
    """With scf_must_converge = .false. pw.x 6.7 writes that convergence has been achieved in electron_maxstep."""
    energy, forces, _ = STEPS[1]
    rough = iterations(-33.89400081, accuracy=0.17, says="has been achieved in   2 iterations")
    text = begin() + rough + results(STEPS[0][1]) + positions(STEPS[1][2])
    text += iterations(energy, accuracy=1.04e-6) + results(forces) + positions(STEPS[2][2])
    stopped = iterations(STEPS[2][0], mark="", says="NOT achieved after   2 iterations: stopping")
    data = read_dataset(write(text + stopped + END))
    assert list(data.energy) == [pytest.approx(energy * Rydberg)]
    assert "the electrons of 2 structures of" in capsys.readouterr().out
    with pytest.raises(AssayError, match="has converged electrons"):
        read_dataset(write(begin() + stopped + END))


@pytest.mark.parametrize("end", ["iterations", "energy", "rows", "stress", "digit"])
def test_a_step_that_is_there_in_part_is_left_out_with_a_warning(end, write):
    whole = iterations(STEPS[1][0]) + results(STEPS[1][1])
    at = {
        "iterations": whole.index("estimated"),
        "energy": whole.index("Forces"),
        "rows": whole.index("atom    3"),
        "stress": whole.index("total   stress"),
        "digit": whole.rindex("-0.00"),
    }[end]
    text = begin() + iterations(STEPS[0][0]) + results(STEPS[0][1]) + positions(STEPS[1][2])
    with pytest.warns(UserWarning, match=r"pw\.out ends within an ionic step, which is left out"):
        assert len(read_dataset(write(text + whole[:at]))) == 1
    assert len(read_dataset(write(text + whole))) == 2, "whole, though its run has not ended"
    with pytest.raises(AssayError, match=r"pw\.out ends within a structure"):
        read_dataset(write(begin() + whole[:at]))


def test_a_run_that_another_one_follows_ends_at_its_last_whole_step(write):
    """Its last row was taken for whole, where the next run began with an empty line."""
    begun = begin() + iterations(STEPS[0][0]) + results(STEPS[0][1]) + positions(STEPS[1][2])
    whole, again = iterations(STEPS[1][0]) + results(STEPS[1][1]), dynamics(n_steps=1)
    last_force, stress = whole.index("atom    3"), whole.index("     Computing stress")
    last_digit = whole.index("0.02903984") + len("0.02903984")
    for at in (*range(last_force, last_digit, 5), *range(stress + 21, whole.rindex("-0.00046080") + 11, 9)):
        path = write(begun + whole[:at] + "\n" + again)
        with pytest.warns(UserWarning, match=r"step in .*pw\.out is left out, because its run ends within it"):
            assert len(read_dataset(path)) == 2
    assert len(read_dataset(write(begun + whole[:stress] + "\n" + again))) == 3


def test_the_first_step_of_a_continued_run_has_no_positions(write):
    """pw.x writes those of the input, and computes at others."""
    told = "     Atomic positions from file used, from input discarded\n\n"
    path = write(dynamics(begin() + told))
    for read in (read_dataset, lambda path: [load() for load in read_frames(path)]):
        with pytest.warns(UserWarning, match=r"left out, because pw\.x continued a run there and does not write at"):
            found = read(path)
        assert len(found) == 3
    np.testing.assert_allclose(found[0].positions, STEPS[1][2], atol=1e-9)
    said_above = begin().replace("   Cartesian axes", told + "   Cartesian axes")
    assert len(read_dataset(write(dynamics(said_above)))) == 4, "the table below it is that of the file"


def test_a_structure_that_is_there_in_part_is_none(write):
    text = begin() + iterations(-34.0) + results(STEPS[0][1]) + END
    table = text.index("site n.")
    for at in range(table, text.index("number of k points"), 11):
        is_in_part = "positions (alat units)" in text[:at] and "0.1297666  )" not in text[:at]
        with pytest.warns(UserWarning, match="ends within it") if is_in_part else nullcontext():
            found = [load() for load in read_frames(write(text[:at] + "\n" + text))]
        assert all(len(atoms) == 3 and np.allclose(atoms.positions, found[-1].positions) for atoms in found)


def test_a_run_without_forces_is_refused_where_it_has_ended(write):
    with pytest.raises(AssayError, match=r"pw\.out.* forces"):
        read_dataset(write(begin() + iterations(STEPS[0][0]) + END))


def test_charges_and_elements_are_those_of_electrons_and_pseudopotentials(write):
    species = SPECIES.replace("        H  ", "        D_1").replace("        O  ", "        Ox ")
    labels = ("Ox", "D_1", "D_1")
    text = dynamics(begin(labels, species, electrons=7.0), labels=labels)
    for structure in read_dataset(write(text)):
        assert list(structure.atomic_numbers) == [8, 1, 1] and structure.charge == 1
    for part in (("O ( 1.00)", "O ( 0.50)S ( 0.50)"), ("H              1.00", "H              0.75")):
        with pytest.raises(
            AssayError, match=r"has atoms that are there in part, a mixture .* \(`[HO] [60]\.\d\d .*`\)"
        ):
            read_dataset(write(dynamics(begin(species=SPECIES.replace(*part)))))


def test_forces_are_those_in_all_where_their_parts_are_printed_below(write):
    parts = "     The non-local contrib.  to forces\n" + rows_of_forces(np.ones((3, 3)))
    [found] = read_dataset(write(begin() + iterations(-34.0) + results(STEPS[0][1], further=parts) + END))
    np.testing.assert_allclose(found.forces_eV_per_A, np.array(STEPS[0][1]) * Rydberg / Bohr)


def test_an_energy_belongs_to_the_forces_behind_it(write):
    again = iterations(-34.5) + results(STEPS[1][1]) + iterations(-35.5)
    path = write(begin() + iterations(STEPS[0][0]) + results(STEPS[0][1]) + again + END)
    [found] = read_dataset(path)
    assert found.energy_eV == pytest.approx(-34.5 * Rydberg)
    np.testing.assert_allclose(found.forces_eV_per_A, np.array(STEPS[1][1]) * Rydberg / Bohr)


def test_several_runs_in_one_file_have_their_own_structures_and_charges(write):
    ion = begin(electrons=9.0) + iterations(-34.0) + results(STEPS[0][1], stress=None) + END
    data = read_dataset(write(dynamics(n_steps=2) + ion))
    assert [structure.charge for structure in data] == [0, 0, -1]
    assert [structure.stress_eV_per_A3 is None for structure in data] == [False, False, True]
    first, _, last = data
    np.testing.assert_array_equal(first.positions, last.positions)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("        E field amplitude [Ha a.u.]:  1.0000E-02", r"E field amplitude \[Ha a\.u\.\]: 1\.0000E-02"),
        ("     Using Berry phase electric field", "Using Berry phase electric field"),
        ("     field strength                   =     0.01 Ry/a.u.", "field strength = 0.01"),
        ("     Adding charged plate to compensate the charge of the system", "Adding charged plate"),
        ("     constraint energy (Ry) =      1.18254753", r"constraint energy \(Ry\)"),
        ("     External forces energy    =       0.10000000 Ry", "External forces energy"),
        ("     -->FCP optimiser activated<--", "FCP optimiser"),
        ("     Occupations read from input", "Occupations read from input"),
        ("alpha( 1) =  0.20000000", r"alpha\( 1\) = 0\.20000000"),
    ],
)
def test_what_students_know_nothing_of_is_refused(said, words, write):
    for text in (dynamics(begin(said=said + "\n")), dynamics(said=said)):
        with pytest.raises(AssayError, match=rf"is of a run of Quantum ESPRESSO with `{words}.*: give the output"):
            read_dataset(write(text))


def test_a_correction_of_dipoles_is_no_field(write):
    said = "     Adding external electric field\n        E field amplitude [Ha a.u.]:  0.0000E+00\n"
    assert len(read_dataset(write(dynamics(begin(said=said))))) == 4


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: text.index("     Self-consistent")], "without an ionic step"),
        (
            lambda text: text.replace("-0.00662274", "************"),
            r"structure 0 of .* cannot be read .*: check what Q",
        ),
        (lambda text: text.replace("tau(   2)", "rho(   2)"), "structure 0 of .* cannot be read"),
        (lambda text: text.replace("number of atoms/cell", "number of cells"), "cannot be read"),
        (lambda text: text.replace("scf convergence threshold", "a"), "structure 0 of .* cannot be read"),
    ],
)
def test_damage_is_said_in_a_sentence(damage, words, write):
    with pytest.raises(AssayError, match=words):
        read_dataset(write(damage(dynamics())))


def test_a_file_by_any_name_and_compressed_gives_the_same(write, tmp_path):
    path = write(dynamics(), "relax.log")
    packed = tmp_path / "relax.log.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_dataset(packed).forces, read_dataset(path).forces)


def test_structures_are_those_of_labels_and_of_bands_with_their_charge(write):
    """Whatever becomes of their energies, which may be those in a field or not converged."""
    said = "     Using Berry phase electric field\n"
    rough = begin(electrons=7.0, said=said) + iterations(-33.9, accuracy=0.17) + results(STEPS[0][1]) + END
    bands = begin(electrons=9.0) + "     Band Structure Calculation\n" + END
    path = write(dynamics() + rough + bands)
    found = [load() for load in read_frames(path)]
    of_ase = ase.io.read(path, ":", format="espresso-out")
    assert len(found) == 6 and len(of_ase) == 5, "ASE looks for energies"
    for atoms, other in zip(found, of_ase, strict=False):
        np.testing.assert_allclose(atoms.positions, other.positions, atol=1e-7)
    assert [atoms.info["charge"] for atoms in found] == [0, 0, 0, 0, 1, -1]
