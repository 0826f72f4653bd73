"""Finds the sections of a checkpoint that may tell of its network, among all that stands beside the weights."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from assay.checkpoint.container import Container
from assay.checkpoint.modules import ModuleContents

PLACES = {
    "config", "config.json", "cfg", "model_config", "hyper_parameters", "hyperparameters", "hparams", "args",
    "model_args", "model_kwargs", "model_params", "settings",
}  # fmt: skip
OF_NETWORK_ALONE = {
    "model", "student", "network", "net", "architecture", "painn", "model_config", "model_args", "model_kwargs",
    "model_params",
}  # fmt: skip
NETWORKS = OF_NETWORK_ALONE | {"config", "cfg", "params", "init_args", "kwargs"}
# Keys of a dict that names a class or a function, as Hydra, LightningCLI and others write it, and of its arguments.
NAMING = {"_target_", "class_path", "name", "type"}
TELLING = NAMING | {"kind", "fn", "func", "function", "cls", "class"}
ARGUMENTS = {"init_args", "dict_kwargs", "kwargs", "args", "params"}
# Keys of what an entry of a list, or a target of its own name, is about.
OF_WHAT = ("property", "output_key", "quantity", "target", "name")
OF_GRADIENT_SCALER = "growth_factor"
IDENTITY_CARD = "model.json"
MAX_DEPTH, MAX_SECTIONS = 5, 2_000
MAX_LISTED = 50  # dicts of one list
MAX_TEXT = 1 << 20  # characters of a config that is kept as text

RUNS = {"training", "train", "trainer", "run", "experiment"}
# Words that name what weights are best by, or that they are optimal, and neither a loss nor an optimizer.
OF_BEST = re.compile(
    r"best_(?:(?:train|val|valid|validation|test|eval|energy|forces?|total)_)*(?:loss|losses|metrics?)_?"
    r"|opt_(?=model|student|net|network|weights)",
    re.IGNORECASE,
)
# Words of the names of sections that tell nothing of the network.
_ELSEWHERE = re.compile(
    r"(?:^|_)(?:optim\w*|sched\w*|lr|teachers?|foundation|oracle|adversarial|attack|prun\w*|loss(?:es)?|criterion"
    r"|metrics?|data\w*|loaders?|train\w*|val|valid\w*|test|eval\w*|callbacks?|loops?|logg\w*|augment\w*"
    r"|transforms?|sampler|rng|states?|amp|grad|scope|quanti[sz]ation)(?:_|$)"
)
# Words of those that tell of it after all where they hold its weights.
_AROUND = re.compile(r"(?:^|_)(?:data|(?:train|valid|eval)[a-z]*|val|test|states?|quanti[sz]ation)(?=_|$)")
# Names of the sections that tell of the data of a training.
_OF_DATA = re.compile(
    r"(?:train_|training_)?data(?:_?(?:set|sets|module|sets?_config|config|cfg|params|args))?"
    r"|datamodule(?:_hyper_parameters|_hparams)?|train(?:ing)?_set"
)
_NETWORK_WORDS = {"model", "student", "network", "net", "painn"}
# Words of the keys under which text, a command or an instance of a class may say what the config of a network says: one
# of the first, and beside it none but those, words of networks, and the second.
_CONFIGS = {
    "config", "configs", "configuration", "cfg", "hparams", "hyper", "hyperparameters", "settings", "options", "args",
    "arguments", "yaml", "overrides", "argv", "command", "cmd", "cmdline",
}  # fmt: skip
_OF_CONFIGS = {
    "run", "job", "experiment", "exp", "main", "full", "raw", "base", "best", "final", "original", "default", "global",
    "user", "my", "hydra", "omega", "sys", "cli", "shell", "script", "parameters", "line", "text", "str", "dict",
    "distill", "distillation", "arch", "architecture", "schnet", "nequip", "mace", "backbone", "resolved", "saved",
    "input", "checkpoint", "kd", "task", "launch",
}  # fmt: skip
_OF_TOOLS = {"slurm", "tracker", "logger", "ema", "sweep", "ddp", "scheduler", "env"}  # words that no config has
# Last words of keys of text that tells of a config and is none.
_NO_CONFIGS = {
    "path", "paths", "file", "files", "name", "dir", "url", "hash", "id", "comment", "note", "notes", "description",
    "desc", "version", "date", "time", "device",
}  # fmt: skip
_COMMANDS = {"overrides", "argv", "command", "cmd"}  # sections whose entries are words of commands
# Words of what records how well a network does.
_OF_RESULTS = re.compile(
    r"(?:^|_)(?:codecarbon|emissions?|errors?|histor(?:y|ies)|scores?|results?|log|logs|logged|summary|curves?)(?:_|$)"
)
# Words of sections of parts of a network, and of what it computes.
_OF_PARTS = re.compile(
    r"(?:^|_)(?:student|network|potential|representation|encoder|decoder|backbone|interactions?|gnn|heads?|readouts?"
    r"|outputs?|predictions?|targets?|labels?|propert(?:y|ies)|quantit(?:y|ies)|observables?)(?:_|$)"
)
# Whole names of sections of a network: many others have a word of it, as model_selection.
_OF_NETWORK = re.compile(
    r"(?:(?:my|base|main|gnn|neural|painn|student|ml|mlip)_)*(?:model|net|network|architecture|painn)"
    r"(?:_(?:config|cfg|args|kwargs|params|parameters|hparams|settings|options|spec|definition))?"
)
# Words of configs that may tell of a loss, a job or a command instead of a network.
_OF_WHOLE_RUNS = {
    "run", "job", "global", "user", "shell", "script", "distill", "distillation", "kd", "task",
    "launch", "checkpoint",
}  # fmt: skip
_INDEX = re.compile(r"\[\d+\]$")
# What joins the names of nested dicts in the flat ones that trackers keep: "model.epsilon", "model/epsilon".
_JOINT = re.compile(r"[./]|--|__")
_BOX = {"value", "desc"}  # keys of the dict in which Weights & Biases wraps a value
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")  # of a word: emaModel, EMAModel


@dataclass(frozen=True)
class Section:
    """One dict of a checkpoint.

    Attributes:
        place: its dotted path, "" at the top.
        entries: what it holds; text that is JSON is left as text.
        known: whether it is at a place where trainers keep the config of a network.
        of_run: whether it records a training, and so tells of a network only in sections of its own.
        of_data: whether it tells of the data of a training.
    """

    place: str
    entries: dict[Any, Any]
    known: bool
    of_run: bool = False
    of_data: bool = False

    @property
    def holds_weights(self) -> bool:
        """Whether it is a state dict."""
        keys = (key for key, value in self.entries.items() if isinstance(value, Tensor))
        return any(isinstance(key, str) and "." in key for key in keys)

    @property
    def around(self) -> str:
        """The dotted place of the dict or list that it stands in."""
        return self.place[: max(self.place.rfind("."), self.place.rfind("["), 0)]

    @property
    def name(self) -> str:
        """Its key, in words."""
        return in_words(self.place.rpartition(".")[2])

    def path_of(self, key: str) -> str:
        """The dotted path of one of its entries."""
        return dotted(self.place, key)


def sections(container: Container, with_data: bool = False, with_lists: bool = False) -> Iterator[Section]:
    """The sections of a file that may tell of its network, from the outside in, each once.

    The settings of each network in a pickled module are among them. Sections of an optimizer, a schedule, data, metrics
    and a teacher are left out, those of data unless ``with_data``, and dicts in lists unless ``with_lists``.
    """
    tops = (Section("", as_dict(top) or {}, True) for top in (container.content, container.config))
    return sections_within(*tops, with_data=with_data, with_lists=with_lists)


def sections_within(*tops: Section, with_data: bool = False, with_lists: bool = False) -> Iterator[Section]:
    """As ``sections``, of the given ones and those within them."""
    queue = deque((top, 0) for top in tops)
    seen: dict[int, Any] = {}  # dicts by their ids, which no other has while they are kept
    while queue and len(seen) < MAX_SECTIONS:
        section, depth = queue.popleft()
        if id(section.entries) in seen or OF_GRADIENT_SCALER in section.entries:
            continue
        seen[id(section.entries)] = section.entries
        yield section
        for path, entries in _nested(section.entries, with_lists) if depth < MAX_DEPTH else ():
            inner: Section | None = section
            for key in path:
                inner = inner and _step(inner, key, with_data, entries)
            if inner is not None:
                queue.append((inner, depth + 1))
        for inside, settings in section.entries.networks() if isinstance(section.entries, ModuleContents) else ():
            if not any(is_elsewhere(in_words(key)) for key in inside.split(".")):
                place = section.path_of(inside).rstrip(".")
                queue.append((replace(section, place=place, entries=settings, known=not inside), depth + 1))


def _nested(entries: dict[Any, Any], with_lists: bool) -> Iterator[tuple[tuple[str, ...], dict[Any, Any]]]:
    """(path, entries) of the dicts in another: its values, and those whose flattened entries it holds.

    Members of lists are among them if ``with_lists``.
    """
    flattened: dict[tuple[str, ...], dict[Any, Any]] = {}
    for key, value in list(entries.items())[:MAX_SECTIONS]:
        if not isinstance(key, str) or isinstance(value, Tensor) or key == IDENTITY_CARD:
            continue
        inner = as_dict(value)
        path = (key,) if key in PLACES else tuple(filter(None, _JOINT.split(key)))
        if inner is not None:
            yield path or (key,), inner
        elif with_lists and isinstance(value, list):
            listed = ((f"{key}[{index}]", item) for index, item in enumerate(value[:MAX_LISTED]))
            yield from (((place,), item) for place, item in listed if isinstance(item, dict))
        elif len(path) > 1:
            flattened.setdefault(path[:-1], {})[path[-1]] = value
    yield from flattened.items()


def _step(section: Section, key: str, with_data: bool, entries: dict[Any, Any]) -> Section | None:
    """The section of ``entries`` under a key of another, or None where it is of those that are left out."""
    words = in_words(_INDEX.sub("", key))
    of_run = key in RUNS
    of_data = with_data and is_of_data(key)
    if not of_run and not of_data and is_elsewhere(_AROUND.sub("", words) if _holds_weights(entries) else words):
        return None
    known = section.known and not of_run and not {key, words}.isdisjoint(NETWORKS if section.place else PLACES)
    return Section(section.path_of(key), entries, known, of_run, of_data)


def _holds_weights(entries: dict[Any, Any]) -> bool:
    """Whether a state dict is among the values of a dict."""
    inner = (value for value in entries.values() if isinstance(value, dict))
    return any(Section("", value, False).holds_weights for value in inner)


def is_elsewhere(words: str) -> bool:
    """Whether a key, in words, is that of a section that tells nothing of the network."""
    return bool(_ELSEWHERE.search(OF_BEST.sub("", words)))


def is_of_data(key: str) -> bool:
    """Whether a key is that of a section that tells of the data of a training."""
    return bool(_OF_DATA.fullmatch(in_words(_INDEX.sub("", key))))


def is_of_config(section: Section, key: Any) -> bool:
    """Whether what stands under a key of a section, and is no section itself, may be the config of the network.

    Text may be it under more names than an instance of a class, of which nothing but the name is known.
    """
    if not isinstance(key, str):
        return False
    words = in_words(key)
    *_, last = parts = re.sub(r"\d", "", words).split("_")
    is_text = isinstance(section.entries[key], str | list) and last not in _NO_CONFIGS and not is_elsewhere(words)
    inside = section.known and bool(section.place) and words in NETWORKS
    named = _names_config(words) or (is_text and not _CONFIGS.isdisjoint(parts) and _OF_TOOLS.isdisjoint(parts))
    return inside or section.name in _COMMANDS or key in PLACES or named


def _names_config(words: str) -> bool:
    """Whether a key, in words, is one of a config of a network or of a whole run."""
    parts = set(words.split("_"))
    return parts <= _CONFIGS | _OF_CONFIGS | _NETWORK_WORDS and not parts.isdisjoint(_CONFIGS)


def describes_network(place: str) -> bool:
    """Whether what stands at a dotted place describes the network, or what that computes, and no other thing.

    Such are the top of a file, a config, and all in a section of a network, a part of it, or its outputs.
    """
    parts = [in_words(_INDEX.sub("", part)) for part in place.replace("config.json", "config").split(".") if part]
    if set(parts) <= PLACES | NETWORKS or any(_OF_PARTS.search(part) or _OF_NETWORK.fullmatch(part) for part in parts):
        return True
    words = set(parts[-1].split("_"))
    return _names_config(parts[-1]) and (words.isdisjoint(_OF_WHOLE_RUNS) or not words.isdisjoint(_NETWORK_WORDS))


def may_describe_network(section: Section) -> bool:
    """Whether a section may do so, so that it should say nothing else of a setting than what is read elsewhere.

    Such is also one at the place of a config or of a run, by the name of a config, or with a word of networks.
    """
    words = in_words(section.place).split("_")
    named = section.known or section.of_run or _names_config(section.name) or not _NETWORK_WORDS.isdisjoint(words)
    return named or describes_network(section.place)


def is_of_results(place: str) -> bool:
    """Whether a dotted place is that of a record of how well a network does."""
    return has_word(_OF_RESULTS, place)


def as_dict(value: Any) -> dict[Any, Any] | None:
    """``value`` if it is a dict, or the dict that it is the JSON or the list of items of, with its values unpacked."""
    if isinstance(value, str) and len(value) <= MAX_TEXT and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    elif isinstance(value, list) and 0 < len(value) <= MAX_SECTIONS and all(map(_is_item, value)):
        value = dict(value)
    if not isinstance(value, dict):
        return None
    if any(map(_is_box, value.values())):
        return {key: inner["value"] if _is_box(inner) else inner for key, inner in value.items()}
    return value


def _is_item(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _is_box(value: Any) -> bool:
    return isinstance(value, dict) and "value" in value and value.keys() <= _BOX


def has_word(words: re.Pattern[str], place: str) -> bool:
    """Whether a part of a dotted place has one of ``words``, however its trainer joined them."""
    return any(words.search(in_words(part)) for part in place.split("."))


def dotted(place: str, key: str) -> str:
    """The dotted place of what stands under a key at a dotted place, "" at the top."""
    return f"{place}.{key}".lstrip(".")


def in_words(key: str) -> str:
    """A key in small letters, its words joined by underscores."""
    return re.sub(r"\W+", "_", _CAPITAL.sub("_", key[:200])).lower().strip("_")
