"""Small files with the class names, tensor names and records that other programs give theirs.

`STRANGERS` maps a name to the suffix of such a file, a function that makes its bytes, and a pattern of what is said.
The programs need not be installed: their classes are made for the moment of saving.
"""

import io
import json
import os
import zipfile

import numpy as np
import onnx
import torch
from torch.package import PackageExporter

from shared.checkpoint_foreign import library
from shared.checkpoint_samples import Runs, lightning, pickle_bytes, torch_bytes

MACE = (
    "atomic_numbers", "r_max", "num_interactions", "node_embedding.linear.weight",
    "radial_embedding.bessel_fn.bessel_weights", "radial_embedding.cutoff_fn.p", "atomic_energies_fn.atomic_energies",
    "interactions.0.linear_up.weight", "interactions.0.conv_tp_weights.layer0.weight", "interactions.0.linear.weight",
    "products.0.symmetric_contractions.contractions.0.weights_max", "readouts.0.linear.weight", "scale_shift.scale",
)  # fmt: skip
NEQUIP = (
    "model.sole_model.func.radial_basis.bessel.bessel_weights", "model.sole_model.func.layer0_convnet.conv.fc.0.weight",
    "model.sole_model.func.layer0_convnet.conv.linear_1.weight", "model.sole_model.func.output_hidden_to_scalar.weight",
)  # fmt: skip
ALLEGRO = ("model.sole_model.func.allegro.latents.0.mlp.0.weight", "model.sole_model.func.edge_eng.0.weight")
TORCHMDNET = (
    "model.representation_model.embedding.weight", "model.representation_model.distance_expansion.means",
    "model.representation_model.attention_layers.0.q_proj.weight", "model.representation_model.out_norm.weight",
    "model.output_model.output_network.0.vec1_proj.weight", "model.mean", "model.std",
)  # fmt: skip
TORCHMDNET_GRAPH = (
    "model.representation_model.embedding.weight", "model.representation_model.interactions.0.mlp.0.weight",
    "model.representation_model.interactions.0.conv.lin1.weight", "model.output_model.output_network.0.weight",
)  # fmt: skip
SEVENNET = (
    "edge_embedding.basis_function.coeffs", "onehot_to_feature_x.linear.weight", "0_self_connection_intro.weight",
    "0_self_interaction_1.linear.weight", "0_convolution.weight_nn.layer0.weight", "rescale_atomic_energy.scale",
)  # fmt: skip
SEVENNET_OF_MAY_2024 = (
    "EdgeEmbedding.basis_function.coeffs", "0_self_interaction_1.linear.weight", "0 convolution.denumerator",
    "rescale atomic energy.scale",
)  # fmt: skip
DEEPMD = (
    "model.Default.atomic_model.descriptor.sea.mean", "model.Default.atomic_model.descriptor.sea.networks.0.matrix",
    "model.Default.atomic_model.fitting_net.bias_atom_e", "model.Default.atomic_model.out_bias",
)  # fmt: skip
AIMNET2 = (
    "aev.rc_s", "aev.shifts_s", "afv.weight", "conv_a.agh", "conv_q.agh", "mlps.0.0.weight",
    "outputs.energy_mlp.mlp.0.weight", "outputs.atomic_shift.shifts.weight",
)  # fmt: skip
ANI = (
    "aev_computer.EtaR", "aev_computer.ShfR", "neural_networks.0.H.0.weight", "neural_networks.0.H.0.bias",
    "energy_shifter.self_energies",
)  # fmt: skip
TORCHANI_2_9 = (
    "potentials.nnp.aev_computer.radial.eta", "potentials.nnp.neural_networks.atomics.H.layers.0.weight",
    "energy_shifter.self_energies",
)  # fmt: skip
CHGNET = (
    "composition_model.fc.weight", "atom_embedding.embedding.weight",
    "bond_basis_expansion.rbf_expansion_ag.frequencies", "atom_conv_layers.0.twoBody_atom.mlp_core.layers.0.weight",
    "bond_conv_layers.0.twoBody_bond.mlp_core.layers.0.weight", "mlp.layers.0.weight",
)  # fmt: skip
SCHNETPACK = (
    "representation.radial_basis.offsets", "representation.embedding.weight", "representation.filter_net.weight",
    "representation.interactions.0.interatomic_context_net.0.weight", "representation.mixing.0.mu_channel_mix.weight",
    "output_modules.0.outnet.0.weight", "postprocessors.1.mean",
)  # fmt: skip


