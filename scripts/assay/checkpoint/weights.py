"""Finds the model among everything that a trainer saves.

A key such as ``module.model._orig_mod.embedding.weight`` is a wrapper's prefix and a bare name. The bare name starts at
the first part that a known network has at its root; the parts before it say which of several models the tensor belongs
to (the student, its moving average, a teacher).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assay.checkpoint.container import Container
from assay.checkpoint.sections import OF_BEST, dotted, has_word, in_words
from assay.checkpoint.stated_statistics import is_neutral_buffer
from assay.checkpoint.tensors import is_tensor_record
from assay.workflow.errors import AssayError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# First parts of the names in a student's state dict, and the starts of names that are buffers.
ROOTS = frozenset((
    "embedding", "rbf", "interactions", "energy_head", "radial", "blocks", "head", "pair_energies", "reference_energy",
    "energy_scale",
))  # fmt: skip
SCHNETPACK_ROOTS = frozenset(("representation", "input_modules", "output_modules", "postprocessors"))
SCHNETPACK_BASIS = "representation.radial_basis."  # trained in some networks
DERIVED = ("rbf.", "radial.")  # buffers that follow from the hyperparameters
BUFFERS = (
    *DERIVED, "reference_energy", "energy_scale", "pair_energies.elements", "postprocessors.",
    "representation.cutoff_fn.", SCHNETPACK_BASIS,
)  # fmt: skip
MAX_DEPTH, MAX_DICTS = 8, 10_000
MAX_TENSORS = 100_000  # names of tensors in all dicts together
MAX_PARTS = 50  # parts of a name between dots

_INSIDE = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_OUTSIDE = {"model", "student", "net", "network", "online_model", "state_dict"}
# Words of the parts of a dotted place, e.g. "callbacks.EMA", "optimizer_states[0].ema" or "emaModel".
_AVERAGE = re.compile(r"(?:^|_)(?:ema|ewma|swa|avg|average|averaged|shadow|polyak)\d*(?:_|$)")
# Words of what was put aside while the average stood in the model.
_ASIDE = re.compile(r"(?:^|_)(?:non|no|not|without|before|pre|backup|original|raw)(?:_|$)")
_NOT_THE_MODEL = re.compile(
    r"(?:^|_)(?:teacher|loss|losses|criterion|metric|metrics|opt|optim|optimizers?|exp_avg|momentum_buffer|scheduler)"
    r"\d*(?:_|$)"
)
# Words of what changes weights that it stands beside, as LoRA does, and of what may do so.
_LORA = re.compile(r"(?:^|_)(?:q?lora|dora|loha|hada|lokr|ia3|b?oft|vera|lycoris|peft)\d*(?:_|$)")
_ADAPTER = re.compile(r"(?:^|_)adapters?\d*(?:_|$)")
# Words of adapters that only a training has, from the features of its student to those of a teacher.
_OF_TRAINING = re.compile(r"(?:^|_)(?:feat|features?|hints?|kd|distil\w*|domain)\d*(?:_|$)")
# Small tensors that a task keeps beside its network: weights of a loss, scores.
_OF_TASK = re.compile(
    r"(?:^|[_.])(?:(?:task|energy|forces?|stress|virial)_weights?|log_(?:vars?|sigmas?))$"
    r"|(?:^|\.)(?:train|val|valid|validation|test)_(?:\w+_)?(?:mae|rmse|mse|r2|acc|accuracy|errors?)(?:\.|$)"
    r"|(?:^|\.)best_(?:val|valid|score|epoch|mae|rmse)(?:_\w+)?$"
)
MAX_OF_TASK = 16  # numbers of one
# Of torch and Lightning, of ema-pytorch, of torch_ema, of diffusers, of YOLO.
_COUNTERS = ("n_averaged", "initted", "num_updates", "optimization_step", "updates")
_LIGHTNING_COUNTERS = "averaging_state"  # where Lightning's WeightAveraging keeps them, beside the state dict
STEPS_OF_MMENGINE = "steps"  # the counter in a moving average of mmengine
_BOOKKEEPING = {*_COUNTERS, STEPS_OF_MMENGINE, "step", "decay"}
_PUT_ASIDE = "collected_params"  # by torch_ema, while the average stands in the model


@dataclass
class StateDict:
    """The tensors of one model.

    Attributes:
        where: the key of the file under which they were found, "" at its top.
        average: whether they are a moving average (EMA, SWA), by the names in the file.
        tensors: the tensors by their bare names, in the order of the file.
        stripped: the parts that names lost, e.g. "module.".
        ignored: keys beside them that belong to something else: a teacher, a loss, the counter of an average.
        unknown: keys beside them that nobody knows.
        from_raw: names that a moving average lacks and that come from the weights it averages.
        group: the parts of their names that tell them from another model in the same dict, e.g. "ema_model".
        trained: starts of names that are parameters in this model, and buffers in others.
        not_begun: of an average, what says that it has averaged nothing yet, e.g. "n_averaged is 0"; else "".
    """

    where: str
    average: bool = False
    tensors: dict[str, Tensor] = field(default_factory=dict)
    stripped: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    from_raw: list[str] = field(default_factory=list)
    group: str = ""
    trained: tuple[str, ...] = ()
    not_begun: str = ""

    @property
    def place(self) -> str:
        """The dotted path in the file by which a user names these tensors."""
        return f"{self.where}.{self.group}".strip(".") or "the top"

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The tensors without the buffers, which are not averaged, and without second names of what has several."""
        buffers = tuple(start for start in BUFFERS if start not in self.trained)
        repeated = self.repeated
        return {
            name: tensor
            for name, tensor in self.tensors.items()
            if not name.startswith(buffers) and name not in repeated
        }

    @property
    def is_schnetpack(self) -> bool:
        """Whether they have the names of a network of schnetpack."""
        return any(name.startswith("representation.") for name in self.tensors)

    @property
    def repeated(self) -> dict[str, str]:
        """Further names of tensors, each with the first: modules of schnetpack may share their parameters."""
        first: dict[tuple[Any, ...], str] = {}
        found = {}
        for name, tensor in self.tensors.items() if self.is_schnetpack else ():
            known = first.setdefault((tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()), name)
            if known != name and tensor.numel():
                found[name] = known
        return found


