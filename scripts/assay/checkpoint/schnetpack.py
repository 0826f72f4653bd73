"""Reads the networks of schnetpack 2 into Assay's own form of them, tensor for tensor.

A pickled module tells all of itself: classes, functions and numbers stand in its parts. A plain state dict tells less;
what it leaves open is taken as schnetpack's defaults, and said to be assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assay.checkpoint.container import Container
from assay.checkpoint.modules import ModuleContents, ModulePart
from assay.checkpoint.schnetpack_parts import activation_of, check_version, postprocessed
from assay.checkpoint.stated_units import positive_factor
from assay.checkpoint.tensors import are_same
from assay.checkpoint.weights import StateDict, nested_dicts
from assay.workflow.errors import AssayError

MAX_BLOCKS = 200
_REPRESENTATIONS = {"PaiNN": "schnetpack-painn", "SchNet": "schnetpack-schnet"}
# Tensors that only one representation has.
_TELLING = {
    "representation.interactions.0.interatomic_context_net.0.weight": "PaiNN",
    "representation.interactions.0.filter_network.0.weight": "SchNet",
}
_BASES = {"GaussianRBF", "GaussianRBFCentered", "BesselRBF"}
_CUTOFFS = {"CosineCutoff", "MollifierCutoff", "SwitchFunction"}
_HARMLESS_INPUTS = {"PairwiseDistances", "Strain"}
# Output modules that make no energy: derivatives of it, and properties that are computed beside it.
_BESIDE_ENERGY = {"Forces", "Response", "DipoleMoment", "Polarizability"}


@dataclass
class Translation:
    """A network of schnetpack in Assay's form.

    Attributes:
        architecture: "schnetpack-painn" or "schnetpack-schnet".
        hyperparameters: all that ``build_model`` needs.
        sources: where each was read: "shapes", "tensors", "module <path>" or "assumed".
        tensors: the state dict under Assay's names.
        notes: sentences on what was assumed or left aside.
        unknown: names of tensors that belong to nothing that is computed.
    """

    architecture: str
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def set(self, source: str, **values: Any) -> None:
        """Note hyperparameters that one source tells."""
        self.hyperparameters |= values
        self.sources |= dict.fromkeys(values, source)


def module_parts(container: Container, state: StateDict) -> dict[str, ModulePart] | None:
    """The parts of the pickled module that ``state`` belongs to, by paths as in its names; None if there is none."""
    for _, entries in nested_dicts(container.content):
        if not isinstance(entries, ModuleContents):
            continue
        for path in entries.parts:
            prefix = path.removesuffix("representation")
            if path == f"{prefix}representation" and (not prefix or prefix.endswith(".")):
                parts = {
                    name.removeprefix(prefix): part for name, part in entries.parts.items() if name.startswith(prefix)
                }
                parts.setdefault("", entries.parts[prefix.removesuffix(".")])
                if all(name.rpartition(".")[0] in parts for name in state.tensors):
                    return parts
    return None


def translate(
    state: StateDict,
    parts: Mapping[str, ModulePart] | None,
    path: Path,
    units: Mapping[str, str] | None = None,
) -> Translation:
    """Read a network of schnetpack from its tensors and, where there are some, the parts of its module.

    Args:
        state: the tensors by schnetpack's names.
        parts: the parts of its module by their paths, or None.
        path: the file, for messages.
        units: the units of "energy" and "length" of the data that it was trained on; eV and angstrom if not given.

    Raises:
        AssayError: some part of it is none that Assay computes, or tensors are missing.
    """
    reader = Reader(state, parts, path)
    check_version(reader)
    kind = reader.class_of("representation")
    if kind is None:
        kind = next((kind for name, kind in _TELLING.items() if name in reader.left), "network of unknown tensors")
    if kind not in _REPRESENTATIONS:
        raise reader.refusal(f"its representation is a {kind}, and Assay computes {' and '.join(_REPRESENTATIONS)}")
    result = Translation(_REPRESENTATIONS[kind])
    if parts is None:
        result.notes.append("It holds tensors alone: what they do not show is assumed to be as schnetpack sets it.")
    _read_embedding(reader, result)
    _read_radial(reader, result)
    (_read_painn if kind == "PaiNN" else _read_schnet)(reader, result)
    _read_energy(reader, result)
    _convert(result, units)
    result.unknown = list(reader.left)
    return result


class Reader:
    """The tensors and parts of one network, and which tensors are not yet used.

    Args:
        state: the tensors by schnetpack's names.
        parts: the parts of the module by their paths, or None.
        path: the file, for messages.
    """

    def __init__(self, state: StateDict, parts: Mapping[str, ModulePart] | None, path: Path):
        self.left = dict(state.tensors)
        self.parts, self.path = parts, path

    def refusal(self, reason: str) -> AssayError:
        """What to raise of a network that is not computed, for this reason."""
        return AssayError(f"{self.path} is a model of schnetpack that Assay does not compute: {reason}")

    def take(self, name: str, dimensions: int | None = None) -> Tensor:
        """A tensor, which then counts as used."""
        if name not in self.left:
            raise AssayError(f"{self.path} lacks {name!r}, which its network has: save the whole model or state dict")
        tensor = self.left.pop(name)
        if dimensions is not None and tensor.dim() != dimensions:
            raise AssayError(f"{self.path} holds {name!r} of shape {list(tensor.shape)}: save it again")
        return tensor

    def number(self, name: str) -> float:
        """A tensor of one element as a number."""
        tensor = self.take(name)
        if tensor.numel() != 1:
            raise self.refusal(f"its {name} is no single number")
        return tensor.item()

    def setting(self, name: str) -> float:
        """A tensor of one element as the number of fewest digits that it can stand for."""
        dtype, value = self.left[name].dtype if name in self.left else torch.float32, self.number(name)
        shortest = (float(f"{value:.{digits}g}") for digits in range(1, 18))
        return next((number for number in shortest if torch.tensor(number, dtype=dtype).item() == value), value)

    def class_of(self, path: str) -> str | None:
        """The bare name of the class of a part; None where there is none."""
        part = None if self.parts is None else self.parts.get(path)
        return None if part is None else part.name.rpartition(".")[2]

    def attribute(self, path: str, name: str) -> Any:
        """An attribute of a part; None where there is none."""
        part = None if self.parts is None else self.parts.get(path)
        return None if part is None else part.attributes.get(name)

    def children(self, path: str) -> list[str]:
        """Numbers of the members of a list of modules, in order, from parts or tensors."""
        names = [*(self.parts or ()), *self.left]
        found = {match[1] for name in names if (match := re.match(rf"{re.escape(path)}\.(\d{{1,6}})(?:\.|$)", name))}
        return sorted(found, key=int)


def _read_embedding(reader: Reader, result: Translation) -> None:
    if any(name.startswith("representation.electronic_embeddings.") for name in reader.left):
        raise reader.refusal("it depends on the charge or spin of a structure (electronic embeddings)")
    if "representation.embedding.element_embedding" in reader.left:
        table = reader.take("representation.embedding.element_embedding", 2).double()
        configuration = reader.take("representation.embedding.electron_config", 2).double()
        weight = reader.take("representation.embedding.config_linear.weight", 2).double()
        if configuration.shape != (len(table), weight.shape[1]) or len(weight) != table.shape[1]:
            raise reader.refusal("its nuclear embedding and its table of electrons do not fit together")
        table = table + configuration @ weight.T
    else:
        table = reader.take("representation.embedding.weight", 2)
    result.tensors["embedding.weight"] = table
    result.set("shapes", hidden=table.shape[1], max_z=len(table) - 1)


def _read_radial(reader: Reader, result: Translation) -> None:
    stem = "representation.radial_basis"
    kind = reader.class_of(stem)
    if kind is not None and kind not in _BASES:
        raise reader.refusal(f"its radial basis is a {kind}, and Assay computes {', '.join(sorted(_BASES))}")
    if f"{stem}.freqs" in reader.left:
        result.tensors["radial.frequencies"] = values = reader.take(f"{stem}.freqs", 1)
        basis = "bessel"
    else:
        result.tensors["radial.centers"] = reader.take(f"{stem}.offsets", 1)
        result.tensors["radial.widths"] = values = reader.take(f"{stem}.widths", 1)
        basis = "gaussian"
        if bool((values == 0).any()):
            raise reader.refusal("a Gaussian of its radial basis has the width 0")
    result.set("shapes", n_rbf=len(values))
    result.set("tensors", radial_basis=basis)

    stem = "representation.cutoff_fn"
    kind = reader.class_of(stem)
    if kind is not None and kind not in _CUTOFFS:
        raise reader.refusal(f"its cutoff function is a {kind}, and Assay computes {', '.join(sorted(_CUTOFFS))}")
    if f"{stem}.switch_off" in reader.left:
        numbers = [reader.setting(f"{stem}.{name}") for name in ("switch_on", "switch_off")]
        function, cutoff = "switch", numbers[1]
        reader.left.pop(f"{stem}.cutoff", None)
    else:
        cutoff = reader.setting(f"{stem}.cutoff")
        numbers = [reader.setting(f"{stem}.eps")] if f"{stem}.eps" in reader.left else []
        function = "mollifier" if numbers else "cosine"
    result.set("tensors", cutoff_A=cutoff, cutoff_function=function, cutoff_arguments=numbers)


def _convert(result: Translation, units: Mapping[str, str] | None) -> None:
    """Bring a network that was trained in ``units`` to eV and angstrom."""
    said = {"energy": "eV", "length": "angstrom"} | dict(units or {})
    energy, length = (positive_factor(said[kind], kind) for kind in ("energy", "length"))
    known = "as variants.<name>.units says" if units else "because a file of schnetpack does not say its units"
    result.notes.insert(0, f"Energies are taken to be in {said['energy']}, distances in {said['length']}, {known}.")
    tensors, values = result.tensors, result.hyperparameters
    for name in ("energy_scale", "reference_energy"):
        tensors[name] = tensors[name] * energy
    if length == 1.0:
        return
    values["cutoff_A"] *= length
    values["cutoff_arguments"] = [number * length for number in values["cutoff_arguments"]]
    for name in tensors.keys() & {"radial.centers", "radial.widths"}:
        tensors[name] = tensors[name].double() * length
    if "radial.frequencies" in tensors:  # sin(f d) / d has the dimension of an inverse length
        tensors["radial.frequencies"] = tensors["radial.frequencies"].double() / length
        for name in [name for name in tensors if name.endswith((".filter.weight", ".filter.0.weight"))]:
            tensors[name] = tensors[name].double() * length


def _count_blocks(reader: Reader) -> int:
    blocks = reader.children("representation.interactions")
    if blocks != [str(index) for index in range(len(blocks))] or not 0 < len(blocks) <= MAX_BLOCKS:
        raise reader.refusal(f"it has {len(blocks)} interaction blocks, and Assay computes 1 to {MAX_BLOCKS}")
    return len(blocks)


def _read_painn(reader: Reader, result: Translation) -> None:
    hidden, n_blocks = result.hyperparameters["hidden"], _count_blocks(reader)
    weight = reader.take("representation.filter_net.weight", 2)
    bias = reader.take("representation.filter_net.bias", 1)
    if len(weight) not in (3 * hidden, 3 * hidden * n_blocks) or len(bias) != len(weight):
        raise AssayError(
            f"{reader.path} holds a 'representation.filter_net' of {len(weight)} rows, but the interactions of "
            f"{n_blocks} blocks with {hidden} features, which have {3 * hidden * n_blocks}, or share {3 * hidden}: "
            "save the whole state dict with torch.save, because other ways leave out tensors that blocks share"
        )
    shared_filters = n_blocks > 1 and len(weight) == 3 * hidden
    for index in range(1 if shared_filters else n_blocks):
        rows = slice(3 * hidden * index, 3 * hidden * (index + 1))
        result.tensors[f"blocks.{index}.filter.weight"] = weight[rows].clone()
        result.tensors[f"blocks.{index}.filter.bias"] = bias[rows].clone()
    places = {
        "interactions.{}.interatomic_context_net.0": "context.0",
        "interactions.{}.interatomic_context_net.1": "context.2",
        "mixing.{}.mu_channel_mix": "mix",
        "mixing.{}.intraatomic_context_net.0": "update.0",
        "mixing.{}.intraatomic_context_net.1": "update.2",
    }
    _read_blocks(reader, result, n_blocks, places, "silu")
    result.set("shapes", shared_filters=shared_filters)
    if reader.parts is None:
        result.set("assumed", epsilon=1e-8)
        return
    epsilon = reader.attribute("representation.mixing.0", "epsilon")
    if not isinstance(epsilon, int | float) or not 0.0 < epsilon < 1.0:
        raise reader.refusal(f"its norms have the epsilon {epsilon!r}, with which they have no gradient at zero")
    result.set("module representation.mixing.0", epsilon=float(epsilon))


def _read_schnet(reader: Reader, result: Translation) -> None:
    n_blocks = _count_blocks(reader)
    places = {
        "interactions.{}.in2f": "in2f",
        "interactions.{}.filter_network.0": "filter.0",
        "interactions.{}.filter_network.1": "filter.2",
        "interactions.{}.f2out.0": "f2out.0",
        "interactions.{}.f2out.1": "f2out.2",
    }
    _read_blocks(reader, result, n_blocks, places, "shifted_softplus")
    result.set("shapes", n_filters=len(result.tensors["blocks.0.in2f.weight"]))


def _read_blocks(reader: Reader, result: Translation, n_blocks: int, places: Mapping[str, str], default: str) -> None:
    """Take the layers of all blocks and their activation. Of blocks with the same tensors the first alone is kept.

    Args:
        reader: the network.
        result: what is read of it.
        n_blocks: the number of blocks.
        places: the layers, by schnetpack's names with {} for the block, and by Assay's. Those that end in .0 have an
            activation.
        default: the activation where nobody says otherwise.
    """
    blocks = []
    for index in range(n_blocks):
        layers = {ours: f"representation.{theirs.format(index)}" for theirs, ours in places.items()}
        names = {
            f"{ours}.{kind}": f"{theirs}.{kind}"
            for ours, theirs in layers.items()
            for kind in ("weight", "bias")
            if kind == "weight" or f"{theirs}.bias" in reader.left
        }
        blocks.append({ours: reader.take(theirs) for ours, theirs in names.items()})
    first, *others = blocks
    shared = bool(others) and all(are_same(block, first) for block in others)
    for index, block in enumerate([first] if shared else blocks):
        result.tensors |= {f"blocks.{index}.{name}": tensor for name, tensor in block.items()}
    activated = [place for place in places if place.endswith(".0")]
    paths = [f"representation.{place.format(block)}" for block in range(n_blocks) for place in activated]
    activation, arguments, source = activation_of(reader, paths, default)
    result.set("shapes", n_blocks=n_blocks)
    result.set("tensors", shared_interactions=shared)
    result.set(source, activation=activation, activation_arguments=arguments)


def _read_energy(reader: Reader, result: Translation) -> None:
    """Take the layers of the energy, and the scale and offsets that the postprocessors give it."""
    for index in reader.children("input_modules"):
        kind = reader.class_of(f"input_modules.{index}")
        if kind is not None and kind not in _HARMLESS_INPUTS:
            raise reader.refusal(f"it changes its inputs by a {kind}")
    head, key = _energy_head(reader, result)
    layers = reader.children(f"{head}.outnet")
    widths = []
    for place, layer in enumerate(layers):
        weight = reader.take(f"{head}.outnet.{layer}.weight", 2)
        result.tensors[f"head.{2 * place}.weight"] = weight
        result.tensors[f"head.{2 * place}.bias"] = reader.take(f"{head}.outnet.{layer}.bias", 1)
        widths.append(len(weight))
    if not widths or widths[-1] != 1:
        raise reader.refusal(f"its {head} gives {widths[-1] if widths else 'no'} numbers of an atom, and not one")
    activation, arguments, source = activation_of(reader, [f"{head}.outnet.{layer}" for layer in layers[:-1]], "silu")
    result.set("shapes", head=widths[:-1])
    result.set(source, head_activation=activation, head_activation_arguments=arguments)
    scale, offsets = postprocessed(reader, result.notes, key, result.hyperparameters["max_z"])
    rows = len(offsets)
    result.tensors["embedding.weight"] = result.tensors["embedding.weight"][:rows]
    result.set("shapes", max_z=rows - 1)
    result.tensors |= {"energy_scale": torch.tensor(scale, dtype=torch.float64), "reference_energy": offsets}


def _energy_head(reader: Reader, result: Translation) -> tuple[str, str]:
    """The path of the module that makes the energy, and the key of that; others are left aside."""
    modules = [f"output_modules.{index}" for index in reader.children("output_modules")]
    if reader.parts is None:
        heads = [module for module in modules if f"{module}.outnet.0.weight" in reader.left]
        if len(heads) != 1:
            raise reader.refusal(f"{len(heads)} of its output modules could be the energy: give its pickled model")
        _leave_aside(reader, result, [module for module in modules if module != heads[0]])
        return heads[0], "energy"
    atomwise = {
        module: reader.attribute(module, "output_key") for module in modules if reader.class_of(module) == "Atomwise"
    }
    keys = [reader.attribute(module, "energy_key") for module in modules]
    keys = [key for key in keys if isinstance(key, str)] or (list(atomwise.values()) if len(atomwise) == 1 else [])
    key = keys[0] if keys else "energy"
    heads = [module for module, made in atomwise.items() if made == key]
    others = [module for module in modules if module not in heads]
    for module in others:
        kind = reader.class_of(module)
        if kind not in _BESIDE_ENERGY and module not in atomwise:
            raise reader.refusal(f"it has an output module {kind}, of which Assay knows nothing")
    if len(heads) != 1:
        raise reader.refusal(f"{len(heads)} of its output modules are an Atomwise that makes {key!r}")
    mode = reader.attribute(heads[0], "aggregation_mode")
    if mode != "sum":
        raise reader.refusal(
            f"its energy is aggregated by {mode!r} over the atoms, so that it is none of a structure: train with 'sum'"
        )
    _leave_aside(reader, result, others)
    return heads[0], key


def _leave_aside(reader: Reader, result: Translation, modules: list[str]) -> None:
    """Take no tensors of output modules on which the energy does not depend, and note which they are."""
    aside = [reader.class_of(module) or module for module in modules]
    aside = [kind for kind in aside if kind not in ("Forces", "Response")]
    if aside:
        result.notes.append(f"Left aside, because the energy does not depend on it: {', '.join(aside)}.")
    starts = tuple(f"{module}." for module in modules)
    for name in [name for name in reader.left if name.startswith(starts)]:
        del reader.left[name]
