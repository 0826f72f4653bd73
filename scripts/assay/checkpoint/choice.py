"""Chooses among the sets of weights that a file holds: the raw ones, a moving average, or those that the user names.

Files tell the two apart by names alone, and names can mislead: a trainer that swaps the average into the model before
it saves leaves the raw weights under the name of the average. What was chosen, what was passed over and whether that
is in doubt is part of the result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import torch

from assay.checkpoint.container import Container
from assay.checkpoint.sections import OF_BEST, in_words
from assay.checkpoint.tensors import are_same
from assay.checkpoint.weights import (
    BUFFERS,
    SCHNETPACK_BASIS,
    STEPS_OF_MMENGINE,
    StateDict,
    TensorList,
    adapter_in,
    counted_averages,
    dense_floats,
    find_models,
)
from assay.models import ARCHITECTURES
from assay.workflow.errors import AssayError, listed

RAW, AVERAGE = "raw", "average"
MAX_SETS = 20
MAX_PLACE = 100  # characters of a place that are shown
_USUAL_PLACES = ("model_state_dict", "state_dict", "model", "student", "net", "network", "")
_BEST = re.compile(r"^best_|_best$")
_QUANTIZED = re.compile(r"torch\.(?:ao\.)?nn\.(?:intrinsic\.)?quantized\.")  # modules of torch
_LIGHTNING_RAW = "current_model_state"  # Lightning's WeightAveraging saves the average as the state dict


@dataclass(frozen=True)
class PassedOver:
    """A set of weights that was not chosen.

    Attributes:
        place: its path in the file.
        average: whether it is a moving average, by the names in the file.
        equal: whether its parameters equal those that were chosen.
        not_begun: of an average, what says that it has averaged nothing yet, e.g. "n_averaged is 0"; else "".
    """

    place: str
    average: bool
    equal: bool
    not_begun: str = ""


@dataclass(frozen=True)
class Choice:
    """The weights that are used, and those that are not.

    Attributes:
        weights: the chosen set.
        asked: what the user asked for: "raw", "average", a path in the file, or None.
        passed_over: the other sets.
        in_doubt: whether only the name of a trainer's callback says which of two different sets is the average.
    """

    weights: StateDict
    asked: str | None = None
    passed_over: list[PassedOver] = field(default_factory=list)
    in_doubt: bool = False


def choose_weights(container: Container, asked: str | None = None) -> Choice:
    """The model that ``container`` holds. Unasked, a moving average that is named as such goes before raw weights.

    An average that has not begun may be the untrained network, and is taken only where its path is asked for.

    Args:
        container: the file.
        asked: "raw", "average", or the path of a set of weights in the file.

    Raises:
        AssayError: no model, several that differ, or none of the kind that was asked for.
    """
    by_path = asked not in (None, RAW, AVERAGE)
    named, lists = find_models(container, everything=by_path)
    if not named and not by_path and (others := find_models(container, everything=True)[0]):
        places = listed(repr(state.place[:MAX_PLACE]) for state in others)
        raise AssayError(
            f"{container.path} holds weights of a student under {places} alone, which is not the student by its name: "
            "where it is, name it as variants.<name>.weights"
        )
    quantized = next((name for name in container.not_run if _QUANTIZED.match(name)), None)
    if not named and quantized is not None:
        raise AssayError(
            f"{container.path} holds a quantized network (it names {quantized[:MAX_PLACE]}): save the network before "
            "it is quantized"
        )
    if not named:
        names = ", ".join(repr(key[:40]) for key in container.content if isinstance(key, str))[:200]
        raise AssayError(
            f"{container.path} holds no weights of a student that Assay knows (it holds {names or 'nothing by name'}): "
            f"give a checkpoint of {', '.join(ARCHITECTURES)}, or judge its ASE calculator (docs/calculators.md)"
        )
    adapter = "" if by_path else adapter_in(container, named)
    if adapter:
        raise AssayError(
            f"{container.path} holds {adapter[:MAX_PLACE]!r}, a part of an adapter such as LoRA, which changes the "
            "weights: call merge_and_unload() of its model before saving, or name weights that have it in them as "
            "variants.<name>.weights"
        )
    if len(named) > MAX_SETS or len(lists) > MAX_SETS:
        raise AssayError(f"{container.path} holds more than {MAX_SETS} sets of weights: save one model alone")
    for state in named:
        _find_trained(state, lists)
    settled = _settle_by_evidence(named, lists)
    _find_not_begun(named, lists, counted_averages(container))
    chosen = (_at_path if by_path else _of_kind)(named, lists, asked, container)
    repeated = chosen.repeated
    if sum(tensor.nbytes for name, tensor in chosen.tensors.items() if name not in repeated) > container.size_bytes:
        raise AssayError(f"{container.path} holds tensors that share their place in the file: save plain weights")
    others = [state for state in named if state is not chosen]
    fitting = [_from_list(chosen, values, container) for values in lists if _fits(chosen, values)]
    others += [state for state in fitting if state.where != chosen.where]
    passed_over = [
        PassedOver(state.place, state.average, are_same(state.parameters, chosen.parameters), state.not_begun)
        for state in others
    ]
    return Choice(chosen, asked, passed_over, not settled and _is_in_doubt(chosen, others, lists))


def _of_kind(named: list[StateDict], lists: list[TensorList], kind: str | None, container: Container) -> StateDict:
    """The raw weights, the average, or whichever goes first."""
    usual = [state for state in named if "[" not in state.where] or named
    raw = [state for state in usual if not state.average]
    averages = [state for state in usual if state.average]
    begun = [state for state in averages if not state.not_begun]
    if kind != RAW and begun:
        return _completed(_only(begun, container), raw, container)
    if kind != AVERAGE and not raw:
        lists = [values for values in lists if not values.average and _fits(averages[0], values)]
        if lists:
            return _from_list(averages[0], lists[0], container)
        if kind is None:
            raise _nothing_begun(averages[0], container)
        raise _nothing_of_kind("raw weights", named, lists, container)
    base = _only(raw or averages, container)
    if kind == RAW:
        return base
    unbegun = any(state.not_begun for state in averages) or any(values.not_begun for values in lists)
    lists = [values for values in lists if values.average and not values.not_begun]
    if kind is None:
        lists = [values for values in lists if values.where.endswith("shadow_params") and "[" not in values.where]
    elif not lists:
        raise _nothing_of_kind(f"moving average{' that has begun' if unbegun else ''}", named, lists, container)
    else:
        lists = [values for values in lists if _fits(base, values)] or lists
    return _from_list(base, lists[0], container) if lists else base


def _at_path(named: list[StateDict], lists: list[TensorList], path: str | None, container: Container) -> StateDict:
    """The set of weights at a path in the file."""
    found = [state for state in named if state.place == path] or [state for state in named if state.where == path]
    if found:
        begun = [state for state in found if not state.not_begun] or found
        averages = [state for state in begun if state.average]
        raw = [state for state in named if not state.average and "[" not in state.where]
        chosen = _only(averages or begun, container)
        return _completed(chosen, raw, container) if chosen.average else chosen
    for values in lists:
        if values.where == path:
            owners = [state for state in named if _fits(state, values)] or named
            return _from_list(_only(owners, container), values, container)
    raise _nothing_of_kind(f"weights under {path!r}", named, lists, container)


def _settle_by_evidence(named: list[StateDict], lists: list[TensorList]) -> bool:
    """Call a state dict an average where the file shows that it is one, whatever its name.

    Lightning's WeightAveraging and torch_ema both put the raw weights aside while the average stands in the model.
    mmengine saves them in the place of the average, with its counter.

    Returns:
        Whether the file shows of some state dict which of the two it is.
    """
    aside = {state.where.removesuffix(_LIGHTNING_RAW) for state in named if state.where.endswith(_LIGHTNING_RAW)}
    settled = False
    kept = {state.where: state for state in named if not state.group or state.group == "module"}
    swapped = kept.get("ema_state_dict")
    if swapped is not None and "state_dict" in kept and STEPS_OF_MMENGINE in swapped.ignored:
        kept["state_dict"].average, swapped.average, settled = True, False, True
    for state in named:
        if state.where.endswith("state_dict") and state.where.removesuffix("state_dict") in aside:
            state.average = settled = True
        fitting = [values for values in lists if _fits(state, values)]
        averages = [_equal_values(state, values) for values in fitting if values.average]
        put_aside = [_equal_values(state, values) for values in fitting if not values.average]
        if put_aside and not any(put_aside) and any(averages):
            state.average = settled = True
        settled = settled or any(put_aside)
    return settled


def _find_not_begun(named: list[StateDict], lists: list[TensorList], counted: dict[str, str]) -> None:
    """Note of averages what says that they have not begun: the nearest counter around them.

    An average that stands in the model has begun as little as a list of the same values.
    """

    def nearest(where: str) -> str:
        around = [place for place in counted if not place or f"{where}.".startswith(f"{place}.")]
        return counted[max(around, key=len)] if around else ""

    sets: list[StateDict | TensorList] = [*named, *lists]
    for average in [one for one in sets if one.average]:
        group = f".{average.group}" if isinstance(average, StateDict) and average.group else ""
        average.not_begun = nearest(f"{average.where}{group}".lstrip("."))
    idle = [values for values in lists if values.not_begun]
    for state in [state for state in named if state.average and not state.not_begun]:
        same = (values for values in idle if _fits(state, values) and _equal_values(state, values))
        state.not_begun = next((values.not_begun for values in same), "")


def _is_in_doubt(chosen: StateDict, others: list[StateDict], lists: list[TensorList]) -> bool:
    """Whether a raw and an averaged set differ, and only a list or a callback calls the second an average."""
    in_lists = {values.where for values in lists}
    sets = [chosen, *others]
    for average in sets:
        if (
            average.average
            and not average.not_begun
            and (average.where in in_lists or "callbacks" in average.where.split("."))
        ):
            names = average.parameters.keys()
            raw = [state for state in sets if not state.average and state.parameters.keys() == names]
            if any(not are_same(state.parameters, average.parameters) for state in raw):
                return True
    return False


def _only(states: list[StateDict], container: Container) -> StateDict:
    """The one of ``states`` at the most usual place, or any if they are equal."""

    def rank(state: StateDict) -> int:
        place = _BEST.sub("", OF_BEST.sub("", _last_part(state)))  # the best weights go no farther than the last
        return _USUAL_PLACES.index(place) if place in _USUAL_PLACES else len(_USUAL_PLACES)

    best = [state for state in states if rank(state) == min(map(rank, states))]
    first = best[0]
    for other in best[1:]:
        if not are_same(first.tensors, other.tensors):
            places = " and ".join(repr(state.place) for state in (first, other))
            raise AssayError(
                f"{container.path} holds two different models, under {places}: "
                "name one of them as variants.<name>.weights"
            )
    return first


def _last_part(state: StateDict) -> str:
    return in_words(state.where.rpartition(".")[2])


def _completed(average: StateDict, raw: list[StateDict], container: Container) -> StateDict:
    """``average`` with the buffers that it lacks: they are not averaged, and the raw weights have them."""
    averaged = [state for state in raw if not _BEST.search(_last_part(state))] or raw
    for name, tensor in (_only(averaged, container).tensors if raw else {}).items():
        if name not in average.tensors and name.startswith(BUFFERS):
            average.tensors[name] = tensor
            average.from_raw.append(name)
    return average


def _find_trained(state: StateDict, lists: list[TensorList]) -> None:
    """Count the radial basis of a schnetpack network as parameters where only so the lists of parameters fit."""
    if state.is_schnetpack and lists and not any(_fits(state, values) for values in lists):
        state.trained = (SCHNETPACK_BASIS,)
        if not any(_fits(state, values) for values in lists):
            state.trained = ()


def _fits(state: StateDict, values: TensorList) -> bool:
    """Whether a list has the shapes of the parameters of ``state``, in their order."""
    shapes = [tensor.shape for tensor in state.parameters.values()]
    return shapes == [tensor.shape for tensor in values.tensors]


def _equal_values(state: StateDict, values: TensorList) -> bool:
    pairs = zip(state.parameters.values(), values.tensors, strict=True)
    return all(torch.equal(ours.double(), theirs.double()) for ours, theirs in pairs)


def _from_list(owner: StateDict, values: TensorList, container: Container) -> StateDict:
    """The parameters of a list under the names of ``owner``, in whose order they are, and with its buffers."""
    if not _fits(owner, values):
        raise AssayError(
            f"{container.path} holds an average under {values.where!r} that does not match its weights: "
            "save the averaged weights by name, or set variants.<name>.weights: raw"
        )
    tensors = {
        name: dense_floats(f"{values.where}[{index}]", value, container.path)
        for index, (name, value) in enumerate(zip(owner.parameters, values.tensors, strict=True))
    }
    repeated = {name: tensors[first] for name, first in owner.repeated.items() if first in tensors}
    tensors |= repeated
    buffers = {name: tensor for name, tensor in owner.tensors.items() if name not in tensors}
    return StateDict(
        values.where, values.average, tensors | buffers, owner.stripped, owner.ignored, owner.unknown, list(buffers),
        not_begun=values.not_begun,
    )  # fmt: skip


def _nothing_begun(average: StateDict, container: Container) -> AssayError:
    return AssayError(
        f"{container.path} holds nothing but a moving average that has not begun ({average.not_begun}) and may be the "
        f"untrained network: save the trained weights, or set variants.<name>.weights to {average.place!r}"
    )


def _nothing_of_kind(what: str, named: list[StateDict], lists: list[TensorList], container: Container) -> AssayError:
    places = [state.place for state in named] + [values.where for values in lists]
    known = listed(repr(place[:MAX_PLACE]) for place in dict.fromkeys(places))
    return AssayError(f"{container.path} holds no {what}: set variants.<name>.weights to one of {known}")
