"""Finds the model among everything that a trainer saves.

A key such as ``module.model._orig_mod.embedding.weight`` is a wrapper's prefix and a bare name. The bare name starts at
the first part that a known network has at its root; the parts before it say which of several models the tensor belongs
to (the student, its moving average, a teacher).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assay.checkpoint.container import Container
from assay.checkpoint.pickles import attributes
from assay.workflow.errors import AssayError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# First parts of the names in a student's state dict, and the starts of names that are buffers.
ROOTS = frozenset(
    ("embedding", "rbf", "interactions", "energy_head", "radial", "blocks", "head", "reference_energy", "energy_scale")
)
BUFFERS = ("rbf.", "radial.", "reference_energy", "energy_scale")
MAX_DEPTH, MAX_DICTS = 8, 10_000

_INSIDE = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_OUTSIDE = {"model", "student", "net", "network", "online_model", "state_dict"}
_AVERAGE = re.compile(r"(^|_)(ema|swa|avg|average|averaged|shadow)(_|$)", re.IGNORECASE)
_NOT_THE_MODEL = re.compile(
    r"(^|_)(teacher|loss|losses|criterion|metric|metrics|optimizer|scheduler)(_|$)", re.IGNORECASE
)
_BOOKKEEPING = {"n_averaged", "initted", "step", "num_updates", "decay"}
_USUAL_PLACES = ("model_state_dict", "state_dict", "model", "student", "net", "network", "")


@dataclass
class StateDict:
    """The tensors of one model.

    Attributes:
        where: the key of the file under which they were found, "" at its top.
        average: whether they are a moving average (EMA, SWA).
        tensors: by bare name, in the order of the file.
        stripped: the parts that names lost, e.g. "module.".
        ignored: what was left aside: a teacher, a loss, the counter of an average, another model by its place.
        unknown: keys beside them that nobody knows.
        from_raw: names that a moving average lacks and that come from the weights it averages.
    """

    where: str
    average: bool = False
    tensors: dict[str, Tensor] = field(default_factory=dict)
    stripped: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
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
        names = ", ".join(repr(key[:40]) for key in container.content if isinstance(key, str))[:200]
        raise AssayError(
            f"{container.path} holds no weights of a student that Assay knows (it holds {names or 'nothing by name'}): "
            "give a seed-painn or painn checkpoint"
        )
    raw = [state for state in found if not state.average]
    averages = [state for state in found if state.average]
    chosen = _only(averages, container) if averages else _only(raw, container)
    if averages and raw:
        _complete(chosen, _only(raw, container))
    elif listed and not averages:
        chosen = _from_list(chosen, listed[0], container)
    chosen.ignored += sorted({state.where for state in found} - {chosen.where, ""})
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


def plain(name: str, tensor: Tensor, path: Path) -> Tensor:
    """``tensor`` without whatever else hangs on it, contiguous, on the CPU.

    Raises:
        AssayError: it is not a dense tensor of floats whose elements all have their own place in the file.
    """
    if (
        type(tensor) not in (Tensor, torch.nn.Parameter)
        or tensor.layout != torch.strided
        or tensor.is_quantized
        or tensor.is_nested
    ):
        raise AssayError(f"{path} holds {name!r} as a sparse, quantized or special tensor: save plain float weights")
    if tensor.dtype not in FLOATS:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise AssayError(f"{path} holds {name!r} as {kind}: save weights of 16, 32 or 64-bit floats")
    tensor = Tensor.detach(tensor)
    if tensor.device.type != "cpu" or _overlaps(tensor):
        raise AssayError(f"{path} holds {name!r} with elements that share their place in the file: save plain weights")
    return tensor.contiguous()


def _overlaps(tensor: Tensor) -> bool:
    """Whether strides lead to some place twice, as no weights of a training do: an expanded or damaged tensor."""
    reach = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride < reach:
            return True
        reach += stride * (size - 1)
    return False


def _split(key: str) -> tuple[list[str], tuple[str, ...], str]:
    """The parts that ``key`` loses, those among them that tell models apart, and the bare name; "" if it has none."""
    parts = key.split(".")
    start = next((i for i, part in enumerate(parts) if part in ROOTS), None)
    if start is None:
        return [], (), ""
    lost = parts[:start] + [part for part in parts[start:] if part in _INSIDE]
    group = tuple(part for part in parts[:start] if part not in _INSIDE | _OUTSIDE)
    return lost, group, ".".join(part for part in parts[start:] if part not in _INSIDE)


def _models(where: str, entries: dict, container: Container) -> list[StateDict]:
    """The models whose tensors stand in one dict."""
    keys = [key for key, value in entries.items() if isinstance(key, str) and isinstance(value, Tensor)]
    if any(_NOT_THE_MODEL.search(part) for part in where.split(".")):
        return []
    averaged = "n_averaged" in keys or any(_AVERAGE.search(part) for part in where.split("."))
    groups: dict[tuple[str, ...], StateDict] = {}
    members: dict[tuple[str, ...], list[str]] = {}
    for key in keys:
        lost, group, bare = _split(key)
        if not bare or any(_NOT_THE_MODEL.search(part) for part in group):
            continue
        average = averaged or any(_AVERAGE.search(part) for part in group)
        state = groups.setdefault(group, StateDict(where, average))
        members.setdefault(group, []).append(key)
        if bare in state.tensors:
            raise AssayError(
                f"{container.path} holds {bare!r} twice (once as {key!r}), apart from prefixes: keep one model"
            )
        state.tensors[bare] = entries[key]
        state.stripped += [f"{part}." for part in lost if f"{part}." not in state.stripped]
    models = {group: state for group, state in groups.items() if _looks_like_a_student(state.tensors)}
    known = {key for group in models for key in members[group]}
    for state in models.values():
        state.tensors = {name: plain(name, tensor, container.path) for name, tensor in state.tensors.items()}
        for key in keys:
            if key not in known:
                (state.ignored if _belongs_elsewhere(key) else state.unknown).append(key)
    return list(models.values())


def _belongs_elsewhere(key: str) -> bool:
    return key in _BOOKKEEPING or any(_NOT_THE_MODEL.search(part) for part in key.split("."))


def _looks_like_a_student(tensors: dict[str, Tensor]) -> bool:
    return any(name.startswith(("interactions.", "blocks.")) for name in tensors)


def _only(states: list[StateDict], container: Container) -> StateDict:
    """The one of ``states`` at the most usual place, or any if they are equal."""

    def rank(state: StateDict) -> int:
        place = state.where.rpartition(".")[2]
        return _USUAL_PLACES.index(place) if place in _USUAL_PLACES else len(_USUAL_PLACES)

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
    values = [plain(f"{where}[{index}]", value, container.path) for index, value in enumerate(values)]
    if [raw.tensors[name].shape for name in names] != [value.shape for value in values]:
        raise AssayError(
            f"{container.path} holds an average under {where!r} that does not match its weights: "
            "save the averaged weights by name"
        )
    tensors = dict(zip(names, values, strict=True))
    average = StateDict(where, True, tensors, raw.stripped, raw.ignored, raw.unknown)
    _complete(average, raw)
    return average
