"""Data of one's own: what is learned from, what is held out, and what is refused."""

import re
from dataclasses import replace

import ase.build
import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from assay.accuracy.fitting import fit_stored
from assay.accuracy.overlap import are_among, fingerprints_of
from assay.accuracy.training_data import PART
from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.data.store import StoredDataset, StoreWriter
from assay.physics import reference
from assay.physics.coverage import unseen
from assay.sampling.own_data import store_data
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from shared.molecules import LABELLED, molecules, write


def test_structures_are_held_out_by_whole_compositions_or_molecules(labelled, tmp_path):
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    about = store_data([labelled], None, 0.2, 0, into, {})
    assert re.search(r"12 structures of 2 of 10 compositions are held out", about["sentence"])
    train, held_out = map(read_dataset, into)
    kinds = [{str(name).partition("-")[0] for name in data.names} for data in (train, held_out)]
    assert not kinds[0] & kinds[1] and len(train) + len(held_out) == 60
    named = [replace(s, molecule=f"m{k % 20}") for k, s in enumerate(molecules(60))]
    assert (
        "molecules are held out" in store_data([write(tmp_path / "n.xyz", named)], None, 0.1, 0, into, {})["sentence"]
    )
    train, held_out = map(read_dataset, into)
    assert not set(train.molecules) & set(held_out.molecules)
    one = write(tmp_path / "one.xyz", molecules(60, ["CH3OH"], 0.3))
    about = store_data([one], None, 0.1, 0, into, {})
    assert "too few compositions" in about["sentence"] and about["n_validation"] == 6
    given = write(tmp_path / "given.xyz", molecules(8, ["CH3OH"], seed=99))
    assert store_data([labelled], given, 0.1, 0, into, {})["sentence"].endswith(f"8 structures of {given} are held out")


def test_nothing_that_is_equal_to_a_held_out_structure_is_learned_from(tmp_path):
    """Neither where a file has its frames twice, nor where those of `validation` stand in `train` too."""
    frames = molecules(60, ["CH3OH"], 0.3)
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    twice = write(tmp_path / "twice.xyz", [*frames, *(replace(s, positions=s.positions + 3.0) for s in frames)])
    some = write(tmp_path / "some.xyz", frames[40:])
    for train, validation, words in (
        (twice, None, "96 structures of H, C, O are learned from; .* and 12 equal ones are not learned from$"),
        (
            write(tmp_path / "once.xyz", frames),
            some,
            "40 .*; 20 structures of .*some.xyz are held out, and 20 equal ones",
        ),
    ):
        about = store_data([train], validation, 0.1, 0, into, {})
        learned, held_out = (fingerprints_of(list(read_dataset(path))) for path in into)
        assert not are_among(learned, held_out).any()
        assert re.match(words, about["sentence"]), about["sentence"]
    with pytest.raises(AssayError, match=r"60 of 60 labelled structures of .*once\.xyz are equal to held-out ones"):
        store_data([str(tmp_path / "once.xyz")], str(tmp_path / "once.xyz"), 0.1, 0, into, {})


def test_lone_atoms_are_learned_from_though_they_are_held_out_too(tmp_path):
    """Without them reference energies follow from compositions alone."""
    into, frames = (tmp_path / "train.h5", tmp_path / "validation.h5"), molecules(60, ["CH3OH"], 0.3)
    atom = replace(
        frames[0], atomic_numbers=np.array([8]), positions=np.zeros((1, 3)), forces_eV_per_A=np.zeros((1, 3)), name="O"
    )
    train, validation = write(tmp_path / "a.xyz", [*frames[:40], atom]), write(tmp_path / "b.xyz", [*frames[40:], atom])
    about = store_data([train], validation, 0.1, 0, into, {})
    assert about["n_train"] == 41 and "equal" not in about["sentence"]


