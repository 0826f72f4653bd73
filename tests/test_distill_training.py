"""A student of one's own is trained: its size, its steps, and what it goes on from."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from assay.checkpoint import load_model, normalize
from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.data.formats import read_blocks
from assay.sampling.own_data import store_data
from assay.training.effort import count_steps, rounds_of, steps_of_an_epoch
from assay.training.origin import read_origin
from assay.training.own import _decides, _seen_before, plan_run, train_own
from assay.training.packs import packs_of_an_epoch
from assay.training.size import hyperparameters_for, parameters_of_shape
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError
from assay.workflow.files import training_record
from assay.workflow.own_students import said_of
from shared.checkpoint_samples import store, student
from shared.molecules import molecules, write

ROOT = Path(__file__).parents[1]
TRAINING = load_config(ROOT / "config")["training"] | {"steps": 30, "atoms_per_step": 60}
TINY = {"parameters": 4_000, "hyperparameters": {"n_blocks": 2, "n_rbf": 6, "head": [8]}}


@pytest.mark.parametrize(("parameters", "hidden"), [(421_633, 80), (77_000, 32), (21_000, 16)])
def test_a_width_follows_from_a_budget_as_the_shipped_students_have_it(parameters, hidden):
    found = hyperparameters_for(parameters, {}, 17)
    assert found["hidden"] == hidden and found["max_z"] == 36
    assert parameters_of_shape("painn", found) == pytest.approx(parameters, rel=0.02)
    assert hyperparameters_for(parameters, {"cutoff_A": 6.0}, 55)["max_z"] == 55
    with pytest.raises(AssayError, match="`hyperparameters`"):
        hyperparameters_for(parameters, {"width": 3}, 17)


def test_a_student_of_molecules_of_nonmetals_counts_from_contact(labelled):
    """Others do where it is chosen; energies of pairs stay where they are paid for."""
    [data] = read_blocks(labelled, 100)

    def made(data, parameters=20_000, **chosen):
        return plan_run({"parameters": parameters, "hyperparameters": chosen}, TRAINING, None, data).model

    usual, small = made(data), made(data, 2_000, n_blocks=1, n_rbf=6, head=[])
    assert usual.from_contact is not None and usual.hyperparameters["pair_elements"] == data.elements
    assert small.from_contact is not None and small.pair_energies is None
    chosen = made(data, from_contact=False, pair_elements=[1, 8])
    assert chosen.from_contact is None and chosen.hyperparameters["pair_elements"] == [1, 8]
    periodic = replace(data, pbc=np.ones_like(data.pbc), cells=np.broadcast_to(20.0 * np.eye(3), data.cells.shape))
    with_metal = replace(data, atomic_numbers=np.where(data.atomic_numbers == 8, 12, data.atomic_numbers))
    for other in (periodic, with_metal):
        model = made(other)
        assert model.from_contact is None and model.pair_energies is None


@pytest.mark.parametrize("parameters", [10, 1_000, 100_000_000])
def test_a_budget_that_no_width_comes_near_is_refused(parameters):
    with pytest.raises(AssayError, match=rf"no student of {parameters:,} parameters can be made: the nearest, of"):
        hyperparameters_for(parameters, {}, 17)


def test_steps_follow_from_time_for_few_data_and_from_epochs_for_many():
    assert count_steps(0.02, 20, minutes=4, epochs=40) == 12_000
    assert count_steps(0.02, 1_000, minutes=4, epochs=40) == 40_000
    assert count_steps(0.02, 1_000_000, minutes=4, epochs=40) == 1_000_000, "an epoch"
    for steps in (5, 10, 50, 100, 1000, 3000):
        first, last = rounds_of(steps, 256, 0.5)
        assert first.steps * first.atoms_per_step + last.steps * last.atoms_per_step == steps * 256
        assert last.peak < first.peak == 0.5 and last.atoms_per_step == 1024


@pytest.mark.parametrize("sizes", [[20], [90], [130], [150], [200], [300], [12, 25, 140]])
def test_epochs_are_how_often_each_structure_is_seen_though_steps_hold_whole_ones(sizes):
    offsets = np.cumsum([0, *np.resize(sizes, 1500)])
    steps = count_steps(1.0, steps_of_an_epoch(offsets, 256), minutes=0.1, epochs=40)
    seen = sum(part.steps / packs_of_an_epoch(offsets, part.atoms_per_step) for part in rounds_of(steps, 256, 1.0))
    assert seen == pytest.approx(40, abs=1)


def test_packs_of_many_structures_are_counted_by_a_sample(monkeypatch):
    offsets = np.cumsum([0, *np.random.default_rng(0).integers(5, 60, 5000)])
    counted = packs_of_an_epoch(offsets, 256)
    monkeypatch.setattr("assay.training.packs.AT_ONCE", 1000)
    assert packs_of_an_epoch(offsets, 256) == pytest.approx(counted, rel=0.02)


def test_the_guide_says_how_many_steps_there_are_of_those_that_are_asked_for():
    assert sum(part.steps for part in rounds_of(200, 256, 1.0)) == 170
    assert [rounds_of(steps, 256, 1.0)[1].steps for steps in (100, 200, 300, 400, 800)] == [10, 10, 10, 10, 20]
    guide = " ".join((ROOT / "docs/distill.md").read_text().split())
    assert "as 170 of `steps: 200`" in guide


def test_the_minutes_of_one_student_go_before_the_steps_of_all(labelled):
    data, general = read_dataset(labelled), TRAINING | {"minutes": 0.5}

    def steps(student, training):
        return plan_run(TINY | student, training, None, data).recipe.steps

    for said in ({"minutes": 0.2}, {"epochs": 1_000_000}):
        alone = steps({}, general | {"steps": None} | said)
        assert steps(said, general | {"steps": 20_000}) == alone != steps({}, general | {"steps": 20_000})
    assert steps({"minutes": 0.2, "steps": 1_000}, general) == steps({"steps": 1_000}, general) < 1_001


def stored(folder, labelled):
    """The files of what a student learns from and of what is held out."""
    into = (folder / "train.h5", folder / "validation.h5")
    if not into[0].exists():
        (folder / "data.json").write_text(json.dumps(store_data([labelled], None, 0.2, 0, into, {})))
    return into


def train_stored(folder, student, name="small", seen=None, **training):
    """Train a student on stored data, as the rule does."""
    train_own(
        name,
        folder / "train.h5",
        folder / "validation.h5",
        folder / "data.json",
        student,
        TRAINING | training,
        {"path": student["from"]} if "from" in student else None,
        seen,
        {"name": "EMT"},
        said_of(student, {"train": "labelled.xyz"}),
        folder / "states",
        "cpu",
        folder / "log",
        folder / f"{name}.pt",
        training_record(folder / f"{name}.pt"),
        folder / f"{name}.curve.svg",
    )


def run_training(folder, labelled, student, name="small", seen=None, **training):
    """Train a student; its record."""
    stored(folder, labelled)
    train_stored(folder, student, name, seen, **training)
    return json.loads(training_record(folder / f"{name}.pt").read_text())


@pytest.mark.slow
def test_a_student_is_trained_with_record_and_curve_and_twice_the_same(labelled, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        record = run_training(tmp_path / folder, labelled, TINY)
    one, two = (load_model(tmp_path / folder / "small.pt").state_dict() for folder in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert record["teacher"] == {"name": "EMT"} and "compositions are held out" in record["split"]
    assert record["curve"][-1]["step"] == sum(part["steps"] for part in record["recipe"]["rounds"])
    assert "</svg>" in (tmp_path / "one/small.curve.svg").read_text()
    assert len(list((tmp_path / "one/states").iterdir())) == 1
    again = run_training(tmp_path / "one", labelled, TINY, seed=1)
    assert again["curve"] != record["curve"], "another config starts anew"


@pytest.mark.slow
def test_two_processes_train_one_student_together(labelled, tmp_path):
    """They see the same structures in as many steps, and one of them writes."""
    longer = TINY | {"steps": 300}
    program = f"""