def weights(names):
    """A state dict with these names."""
    return {name: torch.tensor(5.0) if name == "r_max" else torch.ones(2, 2) for name in names}


def module(class_name, names=()):
    """The bytes of a pickled module of a class that is not installed, with parameters of these names."""

    class Model(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    with library(**{class_name.replace(".", "__"): Model}):
        root = Model()
        for name, value in weights(names).items():
            place = root
            *parents, last = name.split(".")
            for parent in parents:
                if not hasattr(place, parent):
                    place.add_module(parent, torch.nn.Module())
                place = getattr(place, parent)
            place.register_parameter(last, torch.nn.Parameter(value))
        return torch_bytes(root)


def torchscript(class_name, **extra):
    """A TorchScript file of a class, with extra files beside it."""

    class Model(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    stream = io.BytesIO()
    with library(**{class_name.replace(".", "__"): Model}):
        torch.jit.save(torch.jit.trace(Model(), torch.ones(1)), stream, _extra_files=extra)
    return stream.getvalue()


def compiled(metadata):
    """A ``.pt2`` file as AOTInductor lays it out, whose machine code is none."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("model/archive_format", "pt2")
        archive.writestr("model/data/aotinductor/model/abc.wrapper.so", b"\x7fELF")
        archive.writestr("model/data/aotinductor/model/abc.wrapper_metadata.json", metadata)
    return stream.getvalue()


def program():
    """A ``.pt2`` file of ``torch.export.save``."""
    stream = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), stream)
    return stream.getvalue()


def package(module_name):
    """A package of torch with the source of a module."""
    stream = io.BytesIO()
    with PackageExporter(stream) as exporter:
        exporter.save_source_string(module_name, "raise SystemExit")
    return stream.getvalue()


def onnx_model(inputs, outputs, initializers=(), **metadata):
    """An ONNX file that copies its first input to each output."""

    def value(name):
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1])

    nodes = [onnx.helper.make_node("Identity", [inputs[0]], [name]) for name in outputs]
    tensors = [onnx.numpy_helper.from_array(np.ones(1, np.float32), name) for name in initializers]
    graph = onnx.helper.make_graph(nodes, "g", [*map(value, inputs)], [*map(value, outputs)], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.helper.set_model_props(model, metadata)
    return model.SerializeToString()


def frozen_graph(*nodes):
    """A frozen graph of TensorFlow with nodes of these names."""
    named = [b"\n" + bytes([len(name)]) + name.encode() for name in nodes]
    return b"".join(b"\n" + bytes([len(node)]) + node for node in named)


def _deployed_by_sevennet():
    extra = {"chemical_symbols_to_index": "H O ", "cutoff": "5.0", "num_species": "2", "version": "0.13.0"}
    return torchscript("torch.fx.graph_module.GraphModule2", **extra)


HYPERPARAMETERS = {"model": "equivariant-transformer", "embedding_dimension": 8, "cutoff_upper": 5.0, "num_rbf": 4}
METADATA = {"AOTI_DEVICE_KEY": "cpu", "r_max": "5.0", "type_names": "H O"}

STRANGERS = {
    "mace_module": (
        ".model", lambda: module("mace.modules.models.ScaleShiftMACE", MACE),
        "a model of MACE .*interactions.0.linear_up",
    ),
    "mace_checkpoint": (
        ".pt", lambda: torch_bytes({"model": weights(MACE), "optimizer": {}, "lr_scheduler": {}}), "a model of MACE"
    ),
    "mace_state_dict": (
        ".pt", lambda: torch_bytes(weights(MACE)), r"a model of MACE .*mace.calculators.MACECalculator"
    ),
    "mace_torchscript": (
        ".model", lambda: torchscript("mace.modules.models.ScaleShiftMACE"),
        r"a TorchScript file of MACE \(it holds code of mace.modules.models\)",
    ),
    "nequip_checkpoint": (
        ".ckpt", lambda: torch_bytes(lightning(weights(NEQUIP))), r"a model of NequIP .*layer0_convnet.*my_function"
    ),
    "nequip_torchscript": (
        ".nequip.pth", lambda: torchscript("torch.fx.graph_module.GraphModule1", nequip_version="0.6.1", r_max="5.0"),
        r"a TorchScript file of NequIP \(it says nequip_version\)",
    ),
    "nequip_compiled": (
        ".nequip.pt2", lambda: compiled(json.dumps(METADATA | {"nequip_aoti_inputs": "pos"})),
        r"a compiled .pt2 file of NequIP \(it says nequip_aoti_inputs\)",
    ),
    "nequip_package": (
        ".nequip.zip", lambda: package("nequip.model.nequip_models"),
        r"a package of torch of NequIP \(it holds code of nequip.model.nequip_models\)",
    ),
    "allegro_checkpoint": (".ckpt", lambda: torch_bytes(lightning(weights(ALLEGRO))), "a model of Allegro"),
    "torchmdnet_checkpoint": (
        ".ckpt", lambda: torch_bytes(lightning(weights(TORCHMDNET), hyper_parameters=HYPERPARAMETERS)),
        r"a model of TorchMD-Net .*representation_model.*torchmdnet.calculators.TMDNETCalculator",
    ),
    "torchmdnet_graph_network": (
        ".ckpt", lambda: torch_bytes(lightning(weights(TORCHMDNET_GRAPH), hyper_parameters=HYPERPARAMETERS)),
        "a model of TorchMD-Net",
    ),
    "sevennet_checkpoint": (
        ".pth", lambda: torch_bytes({"model_state_dict": weights(SEVENNET), "config": {"cutoff": 5.0, "channel": 8}}),
        r"a model of SevenNet .*edge_embedding.basis_function.coeffs.*sevenn.calculator.SevenNetCalculator",
    ),
    "sevennet_of_may_2024": (
        ".pth", lambda: torch_bytes({"model_state_dict": weights(SEVENNET_OF_MAY_2024)}), "a model of SevenNet"
    ),
    "sevennet_deployed": (
        ".pt", _deployed_by_sevennet, r"a TorchScript file of SevenNet \(it says chemical_symbols_to_index\)"
    ),
    "deepmd_checkpoint": (
        ".pt",
        lambda: torch_bytes({"model": weights(DEEPMD) | {"_extra_state": {"model_params": {}}}, "optimizer": {}}),
        r"a model of DeePMD .*deepmd.calculator.DP",
    ),
    "deepmd_frozen": (
        ".pth", lambda: torchscript("deepmd.pt.model.model.ener_model.EnergyModel", model_def_script="{}"),
        "a TorchScript file of DeePMD",
    ),
    "deepmd_tensorflow": (
        ".pb", lambda: frozen_graph("descrpt_attr/rcut", "model_attr/tmap"), "a frozen graph of DeePMD"
    ),
    "aimnet2_checkpoint": (
        ".pt",
        lambda: torch_bytes({"format_version": 2, "model_yaml": "", "cutoff": 5.0, "state_dict": weights(AIMNET2)}),
        r"a model of AIMNet2 .*aimnet.calculators.AIMNet2ASE",
    ),
    "aimnet2_torchscript": (
        ".jpt", lambda: torchscript("aimnet.models.aimnet2.AIMNet2"), "a TorchScript file of AIMNet2"
    ),
    "ani_module": (
        ".pt", lambda: module("torchani.models.BuiltinModel"), "a model of ANI .*torchani.models.BuiltinModel"
    ),
    "ani_state_dict": (
        ".pt", lambda: torch_bytes(weights(ANI)), "a model of ANI .*my_function.*torchani.ase.Calculator"
    ),
    "ani_of_torchani_2_9": (".pt", lambda: torch_bytes(weights(TORCHANI_2_9)), "a model of ANI"),
    "ani_torchscript": (".pt", lambda: torchscript("torchani.arch.ANI"), "a TorchScript file of ANI"),
    "chgnet": (
        ".pth.tar", lambda: torch_bytes({"model": {"state_dict": weights(CHGNET), "model_args": {"num_radial": 31}}}),
        r"a model of CHGNet .*chgnet.model.dynamics.CHGNetCalculator",
    ),
    "torchscript_of_nobody": (
        ".pt", lambda: torchscript("somebody.nets.Net"),
        r"TorchScript file that Assay did not export \(it holds somebody.nets\).* give .*schnetpack-schnet",
    ),
    "onnx_of_nobody": (
        ".onnx", lambda: onnx_model(["species", "coordinates"], ["energy", "charges"], ["w"]),
        r"ONNX file that Assay did not export \(it takes species, coordinates and returns energy, charges\)",
    ),
    "onnx_with_known_weights": (".onnx", lambda: onnx_model(["z"], ["energy"], SCHNETPACK), "a model of schnetpack"),
    "onnx_with_some_of_our_metadata": (
        ".onnx", lambda: onnx_model(["z"], ["energy"], cutoff_A="5.0", max_z="9"), "ONNX file that Assay did not export"
    ),
    "compiled_of_nobody": (
        ".pt2", lambda: compiled(json.dumps(METADATA)),
        r"compiled .pt2 file that Assay did not export \(it holds AOTI_DEVICE_KEY, r_max, type_names\)",
    ),
    "program_of_nobody": (".pt2", program, "program of torch.export that Assay did not export"),
    "package_of_nobody": (".pt", lambda: package("somebody.nets"), "package of torch that .* somebody.nets"),
}  # fmt: skip

NASTY = "a\n\x1b[2J\udc80."
# Files of the same kinds that mean harm, and a pattern of what is said.
HOSTILE = {
    "code_beside_mace": (
        ".pt", lambda: torch_bytes({"model": weights(MACE), "x": Runs(os.system, "touch hacked")}), "a model of MACE"
    ),
    "code_named_as_a_model": (
        ".pt", lambda: pickle_bytes(Runs(os.system, "touch hacked"), 2), "is a bare pickle"
    ),
    "names_for_a_terminal": (
        ".pt", lambda: torch_bytes({f"{NASTY}{name}": value for name, value in weights(CHGNET).items()}), "of CHGNet"
    ),
    "long_names": (
        ".pt",
        lambda: torch_bytes({f"{index}.allegro{'.env_embed' * 90}": torch.ones(1) for index in range(2000)}),
        "of Allegro",
    ),
    "metadata_without_end": (
        ".pt2", lambda: compiled("[" * 200_000),
        r"compiled .pt2 file that Assay did not export \(it names nothing\)",
    ),
    "metadata_of_megabytes": (
        ".pt2", lambda: compiled(json.dumps({"nequip_version": "0" * (2 << 20)})), "names nothing"
    ),
    "metadata_of_many_keys": (
        ".pt2", lambda: compiled(json.dumps({NASTY + str(index) * 99: 0 for index in range(2000)})), "and 1992 more"
    ),
    "onnx_of_many_names": (
        ".onnx", lambda: onnx_model([f"{index}" * 99 for index in range(3000)], ["y"]), "and 2992 more and returns y"
    ),
}  # fmt: skip
