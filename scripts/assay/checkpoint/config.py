"""What a checkpoint says about its network, under whichever names its trainer used."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor

from assay.checkpoint.container import Container
from assay.checkpoint.pickles import Instance, Name
from assay.checkpoint.sections import (
    ARGUMENTS,
    NAMING,
    OF_NETWORK_ALONE,
    TELLING,
    Section,
    in_words,
    is_of_config,
    may_describe_network,
    sections,
    sections_within,
)
from assay.checkpoint.texts import settings_in_text
from assay.models import ARCHITECTURES
from assay.workflow.errors import AssayError

_KINDS: dict[str, type | tuple[type, ...]] = {
    "architecture": str, "hidden": int, "n_blocks": int, "n_rbf": int, "max_z": int, "cutoff_A": (int, float),
    "radial_basis": str, "envelope": str, "filter_bias": bool, "activation": str, "head": (list, tuple),
    "epsilon": (int, float), "repulsion": bool, "floor": bool, "from_contact": bool, "pair_elements": (list, tuple),
    "rank": int, "cutoff_function": str, "cutoff_arguments": list, "activation_arguments": list,
    "head_activation": str, "head_activation_arguments": list,
    "n_filters": int, "shared_filters": bool, "shared_interactions": bool,
}  # fmt: skip
_SYNONYMS = {
    "architecture": "arch model_type",
    "hidden": "hidden_dim hidden_channels hidden_size hidden_features n_features feature_dim n_atom_basis",
    "n_blocks": "num_blocks n_interactions num_interactions",
    "n_rbf": "num_rbf n_radial num_radial n_gaussians num_gaussians num_basis",
    "max_z": "z_max max_atomic_number",
    "cutoff_A": "cutoff r_cut rcut r_max cutoff_radius",
    "radial_basis": "rbf_type",
    "envelope": "envelope_type envelope_function",
    "activation": (
        "activation_fn activation_function activation_name activation_type act act_fn act_func act_type hidden_act "
        "nonlinearity non_linearity"
    ),
    "epsilon": "norm_eps norm_epsilon",
}
_NAMES = {in_words(word): name for name in _KINDS for word in (name, *_SYNONYMS.get(name, "").split())}
# Names that may be of a hyperparameter, or else of an optimizer, of other norms, of a neighbor list, of another wall.
_DOUBTFUL = {
    "eps": "epsilon", "layer_norm_eps": "epsilon", "layer_norm_epsilon": "epsilon", "cutoff_function": "envelope",
    "cutoff_fn": "envelope", "cutoff_type": "envelope", "activations": "activation", "zbl": "repulsion",
}  # fmt: skip
# Sections whose epsilon is of norms.
_NORM = re.compile(r"(?!.*(?:clip|grad|target|label|input|data|batch))(?:\w+_)?norms?")
_IDLE = {"_recursive_", "_partial_", "_convert_"}  # keys of Hydra beside the name of a class
_SWITCHES = {"enabled", "enable", "use", "active"}  # keys of a dict that may be off
# Signs that an epsilon is of an optimizer, and that it is of the network after all.
_OF_OPTIMIZER = ("lr", "learning_rate", "weight_decay", "betas", "momentum", "amsgrad", "optimizer", "optim")
_OF_NETWORK = ("envelope", "repulsion", "floor", "from_contact")
# What stands beside the rank of a process in distributed training, or of a low-rank adapter.
_OF_OTHER_RANKS = {"world_size", "local_rank", "global_rank", "node_rank", "dist_url", "dist_backend", "lora_alpha"}
_SIZES = ("hidden", "n_blocks", "n_rbf", "max_z", "cutoff_A")
_ACTIVATIONS = {"swish": "silu"}
# Arguments with which an activation computes what it does without, and how ``str`` writes a function or a class.
_IDLE_ARGUMENTS = re.compile(r"(?:(?:inplace=\w+|approximate='?none'?|beta=1(?:\.0)?|threshold=20(?:\.0)?)(?:, ?|$))*")
_OF_PYTHON = re.compile(r"<(?:class|function) '?([\w.]+)")
_KNOWN = {"radial_basis": {"gaussian", "bessel"}, "envelope": {"cosine", "polynomial"}}
# Words that say again what those are names of, as in GaussianRBF and CosineCutoff.
_SAID_AGAIN = re.compile(r"(?:^|_)(?:radial|rbf|basis|smearing|expansion|envelope|cutoff|function|fn)(?=_|$)")
_SINGLE = 1e-6  # relative difference of a number in single and in double precision, with room
_ON, _OFF = ("true", "yes", "on"), ("false", "no", "off")
MAX_VALUE_TEXT = 200  # characters of a value that is kept as text
_PREFIX = re.compile(r"^(?:model|student|network|net|painn|use|with|nuclear|pair|distance)_")
_OF_DISTANCES = re.compile(r"(?:nuclear|pair|distance)_")


def read_config(
    container: Container, notes: list[str] | None = None, shown: Mapping[str, Any] | None = None
) -> dict[str, tuple[Any, str]]:
    """Hyperparameters, under Assay's names, each with the place in the file that says so.

    A section at no place of a config is of another network, such as the one that training started from or a part
    beside this one, where it says another size than the tensors have, and that is not the width of their head.

    Args:
        container: the file.
        notes: sentences on what was not taken for a hyperparameter, to which others are added.
        shown: the hyperparameters that the tensors show.

    Raises:
        AssayError: two places disagree, or a value is of the wrong kind.
    """
    found: dict[str, tuple[Any, str]] = {}
    notes, shown = [] if notes is None else notes, shown or {}
    for section in sections(container):
        told = list(_told(section))
        if not section.known:
            if section.of_run or len({name for name, _, _ in told}) < 2:
                continue
            told = [it for it in told if it[0] != "hidden" or it[2] not in shown.get("head", ())]
            other = next((key for name, key, value in told if _differs(name, value, shown)), None)
            if other is not None:
                notes.append(
                    f"{section.path_of(other)} = {reprlib.repr(section.entries[other])} is not of these tensors: "
                    f"{section.place} was taken for the config of another network."
                )
                continue
        for name, key, value in told:
            where = section.path_of(key)
            if name == "architecture" and value not in ARCHITECTURES:
                continue
            if name == "rank" and _is_other_rank(value, section):
                continue
            if name == "epsilon" and _optimizer_around(section, key):
                continue
            value = _checked(name, value, where, container)
            if name == "head" and value == [*shown.get(name, ()), 1]:
                value = value[:-1]  # without the output
            if name in found and not _is_same(found[name][0], value):
                raise AssayError(
                    f"{container.path} says {name} = {found[name][0]} under {found[name][1]!r} and {value} "
                    f"under {where!r}: save it with one config"
                )
            found.setdefault(name, (value, where))
    return found


def check_assumed(container: Container, assumed: Mapping[str, Any], notes: list[str]) -> None:
    """Refuse to assume a hyperparameter of which the file says something else at a place that is no config's.

    Args:
        container: the file.
        assumed: the hyperparameters that neither its weights nor its configs tell, and what would be assumed.
        notes: sentences on what was taken for something else, to which others are added.

    Raises:
        AssayError: there is one, or the config of the network is in a form that cannot be read.
    """
    for section in sections(container) if assumed else ():
        _check_settings(section, assumed, notes, container)
        for key in [key for key in section.entries if is_of_config(section, key)]:
            value, place = section.entries[key], section.path_of(key)
            if isinstance(value, Instance) and (value.args or value.state is not None):
                values = ", ".join(f"{name} = {it}" for name, it in assumed.items())
                raise AssayError(
                    f"{container.path} holds {place} as {value}, whose values cannot be read, and {values} would be "
                    "assumed: save its config as a dict"
                )
            for inner in sections_within(Section(place, settings_in_text(value), known=False)):
                _check_settings(inner, assumed, notes, container)


def _check_settings(section: Section, assumed: Mapping[str, Any], notes: list[str], container: Container) -> None:
    """Refuse other values of hyperparameters, and values that cannot be read.

    A dict that names nothing may be the settings of anything, and counts in the section of a network alone.
    """
    doubtful = section.known or _NORM.fullmatch(section.name)
    for name, key, value in [*_values(section), *(_doubtful(section) if doubtful else ())]:
        if name not in assumed or (name == "epsilon" and section.of_run):
            continue
        where = section.path_of(key)
        if name == "epsilon" and (beside := _optimizer_around(section, key)):
            notes.append(
                f"{where} = {reprlib.repr(value)} was taken for an optimizer's, beside {', '.join(beside)}, and not "
                "for the epsilon of the norms."
            )
            continue
        telling = TELLING | (_SWITCHES if _KINDS[name] is bool else set())
        if isinstance(value, dict) and telling.isdisjoint(value) and not _is_of_network(section):
            continue
        if _is_unread(value):
            shown = reprlib.repr(value) if isinstance(value, dict) else value
            raise AssayError(
                f"{container.path} holds {where} as {shown}, which cannot be read, and {name} = {assumed[name]} would "
                "be assumed: save it as a word, a number or a flag"
            )
        if not _is_same(value, assumed[name]) and _can_be(name, value):
            raise AssayError(
                f"{container.path} says {where} = {reprlib.repr(value)}, which is not taken for its network's, and "
                f"{name} = {assumed[name]} would be assumed: save its config as a dict with {name} in it"
            )


def _is_of_network(section: Section) -> bool:
    """Whether a section is that of a network or a run, by its place, its name or two hyperparameters in it."""
    return may_describe_network(section) or len({name for name, _, _ in _told(section)}) > 1


def _is_same(value: Any, other: Any) -> bool:
    """Whether two values are one, of which either may have been in single precision."""
    if isinstance(value, float) and isinstance(other, float):
        return math.isclose(value, other, rel_tol=_SINGLE)
    return bool(value == other)


def _is_other_rank(value: Any, section: Section) -> bool:
    """Whether a number is the rank of a process or an adapter: that of features is 1 or 2."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value not in (1, 2) or not _OF_OTHER_RANKS.isdisjoint(section.entries)


