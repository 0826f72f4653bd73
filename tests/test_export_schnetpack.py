"""Networks of schnetpack are lowered exactly, with each of their activations, bases and cutoff functions."""

import numpy as np
import onnxruntime
import pytest
import torch

from assay.export import onnx_graphs
from assay.export.forms import SlotPotential, TablePotential
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.export.tables import slot_inputs, table_inputs
from assay.models import build_model
from assay.models.activations import ACTIVATIONS
from assay.neighbors.lists import build_graph

SIZE = {"hidden": 6, "n_blocks": 1, "n_rbf": 5, "head": [4], "cutoff_A": 4.0}
PAINN, SCHNET = ("schnetpack-painn", SIZE), ("schnetpack-schnet", SIZE | {"n_filters": 7})
SWITCH = {"cutoff_function": "switch", "cutoff_arguments": [2.5, 4.0]}
MOLLIFIER = {"cutoff_function": "mollifier", "cutoff_arguments": [1e-7], "radial_basis": "bessel"}
SHARED = {"n_blocks": 2, "shared_filters": True, "shared_interactions": True}
NUMBERS = {"activation_arguments": [2.0, 10.0], "head_activation_arguments": [1.5, 0.7]}
NETWORKS = {
    "schnet_mollifier": (SCHNET, MOLLIFIER),
    "painn_switch_tanh": (PAINN, SWITCH | {"head_activation": "tanh"}),
    "shared_relu_elu": (PAINN, SHARED | {"activation": "relu", "head_activation": "elu"}),
    "gelu_celu": (SCHNET, {"activation": "gelu", "head_activation": "celu"}),
    "numbers": (SCHNET, NUMBERS | {"activation": "softplus", "head_activation": "shifted_softplus"}),
    "leaky_relu_mish": (SCHNET, {"activation": "leaky_relu", "activation_arguments": [0.2], "head_activation": "mish"}),
    "sigmoid_softsign": (SCHNET, {"activation": "sigmoid", "head_activation": "softsign"}),
    "selu_gelu_tanh": (SCHNET, {"activation": "selu", "head_activation": "gelu_tanh"}),
    "logsigmoid_identity": (SCHNET, {"activation": "logsigmoid", "head_activation": "identity"}),
}
QUICK = ("schnet_mollifier",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in NETWORKS]
)
def test_lowered_networks_are_exact(name):
    (architecture, size), changes = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(2)
        single = build_model(architecture, size | changes)
        positions = 1.9 * torch.randn(12, 3, dtype=torch.float64)
    single.energy_scale.fill_(5.0)
    single.reference_energy += torch.linspace(-3.0, 2.0, 100, dtype=torch.float64)
    double = build_model(architecture, size | changes).double()
    double.load_state_dict(single.state_dict())
    numbers, batch = torch.tensor([1, 6, 7, 8] * 3), torch.tensor([0] * 7 + [1] * 5)
    graph = build_graph(positions, batch, double.cutoff)
    expected = double.energy_and_forces(numbers, positions, batch, 2, graph, virial=True)
    assert float(expected.forces.abs().max()) > 1e-3
    for form, inputs in ((TablePotential, table_inputs), (SlotPotential, slot_inputs)):
        given = inputs(
            numbers, positions, batch, graph.edge_index[0], graph.edge_index[1], graph.shift.double(), double.cutoff
        )
        for found, wanted in zip(lower(double, form)(*given), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)
    metadata = export_metadata(single, {"variant": "x", "checkpoint_sha256": "0" * 64, "elements": None})
    model = onnx_graphs.assemble(lower(single), single.cutoff, metadata, search=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {"atomic_numbers": numbers.numpy(), "positions": positions.float().numpy(), "batch": batch.numpy()}
    energy, forces = session.run(["energy", "forces"], given)
    np.testing.assert_allclose(energy, expected.energy, rtol=0, atol=2e-5)
    np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=2e-5)


def test_every_activation_is_lowered_somewhere():
    used = {"silu", "shifted_softplus"}
    for _, changes in NETWORKS.values():
        used |= {changes.get("activation", "silu"), changes.get("head_activation", "silu")}
    assert used == set(ACTIVATIONS)
