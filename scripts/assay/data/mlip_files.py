"""Training data of MLIP, the package of moment tensor potentials: `.cfg`, whose types are no elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from assay.data.blocks import BlockFile
from assay.data.frames import Frame, Layout
from assay.data.spellings import numbers_in
from assay.workflow.errors import AssayError, printable

_WORDS = ("BEGIN_CFG", "END_CFG")
_AXES = "xyz"
_VIRIAL = ("xx", "yy", "zz", "yz", "xz", "xy")
_OPPOSITE = "Stress:"
_UNCONVERGED = "not_converged"  # in what the converter of MLIP says of a step of VASP


class MlipFile(BlockFile):
    """Configurations from BEGIN_CFG to END_CFG, in eV and angstrom; see ``FrameFile``.

    As many vectors as `Supercell` has, so many axes repeat. `PlusStress` is minus volume times stress.
    """

    def __init__(self, path: Path, elements: Sequence[str] = ()):
        super().__init__(path, _WORDS, self._frame, Layout(leaves_out_unconverged=True))
        self._numbers = np.array([atomic_numbers[element] for element in elements], dtype=np.int64)

    def with_elements(self, elements: Sequence[str]) -> MlipFile:
        """The same structures, of elements by type."""
        return MlipFile(self.path, elements)

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        if not len(self._numbers):
            raise AssayError(
                f"{self.path} is of MLIP, whose types are no elements: name these in the order of types, as elements: "
                "[Na, Cl] beside its path in the config, or by --elements of scripts/gather.py"
            )
        return super().frames(chosen)

    def _frame(self, lines: Sequence[str], where: str) -> Frame:
        fields = _fields(lines, where)
        cell = np.zeros((3, 3))
        vectors = _table(fields, "Supercell", where, 3)
        if len(vectors) > 3:
            raise AssayError(f"{where} has a Supercell of {len(vectors)} vectors: write three at most")
        cell[: len(vectors)] = vectors
        [[count]] = _table(fields, "Size", where, 1, n_rows=1)
        columns, atoms = fields.get("AtomData:", ([], []))
        table = _table(fields, "AtomData:", where, len(columns))
        if count != len(atoms):
            raise AssayError(f"{where} has another Size than the {len(atoms)} atoms of its AtomData: correct it")
        named = dict(zip(columns, table.T, strict=True))
        if "id" in named and (named["id"] != 1 + np.arange(len(table))).any():
            raise AssayError(
                f"{where} has atoms in another order than that of their `id`, which MLIP refuses: sort them"
            )
        info: dict[str, Any] = (
            {"energy": _table(fields, "Energy", where, 1, n_rows=1)[0, 0]} if "Energy" in fields else {}
        )
        if any(line.split()[0].startswith("Feature") and _UNCONVERGED in line for line in lines):
            info = {"converged": False}
        if "PlusStress:" in fields:
            [row] = _table(fields, "PlusStress:", where, len(_VIRIAL), n_rows=1)
            of_column = dict(zip(fields["PlusStress:"][0], row, strict=False))
            if of_column.keys() != set(_VIRIAL):
                raise AssayError(f"{where} has PlusStress without {', '.join(_VIRIAL)} above its numbers: name them")
            info["virial"] = np.array([of_column[name] for name in _VIRIAL])
        return Frame(
            where,
            "",
            "",
            self._elements(named.get("type", np.zeros(len(table))), where),
            _positions(named, cell, where),
            cell if len(vectors) else None,
            np.arange(3) < len(vectors),
            info,
            {"forces": _vectors(named, "f")} if {f"f{axis}" for axis in _AXES} <= named.keys() else {},
            not len(vectors),
        )

    def _elements(self, types: np.ndarray, where: str) -> np.ndarray:
        strange = types[(types != np.rint(types)) | (types < 0) | (types >= len(self._numbers))]
        if len(strange):
            raise AssayError(
                f"{where} has an atom of type {strange[0]:g}, but `elements` names {len(self._numbers)}, counted from "
                "0: name one for each type"
            )
        return self._numbers[types.astype(np.int64)]


def _fields(lines: Sequence[str], where: str) -> dict[str, tuple[list[str], list[str]]]:
    """The words behind each keyword, and the lines of numbers below it."""
    fields: dict[str, tuple[list[str], list[str]]] = {}
    rows: list[str] = []
    for line in lines:
        keyword, *words = line.split()
        if numbers_in(line) is not None:
            rows.append(line)
            continue
        if keyword == _OPPOSITE:
            raise AssayError(
                f"{where} has {_OPPOSITE}, whose sign is the other one: write it as PlusStress with that turned"
            )
        keyword = {"SuperCell": "Supercell", "Atomic_data:": "AtomData:"}.get(keyword, keyword)
        if keyword.startswith("Feature"):
            rows = []
            continue
        known = keyword in ("Size", "Supercell", "AtomData:", "Energy", "PlusStress:")
        if not known or keyword in fields:
            raise AssayError(f"{where} has {printable(line.strip(), 60)!r}, which is not known there: correct it")
        is_behind = keyword in ("Size", "Energy") and bool(words)
        rows = [" ".join(words)] if is_behind else []
        fields[keyword] = [] if is_behind else words, rows
    return fields


def _table(
    fields: dict[str, tuple[list[str], list[str]]], keyword: str, where: str, width: int, n_rows: int | None = None
) -> np.ndarray:
    """The numbers (rows, width) below a keyword."""
    columns, rows = fields.get(keyword, ([], []))
    numbers = [numbers_in(row) for row in rows]
    has_width = all(row is not None and len(row) == width for row in numbers)
    if not has_width or (columns and len(set(columns)) != width) or n_rows not in (None, len(rows)):
        raise AssayError(f"{where} has other lines or numbers below {keyword} than MLIP writes: correct them")
    return np.array(numbers, dtype=np.float64).reshape(-1, width) if width else np.zeros((0, 0))


def _positions(named: dict[str, np.ndarray], cell: np.ndarray, where: str) -> np.ndarray:
    """Positions (N, 3), in angstrom."""
    kinds = [kind for kind in ("cartes_", "direct_") if {f"{kind}{axis}" for axis in _AXES} <= named.keys()]
    if len(kinds) != 1:
        raise AssayError(
            f"{where} does not have one position for each atom, as cartes_x, cartes_y and cartes_z: correct it"
        )
    positions = _vectors(named, kinds[0])
    if kinds == ["cartes_"]:
        return positions
    if not cell.any(axis=1).all():
        raise AssayError(f"{where} has fractions of fewer than three vectors: write cartes_x, cartes_y and cartes_z")
    return positions @ cell


def _vectors(named: dict[str, np.ndarray], prefix: str) -> np.ndarray:
    return np.stack([named[f"{prefix}{axis}"] for axis in _AXES], axis=1)