def _can_be(name: str, value: Any) -> bool:
    """Whether ``value`` is of the kind of a hyperparameter, or a flag as a number."""
    if _KINDS[name] is bool:
        return value in (0, 1)
    return isinstance(value, _KINDS[name]) and not isinstance(value, bool)


def _doubtful(section: Section) -> Iterator[tuple[str, str, Any]]:
    """As ``_told``, of what may be a hyperparameter by its name and is not read as one."""
    for key, value in section.entries.items():
        words = in_words(key) if isinstance(key, str) else ""
        bare = _PREFIX.sub("", words)
        name = _DOUBTFUL.get(bare) or (_NAMES.get(bare) if bare != words else None)
        if name == "epsilon" and _OF_DISTANCES.match(words):
            continue
        plain = _plain(name, value)
        if name is not None and (isinstance(plain, str | int | float) or _is_unread(plain)):
            yield name, key, plain


def _optimizer_around(section: Section, key: str) -> list[str]:
    """The settings of an optimizer among which an epsilon stands.

    There are none where its key says that it is of norms, or its section describes the network.
    """
    entries = section.entries
    of_network = section.place.rpartition(".")[2] in OF_NETWORK_ALONE or any(name in entries for name in _OF_NETWORK)
    if of_network or in_words(key) in ("norm_eps", "norm_epsilon"):
        return []
    return [name for name in _OF_OPTIMIZER if name in entries and not isinstance(entries[name], dict)]