import sys
sys.path[:0] = {[str(ROOT / "scripts"), str(ROOT / "tests")]}
from functools import partial
from pathlib import Path
from assay.training.processes import run_in
from test_distill_training import train_stored
run_in(2, partial(train_stored, Path({str(tmp_path / "two")!r}), {longer!r}))
"""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    alone = run_training(tmp_path / "one", labelled, longer)
    stored(tmp_path / "two", labelled)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    together = json.loads(training_record(tmp_path / "two" / "small.pt").read_text())
    assert (alone["processes"], together["processes"]) == (1, 2) and done.stdout.count("parameters") == 1
    assert together["recipe"] == alone["recipe"] and len(together["curve"]) == len(alone["curve"])
    errors = [record["curve"][-1]["force_mae_eV_per_A"] for record in (alone, together)]
    assert errors[1] == pytest.approx(errors[0], rel=0.1)
    assert errors[1] < 0.9 * together["curve"][0]["force_mae_eV_per_A"]


@pytest.mark.slow
def test_training_goes_on_from_a_student_with_new_elements(labelled, tmp_path):
    """Before its first step the student predicts what it predicted, but for reference energies."""
    first = tmp_path / "first"
    first.mkdir()
    only = write(tmp_path / "co.xyz", molecules(60, ["CH3OH", "C2H6", "CO", "C2H4", "H2O"]))
    run_training(first, only, TINY | {"hyperparameters": {"n_blocks": 2, "n_rbf": 6, "head": [8], "max_z": 8}})
    later = molecules(30, ["CH3OH", "H3CNH2", "HCN"]) + [
        replace(s, atomic_numbers=np.where(s.atomic_numbers == 8, 16, s.atomic_numbers))
        for s in molecules(10, ["CH3OH"])
    ]
    data = from_structures(later)
    origin = read_origin(first / "small.pt", data)
    assert origin.record["new_elements"] == [7, 16] and "new embeddings of N, S" in origin.record["sentence"]
    before, now = load_model(first / "small.pt"), origin.model
    assert now.max_z == 16
    assert torch.equal(before.embedding.weight[:9][[1, 6, 8]], now.embedding.weight[[1, 6, 8]])
    torch.testing.assert_close(now.embedding.weight[16], before.embedding.weight[[1, 6, 8]].mean(0))
    assert np.abs(now.reference_energy.numpy()[[2, 3, 4]]).max() == 0.0
    second = tmp_path / "second"
    second.mkdir()
    tuned = {"from": str(first / "small.pt")}
    unknown = run_training(second, write(tmp_path / "n.xyz", later), tuned, "unknown", steps=1)
    assert unknown["from"]["held_out"] is None
    assert unknown["split"].endswith(f"and it is not known which of them {tuned['from']} learned from")
    seen = {"same_structure": 3, "is_lower_bound": True}
    record = run_training(second, str(tmp_path / "n.xyz"), tuned, "tuned", seen)
    assert record["from"]["held_out"] == seen
    assert record["split"].endswith(f", at least 3 of which {tuned['from']} learned from")
    assert _seen_before(seen | {"same_structure": 0}, "a.pt") == "none of which a.pt is known to have learned from"
    assert record["from"]["path"].endswith("first/small.pt") and record["from"]["new_elements"] == [7, 16]
    torch.save(before.state_dict(), tmp_path / "bare.pt")
    run_training(second, str(tmp_path / "n.xyz"), {"from": str(tmp_path / "bare.pt")}, "of_bare", steps=1)
    doubts = {name: normalize(second / f"{name}.pt").in_doubt for name in ("tuned", "of_bare")}
    assert doubts == {"tuned": [], "of_bare": normalize(tmp_path / "bare.pt").in_doubt}
    assert "epsilon" in doubts["of_bare"], "what was assumed stays in doubt"
    assert record["before"]["force_mae_eV_per_A"] > 0
    assert load_model(second / "tuned.pt").max_z == 16


def test_a_training_goes_on_from_the_weights_that_the_variant_names(tmp_path):
    raw = student("painn").state_dict()
    average = {name: 1.01 * tensor if name == "embedding.weight" else tensor for name, tensor in raw.items()}
    store(tmp_path, {"model_state_dict": raw, "ema_state_dict": average}, "two.pt")
    data = from_structures(molecules(2, ["CH4"]))
    begun = {word: read_origin(tmp_path / "two.pt", data, weights=word) for word in ("raw", "average")}
    assert torch.equal(begun["raw"].model.embedding.weight, raw["embedding.weight"])
    assert torch.equal(begun["average"].model.embedding.weight, average["embedding.weight"])
    assert begun["raw"].record["told"] == {"weights": "raw"}
    runs = [
        plan_run(TINY | {"from": "two"}, TRAINING, {"path": tmp_path / "two.pt", "weights": word}, data)
        for word in begun
    ]
    assert _decides(runs[0], data) != _decides(runs[1], data), "a stopped training of the other is not gone on with"


def test_a_network_without_energies_of_atoms_is_not_trained_on(tmp_path):
    store(tmp_path, {"state_dict": student("seed-painn").state_dict()}, "seed.pt")
    with pytest.raises(AssayError, match=r"seed\.pt cannot be trained on: its network, seed-painn, has no energies of"):
        read_origin(tmp_path / "seed.pt", from_structures(molecules(2, ["CH4"])))


def test_an_element_beyond_the_hyperparameters_is_refused(labelled):
    [data] = read_blocks(labelled, 100)
    student = {"architecture": "painn", "hyperparameters": {"hidden": 8, "n_blocks": 1, "n_rbf": 4, "max_z": 7}}
    with pytest.raises(AssayError, match="the data hold the atomic number 8 and `hyperparameters`"):
        plan_run(student, TRAINING, None, data)
