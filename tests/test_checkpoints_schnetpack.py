"""Files of schnetpack are read tensor for tensor: energies and forces are those of its own formulas."""

import functools

import pytest
import torch
from ase.build import molecule
from torch import nn
from torch.nn import functional

from assay.checkpoint import normalize, write
from assay.neighbors.lists import build_graph
from assay.workflow.errors import AssayError
from shared import schnetpack_alike as spk
from shared.checkpoint_samples import store

# What is different from a plain PaiNN or SchNet.
NETWORKS = {
    "painn": {},
    "schnet": {"kind": spk.SchNet},
    "gaussians_trained": {"basis": lambda: spk.GaussianRBF(6, 4.5, trainable=True)},
    "gaussians_centered": {"basis": spk.GaussianRBFCentered},
    "bessel": {"basis": spk.BesselRBF},
    "mollifier": {"cutoff": spk.MollifierCutoff},
    "switch": {"cutoff": spk.SwitchFunction},
    "shared_interactions": {"shared": True},
    "shared_filters": {"shared_filters": True},
    "all_shared": {"shared": True, "shared_filters": True},
    "schnet_shared": {"kind": spk.SchNet, "shared": True},
    "schnet_of_other_width": {"kind": spk.SchNet, "n_filters": 8, "basis": spk.BesselRBF},
    "nuclear_embedding": {"embedding": spk.NuclearEmbedding(20, 8)},
    "head_without_hidden_layer": {"head": (8, 1)},
    "head_of_many_layers": {"head": (8, 5, 7, 3, 1), "head_activation": torch.tanh},
    "energy_of_another_name": {"key": "U0", "after": [spk.AddOffsets("U0")]},
    "no_offsets": {"after": []},
    "mean_alone": {"after": [spk.AddOffsets(atomrefs=False)]},
    "atomic_references_alone": {"after": [spk.AddOffsets(mean=False)]},
    "scaled": {"after": [spk.ScaleProperty(), spk.ScaleProperty("forces"), spk.AddOffsets()]},
    "offsets_scaled": {"after": [spk.AddOffsets(), spk.ScaleProperty(), spk.ScaleProperty("forces")]},
    "offsets_of_another_property": {"after": [spk.AddOffsets("dipole")]},
}
ACTIVATIONS = {
    "shifted_softplus": spk.shifted_softplus,
    "softplus": functional.softplus,
    "relu": functional.relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "elu": functional.elu,
    "mish": functional.mish,
    "softsign": functional.softsign,
    "module_softplus": nn.Softplus(beta=2.0),
    "module_leaky_relu": nn.LeakyReLU(0.2),
    "module_gelu_tanh": nn.GELU(approximate="tanh"),
    "module_celu": nn.CELU(1.3),
    "module_shifted_softplus": spk.ShiftedSoftplus(1.5, 0.7),
    "none": nn.Identity(),
}
PLAIN = {
    name: changes for name, changes in NETWORKS.items()
    if not {"after", "key", "head_activation"} & changes.keys() or name == "no_offsets"
}  # fmt: skip


@functools.cache
def structure():
    atoms = molecule("CH3CONH2")
    atoms.rattle(0.1, seed=1)
    return torch.tensor(atoms.numbers), torch.tensor(atoms.positions)


def assert_same(made, checkpoint):
    """Compare with the formulas of the stand-ins, both in double precision."""
    numbers, positions = structure()
    model = checkpoint.build(torch.float64)
    distance = torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist")
    center, neighbor = torch.nonzero((distance < model.cutoff) & (distance > 0)).T
    energy, forces = made.double()(numbers, positions, center, neighbor)
    batch = torch.zeros_like(numbers)
    graph = build_graph(positions, batch, model.cutoff)
    found = model.energy_and_forces(numbers, positions, batch, 1, graph)
    assert float(found.energy) == pytest.approx(float(energy), abs=1e-9, rel=0)
    torch.testing.assert_close(found.forces, forces, rtol=0, atol=1e-9)
    assert float(forces.abs().max()) > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_schnetpack(name, tmp_path):
    made = spk.model(**NETWORKS[name])
    path = store(tmp_path, spk.whole(made), "best_inference_model")
    assert_same(made, normalize(path))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_schnetpack(name, tmp_path):
    made = spk.model(activation=ACTIVATIONS[name], kind=spk.SchNet if name.endswith("softplus") else spk.PaiNN)
    assert_same(made, normalize(store(tmp_path, spk.whole(made), "best_inference_model")))


@pytest.mark.parametrize("name", NETWORKS)
def test_checkpoints_of_schnetpack(name, tmp_path):
    """The Lightning file comes to the same bytes, and so does its normalized form."""
    made = spk.model(**NETWORKS[name])
    first = normalize(store(tmp_path, spk.whole(made), "best_inference_model"))
    second = normalize(store(tmp_path, spk.checkpoint(made), "last.ckpt"))
    assert second.to_bytes() == first.to_bytes()
    write(first, "x", tmp_path / "model.safetensors", tmp_path / "model.json")
    assert normalize(tmp_path / "model.safetensors").to_bytes() == first.to_bytes()