def _told(section: Section) -> Iterator[tuple[str, str, Any]]:
    """(name, key, value) of every hyperparameter that a section tells, under Assay's name and under its own."""
    for name, key, value in _values(section):
        if not _is_unread(value):
            yield name, key, value


def _values(section: Section) -> Iterator[tuple[str, str, Any]]:
    """As ``_told``, with values that cannot be read: dicts, and classes and instances that are no activation."""
    for key, value in section.entries.items():
        large = isinstance(value, Tensor) and value.numel() != 1
        name = _NAMES.get(in_words(key)) if isinstance(key, str) and not large else None
        plain = _plain(name, value)
        if name is not None and plain is not None:
            yield name, key, plain


def _is_unread(value: Any) -> bool:
    return isinstance(value, dict | Name | Instance)


def _differs(name: str, value: Any, shown: Mapping[str, Any]) -> bool:
    """Whether the tensors show another size or cutoff; 16 bits round that of a buffer."""
    if name not in _SIZES or name not in shown or type(value) not in (int, float):
        return False
    return not math.isclose(value, shown[name], rel_tol=0.01)


def _plain(name: str | None, value: Any) -> Any:
    """``value`` as a number if it is a tensor of one or the text of one; an activation, basis or envelope by its name.

    A dict that says no more than such a value is that value.
    """
    if isinstance(value, dict) and name is not None:
        value = _from_dict(name, value)
    if isinstance(value, str) and name is not None:
        value = _from_text(name, value)
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, Name | str) and (name == "activation" or name in _KNOWN):
        said = value if isinstance(value, str) else value.name
        called, _, arguments = said.partition("(")
        called = match[1] if (match := _OF_PYTHON.match(called)) else called
        bare = called.rpartition(".")[2]
        if name == "activation" and not _IDLE_ARGUMENTS.fullmatch(arguments.removesuffix(")")):
            return said
        if name == "activation":
            return _ACTIVATIONS.get(bare.lower(), bare.lower())
        bare = _SAID_AGAIN.sub("", in_words(bare)).strip("_")
        return bare if bare in _KNOWN[name] else value
    return value


