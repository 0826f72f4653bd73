"""Labels in outputs of ORCA: made-up jobs of hydrogen on a spring, laid out as ORCA 5 and 6 write them."""

import re

import numpy as np
import pytest
from ase.units import Hartree

from assay.data import read_dataset
from assay.data.formats import count_structures, open_frames
from assay.predictors.structure_files import read_frames
from assay.workflow.errors import AssayError
from shared.spring import LENGTHS_A, check_as_ase_reads, check_slope, computed, positions_at, writes


def coordinates(positions, symbols=("H", "H")):
    rows = "".join(f"  {s:3s}{''.join(f'{x:12.6f}' for x in row)}\n" for s, row in zip(symbols, positions, strict=True))
    line = "-" * 33
    return f"{line}\nCARTESIAN COORDINATES (ANGSTROEM)\n{line}\n{rows}\n"


def settings(charge=0, multiplicity=1, n_atoms=2):
    return f"""General Settings:
 Total Charge           Charge          ....    {charge}
 Multiplicity           Mult            ....    {multiplicity}

Number of atoms                             ...      {n_atoms}

"""


def energy_of(value, note=""):
    line = "-------------------------   --------------------"
    return f"{line}\nFINAL SINGLE POINT ENERGY     {value:17.12f}{note}\n{line}\n\n"


def gradient_of(rows, symbols=("H", "H"), title="CARTESIAN GRADIENT", norm=None):
    line, bar = "-" * 18, "-" * 78
    table = "".join(
        f"{k:4d}   {s:2s}  : {''.join(f'{x:15.9f}' for x in row)}\n"
        for k, (s, row) in enumerate(zip(symbols, rows, strict=True), 1)
    )
    return f"""{bar}
                         ORCA SCF GRADIENT CALCULATION
{bar}

Nuc. rep. gradient        (SHARK) ... done (  0.0 sec)

{line}
{title}
{line}

{table}
Difference to translation invariance:
           :    0.0000000000    0.0000000000   -0.0000000000

Norm of the Cartesian gradient     ... {np.linalg.norm(rows) if norm is None else norm:15.10f}
RMS gradient                       ...    0.0130718947

"""


def step(length_A, energy_note="", is_last=False, **state):
    energy, forces = computed(length_A)
    text = coordinates(positions_at(length_A)) + settings(**state) + energy_of(energy, energy_note)
    return text if is_last else text + gradient_of(-forces)


BEGIN = """
                                 *****************
                                 * O   R   C   A *
                                 *****************

                         Program Version 6.0.0 -  RELEASE  -

                                       INPUT FILE
NAME = h2.inp
|  1> ! wB97M-V def2-TZVPD EnGrad {}
|  2> * xyz 0 1
|  3> H 0 0 0
|  4> *
|  5>                          ****END OF INPUT****

"""
END = "                             ****ORCA TERMINATED NORMALLY****\nTOTAL RUN TIME: 0 days\n"


def optimization(end=END, **state):
    """The last structure has an energy and no gradient."""
    begin = BEGIN.format("Opt")
    return begin + "".join(step(length, **state) for length in LENGTHS_A) + step(0.73, is_last=True, **state) + end


write = writes("h2.out")


def test_labels_are_those_that_ase_reads_and_forces_the_slope_of_the_energy(write, capsys):
    data = read_dataset(write(optimization()))
    assert len(data) == 3 and not data.pbc.any() and list(data.charge) == [0, 0, 0] and list(data.spin) == [1, 1, 1]
    assert "1 structures of" in capsys.readouterr().out, "the last has no gradient"
    check_slope(data)
    for length, structure in zip(LENGTHS_A, data, strict=True):
        single = write(BEGIN.format("") + step(length) + END, "single.out")
        check_as_ase_reads(structure, single, "orca-output")


def test_several_jobs_in_one_file_have_their_own_charges(write):
    ion = BEGIN.format("") + step(0.9, charge=1, multiplicity=2) + END
    path = write(optimization() + ion)
    data = read_dataset(path)
    assert list(data.charge) == [0, 0, 0, 1] and list(data.spin) == [1, 1, 1, 2] and count_structures(path) == 5


def test_an_atom_alone_needs_no_gradient(write, capsys):
    atom = coordinates([np.zeros(3)], ("H",)) + settings(multiplicity=2, n_atoms=1) + energy_of(-0.5)
    data = read_dataset(write(optimization() + BEGIN.format("") + atom + END))
    assert data.energy[-1] == pytest.approx(-0.5 * Hartree) and not data.forces[-1].any()


@pytest.mark.parametrize(
    "energy",
    [
        energy_of(-1.1, "   (SCF not fully converged!)"),
        energy_of(-1.1, "  (Wavefunction not fully converged!)"),
        energy_of(-1.1, "  (Wavefunction not converged!)"),
        "         *  SCF NOT CONVERGED AFTER 125 CYCLES  *\n" + energy_of(-1.1),
        energy_of(0.0),  # of NoIter
        "The SCF did not converge: aborting the run\n",
    ],
)
def test_electrons_that_are_not_converged_are_left_out(energy, write, capsys):
    rough = coordinates(positions_at(0.8)) + settings() + energy + gradient_of(-computed(0.8)[1])
    assert len(read_dataset(write(optimization() + BEGIN.format("") + rough + END))) == 3
    assert "the electrons of 1 structures of" in capsys.readouterr().out
    with pytest.raises(AssayError, match="has converged electrons"):
        read_dataset(write(BEGIN.format("") + rough + END))


