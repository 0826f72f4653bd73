"""In which units the labels of a file are: as the caller says, or the file, or as is usual."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from assay.data.frames import Layout
from assay.data.stated_units import squeezed
from assay.workflow.units import factor, in_words
from assay.workflow.errors import AssayError

_USUAL = {"energy": "eV", "length": "angstrom", "forces": "eV/angstrom", "stress": "eV/angstrom^3", "virial": "eV"}


def units_of(
    names: Mapping[str, str], told: Mapping[str, str], layout: Layout, gradient: str, path: str | Path
) -> tuple[dict[str, str], dict[str, float], bool]:
    """The units of labels and of "length", their values, and whether energies are those of one atom.

    Those of forces, stresses and virials follow from those of energy and length, where the caller or the file says one
    of these.

    Args:
        names: the name of each kind of label in the file.
        told: the units that the caller says, by kind; None for none.
        layout: what the layout of the file tells.
        gradient: the kind that is a gradient, whose sign turns; "" if none is.
        path: the file.

    Raises:
        AssayError: nothing tells the units, or one is not known.
    """
    given = {kind: unit for kind, unit in told.items() if unit is not None}
    per_structure = re.sub(r"\s*/\s*atom$", "", given.get("energy", ""))
    is_per_atom = per_structure != given.get("energy", "")
    stated = {**layout.kinds, **_by_name(names, layout)}
    if layout.unknown_units and not {"energy", "length"} <= {*given, *stated}:
        raise AssayError(
            f"{path} does not say its units: name them beside its path in the config, as units: {{energy: ..., length: "
            "...}"
        )
    if is_per_atom:
        given["energy"] = per_structure
    usual = {**_USUAL, **layout.usual}
    if {"energy", "length"} & {*given, *stated}:
        energy, length = (in_words({**usual, **stated, **given}[kind], kind) for kind in ("energy", "length"))
        usual |= {"forces": f"{energy}/{length}", "virial": energy, "stress": f"{energy}/{length}^3"}
    units = {kind: given.get(kind) or stated.get(kind) or usual[kind] for kind in ("length", *names)}
    if gradient and units[gradient][0] not in "+-":
        units[gradient] = f"-{units[gradient]}"
    try:
        factors = {kind: factor(unit, kind) for kind, unit in units.items()}
    except AssayError as error:
        raise AssayError(f"the units of {path} are not understood: {error}") from None
    return units, factors, is_per_atom


def _by_name(names: Mapping[str, str], layout: Layout) -> dict[str, str]:
    """The units that a file states of labels by their names."""
    found = {kind: layout.units.get(name) or layout.kinds.get(squeezed(name)) for kind, name in names.items()}
    return {kind: unit for kind, unit in found.items() if unit}
