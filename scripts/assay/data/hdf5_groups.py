"""HDF5 files of others: a group for each molecule (SPICE, ANI-1x), or a group for each structure (MACE)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from assay.data.frames import Frame, Layout
from assay.data.label_names import WEIGHTS, kind_of_label, stem_of
from assay.data.label_units import USUAL
from assay.data.of_atoms import by_atoms, is_for_all_atoms
from assay.data.spellings import (
    ELEMENTS_OF_ARRAYS,
    POSITIONS_OF_ARRAYS,
    atomic_numbers,
    check_one_for_all,
    is_one_for_all,
    named,
    named_elements,
    take_periodicity,
)
from assay.data.stated_units import stated_units, tells_unit, text_of
from assay.runtime.charges import CHARGES, told_by
from assay.structures.structure import tells_charge_or_spin
from assay.workflow.errors import AssayError, reason_of

_BLOCK = 500  # geometries that are in memory at once
_PROPERTIES = "properties"  # the group of labels in MACE
_ATOMIC_UNITS = {"energy": "hartree", "length": "bohr", "forces": "hartree/bohr"}
_ATOM_OF_SMILES = re.compile(r"\[[^\]]*?(?P<signs>\+*|-*)(?P<size>\d*)(?::\d+)?\]")
_ANI_UNITS = {"energy": "hartree", "length": "angstrom", "forces": "hartree/angstrom"}


class GroupFile:
    """HDF5 with groups of structures; see ``FrameFile``.

    A group that holds atomic numbers and positions is one molecule with C geometries, if its positions are (C, N, 3),
    or one structure, if they are (N, 3). Its name is that of the molecule, unless atomic numbers are a table (C, N), in
    which 0 or -1 stand where a structure is smaller. In SPICE the labels are those of ``dft_total_energy``, units are
    atomic, and ``smiles`` tell the charge; in ANI-1x units are hartree and angstrom; in MACE eV and angstrom.
    What lies in a group below it, such as the labels of another method, has its path as its name, as ``xtb/energy``,
    unless it holds structures of its own: these are left out. A group that links lead to again is read once.
    Units that the first group states are those of all, and a group that states others is refused.
    """

    def __init__(self, path: Path, file: h5py.File):
        self.path = path
        first, told = next(self._groups(file), ("", {}))
        if not first:
            raise AssayError(
                f"{path} has no group with atomic numbers ({', '.join(ELEMENTS_OF_ARRAYS)}) and positions "
                f"({', '.join(POSITIONS_OF_ARRAYS)}), and no structures/: it follows no layout that is known"
            )
        self._stated, self._told, self._first = _stated(file[first]), stated_units(told), first
        self._left_out = next(_structures_below(file[first]), None)
        self.layout = _layout(file[first], self._stated, self._told)

    def count(self) -> int:
        """See ``FrameFile.count``."""
        with opened(self.path) as file:
            return sum(_n_geometries(file[name]) for name, _ in self._groups(file))

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        begin = 0
        if self._left_out is not None:
            print(
                f"structures of {self.path} that lie in groups below other structures, such as {self._left_out}, are "
                "left out"
            )
        with opened(self.path) as file:
            for name, told in self._groups(file):
                of_all = {key: (value, False) for key, value in told.items() if tells_charge_or_spin(key)}
                for kind, unit in stated_units(told).items():
                    self._check_unit(name, kind, unit, self._told)
                count, of_smiles = _n_geometries(file[name]), _charge_of_smiles(file[name])
                own = (
                    np.arange(count) if chosen is None else chosen[(chosen >= begin) & (chosen < begin + count)] - begin
                )
                for start in np.unique(own // _BLOCK).tolist():
                    rows = slice(start * _BLOCK, min((start + 1) * _BLOCK, count))
                    columns = of_all | self._columns(file[name], count, rows)
                    columns |= {} if told_by(columns, CHARGES) else of_smiles
                    for index in own[own // _BLOCK == start].tolist():
                        yield partial(self._frame, columns, name, index, index - rows.start, begin + index)
                begin += count

    def _columns(self, group: h5py.Group, count: int, rows: slice) -> dict[str, tuple[np.ndarray, bool]]:
        """Numbers of a group by name, and whether they have a row for each geometry."""
        columns: dict[str, tuple[np.ndarray, bool]] = {}
        is_single = group[named(group, POSITIONS_OF_ARRAYS)].ndim == 2
        numbers = group[_elements(group)].shape
        for name, item in _datasets(group).items():
            for_all = is_one_for_all(name, item.shape) or is_for_all_atoms(name, item.shape, numbers)
            is_row = not is_single and item.shape[:1] == (count,) and not for_all
            if name in ELEMENTS_OF_ARRAYS or item.dtype.kind in "iufb":
                self._check_unit(group.name, name, unit_of(item), self._stated)
                columns[name] = item[rows] if is_row else item[()], is_row
                if for_all and not is_single:
                    check_one_for_all(name, columns[name][0], count, f"{self.path} in {group.name.strip('/')}")
        return columns

    def _check_unit(self, group: str, name: str, unit: str, first: Mapping[str, str]) -> None:
        if unit and unit != first.get(name):
            known = first.get(name, "a unit that is not stated")
            raise AssayError(
                f"{self.path} has `{name}` in {unit} in {group.strip('/')}, but in {known} in its first group, "
                f"{self._first.strip('/')}: write all groups in the same units, and state them in each"
            )

    def _groups(self, file: h5py.File) -> Iterator[tuple[str, dict[str, Any]]]:
        """The paths of groups with geometries, by the numbers in their names, and what attributes tell of each.

        The attributes are those of ``told_of``, of the group or, where it has none, of those above it.
        """

        visited: set[tuple[int, int]] = set()

        def _walk(group: h5py.Group, path: str, above: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
            if not is_first_visit(group, visited):
                return
            told = above | told_of(group)
            if _holds_structures(group):
                yield path or "/", told
                return
            is_mace = any(key.startswith("config_") for key in group)
            for key in sorted(group, key=_natural) if is_mace else group:
                if isinstance(group[key], h5py.Group):
                    yield from _walk(group[key], f"{path}/{key}", told)

        yield from _walk(file, "", {})

    def _frame(self, columns: Mapping[str, Any], group: str, index: int, row: int, number: int) -> Frame:
        where = f"structure {number} ({group.strip('/')}, {index}) of {self.path}"
        said = {name: value[row] if is_row else value for name, (value, is_row) in columns.items()}
        is_single = not any(is_row for _, is_row in columns.values())
        is_table = any(is_row for key, (_, is_row) in columns.items() if key in ELEMENTS_OF_ARRAYS)
        try:
            names = (_elements(said), named(said, POSITIONS_OF_ARRAYS))
            numbers, positions = (np.asarray(said.pop(name or "")) for name in names)
            numbers = atomic_numbers(numbers, where)
            positions = positions.astype(np.float64).reshape(len(numbers), 3)
        except (ValueError, KeyError):
            raise AssayError(f"{where} has positions that do not fit its atomic numbers: write it again") from None
        cell, pbc, is_told_open = take_periodicity(said, where)
        info, of_atoms = by_atoms(said, len(numbers))
        name = "" if is_single else group.strip("/")
        frame = Frame(
            where,
            f"{name}-{index}" if name else "",
            "" if is_table else name,
            numbers,
            positions,
            cell,
            pbc,
            info,
            of_atoms,
            is_told_open,
        )
        return frame.unpadded() if is_table else frame


def is_first_visit(group: h5py.Group, visited: set[tuple[int, int]]) -> bool:
    """Whether a group is not among those ``visited``, to which it is added: links may lead to one again."""
    found = h5py.h5o.get_info(group.id)
    place = (found.fileno, found.addr)
    is_first = place not in visited
    visited.add(place)
    return is_first


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file while it is read.

    Raises:
        AssayError: it is not HDF5, or a part of it is damaged.
    """
    try:
        with h5py.File(path) as file:
            yield file
    except AssayError:
        raise
    except Exception as error:  # whatever h5py says of damaged bytes: nearly all kinds of errors that Python has
        raise AssayError(
            f"{path} cannot be read as HDF5 ({reason_of(error, 200)}): check that it is a complete file"
        ) from None


