"""Extended XYZ in the forms in which other programs write it."""

import bz2
import gzip
import lzma
import warnings
from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.units import Bohr

from assay.data import read_dataset
from assay.predictors.structure_files import read_frames
from assay.sampling.own_labels import read_structures
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from shared.label_files import FRAME

ATOMS = "O 0 0 0\nH 0 0 1.83\n"
IPI = "2\n# {cell} Step:  7  Bead:  0 {units}\n" + ATOMS


def atoms_of(path):
    return [load() for load in read_frames(path)]


@pytest.mark.parametrize(
    ("cell", "vectors"),
    [
        ("CELL(abcABC):   18.0   19.0   20.0  90.0  90.0  90.0", np.diag([18.0, 19.0, 20.0])),
        ("CELL(H): 18.0 2.0 0.0 0.0 19.0 0.0 0.0 0.0 2.0e+1", [[18.0, 0.0, 0.0], [2.0, 19.0, 0.0], [0.0, 0.0, 20.0]]),
    ],
)
@pytest.mark.parametrize(
    ("units", "length_A", "cell_A"),
    [
        ("positions{atomic_unit}  cell{atomic_unit}", Bohr, Bohr),
        ("positions{angstrom} cell{atomic_unit}", 1.0, Bohr),
        ("x_centroid{atomic_unit} cell{angstrom}", Bohr, 1.0),
    ],
)
def test_a_trajectory_of_ipi_has_its_cell_and_its_units(tmp_path, cell, vectors, units, length_A, cell_A):
    (tmp_path / "ipi.xyz").write_text(IPI.format(cell=cell, units=units))
    [atoms] = atoms_of(tmp_path / "ipi.xyz")
    assert atoms.pbc.all()
    np.testing.assert_allclose(atoms.cell, cell_A * np.array(vectors), atol=1e-9)
    np.testing.assert_allclose(atoms.positions[1], [0.0, 0.0, 1.83 * length_A])


@pytest.mark.parametrize(
    ("cell", "units", "why"),
    [
        ("CELL(abcABC): 18 19 20 90 90 90", "", "is of i-PI, but does not say its units"),
        ("CELL(abcABC): 18 19 20 90 90 90", "forces{atomic_unit} cell{angstrom}", "holds forces of i-PI, and no pos"),
        ("CELL(GENH): 1 0 0 0 1 0 0 0 1", "positions{angstrom} cell{angstrom}", "has a cell GENH of i-PI that cannot"),
        ("CELL(abcABC): 18 19 20", "positions{angstrom} cell{angstrom}", "has a cell abcABC of i-PI that cannot"),
        ("CELL(abcABC): 1 1 1 90 90 90", "positions{inch} cell{angstrom}", "'inch' is no unit of length"),
    ],
)  # fmt: skip
def test_what_ipi_writes_and_is_no_geometry_is_refused(tmp_path, cell, units, why):
    (tmp_path / "ipi.xyz").write_text(IPI.format(cell=cell, units=units))
    with pytest.raises(AssayError, match=rf"structure 0 of .*ipi\.xyz.* {why}"):
        atoms_of(tmp_path / "ipi.xyz")


LABELLED = """2
energy=-1.05D+1 {lattice}="5 0 0 0 6 0 0 0 7" virial="1 0 0 0 1 0 0 0 1" {properties}={columns}:force:R:3
C 0 0 0 1.0D-1 0 0
O 0 0 1.1 -1.0d-1 0 nan
"""


