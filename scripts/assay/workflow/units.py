"""Units of labels by name, as users and files write them, converted with the constants of ``ase.units``."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import ase.units
import numpy as np

from assay.workflow.errors import AssayError

# How files and papers spell units, in lower case, and the value of each in ASE's units (eV, angstrom).
_ENERGIES = {
    "ev": ase.units.eV,
    "electronvolt": ase.units.eV,
    "millielectronvolt": 1e-3 * ase.units.eV,
    "mev": 1e-3 * ase.units.eV,
    "hartree": ase.units.Hartree,
    "ha": ase.units.Hartree,
    "eh": ase.units.Hartree,
    "mha": 1e-3 * ase.units.Hartree,
    "meh": 1e-3 * ase.units.Hartree,
    "mhartree": 1e-3 * ase.units.Hartree,
    "millihartree": 1e-3 * ase.units.Hartree,
    "rydberg": ase.units.Rydberg,
    "ry": ase.units.Rydberg,
}
_MOLAR_ENERGIES = {  # never without "mol"
    "kcal": ase.units.kcal,
    "kilocalorie": ase.units.kcal,
    "kj": ase.units.kJ,
    "kilojoule": ase.units.kJ,
    "j": ase.units.J,
    "joule": ase.units.J,
}
_LENGTHS = {
    "angstrom": ase.units.Ang,
    "ang": ase.units.Ang,
    "aa": ase.units.Ang,
    "a": ase.units.Ang,
    "bohr": ase.units.Bohr,
    "a0": ase.units.Bohr,
    "nm": ase.units.nm,
    "nanometer": ase.units.nm,
    "nanometre": ase.units.nm,
    "pm": 1e-2 * ase.units.Ang,
    "picometer": 1e-2 * ase.units.Ang,
    "picometre": 1e-2 * ase.units.Ang,
}
_PRESSURES = {
    "gpa": ase.units.GPa,
    "gigapascal": ase.units.GPa,
    "mpa": 1e-3 * ase.units.GPa,
    "megapascal": 1e-3 * ase.units.GPa,
    "pa": ase.units.Pascal,
    "pascal": ase.units.Pascal,
    "bar": ase.units.bar,
    "kbar": 1e3 * ase.units.bar,
    "kilobar": 1e3 * ase.units.bar,
    "kb": 1e3 * ase.units.bar,
}
# The value of each word, and its powers of energy, length and amount of substance.
_WORDS = (
    {word: (value, (1, 0, 0)) for word, value in _ENERGIES.items()}
    | {word: (value, (1, 0, 1)) for word, value in _MOLAR_ENERGIES.items()}
    | {word: (value, (0, 1, 0)) for word, value in _LENGTHS.items()}
    | {word: (value, (1, -3, 0)) for word, value in _PRESSURES.items()}
    | dict.fromkeys(("mol", "mole"), (ase.units.mol, (0, 0, 1)))
)
_TERM = re.compile(r"(?P<sign>[*/]?)\s*(?P<word>[a-z]+0?)\s*(?:(?:(?:\^|\*\*)\s*)?(?P<power>-?\d+))?\s*")

_ONE_WORD = {"a.u.": "au", "ang.": "ang", "electron volt": "electronvolt"}
_ATOMIC = {"au", "a.u.", "atomic", "atomic units", "atomic unit", "atomic_units", "atomic_unit"}

# The power of an energy and of a length in each kind of label.
DIMENSIONS = {"energy": (1, 0), "length": (0, 1), "forces": (1, -1), "stress": (1, -3), "virial": (1, 0)}
# The words by which names of units, such as ``energy_unit`` and ``units_of_forces``, say what they are units of.
KIND_WORDS = {
    "energy": ("energy", "energies", "e"),
    "forces": ("force", "forces", "f"),
    "length": (
        *("length", "lengths", "distance", "distances", "position", "positions", "pos"),
        *("coordinate", "coordinates", "coord", "coords", "r", "cell", "lattice", "cutoff"),
    ),
    "stress": ("stress", "stresses"),
    "virial": ("virial", "virials"),
}
_KIND_OF = {word: kind for kind, words in KIND_WORDS.items() for word in words}
_OF_LABELS = re.compile("(?P<energy>energ)|(?P<forces>force|grad)|(?P<stress>stress)|(?P<virial>virial)")
EXAMPLES = {
    "energy": "eV, meV, hartree, rydberg, kcal/mol, kJ/mol",
    "length": "angstrom, bohr, nm",
    "forces": "eV/angstrom, hartree/bohr, kcal/mol/angstrom",
    "stress": "eV/angstrom^3, GPa, kbar",
    "virial": "eV, hartree, kcal/mol",
}


def factor(unit: str, kind: str) -> float:
    """The value of a unit in eV and angstrom.

    Args:
        unit: a product or quotient of names and powers, such as "kcal/mol/angstrom", "hartree/bohr", "GPa" or "eV/A^3";
            "au" stands for the atomic unit of the kind, and in a quotient for hartree or bohr. A leading "-" turns the
            sign, as gradients and stresses under pressure need.
        kind: a key of ``DIMENSIONS``.

    Raises:
        AssayError: the unit is not known, or is one of something else.
    """
    text = _spelled(unit)
    text, sign = text.lstrip("+-").strip(), -1.0 if text.startswith("-") else 1.0
    text = re.sub(r"/\s*\(([^)]*)\)", lambda match: "/" + re.sub(r"[*\s]+", "/", match[1].strip()), text)
    energy, length = DIMENSIONS[kind]
    if is_atomic(text):
        return sign * float(ase.units.Hartree**energy * ase.units.Bohr**length)
    text = text.replace("_", "")
    value, powers, position = 1.0, np.zeros(3, int), 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise _unknown(unit, kind)
        power = int(match["power"] or 1) * (-1 if match["sign"] == "/" else 1)
        word = base_unit(match["word"], "length" if power < 0 else "energy")
        word = word if word in _WORDS else word.removesuffix("s")
        if word not in _WORDS:
            raise _unknown(unit, kind)
        value, powers = value * _WORDS[word][0] ** power, powers + np.array(_WORDS[word][1]) * power
        position = match.end()
    if powers.tolist() != [energy, length, 0]:
        raise _unknown(unit, kind)
    return sign * value


def _spelled(unit: str) -> str:
    """A unit in small letters of ASCII: raised numbers, signs and abbreviations as they are typed."""
    text = unicodedata.normalize("NFKC", unit.replace("·", "*").replace("⋅", "*").replace("×", "*")).strip().lower()
    text = re.sub("å(?:ngstr[oö]m)?|angström", "angstrom", text.replace("\N{MINUS SIGN}", "-"))
    for typed, word in _ONE_WORD.items():
        text = text.replace(typed, word)
    return re.sub(r"[\s_]+per[\s_]+", "/", text)


def of_structure(unit: str) -> str:
    """A unit of energy without "/atom", by which it is one of the energy of each atom."""
    return re.sub(r"\s*/\s*atoms?$", "", unit, flags=re.IGNORECASE)


def base_unit(unit: str, kind: str) -> str:
    """The name of a unit of energy or length that units of forces and stresses can be made of, also of "au"."""
    return {"energy": "hartree", "length": "bohr"}[kind] if is_atomic(unit) else unit


def squeezed(name: str) -> str:
    """A name in small letters, without digits and punctuation."""
    return re.sub(r"[\W_\d]", "", name).lower()


@cache
def unit_told_by(name: str) -> str | None:
    """What a name tells the unit of.

    It is a kind of ``DIMENSIONS`` for ``energy_unit``, ``unitsOfForces``, ``in_units_r`` and the like; the letters of
    another label for ``dft_energy_unit``; "" for ``units``; None for a name that tells no unit, such as ``unit_cell``.
    """
    if "unit" not in name.lower():
        return None
    letters = squeezed(name)
    word = re.sub(r"(?:^in)?units?(?:of)?", "", letters)
    if letters in ("unitcell", "unitcells"):
        return None
    return _KIND_OF.get(word) or (word if not word or _OF_LABELS.search(word) else None)


def kind_in_letters(letters: str) -> str | None:
    """The kind of a label by the letters of its name, such as "energy" of ``dftenergy``; None where they tell none."""
    match = _OF_LABELS.search(letters)
    return None if match is None else match.lastgroup


def is_atomic(unit: str) -> bool:
    """Whether a unit is the atomic unit of whatever it is the unit of."""
    return unit.strip().lower() in _ATOMIC


def _unknown(unit: str, kind: str) -> AssayError:
    return AssayError(f"{unit!r} is no unit of {kind} that is known: use one such as {EXAMPLES[kind]}")