def _stated(group: h5py.Group) -> dict[str, str]:
    """The units that a group states, by the name of what has them."""
    return {name: unit for name, item in _datasets(group).items() if (unit := unit_of(item))}


def _datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """What a group holds, and what is in groups below it that have no positions of their own, by its path.

    What is in MACE's ``properties`` has its plain name, and so have the only labels. Weights are left out, but those
    of labels are not.
    """
    found: dict[str, h5py.Dataset] = {}
    below: list[tuple[str, h5py.Group]] = []
    for key in group:
        if "weight" in key:
            continue
        item = group[key]
        if isinstance(item, h5py.Dataset):
            found[key] = item
        elif isinstance(item, h5py.Group):
            below.append((key, item))
    inside = [
        (key, name, dataset)
        for key, item in below
        if named(item, POSITIONS_OF_ARRAYS) is None
        for name, dataset in _datasets(item).items()
    ]
    are_rivals = any(map(kind_of_label, found)) or len({key for key, name, _ in inside if kind_of_label(name)}) > 1
    for key, name, dataset in inside:
        is_plain = name not in found and (key == _PROPERTIES or not are_rivals)
        found[name if is_plain else f"{key}/{name}"] = dataset
    return found | {name: group[name] for name in WEIGHTS if name in group}


