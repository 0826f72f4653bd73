"""Files that ASE reads: its databases, its trajectories, and structures in the formats that it has whole."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import ase
import ase.db
import ase.io
import numpy as np
from ase.calculators.calculator import all_properties
from ase.db.row import AtomsRow
from ase.io.formats import UnknownFileTypeError, filetype, get_ioformat
from ase.io.trajectory import Trajectory

from assay.data.atom_names import WITH_ELEMENTS, WITH_LABELS, check_labels, frames_of_gro
from assay.data.frames import Frame, Layout, calculator_of, with_results, word_of
from assay.data.gaussian_files import jobs_of, understood
from assay.data.lammps_files import check_columns, data_options, stated_length_A
from assay.data.of_atoms import IN_NUMBERS, by_atoms
from assay.data.orca_files import structures_of
from assay.data.passed_over import (
    KINDS,
    OTHERWISE,
    charge_of,
    check_read,
    cut_off,
    length_A_of,
    pbc_of,
    readable,
    unread,
    without_cut_end,
)
from assay.data.pdb_files import MAKE_WHOLE, WHOLE, with_elements
from assay.data.programs import of_program
from assay.data.spellings import PBC, take_periodicity
from assay.data.stated_units import stated_units, text_of
from assay.runtime.template import READ_WHOLE, open_text
from assay.workflow.errors import AssayError, reason_of

_BLOCK = 1000  # rows that are in memory at once
_INPUT, _PDB = "gaussian-in", "proteindatabank"  # formats of ASE
_IN_PARTS: Mapping[str, Callable[[str, Path], Iterator[str]]] = {
    "gaussian-out": jobs_of,
    "gromacs": frames_of_gro,
    "orca-output": structures_of,
}
_OF_GROMACS, _OF_LAMMPS = ("gromacs", "gromos"), ("lammps-data", "lammps-dump-text")
_GUARDED = {*KINDS, *WITH_ELEMENTS, *WITH_LABELS, _INPUT, _PDB}
_RENAME = "give it the suffix of what it is, such as .xyz, or convert it to extended XYZ"


class DatabaseFile:
    """An ASE database (.db, .json, or .aselmdb as of OMol25); see ``FrameFile``.

    Labels are those of the row's calculator, or arrays under ``data``, as schnetpack stores them with the units of
    ``_property_unit_dict`` and ``_distance_unit`` in the metadata; those of other names with "unit" hold, too.
    """

    def __init__(self, path: Path):
        self.path = path
        with self._connected() as database:
            metadata = database.metadata
        units = {
            key: text_of(unit)
            for name, value in metadata.items()
            if "unit" in name.lower() and isinstance(value, Mapping)
            for key, unit in value.items()
            if unit
        }
        self.layout = Layout(units, kinds=stated_units(metadata))

    def count(self) -> int:
        """See ``FrameFile.count``."""
        with self._connected() as database:
            return database.count()

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        with self._connected() as database:
            chosen = np.arange(database.count()) if chosen is None else chosen
            for index, row in self._rows(database, chosen):
                yield partial(_sound_frame, row, self.layout.units, f"structure {index} (row {row.id}) of {self.path}")

    def _rows(self, database: Any, chosen: np.ndarray) -> Iterator[tuple[int, AtomsRow]]:
        if hasattr(database, "ids"):  # LMDB, which finds a row by its id alone
            yield from ((int(index), database.get(id=database.ids[index])) for index in chosen)
            return
        for start in range(0, int(chosen.max(initial=-1)) + 1, _BLOCK):
            wanted = set(chosen[(chosen >= start) & (chosen < start + _BLOCK)].tolist())
            if wanted:
                rows = enumerate(database.select(limit=_BLOCK, offset=start), start)
                yield from ((index, row) for index, row in rows if index in wanted)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        kind = self.path.suffix.lower().removeprefix(".")
        options = {"readonly": True, "use_lock_file": False} if kind == "aselmdb" else {}
        try:
            with ase.db.connect(self.path, type=kind, **options) as database:
                yield database
        except ModuleNotFoundError:
            raise AssayError(
                f"{self.path} needs two more packages: .venv/bin/python -m pip install --no-deps -r "
                "envs/formats/aselmdb.txt"
            ) from None
        except AssayError:
            raise
        except Exception as error:  # of sqlite, LMDB, zlib, JSON
            raise AssayError(
                f"{self.path} cannot be read as an ASE database ({reason_of(error)}): check the file, or "
                "convert it to extended XYZ if it is of another program"
            ) from None


class AseFile:
    """A trajectory (.traj), or any other file that ASE reads; see ``FrameFile``.

    Only formats are read that ASE's reader is known to have whole, or whose text tells where it does not: elements,
    units, cells, axes that repeat, all atoms and all structures. Inputs and outputs of programs tell a charge and a
    multiplicity, and files of PDB formal charges.
    """

    layout = Layout()

    def __init__(self, path: Path, without: re.Pattern[str] | None = None):
        """Describe a file.

        Args:
            path: the file.
            without: what is taken out of its text, because it tells nothing of what is wanted.
        """
        self.path, self._without = path, without

    def count(self) -> int:
        """See ``FrameFile.count``."""
        if self._is_trajectory:
            with self._understood(), Trajectory(self.path) as trajectory:
                return len(trajectory)
        return sum(1 for _ in self.frames())

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        wanted = None if chosen is None else set(chosen.tolist())
        with self._understood(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            index = -1
            structures = chain.from_iterable(part.structures() for part in _parts(self.path, self._without))
            for index, atoms in enumerate(structures):
                if not isinstance(atoms, ase.Atoms) or not (len(atoms) or self._is_trajectory):
                    raise self._without_structures()
                if wanted is None or index in wanted:
                    yield partial(_whole_frame, atoms, f"structure {index} of {self.path}")
            if index < 0:
                raise self._without_structures()

    @property
    def _is_trajectory(self) -> bool:
        return self.path.suffix.lower() == ".traj"

    def _without_structures(self) -> AssayError:
        return AssayError(
            of_program(self.path)
            or f"{self.path} holds no structures as {filetype(str(self.path))}, for which ASE takes it: {_RENAME}"
        )

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except AssayError:
            raise
        except UnknownFileTypeError:
            raise AssayError(
                of_program(self.path)
                or f"{self.path} is of no format that ASE knows by its suffix or content: {_RENAME}"
            ) from None
        except Exception as error:  # of any of ASE's readers
            raise AssayError(
                of_program(self.path)
                or f"ASE cannot read structures from {self.path} ({reason_of(error, 120)}): convert it, e.g. to "
                "extended XYZ"
            ) from None


def _of_all(told: Mapping[str, Any]) -> Callable[[int], Mapping[str, Any]]:
    return lambda _: told


class _Text(StringIO):
    """A text in place of a file, by whose name ASE's readers find what it includes."""

    def __init__(self, text: str, path: Path):
        super().__init__(text)
        self.name = str(path)


