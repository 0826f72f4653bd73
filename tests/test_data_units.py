"""Units that files of labels state, wherever they state them."""

import ase
import ase.db
import h5py
import numpy as np
import pytest
from ase.units import Bohr, Hartree, kcal, mol

from assay.data import read_dataset
from assay.data.stated_units import stated_units, tells_unit
from assay.predictors.structure_files import read_frames
from assay.workflow.errors import AssayError
from assay.workflow.units import unit_told_by
from shared.label_files import FRAME

NUMBERS = np.array([8, 1])
FORCES = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, -0.5]])
POSITIONS = np.array([[0.0, 0.0, 0.0], [0.0, 0.1, 0.97]])


def labelled(n=3):
    """Geometries of hydroxide by the names of nothing in particular."""
    return {
        "atomic_numbers": NUMBERS,
        "positions": np.stack([POSITIONS] * n),
        "energy": -75.0 - np.arange(n),
        "forces": np.stack([FORCES] * n),
    }


@pytest.mark.parametrize(
    "names",
    [
        ("z", "R", "E", "F"),
        ("nuclear_charges", "coords", "energies", "forces"),
        ("atomic_numbers", "positions", "energy", "forces"),
    ],
)
@pytest.mark.parametrize(
    ("units", "energy_eV", "length_A"), [(("eV", "Ang"), 1.0, 1.0), (("hartree", "bohr"), Hartree, Bohr)]
)
def test_units_of_arrays_hold_whatever_the_arrays_are_called(tmp_path, names, units, energy_eV, length_A):
    arrays = dict(zip(names, labelled().values(), strict=True))
    np.savez(tmp_path / "set.npz", **arrays, e_unit=units[0], r_unit=units[1])
    read = read_dataset(tmp_path / "set.npz")
    np.testing.assert_allclose(read.energy, energy_eV * labelled()["energy"])
    np.testing.assert_allclose(read.forces[:2], energy_eV / length_A * FORCES)
    np.testing.assert_allclose(read.positions[:2], length_A * POSITIONS)


@pytest.mark.parametrize(
    ("label", "units", "read_as"),
    [
        ("stress", {}, {"energy": "eV", "forces": "eV/angstrom", "stress": "eV/angstrom^3"}),
        ("stress", {"stress": "kbar", "energy": "au/atom"},
         {"energy": "au/atom", "forces": "hartree/angstrom", "stress": "kbar"}),
        ("virial", {"energy": "kcal/mol"},
         {"energy": "kcal/mol", "forces": "kcal/mol/angstrom", "stress": "kcal/mol/angstrom^3"}),
        ("virial", {"virial": "au"}, {"energy": "eV", "forces": "eV/angstrom", "stress": "hartree/angstrom^3"}),
    ],
)  # fmt: skip
def test_a_dataset_knows_what_its_labels_were_read_as(tmp_path, label, units, read_as):
    path, number = tmp_path / "a.xyz", "1 2 3 0 0 0"
    frame = f'2\nLattice="9 0 0 0 9 0 0 0 9" energy=-9.0 {label}="{number}" Properties=species:S:1:pos:R:3:forces:R:3\n'
    path.write_text(2 * (frame + "O 0 0 0 0 0 1\nH 0 0 1 0 0 -1\n"))
    read = read_dataset({"path": path, "units": units})
    assert dict(read.read_as) == dict(read.subset([1]).read_as) == read_as


def write_own(path, of_columns=(), of_groups=()):
    """Our own layout, with attributes of columns and of groups."""
    own = labelled()
    with h5py.File(path, "w") as file:
        file["structures/atomic_numbers"] = np.tile(own["atomic_numbers"], 3)
        file["structures/atomic_numbers_splits"] = [0, 2, 4, 6]
        file["structures/positions"] = own["positions"].reshape(-1, 3)
        file["labels/energy"], file["labels/forces"] = own["energy"], own["forces"].reshape(-1, 3)
        for name, attribute, unit in (*of_columns, *of_groups):
            file[name].attrs[attribute] = unit


def write_groups(path, of_columns=(), of_groups=()):
    """A group for a molecule, with the same attributes."""
    with h5py.File(path, "w") as file:
        for name, values in labelled().items():
            file[f"set/labels/{name}"] = values
        for name, attribute, unit in (*of_columns, *of_groups):
            place = name.replace("structures", "labels")
            file[f"set/{place}" if name != "/" else "/"].attrs[attribute] = unit


