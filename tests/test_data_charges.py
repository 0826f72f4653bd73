"""Charges and multiplicities that files of labels tell, in whatever form."""

import ase.db
import ase.io
import h5py
import numpy as np
import pytest

from assay.data import read_dataset
from assay.data.dataset import concatenate, from_structures
from assay.data.hdf5 import write_hdf5
from assay.predictors.structure_files import read_frames
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from shared.label_files import FRAME, UNITS, arrays, crystal_with, write_groups, write_npz


@pytest.mark.parametrize("told", ["charge=0.4", "total_charge=-0.5", "spin=0.5", "multiplicity=1.5"])
def test_a_charge_or_a_spin_that_is_not_whole_is_refused(tmp_path, told):
    (tmp_path / "one.xyz").write_text(FRAME.format(comment=f"energy=-1 {told}", columns="forces:R:3", more=""))
    name, number = told.split("=")
    with pytest.raises(AssayError, match=rf"structure 0 of .* has `{name}` {number}, but a .* is a whole number"):
        read_dataset(tmp_path / "one.xyz")


def told_in(path, told):
    path.write_text(FRAME.format(comment=f"energy=-1 {told}", columns="forces:R:3", more=""))
    [load] = read_frames(path)
    structure = Structure.from_ase(load())
    return structure.charge, structure.spin


@pytest.mark.parametrize(
    ("told", "charge", "spin"),
    [
        ("spin=1 multiplicity=2", None, 2),
        ("spin=0.5 Multiplicity=2", None, 2),
        ("spin=0 mult=3", None, 3),
        ("spin=-1 mult=2", None, 2),
        ("spin=2 multiplicity=3 total_spin=1.0", None, 3),
        ("spin=3 multiplicity=3", None, 3),
        ("spin=2 multiplicity=0", None, 2),
        ("spin=-2", None, None),
        ("charge=-1 total_charge=-1.0 net_charge=-0.93", -1, None),
    ],
)
def test_of_a_spin_and_a_multiplicity_the_multiplicity_counts(tmp_path, told, charge, spin):
    """Beside it a spin is S, 2S or 2S + 1."""
    assert told_in(tmp_path / "one.xyz", told) == (charge, spin)


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ("charge=0 total_charge=-1", "`charge` 0 and `total_charge` -1"),
        ("Charge=0 charge=1", "`Charge` 0 and `charge` 1"),
        ("multiplicity=1 mult=3", "`multiplicity` 1 and `mult` 3"),
        ("spin=4 multiplicity=2", "`multiplicity` 2 and `spin` 4"),
        ("spin=1 total_spin=2", "`spin` 1 and `total_spin` 2"),
    ],
)
def test_two_charges_or_spins_that_differ_are_refused(tmp_path, told, names):
    with pytest.raises(AssayError, match=f"has {names}, which differ: leave one of them out"):
        told_in(tmp_path / "one.xyz", told)


