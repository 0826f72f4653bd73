"""What files of labels say twice, in part or in other words: read as it was meant, or refused, and never in between."""

from contextlib import nullcontext

import ase
import ase.db
import ase.io
import h5py
import numpy as np
import pytest
from ase.units import Bohr, Hartree, kcal, mol

from assay.data import read_dataset
from assay.data.spellings import booleans
from assay.predictors.structure_files import read_frames
from assay.workflow.errors import AssayError
from shared.label_files import (
    CELL,
    FORCES,
    FRAME,
    POSITIONS,
    UNITS,
    arrays,
    crystal_line,
    crystal_with,
    write_groups,
    write_npz,
)


@pytest.mark.parametrize(("write", "name"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
@pytest.mark.parametrize(
    ("cell", "axes"), [("cell", "pbc"), ("cells", "PBC"), ("lattice", "periodic"), ("box", "Periodic")]
)
@pytest.mark.parametrize("of_each", [False, True])
def test_cells_and_periodicity_are_read_under_their_names(tmp_path, write, name, cell, axes, of_each):
    given = {cell: CELL, axes: np.array([True, True, False])}
    if of_each:
        given = {key: np.stack([value] * 3) for key, value in given.items()}
    for pbc, more in ((given[axes], given), (np.ones(3, bool), {cell: given[cell]})):
        write(tmp_path / name, **more, stress=np.zeros((3, 6)))
        read = read_dataset({"path": tmp_path / name, "units": UNITS})
        np.testing.assert_allclose(read.cells, np.stack([CELL] * 3))
        assert (read.pbc == pbc).all()
    write(tmp_path / name, **given | {axes: ~np.ones_like(given[axes])})
    assert not read_dataset({"path": tmp_path / name, "units": UNITS}).pbc.any()


@pytest.mark.parametrize("order", ["C", "F"])
def test_sgdml_keeps_lattice_vectors_in_columns(tmp_path, order):
    own = {"z": [6, 6], "R": np.stack([POSITIONS] * 2), "E": [-1.0, -2.0], "F": np.zeros((2, 2, 3)), "type": "d"}
    np.savez(tmp_path / "own.npz", **own, e_unit="eV", r_unit="Ang", lattice=np.asarray(CELL.T, order=order))
    np.testing.assert_allclose(read_dataset(tmp_path / "own.npz").cells[0], CELL)


@pytest.mark.parametrize("name", ["Lattice", "lattice", "cell"])
def test_a_cell_of_extended_xyz_may_have_a_small_letter(tmp_path, name):
    (tmp_path / "one.xyz").write_text(
        FRAME.format(comment=f'energy=-1 {name}="{" ".join(map(str, CELL.ravel()))}"', columns="forces:R:3", more="")
    )
    np.testing.assert_allclose(read_dataset(tmp_path / "one.xyz").cells[0], CELL)


@pytest.mark.parametrize(
    ("given", "axes"),
    [
        ("f f f", (0, 0, 0)), ("FFF", (0, 0, 0)), ("none", (0, 0, 0)), ("T T F", (1, 1, 0)), ("TTF", (1, 1, 0)),
        (True, (1, 1, 1)), (".true.", (1, 1, 1)), (np.array([1.0, 0.0, 1.0]), (1, 0, 1)),
        ([b"T", b"F", b"T"], (1, 0, 1)),
    ],
)  # fmt: skip
def test_truth_is_read_in_the_words_of_any_file(given, axes):
    assert booleans(given, "pbc", "here").tolist() == [bool(axis) for axis in axes]


@pytest.mark.parametrize("given", ["perhaps", "T T", 2, [0.5, 1, 1]])
def test_what_is_neither_true_nor_false_is_refused(given):
    with pytest.raises(AssayError, match=r"structure 3 has `pbc` .*, which is not one or three of true and false"):
        booleans(given, "pbc", "structure 3")


@pytest.mark.parametrize(("write", "name"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
@pytest.mark.parametrize("kind", ["stress", "virials"])
def test_a_stress_whose_cell_has_a_name_of_its_own_is_refused(tmp_path, write, name, kind):
    own = {"supercell": CELL, kind: np.ones((3, 6))}
    write(tmp_path / name, **own)
    with pytest.raises(AssayError, match=f"structure 0 .* a {kind.rstrip('s')}.* `{kind}`, but no lattice vectors"):
        read_dataset({"path": tmp_path / name, "units": UNITS})
    for more in ({"pbc": False}, {kind: np.zeros((3, 6))}):  # as calculators of molecules and MACE write
        write(tmp_path / name, **own | more)
        assert read_dataset({"path": tmp_path / name, "units": UNITS}).stress is None


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"box": 9.0}, r"a cell `box` of shape \(\), which should be nine numbers or three lengths"),
        ({"cell": CELL, "box": 2 * CELL}, "two cells that differ, `(cell|box)` and `(cell|box)`"),
        ({"cell": CELL, "pbc": 3}, "`pbc` '3', which is not one or three of true and false"),
        ({"cell": CELL, "periodic": 2}, "`periodic` '2', which is not one or three of true and false"),
        ({"cell": CELL, "pbc": False, "periodic": True}, "`(pbc|periodic)` and `(pbc|periodic)` that differ"),
    ],
)
@pytest.mark.parametrize(("write", "name"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
def test_a_cell_that_makes_no_sense_is_named(tmp_path, write, name, cells, why):
    write(tmp_path / name, **cells)
    with pytest.raises(AssayError, match=f"structure 0 .*of .* has {why}"):
        read_dataset({"path": tmp_path / name, "units": UNITS})


@pytest.mark.parametrize(("write", "name"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
def test_a_cell_of_all_that_may_be_lengths_of_each_is_refused(tmp_path, write, name):
    lengths = np.array([[10.0, 11.0, 12.0], [13.0, 10.0, 11.0], [12.0, 13.0, 10.0]])
    write(tmp_path / name, box=lengths)
    with pytest.raises(
        AssayError, match=r"set\..* has a `box` of shape \(3, 3\) for three structures, which may be one"
    ):
        read_dataset({"path": tmp_path / name, "units": UNITS})
    write(tmp_path / name, box=[np.diag(own) for own in lengths])
    read = read_dataset({"path": tmp_path / name, "units": UNITS})
    np.testing.assert_allclose(np.diagonal(read.cells, axis1=1, axis2=2), lengths)


@pytest.mark.parametrize(
    ("comment", "column", "energy"),
    [
        ("energy=-1 E=0.01", "forces", -1.0),
        ("energy=-1 F=0.01", "forces", -1.0),
        ("dft_energy=-3 E=0.01", "dft_forces", -3.0),
        ("E=-2", "F", -2.0),
    ],
)
def test_a_letter_alone_is_no_label(tmp_path, comment, column, energy):
    path = tmp_path / "one.xyz"
    path.write_text(FRAME.format(comment=comment, columns=f"{column}:R:3", more=""))
    keys = {"energy_key": "dft_energy"} if "dft" in comment else {}
    assert read_dataset({"path": path, **keys}).energy.tolist() == [energy]


def test_a_letter_alone_may_be_named(tmp_path):
    path = tmp_path / "one.xyz"
    path.write_text(FRAME.format(comment="E=-2", columns="forces:R:3", more=""))
    with pytest.raises(AssayError, match=r"structure 0 of .* has no energy: beside atoms it holds `E`, `forces`"):
        read_dataset(path)
    assert read_dataset({"path": path, "energy_key": "E"}).energy.tolist() == [-2.0]


@pytest.mark.parametrize("lattice", [np.array([4.0, 5.0, 6.0]), np.diag([4.0, 5.0, 6.0]).reshape(9)])
def test_a_cell_may_be_three_lengths_or_nine_numbers(tmp_path, lattice):
    for given in (lattice, np.stack([lattice] * 2)):
        write_npz(tmp_path / "set.npz", **arrays(2), cell=given)
        read = read_dataset({"path": tmp_path / "set.npz", "units": UNITS})
        np.testing.assert_array_equal(read.cells, np.stack([np.diag([4.0, 5.0, 6.0])] * 2))


def test_text_under_the_name_of_a_cell_is_none(tmp_path):
    write_npz(tmp_path / "set.npz", lattice="fcc")
    assert not read_dataset({"path": tmp_path / "set.npz", "units": UNITS}).pbc.any()
    (tmp_path / "set.xyz").write_text(FRAME.format(comment="energy=-1 lattice=fcc", columns="forces:R:3", more=""))
    assert not read_dataset(tmp_path / "set.xyz").pbc.any()


def test_our_own_layout_repeats_along_its_cells_unless_it_says_otherwise(tmp_path):
    path = tmp_path / "own.h5"
    with h5py.File(path, "w") as file:
        file["structures/atomic_numbers"], file["structures/positions"] = [6, 6], POSITIONS
        file["structures/atomic_numbers_splits"], file["structures/cells"] = [0, 2], CELL[None]
        file["labels/energy"], file["labels/forces"] = [-1.0], FORCES
    assert read_dataset(path).pbc.all()
    with h5py.File(path, "a") as file:
        file["structures/pbc"] = [[1, 0, 1]]
    assert read_dataset(path).pbc.tolist() == [[True, False, True]]


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        (np.array([17.0, 1.0]), [17, 1]),
        (np.array([b"CL", b"d"]), [17, 1]),
        (np.array([["Cl", "h"]] * 3), [17, 1]),
        (np.array([["Cl", ""]] * 3), [17]),
    ],
)
def test_elements_are_read_as_they_are_written(tmp_path, given, numbers):
    write_npz(tmp_path / "set.npz", numbers=given)
    read = read_dataset({"path": tmp_path / "set.npz", "units": UNITS})
    assert read[2].atomic_numbers.tolist() == numbers and len(read[2].positions) == len(numbers)


@pytest.mark.parametrize("given", [np.array(["C", "Q"]), np.array([6.0, 6.5])])
def test_what_is_no_element_is_named(tmp_path, given):
    write_npz(tmp_path / "set.npz", numbers=given)
    with pytest.raises(AssayError, match=f"structure 0 of .* has an atom '{given[1]}', which is no element"):
        read_dataset({"path": tmp_path / "set.npz", "units": UNITS})


def test_arrays_in_the_order_of_fortran_and_symbols_are_read(tmp_path):
    plain, turned = arrays(), {key: np.asarray(value, order="F") for key, value in arrays().items()}
    np.savez(tmp_path / "plain.npz", **plain)
    np.savez(tmp_path / "turned.npz", **turned | {"numbers": np.array(["C", "C"])})
    files = [read_dataset({"path": tmp_path / name, "units": UNITS}) for name in ("plain.npz", "turned.npz")]
    assert files[0].content_sha256() == files[1].content_sha256()
    np.savez(tmp_path / "objects.npz", **plain | {"numbers": np.array([6, 6], dtype=object)})
    with pytest.raises(AssayError, match="numbers as objects of Python"):
        read_dataset({"path": tmp_path / "objects.npz", "units": UNITS})


def test_units_of_forces_follow_from_those_that_a_file_states(tmp_path):
    write_groups(tmp_path / "some.h5")
    with h5py.File(tmp_path / "some.h5", "a") as file:
        file["diamond/positions"].attrs["units"], file["diamond/energy"].attrs["units"] = "bohr", "hartree"
    np.testing.assert_allclose(read_dataset(tmp_path / "some.h5").forces[0, 2], 0.02 * Hartree / Bohr)
    own = {"z": [6, 6], "R": np.stack([POSITIONS] * 2), "E": [-1.0, -2.0], "F": np.stack([FORCES] * 2)}
    np.savez(tmp_path / "own.npz", **own, e_unit="eV")
    np.testing.assert_allclose(read_dataset(tmp_path / "own.npz").forces[0, 2], 0.02)


@pytest.mark.parametrize(
    ("comment", "columns", "names"),
    [
        ("total_energy=-30.5 potential_energy=-31.7", "forces:R:3", ("total_energy", "potential_energy")),
        ("total_energy=-31.7 energy=-1.16", "forces:R:3", ("energy", "total_energy")),
        ("energy=-31.7", "gradient:R:3:forces:R:3", ("forces", "gradient")),
    ],
)
def test_two_names_for_one_label_need_a_key(tmp_path, comment, columns, names):
    path, more = tmp_path / "two.xyz", " -0.1 0.002 0" if columns.count("R") > 1 else ""
    path.write_text(FRAME.format(comment=comment, columns=columns, more=more))
    kind = "forces" if more else "energy"
    with pytest.raises(AssayError, match=f"two names for {kind} whose values differ, `{names[0]}` and `{names[1]}`"):
        read_dataset(path)
    assert read_dataset({"path": path, f"{kind}_key": names[1]}).energy[0] == -31.7


@pytest.mark.parametrize("name", ["atomization_energy", "energy_weight", "energy_uncertainty", "energy_std"])
def test_what_is_no_energy_of_a_structure_is_not_taken_for_one_beside_forces(tmp_path, name):
    path = tmp_path / "one.xyz"
    path.write_text(FRAME.format(comment=f"{name}=-4.5", columns="forces:R:3", more=""))
    for source in (path, {"path": path, "forces_key": "forces"}):
        with pytest.raises(AssayError, match=r"structure 0 of .*one\.xyz has no energy"):
            read_dataset(source)


@pytest.mark.parametrize("column", ["energy:R:1", "energy:R:2"])
def test_a_column_of_energies_of_atoms_is_not_the_energy_beside_it(tmp_path, column):
    path = tmp_path / "one.xyz"
    path.write_text(FRAME.format(comment="energy=-31.7", columns=f"forces:R:3:{column}", more=" -15.85 -15.85"))
    assert read_dataset(path).energy.tolist() == [-31.7]


def test_a_gradient_that_is_minus_the_forces_is_no_other_label(tmp_path):
    path = tmp_path / "two.xyz"
    text = FRAME.format(comment="energy=-31.7", columns="forces:R:3:gradient:R:3", more="{}")
    path.write_text(text.format(" -0.1 0 0", " 0.1 0 0"))
    assert read_dataset(path).forces.tolist() == [[0.1, 0.0, 0.0], [-0.1, 0.0, 0.0]]


@pytest.mark.parametrize(("other_eV", "is_one"), [(-31700.00005, True), (-31700.05, False)])
def test_total_energies_may_differ_by_what_rounding_explains_however_large(tmp_path, other_eV, is_one):
    path = tmp_path / "two.xyz"
    path.write_text(FRAME.format(comment=f"energy=-31700.0 total_energy={other_eV}", columns="forces:R:3", more=""))
    with nullcontext() if is_one else pytest.raises(AssayError, match="two names for energy whose values differ"):
        assert read_dataset(path).energy.tolist() == [-31700.0]


def test_two_names_that_agree_are_one_label(tmp_path, capsys):
    path = tmp_path / "two.xyz"
    path.write_text(FRAME.format(comment="total_energy=-31.7 energy=-31.7", columns="forces:R:3", more=""))
    assert read_dataset(path).energy[0] == -31.7
    assert "energy from `energy`" in (said := capsys.readouterr().out) and "not read: `total_energy`" in said


def test_labels_of_schnetpack_stand_before_a_calculator_that_is_stored_with_them(tmp_path):
    labels = {"energy": np.array([-31.7 * mol / kcal]), "forces": FORCES * mol / kcal}
    with ase.db.connect(tmp_path / "its.db") as database:
        units = {"energy": "kcal/mol", "forces": "kcal/mol/Ang"}
        database.metadata = {"_property_unit_dict": units, "_distance_unit": "Ang"}
        database.write(crystal_with(-31.7), data=labels)
    read = read_dataset(tmp_path / "its.db")
    np.testing.assert_allclose(read.energy, -31.7)
    np.testing.assert_allclose(read.forces, FORCES, atol=1e-12)


def test_a_calculators_forces_are_not_taken_for_those_that_schnetpack_lacks(tmp_path):
    with ase.db.connect(tmp_path / "its.db") as database:
        database.metadata = {"_property_unit_dict": {"energy": "kcal/mol", "forces": "kcal/mol/Ang"}}
        database.write(crystal_with(-31.7), data={"energy": np.array([-731.0])})
    with pytest.raises(AssayError, match="no forces"):
        read_dataset(tmp_path / "its.db")


@pytest.mark.parametrize("name", ["other.db", "other.traj"])
def test_a_label_and_a_stored_result_that_differ_are_refused(tmp_path, name):
    """Where labels are asked for, and no key names others."""
    atoms, others = crystal_with(-31.7), {"energy_key": "dft_energy", "forces_key": "dft_forces"}
    if name.endswith("db"):
        with ase.db.connect(tmp_path / name) as database:
            database.write(atoms, data={"energy": -99.0, "dft_energy": -1.0, "dft_forces": FORCES})
    else:
        atoms.info |= {"energy": -99.0, "dft_energy": -1.0, "dft_forces": FORCES}
        ase.io.write(tmp_path / name, atoms)
    for keys in ({}, {"energy_key": "energy"}):
        with pytest.raises(AssayError, match="two values of `energy`, one of its own and one of the calculator"):
            read_dataset({"path": tmp_path / name, **keys})
    assert read_dataset({"path": tmp_path / name, **others}).energy == [-1.0]
    [load] = read_frames(tmp_path / name)
    assert load().symbols.get_chemical_formula() == "C2"


def test_stress_is_read_though_the_first_structure_has_none(tmp_path):
    alone = FRAME.format(comment="REF_energy=-1", columns="REF_forces:R:3", more="")
    lattice = " ".join(map(str, CELL.ravel()))
    comment = f'REF_energy=-2 Lattice="{lattice}" REF_stress="1 0 0 0 1 0 0 0 1"'
    crystal = FRAME.format(comment=comment, columns="REF_forces:R:3", more="")
    (tmp_path / "mixed.xyz").write_text(alone + crystal)
    stress = read_dataset(tmp_path / "mixed.xyz").stress
    assert np.isnan(stress[0]).all()
    np.testing.assert_allclose(stress[1], np.eye(3))


def test_two_files_in_one_are_refused_in_a_sentence(tmp_path):
    parts = [FRAME.format(comment=f"{ref}energy=-1", columns=f"{ref}forces:R:3", more="") for ref in ("", "REF_")]
    for both, name, other in ((parts, "energy", "REF_energy"), (parts[::-1], "REF_energy", "energy")):
        (tmp_path / "both.xyz").write_text("".join(both))
        why = f"structure 1 of .* has no energy `{name}`, but those before it have: give its `{other}` this name"
        with pytest.raises(AssayError, match=why):
            read_dataset(tmp_path / "both.xyz")


@pytest.mark.parametrize(
    ("name", "unit", "said"), [("positions", "bohr", "angstrom"), ("energy", "kcal/mol", "a unit that is not stated")]
)
def test_groups_in_other_units_than_the_first_are_refused(tmp_path, name, unit, said):
    write_groups(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file.copy("diamond", "graphite")
        file["diamond/positions"].attrs["units"] = file["graphite/positions"].attrs["units"] = "angstrom"
        assert len(read_dataset({"path": tmp_path / "set.h5", "units": UNITS})) == 6
        file[f"graphite/{name}"].attrs["units"] = unit
    with pytest.raises(AssayError, match=f"`{name}` in {unit} in graphite, but in {said} in its first group, diamond"):
        read_dataset({"path": tmp_path / "set.h5", "units": UNITS})


@pytest.mark.parametrize(("energy", "words"), [([-31.7], None), ([-30.5], "two names for energy whose values differ")])
def test_one_number_may_stand_in_a_list(tmp_path, energy, words):
    atoms = crystal_with(-31.7)
    with ase.db.connect(tmp_path / "list.db") as database:
        database.write(atoms, data={"total_energy": np.array(energy)})
    if words is None:
        assert read_dataset(tmp_path / "list.db").energy[0] == -31.7
    else:
        with pytest.raises(AssayError, match=words):
            read_dataset(tmp_path / "list.db")
    atoms.info["energy"] = np.array(energy)
    ase.io.write(tmp_path / "list.traj", atoms)
    if words is None:
        assert read_dataset(tmp_path / "list.traj").energy[0] == -31.7
    else:
        with pytest.raises(AssayError, match="two values of `energy`"):
            read_dataset(tmp_path / "list.traj")


def test_what_is_no_label_may_differ_from_a_calculators_own(tmp_path):
    atoms = crystal_with(-31.7)
    atoms.calc.results["charges"] = np.array([0.1, -0.1])
    atoms.info["charges"] = np.array([0.2, -0.2])
    ase.io.write(tmp_path / "charges.traj", atoms)
    assert read_dataset(tmp_path / "charges.traj").energy[0] == -31.7


def test_a_stress_is_read_after_a_virial(tmp_path):
    volume = np.linalg.det(CELL)
    virial, stress = f'virial="-{volume} 0 0 0 -{volume} 0 0 0 -{volume}"', 'stress="2 0 0 0 2 0 0 0 2"'
    (tmp_path / "both.xyz").write_text(crystal_line(virial) + crystal_line(stress))
    np.testing.assert_allclose(read_dataset(tmp_path / "both.xyz").stress, [np.eye(3), 2 * np.eye(3)], atol=1e-12)


def test_a_key_for_stress_may_be_that_of_later_structures_alone(tmp_path):
    path, alone = tmp_path / "mixed.xyz", FRAME.format(comment="energy=-1", columns="forces:R:3", more="")
    stress = 'dft="1 0 0 0 1 0 0 0 1"'
    path.write_text(alone + crystal_line(f"{stress}"))
    with pytest.raises(AssayError, match=r"no structure of .* has a stress `dfd`: correct stress_key"):
        read_dataset({"path": path, "stress_key": "dfd"})
    path.write_text(crystal_line(stress) + alone)
    np.testing.assert_allclose(read_dataset({"path": path, "stress_key": "dft"}).stress[0], np.eye(3))
    path.write_text(alone + crystal_line(stress))
    np.testing.assert_allclose(read_dataset({"path": path, "stress_key": "dft"}).stress[1], np.eye(3))


def test_atomic_units_and_none_at_all_are_understood(tmp_path):
    write_npz(tmp_path / "set.npz")
    read = read_dataset({"path": tmp_path / "set.npz", "units": {"energy": "au", "length": "a.u.", "stress": None}})
    np.testing.assert_allclose(read.forces[:2], FORCES * Hartree / Bohr)
    np.testing.assert_allclose(read.positions[:2], POSITIONS * Bohr)
    with pytest.raises(AssayError, match="does not say its units"):
        read_dataset({"path": tmp_path / "set.npz", "units": {"energy": None, "length": None}})


TRICLINIC = np.array([[4.0, 0.0, 0.0], [2.5, 2.5 * 3.0**0.5, 0.0], [0.0, 0.0, 6.0]])


@pytest.mark.parametrize("name", ["Lattice", "cell", "box"])
@pytest.mark.parametrize(
    ("numbers", "vectors"),
    [
        ("4 5 6", np.diag([4.0, 5.0, 6.0])),
        ("4, 5, 6", np.diag([4.0, 5.0, 6.0])),
        ("4 5 6 90 90 60", TRICLINIC),
        (str(CELL.tolist()), CELL),
    ],
)
def test_a_cell_of_extended_xyz_may_be_lengths_and_angles(tmp_path, name, numbers, vectors):
    comment = f'energy=-1 {name}="{numbers}"'
    (tmp_path / "one.xyz").write_text(FRAME.format(comment=comment, columns="forces:R:3", more=""))
    read = read_dataset(tmp_path / "one.xyz")
    np.testing.assert_allclose(read.cells, [vectors], atol=1e-12)
    assert read.pbc.all()


@pytest.mark.parametrize(("write", "name"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
@pytest.mark.parametrize("of_each", [False, True])
def test_a_cell_of_arrays_may_be_lengths_and_angles(tmp_path, write, name, of_each):
    given = np.array([4.0, 5.0, 6.0, 90.0, 90.0, 60.0])
    write(tmp_path / name, cell=np.stack([given] * 3) if of_each else given)
    read = read_dataset({"path": tmp_path / name, "units": UNITS})
    np.testing.assert_allclose(read.cells, [TRICLINIC] * 3, atol=1e-12)


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("4 5", r"a cell `cell` of shape \(2,\), which should be nine numbers or three lengths"),
        ("4 5 6 0 0 1.5", "six numbers whose last three are no angles"),  # tilts, as LAMMPS writes them
        ("4 5 6 160 20 20", "six numbers whose last three are no angles"),
        ("4 5 6A", "a cell `cell` '4 5 6A' that cannot be read: write nine numbers"),
    ],
)
def test_a_cell_of_extended_xyz_that_cannot_be_read_is_refused(tmp_path, cell, why):
    comment = f'energy=-1 cell="{cell}"'
    (tmp_path / "one.xyz").write_text(FRAME.format(comment=comment, columns="forces:R:3", more=""))
    with pytest.raises(AssayError, match=f"structure 0 of .* has .*{why}"):
        read_dataset(tmp_path / "one.xyz")


@pytest.mark.parametrize("name", ["smeared.traj", "smeared.db"])
def test_a_free_energy_that_differs_needs_a_key(tmp_path, name):
    """As of VASP, whose forces are the gradient of the free energy where electrons are smeared."""
    atoms = crystal_with(-31.7)
    for free_eV in (-31.7, -31.70001, -32.3):
        atoms.calc.results["free_energy"] = free_eV
        (tmp_path / name).unlink(missing_ok=True)
        ase.io.write(tmp_path / name, atoms)
        if free_eV > -32:
            assert read_dataset(tmp_path / name).energy[0] == -31.7
    with pytest.raises(AssayError, match=r"has a `free_energy`, which forces belong to .* differs from `energy`"):
        read_dataset(tmp_path / name)
    for key, energy_eV in (("energy", -31.7), ("free_energy", -32.3)):
        assert read_dataset({"path": tmp_path / name, "energy_key": key}).energy[0] == energy_eV


@pytest.mark.parametrize(
    ("energy", "free", "forces", "keys"),
    [
        ("REF_energy", "REF_free_energy", "REF_forces", {}),
        ("energy", "e_fr_energy", "forces", {}),
        ("total_energy", "e_fr_energy", "forces", {}),
        ("REF_energy", "free_energy", "REF_forces", {}),
        ("dft_energy", "dft_free_energy", "dft_forces", {"forces_key": "dft_forces"}),
    ],
)
def test_a_free_energy_of_any_set_that_differs_needs_a_key(tmp_path, energy, free, forces, keys, capsys):
    path = tmp_path / "one.xyz"
    for free_eV in (-31.7, -32.3):
        comment = f"{energy}=-31.7 {free}={free_eV} e_0_energy=-31.9"
        path.write_text(FRAME.format(comment=comment, columns=f"{forces}:R:3", more=""))
        if free_eV == -31.7:
            assert read_dataset({"path": path, **keys}).energy.tolist() == [-31.7]
            assert f"energy from `{energy}`" in (log := capsys.readouterr().out) and f"`{free}`" in log
    with pytest.raises(AssayError, match=f"has a `{free}`, which forces belong to .* differs from `{energy}`"):
        read_dataset({"path": path, **keys})
    for key, energy_eV in ((energy, -31.7), (free, -32.3)):
        assert read_dataset({"path": path, "forces_key": forces, "energy_key": key}).energy.tolist() == [energy_eV]


@pytest.mark.parametrize(("other", "is_rival"), [("mace_free_energy", False), ("mace_energy", True)])
def test_forces_beside_a_free_energy_alone_are_no_rivals(tmp_path, other, is_rival, capsys):
    comment, columns = f"REF_energy=-31.7 {other}=-32.3", "REF_forces:R:3:mace_forces:R:3"
    (tmp_path / "one.xyz").write_text(FRAME.format(comment=comment, columns=columns, more=" 0.2 0 0"))
    if is_rival:
        with pytest.raises(AssayError, match=f"two sets of labels that differ, .* and `{other}` and `mace_forces`"):
            read_dataset(tmp_path / "one.xyz")
    else:
        assert read_dataset(tmp_path / "one.xyz").energy.tolist() == [-31.7]
        assert f"not read: `{other}`, `mace_forces`" in capsys.readouterr().out


def test_an_energy_stands_before_a_column_of_energies_of_atoms(tmp_path):
    columns = "forces:R:3:energy:R:1"
    (tmp_path / "one.xyz").write_text(FRAME.format(comment="energy=-31.7", columns=columns, more=" -15.85"))
    assert read_dataset(tmp_path / "one.xyz").energy.tolist() == [-31.7]


@pytest.mark.parametrize("name", ["charges", "atomic_energy"])
def test_numbers_of_atoms_beside_the_labels_of_our_own_layout_are_no_labels(tmp_path, name):
    path = tmp_path / "own.h5"
    with h5py.File(path, "w") as file:
        file["structures/atomic_numbers"], file["structures/positions"] = [6] * 4, np.tile(POSITIONS, (2, 1))
        file["structures/atomic_numbers_splits"] = [0, 2, 4]
        file["labels/energy"], file["labels/forces"] = [-1.0, -2.0], np.tile(FORCES, (2, 1))
        file[f"labels/{name}"] = [0.1, -0.1, 0.2, -0.2]
    assert read_dataset(path).energy.tolist() == [-1.0, -2.0]
