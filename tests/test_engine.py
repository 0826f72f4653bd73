"""The compiled engine is the network: energies, forces, virial, parameter gradients, for any structure and threads."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from assay.engine import library
from assay.engine.painn import Engine, accelerated, why_unsupported
from assay.models import build_model
from assay.neighbors.lists import build_graph
from assay.predictors.networks import EnginePredictor
from assay.workflow.errors import AssayError

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler on this machine")

NETWORKS = {
    "shipped": {"hidden": 20, "n_blocks": 3, "n_rbf": 7, "head": [18, 6], "repulsion": True, "floor": True, "rank": 2},
    "vectors": {"hidden": 20, "n_blocks": 3, "n_rbf": 7, "head": [18, 6], "repulsion": True, "floor": True},
    "gaussian": {"hidden": 16, "n_blocks": 2, "n_rbf": 5, "radial_basis": "gaussian", "envelope": "cosine"},
    "bare": {"hidden": 33, "n_blocks": 1, "n_rbf": 3, "filter_bias": False, "head": [], "epsilon": 1e-3},
    "bare tensors": {"hidden": 9, "n_blocks": 2, "n_rbf": 3, "filter_bias": False, "epsilon": 1e-3, "rank": 2},
    "softplus": {"hidden": 12, "n_blocks": 2, "n_rbf": 4, "activation": "softplus"},
}
SCHNETPACK = {"hidden": 20, "n_blocks": 3, "n_rbf": 7, "max_z": 36, "head": [10]}
SOFT = {"activation": "shifted_softplus", "head_activation": "softplus", "head": [12, 12, 5]}
SCHNETPACK_NETWORKS = {
    "schnetpack": SCHNETPACK,
    "schnetpack bessel": SCHNETPACK | SOFT | {"radial_basis": "bessel"},
    "schnetpack shared": SCHNETPACK | {"shared_interactions": True, "epsilon": 1e-3, "head": []},
    "schnetpack all shared": SCHNETPACK | {"shared_interactions": True, "shared_filters": True},
    "schnetpack mollifier": SCHNETPACK | {"cutoff_function": "mollifier", "cutoff_arguments": [0.1]},
    "schnetpack switch": SCHNETPACK | {"cutoff_function": "switch", "cutoff_arguments": [2.0, 4.5]},
}
EVERY_NETWORK = [*NETWORKS, *SCHNETPACK_NETWORKS]


def _model(name, dtype=torch.float64):
    torch.manual_seed(2)
    if name in SCHNETPACK_NETWORKS:
        model = build_model("schnetpack-painn", SCHNETPACK_NETWORKS[name])
    else:
        model = build_model("painn", NETWORKS[name])
    model.reference_energy.uniform_(-50.0, 0.0)
    model.energy_scale.fill_(0.7)
    return model.to(dtype)


def _inputs(systems, dtype=torch.float64, cutoff=5.0):
    """Numbers, positions, batch, count and graph of ASE systems, periodic or not."""
    numbers = torch.tensor(np.concatenate([s.numbers for s in systems]))
    positions = torch.tensor(np.concatenate([s.positions for s in systems])).to(dtype)
    batch = torch.tensor(np.repeat(np.arange(len(systems)), [len(s) for s in systems]))
    cells, pbc = np.stack([np.asarray(s.cell) for s in systems]), np.stack([s.pbc for s in systems])
    return numbers, positions, batch, len(systems), build_graph(positions, batch, cutoff, cells=cells, pbc=pbc)


def _rattled(*names, width=0.15):
    systems = [molecule(name) for name in names]
    for seed, system in enumerate(systems):
        system.rattle(width, seed=seed)
    return systems


def _salt():
    crystal = bulk("NaCl", "rocksalt", a=5.6).repeat((2, 1, 1))
    crystal.rattle(0.1, seed=3)
    return crystal


def _cluster(n=90, spacing=1.9):
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3)[:n] * spacing
    system = molecule("CH4") * (1, 1, 1)
    system = system[[0] * n]
    system.positions = grid + np.random.default_rng(0).normal(0, 0.1, grid.shape)
    return system


def _near_contact():
    """Atoms so near that the floor and the repulsion act."""
    system = molecule("CH3CH2OH")
    system.positions *= 0.6
    return system


CASES = {
    "molecules": lambda: _rattled("CH3CH2OH", "C6H6", "CH3SH", "H2O"),
    "one atom": lambda: [molecule("O")],
    "atoms apart": lambda: [molecule("O"), *_rattled("H2O"), molecule("C")],
    "in contact": lambda: [_near_contact()],
    "crystals": lambda: [_salt(), *_rattled("CH4"), _salt()],
    "a dense cluster": lambda: [_cluster()],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("network", EVERY_NETWORK)
def test_it_computes_what_autograd_does(network, case):
    model, inputs = _model(network), _inputs(CASES[case]())
    expected = model.energy_and_forces(*inputs, virial=True)
    found = accelerated(model)(*inputs, virial=True)
    scale = max(1.0, expected.forces.abs().max().item())
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-11 * scale)


@pytest.mark.parametrize("case", ["molecules", "in contact", "crystals"])
@pytest.mark.parametrize("network", EVERY_NETWORK)
def test_parameter_gradients_are_those_of_autograd(network, case):
    model, inputs = _model(network), _inputs(CASES[case]())
    weights = torch.linspace(-1.0, 2.0, inputs[3], dtype=torch.float64)
    parameters = list(model.parameters())
    energy = model.energy(*inputs)
    expected = torch.autograd.grad((weights * energy).sum(), parameters, materialize_grads=True)
    engine = Engine(model)
    for forces in (True, False):
        found = engine.evaluate(*inputs, weights=weights, gradients=True, forces=forces).gradients
        for ours, theirs in zip(found.split([p.numel() for p in parameters]), expected, strict=True):
            limit = 1e-11 * theirs.abs().max().item() + 1e-12
            torch.testing.assert_close(ours, theirs.flatten(), rtol=1e-11, atol=limit)


@pytest.mark.parametrize("network", EVERY_NETWORK)
def test_forces_are_those_of_the_weighted_energies(network):
    """Those of nuclear repulsion too."""
    model, inputs = _model(network), _inputs([_near_contact(), *_rattled("CH3SH")])
    weights = torch.tensor([0.5, -2.0], dtype=torch.float64)
    numbers, positions, *rest = inputs
    positions = positions.requires_grad_()
    (expected,) = torch.autograd.grad((weights * model.energy(numbers, positions, *rest)).sum(), positions)
    found = Engine(model).evaluate(*inputs, weights=weights).forces
    torch.testing.assert_close(found, -expected, rtol=1e-11, atol=1e-11 * expected.abs().max().item())


@pytest.mark.parametrize("network", ["shipped", "softplus", "schnetpack", "schnetpack bessel", "schnetpack switch"])
def test_float32_is_near_float64(network):
    inputs = _inputs(CASES["molecules"]())
    exact = accelerated(_model(network))(*inputs)
    single = accelerated(_model(network, torch.float32))(*_inputs(CASES["molecules"](), torch.float32))
    assert single.energy.dtype == torch.float64 and single.forces.dtype == torch.float32
    torch.testing.assert_close(single.energy, exact.energy, rtol=0, atol=2e-5)
    torch.testing.assert_close(single.forces.double(), exact.forces, rtol=0, atol=2e-5)


@pytest.mark.parametrize("network", ["shipped", "gaussian", "schnetpack", "schnetpack bessel"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_radial_functions_that_were_trained_are_those_of_the_network(network, dtype):
    model, inputs = _model(network, dtype), _inputs(_rattled("CH3CH2OH", "C6H6"), dtype)
    before = accelerated(model)(*inputs)
    for constants in model.radial.buffers():
        constants.mul_(1.0 + 0.2 * torch.rand_like(constants))
    expected, found = model.energy_and_forces(*inputs), accelerated(model)(*inputs)
    limit = 2e-5 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(found.energy, expected.energy, rtol=0, atol=limit)
    torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=limit)
    assert (found.forces - before.forces).abs().max() > 1e-3


def test_threads_change_nothing_but_rounding_and_equal_calls_are_equal():
    model = _model("shipped", torch.float32)
    many = _inputs([s for k in range(12) for s in _rattled("CH3CH2OH", "C6H6", width=0.1 + 0.01 * k)], torch.float32)
    one = _inputs([_cluster()], torch.float32)
    before = torch.get_num_threads()
    try:
        for inputs in (many, one):
            results = {}
            for threads in (1, 2, 5):
                torch.set_num_threads(threads)
                evaluate = accelerated(model)
                results[threads] = evaluate(*inputs)
                for _ in range(20):
                    again = evaluate(*inputs)
                    assert torch.equal(again.energy, results[threads].energy)
                    assert torch.equal(again.forces, results[threads].forces)
            scale = results[1].forces.abs().max().item()
            for threads in (2, 5):
                torch.testing.assert_close(results[threads].forces, results[1].forces, rtol=0, atol=1e-5 * scale)
    finally:
        torch.set_num_threads(before)


def test_a_structure_is_the_same_alone_and_in_a_batch():
    evaluate, systems = accelerated(_model("shipped")), _rattled("C6H6", "CH3CH2OH", "H2O")
    together = evaluate(*_inputs(systems))
    start = 0
    for index, system in enumerate(systems):
        alone = evaluate(*_inputs([system]))
        assert alone.energy.item() == pytest.approx(together.energy[index].item(), abs=1e-11)
        torch.testing.assert_close(alone.forces, together.forces[start : start + len(system)], rtol=0, atol=1e-11)
        start += len(system)


def test_edges_beyond_the_cutoff_change_nothing():
    """A neighbor list that is kept for several steps has such edges."""
    evaluate, systems = accelerated(_model("shipped")), _rattled("C6H6", "CH3CH2OH")
    near, far = evaluate(*_inputs(systems)), evaluate(*_inputs(systems, cutoff=7.0))
    torch.testing.assert_close(near.forces, far.forces, rtol=0, atol=1e-12)


def test_disorder_and_unknown_elements_are_refused():
    model = _model("shipped")
    numbers, positions, batch, count, graph = _inputs(_rattled("CH3CH2OH", "C6H6"))
    with pytest.raises(ValueError, match="atoms are not in order"):
        Engine(model).evaluate(numbers, positions, batch.flip(0), count, graph)
    with pytest.raises(ValueError, match="up to 36"):
        Engine(model).evaluate(numbers + 60, positions, batch, count, graph)
    graph.edge_index = graph.edge_index.flip(1)
    with pytest.raises(ValueError, match="edges are not in order"):
        Engine(model).evaluate(numbers, positions, batch, count, graph)


def test_what_it_cannot_compute_is_said_and_left_to_torch(monkeypatch):
    other = build_model("seed-painn", {"hidden": 8, "n_blocks": 2, "n_rbf": 4})
    assert why_unsupported(other) == "it computes painn and schnetpack-painn, not seed-painn"
    assert accelerated(other) == other.energy_and_forces
    with pytest.raises(AssayError, match="cannot run model: it computes painn"):
        EnginePredictor(other)
    small = {"hidden": 8, "n_blocks": 1, "n_rbf": 4}
    assert why_unsupported(build_model("painn", small | {"activation": "gelu"})).endswith("not gelu")
    steep = {"head_activation": "shifted_softplus", "head_activation_arguments": [1.0, 2.0]}
    assert "usual numbers, not shifted_softplus" in why_unsupported(build_model("schnetpack-painn", small | steep))
    assert "at most 8 hidden layers" in why_unsupported(build_model("painn", small | {"head": [4] * 9}))
    monkeypatch.setattr("assay.engine.painn.library", lambda: None)
    assert "install g++" in why_unsupported(build_model("painn", {"hidden": 8, "n_blocks": 1, "n_rbf": 4}))
