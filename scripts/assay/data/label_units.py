"""In which units the labels of a file are: as the caller says, or the file, or as is usual."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from assay.data.frames import Layout
from assay.workflow.errors import AssayError
from assay.workflow.units import base_unit, factor, of_structure, squeezed

USUAL = {"energy": "eV", "length": "angstrom", "forces": "eV/angstrom", "stress": "eV/angstrom^3", "virial": "eV"}


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
        AssayError: nothing tells the units, or that of forces alone; or one is not known, or cannot be.
    """
    given = {kind: unit for kind, unit in told.items() if unit is not None}
    if layout.has_usual_units:
        _check_usual(given, path)
    stated = {**layout.kinds, **_by_name(names, layout)}
    unknown = [f"{kind}: ..." for kind in ("energy", "length") if kind not in given and kind not in stated]
    if layout.unknown_units and unknown:
        raise AssayError(
            f"{path} does not say its units: name them beside its path in the config, as units: "
            f"{{{', '.join(unknown)}}}, or by --units of scripts/gather.py"
        )
    is_per_atom = False
    for said in (stated, given):
        if "energy" in said:
            per_structure = of_structure(said["energy"])
            is_per_atom, said["energy"] = per_structure != said["energy"], per_structure
    usual = {**USUAL, **layout.usual}
    if {"energy", "length"} & {*given, *stated}:
        energy, length = (base_unit({**usual, **stated, **given}[kind], kind) for kind in ("energy", "length"))
        usual |= {"forces": f"{energy}/{length}", "virial": energy, "stress": f"{energy}/{length}^3"}
    if "forces" in stated.keys() - given and not {"energy"} & {*given, *stated}:
        _check_forces(stated["forces"], usual["forces"], path)
    units = {kind: given.get(kind) or stated.get(kind) or usual[kind] for kind in ("length", *names)}
    if gradient and units[gradient][0] not in "+-":
        units[gradient] = f"-{units[gradient]}"
    return units, {kind: _factor(unit, kind, path) for kind, unit in units.items()}, is_per_atom


def _factor(unit: str, kind: str, path: str | Path) -> float:
    try:
        return factor(unit, kind)
    except AssayError as error:
        raise AssayError(f"the units of {path} are not understood: {error}") from None


def _check_usual(given: Mapping[str, str], path: str | Path) -> None:
    """Refuse units that the caller says of a file which is read in the usual ones."""
    for kind, unit in given.items():
        is_whole = of_structure(unit) == unit
        if not (is_whole and math.isclose(_factor(unit, kind, path), _factor(USUAL[kind], kind, path), rel_tol=1e-6)):
            raise AssayError(
                f"{kind} of {path} is read in {USUAL[kind]}, whatever its program writes, and not in {unit}, as the "
                "config says: leave `units` out there"
            )


def _check_forces(unit: str, usual: str, path: str | Path) -> None:
    """Refuse forces that a file states in another unit than the usual one, where it says nothing of energies."""
    if not math.isclose(abs(_factor(unit, "forces", path)), abs(_factor(usual, "forces", path)), rel_tol=1e-6):
        raise AssayError(
            f"{path} states that forces are in {unit}, but not in which unit energies are: name it beside its path in "
            "the config, as units: {energy: ...}"
        )


def _by_name(names: Mapping[str, str], layout: Layout) -> dict[str, str]:
    """The units that a file states of labels by their names."""
    found = {kind: layout.units.get(name) or layout.kinds.get(squeezed(name)) for kind, name in names.items()}
    return {kind: unit for kind, unit in found.items() if unit}
