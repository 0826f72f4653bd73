"""The networks: exact gradients, the symmetries that painn has and seed-painn lacks, and a smooth cutoff."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from scipy.spatial.transform import Rotation

from assay.engine.library import library
from assay.models import ARCHITECTURES, build_model
from assay.neighbors.lists import build_graph
from assay.physics.precision import turned_energy_spread_eV
from assay.predictors.interface import NETWORK_RUNTIMES, load_predictor
from assay.structures.structure import Structure
from assay.workflow.config import load_config
from shared.checkpoint_samples import store

PAINN = {
    "bessel": {"hidden": 16, "n_blocks": 2, "n_rbf": 8, "repulsion": True, "floor": True},
    "gaussian": {"hidden": 12, "n_blocks": 3, "n_rbf": 6, "radial_basis": "gaussian", "envelope": "cosine"},
    "from contact": {
        "hidden": 12,
        "n_blocks": 2,
        "n_rbf": 6,
        "radial_basis": "gaussian",
        "floor": True,
        "from_contact": True,
        "pair_elements": [1, 8, 16],
    },
    "tensors": {"hidden": 12, "n_blocks": 3, "n_rbf": 6, "floor": True, "rank": 2},
}
SEED = {"hidden": 16, "n_blocks": 3, "n_rbf": 6}


def _model(architecture, hyperparameters):
    torch.manual_seed(1)
    model = build_model(architecture, hyperparameters).double()
    if architecture == "seed-painn":
        for block in model.interactions:
            torch.nn.init.normal_(block.update.mixing_matrix)
    return model


def _batch(*names, rattle=0.15):
    """Asymmetric molecules: rattled away from every symmetry."""
    systems = [molecule(name) for name in names]
    for k, system in enumerate(systems):
        system.rattle(rattle, seed=k)
    numbers = torch.tensor(np.concatenate([system.numbers for system in systems]))
    positions = torch.tensor(np.concatenate([system.positions for system in systems]))
    batch = torch.tensor(np.repeat(np.arange(len(systems)), [len(system) for system in systems]))
    return numbers, positions, batch


def _evaluate(model, numbers, positions, batch, **options):
    graph = build_graph(positions, batch, model.cutoff)
    return model.energy_and_forces(numbers, positions, batch, int(batch.max()) + 1, graph, **options)


@pytest.fixture(params=[*(("painn", name) for name in PAINN), ("seed-painn", None)], ids=str)
def model(request):
    architecture, name = request.param
    return _model(architecture, PAINN[name] if name else SEED)


def test_forces_are_the_negative_gradient(model):
    numbers, positions, batch = _batch("CH3CH2OH", "CH3SH")
    forces = _evaluate(model, numbers, positions, batch).forces
    step, numerical = 1e-5, torch.zeros_like(positions)
    graph = build_graph(positions, batch, model.cutoff)
    with torch.no_grad():
        for index in np.ndindex(*positions.shape):
            for sign in (1, -1):
                moved = positions.clone()
                moved[index] += sign * step
                numerical[index] -= sign * model.energy(numbers, moved, batch, 2, graph).sum() / (2 * step)
    assert forces.abs().max() > 1e-2
    torch.testing.assert_close(forces, numerical, atol=1e-7, rtol=1e-6)


def test_a_structure_is_the_same_alone_and_in_a_batch(model):
    numbers, positions, batch = _batch("CH3CH2OH", "CH4", "C6H6")
    together = _evaluate(model, numbers, positions, batch)
    for k in range(3):
        here = batch == k
        alone = _evaluate(model, numbers[here], positions[here], torch.zeros_like(batch[here]))
        torch.testing.assert_close(alone.energy[0], together.energy[k], atol=1e-10, rtol=0)
        torch.testing.assert_close(alone.forces, together.forces[here], atol=1e-10, rtol=0)


def test_one_atom_keeps_its_shapes_and_feels_nothing(model):
    one = _evaluate(model, torch.tensor([8]), torch.zeros(1, 3, dtype=torch.float64), torch.tensor([0]))
    assert one.energy.shape == (1,)
    assert torch.equal(one.forces, torch.zeros(1, 3, dtype=torch.float64))


def test_inputs_are_left_alone(model):
    numbers, positions, batch = _batch("CH3SH")
    before = positions.clone()
    _evaluate(model, numbers, positions, batch)
    assert torch.equal(positions, before)
    assert not positions.requires_grad


@pytest.mark.parametrize("reflect", [False, True])
def test_painn_is_equivariant_and_seed_painn_is_not(reflect):
    numbers, positions, batch = _batch("CH3CH2OH", "C4H4NH")
    matrix = torch.tensor(Rotation.random(random_state=3).as_matrix()) * (-1 if reflect else 1)
    broken = []
    for model in (_model("painn", PAINN["bessel"]), _model("painn", PAINN["tensors"]), _model("seed-painn", SEED)):
        here = _evaluate(model, numbers, positions, batch)
        there = _evaluate(model, numbers, positions @ matrix.T, batch)
        broken.append((here.energy - there.energy).abs().max().item())
        if model.architecture == "painn":
            torch.testing.assert_close(there.forces, here.forces @ matrix.T, atol=1e-10, rtol=0)
    assert max(broken[:2]) < 1e-10
    assert broken[2] > 1e-4


def test_painn_is_smooth_at_the_cutoff_and_seed_painn_jumps():
    def profile(model, distances):
        energies, forces = [], []
        for d in distances:
            positions = torch.tensor([[0.0, 0, 0], [1.1, 0.2, 0], [0, 0, d]], dtype=torch.float64)
            out = _evaluate(model, torch.tensor([6, 1, 8]), positions, torch.zeros(3, dtype=torch.int64))
            energies.append(out.energy.item())
            forces.append(out.forces.numpy())
        return np.array(energies), np.array(forces)

    near = [5.0 - 1e-5, 5.0 + 1e-5]
    for name in ("bessel", "tensors"):
        energies, forces = profile(_model("painn", PAINN[name]), near)
        assert abs(np.diff(energies)[0]) < 1e-10
        assert np.abs(np.diff(forces, axis=0)).max() < 1e-7
    energies, _ = profile(_model("seed-painn", SEED), near)
    assert abs(np.diff(energies)[0]) > 1e-5


def test_the_virial_is_the_derivative_with_respect_to_strain():
    model = _model("painn", PAINN["bessel"])
    cell = np.array([[4.0, 0.1, 0.0], [0.5, 4.2, 0.0], [0.2, -0.3, 4.4]])
    numbers, positions, batch = torch.tensor([6, 8]), torch.tensor([[0.0, 0, 0], [1.2, 0.3, 0.1]]).double(), None
    batch = torch.zeros(2, dtype=torch.int64)

    def energy(strain):
        deform = np.eye(3) + strain
        moved = positions @ torch.tensor(deform).T
        graph = build_graph(moved, batch, model.cutoff, cells=(cell @ deform.T)[None], pbc=np.ones((1, 3), bool))
        return model.energy_and_forces(numbers, moved, batch, 1, graph, virial=True)

    virial = energy(np.zeros((3, 3))).virial[0].numpy()
    numerical = np.zeros((3, 3))
    for a, b in np.ndindex(3, 3):
        strain = np.zeros((3, 3))
        strain[a, b] += 5e-6
        strain[b, a] += 5e-6
        numerical[a, b] = -(energy(strain).energy - energy(-strain).energy).item() / 2e-5
    np.testing.assert_allclose(virial, numerical, atol=1e-7)


def test_atoms_that_meet_repel():
    model = _model("painn", PAINN["bessel"])
    energies = []
    for d in (0.6, 0.4, 0.2):
        positions = torch.tensor([[0.0, 0, 0], [d, 0, 0]], dtype=torch.float64)
        out = _evaluate(model, torch.tensor([6, 8]), positions, torch.zeros(2, dtype=torch.int64))
        energies.append(out.energy.item())
        assert out.forces[1, 0] > 1.0
    assert energies == sorted(energies)


@pytest.mark.parametrize("runtime", NETWORK_RUNTIMES)
@pytest.mark.parametrize("changes", [{}, {"rank": 2, "radial_basis": "gaussian"}], ids=["bessel", "tensors"])
def test_turning_a_molecule_changes_no_energy_in_float32(changes, runtime, tmp_path):
    """Rounding moves the energy by 2e-6 eV at most, repulsion and reference energies of thousands of eV included."""
    if runtime == "engine" and library() is None:
        pytest.skip("there is no engine on this machine")
    if runtime == "triton" and not torch.cuda.is_available():
        pytest.skip("there is no GPU on this machine")
    hyperparameters = PAINN["bessel"] | changes
    model = _model("painn", hyperparameters).float()
    model.reference_energy += torch.linspace(-400.0, -100.0, len(model.reference_energy), dtype=torch.float64)
    path = store(tmp_path, {"model": model.state_dict(), "config": hyperparameters})
    structures = []
    for k, name in enumerate(("CH3CH2OH", "CH3COOH", "C4H4NH", "CH3SH", "C6H6", "isobutane")):
        system = molecule(name)
        system.rattle(0.1, seed=k)
        structures.append(Structure.from_ase(system))
    assert turned_energy_spread_eV(load_predictor(path, runtime=runtime), structures) < 4e-6


def test_the_floor_is_the_distance_outside_and_flat_inside():
    """Distances of a carbon and a hydrogen have three continuous derivatives where the pieces of the floor meet."""
    model = build_model("painn", PAINN["bessel"]).double()
    distance = torch.linspace(0.3, 2.0, 1701, dtype=torch.float64)
    numbers = torch.tensor([6, 1]).repeat(len(distance))
    positions = torch.zeros(2 * len(distance), 3, dtype=torch.float64)
    positions[1::2, 0] = distance
    graph = build_graph(positions, torch.arange(len(distance)).repeat_interleave(2), model.cutoff)
    floored = model.floor(numbers, graph.vectors(positions).norm(dim=-1), graph)[::2].numpy()
    contact, d = float(model.floor.radius[6] + model.floor.radius[1]), distance.numpy()
    outside, inside = d > 0.85 * contact, d < 0.55 * contact
    np.testing.assert_allclose(floored[outside], d[outside], atol=1e-12)
    assert np.ptp(floored[inside]) < 1e-12 and (np.diff(floored) > -1e-12).all()
    third = np.diff(floored, n=3) / 1e-9
    assert np.abs(np.diff(third)).max() < 0.03 * np.ptp(third)


def test_pairs_of_chosen_elements_alone_have_energies_by_themselves():
    """A pair has the energy f(d) sum_r c_r psi_r(d) of its own row, in whichever order its atoms come."""
    model = _model("painn", PAINN["from contact"])
    torch.nn.init.normal_(model.pair_energies.table)
    chosen, d = model.hyperparameters["pair_elements"], torch.tensor(1.3, dtype=torch.float64)
    rows = [(chosen[a], chosen[b]) for a in range(len(chosen)) for b in range(a + 1)]
    expected = {pair: row for row, pair in enumerate(rows)} | {(6, 1): None, (8, 6): None, (17, 17): None}
    for pair, row in expected.items():
        for numbers in (pair, pair[::-1]):
            z, positions = (
                torch.tensor(numbers),
                torch.stack([torch.zeros(3, dtype=d.dtype), d * torch.eye(3, dtype=d.dtype)[2]]),
            )
            batch = torch.zeros(2, dtype=torch.int64)
            whole = _evaluate(model, z, positions, batch).energy
            kept = model.pair_energies
            model.pair_energies = None
            by_itself = (whole - _evaluate(model, z, positions, batch).energy).item()
            model.pair_energies = kept
            radius = model.from_contact.radius
            seen = model.floor(z, d.expand(2), build_graph(positions, batch, model.cutoff))[0] - radius[z].sum()
            psi = model.radial(seen) * model.envelope(d)
            assert by_itself == pytest.approx(0.0 if row is None else (kept.table[row] @ psi).item(), abs=1e-12)


def test_the_three_sizes_keep_their_budgets():
    students = load_config("config")["distill"]["students"]
    for name, budget in {"original": 427_292, "tiny": 77_203, "ultra_tiny": 21_459}.items():
        model = build_model(students[name]["architecture"], students[name]["hyperparameters"])
        assert abs(sum(p.numel() for p in model.parameters()) / budget - 1) < 0.02


def test_unknown_names_are_refused():
    assert set(ARCHITECTURES) == {"painn", "schnetpack-painn", "schnetpack-schnet", "seed-painn"}
    with pytest.raises(KeyError):
        build_model("schnet", {})
    with pytest.raises(ValueError, match="radial basis"):
        build_model("painn", {"hidden": 8, "n_blocks": 1, "n_rbf": 4, "radial_basis": "splines"})
    with pytest.raises(ValueError, match="need gaussian radial functions"):
        build_model("painn", PAINN["bessel"] | {"from_contact": True})
    for elements in ([6, 1], [1, 1], [0, 1], [1, 37]):
        with pytest.raises(ValueError, match="must be rising atomic numbers up to 36"):
            build_model("painn", PAINN["tensors"] | {"pair_elements": elements})
    with pytest.raises(ValueError, match="rank 1 or 2"):
        build_model("painn", PAINN["tensors"] | {"rank": 3})
