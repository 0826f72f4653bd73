"""Files that ASE reads: its databases, its trajectories, and structures in any of its formats."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import ase
import ase.db
import ase.io
import numpy as np
from ase.calculators.calculator import all_properties
from ase.db.row import AtomsRow
from ase.io.formats import UnknownFileTypeError, filetype
from ase.io.trajectory import Trajectory

from assay.data.atom_names import WITH_ELEMENTS, check_labels
from assay.data.frames import Frame, Layout, calculator_in_words, with_results, word_of
from assay.data.lammps_files import check_columns, data_options, stated_length_A
from assay.data.of_atoms import IN_NUMBERS, by_atoms
from assay.data.passed_over import KINDS, UNTOLD, length_A_of
from assay.data.pdb_files import MAKE_WHOLE, WHOLE, with_elements
from assay.data.spellings import PBC, take_periodicity
from assay.data.stated_units import stated_units, text_of
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError, reason_of

_BLOCK = 1000  # rows that are in memory at once
_INPUT, _PDB, _OF_GROMACS = "gaussian-in", "proteindatabank", ("gromacs", "gromos")  # formats of ASE
_RENAME = "give it the suffix of what it is, such as .xyz, or convert it to extended XYZ"
_OF_INPUTS = ("charge", "mult")


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

    Dumps and data files of LAMMPS must tell elements or masses, and names of atoms must tell elements. Inputs of
    Gaussian tell a charge and a multiplicity, and files of PDB formal charges.
    """

    layout = Layout()

    def __init__(self, path: Path):
        self.path = path

    def count(self) -> int:
        """See ``FrameFile.count``."""
        if self.path.suffix.lower() == ".traj":
            with self._understood(), Trajectory(self.path) as trajectory:
                return len(trajectory)
        return sum(1 for _ in self.frames())

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        wanted = None if chosen is None else set(chosen.tolist())
        with self._understood(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source, index = _source(self.path), -1
            for index, atoms in enumerate(ase.io.iread(source.file, index=":", **source.options)):
                if not isinstance(atoms, ase.Atoms):
                    raise self._without_structures()
                if "attach_calculator" in source.options:
                    atoms.info |= {name: atoms.calc.parameters[name] for name in _OF_INPUTS}
                if source.told:
                    atoms.info |= source.told[index]
                atoms.set_cell(source.length_A * atoms.cell)
                atoms.positions *= source.length_A
                if source.zeros_are_none and not atoms.cell.any():
                    atoms.pbc = False
                if wanted is None or index in wanted:
                    yield partial(_whole_frame, atoms, f"structure {index} of {self.path}")
            if index < 0:
                raise self._without_structures()

    def _without_structures(self) -> AssayError:
        return AssayError(
            f"{self.path} holds no structures as {filetype(str(self.path))}, for which ASE takes it: {_RENAME}"
        )

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except AssayError:
            raise
        except UnknownFileTypeError:
            raise AssayError(
                f"{self.path} is of no format that ASE knows by its suffix or content: {_RENAME}"
            ) from None
        except Exception as error:  # of any of ASE's readers
            raise AssayError(
                f"ASE cannot read structures from {self.path} ({reason_of(error, 120)}): convert it, e.g. to "
                "extended XYZ"
            ) from None


class _Source(NamedTuple):
    """What ``ase.io.read`` has to be given of a file.

    Attributes:
        file: its path, or its text where ASE would guess of the first.
        options: further arguments.
        told: what the text tells of each structure that ASE passes over; empty if nothing is.
        zeros_are_none: whether a cell of zeros stands for none.
        length_A: what the lengths that ASE gives are to be multiplied by.
    """

    file: Path | StringIO
    options: Mapping[str, Any]
    told: Sequence[Mapping[str, Any]] = ()
    zeros_are_none: bool = False
    length_A: float = 1.0


def _source(path: Path) -> _Source:
    """What ``ase.io.read`` has to be given of a file.

    Raises:
        AssayError: it has several structures that ASE does not read one by one, a unit or a cell that it does not read
            or tell, a box that may or may not repeat, atoms or types that do not tell their elements, or alternatives
            of an atom.
    """
    options = data_options(path)
    kind = options.get("format") or filetype(str(path))
    if kind == "lammps-dump-text":
        with open_text(path) as file:
            check_columns(path, file)
    if kind in ("lammps-data", "lammps-dump-text"):
        with open_text(path) as file:
            return _Source(path, options, length_A=stated_length_A(path, file))
    if kind in UNTOLD:
        raise AssayError(f"{path} {UNTOLD[kind]}")
    if kind not in (_PDB, *KINDS, *WITH_ELEMENTS):
        return _Source(path, options)
    with open_text(path) as file:
        text = file.read()
    length_A = length_A_of(kind, text, path) if kind in KINDS else 1.0
    if kind == _PDB:
        text, told = with_elements(text, path)
        return _Source(StringIO(text), {"format": kind}, told)
    if kind in WITH_ELEMENTS:
        return _Source(StringIO(WITH_ELEMENTS[kind](text, path)), {"format": kind}, zeros_are_none=kind in _OF_GROMACS)
    return _Source(path, options | ({"attach_calculator": True} if kind == _INPUT else {}), length_A=length_A)


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
        calculator_in_words(row.get("calculator"), row.get("calculator_parameters")),
    )
