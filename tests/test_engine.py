"""The compiled engine is the network: energies, forces, virial, parameter gradients, for any structure and threads."""

import copy

import pytest
import torch
from ase.build import molecule

from assay.engine import library
from assay.engine.painn import Engine, accelerated, why_unsupported
from assay.models import build_model
from assay.models.graph import EdgeGraph
from assay.predictors.networks import EnginePredictor
from assay.workflow.errors import AssayError
from shared.engine_inputs import EVERY_NETWORK, cluster, inputs_of, near_contact, network, rattled, salt

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler on this machine")

CASES = {
    "molecules": lambda: rattled("CH3CH2OH", "C6H6", "CH3SH", "H2O"),
    "one atom": lambda: [molecule("O")],
    "atoms apart": lambda: [molecule("O"), *rattled("H2O"), molecule("C")],
    "in contact": lambda: [near_contact()],
    "crystals": lambda: [salt(), *rattled("CH4"), salt()],
    "a dense cluster": lambda: [cluster()],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_it_computes_what_autograd_does(name, case):
    model, inputs = network(name), inputs_of(CASES[case]())
    expected = model.energy_and_forces(*inputs, virial=True)
    found = accelerated(model)(*inputs, virial=True)
    scale = max(1.0, expected.forces.abs().max().item())
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-11 * scale)


@pytest.mark.parametrize("case", ["molecules", "in contact", "crystals"])
@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_parameter_gradients_are_those_of_autograd(name, case):
    model, inputs = network(name), inputs_of(CASES[case]())
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


@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_forces_are_those_of_the_weighted_energies(name):
    """Those of nuclear repulsion too."""
    model, inputs = network(name), inputs_of([near_contact(), *rattled("CH3SH")])
    weights = torch.tensor([0.5, -2.0], dtype=torch.float64)
    numbers, positions, *rest = inputs
    positions = positions.requires_grad_()
    (expected,) = torch.autograd.grad((weights * model.energy(numbers, positions, *rest)).sum(), positions)
    found = Engine(model).evaluate(*inputs, weights=weights).forces
    torch.testing.assert_close(found, -expected, rtol=1e-11, atol=1e-11 * expected.abs().max().item())


@pytest.mark.parametrize("name", ["shipped", "softplus", "schnetpack", "schnetpack bessel", "schnetpack switch"])
def test_float32_is_near_float64(name):
    inputs = inputs_of(CASES["molecules"]())
    exact = accelerated(network(name))(*inputs)
    single = accelerated(network(name, torch.float32))(*inputs_of(CASES["molecules"](), torch.float32))
    assert single.energy.dtype == torch.float64 and single.forces.dtype == torch.float32
    torch.testing.assert_close(single.energy, exact.energy, rtol=0, atol=2e-5)
    torch.testing.assert_close(single.forces.double(), exact.forces, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["shipped", "gaussian", "schnetpack", "schnetpack bessel"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_radial_functions_that_were_trained_are_those_of_the_network(name, dtype):
    model, inputs = network(name, dtype), inputs_of(rattled("CH3CH2OH", "C6H6"), dtype)
    before = accelerated(model)(*inputs)
    for constants in model.radial.buffers():
        constants.mul_(1.0 + 0.2 * torch.rand_like(constants))
    expected, found = model.energy_and_forces(*inputs), accelerated(model)(*inputs)
    limit = 2e-5 if dtype == torch.float32 else 1e-11
    torch.testing.assert_close(found.energy, expected.energy, rtol=0, atol=limit)
    torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=limit)
    assert (found.forces - before.forces).abs().max() > 1e-3


TABLES = {
    "gaussian": {"n_rbf": 24, "radial_basis": "gaussian"},
    "bessel": {"n_rbf": 16, "radial_basis": "bessel"},
    "vectors": {"n_rbf": 20, "rank": 1, "filter_bias": False},
    "from contact": {"n_rbf": 16, "radial_basis": "gaussian", "from_contact": True, "pair_elements": [1, 6]},
    "from contact without a floor": {"n_rbf": 14, "radial_basis": "gaussian", "from_contact": True, "floor": False},
    "no floor": {"n_rbf": 20, "radial_basis": "gaussian", "floor": False, "envelope": "cosine"},
    "beyond the cutoff": {"n_rbf": 12, "radial_basis": "gaussian", "cutoff_A": 1.6},
    "no table is exact enough": {"n_rbf": 200, "radial_basis": "gaussian"},
}


@pytest.mark.parametrize("case", ["molecules", "in contact", "crystals"])
@pytest.mark.parametrize("name", TABLES)
def test_filters_from_a_table_are_those_of_the_basis(name, case):
    """A call for gradients computes filters from the basis, also in single precision; other calls read a table."""
    model = network("shipped", torch.float32, **TABLES[name])
    cutoff = model.cutoff
    inputs, engine = inputs_of(CASES[case](), torch.float32, cutoff), Engine(model)
    exact = accelerated(copy.deepcopy(model).double())(*inputs_of(CASES[case](), cutoff=cutoff))
    table, basis = engine.evaluate(*inputs), engine.evaluate(*inputs, gradients=True)
    scale = max(1.0, exact.forces.abs().max().item())
    error = {way: (found.forces.double() - exact.forces).norm() for way, found in (("table", table), ("basis", basis))}
    torch.testing.assert_close(table.forces, basis.forces, rtol=0, atol=3e-6 * scale)
    assert error["table"] <= 2.0 * error["basis"] + 1e-6 * scale
    assert torch.equal(table.energy, basis.energy) == (name == "no table is exact enough")


def test_a_table_follows_the_parameters():
    model, inputs = network("shipped", torch.float32, n_rbf=20), inputs_of(rattled("CH3CH2OH"), torch.float32)
    engine = Engine(model)
    before = engine.evaluate(*inputs)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.05)
    engine.set_parameters(list(model.parameters()))
    after = engine.evaluate(*inputs)
    assert torch.equal(after.forces, Engine(model).evaluate(*inputs).forces)
    assert (after.forces - before.forces).abs().max() > 1e-4


