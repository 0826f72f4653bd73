"""What an update does to weights and to their running mean, and that seeds and what a run has done so far count."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from assay.accuracy.metrics import metrics
from assay.data.dataset import from_structures
from assay.models import build_model
from assay.predictors.networks import EagerPredictor
from assay.structures.structure import Structure
from assay.training.evaluation import validation_errors
from assay.training.loop import Round, Trainer
from assay.training.loss import Loss
from assay.training.packs import PackedDataset
from assay.training.update import NORM_RATE, Update
from shared.predict_labelled import predict_labelled
from shared.recipes import recipe_with

STUDENT = {"hidden": 8, "n_blocks": 2, "n_rbf": 4, "head": [8], "repulsion": True}


def labelled(atoms, seed, stress=None):
    atoms.rattle(0.1, seed=seed)
    draw = np.random.default_rng(seed)
    labels = {"energy_eV": draw.normal(-10.0 * len(atoms)), "forces_eV_per_A": draw.normal(size=(len(atoms), 3))}
    own = Structure.from_ase(atoms, f"{seed}")
    return Structure(own.name, own.atomic_numbers, own.positions, own.cell, own.pbc, **labels, stress_eV_per_A3=stress)


@pytest.fixture(scope="module")
def dataset():
    return from_structures([labelled(molecule(name), k) for k, name in enumerate(["CH3CH2OH", "NH3", "CH3SH"] * 4)])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model("painn", STUDENT)


def copies(tensors):
    return [tensor.detach().clone() for tensor in tensors]


def largest(one, other):
    return max(float((a - b).detach().abs().max()) for a, b in zip(one, other, strict=True))


def step(update, scale=1.0, ema_decay=0.9, factor=1.0):
    """One update by gradients of ones."""
    update.schedule(factor, ema_decay)
    update(torch.tensor(1.0), [torch.full_like(p, scale) for p in update.parameters])


def test_the_running_mean_keeps_so_much_of_what_it_was(model):
    update = Update(model, 1e-2, 1e-2, 0.0, 3.0)
    before = copies(update.parameters)
    step(update, ema_decay=0.75)
    expected = [0.75 * a + 0.25 * b for a, b in zip(before, update.parameters, strict=True)]
    assert largest(before, update.parameters) > 1e-3 and largest(update.mean, expected) < 1e-6
    update.start_from_mean()
    assert largest(update.parameters, expected) < 1e-6


@pytest.mark.parametrize("rates", [(1e-2, 0.0), (0.0, 1e-2)])
def test_each_rate_and_the_decay_of_weights_are_those_of_their_own_parameters(model, rates):
    update = Update(model, *rates, weight_decay=10.0, clip=3.0)
    before = copies(update.parameters)
    step(update, scale=0.0)
    changed = {n: not torch.equal(a, p) for (n, p), a in zip(model.named_parameters(), before, strict=True)}
    assert {n for n, own in changed.items() if own} == {
        n for n, p in model.named_parameters()
        if rates[0] and p.ndim == 2 and min(p.shape) > 1 and not n.startswith("embedding")
    }, "only the matrices inside decay"  # fmt: skip
    step(update, scale=1e-3)
    moved = {n for (n, p), a in zip(model.named_parameters(), before, strict=True) if not torch.equal(a, p)}
    assert ("embedding.weight" in moved) == (rates[1] > 0)


def test_a_long_gradient_moves_the_typical_norm_by_its_shortened_length_alone(model):
    update = Update(model, 1e-3, 1e-3, 0.0, clip=2.0)
    step(update)
    usual = float(update.typical_norm)
    step(update, scale=1e3)
    assert float(update.typical_norm) == pytest.approx(usual * (1.0 + NORM_RATE), rel=1e-5)
    step(update, scale=float("nan"))
    assert float(update.typical_norm) == pytest.approx(usual * (1.0 + NORM_RATE), rel=1e-5)
    other = Update(model, 1e-3, 1e-3, 0.0, clip=2.0)
    other.load_state_dict(update.state_dict())
    assert (float(other.typical_norm), int(other.skipped)) == (float(update.typical_norm), 1)
    assert update.mean_loss() == pytest.approx(1.0) and update.mean_loss() is None


def trained(dataset, folder, **recipe):
    """The trainer of a run of four steps, and its student."""
    settings = {"warmup": 1, "validate_every": 4} | recipe
    trainer = Trainer("painn", STUDENT, dataset, dataset, recipe_with(Round(4, 20), **settings), folder / "state.pt")
    return trainer, trainer.run()


def test_what_is_shipped_is_the_running_mean_which_follows_fast_at_first(dataset, tmp_path, monkeypatch):
    decays = []
    schedule = Update.schedule

    def noted(self, factor, ema_decay):
        decays.append(ema_decay)
        schedule(self, factor, ema_decay)

    monkeypatch.setattr(Update, "schedule", noted)
    trainer, student = trained(dataset, tmp_path, ema_decay=0.2)
    assert decays == pytest.approx([1 / 11, 2 / 12, 0.2, 0.2])
    assert (
        largest(student.parameters(), trainer.update.mean)
        == 0.0
        < largest(student.parameters(), trainer.update.parameters)
    )


def test_another_seed_is_another_student_and_another_order(dataset, tmp_path):
    """As the two students are whose difference says where a committee is unsure."""
    first, other = (
        Trainer("painn", STUDENT, dataset, dataset, recipe_with(Round(4, 20), seed=k), tmp_path / f"{k}")
        for k in (0, 1)
    )
    assert largest(first.model.parameters(), other.model.parameters()) > 0.01
    orders, serve = [], Trainer._own_packs

    def noted(self, steps, plan, atoms_per_step):
        orders.append([pack.tolist() for pack in plan])
        return serve(self, steps, plan, atoms_per_step)

    for trainer in (first, other):
        trainer._own_packs = noted.__get__(trainer)
        trainer.run()
    one, another = orders
    assert one != another and sorted(k for pack in one for k in pack) == sorted(k for pack in another for k in pack)


def cells(count=3):
    stress = np.diag([0.01, -0.02, 0.03])
    return from_structures([labelled(bulk("C", "fcc", a=3.2, cubic=True), k, stress) for k in range(count)])


def test_the_loss_is_the_sum_of_weighted_means_over_atoms_and_structures_per_atom():
    dataset, draw = cells(), np.random.default_rng(3)
    pack = PackedDataset(dataset, 3.0).assemble(np.arange(3))
    loss = Loss(0.1, 0.01, energy_weight=4.0, virial_delta_eV_per_atom=0.05, virial_weight=2.0)
    energy, forces = dataset.energy + draw.normal(size=3), dataset.forces + 0.2 * draw.normal(size=(12, 3))
    labels = -np.abs(np.linalg.det(dataset.cells))[:, None, None] * dataset.stress
    virial = labels + draw.normal(size=(3, 3, 3))

    def pseudo_huber(errors, delta):
        return (np.sqrt(errors**2 + delta**2) - delta).mean()

    expected = pseudo_huber(np.linalg.norm(forces - dataset.forces, axis=1), 0.1)
    expected += 4.0 * pseudo_huber((energy - dataset.energy) / 4.0, 0.01)
    expected += 2.0 * pseudo_huber(np.linalg.norm(virial - labels, axis=(1, 2)) / 4.0, 0.05)
    found = loss(torch.tensor(energy), torch.tensor(forces).float(), torch.tensor(virial).float(), pack)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("is_periodic", [False, True])
def test_validation_has_the_errors_of_their_definitions(model, dataset, is_periodic):
    if is_periodic:
        dataset = cells()
    found = validation_errors(model, dataset)
    predicted = predict_labelled(EagerPredictor(model.requires_grad_(False)), dataset).errors
    expected = metrics(predicted)
    known = {key: expected[key] for key in ("force_accuracy", "force_mae_eV_per_A", "energy_mae_eV_per_atom")}
    if is_periodic:
        full = np.abs(predicted.stress_error)[:, [0, 1, 2, 3, 3, 4, 4, 5, 5]]
        known["stress_mae_eV_per_A3"] = full.mean()
    assert found == pytest.approx(known, rel=1e-3)