@pytest.mark.parametrize("name", PLAIN)
def test_state_dicts_of_schnetpack(name, tmp_path):
    """Tensors alone: what they do not show is schnetpack's default, and said."""
    made = spk.model(**PLAIN[name])
    for mixing in getattr(made.representation, "mixing", []):
        mixing.epsilon = 1e-8
    checkpoint = normalize(store(tmp_path, spk.tensors(made)))
    assert checkpoint.to_bytes() == normalize(store(tmp_path, spk.whole(made), "model")).to_bytes()
    assumed = {key for key, source in checkpoint.network.sources.items() if source == "assumed"}
    assert "activation" in assumed and ("head_activation" in assumed) == bool(
        checkpoint.network.hyperparameters["head"]
    )
    assert "tensors alone" in checkpoint.summary()
    assert any("tensors alone" in note for note in checkpoint.card("x")["source"]["notes"])


@pytest.mark.parametrize("trained", [False, True])
def test_averages_of_schnetpack_are_told_from_raw_weights(trained, tmp_path):
    """Its callback puts the raw weights aside while the average stands in the model; shared modules count once."""
    basis = {"basis": lambda: spk.GaussianRBF(6, 4.5, trainable=trained)}
    made, raw = spk.model(shared=True, **basis), spk.model(shared=True, **basis)
    with torch.no_grad():
        for parameter in raw.parameters():
            parameter.add_(0.01)
    lists = {"shadow_params": list(made.parameters()), "collected_params": list(raw.parameters())}
    content = spk.checkpoint(made, callbacks={"ExponentialMovingAverage": {"ema": {"decay": 0.99, **lists}}})
    path = store(tmp_path, content, "last.ckpt")
    average = normalize(path)
    assert average.state_dict.average and not average.choice.in_doubt
    assert_same(made, average)
    assert_same(raw, normalize(path, weights="raw"))


def changed(change, **changes):
    """The file of a network that was changed behind its making."""
    made = spk.model(**changes)
    change(made)
    return spk.whole(made)


def with_output(made, module, **attributes):
    vars(module).update(attributes)
    made.output_modules.append(module)


REFUSED = {
    "average_over_atoms": (
        lambda: changed(lambda made: vars(made.output_modules[0]).update(aggregation_mode="avg")), "aggregated by 'avg'"
    ),
    "offsets_that_are_not_extensive": (
        lambda: spk.whole(spk.model(after=[spk.AddOffsets(extensive=False)])), "is_extensive"
    ),
    "repulsion_beside_the_energy": (
        lambda: changed(lambda made: with_output(made, spk.ZBLRepulsionEnergy())), "output module ZBLRepulsionEnergy"
    ),
    "another_representation": (
        lambda: changed(lambda made: setattr(made.representation, "__class__", spk.SO3net)), "is a SO3net"
    ),
    "charge_and_spin": (
        lambda: changed(lambda made: made.representation.electronic_embeddings.append(nn.Linear(2, 2))), "charge or"
    ),
    "an_activation_of_somebody": (
        lambda: spk.whole(spk.model(activation=nn.Hardswish())), "activation is 'torch.nn.modules.activation.Hardswish'"
    ),
    "activations_that_differ": (
        lambda: changed(lambda made: setattr(
            made.representation.mixing[1].intraatomic_context_net[0], "activation", torch.tanh)),
        "different activations",
    ),
    "energies_of_many_numbers": (lambda: spk.whole(spk.model(head=(8, 4, 2))), "gives 2 numbers"),
    "inputs_that_are_changed": (
        lambda: changed(lambda made: made.input_modules.append(spk.ZBLRepulsionEnergy())), "changes its inputs"
    ),
    "two_energies_in_a_state_dict": (
        lambda: spk.tensors(_with_two_heads()), "2 of its output modules could be the energy"
    ),
    "a_tensor_that_is_missing": (
        lambda: spk.torch_bytes({
            key: value for key, value in spk.model().state_dict().items() if "mixing.1.mu" not in key
        }), "lacks 'representation.mixing.1.mu_channel_mix.weight'",
    ),
    "a_tensor_too_many": (
        lambda: spk.torch_bytes(spk.model().state_dict() | {"representation.extra.weight": torch.ones(2)}),
        "unknown representation.extra.weight",
    ),
}  # fmt: skip


def _with_two_heads():
    made = spk.model()
    made.output_modules.append(spk.Atomwise([8, 1], functional.silu, "other"))
    return made


@pytest.mark.parametrize("case", REFUSED)
def test_what_schnetpack_computes_and_assay_does_not(case, tmp_path):
    content, pattern = REFUSED[case]
    path = store(tmp_path, content())
    with pytest.raises(AssayError, match=pattern) as caught:
        normalize(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_heads_beside_the_energy_are_left_aside(tmp_path):
    made = spk.model()
    made.output_modules.append(spk.Atomwise([8, 1], functional.silu, "charge"))
    checkpoint = normalize(store(tmp_path, spk.whole(made)))
    assert "Left aside, because the energy does not depend on it: Atomwise." in checkpoint.summary()
    made.output_modules = made.output_modules[:2]
    assert_same(made, checkpoint)


def test_energy_scaled_and_forces_not_is_said(tmp_path):
    made = spk.model(after=[spk.ScaleProperty()])
    checkpoint = normalize(store(tmp_path, spk.whole(made)))
    assert "scales the energy by 1.3 but not the forces" in checkpoint.summary()
    made.do_postprocessing = False
    assert "switched off" in normalize(store(tmp_path, spk.whole(made), "b")).summary()


def test_a_cutoff_that_contradicts_the_file_is_refused(tmp_path):
    path = store(tmp_path, spk.whole(spk.model()))
    with pytest.raises(AssayError, match=r"cutoff 4.5 by its tensors, but 5 by the user config"):
        normalize(path, cutoff_A=5.0)