@pytest.mark.parametrize(
    ("lattice", "properties"), [("Lattice", "Properties"), ("lattice", "properties"), ("LATTICE", "PROPERTIES")]
)
@pytest.mark.parametrize("columns", ["species:S:1:pos:R:3", "element:S:1:positions:R:3", "symbol:S:1:coords:R:3"])
def test_names_and_numbers_of_gpumd_and_others_are_understood(tmp_path, lattice, properties, columns):
    path = tmp_path / "set.xyz"
    path.write_text(LABELLED.format(lattice=lattice, properties=properties, columns=columns).replace("nan", "0"))
    read = read_dataset(path)
    assert read.atomic_numbers.tolist() == [6, 8] and read.energy.tolist() == [-10.5]
    assert read.forces[:, 0].tolist() == [0.1, -0.1] and read.positions[1, 2] == 1.1
    assert np.diag(read.cells[0]).tolist() == [5.0, 6.0, 7.0]
    np.testing.assert_allclose(read.stress[0], -np.eye(3) / 210.0)
    [atoms] = atoms_of(path)
    assert properties not in atoms.info


@pytest.mark.parametrize(("column", "others"), [("species", "atom_types"), ("pos", "where")])
def test_a_column_that_is_not_there_is_named(tmp_path, column, others):
    (tmp_path / "set.xyz").write_text(
        LABELLED.format(
            lattice="Lattice", properties="Properties", columns="species:S:1:pos:R:3".replace(column, others)
        )
    )
    with pytest.raises(AssayError, match=rf"structure 0 of .* has no column .*{column}.* in its Properties"):
        read_dataset(tmp_path / "set.xyz")


@pytest.mark.parametrize(
    "words",
    ['unitcell="Fm-3m 225"', 'lattice="fcc (a = 3.61)"', 'cell="mp-1234_3x3x1"', 'unit_cell="1x1"', "box=5.43"],
)
def test_words_by_the_name_of_a_cell_stand_beside_lattice_vectors(tmp_path, words):
    text = LABELLED.format(lattice="Lattice", properties="Properties", columns="species:S:1:pos:R:3")
    (tmp_path / "set.xyz").write_text(text.replace("nan", "0").replace("energy", f"{words} energy"))
    [atoms] = atoms_of(tmp_path / "set.xyz")
    assert np.diag(atoms.cell).tolist() == [5.0, 6.0, 7.0] and read_dataset(tmp_path / "set.xyz").pbc.all()


@pytest.mark.parametrize("name", ["set.XYZ", "set.xyz", "set.xyz.gz", "set.XYZ.GZ", "set.xyz.bz2", "set.xyz.xz"])
@pytest.mark.parametrize("opener", [open, gzip.open, bz2.open, lzma.open])
def test_compression_is_told_by_content_and_a_suffix_in_any_case(tmp_path, name, opener):
    with opener(tmp_path / name, "wt") as file:
        file.write(
            LABELLED.format(lattice="box", properties="Properties", columns="species:S:1:pos:R:3").replace("nan", "0")
        )
    assert read_dataset(tmp_path / name).energy.tolist() == [-10.5]
    assert len(atoms_of(tmp_path / name)) == 1


def test_a_comment_in_another_encoding_costs_nothing(tmp_path):
    text = LABELLED.format(lattice="Lattice", properties="Properties", columns="species:S:1:pos:R:3").replace(
        "nan", "0"
    )
    (tmp_path / "set.xyz").write_bytes(text.replace("energy", 'in="1 Å, PBE" energy').encode("latin-1"))
    read = read_dataset(tmp_path / "set.xyz")
    assert read.energy.tolist() == [-10.5] and np.diag(read.cells[0]).tolist() == [5.0, 6.0, 7.0]


def test_types_of_lammps_in_place_of_elements_are_refused(tmp_path):
    (tmp_path / "dump.xyz").write_text("1\n Atoms. Timestep: 0\nC 0 0 0\n2\nAtoms. Timestep: 10\n1 0 0 0\n2 0 0 1.1\n")
    named, typed = read_frames(tmp_path / "dump.xyz")
    assert named().numbers.tolist() == [6]
    with pytest.raises(AssayError, match=r"structure 1 of .*dump\.xyz has types of LAMMPS and no elements"):
        typed()


def test_numbers_in_place_of_symbols_are_atomic_numbers(tmp_path):
    (tmp_path / "set.xyz").write_text("2\nby hand\n6 0 0 0\n8 0 0 1.1\n")
    [atoms] = atoms_of(tmp_path / "set.xyz")
    assert atoms.numbers.tolist() == [6, 8]


