"""The ablation: its plan of trainings, the table from seeds, and one training that resumes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones

from assay.ablation.figures import draw
from assay.ablation.plan import name_of, settings, training_of
from assay.ablation.summary import relative_to_base, summarize
from assay.ablation.trial import run_trial, steps_within
from assay.data.dataset import from_structures
from assay.models import build_model
from assay.structures.structure import Structure
from assay.training.packs import PackedDataset
from assay.training.states import remove_states, unfinished
from assay.training.update import Update
from assay.workflow.config import complete_config, load_config
from assay.workflow.errors import AssayError
from shared.workflow_copy import ROOT

BASE = {
    "architecture": "painn",
    "hyperparameters": {"hidden": 8, "n_blocks": 2, "n_rbf": 4, "rank": 2},
    "recipe": {
        "atoms_per_step": 40,
        "optimizer": "muon",
        "matrix_lr": 4e-3,
        "other_lr": 2e-3,
        "warmup": 2,
        "ema_decay": 0.9,
        "validate_every": 4,
        "loss": {"force_delta_eV_per_A": 0.1, "energy_delta_eV_per_atom": 0.01, "energy_weight": 4.0},
    },
}


@pytest.fixture(scope="module")
def dataset():
    """Rattled molecules, bound to where they stood by springs."""
    structures = []
    for k in range(20):
        atoms = molecule(["CH3OH", "NH3", "C2H6"][k % 3])
        rest = atoms.positions.copy()
        atoms.rattle(0.1, seed=k)
        moved = atoms.positions - rest
        structures.append(
            Structure(f"{k}", atoms.numbers, atoms.positions, energy_eV=(moved**2).sum(), forces_eV_per_A=-2 * moved)
        )
    return from_structures(structures)


def test_one_at_a_time_differs_from_the_base_in_one_value_each():
    plan = settings({"rank": [1], "hidden": [12, 24], "n_rbf": []}, "one_at_a_time")
    assert plan == {"base": {}, "rank=1": {"rank": 1}, "hidden=12": {"hidden": 12}, "hidden=24": {"hidden": 24}}


def test_all_together_has_every_combination_once():
    plan = settings({"rank": [1], "hidden": [12, 24]}, "all_together")
    assert list(plan) == ["base", "hidden=12", "hidden=24", "rank=1", "hidden=12+rank=1", "hidden=24+rank=1"]
    assert plan["hidden=24+rank=1"] == {"rank": 1, "hidden": 24}


def test_each_value_reaches_what_it_belongs_to():
    change = {"rank": 1, "energy_weight": 9.0, "optimizer": "adamw", "atoms_per_step": 20, "data_share": 0.5}
    found = training_of(change, BASE, {"atoms": 1000})
    assert found["hyperparameters"] == BASE["hyperparameters"] | {"rank": 1}
    assert found["loss"] == BASE["recipe"]["loss"] | {"energy_weight": 9.0}
    assert (found["recipe"]["optimizer"], found["atoms_per_step"], found["data_share"]) == ("adamw", 20, 0.5)
    assert found["budget"] == {"atoms": 1000}
    assert BASE["recipe"]["loss"]["energy_weight"] == 4.0, "the base stays as it is"


def test_every_value_that_the_config_may_vary_reaches_a_training():
    ablate = load_config(ROOT / "config")["ablate"]
    values = {"rank": 1, "n_blocks": 9, "hidden": 9, "n_rbf": 9, "radial_basis": "bessel", "cutoff_A": 9.0,
              "force_delta_eV_per_A": 9.0, "energy_delta_eV_per_atom": 9.0, "energy_weight": 9.0, "optimizer": "adamw",
              "matrix_lr": 9.0, "other_lr": 9.0, "atoms_per_step": 9, "data_share": 0.9}  # fmt: skip
    complete_config({"ablate": {"vary": {key: [value] for key, value in values.items()}}}, ROOT / "config")
    plain = training_of({}, ablate["base"], ablate["budget"])
    for key, value in values.items():
        assert training_of({key: value}, ablate["base"], ablate["budget"]) != plain, key


def test_values_of_the_command_line_are_taken_and_wrong_ones_named():
    whole = complete_config({"ablate": {"vary": {"rank": ["1"], "hidden": []}}}, ROOT / "config")
    assert (whole["ablate"]["vary"]["rank"], whole["ablate"]["vary"]["hidden"]) == ([1], [])
    with pytest.raises(AssayError, match=r"`ablate.vary.rank.0` \(a rank\) is 3, but must be"):
        complete_config({"ablate": {"vary": {"rank": [3]}}}, ROOT / "config")


def test_a_budget_is_of_steps_or_of_atoms():
    with pytest.raises(AssayError, match="a number of `steps` or of `atoms`, one of the two"):
        complete_config({"ablate": {"budget": {"steps": 5, "atoms": 5}}}, ROOT / "config")


def test_a_budget_of_atoms_is_that_of_whole_structures(dataset):
    """Steps of 20 atoms and of 40 see as many, though neither is full."""
    n_atoms = int(dataset.offsets[-1])
    assert steps_within({"steps": 7}, dataset, 20) == 7
    for atoms_per_step in (20, 40):
        packs = PackedDataset(dataset, 5.0).plan(0, 0, atoms_per_step)
        found = steps_within({"atoms": 10 * n_atoms}, dataset, atoms_per_step)
        assert found == pytest.approx(10 * len(packs), rel=0.1) and found > 10 * n_atoms / atoms_per_step


def test_stresses_are_learned_and_judged_where_structures_have_some(dataset, tmp_path):
    frames = []
    for k in range(12):
        atoms = bulk("Ar", "fcc", a=5.2 + 0.02 * k, cubic=True)
        atoms.rattle(0.1, seed=k)
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.05, rc=5.0, smooth=True)
        atoms.get_stress()
        frames.append(Structure.from_ase(atoms, f"{k}"))
    crystals = from_structures(frames)

    def trial(data, virial_weight):
        base = BASE | {"recipe": BASE["recipe"] | {"loss": BASE["recipe"]["loss"] | {"virial_weight": virial_weight}}}
        return run_trial(
            training_of({}, base, {"steps": 8}), 0, data, data, tmp_path / f"{len(data)}{virial_weight}", 1
        )

    learned, left_out = trial(crystals, 5.0), trial(crystals, 0.0)
    assert learned["stress_mae_eV_per_A3"] < left_out["stress_mae_eV_per_A3"]
    assert "stress_mae_eV_per_A3" not in trial(dataset, 5.0)
    assert trial(dataset, 5.0)["force_mae_eV_per_A"] == trial(dataset, 0.0)["force_mae_eV_per_A"]
    trials = [found | {"setting": name} for name, found in (("base", left_out), ("x=1", learned)) for _ in range(2)]
    [_, row] = summarize([t | {"stress_mae_eV_per_A3": (1 + k) * 0.1} for k, t in enumerate(trials)], 0.9)
    assert row["stress_mae_eV_per_A3"]["ratio"] == pytest.approx(math.sqrt(6.0))
    draw(tmp_path / "a.svg", [row | {"setting": "base"}, row])
    assert "stress" in (tmp_path / "a.svg").read_text()


def test_intervals_are_those_computed_by_hand():
    """Two settings of two seeds: two degrees of freedom, for which Student's t is 4.3027."""
    values = {"base": [math.e**1.0, math.e**1.2], "other": [math.e**0.1, math.e**0.5]}
    rows = relative_to_base(values, 0.95)
    scatter = math.sqrt((2 * 0.1**2 + 2 * 0.2**2) / 2)
    half = 4.302652729911275 * scatter * math.sqrt(1 / 2 + 1 / 2)
    assert rows["other"]["ratio"] == pytest.approx(math.exp(0.3 - 1.1))
    assert rows["other"]["low"] == pytest.approx(math.exp(-0.8 - half))
    assert rows["other"]["high"] == pytest.approx(math.exp(-0.8 + half))
    assert rows["other"]["mean"] == pytest.approx((math.e**0.1 + math.e**0.5) / 2)
    assert rows["other"]["says"] == "no difference seen"
    assert rows["base"]["ratio"] == 1.0 and rows["base"]["low"] is None