class _Part(NamedTuple):
    """What ``ase.io.iread`` has to be given of a file, and what it passes over there.

    Attributes:
        file: its path, or a text in its place.
        options: further arguments.
        told: what the text tells of a structure, by its number.
        pbc: which axes of all structures repeat (3,); None where ASE reads it.
        zeros_are_none: whether a cell of zeros stands for none.
        length_A: what the lengths that ASE gives are to be multiplied by.
    """

    file: Path | _Text
    options: Mapping[str, Any]
    told: Callable[[int], Mapping[str, Any]] = _of_all({})
    pbc: Sequence[bool] | None = None
    zeros_are_none: bool = False
    length_A: float = 1.0

    def structures(self) -> Iterator[Any]:
        """What ASE reads, which are no structures where it takes the file for what it is not."""
        for number, atoms in enumerate(ase.io.iread(self.file, index=":", **self.options)):
            if isinstance(atoms, ase.Atoms):
                atoms.info |= self.told(number)
                atoms.set_cell(self.length_A * atoms.cell)
                atoms.positions *= self.length_A
                atoms.pbc = atoms.pbc if self.pbc is None else self.pbc
                if self.zeros_are_none and not atoms.cell.any():
                    atoms.pbc = False
            yield atoms


def _parts(path: Path, without: re.Pattern[str] | None) -> Iterator[_Part]:
    """The parts of a file that ASE reads one after the other: most are one, and files of ``_IN_PARTS`` several.

    Raises:
        AssayError: it is in a format that ASE's reader may not have whole, has several structures that it does not read
            one by one, a unit or a cell that it does not read or tell, atoms or types that do not tell their elements,
            or alternatives of an atom, or it ends within a structure.
    """
    options = data_options(path)
    kind = options.get("format") or filetype(str(path))
    if kind in _OF_LAMMPS:
        yield _of_lammps(kind, path, options)
    elif kind in _GUARDED:
        with open_text(path) as file:
            text = file.read()
        yield from _guarded(kind, text if without is None else without.sub("", text), path)
    elif kind in READ_WHOLE - OTHERWISE:
        yield _Part(path, options)
    else:
        raise unread(kind, path)


