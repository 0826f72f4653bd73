"""Reads the activations and the postprocessors of a network of schnetpack."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from assay.checkpoint.pickles import Instance, Name
from assay.models.activations import ACTIVATIONS
from assay.workflow.errors import AssayError

if TYPE_CHECKING:
    from assay.checkpoint.schnetpack import Reader

_ACTIVATIONS = {name.replace("_", ""): name for name in ACTIVATIONS} | {"swish": "silu"}
_ARGUMENTS = {
    "shifted_softplus": ("alpha", "beta"),
    "softplus": ("beta", "threshold"),
    "leaky_relu": ("negative_slope",),
    "elu": ("alpha",),
    "celu": ("alpha",),
}
_KNOWN_PACKAGES = ("torch.", "schnetpack.")
# Starts of names that no network of schnetpack 2 has.
_OF_VERSION_1 = re.compile(
    r"representation\.(?:distance_expansion|interactions\.\d+\.cutoff_network)\.|output_modules\.\d+\.out_net\."
)
_CASTS = {"CastTo64", "CastTo32", "CastMap"}


def check_version(reader: Reader) -> None:
    """Refuse a network of schnetpack 1, whose names and formulas are others.

    Raises:
        AssayError: it is one.
    """
    told = next((name for name in reader.left if _OF_VERSION_1.match(name)), None)
    if told is not None:
        raise AssayError(
            f"{reader.path} is a model of schnetpack 1 (it holds {told}), and Assay reads those of schnetpack 2 alone: "
            "train it with schnetpack 2, or judge its ASE calculator (docs/calculators.md)"
        )


def activation_of(reader: Reader, layers: Sequence[str], default: str) -> tuple[str, list[float], str]:
    """The activation behind layers, its numbers, and where both were read.

    Args:
        reader: the network.
        layers: paths of ``Dense`` layers, which must all have the same.
        default: what schnetpack uses where nobody says otherwise.

    Raises:
        AssayError: it is none that Assay computes, or they differ.
    """
    found = [_activation(reader, layer, default) for layer in layers]
    if not found:
        return default, [], "shapes"
    name, arguments, source = found[0]
    if any((other, numbers) != (name, arguments) for other, numbers, _ in found):
        raise reader.refusal(f"its layers {layers[0]} to {layers[-1]} have different activations")
    return name, arguments, source


def _activation(reader: Reader, layer: str, default: str) -> tuple[str, list[float], str]:
    module = f"{layer}.activation"
    values = {key: reader.number(f"{module}.{key}") for key in ("alpha", "beta") if f"{module}.{key}" in reader.left}
    if reader.parts is None:
        if values:
            return "shifted_softplus", [values.get("alpha", 1.0), values.get("beta", 1.0)], "tensors"
        return default, [], "assumed"
    named = reader.attribute(layer, "activation")
    part = reader.parts.get(module)
    full = part.name if part is not None else _function(named)
    name = _ACTIVATIONS.get(full.rpartition(".")[2].lower().replace("_", ""))
    if name is None or not full.startswith(_KNOWN_PACKAGES):
        raise reader.refusal(f"its activation is {full or named!r}, and Assay computes {', '.join(ACTIVATIONS)}")
    if part is None:
        return name, [], f"module {layer}"
    if name == "gelu" and part.attributes.get("approximate") == "tanh":
        name = "gelu_tanh"
    for key in _ARGUMENTS.get(name, ()):
        value = values.get(key, part.attributes.get(key))
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise reader.refusal(f"its activation {name} has no number {key!r}")
        values[key] = float(value)
    return name, [values[key] for key in _ARGUMENTS.get(name, ())], f"module {module}"


def _function(value: Any) -> str:
    """The full name of a function."""
    return value.name if isinstance(value, Name | Instance) else ""


def postprocessed(reader: Reader, notes: list[str], key: str, max_z: int) -> tuple[float, Tensor]:
    """What postprocessors make of the sum of atomic energies: a factor, and what they add for each element.

    Args:
        reader: the network.
        notes: sentences on what was assumed, to which others are added.
        key: the name of the energy.
        max_z: the largest atomic number that has an embedding.

    Returns:
        The factor, and float64 (Z + 1,), where Z is the largest atomic number for which all tables have an entry.

    Raises:
        AssayError: what they do is no such thing, or tensors alone do not tell which of them change the energy.
    """
    if reader.parts is None:
        _check_told(reader, notes)
    scale, offsets = 1.0, torch.zeros(max_z + 1, dtype=torch.float64)
    skipped = reader.attribute("", "do_postprocessing") is False
    scaled: dict[str, float] = {}
    for index in reader.children("postprocessors"):
        path = f"postprocessors.{index}"
        tensors = {
            name: reader.take(f"{path}.{name}")
            for name in ("atomref", "mean", "scale")
            if f"{path}.{name}" in reader.left
        }
        kind = reader.class_of(path) or ("ScaleProperty" if "scale" in tensors else "AddOffsets")
        if skipped or kind in _CASTS:
            continue
        if kind == "ScaleProperty":
            source, target = reader.attribute(path, "input_key"), reader.attribute(path, "output_key")
            factor = _single(reader, path, tensors, "scale")
            if reader.parts is None or source == target == key:
                scale, offsets = scale * factor, offsets * factor
            elif key in (source, target):
                raise reader.refusal(f"its {path} makes {target!r} of {source!r}")
            scaled[str(target)] = factor
        elif kind in ("AddOffsets", "RemoveOffsets"):
            if reader.parts is None or reader.attribute(path, "_property") == key:
                added = _added(reader, path, kind, tensors)
                rows = min(len(offsets), len(added)) if added.dim() else len(offsets)
                offsets = offsets[:rows] + (added[:rows] if added.dim() else added)
        else:
            raise reader.refusal(f"its postprocessor {kind} is none that Assay knows")
    if skipped:
        notes.append("Its postprocessing is switched off, so that no offset or scale was applied.")
    alike = any(target != key and factor == scale for target, factor in scaled.items())
    if reader.parts is not None and scale != 1.0 and not alike:
        notes.append(
            f"It scales the energy by {scale:g} but not the forces: Assay's forces are the gradient of that energy."
        )
    return scale, offsets


def _check_told(reader: Reader, notes: list[str]) -> None:
    """Refuse tensors that could be of several properties, and note what the one scale and offset are taken to do.

    Nothing in a state dict says which property a postprocessor changes.
    """
    changing: dict[str, list[str]] = {"a scale": [], "an offset": []}
    for index in reader.children("postprocessors"):
        path = f"postprocessors.{index}"
        tensors = {name: reader.left.get(f"{path}.{name}") for name in ("scale", "mean", "atomref")}
        values = {name: tensor.double() for name, tensor in tensors.items() if tensor is not None and tensor.numel()}
        changed = {name: value for name, value in values.items() if bool((value != (name == "scale")).any())}
        if "scale" in changed:
            changing["a scale"].append(path)
            notes.append(f"Assumed: {path} multiplies the energy by {_shown(changed['scale'])}.")
        added = [f"its {name} of {_shown(value)}" for name, value in changed.items() if name != "scale"]
        if added:
            changing["an offset"].append(path)
            notes.append(f"Assumed: {path} adds {' and '.join(added)} to the energy of each atom.")
    for what, paths in changing.items():
        if len(paths) > 1:
            raise reader.refusal(
                f"its {' and '.join(paths)} have {what} each, and a state dict does not tell which is that of the "
                "energy: give its pickled model"
            )


def _shown(values: Tensor) -> str:
    """One number, or the range of several."""
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _added(reader: Reader, path: str, kind: str, tensors: dict[str, Tensor]) -> Tensor:
    """What is added for each atom: one number, or one by atomic number."""
    verb = "add" if kind == "AddOffsets" else "remove"
    alone = reader.parts is None  # tensors do not say what is added, and schnetpack keeps zeros of what is not
    with_mean = "mean" in tensors and (alone or reader.attribute(path, f"{verb}_mean") is True)
    with_atomrefs = "atomref" in tensors and (alone or reader.attribute(path, f"{verb}_atomrefs") is True)
    if not alone and reader.attribute(path, "is_extensive") is not True:
        raise reader.refusal(f"its {path} adds the same to structures of all sizes (is_extensive is not set)")
    total = torch.zeros((), dtype=torch.float64)
    if with_mean:
        total = total + _single(reader, path, tensors, "mean")
    if with_atomrefs:
        atomref = tensors["atomref"].double()
        if atomref.dim() == 2 and atomref.shape[1] == 1:
            atomref = atomref[:, 0]
        if atomref.dim() != 1 or len(atomref) < 2:
            raise reader.refusal(f"its {path} has references of shape {list(atomref.shape)}")
        total = total + atomref
    return total if kind == "AddOffsets" else -total


def _single(reader: Reader, path: str, tensors: dict[str, Tensor], name: str) -> float:
    if name not in tensors or tensors[name].numel() != 1:
        raise reader.refusal(f"its {path} has no single number {name!r}")
    return float(tensors[name].double())
