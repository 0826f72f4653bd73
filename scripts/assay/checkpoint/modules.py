"""What is kept of a pickled module: its state dict, and the class and attributes of each module in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count, takewhile
from typing import Any

import torch

from assay.checkpoint.pickles import Name

OF_EVERY_MODULE = frozenset(vars(torch.nn.Module()))
_ACTIVATIONS = torch.nn.modules.activation


@dataclass(frozen=True)
class ModulePart:
    """One module of a network.

    Attributes:
        name: its class.
        attributes: what its code has set on it, apart from tensors and modules.
    """

    name: str
    attributes: dict[str, Any]


class ModuleContents(dict):
    """A pickled module as its state dict, its plain attributes, and the names of its children without tensors.

    Attributes:
        parts: the module itself, under "", and all modules in it, by their dotted paths.
    """

    def __init__(self, parts: dict[str, ModulePart]):
        super().__init__()
        self.parts = parts

    def networks(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(dotted path, settings) of each module in it that embeds elements as a student does.

        The settings are its attributes, and what its modules tell: their activation, the epsilon of its blocks, and the
        envelope, repulsion, floor and whether distances count from contact.
        """
        for path, part in self.parts.items():
            prefix = f"{path}." if path else ""
            if f"{prefix}embedding.weight" in self:
                yield path, part.attributes | dict(self._told_by_parts(prefix))

    def _told_by_parts(self, prefix: str) -> Iterator[tuple[str, Any]]:
        """Names and values of the settings that modules under ``prefix`` tell; the name of one that tells none."""
        activations = {called(part.name, part.attributes) for part in self._activations(prefix)}
        if activations:
            yield "activation", Name(" and ".join(sorted(activations)))
        block = self.parts.get(f"{prefix}blocks.0")
        if block is not None and "epsilon" in block.attributes:
            yield "epsilon", block.attributes["epsilon"]
        for name in ("envelope", "repulsion", "floor", "from_contact"):
            part = self.parts.get(prefix + name)
            if part is not None:
                told = part.attributes.get("kind") if name == "envelope" else part.name.startswith("assay.models.")
                yield name, told or Name(part.name)

    def _activations(self, prefix: str) -> Iterator[ModulePart]:
        """The modules between the layers of blocks and head."""
        blocks = takewhile(self.parts.__contains__, (f"{prefix}blocks.{index}" for index in count()))
        head = takewhile(self.parts.__contains__, (f"{prefix}head.{index}" for index in count(1, 2)))
        inside = (f"{block}.{layers}.1" for block in blocks for layers in ("context", "update"))
        return (self.parts[path] for path in chain(inside, head) if path in self.parts)


def called(name: str, attributes: Mapping[str, Any]) -> str:
    """A class of modules and the arguments that an instance keeps, such as "GELU(approximate=tanh)"; of an activation
    of torch those that change what it computes.
    """
    module, _, kind = name.rpartition(".")
    own = {key: value for key, value in attributes.items() if key not in OF_EVERY_MODULE}
    if module == _ACTIVATIONS.__name__:
        own = {key: own[key] for key in getattr(getattr(_ACTIVATIONS, kind, None), "__constants__", ()) if key in own}
        own.pop("inplace", None)
    plain = [f"{key}={value!s:.40}" for key, value in own.items() if isinstance(value, str | int | float)]
    return f"{name}({', '.join(plain)})" if plain else name
