"""Structures to begin with, and rounds of active learning: what is made and chosen, and what has no meaning."""

from dataclasses import replace

import ase.build
import numpy as np
import pytest

from assay.accuracy.fitting import fit
from assay.data.dataset import from_structures
from assay.dynamics.run import run_dynamics
from assay.sampling.exploration import Seen, explore, frames_of, worth_labelling
from assay.sampling.supercells import supercells
from assay.structures.structure import Structure
from assay.workflow.config_models.students_yaml import Exploration
from assay.workflow.errors import AssayError
from shared.physics_toys import Pairs, labelled, predictor

SALT = {"formula": "KNa", "prototype": "rocksalt", "a_A": 7.0, "repeat": [1, 1, 1]}
RANGES = {"rattle_A": [0.05, 0.2], "scale": [0.95, 1.2], "shear": 0.03, "seed": 0}
SETTINGS = Exploration(
    trajectories=4, temperatures_K=[100.0, 600.0], duration_ps=0.08, step_fs=4.0, friction_per_fs=0.01,
    frame_every_fs=8.0, label=12, agree_eV_per_A=0.02, part_eV_per_A=2.0, seed=0,
)  # fmt: skip


class Everything(dict):
    """Bonding patterns of training data that have all of them."""

    def get(self, *_):
        return 100


@pytest.fixture(scope="module")
def started():
    return [labelled(structure, predictor()) for structure in supercells([SALT], 40, **RANGES)]


@pytest.fixture(scope="module")
def domain(started):
    data = from_structures(started)
    return fit(data.subset(np.arange(0, 30)), data.subset(np.arange(30, 40)), points_per_element=200, seed=0)


def test_supercells_are_rattled_strained_and_lack_what_they_should():
    made = supercells([SALT | {"repeat": [2, 1, 1], "vacancy": "KNa"}], 6, **RANGES)
    assert [structure.name for structure in made[:4]] == [
        "KNa-rattled.0", "KNa-strained.1", "KNa-vacancy.2", "KNa-rattled.3",
    ]  # fmt: skip
    perfect = Structure.from_ase(ase.build.bulk("KNa", "rocksalt", a=7.0, cubic=True).repeat((2, 1, 1)))
    for structure in made:
        vacant = "vacancy" in structure.name
        assert sorted(np.unique(structure.atomic_numbers, return_counts=True)[1]) == ([7, 7] if vacant else [8, 8])
        assert structure.pbc.all() and np.array_equal(structure.positions, structure.positions.round(4))
        same_cell = np.array_equal(structure.cell, perfect.cell)
        assert same_cell == ("rattled" in structure.name)
        scale = np.cbrt(np.linalg.det(structure.cell) / np.linalg.det(perfect.cell))
        assert 0.92 < scale < 1.23
    moved = np.std(made[0].positions - perfect.positions)
    assert 0.04 < moved < 0.25
    again, other = (supercells([SALT], 6, **RANGES | {"seed": seed}) for seed in (0, 1))
    assert not np.array_equal(again[0].positions, other[0].positions)
    assert np.array_equal(again[0].positions, supercells([SALT], 6, **RANGES)[0].positions)


def test_a_crystal_may_come_from_a_file_and_one_that_cannot_be_made_is_a_sentence(tmp_path):
    ase.build.bulk("KNa", "rocksalt", a=7.0).write(tmp_path / "cell.cif")
    [made] = supercells([{"path": str(tmp_path / "cell.cif"), "repeat": [2, 2, 2]}], 1, **RANGES)
    assert len(made) == 16
    with pytest.raises(AssayError, match=r"there is no crystal KNa of the prototype rockpop"):
        supercells([SALT | {"prototype": "rockpop"}], 1, **RANGES)
    with pytest.raises(AssayError, match="lacks the atoms of the vacancy K9: repeat the cell"):
        supercells([SALT | {"vacancy": "K9"}], 3, **RANGES)
    with pytest.raises(AssayError, match="the vacancy Kkk is no formula"):
        supercells([SALT | {"vacancy": "Kkk"}], 3, **RANGES)
    with pytest.raises(AssayError, match="the vacancy K4Na4 takes every atom of its cell"):
        supercells([SALT | {"vacancy": "K4Na4", "repeat": [1, 1, 1]}], 3, **RANGES)
    boxed = ase.build.molecule("H2O", vacuum=4.0, pbc=False)
    for name, atoms in (("water", ase.build.molecule("H2O")), ("boxed", boxed)):
        atoms.write(tmp_path / f"{name}.xyz")
        with pytest.raises(AssayError, match=rf"{name}\.xyz has no cell that repeats"):
            supercells([{"path": str(tmp_path / f"{name}.xyz"), "repeat": [2, 2, 2]}], 1, **RANGES)


@pytest.mark.parametrize(
    ("formula", "prototype", "n_atoms"), [("Mg", "hcp", 2), ("ZnO", "wurtzite", 4), ("Fe", "bcc", 2)]
)
def test_a_crystal_without_a_cubic_cell_has_another(formula, prototype, n_atoms):
    [made] = supercells([{"formula": formula, "prototype": prototype, "a_A": 3.2, "repeat": [2, 1, 1]}], 1, **RANGES)
    assert len(made) == 2 * n_atoms and made.pbc.all()


