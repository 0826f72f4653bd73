"""The units that a checkpoint states of itself, which have to be those that its energies are taken to have."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from assay.checkpoint.container import Container
from assay.checkpoint.sections import (
    OF_WHAT,
    RUNS,
    Section,
    as_dict,
    describes_network,
    in_words,
    is_of_data,
    is_of_results,
    sections,
)
from assay.workflow.errors import AssayError
from assay.workflow.units import KIND_WORDS, factor, kind_in_letters, unit_told_by

MAX_UNITS = 100  # characters of units in one text
MAX_LISTED = 100  # units of one list
# What names a unit of each kind that a network has.
_KINDS = {kind: f"(?:{'|'.join(KIND_WORDS[kind])})" for kind in ("energy", "length", "forces")}
_UNITS = re.compile(r"(?:model_|output_|label_|ase_|property_)?units?|unit_(?:system|style)")
_BOX = ("name", "unit", "symbol")  # keys under which a dict has the text of one unit
_OWN_SYSTEMS = {"ase", "metal"}  # of ASE and of LAMMPS: eV and angstrom
_PAIR = re.compile(r"\s*([\w ]+?)\s*[:=]\s*([^,;:=]+)")  # such as "energy: eV"
_OTHER_UNITS = {"fs", "ps", "e", "amu", "u", "K", "GPa"}  # of quantities that a network does not have
_OF_OTHERS = {"time", "mass", "charge", "temperature", "dipole"}
_SEPARATOR = re.compile(r"\s*(?:,|;|\band\b|\s)\s*")


def check_units(container: Container, units: Mapping[str, str] | None) -> None:
    """Refuse a file that states other units than eV and angstrom, unless the user says which they are.

    Raises:
        AssayError: it states others, and ``units`` is not given.
    """
    for place, unit, kind in () if units else _stated(container):
        if not _is_of_assay(unit, kind):
            raise AssayError(
                f"{container.path} says {place} = {reprlib.repr(unit)}, and its energies would be taken to be in eV, "
                "distances in angstrom: train or convert it in those, or say as variants.<name>.units in which its "
                "network computes: {energy: eV, length: angstrom} where that is the unit of something else"
            )


def positive_factor(unit: str, kind: str) -> float:
    """The value of a unit of "energy" or "length" in eV or angstrom.

    Raises:
        AssayError: the unit is not known, or its value is none that a network can be trained in.
    """
    with suppress(OverflowError):
        value = factor(unit, kind)
        if 0.0 < value < math.inf:
            return value
    raise AssayError(f"{unit!r} is no unit of {kind} that a network is trained in: give one without a sign, such as eV")


def are_of_assay(units: Mapping[str, str]) -> bool:
    """Whether units of "energy" and "length" are eV and angstrom.

    Raises:
        AssayError: one of them is not known.
    """
    return all(positive_factor(unit, kind) == 1.0 for kind, unit in units.items())


def _stated(container: Container) -> Iterator[tuple[str, str, str | None]]:
    """(place, unit, kind) of every unit that a file states of its network; kind is None where it names none."""
    for section in sections(container, with_data=True, with_lists=True):
        for key, value in section.entries.items() if not is_of_results(section.name) else ():
            if not isinstance(key, str):
                continue
            place, told = section.path_of(key), unit_told_by(key) or unit_told_by(f"{_owner(section, key)}_unit")
            units = as_dict(value) or _pairs(value)
            if told in _KINDS:
                yield from ((place, unit, told) for unit in _texts(value))
            elif told:
                kinds = ((unit, _kind_of_other(told, unit)) for unit in _texts(value))
                yield from ((place, unit, kind) for unit, kind in kinds if kind is not None)
            elif _UNITS.fullmatch(in_words(key)) and units and units.keys().isdisjoint(_BOX):
                yield from _of_kinds(place, units)
            elif _UNITS.fullmatch(in_words(key)) and (section.known or section.of_data):
                yield from ((place, unit, None) for unit in _texts(value))


def _owner(section: Section, key: str) -> str:
    """What ``unit`` in a section such as ``targets.energy`` is the unit of; "" for other keys and sections."""
    if unit_told_by(key) is None or is_of_results(section.place) or not _tells_of_labels(section.around):
        return ""
    is_listed = section.place.endswith("]")
    told = [key for key in OF_WHAT if is_listed or key != "target"]  # which may be that of an early stop
    names = [section.place.rpartition(".")[2], *map(section.entries.get, told)]
    return next((name for name in names if isinstance(name, str) and unit_told_by(f"{name[:MAX_UNITS]}_unit")), "")


def _tells_of_labels(place: str) -> bool:
    """Whether what stands at a dotted place is the network's, or what it learns; no record of errors, and no limit."""
    parts = place.split(".")
    return describes_network(place) or parts[-1] in RUNS or any(map(is_of_data, parts))


def _texts(value: Any) -> list[str]:
    """The units in a text, a list of texts, or a dict that has a text under "name"; none in anything else."""
    if isinstance(value, dict):
        value = next((value[key] for key in _BOX if key in value), None)
    texts = value if isinstance(value, list) and len(value) <= MAX_LISTED else [value]
    return [text for text in texts if isinstance(text, str)]


def _kind_of_other(letters: str, unit: str) -> str | None:
    """The kind of a label by another name, such as ``dft_energy_unit``; None where what it says is no unit of it."""
    kind = kind_in_letters(letters)
    return kind if kind in _KINDS and _factor(unit, kind) is not None else None


def _pairs(text: Any) -> dict[str, str]:
    """The units of a text that names what each is of, such as "energy: eV, length: angstrom"; none of another."""
    parts = re.split("[,;]", text) if isinstance(text, str) and len(text) <= MAX_UNITS else []
    matches = [match for part in parts if (match := _PAIR.fullmatch(part))]
    known = {word for words in KIND_WORDS.values() for word in words} | _OF_OTHERS
    if len(matches) < len(parts) or not all(in_words(match[1]) in known for match in matches):
        return {}
    return {match[1]: match[2] for match in matches}


def _of_kinds(place: str, units: dict[Any, Any]) -> Iterator[tuple[str, str, str]]:
    for key, unit in units.items():
        for kind, words in _KINDS.items():
            if isinstance(key, str) and re.fullmatch(words, in_words(key)):
                yield from ((f"{place}.{key}", text, kind) for text in _texts(unit))


def _is_of_assay(unit: str, kind: str | None) -> bool:
    """Whether a unit, or each of several in one text, is that of ASE; one that nobody knows is not."""
    if not unit.strip() or unit.strip().lower() in _OWN_SYSTEMS:
        return True
    if len(unit) > MAX_UNITS:
        return False
    words = [unit] if kind is not None else [word for word in _SEPARATOR.split(unit.strip()) if word]
    kinds = [kind] if kind is not None else [*_KINDS]
    return all(_is_one(word, kinds) or (kind is None and word in _OTHER_UNITS) for word in words)


def _is_one(unit: str, kinds: list[str]) -> bool:
    """Whether the first of some kinds of which a unit is one has it as its own."""
    factors = (_factor(unit, kind) for kind in kinds)
    return next((value for value in factors if value is not None), None) == 1.0


def _factor(unit: str, kind: str) -> float | None:
    """The value of a unit in eV and angstrom; None where it is no unit of the kind."""
    with suppress(AssayError, OverflowError):
        return factor(unit, kind)
    return None
