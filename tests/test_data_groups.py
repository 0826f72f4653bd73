"""HDF5 files with a group for each molecule: what belongs to a group, and what to those below it."""

import h5py
import numpy as np
import pytest

from assay.data import read_dataset
from assay.workflow.errors import AssayError
from shared.label_files import FORCES, UNITS, arrays, write_groups, write_npz


def test_labels_of_a_subgroup_do_not_replace_those_of_its_group(tmp_path):
    write_groups(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        group = file.create_group("diamond/xtb")
        group["energy"], group["forces"] = arrays()["energy"] + 50.0, -arrays()["forces"]
        group["energy"].attrs["unit"] = "hartree"
    both = "two sets of labels that differ, `energy` and `forces` and `xtb/energy` and `xtb/forces`"
    with pytest.raises(AssayError, match=both):
        read_dataset({"path": tmp_path / "set.h5", "units": UNITS})
    read = read_dataset({"path": tmp_path / "set.h5", "units": UNITS, "energy_key": "energy"})
    np.testing.assert_allclose(read.energy, arrays()["energy"])
    np.testing.assert_allclose(read.forces[:2], FORCES)
    other = read_dataset({"path": tmp_path / "set.h5", "units": UNITS, "energy_key": "xtb/energy"})
    np.testing.assert_allclose(other.forces[:2], -FORCES)


def test_the_only_labels_may_lie_in_a_subgroup(tmp_path):
    write_groups(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        for group in file.values():
            for name in ("energy", "forces"):
                group.move(name, f"labels/{name}")
    read = read_dataset({"path": tmp_path / "set.h5", "units": UNITS})
    np.testing.assert_allclose(read.energy, arrays()["energy"])
    np.testing.assert_allclose(read.forces[:2], FORCES)


def test_structures_below_a_structure_are_not_its_labels(tmp_path, capsys):
    """As in Transition1x, where the ends of a reaction path lie in groups below it."""
    write_groups(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        for name, values in arrays(1).items():
            file[f"diamond/product/{name}"] = values - 7
    read = read_dataset({"path": tmp_path / "set.h5", "units": UNITS})
    np.testing.assert_allclose(read.energy, arrays()["energy"])
    np.testing.assert_allclose(read.forces[:2], FORCES)
    assert "such as diamond/product, are left out" in capsys.readouterr().out


def test_a_group_that_links_lead_to_again_is_read_once(tmp_path):
    """As in Transition1x, whose splits are links to the groups of all data."""
    write_groups(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        file["soft"], file["test"] = h5py.SoftLink("/diamond"), h5py.SoftLink("/")
        file["train/diamond"] = file["diamond"]
    read = read_dataset({"path": tmp_path / "set.h5", "units": UNITS})
    np.testing.assert_allclose(read.energy, arrays()["energy"])
    assert set(read.molecules) == {"diamond"}


@pytest.mark.parametrize("empty", [0, -1])
@pytest.mark.parametrize("beyond", [0.0, np.nan])
@pytest.mark.parametrize(("write", "name"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
def test_a_table_of_structures_of_several_sizes_is_read_without_its_empty_places(tmp_path, write, name, beyond, empty):
    padded = {
        key: np.pad(arrays()[key], ((0, 0), (0, 1), (0, 0)), constant_values=beyond) for key in ("positions", "forces")
    }
    write(tmp_path / name, **padded, numbers=np.array([[6, 8, empty], [6, empty, empty], [6, 6, 6]])[[0, 1, 0]])
    read = read_dataset({"path": tmp_path / name, "units": UNITS})
    assert read.sizes.tolist() == [2, 1, 2] and read.atomic_numbers.tolist() == [6, 8, 6, 6, 8]
    np.testing.assert_allclose(read.forces, [*FORCES, FORCES[0], *FORCES])
    assert set(read.molecules) == {""}


@pytest.mark.parametrize(("write", "name"), [(write_npz, "set.npz"), (write_groups, "set.h5")])
def test_a_number_that_all_structures_share_is_no_empty_place(tmp_path, write, name):
    write(tmp_path / name, numbers=np.array([6, 0]))
    with pytest.raises(AssayError, match=rf"structure 0 .*{name} has an atomic number 0"):
        read_dataset({"path": tmp_path / name, "units": UNITS})


def test_groups_by_size_as_of_aimnet_are_read(tmp_path):
    numbers, charges = np.array([[8, 1], [6, 6], [9, 1]]), np.array([-1, 0, 0])
    with h5py.File(tmp_path / "set.h5", "w") as file:
        columns = arrays() | {"numbers": numbers, "charge": charges}
        for key, values in columns.items():
            file[f"002/{'coord' if key == 'positions' else key}"] = values
    read = read_dataset({"path": tmp_path / "set.h5", "units": UNITS})
    assert read.atomic_numbers.tolist() == numbers.ravel().tolist() and read.charge.tolist() == charges.tolist()
    assert read.energy.tolist() == arrays()["energy"].tolist() and set(read.molecules) == {""}
