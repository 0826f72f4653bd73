"""Networks of schnetpack that Assay reads, and those that it refuses with a sentence."""

import torch
from torch import nn
from torch.nn import functional

from shared import schnetpack_alike as spk
from shared.checkpoint_samples import torch_bytes

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


def changed(change, **changes):
    """The file of a network that was changed behind its making."""
    made = spk.model(**changes)
    change(made)
    return spk.whole(made)


def of_two_numbers():
    made = spk.model(activation=nn.CELU(1.3))
    made.representation.mixing[1].intraatomic_context_net[0].activation = nn.CELU(1.4)
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
    "activations_of_two_numbers": (of_two_numbers, "different activations"),
    "norms_without_epsilon": (
        lambda: changed(lambda made: setattr(made.representation.mixing[0], "epsilon", 0.0)), "no gradient at zero"
    ),
    "energies_of_many_numbers": (lambda: spk.whole(spk.model(head=(8, 4, 2))), "gives 2 numbers"),
    "inputs_that_are_changed": (
        lambda: changed(lambda made: made.input_modules.append(spk.ZBLRepulsionEnergy())), "changes its inputs"
    ),
    "two_energies_in_a_state_dict": (
        lambda: spk.tensors(_with_two_heads()), "2 of its output modules could be the energy"
    ),
    "two_scales_in_a_state_dict": (
        lambda: spk.tensors(spk.model(after=[spk.ScaleProperty(), spk.ScaleProperty("forces"), spk.AddOffsets()])),
        r"its postprocessors\.1 and postprocessors\.2 have a scale each, .*: give its pickled model",
    ),
    "two_offsets_in_a_state_dict": (
        lambda: spk.tensors(spk.model(after=[spk.AddOffsets(), spk.AddOffsets("dipole")])),
        r"its postprocessors\.1 and postprocessors\.2 have an offset each, .*: give its pickled model",
    ),
    "a_tensor_that_is_missing": (
        lambda: torch_bytes({
            key: value for key, value in spk.model().state_dict().items() if "mixing.1.mu" not in key
        }), "lacks 'representation.mixing.1.mu_channel_mix.weight'",
    ),
    "schnetpack_1": (
        lambda: torch_bytes({
            key.replace(".radial_basis.", ".distance_expansion.").replace("0.outnet.", "0.out_net.1.out_net."): value
            for key, value in spk.model().state_dict().items()
        }),
        r"is a model of schnetpack 1 \(it holds representation\.distance_expansion\..* reads those of schnetpack 2",
    ),
    "a_tensor_too_many": (
        lambda: torch_bytes(spk.model().state_dict() | {"representation.extra.weight": torch.ones(2)}),
        "unknown representation.extra.weight",
    ),
}  # fmt: skip


def _with_two_heads():
    made = spk.model()
    made.output_modules.append(spk.Atomwise([8, 1], functional.silu, "other"))
    return made
