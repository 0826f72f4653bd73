"""The model file, ``model.assay``: a network as the compiled engine reads it.

``model_file.h`` has the layout. The file is flat and holds numbers and JSON alone, with a SHA-256 of every part.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from assay.models import PaiNN, Potential, SchnetpackPaiNN
from assay.models.painn import Block
from assay.models.repulsion import contact_radii
from assay.runtime.network_constants import (
    ACTIVATIONS,
    CHARGE_POWER,
    ENVELOPES,
    INTEGERS,
    MAGIC,
    MAX_HEAD,
    PARTS,
    REALS,
    SOFTPLUS_IS_LINEAR_FROM,
    VERSION,
)

Network = PaiNN | SchnetpackPaiNN

ALIGNMENT_bytes = 64

RADIAL_BASES = ("gaussian", "bessel")

# The numbers that activations take in the engine, which are their usual ones.
ACTIVATION_ARGUMENTS = {"silu": (), "softplus": (1.0, SOFTPLUS_IS_LINEAR_FROM), "shifted_softplus": (1.0, 1.0)}


def why_not_computed(model: Potential) -> str | None:
    """Say why the engine cannot compute a network on any machine; None where it can."""
    if not isinstance(model, Network):
        return f"it computes painn and schnetpack-painn, not {model.architecture}"
    h = hyperparameters(model)
    for name in ("activation", "head_activation"):
        usual = ACTIVATION_ARGUMENTS.get(h[name])
        if usual is None or tuple(h[f"{name}_arguments"]) != usual[: len(h[f"{name}_arguments"])]:
            return f"it computes the activations {', '.join(ACTIVATIONS)} with their usual numbers, not {h[name]}"
    if model.radial.kind not in RADIAL_BASES:
        return f"it computes the radial bases {', '.join(RADIAL_BASES)}, not {model.radial.kind}"
    if len(h["head"]) > MAX_HEAD:
        return f"it computes at most {MAX_HEAD} hidden layers of the head, not {len(h['head'])}"
    return None


def to_bytes(model: Potential, metadata: Mapping[str, Any], elements: Collection[int] | None = None) -> bytes:
    """Return the content of a model file.

    A network that the engine does not compute becomes a file of metadata alone, which the engine refuses.

    Args:
        model: the network; its numbers are stored as they are.
        metadata: what the file says about itself, of plain types.
        elements: atomic numbers that the network was trained on; None for all that it has an embedding of.
    """
    parts = dict.fromkeys(PARTS, b"") | {"metadata": json.dumps(metadata).encode()}
    if why_not_computed(model) is None:
        network = cast(Network, model)
        parts |= {
            "settings": _settings(network),
            "elements": _elements(network, elements).tobytes(),
            "radial": _radial(network).tobytes(),
            "parameters": torch.cat([p.detach().reshape(-1) for p in parameters(network)]).numpy().tobytes(),
        }
    return assembled(parts)


def assembled(parts: Mapping[str, bytes]) -> bytes:
    """Put parts behind a header that lists them."""
    entries, body = [], b""
    start = len(MAGIC) + 8 + 64 * len(parts) + 32
    for name, content in parts.items():
        body += bytes(-(start + len(body)) % ALIGNMENT_bytes)
        digest = hashlib.sha256(content).digest()
        entries.append(struct.pack("<16sQQ32s", name.encode(), start + len(body), len(content), digest))
        body += content
    header = MAGIC + struct.pack("<II", VERSION, len(parts)) + b"".join(entries)
    return header + hashlib.sha256(header).digest() + body


def hyperparameters(model: Network) -> dict[str, Any]:
    """The hyperparameters by the names that PaiNN has for them, those that only one of the networks has besides."""
    h = model.hyperparameters | {"envelope_begin_A": 0.0, "envelope_end_A": model.cutoff}
    if isinstance(model, PaiNN):
        return h | {"head_activation": h["activation"], "activation_arguments": [], "head_activation_arguments": []}
    h |= dict.fromkeys(("repulsion", "floor", "from_contact"), False)
    h |= {"envelope": h["cutoff_function"], "filter_bias": True, "rank": 1, "pair_elements": []}
    if h["envelope"] == "mollifier":
        h["envelope_end_A"] = model.cutoff - h["cutoff_arguments"][0]
    elif h["envelope"] == "switch":
        h["envelope_begin_A"], h["envelope_end_A"] = h["cutoff_arguments"]
    return h


def parameters(model: Network) -> Iterator[nn.Parameter]:
    """The parameters in the order of the engine, those of layers that blocks share once for each block."""
    for layer in _layers(model):
        yield from layer.parameters()


def _layers(model: Network) -> Iterator[nn.Module]:
    yield model.embedding
    for block in cast(Iterable[Block], model.blocks):
        layers = (block.filter, block.context, block.mix, block.mix_tensors, block.update)
        yield from (layer for layer in layers if layer is not None)
    yield model.head
    if isinstance(model, PaiNN) and model.pair_energies is not None:
        yield model.pair_energies


def _settings(model: Network) -> bytes:
    """``Hyperparameters``, as ``constants.header`` declares it."""
    h = hyperparameters(model)
    values = {
        **h,
        "gaussian": h["radial_basis"] == "gaussian",
        "envelope": ENVELOPES.index(h["envelope"]),
        "activation": ACTIVATIONS.index(h["activation"]),
        "head_activation": ACTIVATIONS.index(h["head_activation"]),
        "parameter_bits": 8 * next(model.parameters()).element_size(),
        "n_pair_elements": len(h["pair_elements"]),
        "n_head": len(h["head"]),
        "cutoff": h["cutoff_A"],
        "envelope_begin": h["envelope_begin_A"],
        "envelope_end": h["envelope_end_A"],
        "energy_scale": float(model.energy_scale),
    }
    head = [*h["head"], *[0] * (MAX_HEAD - len(h["head"]))]
    integers = [int(values[name]) for name in INTEGERS] + head
    return struct.pack(f"<{len(integers)}q{len(REALS)}d", *integers, *(float(values[name]) for name in REALS))


def _radial(model: Network) -> np.ndarray:
    """The centers and widths of Gaussians, or the frequencies of sines and ones; float64 (2, R)."""
    radial = model.radial
    first, second = (
        (radial.centers, radial.widths) if radial.kind == "gaussian" else (radial.frequencies, radial.frequencies**0)
    )
    return torch.stack([first, second]).double().numpy()


def _elements(model: Network, elements: Collection[int] | None) -> np.ndarray:
    """What the file holds by atomic number, float64 (6, max_z + 1); see ``model_file.h``."""
    count = model.max_z + 1
    powers = torch.tensor([float(z) ** CHARGE_POWER for z in range(count)], dtype=torch.float64)
    radii, kept = torch.zeros_like(powers), powers  # schnetpack's network has no use for them
    if isinstance(model, PaiNN):
        radii = contact_radii(model.max_z, model.cutoff).double()
        if model.repulsion is not None:
            kept = model.repulsion.screening.double()
    places = torch.zeros_like(powers)
    if isinstance(model, PaiNN) and model.pair_energies is not None:
        places = model.pair_energies.place.double()
    known = torch.tensor([elements is None or z in elements for z in range(count)], dtype=torch.float64)
    return torch.stack([radii, powers, kept, model.reference_energy.double(), known, places]).numpy()
