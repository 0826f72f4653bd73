"""Structures that a training reads from the disk as it needs them."""

import shutil
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.data.store import StoredDataset, StoreWriter, open_stored
from assay.structures.structure import Structure
from assay.training.packs import PackedDataset
from shared.molecules import molecules
from shared.train_from_disk import measure


@pytest.mark.parametrize(("gap", "window"), [(4096, 65536), (2, 65536), (4096, 6)])
def test_stored_structures_are_those_that_were_written(tmp_path, monkeypatch, gap, window):
    monkeypatch.setattr("assay.data.store.GAP", gap)
    monkeypatch.setattr("assay.data.store.WINDOW", window)
    structures = [replace(s, charge=k % 3 - 1, spin=1) for k, s in enumerate(molecules(50))]
    data = from_structures(structures)
    with StoreWriter(tmp_path / "a.h5", rows=8) as store:
        store.add(data.subset(range(20)))
        store.add(data.subset(range(20, 50)))
    stored, read = StoredDataset(tmp_path / "a.h5"), read_dataset(tmp_path / "a.h5")
    assert stored.content_sha256() == read.content_sha256() == open_stored(tmp_path / "a.h5").content_sha256()
    assert stored.elements == sorted(set(data.atomic_numbers.tolist())) and not stored.has_stress
    chosen = np.array([7, 3, 3, 49, 20, 21])
    found, expected = stored.subset(chosen), data.subset(chosen)
    for column in ("atomic_numbers", "offsets", "energy", "names", "charge", "pbc"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))
    np.testing.assert_allclose(found.positions, expected.positions, atol=1e-6)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-5)


def test_names_of_any_length_are_kept_whole(tmp_path):
    """Their ends tell the series of a trajectory, and the temperature of a round."""
    path = "runs/2026-10/" + "polymer_electrolytes/" * 4
    several = [
        ["short", "b"],
        [f"{path}nvt_T{t}K_frame_{k:06d}" for t in (300, 1000) for k in range(2)],
        [],
        ["Å" * 40],
    ]
    with StoreWriter(tmp_path / "all.h5", rows=2) as store:
        for names in several:
            parts = [replace(s, name=n, molecule=n[::-1]) for s, n in zip(molecules(len(names)), names, strict=True)]
            store.add(from_structures(parts))
    expected = [name for names in several for name in names]
    for data in (open_stored(tmp_path / "all.h5"), read_dataset(tmp_path / "all.h5")):
        assert data.names.tolist() == expected
        assert data.molecules.tolist() == [name[::-1] for name in expected]


def test_a_sample_holds_every_element(tmp_path):
    """Reference energies and embeddings of a long training are made from a sample."""
    structures = [Structure(f"{k}", np.array([1, 1]), np.zeros((2, 3)), energy_eV=0.0, forces_eV_per_A=np.zeros((2, 3)))
                  for k in range(400)]  # fmt: skip
    for k in (90, 300):
        structures[k] = replace(structures[k], atomic_numbers=np.array([1, 35]))
    with StoreWriter(tmp_path / "a.h5", rows=8) as store:
        store.add(from_structures(structures))
    stored = StoredDataset(tmp_path / "a.h5")
    for seed in range(5):
        names = stored.sample(40, seed).names.tolist()
        assert {"90", "300"} & set(names) and names == sorted(set(names), key=int) and 40 <= len(names) <= 42
    assert len(stored.sample(1000)) == 400


def test_packs_from_disk_are_those_from_memory(tmp_path, monkeypatch):
    with StoreWriter(tmp_path / "a.h5") as store:
        store.add(from_structures(molecules(40)))
    stored, memory = StoredDataset(tmp_path / "a.h5"), open_stored(tmp_path / "a.h5")
    ways = [PackedDataset(data, 5.0) for data in (stored, memory)]
    plans = [packs.plan(0, 3, 60) for packs in ways]
    monkeypatch.setattr("assay.training.packs.AT_ONCE", 1)
    in_parts = ways[0].plan(0, 3, 60)
    assert len(plans[0]) == len(plans[1]) > 3
    assert np.array_equal(in_parts.order, plans[1].order) and np.array_equal(in_parts.ends, plans[1].ends)
    for one, other in zip(*plans, strict=True):
        for a, b in zip(ways[0].assemble(one), ways[1].assemble(other), strict=True):
            assert torch.equal(a, b)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is counted in kilobytes on Linux")
def test_training_from_disk_takes_a_few_bytes_more_for_each_structure(tmp_path):
    """A whole training keeps 8 bytes for the place of each structure and 4 for its turn; the rest is scatter."""
    peaks, numbers = [], (150_000, 1_650_000)
    for n in numbers:
        (tmp_path / str(n)).mkdir()
        peaks.append(measure(n, tmp_path / str(n), 1000)["peak_bytes"])
        shutil.rmtree(tmp_path / str(n))
    assert peaks[1] - peaks[0] < 25 * (numbers[1] - numbers[0])


@pytest.mark.slow
def test_packs_from_disk_keep_to_their_memory(tmp_path):
    """What a step needs is read for it: the peak is a few numbers a structure, however many atoms these have."""
    molecule_of_30 = from_structures(
        [
            Structure(
                "x", np.full(30, 6), np.arange(90.0).reshape(30, 3), energy_eV=0.0, forces_eV_per_A=np.zeros((30, 3))
            )
        ]
    )
    block, n_blocks = molecule_of_30.subset(np.zeros(2000, dtype=int)), 40
    with StoreWriter(tmp_path / "many.h5") as store:
        for _ in range(n_blocks):
            store.add(block)
    in_memory = 30 * n_blocks * len(block) * 7 * 8
    tracemalloc.start()
    packs = PackedDataset(StoredDataset(tmp_path / "many.h5"), 5.0)
    for chosen in packs.plan(0, 0, 256)[:50]:
        packs.assemble(chosen)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(packs.dataset) == n_blocks * len(block)
    assert peak < 100 * len(packs.dataset) < in_memory / 10
