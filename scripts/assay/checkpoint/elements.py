"""Which elements a checkpoint says that its network was trained on, in whichever form its trainer wrote them."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import ase.data
from torch import Tensor

from assay.checkpoint.container import Container
from assay.checkpoint.pickles import Instance
from assay.checkpoint.sections import IDENTITY_CARD, MAX_TEXT, PLACES, as_dict, sections
from assay.workflow.errors import AssayError

MAX_ELEMENTS = 1000  # entries of a list of them
_BETWEEN = re.compile(r"[\s,;|/&+'\"()\[\]{}]+")
_RANGES = {"builtins.range", "builtins.xrange"}  # names of one class in pickles
_SYMBOL, _NUMBER = re.compile("[A-Z][a-z]?"), re.compile("[0-9]{1,3}")
_ELEMENT_LISTS = (
    "elements", "atomic_numbers", "z_table", "zs", "chemical_symbols", "type_names", "chemical_species", "type_map",
    "species",
)  # fmt: skip
_OF_NUMBERS = {"elements", "atomic_numbers", "z_table", "zs"}
_OF_ELEMENTS_ALONE = {"elements", "chemical_symbols", "chemical_species"}
_RECORDS = {"training", "train", "training_record", "metadata", IDENTITY_CARD} | PLACES


def read_elements(container: Container, max_z: int, told: Sequence[str] | None = None) -> list[str] | None:
    """Symbols of the elements that the model was trained on, by atomic number; None if nothing says.

    Args:
        container: the file.
        max_z: the largest atomic number that its network has an embedding for.
        told: the elements by a file beside it, which count where it names none itself.

    Raises:
        AssayError: elements that cannot be understood, or one beyond the embedding, whose rows then cannot be atomic
            numbers.
    """
    tops = [("", container.content), ("", container.config)]
    inner = [(f"{name}.", top.get(name)) for _, top in tops for name in sorted(_RECORDS)]
    nested = [(f"{section.place}.", section.entries) for section in sections(container) if section.known]
    places = [(place, entries) for place, it in [*tops, *inner, *nested] if (entries := as_dict(it)) is not None]
    own = [(key, place, entries.get(key)) for key in _ELEMENT_LISTS for place, entries in places]
    for key, place, value in [*own, ("elements", "", told)]:
        numbers = _elements_in(value, key in _OF_NUMBERS)
        if key not in _OF_ELEMENTS_ALONE and numbers and _repeats(value):
            continue  # the atoms of a structure
        if numbers and max(numbers) > max_z:
            raise AssayError(
                f"{container.path} lists the element {ase.data.chemical_symbols[max(numbers)]}, but its "
                f"embedding has rows for the atomic numbers up to {max_z} only: give a network whose rows are "
                "atomic numbers, and not kinds of atoms, or correct its elements"
            )
        if numbers:
            return [ase.data.chemical_symbols[z] for z in numbers]
        if key in _OF_ELEMENTS_ALONE and _says_something(value):
            where = f"{place}{key}".lstrip(".")
            raise AssayError(
                f"{container.path} says {where} = {reprlib.repr(value)}, which are no elements: give them as a list of "
                "symbols or atomic numbers"
            )
    return None


def atomic_number(value: Any) -> int:
    """The atomic number that a symbol, a number or the text of one names; -1 for anything else."""
    if isinstance(value, str):
        value = int(value) if _NUMBER.fullmatch(value) else ase.data.atomic_numbers.get(value, -1)
    return value if type(value) is int and 0 <= value < len(ase.data.chemical_symbols) else -1


def _elements_in(value: Any, of_numbers: bool) -> list[int] | None:
    """The atomic numbers, in their order, that ``value`` lists; None where it lists something else.

    The placeholder "X", and the 0 that pads a list of atomic numbers, are left out.

    Args:
        value: what the file says.
        of_numbers: whether whole numbers in it are atomic numbers, and not kinds of atoms.
    """
    items = _items(value)
    whole = {item for item in items if type(item) is int}
    padded = of_numbers and whole != set(range(len(whole)))
    least = 0 if padded else 1 if of_numbers else len(ase.data.chemical_symbols)
    numbers = [atomic_number(item) for item in items]
    if min(numbers, default=0) < 0 or min(whole, default=least) < least:
        return None
    return sorted(set(numbers) - {0}) or None


def _items(value: Any) -> list[Any]:
    """What ``value`` lists: a list, a range, a tensor, a text, or a dict from or to symbols; nothing where it is none.

    A text is a list such as "H C O", or one word such as "H-C-O" and "HCO". Two elements with a dash between them may
    be a range, and stay one word, which is no element.
    """
    if isinstance(value, Tensor):
        return value.tolist() if value.ndim == 1 and len(value) <= MAX_ELEMENTS else []
    if isinstance(value, Instance) and value.name in _RANGES:
        with suppress(TypeError, ValueError):
            value = list(range(*value.args)[: MAX_ELEMENTS + 1])
    if isinstance(value, str):
        words = list(filter(None, _BETWEEN.split(value[:MAX_TEXT])))
        if len(words) == 1:
            words = _of_one_word(words[0])
        value = words
    if not isinstance(value, list | tuple | dict) or len(value) > MAX_ELEMENTS:
        return []
    if isinstance(value, dict) and all(isinstance(it, str) and it in ase.data.atomic_numbers for it in value.values()):
        return list(value.values())
    return [int(item) if isinstance(item, str) and _NUMBER.fullmatch(item) else item for item in value]


def _of_one_word(word: str) -> list[str]:
    parts = word.split("-")
    if len(parts) > 2:
        return parts
    symbols = _SYMBOL.findall(word)
    named = (
        "".join(symbols) == word
        and len(set(symbols)) == len(symbols)
        and all(atomic_number(symbol) > 0 for symbol in symbols)
    )
    clear = len(symbols) > 2 or (len(symbols) == 2 and not word.isupper())  # and not "NO" or "OK"
    return symbols if named and clear and atomic_number(word) < 0 else [word]


def _repeats(value: Any) -> bool:
    items = _items(value)
    return len(set(items)) != len(items)


def _says_something(value: Any) -> bool:
    """Whether an entry is neither absent, a flag, a count nor empty."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "none", "null", "all", "any", "auto") and not value.strip().isdecimal()
    if isinstance(value, Tensor):
        return value.numel() > 1
    return isinstance(value, Instance) or (isinstance(value, list | tuple | dict) and bool(value))