@pytest.mark.parametrize("at", ["(ANGSTROEM)", "  H  ", "FINAL", "CARTESIAN GRADIENT", "Norm"])
def test_a_structure_that_is_there_in_part_is_left_out_with_a_warning(at, write):
    last = step(0.74)
    text = BEGIN.format("Opt") + step(0.70) + last[: last.index(at) + len(at)]
    with pytest.warns(UserWarning, match=r"h2\.out ends within an ionic step, which is left out"):
        assert len(read_dataset(write(text))) == 1
    with pytest.raises(AssayError, match=r"h2\.out (ends within a structure|is an output of ORCA without)"):
        read_dataset(write(BEGIN.format("") + last[: last.index(at) + len(at)]))


def test_gradients_of_a_part_of_the_energy_or_by_differences_are_no_labels(write):
    energy, forces = computed(0.8)
    head = BEGIN.format("") + coordinates(positions_at(0.8)) + settings() + energy_of(energy)
    for text in (gradient_of(-forces) + "The final MP2 gradient\n", gradient_of(-forces, title="SOME GRADIENT")):
        with pytest.raises(AssayError, match=r"none of the 1 structures of .* has an energy and forces"):
            read_dataset(write(head + text + END))
        assert len(read_dataset(write(optimization() + head + text + END))) == 3


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text + energy_of(-1.2), "structure 0 of .* has 2 energies behind it"),
        (lambda text: text + gradient_of(-computed(0.9)[1]), "structure 0 of .* has 2 gradients behind it"),
        (
            lambda text: re.sub(r"(ENERGY +-\d\.\d)\d+", r"\1", text),
            r"structure 0 of .* cannot be read \(`-1\.\d` is no",
        ),
        (lambda text: text.replace("   2   H   :", "   2   He  :"), "structure 0 of .* has a gradient of other atoms"),
        (lambda text: text.replace("   2   H   :  ", "   2   H   : 1"), "structure 0 of .* is not of the norm"),
        (lambda text: text.replace("  H      0.0", "  H :    0.0", 1), "structure 0 of .* has ghost atoms"),
        (
            lambda text: text.replace("FINAL SINGLE POINT ENERGY  ", "FINAL SINGLE POINT ENERGY (from xtb) "),
            "cannot be",
        ),
    ],
)
def test_what_does_not_fit_is_refused(damage, words, write):
    with pytest.raises(AssayError, match=words):
        read_dataset(write(BEGIN.format("") + damage(step(0.7)) + END))


@pytest.mark.parametrize(
    ("line", "said", "words"),
    [
        ('%pointcharges "charges.pc"', "", "%pointcharges"),
        ("! QM/XTB", "", "QM/XTB"),
        ("%scf EField 0.0, 0.0, 0.01 end", "", "EField 0.0, 0.0, 0.01"),
        ("", "TD-DFT/TDA EXCITED STATES (SINGLETS)\n", "TD-DFT/TDA EXCITED STATES"),
        ("", "                 ORCA TD-DFT/TDA CALCULATION\n", "ORCA TD-DFT/TDA CALCULATION"),
        ("! UKS DeltaSCF", "", "DeltaSCF"),
        ("%casscf nel 2 norb 2 nroots 3 end", "", "nroots 3"),
        ("Q -0.5 0.0 0.0 3.0", "", "Q -0.5 0.0 0.0 3.0"),
        ("", "WARNING: THERE ARE 5 CONSTRAINED CARTESIAN COORDINATES\n", "CONSTRAINED CARTESIAN COORDINATES"),
    ],
)
def test_what_students_know_nothing_of_is_refused(line, said, words, write):
    text = optimization().replace("|  3> H 0 0 0", f"|  3> H 0 0 0\n|  4> {line}") + said
    with pytest.raises(AssayError, match=f"is of a run of ORCA with `{words}.*give the output of a run without"):
        read_dataset(write(text))


@pytest.mark.parametrize(
    "line",
    [
        "# as with QM/MM and pointcharges",
        "* xyzfile 0 1 QM/start.xyz",
        "%scf EField 0.0, 0.0, 0.0 end",
        "%casscf nel 2 norb 2 nroots 1 end",
        "a: 1",
    ],
)
def test_what_changes_nothing_is_no_setting(line, write):
    text = optimization().replace("|  3> H 0 0 0", f"|  3> H 0 0 0\n|  4> {line}")
    assert len(read_dataset(write(text))) == 3


@pytest.mark.parametrize(
    "between", [BEGIN.format("MiniPrint"), "          $     JOB NUMBER  2 $\n", "            COMPOUND JOB  2 \n"]
)
def test_a_job_that_tells_no_charge_has_not_that_of_the_job_before(between, write):
    energy, forces = computed(0.9)
    silent = coordinates(positions_at(0.9)) + energy_of(energy) + gradient_of(-forces)
    path = write(optimization(charge=1, multiplicity=2) + between + silent + END)
    frames = [load() for load in open_frames(path).frames()]
    assert [frame.info.get("charge") for frame in frames] == [1, 1, 1, 1, None]
    structures = [load() for load in read_frames(path)]
    assert [atoms.info.get("charge") for atoms in structures] == [1, 1, 1, 1, None]


def test_a_spin_that_is_flipped_is_not_that_of_the_settings(write):
    text = optimization(charge=0, multiplicity=3).replace("|  2>", "|  2> %scf BrokenSym 1,1 end\n|  3>")
    assert all(structure.spin is None for structure in read_dataset(write(text)))
