"""Structure files of users: read frame by frame, and written as extended XYZ or JSON with predictions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import key_val_dict_to_str, key_val_str_to_dict, write_xyz
from ase.stress import full_3x3_to_voigt_6_stress

from assay.data.formats import open_any
from assay.data.frames import Frame
from assay.data.label_names import WEIGHTS, kind_of_label, set_of
from assay.data.spellings import OF_ATOMIC_NUMBERS, is_cell, is_pbc
from assay.data.stated_units import stated_units
from assay.data.xyz_comments import said_in
from assay.predictors.interface import Prediction, Predictor
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path, json_text
from assay.workflow.units import factor

# By which ASE writes elements and positions, or by which it or Assay would read elements instead of these.
_OWN_COLUMNS = ("species", "pos", "symbols", *OF_ATOMIC_NUMBERS)


def read_frames(path: str | Path, chosen: np.ndarray | None = None) -> Iterator[Callable[[], ase.Atoms]]:
    """A call for each structure in a file that reads it, in angstrom and without labels.

    The file is opened at once, and its structures are read as they are asked for. One that cannot be read costs no
    other: its call raises an ``AssayError``, and the next one follows.

    Args:
        path: the file.
        chosen: rising indices of the wanted structures; None for all.

    Raises:
        AssayError: the file is missing, does not tell its unit of length, ASE does not understand it, or it is damaged
            from here on.
    """
    file = open_any(path)
    unit = {"length": "angstrom", **file.layout.usual, **file.layout.kinds}["length"]

    def atoms_of(load: Callable[[], Frame]) -> ase.Atoms:
        frame = load()
        try:
            return frame.to_ase(factor(stated_units(frame.info).get("length", unit), "length"))
        except AssayError as error:
            raise AssayError(f"{frame.where} is in a unit that is not understood: {error}") from None

    if file.layout.unknown_units and "length" not in file.layout.kinds:
        raise AssayError(f"{path} does not say its unit of length: give it as extended XYZ, in angstrom")
    return (partial(atoms_of, load) for load in file.frames(chosen))


class Answer(NamedTuple):
    """What came of one structure of a file.

    Attributes:
        atoms: the structure; None if it cannot be read.
        structure: the same, as it was predicted.
        prediction: its energy and forces; None without.
        refusal: why there is no prediction, with file and number of the structure; empty if there is one.
    """

    atoms: ase.Atoms | None = None
    structure: Structure | None = None
    prediction: Prediction | None = None
    refusal: str = ""


def predict_frames(
    predictor: Predictor, frames: Iterator[Callable[[], ase.Atoms]], path: str | Path
) -> Iterator[Answer]:
    """Predict the structures of a file, each alone, and say of each that is not predicted why.

    Where the file is damaged, the last answer says so.

    Args:
        predictor: the model.
        frames: what ``read_frames`` gave of the file.
        path: the file.

    Raises:
        AssayError: no structure of the file can be read.
    """
    answered = False
    try:
        for index, load in enumerate(frames):
            yield _answer(predictor, load, f"structure {index} of {path}")
            answered = True
    except AssayError as error:
        if not answered:
            raise
        yield Answer(refusal=str(error))


def _answer(predictor: Predictor, load: Callable[[], ase.Atoms], where: str) -> Answer:
    try:
        atoms = load()
    except AssayError as error:
        return Answer(refusal=str(error))
    try:
        structure = Structure.from_ase(atoms)
    except AssayError as error:
        return Answer(refusal=f"{where}: {error}")
    if not len(structure):
        return Answer(atoms, structure, refusal=f"{where} has no atoms: leave it out")
    try:
        [prediction] = predictor.predict([structure])
    except AssayError as error:
        return Answer(atoms, structure, refusal=f"{where}: {error}")
    if not np.isfinite([prediction.energy_eV, *prediction.forces_eV_per_A.flat]).all():
        reason = f"{where}: {structure.name} has no finite energy: do two of its atoms coincide?"
        return Answer(atoms, structure, refusal=reason)
    return Answer(atoms, structure, prediction)


class PredictionFiles:
    """Files of predictions that are written structure by structure, and are complete or absent.

    Args:
        json_path: a JSON list with an entry for each structure; None for no such file.
        xyz_path: extended XYZ with predicted energies (eV), forces (eV/angstrom) and, where there is one, stress, which
            replace any labels; it leaves out structures without a prediction. None for no such file.
    """

    def __init__(self, json_path: str | Path | None, xyz_path: str | Path | None):
        self._paths, self._stack = (json_path, xyz_path), ExitStack()
        self._json: TextIO | None = None
        self._xyz: TextIO | None = None
        self._begun = False

    def __enter__(self) -> PredictionFiles:
        with ExitStack() as stack:
            self._json, self._xyz = (
                None if path is None else stack.enter_context(stack.enter_context(atomic_path(path)).open("w"))
                for path in self._paths
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._json is not None and error[0] is None:
            self._json.write("\n]\n" if self._begun else "[]\n")
        self._stack.__exit__(*error)

    def write(self, atoms: ase.Atoms, prediction: Prediction, note: Mapping[str, Any]) -> None:
        """Write the prediction of a structure.

        Args:
            atoms: the structure.
            prediction: what was predicted for it.
            note: further entries. What extended XYZ cannot hold of these and of the structure's own is left out there.
        """
        self._entry({**prediction.record, **note})
        if self._xyz is not None:
            copy = atoms.copy()
            copy.info = _entries(copy.info | dict(note))
            copy.arrays = {name: values for name, values in copy.arrays.items() if _is_column(name, values)}
            results = {"energy": prediction.energy_eV, "forces": prediction.forces_eV_per_A}
            if prediction.stress_eV_per_A3 is not None:
                results["stress"] = full_3x3_to_voigt_6_stress(prediction.stress_eV_per_A3)
            copy.calc = SinglePointCalculator(copy, **results)
            write_xyz(self._xyz, [copy])

    def write_refusal(self, reason: str) -> None:
        """Say in JSON why a structure has no prediction."""
        self._entry({"energy_eV": None, "forces_eV_per_A": None, "error": reason})

    def _entry(self, entry: Mapping[str, Any]) -> None:
        if self._json is not None:
            self._json.write(f"{',' if self._begun else '['}\n{json_text(entry)}")
            self._begun = True


def _is_column(name: str, values: np.ndarray) -> bool:
    """Whether extended XYZ can hold values of atoms: numbers, or text of one word each, for columns shift by others."""
    if name in _OWN_COLUMNS or _is_replaced(name) or re.search(r"[\s:=\"]", name):
        return False
    if values.ndim > 2 or not values[:1].size:
        return False
    return values.dtype.kind in "ifb" or (
        values.dtype.kind in "UO" and all(len(str(word).split()) == 1 for word in values.flat)
    )


def _entries(info: Mapping[str, Any]) -> dict[str, Any]:
    """What a header of extended XYZ can hold; cells and periodicity are those of the structure, by whatever name."""
    own = {
        name: value
        for name, value in info.items()
        if not (is_cell(name) or is_pbc(name) or name.lower() == "properties" or _is_replaced(name))
    }
    return own if _are_read(own) else {name: value for name, value in own.items() if _are_read({name: value})}


def _are_read(entries: Mapping[str, Any]) -> bool:
    """Whether ASE and Assay find these in a header by their names, and what stands before and behind."""
    entries = {"before": 0, **entries, "behind": 0}
    try:
        header = key_val_dict_to_str(entries)
        found = key_val_str_to_dict(header), said_in(header, "")
    except (ValueError, AssayError):
        return False
    return not re.search(r"[\r\n]", header) and all(read.keys() == entries.keys() for read in found)


def _is_replaced(name: str) -> bool:
    """Whether a name is that of a label which the prediction replaces, such as ``total_energy``, or of its weight."""
    kind = kind_of_label(name)
    return name in WEIGHTS or (kind is not None and not set_of(name, kind))
