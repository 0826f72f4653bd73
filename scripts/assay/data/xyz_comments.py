"""What the comment line of a frame of (extended) XYZ says, in the forms in which programs write it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from ase.io.extxyz import key_val_str_to_dict

from assay.data.label_names import kind_of_label
from assay.data.lammps_files import is_extended_dump
from assay.data.spellings import is_cell, is_pbc, numbers_in
from assay.data.stated_units import stated_units
from assay.structures.structure import tells_charge_or_spin
from assay.workflow.errors import AssayError
from assay.workflow.units import DIMENSIONS, factor

_QUOTED = "|".join(rf"{a}(?:\\.|[^{b}\\])*{b}" for a, b in (('"', '"'), ("'", "'"), (r"\[", r"\]"), (r"\{", r"\}")))
_PARTS = re.compile(
    r"""(?P<empty>(?<!\S)[\w-]+\s*=\s*(?:""|''|\[\]|{})(?=\s|$))"""
    rf"|(?P<quoted>{_QUOTED})|(?<!\w)(?P<special>Lattice|stress|virial)(?=[\s=]|$)"
)
# Names are text, and not the numbers and truths that ASE reads in 0012, 12e456 and F.
_TEXT = re.compile(r"""(?<![^\s])(?P<name>name|molecule)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"]+))""")
_VALUES = re.compile(rf"=\s*(?:{_QUOTED})")
_COLUMNS = re.compile(r"(?i)(?<!\S)properties\s*=\s*\w+:[a-z]:\d")
_DFTB_OF_CELL = re.compile(r"(?i)Geometry step:\s*\d+\s*,\s*Lattice step:\s*\d+(?!.*\blattice=)")
_IN_WORDS = re.compile(r"(?<!\S)(\w+):?\s+([-+]?\d+)(?![\w.+-])")
_UNIT = r":?\s+[(\[]?(atomic units?|[^\s,;()\[\]]+)"
_UNIT_IN_WORDS = re.compile(rf"(?i)(?:(?<!\S)units?(?=:)|(?:^|[,;(])\s*units?){_UNIT}")
_LENGTH_IN_WORDS = re.compile(
    rf"(?i)(?<!\S)(?:coordinates?|coords?|positions?|geometry|lengths?|distances?)(?::?\s+(?:are|given|in))*{_UNIT}"
)
# But for that of a number, and of what has another unit.
_BOHR = re.compile(r"(?i)(?<![\w/*^.=-])(?<![\d.]\s)(?<!\bper\s)(?<!\be\s)(?<!\bfrom\s)bohr(?![\w/*^=-]|\s+magneton)")
_WORDS = re.compile(r"[^\s,;:()\[\]]{2,}")
_IPI_CELL = re.compile(r"CELL[(\[{](\w+)[)\]}]:((?:\s+[-+.\d][-+.\deE]*)+)")
_IPI_UNIT = re.compile(r"(?<!\S)(\w+)\{(\w+)\}")
_IPI_LENGTHS = {"atomic_unit": "bohr", "nanometer": "nm", "picometer": "pm"}  # those that have another name here
_IPI_POSITIONS = ("positions", "x_centroid")


def said_in(comment: str, where: str) -> dict[str, Any]:
    """Names and values of a comment line.

    Raises:
        AssayError: a value cannot be read, or holds what seem to be the next ones; bohr are named, and not of what; it
            is of a run of DFTB+ that changes its cell; or it is of i-PI, and its columns are no positions, or its cell
            or units cannot be read.
    """
    if _IPI_CELL.search(comment):
        return _said_by_ipi(comment, where)
    if _DFTB_OF_CELL.search(comment):
        raise AssayError(f"{where} is of DFTB+, whose cell does not stand here: give geo_end.gen of its run")
    try:
        info = key_val_str_to_dict(_PARTS.sub(_for_ase, comment))
    except (ValueError, TypeError):
        raise AssayError(f"{where} has a comment line with a value that cannot be read: correct it") from None
    if _COLUMNS.search(comment) and not any(name.lower() == "properties" for name in info):
        raise AssayError(
            f"{where} has a quote or bracket that is not closed before the Properties in its comment line: put the "
            "value that it is part of into double quotes"
        )
    said = {key.removesuffix("__"): _value(key.removesuffix("__"), value) for key, value in info.items()}
    if is_extended_dump(comment):
        said = {"pressure" if key == "Stress" else key: value for key, value in said.items()}
    for word in [key for key in said if _tells(key) and not re.search(rf"\b{re.escape(key)}\s*=", comment)]:
        said.pop(word)  # of a sentence, such as "periodic slab", "water molecule" or "energy -11.0"
    texts = {part["name"]: part["quoted"] or part["bare"] for part in _TEXT.finditer(comment)}
    said |= {name: text for name, text in texts.items() if name in said and not isinstance(said[name], str)}
    words = _VALUES.sub("=", comment)
    return said | _told_in_words(words, said) | _units_in_words(words, said, where)


