"""Names that look like labels, and which of them have values that can be one.

Labels come in sets: names that are equal but for "energy", "forces", "stress" or "virial", such as ``REF_energy`` and
``REF_forces``. What is left of a name is the stem of its set.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from assay.data.frames import Frame
from assay.data.spellings import as_array
from assay.data.stated_units import tells_unit
from assay.workflow.errors import AssayError, printable

KINDS = {
    "energy": re.compile(r"energies|energy", re.I),
    "forces": re.compile(r"forces|force|gradients|gradient|grads|grad", re.I),
    "stress": re.compile(r"stresses|stress", re.I),
    "virial": re.compile(r"virials|virial", re.I),
}
_LETTERS = {"E": "energy", "F": "forces"}
_NO_LABEL = re.compile(r"weight|atom|uncert|_std|_var", re.I)
_NEUTRAL = re.compile(r"total|potential|[\W_]", re.I)
_FREE = re.compile(r"free$|^efr$")  # ends the stem of a free energy; e_fr_energy is VASP's
_CONVERGED = re.compile(r"(?:(?:is|scf|electronic)_?)?converged", re.I)
_FALSE = ("f", "false", "no", "0", "0.0")
OWN_STEMS = ("", "ref")  # of labels that need no key
OF_CELLS = ("stress", "virial")  # labels that nothing without lattice vectors has
# The weights that MACE gives the labels of a structure, in its HDF5 files and in extended XYZ, and their kinds.
WEIGHTS = {
    form.format(word): kind
    for word, kind in (("energy", "energy"), ("forces", "forces"), ("stress", "stress"), ("virials", "virial"))
    for form in ("{}_weight", "config_{}_weight", "property_weights/{}")
}


@cache
def kind_of_label(name: str) -> str | None:
    """The kind of label that a name is of: "energy", "forces", "stress" or "virial"; None if it is of none."""
    if name in _LETTERS:
        return _LETTERS[name]
    return next((kind for kind, pattern in KINDS.items() if pattern.search(name)), None)


@cache
def stem_of(name: str, kind: str) -> str:
    """What is left of the name of a label without the word of its kind, in lower case and without punctuation."""
    if name in _LETTERS:
        return ""
    return _NEUTRAL.sub("", KINDS[kind].sub("", name)).lower()


def set_of(name: str, kind: str) -> str:
    """The stem of the set that a label is of; a free energy is one of the names without that word."""
    stem = stem_of(name, kind)
    return _FREE.sub("", stem) if kind == "energy" else stem


def is_free(name: str) -> bool:
    """Whether a name is that of a free energy, as ``free_energy``, ``REF_free_energy`` and VASP's ``e_fr_energy``."""
    return kind_of_label(name) == "energy" and _FREE.search(stem_of(name, "energy")) is not None


def _kinds_of(values: Mapping[str, Any]) -> dict[str, str]:
    """The kinds of the names that may be labels; letters only side by side, for E alone may be an electric field."""
    are_letters = _LETTERS.keys() <= values.keys()
    return {
        name: kind
        for name in values
        if (kind := kind_of_label(name)) and not _NO_LABEL.search(name) and (are_letters or name not in _LETTERS)
    }


def sets_of(frame: Frame) -> dict[str, dict[str, str]]:
    """The names that look like labels, by stem and kind."""
    sets: dict[str, dict[str, str]] = {}
    values = frame.values
    for name, kind in _kinds_of(values).items():
        if values[name] is not None and _fits(frame, name, values[name]):
            own = sets.setdefault(set_of(name, kind), {})
            own[kind] = min(own.get(kind, name), name, key=_detour)
    return sets


def weightless_kinds(frame: Frame) -> set[str]:
    """The kinds of labels whose own weight is zero, as MACE marks those that it fills in, and users others."""
    weights = {name: as_array(frame.info[name]) for name in WEIGHTS if name in frame.info}
    return {WEIGHTS[name] for name, own in weights.items() if own.dtype.kind in "iuf" and own.size == 1 and own == 0.0}


