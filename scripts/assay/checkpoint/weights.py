"""Finds the model among everything that a trainer saves.

A key such as ``module.model._orig_mod.embedding.weight`` is a wrapper's prefix and a bare name. The bare name starts at
the first part that a known network has at its root; the parts before it say which of several models the tensor belongs
to (the student, its moving average, a teacher).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from assay.checkpoint.container import Container
from assay.checkpoint.pickles import attributes
from assay.errors import AssayError

ROOTS = {
    "embedding",
    "rbf",
    "interactions",
    "energy_head",
    "radial",
    "blocks",
    "head",
    "reference_energy",
    "energy_scale",
}
BUFFERS = ("rbf.", "radial.", "reference_energy", "energy_scale")
MAX_DEPTH, MAX_DICTS = 8, 10_000

_INSIDE = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_OUTSIDE = {"model", "student", "net", "network", "online_model", "state_dict"}
_AVERAGE = re.compile(r"(^|_)(ema|swa|avg|average|averaged|shadow)(_|$)")
_NOT_THE_MODEL = re.compile(r"(^|_)(teacher|loss|losses|criterion|metric|metrics|optimizer|scheduler)(_|$)")
_BOOKKEEPING = {"n_averaged", "initted", "step", "num_updates", "decay"}
_USUAL_PLACES = ("model_state_dict", "state_dict", "model", "student", "net", "network", "")


@dataclass
class StateDict:
    """The tensors of one model.

    Attributes:
        tensors: by bare name, in the order of the file.
        where: the key of the file under which they were found, "" at its top.
        prefixes: what was stripped from names, e.g. "module.model.".
        average: whether they are a moving average (EMA, SWA).
        ignored: other keys beside them, which belong to no student.
        from_raw: names that a moving average lacks and that come from the weights it averages.
    """

    where: str
    average: bool = False
    tensors: dict[str, Tensor] = field(default_factory=dict)
    prefixes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    from_raw: list[str] = field(default_factory=list)


def find_state_dict(container: Container) -> StateDict:
    """The model that ``container`` holds: its moving average if there is one, else its weights.

    Raises:
        AssayError: no model, several that differ, or a tensor that is there twice.
    """
    found: list[StateDict] = []
    listed: list[tuple[str, list[Tensor]]] = []
    for where, entries in nested_dicts(container.content):
        found += _models(where, entries, container)
        shadow = entries.get("shadow_params")
        if isinstance(shadow, list) and shadow and all(isinstance(item, Tensor) for item in shadow):
            listed.append((f"{where}.shadow_params".lstrip("."), shadow))
    if not found:
        names = ", ".join(repr(str(key))[:40] for key in list(container.content)[:5])
        raise AssayError(
            f"{container.path} holds no weights of a student that Assay knows (it holds {names}): "
            "give a seed-painn or painn checkpoint"
        )
    raw = [state for state in found if not state.average]
    averages = [state for state in found if state.average]
    chosen = _only(averages, container) if averages else _only(raw, container)
    if averages and raw:
        _complete(chosen, _only(raw, container))
    elif listed and not averages:
        chosen = _from_list(chosen, listed[0], container)
    return chosen


def nested_dicts(content: dict) -> Iterator[tuple[str, dict]]:
    """Every dict in ``content`` once, with its dotted place, from the outside in."""
    queue: list[tuple[str, Any, int]] = [("", content, 0)]
    seen: set[int] = set()
    while queue and len(seen) < MAX_DICTS:
        where, value, depth = queue.pop(0)
        value = attributes(value)
        if not isinstance(value, dict) or id(value) in seen or depth > MAX_DEPTH:
            continue
        seen.add(id(value))
        yield where, value
        queue += [
            (f"{where}.{key}".lstrip("."), item, depth + 1) for key, item in value.items() if isinstance(key, str)
        ]


def _split(key: str) -> tuple[str, tuple[str, ...], str]:
    """Prefix that is stripped from ``key``, the parts of it that tell models apart, and the bare name."""
    parts = [part for part in key.split(".") if part not in _INSIDE]
    start = next((i for i, part in enumerate(parts) if part in ROOTS), None)
    if start is None:
        return "", (), key
    bare = ".".join(parts[start:])
    prefix = key.removesuffix(bare) if key.endswith(bare) else key[: key.index(parts[start])] + "... _orig_mod."
    return prefix, tuple(part for part in parts[:start] if part not in _OUTSIDE), bare


def _models(where: str, entries: dict, container: Container) -> list[StateDict]:
    """The models whose tensors stand in one dict."""
    tensors = {key: value for key, value in entries.items() if isinstance(key, str) and isinstance(value, Tensor)}
    groups: dict[tuple[str, ...], StateDict] = {}
    others: list[str] = []
    for key, tensor in tensors.items():
        prefix, group, bare = _split(key)
        if bare.split(".")[0] not in ROOTS or any(_NOT_THE_MODEL.search(part) for part in group):
            others.append(key)
            continue
        named = [*where.split("."), *group]
        if any(_NOT_THE_MODEL.search(part) for part in named):
            continue
        average = "n_averaged" in tensors or any(_AVERAGE.search(part) for part in named)
        state = groups.setdefault(group, StateDict(where, average))
        if bare in state.tensors:
            raise AssayError(
                f"{container.path} holds {bare!r} twice (once as {key!r}), apart from prefixes: keep one model"
            )
        state.tensors[bare] = tensor
        if prefix and prefix not in state.prefixes:
            state.prefixes.append(prefix)
    models = [state for state in groups.values() if _looks_like_a_student(state.tensors)]
    for state in models:
        for key in others:
            known = key in _BOOKKEEPING or any(_NOT_THE_MODEL.search(part) for part in key.split(".")[:-1])
            if known:
                state.ignored.append(key)
            else:
                state.tensors[key] = tensors[key]
    return models


def _looks_like_a_student(tensors: dict[str, Tensor]) -> bool:
    return any(name.startswith(("interactions.", "blocks.")) for name in tensors)


def _only(states: list[StateDict], container: Container) -> StateDict:
    """The one of ``states`` at the most usual place, or any if they are equal."""

    def rank(state: StateDict) -> int:
        return _USUAL_PLACES.index(state.where) if state.where in _USUAL_PLACES else len(_USUAL_PLACES)

    best = [state for state in states if rank(state) == min(map(rank, states))]
    first = best[0]
    for other in best[1:]:
        same = first.tensors.keys() == other.tensors.keys()
        if not same or not all(torch.equal(first.tensors[name], other.tensors[name]) for name in first.tensors):
            places = " and ".join(repr(state.where or "the top") for state in (first, other))
            raise AssayError(f"{container.path} holds two different models, under {places}: keep one of them")
    return first


def _complete(average: StateDict, raw: StateDict) -> None:
    """Add the buffers that ``average`` lacks: they are not averaged, and the raw weights have them."""
    for name, tensor in raw.tensors.items():
        if name not in average.tensors and name.startswith(BUFFERS):
            average.tensors[name] = tensor
            average.from_raw.append(name)


def _from_list(raw: StateDict, listed: tuple[str, list[Tensor]], container: Container) -> StateDict:
    """The moving average that torch_ema keeps as a list in the order of the parameters."""
    where, values = listed
    names = [name for name in raw.tensors if not name.startswith(BUFFERS)]
    if [raw.tensors[name].shape for name in names] != [value.shape for value in values]:
        raise AssayError(
            f"{container.path} holds an average under {where!r} that does not match its weights: "
            "save the averaged weights by name"
        )
    average = StateDict(where, True, dict(zip(names, values, strict=True)), raw.prefixes, raw.ignored)
    _complete(average, raw)
    return average