@dataclass
class TensorList:
    """Parameters that a trainer keeps as a list in the order of the network.

    Attributes:
        where: the place in the file.
        average: whether its name says a moving average; otherwise they are weights that were put aside for one.
        tensors: the parameters.
        not_begun: of an average, what says that it has averaged nothing yet, e.g. "num_updates is 0"; else "".
    """

    where: str
    average: bool
    tensors: list[Tensor]
    not_begun: str = ""


def find_models(container: Container, everything: bool = False) -> tuple[list[StateDict], list[TensorList]]:
    """All models that ``container`` holds by name, and the lists of parameters beside them.

    Args:
        container: the file.
        everything: whether a teacher, and what else is not the student by its name, counts as well.

    Raises:
        AssayError: a tensor that is there twice, or is no plain tensor of floats.
    """
    found: list[StateDict] = []
    listed: list[TensorList] = []
    seen: set[int] = set()
    count = 0
    for where, entries in nested_dicts(container.content):
        count += sum(_is_tensor(value) for value in entries.values())
        if count > MAX_TENSORS:
            raise AssayError(f"{container.path} lists more than {MAX_TENSORS:,} tensors: save one model alone")
        found += _models(where, entries, container, everything)
        for key, values in entries.items():
            if isinstance(key, str) and isinstance(values, list) and values and _tells_of_average(key):
                if id(values) in seen:
                    continue
                seen.add(id(values))
                if all(isinstance(value, Tensor) for value in values):
                    average = key != _PUT_ASIDE
                    listed.append(TensorList(dotted(where, key), average, values))
    return found, listed