@pytest.mark.parametrize("write", [write_own, write_groups])
@pytest.mark.parametrize(
    ("of_columns", "of_groups"),
    [
        ([("labels/energy", "Units", "hartree"), ("structures/positions", "UNIT", np.array([b"bohr"]))], []),
        ([("structures/positions", "length_unit", "bohr")], [("labels", "Energy_Unit", "hartree")]),
        ([], [("/", "energy_units", "hartree"), ("/", "distance_unit", "bohr")]),
        ([], [("/", "units", "atomic units"), ("/", "time_unit", "fs")]),
        ([("structures/positions", "unit", "bohr")], [("labels", "units", "hartree"), ("/", "units", "eV")]),
    ],
)
def test_units_of_hdf5_are_found_on_columns_groups_and_the_file(tmp_path, write, of_columns, of_groups):
    write(tmp_path / "set.h5", of_columns, of_groups)
    read = read_dataset(tmp_path / "set.h5")
    np.testing.assert_allclose(read.energy, Hartree * labelled()["energy"])
    np.testing.assert_allclose(read.positions[:2], Bohr * POSITIONS)
    np.testing.assert_allclose(read.forces[:2], Hartree / Bohr * FORCES)


@pytest.mark.parametrize(("unit", "length_A"), [("angstrom", 1.0), ("bohr", Bohr)])
def test_cells_of_hdf5_may_have_another_unit_than_positions(tmp_path, unit, length_A):
    write_own(tmp_path / "set.h5", [("structures/positions", "unit", unit)])
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file["structures/cells"] = np.stack([np.diag([0.9, 1.0, 1.1])] * 3)
        file["structures/cells"].attrs["unit"] = "nm"
    read = read_dataset(tmp_path / "set.h5")
    np.testing.assert_allclose(read.cells, np.stack([np.diag([9.0, 10.0, 11.0])] * 3))
    np.testing.assert_allclose(read.positions[:2], length_A * POSITIONS)


@pytest.mark.parametrize("write", [write_own, write_groups])
def test_a_stated_unit_that_is_not_understood_is_refused_unless_the_caller_names_it(tmp_path, write):
    write(tmp_path / "set.h5", of_groups=[("/", "units", "metal"), ("/", "length_unit", "angstrom")])
    with pytest.raises(AssayError, match=r"the units of .*set\.h5 are not understood: 'metal' is no unit of energy"):
        read_dataset(tmp_path / "set.h5")
    read = read_dataset({"path": tmp_path / "set.h5", "units": {"energy": "eV"}})
    np.testing.assert_allclose(read.forces[:2], FORCES)


@pytest.mark.parametrize(
    "metadata",
    [
        {"units": {"energy": "Hartree", "positions": "Bohr", "dipole": "Debye"}},
        {"energy_unit": "Hartree", "distance_unit": "Bohr"},
        {"property_units": {"energy": "Hartree"}, "distance_unit": "Bohr"},
    ],
)
def test_units_of_a_database_are_found_in_its_metadata(tmp_path, metadata):
    with ase.db.connect(tmp_path / "set.db") as database:
        database.metadata = metadata
        database.write(ase.Atoms(NUMBERS, POSITIONS), data={"energy": -75.0, "forces": FORCES})
    read = read_dataset(tmp_path / "set.db")
    np.testing.assert_allclose(read.energy, [-75.0 * Hartree])
    np.testing.assert_allclose(read.positions, Bohr * POSITIONS)
    np.testing.assert_allclose(read.forces, Hartree / Bohr * FORCES)


def frame(units):
    return f"2\nenergy=-75 {units} Properties=species:S:1:pos:R:3:forces:R:3\nO 0 0 0 0 0 0.5\nH 0 0.1 0.97 0 0 -0.5\n"


def test_a_cell_is_in_the_unit_of_length_that_a_file_states(tmp_path):
    path = tmp_path / "set.xyz"
    path.write_text(frame('length_units=bohr Lattice="9 0 0 0 10 0 0 0 11"'))
    [load] = read_frames(path)
    for cell in (load().cell.array, read_dataset(path).cells[0]):
        np.testing.assert_allclose(cell, Bohr * np.diag([9.0, 10.0, 11.0]))


@pytest.mark.parametrize("units", ["energy_unit=hartree pos_unit=bohr", "units=atomic", "eUnits=Ha length_units=bohr"])
def test_units_of_extended_xyz_are_found_in_its_comments(tmp_path, units):
    path = tmp_path / "set.xyz"
    path.write_text(frame(units) * 2)
    read = read_dataset(path)
    np.testing.assert_allclose(read.energy, [-75.0 * Hartree] * 2)
    np.testing.assert_allclose(read.forces[:2], Hartree / Bohr * FORCES)
    [atoms, _] = [load() for load in read_frames(path)]
    np.testing.assert_allclose(atoms.positions, Bohr * POSITIONS)
    assert not atoms.info  # or what is written in angstrom would be read in bohr
    for other in (frame(units.replace("atomic", "eV").replace("bohr", "nm")), frame("")):
        path.write_text(frame(units) + other)
        with pytest.raises(AssayError, match=r"structure 1 of .* states .*, but those before it energy in .*"):
            read_dataset(path)


