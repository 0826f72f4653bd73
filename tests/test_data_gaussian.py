"""Labels in outputs of Gaussian: made-up jobs of hydrogen on a spring, laid out as Gaussian 09 and 16 write them."""

import re

import numpy as np
import pytest
from ase.units import Bohr, Hartree

from assay.data import read_dataset
from assay.data.formats import count_structures, open_frames
from assay.workflow.errors import AssayError
from shared.spring import DIRECTION, LENGTHS_A, check_as_ase_reads, check_slope, computed, positions_at, writes

LINE = " " + "-" * 69
BEGIN = """ Entering Gaussian System, Link 0=g16
 Copyright (c) 1988-2016, Gaussian, Inc.
 ----------------------
 # {} b3lyp/6-31g(d)
 ----------------------
"""
END = " Normal termination of Gaussian 16 at Mon Nov 30 12:00:00 2026.\n"


def molecule(charge=0, multiplicity=1):
    return f" Symbolic Z-matrix:\n Charge = {charge:2d} Multiplicity = {multiplicity}\n"


def coordinates(positions, numbers=(1, 1), title="Input"):
    rows = "".join(
        f"{k:7d}{z:11d}{0:12d}    {''.join(f'{x:12.6f}' for x in row)}\n"
        for k, (z, row) in enumerate(zip(numbers, positions, strict=True), 1)
    )
    return f"""                         {title} orientation:
{LINE}
 Center     Atomic      Atomic             Coordinates (Angstroms)
 Number     Number       Type             X           Y           Z
{LINE}
{rows}{LINE}
"""


def field(energy_Eh, n_cycles=9):
    return f" SCF Done:  E(RB3LYP) =  {energy_Eh:.10f}     A.U. after {n_cycles:4d} cycles\n"


def forces_of(rows, numbers=(1, 1), rms=None):
    line = " " + "-" * 67
    table = "".join(
        f"{k:7d}{z:9d}    {''.join(f'{x:15.9f}' for x in row)}\n"
        for k, (z, row) in enumerate(zip(numbers, rows, strict=True), 1)
    )
    rms = np.sqrt(np.mean(np.square(rows))) if rms is None else rms
    return f""" ***** Axes restored to original set *****
{line}
 Center     Atomic                   Forces (Hartrees/Bohr)
 Number     Number              X              Y              Z
{line}
{table}{line}
 Cartesian Forces:  Max {np.abs(rows).max():15.9f} RMS {rms:15.9f}

"""


def at(length_A, title="Input"):
    """Coordinates in the orientation of the input, and those along z."""
    along = coordinates([[0, 0, length_A / 2], [0, 0, -length_A / 2]], title="Standard")
    return (coordinates(positions_at(length_A), title=title) if title else "") + along


def step(length_A, behind_energy="", title="Input"):
    energy, forces = computed(length_A)
    return at(length_A, title) + field(energy) + behind_energy + forces_of(forces)


def single(length_A=0.70, **state):
    return BEGIN.format("force") + molecule(**state) + step(length_A) + END


def optimization(**state):
    """Behind its steps stand coordinates of which nothing was computed, and a job of frequencies at the same."""
    steps = "".join(step(length) for length in LENGTHS_A)
    frequencies = " # Geom=AllCheck Freq\n" + molecule(**state) + step(LENGTHS_A[-1])
    return BEGIN.format("opt freq") + molecule(**state) + steps + at(LENGTHS_A[-1]) + END + frequencies + END


write = writes("h2.log")


def test_labels_are_those_that_ase_reads_and_forces_the_slope_of_the_energy(write):
    data = read_dataset(write(optimization()))
    assert len(data) == 4 and not data.pbc.any() and list(data.charge) == 4 * [0] and list(data.spin) == 4 * [1]
    check_slope(data)
    for length, structure in zip((*LENGTHS_A, LENGTHS_A[-1]), data, strict=True):
        check_as_ase_reads(structure, write(single(length), "single.log"), "gaussian-out")


def test_several_jobs_in_one_file_have_their_own_charges(write):
    path = write(optimization() + single(0.9, charge=1, multiplicity=2))
    data = read_dataset(path)
    assert list(data.charge) == [0, 0, 0, 0, 1] and list(data.spin) == [1, 1, 1, 1, 2] and count_structures(path) == 5


def test_fragments_of_a_guess_have_not_the_charge_of_the_whole(write):
    fragments = " Charge =  1 Multiplicity = 2 in fragment      1.\n Charge =  0 Multiplicity = 2 in fragment      2.\n"
    whole = " Charge =  1 Multiplicity = 3 in supermolecule\n"
    [structure] = read_dataset(write(BEGIN.format("force") + whole + fragments + step(0.7) + END))
    assert (structure.charge, structure.spin) == (1, 3)