@pytest.mark.parametrize("given", [-1, np.array([-1.0]), np.full((3, 1), -1), np.full(3, -1)])
@pytest.mark.parametrize(("write", "name"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
@pytest.mark.parametrize(
    ("charge", "spin"),
    [("total_charge", "multiplicity"), ("molecular_charge", "molecular_multiplicity"), ("tot_charge", "total_spin")],
)
def test_a_charge_may_be_told_once_or_in_lists_of_one(tmp_path, charge, spin, write, name, given):
    write(tmp_path / name, **{charge: given, spin: -2 * np.asarray(given)})
    read = read_dataset({"path": tmp_path / name, "units": UNITS})
    assert read.charge.tolist() == [-1] * 3 and read.spin.tolist() == [2] * 3


@pytest.mark.parametrize("place", ["", "diamond"])
def test_an_attribute_of_a_group_or_its_file_may_tell_a_charge(tmp_path, place):
    write_groups(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        (file[place] if place else file).attrs["charge"] = np.array([-1])
    assert read_dataset({"path": tmp_path / "set.h5", "units": UNITS}).charge.tolist() == [-1] * 3


def test_an_attribute_of_a_file_of_our_own_layout_may_tell_a_charge(tmp_path):
    write_hdf5(tmp_path / "own.h5", from_structures([Structure.from_ase(crystal_with(-31.7))]), {"charge": "1"})
    assert read_dataset(tmp_path / "own.h5").charge.tolist() == [1]


def test_a_database_may_tell_a_charge_in_an_array(tmp_path):
    with ase.db.connect(tmp_path / "set.db") as database:
        database.write(crystal_with(-31.7), data={"charge": np.array([-1.0]), "spin": np.array([[2.0]])})
    read = read_dataset(tmp_path / "set.db")
    assert read.charge.tolist() == [-1] and read.spin.tolist() == [2]


@pytest.mark.parametrize("suffix", ["db", "json", "traj"])
def test_charges_and_spins_of_atoms_add_up_in_every_file_of_ase(tmp_path, suffix):
    atoms = crystal_with(-31.7)
    atoms.set_initial_charges([-1.2, -0.8])
    atoms.set_initial_magnetic_moments([1.0, 1.0])
    atoms.calc.atoms = atoms.copy()
    ase.io.write(tmp_path / f"set.{suffix}", atoms)
    read = read_dataset(tmp_path / f"set.{suffix}")
    assert read.charge.tolist() == [-2] and read.spin.tolist() == [3]


@pytest.mark.parametrize("suffix", ["db", "json", "traj"])
def test_moments_with_directions_tell_no_spin_in_any_file_of_ase(tmp_path, suffix):
    """A database gives three numbers of each atom back in one row."""
    atoms = crystal_with(-31.7)
    atoms.set_initial_magnetic_moments([[0.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    atoms.calc.atoms = atoms.copy()
    ase.io.write(tmp_path / f"set.{suffix}", atoms)
    assert read_dataset(tmp_path / f"set.{suffix}").spin is None
    [load] = read_frames(tmp_path / f"set.{suffix}")
    assert load().get_initial_magnetic_moments().tolist() == [[0.0, 0.0, 2.0], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize(("more", "charge"), [({"N": np.array([2, 2, 2])}, [-1, 0, 1]), ({}, None)])
def test_the_q_of_physnet_is_a_total_charge_and_another_is_not(tmp_path, more, charge):
    own = {"R": "positions", "Z": "numbers", "E": "energy", "F": "forces"}
    columns = {name: arrays()[long] for name, long in own.items()} | {"Z": np.full((3, 2), 6)}
    np.savez(tmp_path / "set.npz", **columns, **more, Q=np.array([-1.0, 0.0, 1.0]))
    read = read_dataset({"path": tmp_path / "set.npz", "units": UNITS})
    assert (None if read.charge is None else read.charge.tolist()) == charge


@pytest.mark.parametrize(
    ("words", "charge", "spin"),
    [
        ("oxalate, total charge -2", -2, None),
        ("net charge: +1, spin 3", 1, 3),
        ("charge", None, None),
        ("charge 2-", None, None),
        ("charge=T mult=F", None, None),
        ("charge=-1 mult 2", -1, 2),
        ('config_type="high energy; charge 2 of 5"', None, None),
        ("name='run of charge 3 ions' mult 2", None, 2),
        ("steps=[charge 1, spin 3]", None, None),
    ],
)
def test_words_of_a_comment_tell_a_charge_only_with_a_number(tmp_path, words, charge, spin):
    (tmp_path / "one.xyz").write_text(f"1\n{words}\nO 0 0 0\n")
    [load] = read_frames(tmp_path / "one.xyz")
    read = Structure.from_ase(load())
    assert (read.charge, read.spin) == (charge, spin)


def test_formal_charges_of_atoms_add_up(tmp_path):
    columns, more = "forces:R:3:formal_charges:I:1", " -1"
    (tmp_path / "set.xyz").write_text(FRAME.format(comment="energy=-1", columns=columns, more=more))
    assert read_dataset(tmp_path / "set.xyz").charge.tolist() == [-2]


@pytest.mark.parametrize("name", ["initial_charges", "formal_charges"])
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize(("write", "file"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
def test_charges_of_the_atoms_of_arrays_add_up(tmp_path, write, file, n, name):
    """Given once for all geometries, also where these are as many as the atoms, or for each."""
    for given, moments in ((np.array([1, 0]), np.array([1.0, -1.0])), (np.array([[1, 0]] * n), np.ones((n, 2)))):
        write(tmp_path / file, **arrays(n), **{name: given}, initial_magmoms=moments)
        read = read_dataset({"path": tmp_path / file, "units": UNITS})
        assert read.charge.tolist() == [1] * n and read.spin.tolist() == [1 + moments.sum(axis=-1).max()] * n


@pytest.mark.parametrize(("write", "file"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
def test_charges_where_a_structure_is_smaller_do_not_count(tmp_path, write, file):
    write(
        tmp_path / file, numbers=np.array([[6, 6], [6, 0], [6, -1]]), formal_charges=np.array([[1, 1], [1, -9], [2, 9]])
    )
    assert read_dataset({"path": tmp_path / file, "units": UNITS}).charge.tolist() == [2, 1, 2]


def test_charges_of_atoms_in_the_data_of_a_database_add_up(tmp_path):
    with ase.db.connect(tmp_path / "set.db") as database:
        database.write(crystal_with(-31.7), data={"formal_charges": np.array([-1, -1])})
        database.write(crystal_with(-31.7), data={"initial_charges": [1.2, -0.2]})
    assert read_dataset(tmp_path / "set.db").charge.tolist() == [-2, 1]


@pytest.mark.parametrize("charge", ["+1", '"[1.0]"', "[1]", "1.0D0"])
def test_a_charge_of_extended_xyz_may_stand_in_brackets(tmp_path, charge):
    (tmp_path / "set.xyz").write_text(FRAME.format(comment=f"energy=-1 charge={charge}", columns="forces:R:3", more=""))
    assert read_dataset(tmp_path / "set.xyz").charge.tolist() == [1]


@pytest.mark.parametrize(
    ("smiles", "charge"),
    [
        ("[H:1][N+:2]([H:3])([H:4])[H:5]", 1),
        ("[Cu+2:3].[Cl-].[Cl-1:2].[15N--:4][C@@H2:5]", -2),
        ("[Mg++].[H].[H-][H][H]", 1),
        ("[H:1][C:2]([H:3])([H:4])[H:5]", 0),
        ("[NH4+]", None),
        ("CC[O-]", None),
    ],
)
def test_smiles_of_spice_tell_the_charge_where_they_name_each_atom(tmp_path, smiles, charge):
    molecule = {"atomic_numbers": [7, 1, 1, 1, 1], "conformations": np.arange(30.0).reshape(2, 5, 3)}
    with h5py.File(tmp_path / "spice.hdf5", "w") as file:
        for name, values in {**molecule, "smiles": [smiles], "dft_total_energy": [-1.0, -2.0]}.items():
            file[f"ion/{name}"] = values
        file["ion/dft_total_gradient"] = np.zeros((2, 5, 3))
        file.copy("ion", "other")
        file["other/total_charge"] = -3
    read = read_dataset(tmp_path / "spice.hdf5")
    assert [structure.charge for structure in read] == [charge, charge, -3, -3]


def test_columns_of_charges_and_spins_go_by_their_names_and_nan_tells_nothing(tmp_path):
    one = Structure("OH", np.array([8, 1]), np.array([[0.0] * 3, [0.0, 0.0, 0.97]]), energy_eV=-1.0,
                    forces_eV_per_A=np.zeros((2, 3)))  # fmt: skip
    write_hdf5(tmp_path / "set.h5", from_structures([one] * 3))
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file["structures/charges"], file["structures/spins"] = [-1.0, np.nan, 1.0], [np.nan, 2.0, 3.0]
    read = read_dataset(tmp_path / "set.h5")
    assert [(s.charge, s.spin) for s in read] == [(-1, None), (None, 2), (1, 3)]
    assert [(s.charge, s.spin) for s in read.subset([2, 0])] == [(1, 3), (-1, None)]
    assert [(s.charge, s.spin) for s in concatenate([read.subset([1]), read.subset([2])])] == [(None, 2), (1, 3)]
