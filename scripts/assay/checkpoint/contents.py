"""Turns the records of a pickle into dicts, lists, numbers and tensors, without running what they name.

``NAMES`` is the short list of classes and functions whose meaning is known: tensors, plain containers, numbers, texts
and arrays of numpy. An instance of any other class becomes the dict of its entries and attributes, a module the state
dict that it would have had, a member of an Enum its value, and where there is nothing to show, the record itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from assay.checkpoint.arrays import BYTES, ArrayReader
from assay.checkpoint.modules import OF_EVERY_MODULE, ModuleContents, ModulePart, called
from assay.checkpoint.pickles import Instance, Name, Pickle, PickleError
from assay.checkpoint.tensors import DTYPES, is_storage, is_tensor_record, rebuild

MAX_ITEMS = 5_000_000  # in all containers together
MAX_KEY = 1000  # characters
MAX_MODULE_DEPTH = 40
MAX_MODULE_TENSORS = 100_000
MAX_MODULE_PARTS = 20_000
MAX_NESTED_NAMES = 10  # of classes in each other

_DICTS = {"dict", "builtins.dict", "collections.OrderedDict", "collections.defaultdict", "collections.Counter"}
_LISTS = {"set", "builtins.set", "builtins.frozenset", "builtins.list", "builtins.tuple", "collections.deque"}
_SCALAR = re.compile(r"numpy\._?core\.multiarray\.scalar")
_ARRAY = re.compile(r"numpy\._?core\.(multiarray\._reconstruct|numeric\._frombuffer)")
# Attributes in which models of pydantic and dicts of ml_collections keep their entries, and UserDict and ChainMap where
# they have no others.
_ENTRIES = ("__dict__", "__pydantic_extra__", "_fields")
_ENTRIES_ALONE = ("data", "maps")
NAMES = re.compile(
    r"collections\.(OrderedDict|defaultdict|Counter|deque)"
    r"|builtins\.(dict|list|tuple|set|frozenset|int|long|float|bool|str|bytes|bytearray|complex|range|slice)"
    r"|copyreg\.(_reconstructor|__newobj__|__newobj_ex__)|builtins\.object|_codecs\.encode"
    r"|torch\.(Size|device|Tensor|per_\w+)|torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_\w+"
    r"|numpy\.(dtype|ndarray)|numpy\._?core\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)"
)


def foreign_names(names: list[str]) -> list[str]:
    """Those of ``names`` that are not on the short list."""
    return [name for name in names if not NAMES.fullmatch(name) and name not in DTYPES and not is_storage(name)]


def read_contents(pickle: Pickle, storages: Mapping[str, Tensor]) -> Any:
    """What ``pickle`` holds: dicts, lists, plain values, tensors, and records of what has no contents to show.

    Tuples, sets and deques come as lists, arrays of numpy as tensors. What is there twice in the pickle is the same
    object here, and what holds itself does so here as well.

    Raises:
        PickleError: a tensor lies outside its storage, or the contents unfold to more than any checkpoint has.
    """
    return _Reader(storages).read(pickle.root)


class _Reader:
    """The contents of records, each made once, and how much may still be made."""

    def __init__(self, storages: Mapping[str, Tensor]):
        self.storages = storages
        self.made: dict[int, Any] = {}
        self.unfilled: list[tuple[Any, Any]] = []
        self.room = MAX_ITEMS
        self.arrays = ArrayReader()

    def read(self, root: Any) -> Any:
        """The contents of ``root`` and of all that it holds."""
        result = self.contents(root)
        while self.unfilled:
            target, source = self.unfilled.pop()
            self.spend(len(source))
            if isinstance(target, list):
                target.extend(map(self.contents, source))
            else:
                target.update((_key(key), self.contents(value)) for key, value in source)
        return result

    def spend(self, count: int) -> None:
        """Count ``count`` items against what may be made."""
        self.room -= count
        if self.room < 0:
            raise PickleError(f"contents of more than {MAX_ITEMS:,} items")

    def contents(self, source: Any) -> Any:
        """The contents of one value. Members of containers follow later, so that no depth is too deep."""
        if not isinstance(source, list | tuple | bytes | bytearray | Instance):
            return source
        if id(source) not in self.made:
            if isinstance(source, Instance):
                made = self.of_instance(source)
            else:
                made = self.list_of(source) if isinstance(source, list | tuple) else self.arrays.text(source)
            self.made[id(source)] = made
        return self.made[id(source)]

    def list_of(self, source: list | tuple) -> list:
        """A list that will have the contents of the members of ``source``."""
        target: list[Any] = []
        self.unfilled.append((target, source))
        return target

    def dict_of(self, pairs: list[tuple[Any, Any]], target: dict | None = None) -> dict:
        """A dict, new or given, that will have the contents of the values of ``pairs``."""
        target = {} if target is None else target
        self.unfilled.append((target, pairs))
        return target

    def of_instance(self, source: Instance) -> Any:
        """The contents of an instance, by what is known of its class."""
        if is_tensor_record(source):
            return rebuild(source, self.storages)
        if source.name in _DICTS:
            return self.dict_of(self.pairs(source))
        if source.name in _LISTS:
            return self.list_of(self.members(source))
        if source.name == "torch.Size" and source.args and isinstance(source.args[0], tuple):
            return self.list_of(source.args[0])
        if _SCALAR.fullmatch(source.name):
            array = self.arrays.array(source.args[1], source.args[0], ()) if len(source.args) == 2 else None
            return source if array is None else array.item()
        if _ARRAY.fullmatch(source.name):
            return self.of_array(source)
        if source.name in BYTES:
            return self.arrays.text(source)
        if source.name == "builtins.getattr":
            return self.of_attribute(source)
        if source.name == "functools.partial":
            return self.of_partial(source)
        if source.name.startswith("omegaconf."):
            return self.of_omegaconf(source)
        return self.of_foreign(source)

    def of_foreign(self, source: Instance) -> Any:
        """A module as its state dict; another instance as its entries and attributes, or what it was made of."""
        attributes = self.attributes(source)
        if "_parameters" in attributes and "_modules" in attributes:
            return self.of_module(source, attributes)
        pairs = [*self.pairs(source), *self.opened(attributes)]
        if pairs:
            return self.dict_of(pairs)
        if source.members:
            return self.list_of(source.members)
        return _value(source)

    def opened(self, attributes: dict[str, Any]) -> list[tuple[str, Any]]:
        """Attributes, with their entries in the place of a dict in which another library keeps those of its own."""
        alone = _ENTRIES_ALONE if len(attributes) == 1 else ()
        found: list[tuple[str, Any]] = []
        for key, value in attributes.items():
            inner = reversed(value) if key == "maps" and isinstance(value, list) else [value]
            opened = [self.pairs(held) for held in inner] if key in (*_ENTRIES, *alone) else []
            found += [pair for pairs in opened for pair in pairs] or [(key, value)]
        return found

    def of_attribute(self, source: Instance) -> Any:
        """What ``getattr`` would find, such as a member of an Enum, by its full name; else the record."""
        names: list[str] = []
        owner: Any = source
        while isinstance(owner, Instance) and owner.name == source.name and len(owner.args) == 2:
            owner, name = owner.args
            names.append(name)
            if not isinstance(name, str) or len(names) > MAX_NESTED_NAMES:
                return source
        return Name(".".join([owner.name, *reversed(names)])) if names and isinstance(owner, Name) else source

    def of_partial(self, source: Instance) -> Any:
        """A function by its name, or the dict of it and its arguments by name, as Hydra has it; else the record."""
        if not isinstance(source.state, tuple) or len(source.state) < 3:
            return source
        function, args, keywords, *_ = source.state
        if isinstance(function, Instance) and function.name == "builtins.getattr":
            function = self.of_attribute(function)
        if not isinstance(function, Name) or args != ():
            return source
        pairs = self.pairs(keywords)
        return self.dict_of([("_target_", function), *pairs]) if pairs else function

    def of_omegaconf(self, source: Instance) -> Any:
        """The value of a node of OmegaConf, or the contents of a container of nodes."""
        for _ in range(MAX_MODULE_DEPTH):
            attributes = self.attributes(source)
            inner = attributes.get("_content", attributes.get("_val"))
            if not isinstance(inner, Instance) or not inner.name.startswith("omegaconf."):
                return None if inner is source else self.contents(inner)
            source = inner
        raise PickleError("nodes of OmegaConf without an end")

    def of_module(self, source: Instance, attributes: dict[str, Any]) -> Any:
        """A module as its state dict and its plain attributes. One without tensors is the name of its class.

        With the name come its arguments. A child without tensors, such as an activation, appears as such a name too.
        """
        parts: dict[str, ModulePart] = {}
        tensors, children = self.state_dict(source, parts)
        if not tensors:
            return Name(called(source.name, attributes))
        plain = [(key, value) for key, value in attributes.items() if not key.startswith("_")]
        return self.dict_of([*plain, *children, *tensors], ModuleContents(parts))

    def state_dict(
        self, module: Instance, parts: dict[str, ModulePart]
    ) -> tuple[list[tuple[str, Any]], list[tuple[str, Name]]]:
        """The names and tensors of a module and its submodules, and its direct children that have no tensors.

        All modules are added to ``parts``.
        """
        tensors: list[tuple[str, Any]] = []
        submodules = self.submodules(self.attributes(module))
        children = {key: called(child.name, self.attributes(child)) for key, child in submodules}
        unread = [("", "", module, 0)]
        while unread:
            child, prefix, part, depth = unread.pop()
            attributes = self.attributes(part)
            found = self.own_tensors(attributes, prefix)
            tensors += found
            if found:
                children.pop(child, None)
            inner = self.submodules(attributes)
            parts[prefix[:-1]] = self.part(part, attributes)
            too_many = len(tensors) > MAX_MODULE_TENSORS or len(parts) > MAX_MODULE_PARTS
            if too_many or (inner and depth == MAX_MODULE_DEPTH):
                raise PickleError("modules nested more deeply than any network")
            unread += [(child or key, f"{_name(prefix + key)}.", value, depth + 1) for key, value in reversed(inner)]
        return tensors, [(key, Name(name)) for key, name in children.items()]

    def part(self, module: Instance, attributes: dict[str, Any]) -> ModulePart:
        """The class of one module, and what its own code has set on it."""
        own = [(key, value) for key, value in attributes.items() if key not in OF_EVERY_MODULE]
        return ModulePart(module.name, self.dict_of(own))

    def own_tensors(self, attributes: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
        """The parameters and persistent buffers of one module."""
        hidden = attributes.get("_non_persistent_buffers_set")
        members = self.members(hidden) if isinstance(hidden, Instance) else []
        transient = {member for member in members if isinstance(member, str)}
        found = []
        for place in ("_parameters", "_buffers"):
            for key, value in self.pairs(attributes.get(place)):
                if isinstance(key, str) and is_tensor_record(value) and not (place == "_buffers" and key in transient):
                    found.append((_name(prefix + key), value))
        return found

    def submodules(self, attributes: dict[str, Any]) -> list[tuple[str, Instance]]:
        """The modules that a module holds, by name."""
        pairs = self.pairs(attributes.get("_modules"))
        return [(key, value) for key, value in pairs if isinstance(key, str) and isinstance(value, Instance)]

    def members(self, source: Instance) -> list[Any]:
        """The members that a list, set or deque was made with and was given later."""
        first = source.args[0] if source.args and isinstance(source.args[0], list | tuple) else ()
        self.spend(len(first) + len(source.members or ()))
        return [*first, *(source.members or ())]

    def pairs(self, source: Any) -> list[tuple[Any, Any]]:
        """The entries that a dict was made with and was given later."""
        if not isinstance(source, Instance):
            return []
        found = list(source.entries or ())
        first = source.args[0] if source.args and source.name in _DICTS else None
        if isinstance(first, Instance) and first.name in _DICTS:
            found = [*(first.entries or ()), *found]
        elif isinstance(first, list):
            found = [*(tuple(pair) for pair in first if isinstance(pair, list | tuple) and len(pair) == 2), *found]
        self.spend(len(found))
        return found

    def attributes(self, source: Instance) -> dict[str, Any]:
        """The attributes that the state of an instance gives it: from a dict, or a dict and one of slots."""
        parts = source.state[:2] if isinstance(source.state, tuple) else (source.state,)
        dicts = [part for part in parts if isinstance(part, Instance) and part.name in _DICTS]
        return {key: value for part in dicts for key, value in self.pairs(part) if isinstance(key, str)}

    def of_array(self, source: Instance) -> Any:
        """An array of numpy as a tensor, one of text or objects as a list; another is the record itself."""
        if source.name.endswith("_frombuffer") and len(source.args) == 4:
            data, dtype, shape, order = source.args
            array = self.arrays.array(data, dtype, shape, "F" if order == "F" else "C")
        elif isinstance(source.state, tuple) and len(source.state) == 5:
            _, shape, dtype, fortran, data = source.state
            if isinstance(data, list):
                return self.of_objects(source, shape, data)
            array = self.arrays.array(data, dtype, shape, "F" if fortran is True else "C")
        else:
            return source
        if array is None:
            return source
        return array.tolist() if array.dtype == object else torch.from_numpy(array)

    def of_objects(self, source: Instance, shape: Any, items: list[Any]) -> Any:
        """The one object in an array of numpy, or the list of those along its axis; else the record itself."""
        if isinstance(shape, tuple) and len(shape) == 1:
            return self.list_of(items)
        single = shape == () and len(items) == 1
        nested = single and isinstance(items[0], Instance) and _ARRAY.fullmatch(items[0].name)
        return self.contents(items[0]) if single and not nested else source


def _value(source: Instance) -> Any:
    """The number or text that an instance of a class was made of, such as a member of an Enum, or its record."""
    args, bare = source.args, source.name.rpartition(".")[2]
    if source.state is not None or source.keywords is not None:
        return source
    if source.name.startswith("pathlib.") and args and all(isinstance(part, str) for part in args):
        return "/".join(args)
    return args[0] if bare[:1].isupper() and len(args) == 1 and isinstance(args[0], str | int | float) else source


def _key(key: Any) -> Any:
    """``key`` as one of a dict here: as it is if it is text or a small number, else a record that equals only itself.

    Others could be made to collide, or to take for ever to hash.
    """
    if isinstance(key, str):
        return _name(key)
    if key is None or isinstance(key, bool | Name | Instance) or (isinstance(key, int) and abs(key) < 1 << 31):
        return key
    return Instance("key", (key,))


def _name(text: str) -> str:
    if len(text) > MAX_KEY:
        raise PickleError(f"a name of more than {MAX_KEY} characters")
    return text