def _of_lammps(kind: str, path: Path, options: Mapping[str, Any]) -> _Part:
    if kind == "lammps-dump-text":
        with open_text(path) as file:
            check_columns(path, file)
    with open_text(path) as file:
        return _Part(path, options, length_A=stated_length_A(path, file))


def _guarded(kind: str, text: str, path: Path) -> Iterator[_Part]:
    """The parts of a file whose text tells whether, and how, ASE's reader has it whole."""
    check_read(kind, text, path)
    options = {"format": kind}
    if kind == _PDB:
        text, told = with_elements(text, path)
        yield _Part(_Text(text, path), options, told.__getitem__)
        return
    if kind == _INPUT:
        read = understood(text, path)
        yield _Part(_Text(read.text, path), options, _of_all(read.told), length_A=read.length_A)
        return
    text = readable(kind, text)
    complete = without_cut_end(kind, text)
    for part in filter(str.strip, _IN_PARTS[kind](complete, path) if kind in _IN_PARTS else [complete]):
        part = WITH_ELEMENTS[kind](part, path) if kind in WITH_ELEMENTS else part
        yield _Part(
            _Text(part, path) if get_ioformat(kind).acceptsfd else path,
            options,
            _of_all(charge_of(kind, part, path)),
            pbc_of(kind, part),
            kind in _OF_GROMACS,
            length_A_of(kind, part),
        )
    if complete != text:
        raise cut_off(path)


def _whole_frame(atoms: ase.Atoms, where: str) -> Frame:
    """A structure as ASE reads it.

    Raises:
        AssayError: an atom is there in part, as in crystals whose sites are shared or half empty, or its name does not
            tell its element.
    """
    check_labels(atoms, where)
    sites = atoms.info.get("occupancy")
    for site in sites.values() if isinstance(sites, Mapping) else ():
        for symbol, occupancy in site.items() if isinstance(site, Mapping) else ():
            if isinstance(occupancy, int | float) and occupancy < WHOLE:
                raise AssayError(f"{where} has an atom {symbol} with an occupancy of {occupancy:g}: {MAKE_WHOLE}")
    return Frame.from_ase(atoms, where)


def _sound_frame(row: Any, units: Mapping[str, str], where: str) -> Frame:
    try:
        return _row_frame(row, units, where)
    except AssayError:
        raise
    except Exception as error:  # of JSON and NumPy, where bytes are damaged
        raise AssayError(f"{where} cannot be read ({reason_of(error, 120)}): check that the file is complete") from None


def _row_frame(row: Any, units: Mapping[str, str], where: str) -> Frame:
    """A row of a database; what it says of each atom has as many rows as there are atoms.

    Where the metadata state the units of what is in ``data``, the results of a calculator, which has others, are none.
    """
    own = {**row.key_value_pairs, **dict(row.data)}
    names = () if units.keys() & own.keys() else all_properties
    results = {name: row.get(name) for name in names if row.get(name) is not None}
    initial = {name: row.get(name) for name in IN_NUMBERS if row.get(name) is not None}
    said, unclear = with_results({**initial, **own}, results)
    n_atoms = len(row.numbers)
    info, columns = by_atoms(said, n_atoms)
    cell, pbc, is_told_open = take_periodicity({"cell": row.cell, PBC: row.pbc}, where)
    return Frame(
        where,
        word_of(said, "name"),
        word_of(said, "molecule"),
        np.asarray(row.numbers, dtype=np.int64),
        np.asarray(row.positions, dtype=np.float64).reshape(n_atoms, 3),
        cell,
        pbc,
        info,
        columns,
        is_told_open,
        unclear,
        calculator_of(row.get("calculator"), row.get("calculator_parameters")),
    )
