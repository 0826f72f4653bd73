"""Units that a file states beside its labels, under any name with "unit" in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from assay.data.spellings import is_cell, numbers_in
from assay.workflow.errors import AssayError
from assay.workflow.units import KIND_WORDS, factor, is_atomic

_KINDS = {word: kind for kind, words in KIND_WORDS.items() for word in words}
_LABEL = re.compile("energ|force|grad|stress|virial")


def squeezed(name: str) -> str:
    """A name in small letters, without digits and punctuation."""
    return re.sub(r"[\W_\d]", "", name).lower()


@cache
def tells_unit(name: str) -> bool:
    """Whether a name tells a unit of labels or lengths: ``units``, ``Energy_Unit``, ``r_unit`` and the like."""
    return _told(name) is not None


def stated_units(said: Mapping[str, Any]) -> dict[str, str]:
    """The units that names and values state, by kind of label, and "length" for positions and cells.

    That of a label by another name, such as ``dft_energy_unit``, is found by the letters of this name. Where no kind is
    named, as by ``units``, the value tells it: atomic units are those of energy and length. A number, such as an
    ``energy_per_formula_unit``, is no unit, and neither is a name alone.
    """
    found: dict[str, str] = {}
    for name, value in said.items():
        told = _told(str(name))
        if isinstance(value, Mapping) and "unit" in str(name).lower():
            units = stated_units({f"{key} unit": unit for key, unit in value.items()})
        elif told is None or value is True or not (text := text_of(value)) or numbers_in(text) is not None:
            continue
        else:
            units = {told: text}
        for kind, unit in units.items():
            found[kind] = unit if found.get(kind, unit) == unit else f"{found[kind]} and {unit}"
    return _of_all(found.pop("", "")) | found


def text_of(value: Any) -> str:
    """A value as text, also where it stands in a list of its own."""
    if isinstance(value, np.ndarray | list | tuple) and np.size(value) == 1:
        value = np.ravel(value)[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value).strip()


@cache
def _told(name: str) -> str | None:
    """What a name tells the unit of; "" if it says "unit" alone, None if it tells none of a label."""
    if "unit" not in name.lower() or is_cell(name):
        return None
    word = re.sub(r"units?", "", squeezed(name))
    return _KINDS.get(word) or (word if not word or _LABEL.search(word) else None)


def _of_all(unit: str) -> dict[str, str]:
    """The kinds that one unit for everything is the unit of; energies if it is none of any kind."""
    if is_atomic(unit):
        return {"energy": unit, "length": unit}
    for kind in ("energy", "length", "forces", "stress"):
        try:
            factor(unit, kind)
        except AssayError:
            continue
        return {kind: unit}
    return {"energy": unit} if unit else {}