def test_what_lies_outside_the_scatter_of_seeds_is_said():
    values = {"base": [1.0, 1.01], "far": [0.5, 0.51], "bad": [2.0, 2.02], "same": [1.005, 1.0]}
    assert [row["says"] for row in relative_to_base(values, 0.95).values()] == [
        None,
        "better",
        "worse",
        "no difference seen",
    ]


def test_one_seed_is_refused():
    with pytest.raises(AssayError, match=r"give two or more as `ablate.seeds`"):
        relative_to_base({"base": [1.0], "other": [2.0]}, 0.95)


def test_a_trial_resumes_and_gives_the_same_student(dataset, tmp_path):
    training = training_of({"data_share": 0.5}, BASE, {"steps": 8})
    whole = run_trial(training, 1, dataset, dataset, tmp_path / "whole.pt", 1)
    run_trial(training | {"steps": 8}, 1, dataset, dataset, tmp_path / "again.pt", 1)
    again = run_trial(training, 1, dataset, dataset, tmp_path / "again.pt", 1)
    other = run_trial(training, 2, dataset, dataset, tmp_path / "other.pt", 1)
    assert whole["n_structures"] == 10 and whole["steps"] == 8
    assert again["force_mae_eV_per_A"] == whole["force_mae_eV_per_A"] != other["force_mae_eV_per_A"]
    rows = summarize([{"setting": "base"} | whole, {"setting": "base"} | other], 0.95)
    assert rows[0]["seeds"] == [1, 2] and rows[0]["n_parameters"] == whole["n_parameters"]