def without_fillers(frame: Frame, given: Mapping[str, str | None]) -> Frame | None:
    """The structure with None in place of labels that MACE filled in: their weight is zero, and they have no value.

    Args:
        frame: the structure.
        given: the name that a caller gives to labels of each kind; None if it gives none.

    Returns:
        the structure; or None if its energy or forces are missing so, of which atoms alone need no forces.
    """
    weightless = weightless_kinds(frame)
    if not weightless:
        return frame
    values = frame.values
    own = {name: kind for name, kind in _kinds_of(values).items() if not tells_unit(name)}
    own |= {name: kind for kind, name in given.items() if name in values}
    fillers = {name for name, kind in own.items() if kind in weightless and not has_value(values[name])}
    for kind in weightless & ({"energy"} if len(frame.atomic_numbers) == 1 else {"energy", "forces"}):
        names = {name for name, other in own.items() if other == kind}
        plain = {name for name in names if set_of(name, kind) in OWN_STEMS}
        if fillers >= (plain or names if given[kind] is None else names & {given[kind]}):
            return None
    info, arrays = (
        {name: value for name, value in part.items() if name not in fillers} for part in (frame.info, frame.arrays)
    )
    unclear = tuple(name for name in frame.unclear if name not in fillers)
    return replace(frame, info=info | dict.fromkeys(fillers), arrays=arrays, unclear=unclear)


def has_value(value: Any) -> bool:
    """Whether numbers are there that are neither zero nor NaN."""
    array = as_array(value)
    return array.dtype.kind in "iuf" and bool(np.nan_to_num(array).any())


def _fits(frame: Frame, name: str, value: Any) -> bool:
    """Whether a value can be a label of the kind that its name tells."""
    kind, array = kind_of_label(name), as_array(value)
    if array.dtype.kind not in "iuf":
        return False
    if kind == "forces":
        return array.shape == frame.positions.shape
    return array.size in (6, 9) if kind in OF_CELLS else name in frame.info and array.size == 1 and array.ndim <= 1


def unfit_names(frame: Frame, stems: Container[str], known: Container[str]) -> list[str]:
    """Names of labels whose values cannot be any; one of a stem that is read, of a stress or virial, is an error.

    Args:
        frame: a structure.
        stems: those of the labels that are read.
        known: the kinds that are read, or that a key names.

    Raises:
        AssayError: it is named.
    """
    unfit, values = [], frame.values
    for name, kind in _kinds_of(values).items():
        value = values[name]
        if tells_unit(name) or _fits(frame, name, value) or is_none(value):
            continue
        is_read = kind in OF_CELLS and stem_of(name, kind) in stems and name in frame.info and kind not in known
        if is_read and frame.cell is not None:
            raise AssayError(
                f"{frame.where} has a {kind} `{name}` of {described(value)}, which should be six or nine numbers: "
                f"write it again, or name another by {kind}_key"
            )
        if as_array(value).dtype.kind in "iufO":
            unfit.append(name)
    return unfit


def free_energies_of(frame: Frame, energy: str) -> list[str]:
    """The names of free energies, which forces belong to where electrons are smeared, beside an energy.

    They are those of its set, such as ``REF_free_energy`` beside ``REF_energy``, and ASE's own ``free_energy``.
    """
    return [
        name
        for name in _kinds_of(frame.info)
        if name != energy
        and is_free(name)
        and set_of(name, "energy") in ("", set_of(energy, "energy"))
        and _fits(frame, name, frame.info[name])
    ]


def twins_of(frame: Frame, kind: str, name: str) -> list[str]:
    """Other names in the set of a label that speak of the same kind, such as ``total_energy`` beside ``energy``."""
    stem, values = stem_of(name, kind), frame.values
    return [
        other
        for other, own in _kinds_of(values).items()
        if other != name
        and own == kind
        and stem_of(other, kind) == stem
        and as_array(values[other]).dtype.kind in "iuf"
        and np.size(values[other]) == np.size(values[name])
    ]


def is_gradient(name: str) -> bool:
    """Whether a name is that of a gradient, the other sign of forces."""
    return "grad" in name.lower()


def _detour(name: str) -> tuple[bool, bool, int]:
    """How far a name is from the plain word for a label: of several of one set the nearest is read."""
    return is_gradient(name), is_free(name), len(name)


def tells_none(value: Any) -> bool:
    """Whether a value says that there is none, such as true of a bare word; numbers that are NaN do not."""
    array = as_array(value)
    return array.dtype.kind != "f" and (
        value is None or array.dtype.kind == "b" or str(value).strip().lower() in ("", "none", "nan")
    )


def is_none(value: Any) -> bool:
    """As ``tells_none``, or that nothing but NaN is there."""
    array = as_array(value)
    return bool(np.isnan(array).all()) if array.dtype.kind == "f" else tells_none(value)


def says_unconverged(frame: Frame) -> bool:
    """Whether a file says of a structure that it is not converged, as ``converged=F``."""
    said = (str(value).strip().lower() for name, value in frame.info.items() if _CONVERGED.fullmatch(name))
    return any(word in _FALSE for word in said)


def described(value: Any) -> str:
    """The shape of numbers, or anything else itself."""
    array = as_array(value)
    return f"shape {array.shape}" if array.dtype.kind in "iuf" else f"{printable(str(value), 40)!r}"