@pytest.mark.parametrize(
    "line",
    [
        " E2 =    -0.2500000000D-01 EUMP2 =    -0.12000000000000D+01\n",
        " E2(B2PLYPD) =    -0.2500000000D-01 E(B2PLYPD) =    -0.12000000000000D+01\n",
        " E2(DSD-PBEP86) = -0.2500000000D-01 E(DSD-PBEP86) = -0.12000000000000D+01\n",
    ],
)
def test_the_energy_of_mp2_and_double_hybrids_has_their_correlation(line, write):
    [structure] = read_dataset(write(BEGIN.format("force") + molecule() + step(0.7, line) + END))
    assert structure.energy_eV == pytest.approx(-1.2 * Hartree)


@pytest.mark.parametrize(
    "line",
    [
        " Excited State   1:      Singlet-A      4.8 eV  258.0 nm  f=0.1\n",
        " E3=       -0.1D-01        EUMP3=      -0.12D+01\n",
        " DE(Corr)= -0.1 E(CORR)=     -1.2\n",
        " CCSD(T)= -0.12D+01\n",
        " DE(CI)= -.48D-01 E(CI)= -.12D+01\n",
        " Total energy (include solvent energy) = -1.2\n",
    ],
)
def test_forces_of_an_energy_that_is_not_read_are_refused(line, write):
    with pytest.raises(AssayError, match=r"structure 0 of .* has `.*such energies are not read of Gaussian"):
        read_dataset(write(BEGIN.format("force") + molecule() + step(0.7, line) + END))
    alone = BEGIN.format("sp") + molecule() + at(0.7) + field(-1.1) + line + END
    assert len(read_dataset(write(single() + alone))) == 1, "without forces it is no label"
    atom = BEGIN.format("sp") + molecule(0, 2) + coordinates([np.zeros(3)], (1,)) + field(-0.5) + line + END
    with pytest.raises(AssayError, match="such energies are not read"):
        read_dataset(write(single() + atom))


def test_an_atom_alone_needs_no_forces(write):
    atom = BEGIN.format("sp") + molecule(0, 2) + coordinates([np.zeros(3)], (1,)) + field(-0.5) + END
    for text in (single() + atom, single() + atom.replace("Input", "Standard")):
        data = read_dataset(write(text))
        assert data.energy[-1] == pytest.approx(-0.5 * Hartree) and not data.forces[-1].any()


def test_electrons_that_are_not_converged_are_left_out(write, capsys):
    failed = " >>>>>>>>>> Convergence criterion not met.\n" + field(-1.1, 129)
    rough = BEGIN.format("force") + molecule() + at(0.8) + failed
    for end in (" Convergence failure -- run terminated.\n", forces_of(computed(0.8)[1]) + END):
        assert len(read_dataset(write(single() + rough + end))) == 1
        assert "the electrons of 1 structures of" in capsys.readouterr().out
        with pytest.raises(AssayError, match=r"has converged electrons.*SCF=XQC of Gaussian"):
            read_dataset(write(rough + end))
    energy, forces = computed(0.8)
    [structure] = read_dataset(write(rough + field(energy) + forces_of(forces) + END))
    assert structure.energy_eV == pytest.approx(energy * Hartree), "the second field converged"


@pytest.mark.parametrize("word", ["(Angstroms)", "SCF Done", "A.U.", "Forces (", "Cartesian Forces", "RMS"])
def test_a_structure_that_is_there_in_part_is_left_out_with_a_warning(word, write):
    last = step(0.74)
    text = BEGIN.format("opt") + molecule() + step(0.70) + last[: last.index(word) + len(word)]
    with pytest.warns(UserWarning, match=r"h2\.log ends within an ionic step, which is left out"):
        assert len(read_dataset(write(text))) == 1
    with pytest.raises(AssayError, match=r"h2\.log ends within a structure"):
        read_dataset(write(BEGIN.format("opt") + molecule() + last[: last.index(word) + len(word)]))


@pytest.mark.parametrize("word", ["(Angstroms)", "0.533333", "SCF Done", "Forces (", "-0.0"])
@pytest.mark.parametrize("between", ["", "\n"])
def test_a_job_that_was_killed_costs_no_other(word, between, write):
    killed = single(0.8)
    killed = killed[: killed.index(word, killed.index("Forces (") if word == "-0.0" else 0) + len(word)]
    for text in (single() + killed + between + single(0.9), killed + between + single() + single(0.9)):
        with pytest.warns(UserWarning, match="is left out, because it is there in part, and another job follows"):
            data = read_dataset(write(text))
        np.testing.assert_allclose(data.energy, [computed(length)[0] * Hartree for length in (0.7, 0.9)])


def test_an_output_of_windows_and_a_long_trajectory_are_read(write):
    begin = " Entering Link 1 = C:\\G16W\\l1.exe PID=      4711.\n # bomd b3lyp/6-31g(d)\n"
    steps = "".join(step(length) for length in np.linspace(0.6, 0.9, 2000))
    text = (begin + molecule(charge=1) + steps + END).replace("\n", "\r\n")
    (path := write("")).write_bytes(text.encode())
    data = read_dataset(path)
    assert len(data) == 2000 and set(data.charge) == {1}


