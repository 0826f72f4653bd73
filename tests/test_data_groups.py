"""HDF5 files with a group for each molecule: what belongs to a group, and what to those below it."""

import h5py
import numpy as np
import pytest

from assay.data import read_dataset
from assay.workflow.errors import AssayError
from shared.label_files import FORCES, UNITS, arrays, write_groups


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


def test_structures_below_a_structure_are_not_its_labels(tmp_path):
    """As in Transition1x, where the ends of a reaction path lie in groups below it."""
    write_groups(tmp_path / "set.h5")
    with h5py.File(tmp_path / "set.h5", "a") as file:
        for name, values in arrays(1).items():
            file[f"diamond/product/{name}"] = values - 7
    read = read_dataset({"path": tmp_path / "set.h5", "units": UNITS})
    np.testing.assert_allclose(read.energy, arrays()["energy"])
    np.testing.assert_allclose(read.forces[:2], FORCES)
