"""Which names of a file are its labels, and in which units they are."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.data.frames import Frame, Layout
from assay.data.label_names import (
    KINDS,
    OF_CELLS,
    OWN_STEMS,
    described,
    free_energies_of,
    is_free,
    is_gradient,
    is_none,
    kind_of_label,
    set_of,
    sets_of,
    tells_none,
    twins_of,
    unfit_names,
)
from assay.data.label_units import units_of
from assay.data.stated_units import stated_units
from assay.structures.structure import Structure, full_stress, told_charge_and_spin
from assay.workflow.errors import AssayError
from assay.workflow.units import base_unit

_RIVALS = {"energy": 1e-4, "forces": 1e-3}  # and the differences that rounding to a file explains, in its units
_ORDER = "six numbers are xx, yy, zz, yz, xz, xy"
_WORDS = {"stress": f"positive under tension, as in ASE; {_ORDER}", "virial": f"minus volume times stress; {_ORDER}"}


@dataclass(frozen=True)
class LabelKeys:
    """What a caller says of the labels of a file; None where the file is to tell.

    Attributes:
        energy_key, forces_key: the names of energies and forces.
        stress_key, virial_key: the names of stresses, positive under tension, or of virials, minus volume times stress;
            of nine numbers, or of six in the order xx, yy, zz, yz, xz, xy.
        units: the units of "energy", "length", "forces", "stress" and "virial"; those that are not given follow from
            the first two, if these are. An energy may be one per atom ("eV/atom").
        elements: the symbols of the elements of types, in the order of these, where a file has types alone.
    """

    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    virial_key: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    elements: Sequence[str] = ()

    @property
    def given(self) -> dict[str, str | None]:
        """The name that is given of each kind of label; None where it is not."""
        return {kind: getattr(self, f"{kind}_key") for kind in KINDS}


@dataclass(frozen=True)
class Labels:
    """The names of labels in a file, and what turns them into eV and angstrom.

    Attributes:
        names: the name of each kind that the file has: "energy", "forces", "stress", "virial".
        units: the unit of each of these, and of "length".
        factors: the value of each unit.
        per_atom: whether energies are those of one atom.
        ignored: other names that look like labels.
        stated: the units that the structure itself states, which must be those of all.
    """

    names: Mapping[str, str]
    units: Mapping[str, str]
    factors: Mapping[str, float]
    per_atom: bool = False
    ignored: tuple[str, ...] = ()
    stated: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """What is read as what, in words."""
        read = [
            f"{kind} from `{name}` ({', '.join(filter(None, (self.units[kind], _WORDS.get(kind, ''))))})"
            for kind, name in self.names.items()
        ]
        ignored = f"; not read: {', '.join(f'`{name}`' for name in self.ignored)}" if self.ignored else ""
        return f"{', '.join(read)}, lengths in {self.units['length']}{ignored}"

    @property
    def read_as(self) -> dict[str, str]:
        """The units that "energy", "forces" and, if there is one, "stress" are read in, as ``Dataset`` keeps them."""
        read = {kind: self.units[kind] for kind in ("energy", "forces", "stress") if kind in self.names}
        if "virial" in self.names and "stress" not in read:
            read["stress"] = f"{base_unit(self.units['virial'], 'energy')}/angstrom^3"
        return read | ({"energy": f"{read['energy']}/atom"} if self.per_atom else {})

    def structure(self, frame: Frame, default_name: str) -> Structure:
        """The labelled structure of a frame, in eV and angstrom.

        Raises:
            AssayError: a label is missing, or has another shape than it should have; there is a stress, but no cell; or
                a charge or a spin is not whole; or its units are not those of the structures before it.
        """
        values, length, stated = frame.values, self.factors["length"], stated_units(frame.info)
        if stated != self.stated:
            this, that = (
                ", ".join(f"{kind} in {unit}" for kind, unit in said.items()) or "no units"
                for said in (stated, self.stated)
            )
            raise AssayError(
                f"{frame.where} states {this}, but those before it {that}: write all in the same units, and state them "
                "in each"
            )
        found: dict[str, Any] = {}
        for kind, name in self.names.items():
            missing = (is_none if kind in OF_CELLS else tells_none)(values.get(name))
            if missing and kind in _RIVALS:
                others = " or ".join(f"`{own[kind]}`" for own in sets_of(frame).values() if kind in own)
                to_do = f"give its {others} this name, if it is the same" if others else "label it"
                raise AssayError(
                    f"{frame.where} has no {kind} `{name}`, but those before it have: {to_do}, or leave it out"
                )
            if not missing:
                found[kind] = self.factors[kind] * _numbers(values[name], kind, name, frame)
        for kind in OF_CELLS:
            if frame.cell is None and not frame.is_told_open and np.nan_to_num(found.get(kind, 0.0)).any():
                raise AssayError(
                    f"{frame.where} has a {kind} `{self.names[kind]}`, but no lattice vectors: write them as `cell`, "
                    "or say by `pbc` that no axis repeats"
                )
        cell = None if frame.cell is None else frame.cell * length
        if "virial" in found:
            found["stress"] = self._stress_of_virial(found, cell, frame)
        charge, spin = told_charge_and_spin(frame.info, frame.arrays, frame.where)
        return Structure(
            name=frame.name or default_name,
            atomic_numbers=frame.atomic_numbers,
            positions=frame.positions * length,
            cell=cell,
            pbc=frame.pbc,
            energy_eV=float(found["energy"]) * (len(frame.atomic_numbers) if self.per_atom else 1),
            forces_eV_per_A=found["forces"],
            molecule=frame.molecule,
            stress_eV_per_A3=found.get("stress") if self._has_stress(cell, frame) else None,
            charge=charge,
            spin=spin,
        )

    def leaves_out_stress(self, frame: Frame, structure: Structure) -> bool:
        """Whether a frame has a stress or virial that its structure cannot have, other than zeros."""
        values = [frame.values.get(self.names[kind]) for kind in OF_CELLS if kind in self.names]
        return structure.stress_eV_per_A3 is None and any(not is_none(own) and np.any(own) for own in values)

    @staticmethod
    def _has_stress(cell: np.ndarray | None, frame: Frame) -> bool:
        """Whether a structure can have one: others, such as molecules beside crystals, hold zeros in its place."""
        return cell is not None and bool(frame.pbc.all() and np.linalg.det(cell))

    def _stress_of_virial(self, found: Mapping[str, Any], cell: np.ndarray | None, frame: Frame) -> np.ndarray | None:
        if cell is None or not np.linalg.det(cell):
            return None
        stress = -found["virial"] / abs(np.linalg.det(cell))
        if "stress" in found and not np.allclose(stress, found["stress"], rtol=1e-2, atol=1e-5):
            raise AssayError(
                f"{frame.where} has a stress `{self.names['stress']}` and a virial `{self.names['virial']}` that "
                "differ: say which holds, by stress_key or virial_key, and its unit ('-GPa' turns a sign)"
            )
        return stress


def find_labels(frame: Frame, keys: LabelKeys, layout: Layout, path: str | Path) -> Labels:
    """Find the names of the labels of a file in its first frame that does not lack forces.

    Raises:
        AssayError: there are no labels, or several sets that differ, and no key says which; a key is not there; a
            unit is not known; or a label differs from the result of a calculator that is stored with it.
    """
    _check_unclear(frame, keys)
    sets, stated = sets_of(frame), stated_units(frame.info)
    names: dict[str, str] = {}
    given = keys.given
    for kind, name in given.items():
        if name is not None:
            if name in frame.values:
                names[kind] = name
            elif frame.cell is not None or kind not in OF_CELLS:
                raise AssayError(f"{frame.where} has no {kind} `{name}`: {_there(frame)}")
    stem = _stem(sets, names, frame, layout)
    for kind in ("energy", "forces"):
        if kind not in names:
            names[kind] = _partner(sets, stem, kind, frame)
    stems = [stem, *(set_of(names[kind], kind) for kind in _RIVALS)]
    if all(given[kind] is None for kind in OF_CELLS):
        names |= _of_cell(sets, stems, layout)
    names = {kind: names[kind] for kind in KINDS if kind in names}
    others = [name for own in sets.values() for name in own.values() if name not in names.values()]
    others += [twin for kind, name in names.items() for twin in twins_of(frame, kind, name)]
    others += free_energies_of(frame, names["energy"])
    others += unfit_names(frame, stems, OF_CELLS if any(given[kind] for kind in OF_CELLS) else names)
    gradient = "forces" if is_gradient(names["forces"]) else ""
    layout = layout._replace(kinds={**layout.kinds, **stated})
    units, factors, is_per_atom = units_of(names, keys.units, layout, gradient, path)
    return Labels(names, units, factors, is_per_atom, tuple(dict.fromkeys(others)), stated)


def lacks_forces(frame: Frame, name: str | None) -> bool:
    """Whether a structure is one atom without forces, which are zero by symmetry, also in a crystal.

    Args:
        frame: the structure.
        name: that of the forces; None where any of a set of labels counts.
    """
    if len(frame.atomic_numbers) != 1:
        return False
    if name is None:
        return not any("forces" in own for own in sets_of(frame).values())
    return tells_none(frame.values.get(name))


def with_zero_forces(frame: Frame, name: str) -> Frame:
    """The structure with forces of zero by that name."""
    return replace(frame, arrays={**frame.arrays, name: np.zeros(frame.positions.shape)})


def with_stress_of(frame: Frame, labels: Labels, keys: LabelKeys, layout: Layout, path: str | Path) -> Labels:
    """The labels, with the stress or virial that a frame has where it has not that of those before it.

    Those may have had none, as an atom alone, or one by another name.

    Raises:
        AssayError: as ``find_labels``.
    """
    read = {labels.names[kind] for kind in OF_CELLS if kind in labels.names}
    values, given = frame.values, (keys.stress_key, keys.virial_key)
    there = {name for name, v in values.items() if v is not None and (name in given or kind_of_label(name) in OF_CELLS)}
    if not there or there & read:
        return labels
    found = find_labels(frame, keys, layout, path)
    new = [kind for kind in OF_CELLS if kind in found.names]
    if not new or any(found.names[kind] != labels.names[kind] for kind in _RIVALS):
        return labels
    names = {**labels.names, **{kind: found.names[kind] for kind in new}}
    units = {**labels.units, **{kind: found.units[kind] for kind in new}}
    factors = {**labels.factors, **{kind: found.factors[kind] for kind in new}}
    return replace(labels, names={kind: names[kind] for kind in KINDS if kind in names}, units=units, factors=factors)


def check_rivals(frame: Frame, labels: Labels, keys: LabelKeys, layout: Layout) -> None:
    """Refuse a frame with another label, or set of labels, that differs from what is read, unless a key chose that.

    Sets that the layout of the file makes labels, one after the other, are no rivals, nor are those of other names
    whose only energy is a free one, as ``mace_forces`` and ``mace_free_energy``.

    Raises:
        AssayError: both sets are named.
    """
    values, read = frame.values, set(labels.names.values())
    _check_unclear(frame, keys, read)
    if values.keys() <= read or any(values.get(labels.names[kind]) is None for kind in _RIVALS):
        return
    for kind, key in zip(_RIVALS, (keys.energy_key, keys.forces_key), strict=True):
        name = labels.names[kind]
        for twin in () if key is not None else twins_of(frame, kind, name):
            if _differ(frame, kind, name, twin):
                raise AssayError(
                    f"{frame.where} has two names for {kind} whose values differ, `{name}` and `{twin}`: say which is "
                    f"the label, by {kind}_key"
                )
    for free in () if keys.energy_key is not None else free_energies_of(frame, labels.names["energy"]):
        if _differ(frame, "energy", labels.names["energy"], free):
            raise AssayError(
                f"{frame.where} has a `{free}`, which forces belong to where electrons are smeared, that differs from "
                f"`{labels.names['energy']}`: say which is the label, by energy_key"
            )
    if keys.energy_key is not None or keys.forces_key is not None:
        return
    for stem, rival in sets_of(frame).items():
        for kind in _RIVALS:
            is_whole = {"energy", "forces"} <= rival.keys() and not is_free(rival["energy"])
            is_rival = stem in OWN_STEMS or (is_whole and stem not in layout.stems)
            if is_rival and kind in rival and _differ(frame, kind, labels.names[kind], rival[kind]):
                raise AssayError(
                    f"{frame.where} has two sets of labels that differ, {_listed(labels.names)} and {_listed(rival)}: "
                    "say which are the labels, by energy_key and forces_key"
                )


def _check_unclear(frame: Frame, keys: LabelKeys, read: Container[str] = ()) -> None:
    """Refuse a label whose value is not that of the calculator stored with it; with keys only one that is read."""
    is_chosen = any(keys.given.values())
    for name in frame.unclear:
        if not is_chosen or name in read:
            raise AssayError(
                f"{frame.where} has two values of `{name}`, one of its own and one of the calculator that is stored "
                "with it: write it again with the label alone"
            )


def _differ(frame: Frame, kind: str, name: str, other: str) -> bool:
    """Whether two labels of one kind differ by more than rounding; one that is no number says nothing."""
    if name == other:
        return False
    this, that = (np.asarray(frame.values[own], dtype=np.float64).ravel() for own in (name, other))
    sign = -1.0 if is_gradient(other) != is_gradient(name) else 1.0
    same = np.allclose(this, sign * that, rtol=1e-7, atol=_RIVALS[kind], equal_nan=True)
    return not same and not np.isnan(that).all()


def _stem(sets: Mapping[str, Mapping[str, str]], names: Mapping[str, str], frame: Frame, layout: Layout) -> str:
    """The stem of the set that is read."""
    for kind in ("energy", "forces"):
        if kind in names:
            return set_of(names[kind], kind)
    whole = [stem for stem, own in sets.items() if {"energy", "forces"} <= set(own)]
    own = [stem for stem in (*OWN_STEMS, *layout.stems) if stem in whole]
    if own:
        return own[0]
    if whole:
        listed = "; ".join(_listed(sets[stem]) for stem in whole)
        raise AssayError(
            f"{frame.where} has labels under names that say too little, {listed}: name those that are meant, by "
            "energy_key and forces_key"
        )
    kinds = {kind for stem in (*OWN_STEMS, *layout.stems) for kind in sets.get(stem, {})}
    missing = [f"no {kind}" for kind in ("energy", "forces") if kind not in kinds] or ["no energy with forces"]
    raise AssayError(f"{frame.where} has {' and '.join(missing)}: {_there(frame)}")


def _partner(sets: Mapping[str, Mapping[str, str]], stem: str, kind: str, frame: Frame) -> str:
    """The name of the other label beside the one that a key gave."""
    candidates = [own[kind] for own in sets.values() if kind in own]
    if kind in sets.get(stem, {}):
        return sets[stem][kind]
    if len(candidates) == 1:
        return candidates[0]
    raise AssayError(f"{frame.where} has no {kind} that goes with the given key; give {kind}_key too: {_there(frame)}")


def _of_cell(sets: Mapping[str, Mapping[str, str]], stems: Sequence[str], layout: Layout) -> dict[str, str]:
    """The names of a stress and a virial: of the first of these sets that has one, or of one without other labels."""
    lone = [stem for stem in (*OWN_STEMS, *layout.stems) if not {*_RIVALS} & sets.get(stem, {}).keys()]
    found = ({kind: sets[stem][kind] for kind in OF_CELLS if kind in sets.get(stem, {})} for stem in (*stems, *lone))
    return next(filter(None, found), {})


def _numbers(value: Any, kind: str, name: str, frame: Frame) -> np.ndarray:
    try:
        numbers = np.asarray(value, dtype=np.float64)
        if kind == "energy":
            return numbers.reshape(())
        if kind == "forces":
            return numbers.reshape(frame.positions.shape)
        return full_stress(numbers)
    except (ValueError, TypeError):
        sizes = {"energy": "one number", "forces": "three numbers for each atom"}
        raise AssayError(
            f"{frame.where} has {kind} `{name}` of {described(value)}, which should be "
            f"{sizes.get(kind, 'six or nine numbers')}: write it again"
        ) from None


def _listed(names: Mapping[str, str]) -> str:
    return " and ".join(f"`{names[kind]}`" for kind in ("energy", "forces") if kind in names)


def _there(frame: Frame) -> str:
    """What to do about missing labels, with the names that are there."""
    names = ", ".join(f"`{name}`" for name in sorted(frame.values)) or "nothing"
    return f"beside atoms it holds {names}; name the labels by energy_key and forces_key, or label it first"