@pytest.mark.parametrize(
    ("first", "second", "rows"),
    [
        ("species:I:1", "element:S:1", ["1 {} O", "2 {} H"]),
        ("element:S:1", "species:I:1", ["O {} 1", "H {} 2"]),
        ("species:S:1", "symbols:S:1", ["1 {} O", "2 {} h"]),
        ("elements:I:1", "species:S:1", ["0 {} O", "1 {} D"]),
        ("species:S:1", "symbols:S:1", ["O {} OW", "H {} HW"]),
        ("species:S:1", "Z:I:1", ["CA {} 8", "HA {} 1"]),
        ("species:I:1", "numbers:I:1", ["8 {} 0", "1 {} 1"]),
    ],
)
def test_symbols_count_before_numbers_that_may_be_of_types(tmp_path, first, second, rows):
    placed = [row.format(f"0 0 {z}") for z, row in enumerate(rows)]
    (tmp_path / "set.xyz").write_text("\n".join(["2", f"Properties={first}:pos:R:3:{second}", *placed, ""]))
    [atoms] = atoms_of(tmp_path / "set.xyz")
    assert atoms.numbers.tolist() == [8, 1]


@pytest.mark.parametrize("name", ["pbc", "Pbc", "PBC", "periodic", "Periodic"])
@pytest.mark.parametrize(
    ("value", "axes"), [('"F F F"', [False] * 3), ("F", [False] * 3), ('"T T F"', [True, True, False])]
)
def test_periodicity_is_read_in_any_case(tmp_path, name, value, axes):
    text = LABELLED.format(lattice="Lattice", properties="Properties", columns="species:S:1:pos:R:3").replace(
        "nan", "0"
    )
    (tmp_path / "set.xyz").write_text(text.replace("energy", f"{name}={value} energy"))
    assert read_dataset(tmp_path / "set.xyz").pbc.tolist() == [axes]
    [atoms] = atoms_of(tmp_path / "set.xyz")
    assert atoms.pbc.tolist() == axes and name not in atoms.info


def test_words_of_a_comment_are_neither_periodicity_nor_columns(tmp_path):
    (tmp_path / "set.xyz").write_text("2\nproperties of a periodic pbc slab\n" + ATOMS)
    [atoms] = atoms_of(tmp_path / "set.xyz")
    assert not atoms.pbc.any() and atoms.get_chemical_formula() == "HO"


@pytest.mark.parametrize(
    "comment",
    [
        "stress relaxed structure",
        "Lattice optimized by PBE",
        "virial expansion, run 3",
        "water under stress",
        'note="stress free" don\'t',
        'stress="" virial=None Lattice=[]',
    ],
)
def test_words_of_a_comment_are_no_tensors(tmp_path, comment):
    (tmp_path / "set.xyz").write_text(f"2\n{comment}\n" + ATOMS)
    [atoms] = atoms_of(tmp_path / "set.xyz")
    assert atoms.get_chemical_formula() == "HO" and not atoms.pbc.any()
    assert atoms.info.get("note") in (None, "stress free")


@pytest.mark.parametrize("told", ["virial", 'stress=""', "virial=None"])
def test_a_tensor_that_ase_writes_as_none_is_none(tmp_path, told):
    text = LABELLED.format(lattice="Lattice", properties="Properties", columns="species:S:1:pos:R:3")
    written = text.replace("nan", "0").replace('virial="1 0 0 0 1 0 0 0 1"', told)
    (tmp_path / "set.xyz").write_text(written)
    read = read_dataset(tmp_path / "set.xyz")
    assert read.energy.tolist() == [-10.5] and read.stress is None


