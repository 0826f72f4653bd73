"""Structured pruning: whole channels of a PaiNN are taken out, so that a narrower PaiNN remains.

All blocks share the channels of scalars, vectors and tensors, for products couple them index by index: one set of
channels is kept everywhere. The hidden units of each atom-wise network are a set of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from assay.models import PaiNN, build_model
from assay.runtime.network_constants import N_FILTERS, N_GATES
from assay.training.loss import LossGradients
from assay.training.packs import Pack
from assay.workflow.errors import AssayError

CHANNELS = "channels"


class Axis(NamedTuple):
    """An axis of a parameter that consists of ``chunks`` rows of units, one row after the other, all of one ``set``."""

    axis: int
    chunks: int
    set: str


def layout(model: PaiNN) -> dict[str, list[Axis]]:
    """The axes of each parameter that run over channels, or over the units of a hidden layer."""
    found = {"embedding.weight": [Axis(1, 1, CHANNELS)], "head.0.weight": [Axis(1, 1, CHANNELS)]}
    n_filters, n_gates = N_FILTERS[model.rank], N_GATES[model.rank]
    for k in range(len(model.blocks)):
        for network, n_in, n_out in (("context", 1, n_filters), ("update", model.rank + 1, n_gates)):
            name = hidden = f"blocks.{k}.{network}"
            found[f"{name}.0.weight"] = [Axis(0, 1, hidden), Axis(1, n_in, CHANNELS)]
            found[f"{name}.0.bias"] = [Axis(0, 1, hidden)]
            found[f"{name}.2.weight"] = [Axis(0, n_out, CHANNELS), Axis(1, 1, hidden)]
            found[f"{name}.2.bias"] = [Axis(0, n_out, CHANNELS)]
        for name in ("weight", "bias"):
            found[f"blocks.{k}.filter.{name}"] = [Axis(0, n_filters, CHANNELS)]
        for name in ("mix", "mix_tensors"):
            found[f"blocks.{k}.{name}.weight"] = [Axis(0, 2, CHANNELS), Axis(1, 1, CHANNELS)]
    return {name: axes for name, axes in found.items() if name in dict(model.named_parameters())}


def importance(model: PaiNN, gradients: LossGradients, packs: Iterable[Pack]) -> dict[str, Tensor]:
    """How much the loss would change without each channel, to first order.

    P. Molchanov et al., "Importance estimation for neural network pruning", CVPR 2019: the mean over packs of
    (sum of weight times gradient over all weights of a channel)^2.

    Args:
        model: the network.
        gradients: its loss and gradients, in the order of ``model.parameters()``.
        packs: packs of training structures.

    Returns:
        One number for each unit (H,), by set.
    """
    parameters, axes = dict(model.named_parameters()), layout(model)
    totals: dict[str, Tensor] = {}
    for pack in packs:
        _, found = gradients(list(parameters.values()), pack)
        first: dict[str, Tensor] = {}
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True):
            product = (parameter * gradient).detach().double()
            for axis, chunks, name_of_set in axes.get(name, []):
                others = [k for k in range(product.dim()) if k != axis]
                along = product.sum(others) if others else product
                first[name_of_set] = first.get(name_of_set, 0.0) + along.view(chunks, -1).sum(0)
        for name_of_set, values in first.items():
            totals[name_of_set] = totals.get(name_of_set, 0.0) + values**2
    return totals


def prune(model: PaiNN, scores: dict[str, Tensor], channels: int) -> PaiNN:
    """The network of the ``channels`` highest scores of each set.

    Raises:
        AssayError: the network has fewer channels.
    """
    if channels > model.hyperparameters["hidden"]:
        raise AssayError(
            f"a student of {model.hyperparameters['hidden']} channels cannot be pruned to {channels}: "
            "ask for fewer in `compress.channels`"
        )
    kept = {name: score.topk(channels).indices.sort().values for name, score in scores.items()}
    axes, state = layout(model), dict(model.state_dict())
    for name, of_parameter in axes.items():
        for axis, chunks, name_of_set in of_parameter:
            width = state[name].shape[axis] // chunks
            index = torch.cat([chunk * width + kept[name_of_set] for chunk in range(chunks)])
            state[name] = state[name].index_select(axis, index)
    pruned = build_model(model.architecture, model.hyperparameters | {"hidden": channels})
    pruned.load_state_dict(state)
    assert isinstance(pruned, PaiNN)
    return pruned