def test_a_trial_knows_the_elements_of_the_data(dataset, tmp_path):
    heavy = replace(dataset, atomic_numbers=np.where(dataset.atomic_numbers == 6, 53, dataset.atomic_numbers))
    training = training_of({"data_share": 0.1}, BASE, {"steps": 2})
    for train, validation in ((heavy, heavy), (dataset, heavy)):
        trial = run_trial(training, 1, train, validation, tmp_path / "state.pt", 1)
        assert trial["hyperparameters"]["max_z"] == 53 and np.isfinite(trial["force_mae_eV_per_A"])
        (tmp_path / "state.pt").unlink()
    assert run_trial(training, 1, dataset, dataset, tmp_path / "state.pt", 1)["hyperparameters"]["max_z"] == 36
    training["hyperparameters"] |= {"max_z": 36}
    with pytest.raises(AssayError, match="the data hold the atomic number 53 and `hyperparameters` of the base know"):
        run_trial(training, 1, heavy, heavy, tmp_path / "state.pt", 1)


def test_a_state_belongs_to_what_decides_the_weights(dataset, tmp_path):
    training = training_of({}, BASE, {"steps": 8})
    faster = training | {"recipe": training["recipe"] | {"matrix_lr": 1e-5}}

    def state_of(training, dataset):
        return unfinished(tmp_path, "1", [training, dataset.content_sha256()])

    first = run_trial(training, 1, dataset, dataset, state_of(training, dataset), 1)
    assert state_of(training, dataset).is_file()
    states = {state_of(training, dataset), state_of(faster, dataset), state_of(training, dataset.spaced(10))}
    assert len(states) == 3 and state_of(training, dataset) in states
    other = run_trial(faster, 1, dataset, dataset, state_of(faster, dataset), 1)
    assert other["force_mae_eV_per_A"] != first["force_mae_eV_per_A"]
    (tmp_path / "10.0123456789ab.state.pt").touch()
    remove_states(tmp_path, "1", but=state_of(faster, dataset))
    assert {p.name for p in tmp_path.iterdir()} == {"10.0123456789ab.state.pt", state_of(faster, dataset).name}
    remove_states(tmp_path, "1")
    assert [p.name for p in tmp_path.iterdir()] == ["10.0123456789ab.state.pt"]


def test_adamw_takes_the_matrices_where_it_is_asked_for():
    model = build_model("painn", BASE["hyperparameters"])
    muon, adamw = (Update(model, 1e-3, 1e-3, 0.0, 3.0, name) for name in ("muon", "adamw"))
    assert [type(o).__name__ for o in muon.optimizers] == ["Muon", "AdamW"]
    assert [type(o).__name__ for o in adamw.optimizers] == ["AdamW", "AdamW"]


def test_structures_are_evenly_spaced(dataset):
    assert list(dataset.spaced(3).names) == ["0", "10", "19"]
    assert len(dataset.spaced(None)) == len(dataset.spaced(99)) == 20
    assert len(np.unique(dataset.spaced(7).names)) == 7


def test_the_figure_names_every_setting_but_the_base(tmp_path):
    values = {"base": [1.0, 1.1], name_of({"rank": 1, "hidden": 4}): [2.0, 2.1]}
    compared = relative_to_base(values, 0.95)
    rows = [{"setting": k, "force_mae_eV_per_A": v, "energy_mae_eV_per_atom": v} for k, v in compared.items()]
    draw(tmp_path / "ablation.svg", rows)
    text = (tmp_path / "ablation.svg").read_text()
    assert "hidden=4, rank=1" in text and ">base<" not in text
