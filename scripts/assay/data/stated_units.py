"""Units that a file states beside its labels, under any name with "unit" in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from assay.data.spellings import numbers_in
from assay.workflow.errors import AssayError
from assay.workflow.units import factor, is_atomic, unit_told_by


def tells_unit(name: str) -> bool:
    """Whether a name tells a unit of labels or lengths: ``units``, ``Energy_Unit``, ``r_unit`` and the like."""
    return unit_told_by(name) is not None


def stated_units(said: Mapping[str, Any]) -> dict[str, str]:
    """The units that names and values state, by kind of label, and "length" for positions and cells.

    That of a label by another name, such as ``dft_energy_unit``, is found by the letters of this name. Where no kind is
    named, as by ``units``, the value tells it: atomic units are those of energy and length. A number, such as an
    ``energy_per_formula_unit``, is no unit, and neither is a name alone.
    """
    found: dict[str, str] = {}
    for name, value in said.items():
        told = unit_told_by(str(name))
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