def test_students_that_agree_on_what_they_know_ask_for_nothing(started, domain):
    calm = SETTINGS.model_copy(update={"temperatures_K": [1.0]})
    known = replace(domain, threshold=1e6, patterns=Everything(), nearest=None)
    chosen, record = explore((predictor(), predictor()), known, started, calm, 1)
    assert chosen == [] and record["n_frames"] == 40 and record["n_frames_apart"] == 0
    assert record["n_trajectories_ended_early"] == 0 and record["median_difference_eV_per_A"] == 0.0


def test_frames_that_students_see_differently_are_chosen_from_every_trajectory(started, domain):
    committee = predictor(), predictor(Pairs(depth_eV=1.6))
    chosen, record = explore(committee, domain, started, SETTINGS, 1)
    assert len(chosen) == 12 and record["n_frames_apart"] > 12
    assert len({structure.name.rpartition(".")[0] for structure in chosen}) == 4
    assert {structure.name.split("-")[2] for structure in chosen} == {"100K", "600K"}
    for structure in chosen:
        assert structure.energy_eV is None and structure.molecule == "KNa"
        fractional = structure.positions @ np.linalg.inv(structure.cell)
        assert (fractional > -1e-3).all() and (fractional < 1 + 1e-3).all()
    other, _ = explore(committee, domain, started, SETTINGS, 2)
    assert {s.name for s in other}.isdisjoint(s.name for s in chosen)
    same, _ = explore(committee, domain, started, SETTINGS, 1)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(chosen, same, strict=True))


def test_rounds_of_few_trajectories_take_the_temperatures_in_turn(started, domain):
    committee = predictor(), predictor()
    found = []
    for number in (1, 2, 3):
        settings = SETTINGS.model_copy(update={"temperatures_K": [100.0, 200.0, 300.0], "duration_ps": 0.008})
        seen, _ = frames_of(committee, domain, started[:2], settings, number)
        found.append([frame.structure.name.split("-")[-2] for frame in seen])
    assert found == [["100K", "200K"], ["300K", "100K"], ["200K", "300K"]]


@pytest.mark.parametrize("known", [{"threshold": 1e-3}, {"threshold": 1e6, "patterns": {}}], ids=["near", "bonds"])
def test_frames_unlike_the_training_data_are_chosen_where_students_agree(started, domain, known):
    strange = replace(domain, **known)
    chosen, record = explore((predictor(), predictor()), strange, started, SETTINGS, 1)
    assert record["n_frames_apart"] == 0 and record["n_frames_unlike_training"] == record["n_frames"]
    assert len(chosen) == 12


def test_a_trajectory_ends_where_students_part(started, domain):
    committee = predictor(), predictor(Pairs(depth_eV=30.0))
    seen, ended = frames_of(committee, domain, started[:4], SETTINGS.model_copy(update={"part_eV_per_A": 1.5}), 1)
    assert ended > 0 and len(seen) < 40
    assert all(frame.difference_eV_per_A <= 1.5 for frame in seen)


def test_frames_behind_the_one_where_students_parted_have_no_meaning(started, domain, monkeypatch):
    def parted_once(committee, frames):
        return np.where(np.arange(len(frames)) == 2, 9.0, 0.0)

    monkeypatch.setattr("assay.sampling.exploration.committee_difference", parted_once)
    seen, ended = frames_of((predictor(), predictor()), domain, started[:3], SETTINGS, 1)
    assert ended == 3 and [frame.structure.name.rpartition(".")[2] for frame in seen] == 3 * ["0", "1"]


def test_frames_end_where_a_trajectory_blew_up_whatever_the_step(started, domain, monkeypatch):
    """Two steps of 2 fs lie between frames that a setting wants every 3 fs."""

    def blown_up(*arguments, **settings):
        found = run_dynamics(*arguments, **settings)
        found.blown_up_fs[:] = 15.0
        return found

    monkeypatch.setattr("assay.sampling.exploration.run_dynamics", blown_up)
    settings = SETTINGS.model_copy(update={"step_fs": 2.0, "frame_every_fs": 3.0, "duration_ps": 0.04})
    seen, ended = frames_of((predictor(), predictor()), domain, started[:2], settings, 1)
    assert ended == 2 and len(seen) == 2 * 3, "at 4, 8 and 12 fs"


def test_a_short_trajectory_leaves_its_share_to_the_others():
    structure = supercells([SALT], 1, **RANGES)[0]
    seen = [Seen(structure, trajectory, 1.0, 0.0) for trajectory, n in enumerate((2, 20, 20)) for _ in range(n)]
    chosen = worth_labelling(seen, SETTINGS)
    assert [sum(frame.trajectory == k for frame in chosen) for k in range(3)] == [2, 5, 5]


def test_chosen_frames_are_in_the_order_of_time(started, domain):
    """As text the frame 10 is before the frame 2."""
    committee = predictor(), predictor(Pairs(depth_eV=1.6))
    nameless = [replace(structure, molecule="") for structure in started]
    known = nameless
    for number in (1, 2):
        chosen, _ = explore(committee, domain, known, SETTINGS.model_copy(update={"duration_ps": 0.1}), number)
        found = [tuple(map(int, structure.name.rsplit(".", 2)[1:])) for structure in chosen]
        assert found == sorted(found) and len(set(found)) == 12 and max(index for _, index in found) >= 10
        known = chosen
    starts = {structure.name.partition("-student_md-")[0] for structure in chosen}
    assert starts <= {structure.name for structure in nameless}
    assert all(structure.name.count("-student_md-") == 1 for structure in chosen)