def test_positions_in_another_orientation_than_forces_are_no_labels(write):
    turned = BEGIN.format("force") + molecule() + step(0.8, title="") + END
    with pytest.raises(AssayError, match=r"h2\.log tells positions in standard orientation alone.*PrintInputOrient"):
        read_dataset(write(turned))
    with pytest.warns(UserWarning, match=r"1 structures of .* are left out.*standard orientation alone"):
        [structure] = read_dataset(write(single(0.7) + turned))
    assert structure.energy_eV == pytest.approx(computed(0.7)[0] * Hartree)
    displaced = BEGIN.format("freq=numer") + molecule() + step(0.7) + field(-1.1) + forces_of(computed(0.9)[1]) + END
    moved = single(0.9).replace(" SCF Done", at(0.8, title="") + " SCF Done")
    without_forces = BEGIN.format("sp") + molecule() + at(0.8, title="") + field(-1.1) + END
    for text, n in ((displaced, 2), (moved, 1), (without_forces, 1)):
        with pytest.warns(UserWarning, match=f"{n} structures of .* are left out.*standard orientation alone"):
            assert len(read_dataset(write(single() + text))) == 1
        with pytest.raises(AssayError, match="standard orientation alone"):
            read_dataset(write(text))


def test_numbers_that_touch_are_read(write):
    large = np.array([[-123.456789012, -2345.678901234, -1.0], [123.456789012, 2345.678901234, 1.0]])
    near, far = (f"{a:12.6f}{b:12.6f}" for a, b in (0.7 * DIRECTION[:2], (-1000.0, -2000.0)))
    text = BEGIN.format("force") + molecule() + at(0.7).replace(near, far) + field(-1.1) + forces_of(large) + END
    assert "-1000.000000-2000.000000" in text and "-123.456789012-2345.678901234" in text
    [structure] = read_dataset(write(text))
    np.testing.assert_allclose(structure.forces_eV_per_A, large * Hartree / Bohr)
    np.testing.assert_array_equal(structure.positions[1, :2], [-1000.0, -2000.0])


def test_dummies_are_no_atoms(write):
    energy, forces = computed(0.7)
    place = coordinates([[0, 0, 5.0], np.zeros(3), 0.7 * DIRECTION], (-1, 1, 1), title="Z-Matrix")
    text = BEGIN.format("force") + molecule() + place + field(energy) + forces_of(forces) + END
    [structure] = read_dataset(write(text))
    np.testing.assert_allclose(structure.positions[1], 0.7 * DIRECTION, atol=1e-6)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text.replace(" ***** Axes", field(-1.2) + " ***** Axes"), "has 2 energies behind it"),
        (lambda text: re.sub(r" SCF Done.*\n", "", text), "has forces and no `SCF Done` behind it"),
        (lambda text: re.sub(r"(E\(RB3LYP\) = ) *-1.\d+", r"\1 *****", text), "cannot be read"),
        (lambda text: text.replace("      2        1  ", "      2        2  "), "has forces of other atoms behind it"),
        (
            lambda text: re.sub(r"(      2        1 .*)\d\n", r"\g<1>9\n", text).replace("RMS     ", "RMS    1"),
            "root mean",
        ),
        (lambda text: re.sub(r"(      2        1 +)\S+", r"\1***************", text), "cannot be read .* has no three"),
        (lambda text: text.replace("RMS", "R"), "has a table of forces that cannot be read"),
        (lambda text: text.replace(f"{2:7d}{1:11d}", f"{2:7d}{0:11d}"), "has ghost atoms"),
        (lambda text: " H-Bq(Iso=1)   0.0 0.0 1.0\n" + text, "has ghost atoms"),
        (lambda text: text.replace(f"{2:7d}{1:11d}", f"{2:7d}{-2:11d}"), "is periodic, which is not read of Gaussian"),
    ],
)
def test_what_does_not_fit_is_refused(damage, words, write):
    with pytest.raises(AssayError, match=f"structure 0 of .* {words}"):
        read_dataset(write(BEGIN.format("force") + molecule() + damage(step(0.7)) + END))


@pytest.mark.parametrize(
    "said",
    [
        " The following finite field(s) will be applied:\n",
        " Sum of input charges=            1.20000\n",
        " ONIOM: calculating energy.\n",
        " Counterpoise: doing full-system calculation.\n",
        " ! X1    R(1,-1)    1.0742    -DE/DX =    0.0                 Frozen !\n",
        " C                    -1    1.07422  -0.06034   0.02917\n",
    ],
)
def test_what_students_know_nothing_of_is_refused(said, write):
    with pytest.raises(AssayError, match=r"is of a run of Gaussian with `.*give the output of a run without"):
        read_dataset(write(single().replace(" Symbolic", said + " Symbolic")))


def test_a_job_that_tells_no_charge_has_not_that_of_the_job_before(write):
    silent = " # Geom=Check force\n" + step(0.9) + END
    frames = [load() for load in open_frames(write(single(charge=1, multiplicity=2) + silent)).frames()]
    assert [frame.info.get("charge") for frame in frames] == [1, None]


def test_words_of_a_title_are_no_settings(write):
    title = " Counterpoise: methane of dimer\n Bq test, ONIOM: none, MCSCF\n R(1,-1) is Frozen\n"
    assert len(read_dataset(write(single().replace(" Symbolic", title + " Symbolic")))) == 1