def test_what_the_student_learned_from_that_another_goes_on_from_is_not_held_out(tmp_path):
    first, grown = molecules(60), molecules(90, [*LABELLED, "CH4", "C3H8", "CH3OCH3", "HCOOH", "H2CO"])
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    store_data([write(tmp_path / "first.xyz", first)], None, 0.2, 0, into, {})
    learned = fingerprints_of(list(read_dataset(into[0])))
    more = write(tmp_path / "more.xyz", [*first, *(replace(s, name=f"new-{s.name}") for s in grown)])
    store_data([more], None, 0.3, 0, into, {"small.pt": learned})
    held_out = read_dataset(into[1])
    assert len(held_out) > 20 and not are_among(learned, fingerprints_of(list(held_out))).any()
    known = fingerprints_of(list(first))
    with pytest.raises(AssayError, match=r"60 of 60 structures of .*first\.xyz were learned from by small\.pt, "):
        store_data([str(tmp_path / "first.xyz")], None, 0.2, 0, into, {"small.pt": known})


@pytest.mark.parametrize("pbc", ["TTT", "TTF", "TFF", "FFF"])
def test_what_was_never_wrapped_is_stored_near_the_origin(tmp_path, pbc):
    """Single precision rounds 10,000 angstrom to 0.001."""
    frames, distances = [], {}
    for k in range(40):
        atoms = bulk("Cu", cubic=True) * (2, 2, 2)
        atoms.rattle(0.1, seed=k)
        atoms.pbc = [axis == "T" for axis in pbc]
        atoms.info["name"] = f"copper-{k}"
        distances[f"copper-{k}"] = atoms.get_all_distances(mic=True)
        if k < 20:
            atoms.positions += 2000 * atoms.cell[0] - 3000 * atoms.cell[1] + 1000 * atoms.cell[2]
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    ase.io.write(tmp_path / "my.xyz", frames, format="extxyz")
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    store_data([str(tmp_path / "my.xyz")], None, 0.3, 0, into, {})
    stored = [structure for path in into for structure in read_dataset(path)]
    apart = [found.to_ase().get_all_distances(mic=True) - distances[found.name] for found in stored]
    assert len(stored) == 40 and max(np.abs(part).max() for part in apart) < 2e-5


def test_data_that_no_student_learns_from_are_refused_in_one_sentence(labelled, tmp_path):
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    few = write(tmp_path / "few.xyz", molecules(12))
    with pytest.raises(AssayError, match=r"few.xyz holds 12 labelled structures, and a student needs at least 30"):
        store_data([few], None, 0.1, 0, into, {})
    sulfur = write(tmp_path / "s.xyz", molecules(8, ["CH3OH"]) + molecules(1, ["N2"]))
    with pytest.raises(AssayError, match="hold N, which no training structure has"):
        store_data([write(tmp_path / "co.xyz", molecules(40, ["CH3OH", "C2H6"]))], sulfur, 0.1, 0, into, {})
    two = write(tmp_path / "two.xyz", molecules(2))
    with pytest.raises(AssayError, match="2 structures are held out, and a verdict needs at least 5"):
        store_data([labelled], two, 0.1, 0, into, {})


def test_a_part_of_many_training_structures_is_described_as_a_part(tmp_path, monkeypatch):
    for name, seed in (("train.h5", 0), ("validation.h5", 500)):
        with StoreWriter(tmp_path / name) as store:
            store.add(from_structures(molecules(40, seed=seed)))
    monkeypatch.setattr("assay.accuracy.fitting.DESCRIBED", 25)
    domain = fit_stored(tmp_path / "train.h5", tmp_path / "validation.h5", 50, 0)
    assert (domain.training_data.extent, domain.training_data.n_described) == (PART, 25)
    assert domain.training_data.sha256 == StoredDataset(tmp_path / "train.h5").content_sha256()


def test_geometries_of_ones_own_serve_where_no_reference_has_the_elements():
    """Without a teacher's name, so that nothing counts as compared with one."""
    salt = ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    crystals = [Structure.from_ase(salt * (1, 1, n), f"salt-{n}") for n in (1, 2)]
    labelled = [
        replace(s, energy_eV=-float(k), forces_eV_per_A=np.zeros_like(s.positions))
        for k, s in enumerate([*crystals, *molecules(20)])
    ]
    found = reference.geometries(labelled)
    assert found.teacher is None and unseen(found, {11, 17}) == [] and unseen(found, {3}) == [3]
    assert len(found.groups(reference.SCALED_CELL)) == 2
    [lowest] = found.groups(reference.DYNAMICS, {1, 8})["H2O"]
    assert lowest.structure.energy_eV == min(s.energy_eV for s in labelled if s.name.startswith("H2O"))
