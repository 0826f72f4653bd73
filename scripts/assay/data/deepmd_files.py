"""Training data of DeePMD-kit: a folder for each system, with arrays or text, or a group of an HDF5 file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from assay.data.frames import Frame, Layout
from assay.data.hdf5_groups import is_first_visit, opened
from assay.data.spellings import number_of
from assay.workflow.errors import AssayError, printable, reason_of

_TYPES, _NAMES, _OPEN, _SET = "type.raw", "type_map.raw", "nopbc", "set."
_OWN_TYPES = "real_atom_types"  # of each structure, where those of the system say nothing
_ROWS = {"coord": (-1, 3), "box": (3, 3), "energy": (), "force": (-1, 3), "virial": (3, 3), _OWN_TYPES: (-1,)}
_DECIDE_TOO = ("fparam", "aparam", "spin", "charge_spin")
_SYMBOL = re.compile(r"([A-Z][a-z]?)(?![A-Za-z])")
_NO_VOLUME_A3 = 1e-6

_Items = Mapping[str, Callable[[], Any]]


class _System(NamedTuple):
    """One system, of which nothing is read.

    Attributes:
        path: how errors name it.
        name: that of its structures and of their molecule.
        items: reads what it has beside its sets, by name.
        sets: reads the arrays of each set, by name.
    """

    path: str
    name: str
    items: _Items
    sets: Mapping[str, _Items]


def has_systems(folder: Path) -> bool:
    """Whether a folder is a system of DeePMD-kit, or has one below it.

    Raises:
        AssayError: a folder below it cannot be read.
    """
    return next(_folders(folder), None) is not None


def is_deepmd(group: h5py.Group) -> bool:
    """Whether a group of an HDF5 file is a system of DeePMD-kit, or the first that is not empty below it is one."""
    if _TYPES in group:
        return True
    below = (group.get(key) for key in sorted(group))
    first = next((item for item in below if isinstance(item, h5py.Group) and len(item)), None)
    return first is not None and is_deepmd(first)


class DeepmdFile:
    """All systems of a folder or of an HDF5 file; see ``FrameFile``.

    Energies, forces and virials are in eV and angstrom. The molecule of a structure is its system, unless structures of
    one system have types of their own. A system without structures costs no other, and is named.
    """

    layout = Layout()

    def __init__(self, path: Path, elements: Sequence[str] = ()):
        self.path, self._by_caller = path, list(elements)

    def with_elements(self, elements: Sequence[str]) -> DeepmdFile:
        """The same structures, where types have no names in the files."""
        return DeepmdFile(self.path, elements)

    def count(self) -> int:
        """See ``FrameFile.count``."""
        with self._systems() as systems:
            return sum(_count(_array(system, which, "coord")) for system in systems for which in system.sets)

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        begin = 0
        with self._systems() as systems:
            for system in systems:
                if not system.sets:
                    print(f"{system.path} has no structures (set.*/coord.npy or coord.raw)")
                    continue
                is_open = _OPEN in system.items and bool(np.all(system.items[_OPEN]()))
                types, names, of_system = _types(system), self._names(system), 0
                for which in system.sets:
                    arrays = _arrays(system, which, len(types), is_open)
                    count = len(arrays["coord"])
                    rows = np.arange(count) if chosen is None else chosen - begin
                    for row in rows[(rows >= 0) & (rows < count)].tolist():
                        yield partial(_frame, system, arrays, types, names, row, of_system + row)
                    begin, of_system = begin + count, of_system + count

    @contextmanager
    def _systems(self) -> Iterator[Iterator[_System]]:
        if self.path.is_dir():
            yield map(_of_folder, sorted(_folders(self.path)))
            return
        with opened(self.path) as file:
            yield (_of_group(self.path, group) for group in _groups(file, set()))

    def _names(self, system: _System) -> list[str]:
        """The names of types in their order."""
        if _NAMES in system.items and self._by_caller:
            raise AssayError(
                f"{system.path} names its types by itself, in {_NAMES}: leave `elements` out, or correct that file"
            )
        if _NAMES in system.items:
            return system.items[_NAMES]()
        if not self._by_caller:
            raise AssayError(
                f"{system.path} has no {_NAMES}, and types are no elements: write the symbol of each type into it, or "
                "name them as elements: [O, H] beside its path in the config, or by --elements of scripts/gather.py"
            )
        return self._by_caller


def _folders(folder: Path) -> Iterator[Path]:
    """The folders of systems, also those that links lead to, each once."""

    def _refuse(error: OSError) -> None:
        raise AssayError(f"{error.filename} cannot be read ({error.strerror}): let its owner allow it")

    visited = set()
    for place, below, files in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(place)
        if real in visited:
            below.clear()
            continue
        visited.add(real)
        if _TYPES in files:
            yield Path(place)


def _of_folder(folder: Path) -> _System:
    items: dict[str, Callable[[], Any]] = {_TYPES: partial(_read, folder / _TYPES, _numbers_of_text)}
    if (folder / _NAMES).is_file():
        items[_NAMES] = partial(_read, folder / _NAMES, _words_of_text)
    if (folder / _OPEN).exists():
        items[_OPEN] = lambda: True
    sets = {
        path.name: {file.stem: partial(_read, file, _array_of) for file in path.iterdir() if file.suffix == ".npy"}
        for path in sorted(folder.glob(f"{_SET}*"))
        if path.is_dir()
    }
    sets = {name: arrays for name, arrays in sets.items() if arrays}
    of_text = {file.stem: partial(_read, file, _numbers_of_text) for file in folder.glob("*.raw")}
    return _System(str(folder), str(folder), items, sets or ({"": of_text} if "coord" in of_text else {}))


def _of_group(path: Path, group: h5py.Group) -> _System:
    name = group.name.strip("/")
    where = f"{path} in {name}" if name else str(path)

    def _reads(item: h5py.Dataset) -> Callable[[], Any]:
        return partial(_read, f"{path} in {item.name.strip('/')}", item.__getitem__, ())

    items: dict[str, Callable[[], Any]] = {
        key: _reads(group[key]) for key in (_TYPES, _OPEN) if isinstance(group.get(key), h5py.Dataset)
    }
    if isinstance(group.get(_NAMES), h5py.Dataset):
        items[_NAMES] = partial(_read, f"{where}/{_NAMES}", lambda dataset: _words(dataset[()]), group[_NAMES])
    sets = {
        key: {
            column.removesuffix(".npy"): _reads(item)
            for column, item in group[key].items()
            if isinstance(item, h5py.Dataset)
        }
        for key in sorted(group)
        if key.startswith(_SET) and isinstance(group.get(key), h5py.Group) and len(group[key])
    }
    return _System(where, name or path.stem, items, sets)


def _groups(group: h5py.Group, visited: set[tuple[int, int]]) -> Iterator[h5py.Group]:
    if not is_first_visit(group, visited):
        return
    if isinstance(group.get(_TYPES), h5py.Dataset):
        yield group
    for key in sorted(group):
        if isinstance(group.get(key), h5py.Group) and not key.startswith(_SET):
            yield from _groups(group[key], visited)


def _read(path: str | Path, read: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return read(*arguments or (path,))
    except Exception as error:  # whatever NumPy and h5py say of damaged bytes
        raise AssayError(
            f"{path} cannot be read as a file of DeePMD-kit ({reason_of(error, 200)}): check that it is complete"
        ) from None


def _array_of(path: Path) -> np.ndarray:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is an archive of several arrays")
    return array


def _numbers_of_text(path: Path) -> np.ndarray:
    return np.loadtxt(path, ndmin=2)


def _words_of_text(path: Path) -> list[str]:
    return path.read_text().split()


def _words(values: Any) -> list[str]:
    words = [value.decode() if isinstance(value, bytes) else str(value) for value in np.ravel(values)]
    return " ".join(words).split()


def _types(system: _System) -> np.ndarray:
    """The type of each atom, (N,) int64."""
    types = np.ravel(system.items[_TYPES]())
    if not len(types) or not _are_whole(types):
        raise AssayError(f"{_TYPES} of {system.path} does not have one whole number for each atom: correct it")
    return types.astype(np.int64)


def _are_whole(values: np.ndarray) -> bool:
    return values.dtype.kind in "iuf" and bool(np.all((np.abs(values) < 1e6) & (values == np.rint(values))))


def _array(system: _System, which: str, name: str) -> np.ndarray:
    columns, inside = system.sets[which], f" in {which}" if which else ""
    if name not in columns:
        raise AssayError(f"{system.path} has no {name}{inside}: it is no complete system of DeePMD-kit")
    array = columns[name]()
    if not isinstance(array, np.ndarray) or not array.ndim or array.dtype.kind not in "iuf":
        raise AssayError(f"{name} of {system.path}{inside} is no array of numbers: write it again")
    return array


def _count(coordinates: np.ndarray) -> int:
    """The number of structures: one where an array has no rows."""
    return len(coordinates) if coordinates.ndim > 1 else 1


def _arrays(system: _System, which: str, n_atoms: int, is_open: bool) -> dict[str, np.ndarray]:
    """The arrays of a set by name, each with a row for each structure.

    Raises:
        AssayError: one that is needed is missing, one has another shape than it should, or energies depend on more than
            elements, positions and cells.
    """
    for name in _DECIDE_TOO:
        if name in system.sets[which]:
            raise AssayError(
                f"{system.path} has {name}, on which its labels depend and which students do not know: remove it if it "
                "is the same for all structures that you give"
            )
    needed = {"coord"} | (set() if is_open else {"box"})
    needed |= {_OWN_TYPES} if any(_OWN_TYPES in columns for columns in system.sets.values()) else set()
    present = system.sets[which].keys() - ({"box"} if is_open else set())
    arrays = {name: _array(system, which, name) for name in _ROWS if name in needed | present}
    count = _count(arrays["coord"])
    for name, array in arrays.items():
        shape = (count, *(n_atoms if width == -1 else width for width in _ROWS[name]))
        has_rows = array.shape[0] == count or count == 1 or not _ROWS[name]
        if array.size != np.prod(shape) or not has_rows:
            raise AssayError(
                f"{name} of {system.path}{f' in {which}' if which else ''} has shape {array.shape}, and not {shape} as "
                f"{count} structures of {n_atoms} atoms need: write it again"
            )
        arrays[name] = array.reshape(shape)
    return arrays


def _frame(
    system: _System, arrays: Mapping[str, np.ndarray], types: np.ndarray, names: Sequence[str], row: int, index: int
) -> Frame:
    where = f"structure {index} of {system.path}"
    has_own = _OWN_TYPES in arrays
    if has_own:
        own = np.asarray(arrays[_OWN_TYPES][row])
        if not _are_whole(own):
            raise AssayError(f"{where} has {_OWN_TYPES} that are no whole numbers: correct them")
        types = own.astype(np.int64)
    elements = {kind: _element(kind, names, where) for kind in set(types.tolist()) - ({-1} if has_own else set())}
    cell = np.array(arrays["box"][row], dtype=np.float64) if "box" in arrays else None
    if cell is not None and not abs(np.linalg.det(cell)) > _NO_VOLUME_A3:
        raise AssayError(f"{where} has a box without a volume: correct it, or add an empty file {_OPEN} if it is none")
    forces = {"forces": np.array(arrays["force"][row], dtype=np.float64)} if "force" in arrays else {}
    frame = Frame(
        where,
        f"{system.name}, structure {index}",
        "" if has_own else system.name,
        np.array([elements.get(kind, 0) for kind in types.tolist()], dtype=np.int64),
        np.array(arrays["coord"][row], dtype=np.float64),
        cell,
        np.full(3, cell is not None),
        {name: np.array(arrays[name][row], dtype=np.float64) for name in ("energy", "virial") if name in arrays},
        forces,
        cell is None,
    )
    return frame.unpadded() if has_own else frame


def _element(kind: int, names: Sequence[str], where: str) -> int:
    """The atomic number of a type, by a symbol that no letter follows."""
    if not 0 <= kind < len(names):
        raise AssayError(
            f"{where} has an atom of type {kind}, where {len(names)} types have a name, counted from 0: correct one of "
            "them"
        )
    match = _SYMBOL.match(names[kind])
    number = number_of(match[1]) if match else None
    if not number:
        raise AssayError(
            f"{where} has an atom of type {printable(names[kind], 20)!r}, which is no element: write the symbol of one "
            f"into {_NAMES}"
        )
    return number
