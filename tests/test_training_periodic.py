"""Training on cells and stresses: the gradient is that of the loss, for any mixture of open and periodic structures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones

from assay.data.dataset import from_structures
from assay.engine.library import library
from assay.models import build_model
from assay.models.graph import EdgeGraph
from assay.structures.structure import Structure
from assay.training.evaluation import validation_errors
from assay.training.loop import Round, Trainer
from assay.training.loss import eager_gradients, engine_gradients
from assay.training.packs import Pack, PackedDataset
from assay.training.padded import PaddedPacks
from shared.recipes import LOSS, recipe_with

STUDENT = {"hidden": 8, "n_blocks": 2, "n_rbf": 6, "head": [8], "repulsion": True, "epsilon": 1e-3, "rank": 2}
WITH_VIRIAL = replace(LOSS, virial_weight=0.7)


def crystal(seed, size=(2, 1, 1)):
    """Carbon and oxygen on a skewed and rattled lattice, smaller than the cutoff."""
    atoms = bulk("C", "fcc", a=3.4, cubic=True) * size
    atoms.numbers[::3] = 8
    atoms.rattle(0.08, seed=seed)
    strain = np.random.default_rng(seed).uniform(-0.04, 0.04, (3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def labelled(count=10):
    """Crystals of several sizes and lone molecules, with labels of a Lennard-Jones calculator; every third crystal has
    no stress.
    """
    structures = []
    for k in range(count):
        atoms = molecule("CH3OH") if k % 5 == 4 else crystal(k, (1 + k % 2, 1, 1))
        if not atoms.pbc.any():
            atoms.positions *= 2.2  # as far apart as the atoms of this calculator want to be
            atoms.rattle(0.05, seed=k)
        atoms.calc = LennardJones(epsilon=0.05, sigma=2.4, rc=6.0)
        atoms.get_forces()
        if atoms.pbc.any():
            atoms.get_stress()
        structure = Structure.from_ase(atoms, f"{k}")
        structures.append(replace(structure, stress_eV_per_A3=None) if k % 3 == 0 else structure)
    return from_structures(structures)


@pytest.fixture(scope="module")
def dataset():
    return labelled()


def double(pack):
    """A pack with all its numbers in double precision."""
    return Pack(*(field.double() if field.is_floating_point() else field for field in pack))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model("painn", STUDENT).double()


def relative_error(found, expected):
    error = torch.stack([(a - b).norm() for a, b in zip(found, expected, strict=True)]).norm()
    return float(error / torch.stack([g.norm() for g in expected]).norm())


@pytest.mark.skipif(library() is None, reason="no C++ compiler on this machine")
def test_the_engine_differentiates_forces_and_virials_as_autograd_does(dataset, model):
    """In double precision, where the difference can be small: all that is left is its own error."""
    packs = PackedDataset(dataset, model.cutoff)
    step = engine_gradients(model, WITH_VIRIAL, displacement_A=1e-6)
    for chosen in packs.plan(0, 0, 60):
        pack, parameters = double(packs.assemble(chosen)), [p * 1.1 for p in model.parameters()]
        value, gradients = step(parameters, pack)
        expected, expected_gradients = eager_gradients(model, WITH_VIRIAL)(parameters, pack)
        assert value.item() == pytest.approx(expected.item(), rel=1e-10)
        assert relative_error(gradients, expected_gradients) < 1e-5


@pytest.mark.skipif(library() is None, reason="no C++ compiler on this machine")
def test_in_single_precision_the_step_is_right_to_a_hundredth(dataset):
    torch.manual_seed(0)
    model = build_model("painn", STUDENT)
    packs = PackedDataset(dataset, model.cutoff)
    step = engine_gradients(model, WITH_VIRIAL)
    for chosen in packs.plan(0, 0, 60):
        pack, parameters = packs.assemble(chosen), [p * 1.1 for p in model.parameters()]
        _, gradients = step(parameters, pack)
        _, expected = eager_gradients(model, WITH_VIRIAL)(parameters, pack)
        assert relative_error(gradients, expected) < 0.01


def test_a_virial_that_is_learned_is_the_derivative_by_strain(dataset, model):
    """The virial that enters the loss, and its gradient, by plain finite differences of energies under strain."""
    packs = PackedDataset(dataset, model.cutoff)
    [index] = [k for k in range(len(dataset)) if dataset[k].stress_eV_per_A3 is not None][:1]
    pack = double(packs.assemble(np.array([index])))
    graph = EdgeGraph(pack.edge_index, pack.shift, len(pack.positions), pack.reverse_index)
    found = model.energy_and_forces(pack.atomic_numbers, pack.positions, pack.batch, 1, graph, virial=True)
    for i, j in ((0, 0), (0, 1), (1, 2)):
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[i, j] = strain[j, i] = 1e-5
        energies = []
        for sign in (1.0, -1.0):
            stretch = torch.eye(3, dtype=torch.float64) + sign * strain
            moved = EdgeGraph(pack.edge_index, pack.shift @ stretch, len(pack.positions), pack.reverse_index)
            energies.append(model.energy(pack.atomic_numbers, pack.positions @ stretch, pack.batch, 1, moved).item())
        slope = -(energies[0] - energies[1]) / 2e-5
        expected = found.virial[0, i, j].item() * (1.0 if i == j else 2.0)
        assert slope == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_the_label_is_minus_volume_times_stress_where_there_is_one(dataset, model):
    packs = PackedDataset(dataset, model.cutoff)
    pack = packs.assemble(np.arange(len(dataset)))
    for k, structure in enumerate(dataset):
        if structure.stress_eV_per_A3 is None:
            assert not pack.virial[k].any() and pack.virial_weight[k] == 0.0
        else:
            volume = abs(np.linalg.det(structure.cell))
            np.testing.assert_allclose(pack.virial[k], -volume * structure.stress_eV_per_A3, rtol=1e-5, atol=1e-6)
            assert pack.virial_weight[k] == pytest.approx(1 / len(dataset))
    assert 0 < (pack.virial_weight > 0).sum() < len(dataset)


def test_padding_changes_nothing_of_a_periodic_loss(dataset):
    torch.manual_seed(0)
    model = build_model("painn", STUDENT)
    packs = PackedDataset(dataset, model.cutoff)
    fixed, step, parameters = (
        PaddedPacks(packs, 60, torch.device("cpu")),
        eager_gradients(model, WITH_VIRIAL),
        list(model.parameters()),
    )
    plan = fixed.plan(0, 0, {})
    for chosen, pack in zip(plan, fixed.serve(plan), strict=True):
        value, gradients = step(parameters, pack)
        expected, expected_gradients = step(parameters, packs.assemble(chosen))
        torch.testing.assert_close(value, expected)
        assert relative_error(gradients, expected_gradients) < 1e-4


@pytest.mark.slow
def test_stresses_are_learned(tmp_path):
    """With their term the error of stresses falls, and further than without it."""
    data = labelled(20)
    errors = {}
    for weight in (0.0, 2.0):
        recipe = recipe_with(
            Round(120, 60),
            warmup=5,
            validate_every=60,
            ema_decay=0.9,
            matrix_lr=2e-2,
            other_lr=2e-2,
            loss=replace(LOSS, virial_weight=weight),
        )
        trainer = Trainer("painn", STUDENT, data, data, recipe, tmp_path / f"{weight}.pt")
        trainer.run()
        errors[weight] = [row["stress_mae_eV_per_A3"] for row in trainer.history]
    assert errors[2.0][-1] < 0.8 * errors[2.0][0]
    assert errors[2.0][-1] < errors[0.0][-1]


def test_validation_structures_without_any_stress_have_no_error_of_it(dataset):
    """Where few structures of a file have one, those that are drawn for validations may have none."""
    model = build_model("painn", STUDENT)
    without = replace(dataset, stress=np.full((len(dataset), 3, 3), np.nan))
    assert "stress_mae_eV_per_A3" not in validation_errors(model, without)
    assert validation_errors(model, dataset)["stress_mae_eV_per_A3"] > 0


def test_structures_far_from_the_origin_lose_no_digit(model, dataset):
    away = replace(dataset, positions=dataset.positions + np.array([2e4, -3e4, 1e5]))
    for name, value in validation_errors(model, dataset).items():
        assert validation_errors(model, away)[name] == pytest.approx(value, rel=1e-4)
    step, parameters = eager_gradients(model, WITH_VIRIAL), list(model.parameters())
    packs = [PackedDataset(data, model.cutoff) for data in (dataset, away)]
    for serve in (
        [pack.assemble(np.arange(len(dataset))) for pack in packs],
        [next(PaddedPacks(pack, 60, torch.device("cpu")).serve([np.arange(4)])) for pack in packs],
    ):
        (value, gradients), (other, moved) = [step(parameters, pack) for pack in serve]
        torch.testing.assert_close(other, value, rtol=1e-4, atol=0.0)
        assert relative_error(moved, gradients) < 1e-3


@pytest.mark.skipif(library() is None, reason="no C++ compiler on this machine")
def test_a_step_takes_structures_of_one_atom_and_of_500(model):
    """Both alone and in one pack; a lone atom has no edge at all."""
    lone = Structure("1", np.array([6]), np.zeros((1, 3)), energy_eV=-1.0, forces_eV_per_A=np.zeros((1, 3)))
    large = crystal(0, (5, 5, 5))
    large.calc = LennardJones(epsilon=0.05, sigma=2.4, rc=6.0)
    large.get_forces(), large.get_stress()
    packs = PackedDataset(from_structures([lone, Structure.from_ase(large, "500"), lone]), model.cutoff)
    assert packs.dataset.sizes.tolist() == [1, 500, 1]
    assert [len(pack) for pack in packs.plan(0, 0, 10)] in ([1, 1, 1], [2, 1], [1, 2])
    for chosen in ([0], [0, 2], [0, 1, 2]):
        pack = double(packs.assemble(np.array(chosen)))
        value, gradients = engine_gradients(model, WITH_VIRIAL, displacement_A=1e-6)(list(model.parameters()), pack)
        expected, expected_gradients = eager_gradients(model, WITH_VIRIAL)(list(model.parameters()), pack)
        assert value.item() == pytest.approx(expected.item(), rel=1e-10)
        assert relative_error(gradients, expected_gradients) < 1e-5
