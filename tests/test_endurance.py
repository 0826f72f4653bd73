"""Long dynamics: a good model keeps every molecule, a bad one loses bonds or blows up, and the count says so."""

import numpy as np
import pytest
from ase import units

from assay.data.dataset import from_structures
from assay.dynamics.endurance import endure, known_molecules, molecules_of_all_sizes
from assay.dynamics.run import Motion, Trajectory
from assay.structures.structure import Structure
from assay.workflow.config_models.commands_yaml import Endurance
from assay.workflow.errors import AssayError
from shared.physics_toys import Pairs, Springs, cluster, labelled, predictor

SETTINGS = Endurance(
    split="unseen_molecules", molecules=2, temperature_K=300.0, step_fs=1.0, duration_ps=0.3, friction_per_fs=0.02,
    frame_every_fs=10.0, seed=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def molecules():
    return [cluster("alpha", [6, 8, 1, 7], 0), cluster("beta", [6, 6, 8, 1, 1], 1)]


@pytest.fixture
def state(tmp_path):
    return tmp_path / "endurance.npz"


def test_molecules_are_chosen_once_each_and_over_all_sizes(molecules):
    frames = [labelled(structure, predictor()) for structure in (*molecules, cluster("gamma", [8, 1, 6], 2))]
    named = [type(s)(**{**vars(s), "molecule": s.name}) for s in frames for _ in range(3)]
    dataset = from_structures(named)
    assert [structure.molecule for structure in molecules_of_all_sizes(list(dataset), 2)] == ["gamma", "beta"]
    assert [structure.molecule for structure in molecules_of_all_sizes(list(dataset), 9)] == ["gamma", "alpha", "beta"]
    unnamed = from_structures([type(s)(**{**vars(s), "molecule": ""}) for s in frames])
    assert len(molecules_of_all_sizes(list(unnamed), 9)) == len(frames)


def test_atoms_alone_and_molecules_of_elements_that_a_student_does_not_know_are_not_moved(molecules, state):
    atom = cluster("atom", [8], 0)
    salt = Structure("NaCl", np.array([11, 17]), np.array([[0.0, 0.0, 0.0], [2.4, 0.0, 0.0]]))
    chosen, n_of_others = known_molecules(iter([atom, salt, *molecules]), ["H", "C", "N", "O"])
    assert [structure.name for structure in chosen] == ["alpha", "beta"] and n_of_others == 1
    with pytest.raises(AssayError, match="no molecule of two atoms or more with elements that the student knows"):
        known_molecules([atom, salt], ["H", "C", "N", "O"])
    learned = predictor()
    learned.elements = frozenset([1, 6, 7, 8])
    with pytest.raises(AssayError, match=r"NaCl holds .*Na.*, which .* was not trained on"):
        endure(learned, [salt], SETTINGS, state)


def test_a_good_model_keeps_every_molecule(molecules, state):
    found = endure(predictor(), molecules, SETTINGS, state)
    assert found["survived_fraction"] == 1.0 and found["n_survived"] == found["n_molecules"] == 2
    for row in found["molecules"]:
        assert 0.0 < row["largest_bond_change_A"] < 0.5 and row["blown_up_fs"] is None
        assert row["mean_temperature_K"] == pytest.approx(300.0, rel=0.5)


def test_bonds_too_weak_for_the_temperature_break(molecules, state):
    found = endure(predictor(Pairs(depth_eV=0.02)), molecules, SETTINGS, state)
    assert found["n_survived"] == 0
    assert all(row["largest_bond_change_A"] > 0.5 for row in found["molecules"])


def test_a_model_that_explodes_is_noted_with_the_time(molecules, state):
    model = predictor()
    forces = model.energy_and_forces

    def explosive(*inputs, **options):
        result = forces(*inputs, **options)
        return result._replace(forces=-1e3 * result.forces)

    model.energy_and_forces = explosive
    found = endure(model, molecules, SETTINGS, state)
    assert found["survived_fraction"] == 0.0
    assert all(0 < row["blown_up_fs"] <= 300 for row in found["molecules"])


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_was(molecules, tmp_path):
    settings = SETTINGS.model_copy(update={"duration_ps": 4.0, "friction_per_fs": 0.002})
    whole = endure(predictor(), molecules, settings, tmp_path / "whole.npz")
    model, calls = predictor(), 0
    forces = model.energy_and_forces

    def stops_in_the_third_picosecond(*inputs, **options):
        nonlocal calls
        calls += 1
        if calls == 2500:
            raise KeyboardInterrupt
        return forces(*inputs, **options)

    model.energy_and_forces = stops_in_the_third_picosecond
    with pytest.raises(KeyboardInterrupt):
        endure(model, molecules, settings, tmp_path / "parts.npz")
    assert endure(model, molecules, settings, tmp_path / "parts.npz") == whole
    assert 2500 + 1900 < calls < 2500 + 2100


def test_parts_are_put_together(state, monkeypatch):
    """Two of 20 parts warm up; in the fourth a bond is longer, and in the sixth and tenth a molecule blows up."""
    pair = np.array([[0.0, 0.0, 0.0], [1.1, 0.0, 0.0]])
    starts, seeds = [], set()

    def part(predictor, structures, *, n_steps, start, seed, **_):
        number = len(starts)
        starts.append(start)
        seeds.add(seed)
        longer = np.concatenate([pair * (1.3 if number == 3 else 1.0), pair])
        kinetic = np.array([[number, 100.0]] * n_steps) * units.kB
        lost = np.array([np.nan, 250.0 if number in (5, 9) else np.nan])
        end = Motion(np.concatenate([pair, pair]), np.full((4, 3), number), {"part": number})
        owner = np.array([0, 0, 1, 1])
        return Trajectory(np.arange(n_steps), kinetic, kinetic, kinetic, longer[None], kinetic, owner, lost, end)

    monkeypatch.setattr("assay.dynamics.endurance.run_dynamics", part)
    molecules = [Structure(name, np.array([7, 7]), pair) for name in ("whole", "lost")]
    settings = SETTINGS.model_copy(update={"duration_ps": 20.0, "seed": 4})
    whole, lost = endure(predictor(), molecules, settings, state)["molecules"]
    assert seeds == {4} and starts[0] is None and [start.noise["part"] for start in starts[1:]] == list(range(19))
    assert whole["largest_bond_change_A"] == pytest.approx(0.33) and whole["survived"]
    assert whole["mean_temperature_K"] == pytest.approx(2.0 * np.mean(range(2, 20)) / 6.0)
    assert (whole["blown_up_fs"], lost["blown_up_fs"], lost["survived"]) == (None, 5250.0, False)


def test_bonds_are_looked_at_however_far_apart_the_frames_are(molecules, state):
    rarely = SETTINGS.model_copy(update={"frame_every_fs": 2000.0})
    found = endure(predictor(Pairs(depth_eV=0.02)), molecules, rarely, state)
    assert found["n_survived"] == 0


def test_a_straight_molecule_at_constant_energy_has_the_temperature_that_it_was_given(state):
    straight = np.array([[0.0, 0.0, 0.0], [1.16, 0.0, 0.0], [-1.16, 0.0, 0.0]])
    gas = [Structure(f"CO2 {k}", np.array([6, 8, 8]), straight) for k in range(500)]
    settings = SETTINGS.model_copy(update={"step_fs": 0.5, "duration_ps": 0.003, "friction_per_fs": 0.0})
    found = endure(Springs([]), gas, settings, state)
    assert np.mean([row["mean_temperature_K"] for row in found["molecules"]]) == pytest.approx(300.0, rel=0.1)