def _from_dict(name: str, value: dict[Any, Any]) -> Any:
    """What a dict says: the class or function that it names, False where it is off, None where it is empty.

    It is the dict itself where it says more, such as arguments that change what the class computes.
    """
    groups = [it.items() if key in ARGUMENTS and isinstance(it, dict) else [(key, it)] for key, it in value.items()]
    said = [(key, it) for group in groups for key, it in group if key not in _IDLE and it is not None]
    said = [(key, it) for key, it in said if not (isinstance(it, dict | list) and not it)]
    if not said:
        return None
    if _KINDS[name] is bool:
        switches = [_from_text(name, it) if isinstance(it, str) else it for key, it in said if key in _SWITCHES]
        return False if any(it is False for it in switches) else value
    names = [it for key, it in said if key in NAMING]
    shown = [(key, it if isinstance(it, str) else reprlib.repr(it)) for key, it in said if key not in NAMING]
    idle = _IDLE_ARGUMENTS.fullmatch(", ".join(f"{key}={it}" for key, it in shown))
    return names[0] if _KINDS[name] is str and len(names) == 1 and idle else value


def _from_text(name: str, text: str) -> Any:
    """The value that a text stands for, as ``str`` or JSON wrote it; the text itself where it is none."""
    word = text.strip().lower()
    if word in ("none", "null"):
        return None
    if _KINDS[name] is str or len(word) > MAX_VALUE_TEXT:
        return text
    if word in (*_ON, *_OFF):
        return word in _ON
    with suppress(ValueError, RecursionError):
        return json.loads(word.replace("(", "[").replace(",)", "]").replace(")", "]"))
    return None if name == "head" else text  # which names what it predicts


def _checked(name: str, value: Any, place: str, container: Container) -> Any:
    """``value`` as the hyperparameter ``name``: of the right kind, finite, plain."""
    if _KINDS[name] is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if _KINDS[name] is bool and isinstance(value, int | float) and value in (0, 1):
        value = bool(value)
    fits = isinstance(value, _KINDS[name]) and (isinstance(value, bool) == (_KINDS[name] is bool))
    if name in ("cutoff_A", "epsilon"):
        fits = fits and 0 < value < 1e6
    if name == "head":
        fits = fits and len(value) < 100 and all(type(width) is int for width in value)
    if name.endswith("_arguments"):
        fits = fits and len(value) < 10 and all(type(number) in (int, float) and abs(number) < 1e6 for number in value)
    if not fits:
        raise AssayError(f"{container.path} says {place} = {reprlib.repr(value)}, which cannot be: correct its config")
    if name == "head":
        return list(value)
    return float(value) if name in ("cutoff_A", "epsilon") else value