def _charge_of_smiles(group: h5py.Group) -> dict[str, tuple[np.ndarray, bool]]:
    """The column of the charge that formal charges in ``smiles`` add up to, if these name each atom in brackets."""
    smiles = group.get("smiles")
    if not isinstance(smiles, h5py.Dataset) or smiles.size != 1 or smiles.dtype.kind not in "OS":
        return {}
    atoms = list(_ATOM_OF_SMILES.finditer(text_of(smiles[()])))
    if group[_elements(group)].shape != (len(atoms),):
        return {}
    return {"charge": (np.array(sum(_formal_charge(atom["signs"], atom["size"]) for atom in atoms)), False)}


def _formal_charge(signs: str, size: str) -> int:
    """That of an atom of SMILES, as of ``+``, ``-2`` or ``++``."""
    charge = signs.count("+") - signs.count("-")
    return charge * int(size) if size else charge


def _layout(group: h5py.Group, stated: Mapping[str, str], told: Mapping[str, str]) -> Layout:
    positions = named(group, POSITIONS_OF_ARRAYS) or ""
    kinds = {**told, **({"length": stated[positions]} if positions in stated else {})}
    names = set(stated) | set(group)
    if "conformations" in names and "dft_total_energy" in names:
        return Layout(stated, _ATOMIC_UNITS, ("dft",), kinds=kinds)
    if any(name.startswith(("wb97x_", "ccsd(t)_", "hf_", "npno_")) for name in names):
        stems = {stem_of(name, "energy") for name in names if name.endswith(".energy")}
        return Layout(stated, _ANI_UNITS, tuple(sorted(stems)), has_gaps=True, kinds=kinds)
    if group[positions].ndim == 2 and group.name.rpartition("/")[2].startswith("config_"):
        return Layout(stated, USUAL, kinds=kinds)
    return Layout(stated, unknown_units=True, kinds=kinds)


def told_of(group: h5py.Group) -> dict[str, Any]:
    """What attributes of a group, or of a file, tell of all that is in it: charge, multiplicity and units."""
    if not len(group.attrs):
        return {}
    return {name: group.attrs[name] for name in group.attrs if tells_charge_or_spin(name) or tells_unit(name)}


def unit_of(item: Any) -> str:
    """The unit that a dataset's attribute ``unit``, ``Units`` or the like states; "" if none does."""
    if not len(item.attrs):
        return ""
    return next((text_of(item.attrs[name]) for name in item.attrs if tells_unit(name)), "")


def _elements(arrays: Mapping[str, Any]) -> str | None:
    """The name of the elements in a group, or in what was read of one."""
    return named_elements(arrays, lambda name: np.asarray(arrays[name][()]))


def _holds_structures(group: h5py.Group) -> bool:
    return bool(_elements(group) and named(group, POSITIONS_OF_ARRAYS))


def _structures_below(group: h5py.Group) -> Iterator[str]:
    """The paths of groups below one with structures that hold structures, too, such as the ends of a reaction path."""
    below = (item for item in group.values() if isinstance(item, h5py.Group))
    return (item.name.strip("/") for item in below if _holds_structures(item))


def _n_geometries(group: h5py.Group) -> int:
    positions = group[named(group, POSITIONS_OF_ARRAYS)]
    return 1 if positions.ndim == 2 else len(positions)


def _natural(name: str) -> tuple[str, int]:
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if number.isdecimal() else (name, -1)