@pytest.mark.parametrize("value", ["note=don't", "name=N,N'-dimethylformamide", "note=[a", 'note="a'])
def test_a_quote_that_hides_the_columns_is_named(tmp_path, value):
    text = LABELLED.format(lattice="Lattice", properties="Properties", columns="species:S:1:pos:R:3")
    before, columns = text.replace("nan", "0").split("Properties")
    (tmp_path / "set.xyz").write_text(f"{before}{value} Properties{columns}")
    with pytest.raises(AssayError, match=r"structure 0 of .*set\.xyz has a quote or bracket that is not closed before"):
        read_dataset(tmp_path / "set.xyz")


def test_a_value_that_cannot_be_read_is_not_blamed_on_columns(tmp_path):
    (tmp_path / "set.xyz").write_text('2\nnote="_JSON [1, "\n' + ATOMS)
    with pytest.raises(AssayError, match=r"structure 0 of .*set\.xyz has a comment line with a value that cannot"):
        atoms_of(tmp_path / "set.xyz")


@pytest.mark.parametrize(
    ("said", "count"),
    [("converged=F", 2), ("scf_converged=False", 2), ("Converged=0", 2), ("converged=T", 0), ("unconverged=F", 0)],
)
def test_labels_that_are_said_not_to_be_converged_are_counted(tmp_path, said, count):
    rows = "O 0 0 0 0.1 0 0\nH 0 0 0.96 -0.1 0 0\n"
    comments = [f"2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-10 {more}\n{rows}" for more in (said, "", said)]
    (tmp_path / "labels.xyz").write_text("".join(comments))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(read_dataset(tmp_path / "labels.xyz")) == 3
    words = f"{count} structures of {tmp_path}/labels.xyz say that they are not converged"
    assert [str(one.message).partition(":")[0] for one in caught] == [words] * bool(count)


@pytest.mark.parametrize("comment", ["energy -11.0", "single point energy forces from DFT", "energy=T", "energy=None"])
def test_a_bare_word_is_no_energy(tmp_path, comment):
    columns, rows = "Properties=species:S:1:pos:R:3:forces:R:3", "O 0 0 0 0.1 0 0\nH 0 0 0.96 -0.1 0 0\n"
    (tmp_path / "labels.xyz").write_text(f"2\n{columns} energy=-10\n{rows}2\n{columns} {comment}\n{rows}")
    with pytest.raises(AssayError, match="has no energy `energy`, but those before it have"):
        read_dataset(tmp_path / "labels.xyz")


def test_a_bare_word_names_no_molecule(tmp_path):
    columns, rows = "Properties=species:S:1:pos:R:3:forces:R:3", "O 0 0 0 0.1 0 0\nH 0 0 0.96 -0.1 0 0\n"
    said = ("water molecule in gas phase", "name ethanol molecule", "molecule=ethanol")
    frames = [f"2\n{columns} energy=-10 {words}\n{rows}" for words in said]
    (tmp_path / "labels.xyz").write_text("".join(frames))
    assert [structure.molecule for structure in read_dataset(tmp_path / "labels.xyz")] == ["", "", "ethanol"]


@pytest.mark.parametrize("name", ["0012", "12e4567812345678", "F", "1_000", "1 2 3", "True", "[Na+].[Cl-]", "[1,2]"])
def test_the_name_of_a_molecule_stays_as_it_is(tmp_path, name):
    """As a number or a truth it would be another molecule than in the file that it came from."""
    water = Structure.from_ase(molecule("H2O"), "w")
    ase.io.write(tmp_path / "frames.xyz", replace(water, molecule=name).to_ase(), format="extxyz")
    assert [structure.molecule for structure in read_structures(tmp_path / "frames.xyz")] == [name]


@pytest.mark.parametrize("given", ["N/A", '"-10 eV"'])
def test_an_energy_that_is_no_number_is_quoted(tmp_path, given):
    lines = [FRAME.format(comment=f"energy={own}", columns="forces:R:3", more="") for own in (-1, given)]
    (tmp_path / "two.xyz").write_text("".join(lines))
    words = given.strip('"')
    with pytest.raises(
        AssayError, match=f"structure 1 .* has energy `energy` of '{words}', which should be one number"
    ):
        read_dataset(tmp_path / "two.xyz")