def test_two_units_of_one_kind_are_refused(tmp_path):
    (tmp_path / "set.xyz").write_text(frame("pos_unit=bohr cell_unit=angstrom"))
    with pytest.raises(AssayError, match="'bohr and angstrom' is no unit of length"):
        read_dataset(tmp_path / "set.xyz")
    [load] = read_frames(tmp_path / "set.xyz")
    with pytest.raises(AssayError, match=r"structure 0 of .*set\.xyz is in a unit .*'bohr and angstrom'"):
        load()


@pytest.mark.parametrize(
    "name", ["unit_cell_volume", "formula_units", "community", "dipole_unit", "unitcell", "UnitCell", "unit cell"]
)
def test_units_of_something_else_are_none_of_labels(name):
    assert not stated_units({name: "metal", "unit": 2}) and not tells_unit(name)


@pytest.mark.parametrize(
    "told",
    ["energy_per_formula_unit=-0.{}5", "energy_per_unit_cell=-{}.0", "formation_energy_per_formula_unit=nan", "units"],
)
def test_a_number_is_no_unit_and_neither_is_a_name_alone(tmp_path, told):
    path = tmp_path / "set.xyz"
    path.write_text(frame(told.format(5)) + frame(told.format(6)) + frame(""))
    np.testing.assert_allclose(read_dataset(path).energy, -75.0)


@pytest.mark.parametrize("name", ["unitcell", "UnitCell", "unit-cell", "latticeVectors"])
def test_a_cell_by_any_spelling_of_its_name_is_one(tmp_path, name):
    path = tmp_path / "set.xyz"
    path.write_text(frame(f'{name}="7 0 0 0 8 0 0 0 9"') + frame(f"{name}=cubic"))
    read = read_dataset(path)
    assert np.diag(read.cells[0]).tolist() == [7.0, 8.0, 9.0] and read.pbc.tolist() == [[True] * 3, [False] * 3]


def test_a_unit_of_a_label_by_its_name_holds_for_it_alone(tmp_path):
    path = tmp_path / "set.xyz"
    path.write_text(frame("REF_energy_unit=hartree n_units=2") + frame("REF_energy_unit=hartree n_units=3"))
    assert read_dataset(path).energy[0] == -75.0
    path.write_text(
        path.read_text()
        .replace(" energy=", " REF_energy=")
        .replace("\nenergy=", "\nREF_energy=")
        .replace("forces", "REF_forces")
    )
    np.testing.assert_allclose(read_dataset(path).energy, [-75.0 * Hartree] * 2)


@pytest.mark.parametrize("write", [write_own, write_groups])
def test_a_unit_of_forces_alone_leaves_that_of_energies_open(tmp_path, write):
    length = ("structures/positions", "unit", "angstrom")
    write(tmp_path / "set.h5", [("labels/forces", "unit", "kcal/mol/angstrom"), length])
    source = {"path": tmp_path / "set.h5", "units": {"length": "angstrom"}}
    with pytest.raises(AssayError, match=r"set\.h5 (states that forces are in kcal/mol/angstrom|does not say)"):
        read_dataset(source)
    read = read_dataset({**source, "units": {"energy": "kcal/mol"}})
    np.testing.assert_allclose(read.forces[:2], kcal / mol * FORCES)
    np.testing.assert_allclose(read.energy, kcal / mol * labelled()["energy"])


def test_a_usual_unit_of_forces_alone_leaves_nothing_open(tmp_path):
    write_own(tmp_path / "set.h5", [("labels/forces", "unit", "eV/A")])
    np.testing.assert_allclose(read_dataset(tmp_path / "set.h5").energy, labelled()["energy"])


@pytest.mark.parametrize("units", [{}, {"energy": "eV/atom"}])
def test_a_file_may_state_energies_of_one_atom(tmp_path, units):
    write_own(tmp_path / "set.h5", [("labels/energy", "unit", "hartree/atom" if not units else "eV/Atom")])
    read = read_dataset({"path": tmp_path / "set.h5", "units": units})
    np.testing.assert_allclose(read.energy, 2 * labelled()["energy"] * (1.0 if units else Hartree))
    np.testing.assert_allclose(read.forces[:2], FORCES * (1.0 if units else Hartree))
    whole = read_dataset({"path": tmp_path / "set.h5", "units": {"energy": "eV"}})
    np.testing.assert_allclose(whole.energy, labelled()["energy"])