def adapter_in(container: Container, named: list[StateDict]) -> str:
    """The dotted place of a tensor of an adapter that is not merged into the weights; "" if there is none.

    Args:
        container: the file.
        named: the models in it. One that has all parameters which any has may be called an adapter itself. Beside a
            student by name, what is called no more than an adapter, and names no layer of the network, is one of its
            training.
    """
    parameters = {name for state in named for name in state.parameters}
    models = {state.where for state in named if state.parameters.keys() == parameters}
    is_distilled = any("student" in state.place.split(".") or "student." in state.stripped for state in named)
    for where, entries in nested_dicts(container.content):
        for key, value in entries.items() if not _is_not_the_model(where) else ():
            if not isinstance(key, str) or not _is_tensor(value) or _is_number(value):
                continue
            around, layer = "" if where in models else where, _split(key)[2]
            said, names_layer = f"{around}.{layer or key}", bool(layer) or not ROOTS.isdisjoint(around.split("."))
            of_training = has_word(_OF_TRAINING, said) or (is_distilled and not names_layer)
            if has_word(_LORA, said) or (has_word(_ADAPTER, said) and not of_training):
                return dotted(where, key)
    return ""


def counted_averages(container: Container) -> dict[str, str]:
    """What counters say of the moving averages in a dict and in all that it holds, by the place of that dict.

    "" where something was averaged; else what says that nothing was, e.g. "n_averaged is 0".
    """
    said: dict[str, dict[str, int | float]] = {}
    for where, entries in nested_dicts(container.content):
        around = where.removesuffix(_LIGHTNING_COUNTERS).removesuffix(".")
        for key, value in entries.items():
            name = _bookkeeping(key)
            number = value.item() if name and _is_number(value) else value
            if name in _COUNTERS and isinstance(number, int | float):
                place = ".".join([around, *_telling(key.split(".")[:-1])]).strip(".")
                said.setdefault(place, {})[name] = number
    return {
        place: "" if any(numbers.values()) else " and ".join(f"{name} is {numbers[name]}" for name in numbers)
        for place, numbers in said.items()
    }


