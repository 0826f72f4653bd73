"""Damaged files of labels: one sentence that names the file, whatever the bytes are."""

import gzip

import ase.db
import ase.io
import h5py
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from assay.data import read_dataset
from assay.data.hdf5 import write_hdf5
from assay.workflow.errors import AssayError

UNITS = {"energy": "eV", "length": "angstrom"}


def waters(n=8):
    frames = []
    for seed in range(n):
        atoms = molecule("H2O")
        atoms.rattle(0.05, seed=seed)
        atoms.calc = SinglePointCalculator(atoms, energy=-31.7, forces=atoms.positions)
        frames.append(atoms)
    return frames


def write_columns(path):
    ase.io.write(path.with_suffix(".traj"), waters())
    write_hdf5(path, read_dataset(path.with_suffix(".traj")))


def write_groups(path):
    frames = waters()
    with h5py.File(path, "w") as file:
        for name, part in (("a", frames[:4]), ("b", frames[4:])):
            group = file.create_group(name)
            group["atomic_numbers"] = part[0].numbers
            group.create_dataset("coordinates", data=[atoms.positions for atoms in part], compression="gzip")
            group.create_dataset("forces", data=[atoms.get_forces() for atoms in part], compression="gzip")
            group["energy"] = [atoms.get_potential_energy() for atoms in part]


def write_database(path):
    with ase.db.connect(path) as database:
        for atoms in waters():
            database.write(atoms)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_columns, "columns.h5"),
        (write_groups, "groups.h5"),
        (write_database, "rows.db"),
        (lambda path: ase.io.write(path, waters()), "frames.traj"),
    ],
)
def test_random_damage_is_read_or_one_sentence(tmp_path, write, name):
    write(tmp_path / name)
    whole, damaged, random = (tmp_path / name).read_bytes(), tmp_path / f"damaged-{name}", np.random.default_rng(0)
    refused = 0
    for _ in range(80):
        content = bytearray(whole)
        for place in random.integers(len(whole), size=random.integers(1, 12)):
            content[place] ^= random.integers(1, 256)
        damaged.write_bytes(content)
        try:
            read_dataset({"path": damaged, "units": UNITS})
        except AssayError as error:
            refused += 1
            assert damaged.name in str(error) and len(str(error)) < 1500 and "\n" not in str(error)
    assert refused >= 10


def test_damaged_bytes_of_compressed_files_are_one_sentence(tmp_path):
    crystals = [bulk("Cu", cubic=True) for _ in range(300)]
    for seed, atoms in enumerate(crystals):
        atoms.rattle(0.1, seed=seed)
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=atoms.positions)
    ase.io.write(tmp_path / "whole.xyz", crystals, format="extxyz")
    packed = bytearray(gzip.compress((tmp_path / "whole.xyz").read_bytes()))
    for place in np.random.default_rng(0).integers(len(packed) // 4, len(packed), 12):
        damaged = packed.copy()
        damaged[place] ^= 0xFF
        (tmp_path / "damaged.xyz.gz").write_bytes(damaged)
        with pytest.raises(AssayError, match=r"damaged\.xyz\.gz"):
            read_dataset(tmp_path / "damaged.xyz.gz")
    write_groups(tmp_path / "damaged.h5")
    with h5py.File(tmp_path / "damaged.h5") as file:
        chunk = file["b/forces"].id.get_chunk_info(0)
    bytes_ = bytearray((tmp_path / "damaged.h5").read_bytes())
    bytes_[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    (tmp_path / "damaged.h5").write_bytes(bytes_)
    with pytest.raises(AssayError, match=r"damaged\.h5 cannot be read as HDF5"):
        read_dataset({"path": tmp_path / "damaged.h5", "units": UNITS})


@pytest.mark.parametrize("name", ["odd.traj", "odd.db"])
def test_lists_of_several_lengths_and_keys_that_are_no_text_are_no_labels(tmp_path, name, capsys):
    atoms, odd = waters(1)[0], {"energy_history": [[1.0, 2.0], [3.0]], "rings": [[0, 1], [2]], "cells": [[1], [2, 3]]}
    if name.endswith("db"):
        with ase.db.connect(tmp_path / name) as database:
            database.write(atoms, data=odd)
    else:
        atoms.info.update(odd | {1: "x"})
        ase.io.write(tmp_path / name, atoms)
    read = read_dataset(tmp_path / name)
    assert read.energy[0] == -31.7 and "not read: `energy_history`" in capsys.readouterr().out


def test_a_label_of_several_lengths_beside_a_calculators_own_is_refused(tmp_path):
    atoms = waters(1)[0]
    atoms.info["forces"] = [[0.0], [0.0, 1.0]]
    ase.io.write(tmp_path / "odd.traj", atoms)
    with pytest.raises(AssayError, match="two values of `forces`"):
        read_dataset(tmp_path / "odd.traj")
