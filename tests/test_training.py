"""Training: gradients are right, wild ones are tamed, and a resumed run is the uninterrupted run."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule

from assay.data.dataset import from_structures
from assay.data.hdf5 import write_hdf5
from assay.engine.library import library
from assay.models import build_model
from assay.neighbors.lists import build_graph
from assay.structures.structure import Structure, collate
from assay.training.loop import Round, Trainer
from assay.training.loss import eager_gradients, engine_gradients
from assay.training.muon import orthogonalize
from assay.training.packs import PackedDataset
from assay.training.padded import PaddedPacks
from assay.training.references import reference_energies
from assay.training.run import on_record, recipe_of, train_student
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError
from assay.workflow.files import training_record
from shared.recipes import LOSS, recipe_with

STUDENT = {"hidden": 8, "n_blocks": 2, "n_rbf": 4, "head": [8], "repulsion": True}
ROOT = Path(__file__).parents[1]
OF_CONFIG = load_config(ROOT / "config")["distill"]["recipe"]
RECIPE = OF_CONFIG | {"warmup": 2, "validate_every": 4, "validation_structures": 5}
NAMES = ["CH3CH2OH", "CH3SH", "C6H6", "CH3COOH", "NH3", "CH3Cl"]


@pytest.fixture(scope="module")
def dataset():
    """Rattled molecules whose atoms repel each other within 2 angstrom."""
    structures = []
    for k in range(24):
        atoms = molecule(NAMES[k % len(NAMES)])
        atoms.rattle(0.1, seed=k)
        apart = atoms.positions[:, None] - atoms.positions[None]
        distance = np.linalg.norm(apart, axis=-1) + 9.0 * np.eye(len(atoms))
        squeeze = np.maximum(2.0 - distance, 0.0)
        energy = (squeeze**2).sum() - 10.0 * len(atoms)
        forces = 4.0 * ((squeeze / distance)[:, :, None] * apart).sum(1)
        structures.append(Structure(f"{k}", atoms.numbers, atoms.positions, energy_eV=energy, forces_eV_per_A=forces))
    return from_structures(structures)


@pytest.fixture(params=[1, 2])
def model(request):
    torch.manual_seed(0)
    return build_model("painn", STUDENT | {"rank": request.param})


def _plain_gradients(model, part, loss):
    """Loss and gradients of unpadded structures by nothing but autograd."""
    numbers, positions, batch = collate(list(part))
    graph = build_graph(positions, batch, model.cutoff)
    positions.requires_grad_()
    energy, forces, _ = model.energy_and_forces(numbers, positions, batch, len(part), graph, create_graph=True)
    df = (forces - torch.tensor(part.forces, dtype=torch.float32)).norm(dim=-1)
    de = (energy - torch.tensor(part.energy)) / torch.tensor(part.sizes)
    value = (torch.hypot(df, torch.tensor(loss.force_delta_eV_per_A)) - loss.force_delta_eV_per_A).mean()
    bend = loss.energy_delta_eV_per_atom
    value = value + loss.energy_weight * (torch.sqrt(de**2 + bend**2) - bend).mean()
    return value.detach(), torch.autograd.grad(value, list(model.parameters()))


def test_gradients_are_those_of_the_loss(dataset, model):
    packs = PackedDataset(dataset, model.cutoff)
    chosen = packs.plan(0, 0, 40)[0]
    loss = LOSS
    value, gradients = eager_gradients(model, loss)(list(model.parameters()), packs.assemble(chosen))
    expected, expected_gradients = _plain_gradients(model, dataset.subset(chosen), loss)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * theirs.abs().max().item() + 1e-7)


@pytest.mark.skipif(library() is None, reason="no C++ compiler on this machine")
def test_the_engine_takes_the_step_of_autograd(dataset, model):
    """To a hundredth, for packs and parameters that it was not made with."""
    packs = PackedDataset(dataset, model.cutoff)
    step = engine_gradients(model, LOSS)
    for chosen in packs.plan(0, 0, 40)[1:3]:
        pack, parameters = packs.assemble(chosen), [p * 1.1 for p in model.parameters()]
        value, gradients = step(parameters, pack)
        expected, expected_gradients = eager_gradients(model, LOSS)(parameters, pack)
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)
        error = torch.stack([(a - b).norm() for a, b in zip(gradients, expected_gradients, strict=True)]).norm()
        assert error < 0.01 * torch.stack([g.norm() for g in expected_gradients]).norm()


def test_packs_of_one_size_give_the_loss_of_those_they_hold(dataset, model):
    packs = PackedDataset(dataset, model.cutoff)
    fixed, step, parameters = (
        PaddedPacks(packs, 40, torch.device("cpu")),
        eager_gradients(model, LOSS),
        list(model.parameters()),
    )
    plan = fixed.plan(0, 0, {})
    filled = list(fixed.serve(plan))
    assert len(filled) == len(plan) > 3
    assert {tuple(field.shape for field in pack) for pack in filled} == {tuple(field.shape for field in filled[0])}
    for chosen, pack in zip(plan[:3], filled, strict=False):
        assert torch.equal(pack.edge_index[:, pack.reverse_index], pack.edge_index.flip(0))
        value, gradients = step(parameters, pack)
        expected, expected_gradients = step(parameters, packs.assemble(chosen))
        torch.testing.assert_close(value, expected)
        for ours, theirs in zip(gradients, expected_gradients, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * theirs.abs().max().item() + 1e-7)


def test_an_epoch_holds_every_structure_once_and_packs_are_full(dataset):
    packs = PackedDataset(dataset, 5.0)
    plan = packs.plan(3, 1, 40)
    assert sorted(np.concatenate(plan)) == list(range(len(dataset)))
    assert all(map(np.array_equal, plan, packs.plan(3, 1, 40)))
    assert not np.array_equal(plan[0], packs.plan(3, 2, 40)[0])
    assert all(20 < len(packs.assemble(chosen).positions) <= 40 for chosen in plan[:-1])


def test_a_round_has_its_share_of_each_kind(dataset):
    kinds = ["driven", "thermal", "student_md", "thermal"]  # two spellings of one kind
    names = np.array([f"{n}-{kinds[n % 4]}-300K" for n in range(400)], dtype=object)
    many = replace(dataset.subset(np.arange(400) % len(dataset)), names=names)
    packs = PackedDataset(many, 5.0)
    epochs = [{index for pack in packs.plan(0, epoch, 40, {"thermal": 0.3}) for index in pack} for epoch in range(40)]
    for epoch in epochs:
        assert epoch.issuperset(range(0, 400, 2))
        assert 0.15 < sum(index % 2 for index in epoch) / 200 < 0.45
    assert set.union(*epochs) == set(range(400))
    halved = packs.plan(0, 0, 40, {"student_md": 0.5})
    assert 0.3 < sum(index % 2 == 0 for pack in halved for index in pack) / 200 < 0.7
    recipe = recipe_with(Round(3), Round(4, shares={"thermal": 0.3}), Round(2))
    assert [len(recipe.round_at(step)[0].shares) for step in range(recipe.steps)] == [0, 0, 0, 1, 1, 1, 1, 0, 0]


def test_a_resumed_run_is_the_uninterrupted_run(dataset, tmp_path):
    recipe = recipe_with(Round(12, 40), warmup=2, validate_every=4)

    def trainer(state):
        return Trainer("painn", STUDENT, dataset, dataset, recipe, tmp_path / state)

    whole = trainer("whole.pt").run()
    stopped = trainer("parts.pt")
    with pytest.raises(KeyboardInterrupt):
        _interrupt_after(stopped, 6).run()
    resumed = trainer("parts.pt")
    assert resumed.step_number == 4
    for a, b in zip(whole.parameters(), resumed.run().parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("name", "change"),
    [("hyperparameters", {}), ("matrix_lr", {"matrix_lr": 0.1}), ("seed", {"seed": 1}),
     ("loss", {"loss": replace(LOSS, force_delta_eV_per_A=1.0)}),
     ("rounds", {"rounds": [Round(6, 20)]})],
)  # fmt: skip
def test_a_state_of_another_recipe_or_network_is_refused(dataset, tmp_path, name, change):
    recipe = recipe_with(Round(6, 40), warmup=2, validate_every=3)

    def trainer(hyperparameters, recipe):
        return Trainer("painn", hyperparameters, dataset, dataset, recipe, tmp_path / "state.pt")

    trainer(STUDENT, recipe).run()
    assert trainer(STUDENT, replace(recipe, validate_every=2, rounds=[Round(6, 40), Round(3)])).step_number == 6
    other = STUDENT if change else STUDENT | {"n_rbf": STUDENT["n_rbf"] + 1}
    with pytest.raises(AssayError, match=rf"state\.pt is of a training with other values of {name}: remove it"):
        trainer(other, replace(recipe, **change))


@pytest.mark.parametrize("share", [0.0, 0.5, None])
def test_a_damaged_state_is_one_sentence(dataset, tmp_path, share):
    recipe, state = recipe_with(Round(2, 40), warmup=1, validate_every=1), tmp_path / "state.pt"
    Trainer("painn", STUDENT, dataset, dataset, recipe, state).run()
    whole = state.read_bytes()
    state.write_bytes(b"no state" * 100 if share is None else whole[: int(share * len(whole))])
    with pytest.raises(AssayError, match=r"state\.pt, from which .* is damaged, .*: remove it to start anew"):
        Trainer("painn", STUDENT, dataset, dataset, recipe, state)


def test_a_round_has_its_own_weight_of_energies(dataset, tmp_path):
    """It ends where a run ends that goes on, after the round before, with a loss of that weight."""
    first, second, heavier = Round(4, 40), Round(4, 40), replace(LOSS, energy_weight=40.0)

    def weights(state, rounds, loss):
        recipe = recipe_with(*rounds, warmup=2, validate_every=4, loss=loss)
        model = Trainer("painn", STUDENT, dataset, dataset, recipe, tmp_path / state).run()
        return torch.cat([p.detach().ravel() for p in model.parameters()])

    own = weights("own.pt", [first, replace(second, energy_weight=40.0)], LOSS)
    weights("changed.pt", [first], LOSS)
    state = torch.load(tmp_path / "changed.pt", weights_only=True)
    del state["decides"]  # as states were before it was kept
    torch.save(state, tmp_path / "changed.pt")
    assert torch.equal(own, weights("changed.pt", [first, second], heavier))
    assert not torch.equal(own, weights("same.pt", [first, second], LOSS))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_takes_the_steps_of_the_processor(dataset, tmp_path):
    recipe = recipe_with(Round(6, 40), warmup=2, validate_every=3)
    here, there = (
        Trainer("painn", STUDENT, dataset, dataset, recipe, tmp_path / device, device).run()
        for device in ("cpu", "cuda")
    )
    for a, b in zip(here.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=0.02 * a.abs().max().item())


def test_the_learning_rate_rises_holds_and_falls_to_zero():
    recipe = recipe_with(Round(100), Round(50, peak=0.5), warmup=5, cooldown=0.4)
    factors = np.array([recipe.learning_rate_factor(step) for step in range(recipe.steps)])
    np.testing.assert_allclose(factors[:5], [0.2, 0.4, 0.6, 0.8, 1.0])
    assert (factors[5:60] == 1.0).all() and (np.diff(factors[60:100]) < 0).all()
    assert factors[99] == pytest.approx(1 / 40)
    assert factors[100] == pytest.approx(0.1) and factors[105:130].max() == factors[129] == 0.5
    assert factors[-1] == pytest.approx(0.5 / 20)


@pytest.mark.parametrize("name", ["original", "tiny", "ultra_tiny"])
def test_a_shipped_record_and_the_config_tell_of_one_recipe(name):
    distill = load_config(ROOT / "config")["distill"]
    recipe, _ = recipe_of(distill["students"][name], distill["recipe"])
    record = json.loads((ROOT / f"data/checkpoints/{name}.training.json").read_text())
    asked = json.loads(json.dumps(on_record(recipe))) | {"validate_every": record["recipe"]["validate_every"]}
    assert asked == record["recipe"], "but for how often it is looked at"
    assert asked["rounds"][0]["shares"]["driven"] == 0.5


def test_structures_without_forces_are_refused_before_a_training(dataset, tmp_path):
    write_hdf5(tmp_path / "data.h5", replace(dataset, forces=0.0 * dataset.forces))
    student = {"architecture": "painn", "hyperparameters": STUDENT, "recipe": {"rounds": [{"steps": 4}]}}
    files = {key: tmp_path / key for key in ("shipped", "state_file", "log", "checkpoint", "record")}
    own = {"train": tmp_path / "data.h5", "validation": tmp_path / "data.h5", "recipe": RECIPE, "teacher": {}}
    with pytest.raises(AssayError, match=r"data\.h5 that a training is held against have no forces"):
        train_student("toy", student=student, threads=1, device="cpu", **own, **files)
    assert not files["state_file"].exists()


def test_a_round_added_to_a_finished_run_is_the_run_of_both(dataset, tmp_path):
    """The shipped checkpoint and its record are enough to go on from."""
    common = {
        "train": tmp_path / "data.h5",
        "validation": tmp_path / "data.h5",
        "recipe": RECIPE,
        "teacher": {},
        "threads": torch.get_num_threads(),
        "device": "cpu",
        "log": tmp_path / "log",
    }
    write_hdf5(tmp_path / "data.h5", dataset)

    def run(name, rounds, shipped):
        parts = [{"steps": steps, "atoms_per_step": 40} for steps in rounds]
        student = {"architecture": "painn", "hyperparameters": STUDENT, "recipe": {"rounds": parts}}
        state, checkpoint = tmp_path / f"{name}.state", tmp_path / f"{name}.pt"
        files = {"state_file": state, "checkpoint": checkpoint, "record": training_record(checkpoint)}
        train_student("toy", student=student, shipped=tmp_path / shipped, **common, **files)
        return torch.load(checkpoint, weights_only=True), json.loads(training_record(checkpoint).read_text())

    whole, whole_record = run("whole", [8, 6], "none.pt")
    run("first", [8], "none.pt")
    elsewhere = {"from_step": 0, "device": "cuda", "device_name": "another machine's"}
    first = training_record(tmp_path / "first.pt")
    first.write_text(
        json.dumps(json.loads(first.read_text()) | {"devices": [elsewhere], "hours": 5.0, "skipped_steps": 7})
    )
    of_old = torch.load(tmp_path / "first.pt", weights_only=True)
    del of_old["config"]["rank"]  # networks were of rank 1 before the argument had a name
    torch.save(of_old, tmp_path / "first.pt")
    both, record = run("both", [8, 6], "first.pt")
    _, anew_record = run("anew", [5, 6], "first.pt")
    for name, tensor in whole["model_state_dict"].items():
        assert torch.equal(tensor, both["model_state_dict"][name]), name
    assert [row["step"] for row in record["curve"]] == [row["step"] for row in whole_record["curve"]] == [4, 8, 12, 14]
    assert record["data_sets"] == whole_record["data_sets"]
    assert 5.0 < record["hours"] < 5.1 and record["skipped_steps"] == 7
    assert record["devices"] == [elsewhere, whole_record["devices"][0] | {"from_step": 8}]
    assert [row["step"] for row in anew_record["curve"]] == [4, 5, 8, 11], "another recipe starts anew"


TEACHER = {"name": "A", "calculator": "my.A", "arguments": {"level": 1}}


@pytest.mark.parametrize(
    ("name", "change"),
    [(None, {}), ("seed", {"recipe": {"seed": 1}}), ("matrix_lr", {"recipe": {"matrix_lr": 1e-4}}),
     ("optimizer", {"recipe": {"optimizer": "adamw"}}), ("ema_decay", {"recipe": {"ema_decay": 0.9}}),
     ("loss", {"recipe": {"loss": RECIPE["loss"] | {"energy_weight": 40.0}}}),
     (None, {"teacher": {"time_limit_s": 60}}), ("teacher", {"teacher": {"name": "B"}}),
     ("teacher", {"teacher": {"arguments": {"level": 2}}})],
)  # fmt: skip
def test_a_round_is_added_to_the_work_of_the_same_teacher_and_recipe_alone(dataset, tmp_path, name, change, caplog):
    """Its weights would be of another teacher or recipe than its record says."""
    write_hdf5(tmp_path / "data.h5", dataset)
    data = dict.fromkeys(("train", "validation"), tmp_path / "data.h5")

    def run(steps, student, recipe, teacher):
        parts = [{"steps": n, "atoms_per_step": 40} for n in steps]
        about = {"architecture": "painn", "hyperparameters": STUDENT, "recipe": {"rounds": parts} | recipe}
        made = {"checkpoint": tmp_path / f"{student}.pt", "record": training_record(tmp_path / f"{student}.pt")}
        given = {"shipped": tmp_path / "first.pt", "state_file": tmp_path / f"{student}.state", "log": tmp_path / "log"}
        about_run = {"student": about, "recipe": RECIPE, "teacher": teacher, "threads": 1, "device": "cpu"}
        train_student(student, **data, **about_run, **given, **made)
        return json.loads(made["record"].read_text())

    first = run([4], "first", {}, TEACHER)
    recipe, teacher = change.get("recipe", {}), TEACHER | change.get("teacher", {})
    with caplog.at_level("INFO"):
        second = run([4, 4], "second", recipe, teacher)
    assert (first["curve"][0] == second["curve"][0]) == (name is None)
    assert (f"was trained with other values of {name}" in caplog.text) == (name is not None)
    if name == "teacher":
        with pytest.raises(AssayError, match=r"first\.state is of a training with other values of teacher: remove it"):
            run([4], "first", {}, teacher)


def test_a_wild_gradient_is_shortened_and_one_that_is_not_finite_is_skipped(dataset, tmp_path):
    recipe = recipe_with(Round(10, 40), warmup=1, clip=2.0)
    trainer = Trainer("painn", STUDENT, dataset, dataset, recipe, tmp_path / "state.pt")
    usual = [torch.full_like(p, 1e-3) for p in trainer.model.parameters()]
    norm = torch.stack([g.norm() for g in usual]).norm().item()

    def advance(scale):
        taken = [g * scale for g in usual]
        before = [p.detach().clone() for p in trainer.model.parameters()]
        trainer.update.schedule(1.0, 0.9)
        trainer.update(torch.tensor(1.0), taken)
        moved = any(not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))
        return torch.stack([p.grad.norm() for p in trainer.model.parameters()]).norm().item(), moved

    assert advance(1.0) == (pytest.approx(norm), True)
    assert advance(100.0) == (pytest.approx(2.0 * norm, rel=1e-4), True)
    assert advance(float("nan"))[1] is False and int(trainer.update.skipped) == 1


def test_a_training_that_diverges_ends_at_its_next_validation(dataset, tmp_path):
    recipe = recipe_with(Round(40, 40), warmup=1, matrix_lr=1e4, other_lr=1e4, validate_every=10)
    with pytest.raises(AssayError, match=r"diverged: after \d+ steps .* lower matrix_lr and other_lr"):
        Trainer("painn", STUDENT, dataset, dataset, recipe, tmp_path / "state.pt").run()
    assert not (tmp_path / "state.pt").exists()


def test_training_learns_and_says_so(dataset, tmp_path):
    rates = {"matrix_lr": 2e-2, "other_lr": 2e-2, "warmup": 5, "ema_decay": 0.9}
    recipe = recipe_with(Round(80, 40), validate_every=40, **rates)
    trainer = Trainer("painn", STUDENT, dataset, dataset, recipe, tmp_path / "state.pt")
    trainer.run()
    assert trainer.history[-1]["loss"] < 0.8 * trainer.history[0]["loss"]
    assert [record["step"] for record in trainer.history] == [40, 80]
    assert trainer.data_sets[0]["sha256"] == dataset.content_sha256()


def test_reference_energies_are_what_atoms_weigh(dataset):
    per_element = np.zeros(37)
    per_element[[1, 6, 7, 8, 16, 17]] = [-10.0, -50.0, -70.0, -100.0, -90.0, -120.0]
    energies = [per_element[structure.atomic_numbers].sum() for structure in dataset]
    found = reference_energies(replace(dataset, energy=np.array(energies)), 36)
    np.testing.assert_allclose(found.numpy(), per_element, atol=1e-8)


def test_orthogonalized_matrices_have_singular_values_near_one():
    for shape in ((12, 36), (36, 12), (8, 8)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        values = torch.linalg.svdvals(orthogonalize([matrix])[0])
        assert 0.6 < values.min() and values.max() < 1.3


def _interrupt_after(trainer, steps):
    advance = trainer._advance

    def interrupted(way, pack):
        if trainer.step_number == steps:
            raise KeyboardInterrupt
        return advance(way, pack)

    trainer._advance = interrupted
    return trainer