def _tells(name: str) -> bool:
    """Whether a value of this name is of weight, and not only a word."""
    return is_pbc(name) or kind_of_label(name) is not None or name.lower() in ("name", "molecule")


def _for_ase(part: re.Match[str]) -> str:
    """Part of a comment line as ASE understands it.

    ASE takes what follows an empty value for the value, and nothing but nine numbers for that of three names.
    """
    return "" if part["empty"] else part["quoted"] or f"{part['special']}__"


def _told_in_words(words: str, said: dict[str, Any]) -> dict[str, Any]:
    """The charge and the spin that stand behind their names without "=", as in ``total charge -2, spin 1``."""
    found = _IN_WORDS.findall(words)
    return {name: int(number) for name, number in found if tells_charge_or_spin(name) and said.get(name, True) is True}


def _units_in_words(words: str, said: dict[str, Any], where: str) -> dict[str, str]:
    """The units that stand there without "=", as in ``units: bohr`` and ``Coordinates (a.u.)``, if they are any."""
    if "length" in stated_units(said):
        return {}
    units = [unit for unit in _UNIT_IN_WORDS.findall(words) if any(_is_unit(unit, kind) for kind in DIMENSIONS)]
    lengths = [unit for unit in _LENGTH_IN_WORDS.findall(words) if _is_unit(unit, "length")]
    found = {name: told[0] for name, told in (("units", units), ("positions_unit", lengths)) if told}
    if not found and _BOHR.search(words):
        raise AssayError(
            f"{where} has `bohr` in its comment line, and not of what: write units=bohr if positions are in bohr, or "
            "leave it out"
        )
    found = {name: unit for name, unit in found.items() if _changes(unit)}
    chosen = {word for unit in found.values() for word in (unit, *unit.split())}
    others = [word for word in _WORDS.findall(words) if word not in chosen]
    differing = next((word for word in others if any(_is_unit(word, kind) for kind in DIMENSIONS)), None)
    if found and differing:
        raise AssayError(
            f"{where} has `{next(iter(found.values()))}` and `{differing}` in its comment line, and does not say of "
            "which numbers: write units=..., energy_unit=... and positions_unit=... for them, or leave the words out"
        )
    return found


def _changes(word: str) -> bool:
    """Whether a word is a unit in which some number is another than in eV and angstrom."""
    return any(_is_unit(word, kind) and factor(word, kind) != 1.0 for kind in DIMENSIONS)


def _is_unit(word: str, kind: str) -> bool:
    try:
        factor(word, kind)
    except AssayError:
        return False
    return True


def _value(name: str, value: Any) -> Any:
    """A value, as numbers if it is a cell, a label or a charge that was written as text, such as a nested list."""
    if not isinstance(value, str) or not (is_cell(name) or kind_of_label(name) or tells_charge_or_spin(name)):
        return value
    numbers = numbers_in(value)
    return value if numbers is None else numbers


def _said_by_ipi(comment: str, where: str) -> dict[str, Any]:
    """The cell and the unit of positions of a line as ``# CELL(abcABC): ... positions{atomic_unit} cell{angstrom}``."""
    units = {name: _IPI_LENGTHS.get(unit, unit) for name, unit in _IPI_UNIT.findall(comment)}
    of_cell, others = units.pop("cell", None), [name for name in units if name not in _IPI_POSITIONS]
    if others:
        raise AssayError(f"{where} holds {others[0]} of i-PI, and no positions: give the file of its positions")
    unit = next(iter(units.values()), None)
    if unit is None or of_cell is None:
        raise AssayError(
            f"{where} is of i-PI, but does not say its units: add positions{{atomic_unit}} cell{{atomic_unit}} to its "
            "comment line, or whatever they are"
        )
    match = _IPI_CELL.search(comment)
    assert match is not None
    try:
        scale = factor(of_cell, "length") / factor(unit, "length")
    except AssayError as error:
        raise AssayError(f"{where} is of i-PI, in a unit that is not understood: {error}") from None
    numbers = np.array(match[2].split(), dtype=np.float64)
    if match[1] == "abcABC" and numbers.shape == (6,):
        cell = numbers * np.repeat([scale, 1.0], 3)
    elif match[1] == "H" and numbers.shape == (9,):
        cell = scale * numbers.reshape(3, 3).T  # it writes lattice vectors as columns
    else:
        raise AssayError(f"{where} has a cell {match[1]} of i-PI that cannot be read: write it as abcABC")
    return {"cell": cell, "positions_unit": unit}