def test_threads_change_nothing_but_rounding_and_equal_calls_are_equal():
    model = network("shipped", torch.float32)
    many = inputs_of([s for k in range(12) for s in rattled("CH3CH2OH", "C6H6", width=0.1 + 0.01 * k)], torch.float32)
    one = inputs_of([cluster()], torch.float32)
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
    evaluate, systems = accelerated(network("shipped")), rattled("C6H6", "CH3CH2OH", "H2O")
    together = evaluate(*inputs_of(systems))
    start = 0
    for index, system in enumerate(systems):
        alone = evaluate(*inputs_of([system]))
        assert alone.energy.item() == pytest.approx(together.energy[index].item(), abs=1e-11)
        torch.testing.assert_close(alone.forces, together.forces[start : start + len(system)], rtol=0, atol=1e-11)
        start += len(system)


def test_edges_beyond_the_cutoff_change_nothing():
    """A neighbor list that is kept for several steps has such edges."""
    evaluate, systems = accelerated(network("shipped")), rattled("C6H6", "CH3CH2OH")
    near, far = evaluate(*inputs_of(systems)), evaluate(*inputs_of(systems, cutoff=7.0))
    torch.testing.assert_close(near.forces, far.forces, rtol=0, atol=1e-12)


def test_edges_may_come_in_any_order():
    model = network("shipped")
    *inputs, graph = inputs_of(rattled("CH3CH2OH", "C6H6"))
    expected = Engine(model).evaluate(*inputs, graph)
    order = torch.randperm(graph.edge_index.shape[1], generator=torch.Generator().manual_seed(0))
    graph.edge_index, graph.shift = graph.edge_index[:, order], graph.shift[order]
    found = Engine(model).evaluate(*inputs, graph)
    torch.testing.assert_close(found.forces, expected.forces, rtol=0, atol=1e-12)


def test_numbers_may_be_int32_and_strided():
    model = network("shipped")
    numbers, positions, batch, count, graph = inputs_of(rattled("CH3CH2OH", "C6H6"))
    expected = Engine(model).evaluate(numbers, positions, batch, count, graph)
    strided = torch.stack([numbers, numbers], 1).to(torch.int32)[:, 0]
    wide = torch.cat([positions, positions], 1)[:, :3]
    found = Engine(model).evaluate(strided, wide, batch.to(torch.int32), count, graph)
    assert torch.equal(found.forces, expected.forces)


def test_what_makes_no_sense_is_refused():
    model = network("shipped")
    numbers, positions, batch, count, graph = inputs_of(rattled("CH3CH2OH", "C6H6"))

    def evaluate(numbers=numbers, positions=positions, batch=batch, edges=graph.edge_index):
        return Engine(model).evaluate(numbers, positions, batch, count, EdgeGraph(edges, graph.shift, len(positions)))

    for refused, why in (
        ({"batch": batch.flip(0)}, "structures of atoms are not in order"),
        ({"batch": batch - 1}, "atom 0 is of structure -1"),
        ({"batch": batch * 2}, "is of structure 2, and there are 2"),
        ({"numbers": numbers + 60}, "atomic number 66, which the model was never trained on"),
        ({"numbers": numbers[:-1]}, "do not fit"),
        ({"positions": positions[:, :2]}, "do not fit"),
        ({"edges": graph.edge_index + 60}, "has the center 60"),
        ({"edges": graph.edge_index - 30}, "has the center -30"),
        ({"edges": graph.edge_index.sort(0).values}, "have no reverse"),
        ({"edges": torch.stack([graph.edge_index[0].roll(1), graph.edge_index[1]])}, "joins atoms of the structures"),
    ):
        with pytest.raises(ValueError, match=why):
            evaluate(**refused)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_positions_that_are_no_numbers_give_none(number):
    numbers, positions, *rest = inputs_of(rattled("CH3CH2OH"))
    positions[3, 1] = number
    found = accelerated(network("shipped"))(numbers, positions, *rest, virial=True)
    assert all(result.isnan().all() for result in found)


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