def tensor_names(container: Container) -> list[str]:
    """The names of the first 100,000 different tensors, as the file spells them."""
    names: dict[str, None] = {}
    for _, entries in nested_dicts(container.content):
        names |= dict.fromkeys(key for key, value in entries.items() if isinstance(key, str) and _is_tensor(value))
        if len(names) > MAX_TENSORS:
            break
    return list(names)[:MAX_TENSORS]


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or is_tensor_record(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1


def _tells_of_average(key: str) -> bool:
    return key == _PUT_ASIDE or has_word(_AVERAGE, key)


def _is_averaged(place: str) -> bool:
    """Whether a dotted place is that of a moving average, and not of weights that were put aside for one."""
    return has_word(_AVERAGE, place) and not has_word(_ASIDE, place)


def _is_not_the_model(place: str) -> bool:
    """Whether a dotted place is that of a teacher, a loss, an optimizer and the like."""
    return any(_NOT_THE_MODEL.search(OF_BEST.sub("", in_words(part))) for part in place.split("."))


def nested_dicts(content: dict) -> Iterator[tuple[str, dict]]:
    """Every dict in ``content`` once, with its dotted place, from the outside in; members of lists by their index."""
    queue: deque[tuple[str, Any, int]] = deque([("", content, 0)])
    seen: set[int] = set()
    while queue and len(seen) < MAX_DICTS:
        where, value, depth = queue.popleft()
        if id(value) in seen or depth > MAX_DEPTH:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            yield where, value
            inner = ((dotted(where, key), item) for key, item in value.items() if isinstance(key, str))
        else:
            inner = ((f"{where}[{index}]", item) for index, item in enumerate(value))
        for place, item in inner:
            if isinstance(item, dict | list) and len(queue) < MAX_DICTS:
                queue.append((place, item, depth + 1))


def dense_floats(name: str, tensor: Any, path: Path) -> Tensor:
    """``tensor`` without whatever else hangs on it, on the CPU.

    Raises:
        AssayError: it is not a dense tensor of floats whose elements all have their own place in the file.
    """
    if type(tensor) is not Tensor or tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        raise AssayError(
            f"{path} holds {name!r} as a sparse, quantized, distributed or special tensor: save plain float weights, "
            "of a DTensor its full_tensor()"
        )
    if tensor.dtype not in FLOATS:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise AssayError(
            f"{path} holds {name!r} as {kind}: save weights of 16, 32 or 64-bit floats, of a quantized network those "
            "before it was quantized"
        )
    tensor = Tensor.detach(tensor)
    if tensor.device.type != "cpu" or _overlaps(tensor):
        raise AssayError(f"{path} holds {name!r} with elements that share their place in the file: save plain weights")
    return tensor


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
    parts = key.split(".", MAX_PARTS)
    start = next((i for i, part in enumerate(parts) if part in ROOTS | SCHNETPACK_ROOTS), None)
    if start is None:
        return [], (), ""
    lost = parts[:start] + [part for part in parts[start:] if part in _INSIDE]
    group = _telling(parts[:start])
    return lost, group, ".".join(part for part in parts[start:] if part not in _INSIDE)


def _telling(parts: list[str]) -> tuple[str, ...]:
    """Those parts of a name that tell one model from another."""
    return tuple(part for part in parts if part not in _INSIDE | _OUTSIDE)


def _with_dots(keys: list[str]) -> dict[str, str]:
    """The names of LitEma, which takes the dots out of the names that it averages, each with its dots."""
    averaged = {key for key in keys if "." in key and has_word(_AVERAGE, key.split(".")[-2])}
    known: dict[str, set[str]] = {}
    for key in set(keys) - averaged if averaged else ():
        parts = key.split(".", MAX_PARTS)
        for start in range(len(parts)):
            known.setdefault("".join(parts[start:]), set()).add(".".join(parts[start:]))
    found = {}
    for key in averaged:
        place, _, name = key.rpartition(".")
        if len(known.get(name, ())) == 1:
            found[key] = f"{place}.{next(iter(known[name]))}"
    return found


def _models(where: str, entries: dict, container: Container, everything: bool) -> list[StateDict]:
    """The models whose tensors stand in one dict."""
    keys = [key for key, value in entries.items() if isinstance(key, str) and _is_tensor(value)]
    if not keys or (not everything and _is_not_the_model(where)):
        return []
    averaged = "n_averaged" in keys or _is_averaged(where)
    groups: dict[tuple[str, ...], StateDict] = {}
    members: dict[tuple[str, ...], list[str]] = {}
    dotted = _with_dots(keys)
    for key in keys:
        lost, group, bare = _split(dotted.get(key, key))
        if not bare or (not everything and any(map(_is_not_the_model, group))):
            continue
        average = averaged or any(map(_is_averaged, group))
        state = groups.setdefault(group, StateDict(where, average, group=".".join(group)))
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
        state.tensors = {name: dense_floats(name, tensor, container.path) for name, tensor in state.tensors.items()}
        for key in keys:
            if key not in known:
                (state.ignored if _belongs_elsewhere(key, entries[key]) else state.unknown).append(key)
    return list(models.values())


def _belongs_elsewhere(key: str, tensor: Tensor) -> bool:
    of_task = tensor.numel() <= MAX_OF_TASK and _OF_TASK.search(key)
    return bool(_bookkeeping(key) or has_word(_NOT_THE_MODEL, key) or of_task) or is_neutral_buffer(key, tensor)


def _bookkeeping(key: Any) -> str:
    """The bare name of what counts the steps of an average, at its own place or behind its name; else empty."""
    place, _, name = key.rpartition(".") if isinstance(key, str) else ("", "", "")
    return name if name in _BOOKKEEPING and (not place or has_word(_AVERAGE, place)) else ""


def _looks_like_a_student(tensors: dict[str, Tensor]) -> bool:
    return any(name.startswith(("interactions.", "blocks.", "representation.interactions.")) for name in tensors)