# What a name tells the unit of, in files of labels and in checkpoints alike.
@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((name, "energy") for name in ("energy_unit", "units_of_energy", "unit_of_energy", "unitsEnergy", "e_units")),
        *((name, "forces") for name in ("in_units_forces", "force_units", "Units of Forces", "units_f")),
        *((name, "length") for name in ("r_unit", "in_units_of_positions", "cell_units", "cutoffUnit")),
        ("units", ""), ("dft_energy_unit", "dftenergy"), ("energy_unit_dft", "energydft"),
        ("internal_energy_unit", "internalenergy"),
        *((name, None) for name in ("unit_cell", "unitcell", "hidden_units", "n_units", "energy", "united_atoms")),
    ],
)  # fmt: skip
def test_a_name_tells_the_unit_of_one_thing_wherever_it_stands(name, told):
    assert unit_told_by(name) == told


@pytest.mark.parametrize("name", ["units_of_energy", "unit_of_energy", "in_units_energy"])
def test_a_unit_of_energy_holds_in_a_comment_line_by_any_such_name(tmp_path, name):
    rows = "O 0 0 0 0.1 0 0\nH 0 0 0.96 -0.1 0 0\n"
    header = f'2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-75.0 forces_unit="eV/angstrom" {name}=hartree\n'
    (tmp_path / "labels.xyz").write_text(header + rows)
    assert read_dataset(tmp_path / "labels.xyz").energy == pytest.approx([-75.0 * Hartree])


@pytest.mark.parametrize(
    ("words", "length_A"),
    [
        ("units: bohr", Bohr),
        ("Water, units bohr, by hand", Bohr),
        ("unit (Bohr)", Bohr),
        ("units: a.u.", Bohr),
        ("units: nm", 10.0),
        ("Coordinates (a.u.)", Bohr),
        ("Positions are given in atomic units", Bohr),
        ("geometry in nm", 10.0),
        ("units=angstrom (bohr)", 1.0),
        ("unit cell, coordinates from a crystal, geometry of step 7", 1.0),
        ('cutoff 5.0 bohr, max force 1e-3 Ha/bohr, 0.1 Bohr magneton title="in bohr"', 1.0),
        ("energy in a.u. -76.4", 1.0),
        ("cutoff=60 units Ry, barrier 0.4 unit kcal/mol", 1.0),
        ("Coordinates in Angstrom", 1.0),
        ("dipole (e Bohr) 1 2 3, forces in Hartree per Bohr, converted from Bohr", 1.0),
    ],
)
def test_a_unit_of_length_in_words_holds_for_positions(tmp_path, words, length_A):
    (tmp_path / "one.xyz").write_text(f"2\n{words}\nO 0 0 0\nH 0 0 1.8\n")
    [load] = read_frames(tmp_path / "one.xyz")
    np.testing.assert_allclose(load().positions[1], [0.0, 0.0, 1.8 * length_A])


@pytest.mark.parametrize("words", ["water (bohr)", "H2O in Bohr", "bohr"])
def test_bohr_of_nothing_in_particular_are_refused(tmp_path, words):
    (tmp_path / "one.xyz").write_text(f"2\n{words}\nO 0 0 0\nH 0 0 1.8\n")
    [load] = read_frames(tmp_path / "one.xyz")
    with pytest.raises(AssayError, match=r"structure 0 of .* has `bohr` in its comment line, .*: write units=bohr"):
        load()


@pytest.mark.parametrize(
    "words",
    [
        "Positions: Bohr Forces: Hartree/Bohr",
        "energies in Hartree, positions in Bohr",
        "lengths: bohr forces: eV/angstrom",
        "Coordinates (bohr) converted to Angstrom",
    ],
)
def test_words_that_name_several_units_are_refused(tmp_path, words):
    """Positions were read in bohr, and the energy beside them in eV."""
    (tmp_path / "one.xyz").write_text(f"2\n{words}\nO 0 0 0\nH 0 0 1.8\n")
    [load] = read_frames(tmp_path / "one.xyz")
    with pytest.raises(AssayError, match=r"structure 0 of .* does not say of which numbers: write units="):
        load()


def test_frames_of_which_some_state_what_is_usual_are_read_together(tmp_path):
    frames = [
        FRAME.format(comment=f"energy=-1 {words}", columns="forces:R:3", more="") for words in ("units: eV", "xtb")
    ]
    (tmp_path / "two.xyz").write_text("".join(frames))
    assert read_dataset(tmp_path / "two.xyz").energy.tolist() == [-1.0, -1.0]


def test_units_of_labels_may_be_told_in_words(tmp_path):
    comment = "energy=-1 units: kcal/mol"
    (tmp_path / "one.xyz").write_text(FRAME.format(comment=comment, columns="forces:R:3", more=""))
    assert read_dataset(tmp_path / "one.xyz").energy[0] == pytest.approx(-kcal / mol)
