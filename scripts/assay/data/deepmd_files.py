"""Training data of DeePMD-kit: a folder for each system, with arrays or text, or a group of an HDF5 file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from ase.data import atomic_numbers

from assay.data.atom_names import element_named
from assay.data.frames import Frame, Layout
from assay.data.hdf5_groups import opened
from assay.workflow.errors import AssayError, printable, reason_of

_TYPES, _NAMES, _OPEN = "type.raw", "type_map.raw", "nopbc"
_OWN_TYPES = "real_atom_types"  # of each structure, where those of the system say nothing
_ROWS = {"coord": (-1, 3), "box": (3, 3), "energy": (), "force": (-1, 3), "virial": (3, 3), _OWN_TYPES: (-1,)}
_DECIDE_TOO = ("fparam", "aparam", "spin")

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
    """Whether a folder is a system of DeePMD-kit, or has one below it."""
    return any(folder.rglob(_TYPES))


def is_deepmd(group: h5py.Group) -> bool:
    """Whether a group of an HDF5 file is a system of DeePMD-kit, or the first ones below it are."""
    if _TYPES in group:
        return True
    first = next(iter(sorted(group)), None)
    return first is not None and isinstance(group.get(first), h5py.Group) and is_deepmd(group[first])


class DeepmdFile:
    """All systems of a folder or of an HDF5 file; see ``FrameFile``.

    Energies, forces and virials are in eV and angstrom. The molecule of a structure is its system, unless structures of
    one system have types of their own.
    """

    layout = Layout()

    def __init__(self, path: Path):
        self.path = path

    def count(self) -> int:
        """See ``FrameFile.count``."""
        with self._systems() as systems:
            return sum(len(_array(system, which, "coord")) for system in systems for which in system.sets)

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        begin = 0
        with self._systems() as systems:
            for system in systems:
                is_open = _OPEN in system.items and bool(system.items[_OPEN]())
                types, elements = _types(system), _elements(system)
                of_system = 0
                for which in system.sets:
                    arrays = _arrays(system, which, len(types), is_open)
                    count = len(arrays["coord"])
                    rows = np.arange(count) if chosen is None else chosen - begin
                    for row in rows[(rows >= 0) & (rows < count)].tolist():
                        yield partial(_frame, system, arrays, types, elements, row, of_system + row)
                    begin, of_system = begin + count, of_system + count

    @contextmanager
    def _systems(self) -> Iterator[Iterable[_System]]:
        if self.path.is_dir():
            yield [_of_folder(path.parent) for path in sorted(self.path.rglob(_TYPES))]
            return
        with opened(self.path) as file:
            yield (_of_group(self.path, group) for group in _groups(file))


def _of_folder(folder: Path) -> _System:
    items: dict[str, Callable[[], Any]] = {_TYPES: partial(_read, folder / _TYPES, _numbers_of_text)}
    if (folder / _NAMES).is_file():
        items[_NAMES] = partial(_read, folder / _NAMES, _words_of_text)
    if (folder / _OPEN).exists():
        items[_OPEN] = lambda: True
    sets = {
        path.name: {file.stem: partial(_read, file, _array_of) for file in path.glob("*.npy")}
        for path in sorted(folder.glob("set.*"))
    }
    of_text = {file.stem: partial(_read, file, _numbers_of_text) for file in folder.glob("*.raw")}
    return _System(str(folder), str(folder), items, sets or {"": of_text})


def _of_group(path: Path, group: h5py.Group) -> _System:
    name = group.name.strip("/")
    items = {key: partial(group[key].__getitem__, ()) for key in (_TYPES, _NAMES, _OPEN) if key in group}
    sets = {
        key: {column.removesuffix(".npy"): partial(group[key][column].__getitem__, ()) for column in group[key]}
        for key in sorted(group)
        if key.startswith("set.")
    }
    return _System(f"{path} in {name}" if name else str(path), name or path.stem, items, sets or {"": {}})


def _groups(group: h5py.Group) -> Iterator[h5py.Group]:
    if isinstance(group.get(_TYPES), h5py.Dataset):
        yield group
        return
    for key in sorted(group):
        if isinstance(group.get(key), h5py.Group):
            yield from _groups(group[key])


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except Exception as error:  # whatever NumPy says of damaged bytes
        raise AssayError(
            f"{path} cannot be read as a file of DeePMD-kit ({reason_of(error, 200)}): check that it is complete"
        ) from None


def _array_of(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _numbers_of_text(path: Path) -> np.ndarray:
    return np.loadtxt(path, ndmin=2)


def _words_of_text(path: Path) -> list[str]:
    return path.read_text().split()


def _types(system: _System) -> np.ndarray:
    """The type of each atom, (N,) int64."""
    types = np.ravel(system.items[_TYPES]())
    if types.dtype.kind not in "iuf" or not len(types) or (types != np.rint(types)).any():
        raise AssayError(f"{_TYPES} of {system.path} does not have one whole number for each atom: correct it")
    return types.astype(np.int64)


def _elements(system: _System) -> np.ndarray:
    """The atomic number of each type, (T,) int64."""
    if _NAMES not in system.items:
        raise AssayError(
            f"{system.path} has no {_NAMES}, and types are no elements: write the symbol of each type into it"
        )
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in system.items[_NAMES]()]
    elements = {name: element_named(name) for name in names}
    for name, element in elements.items():
        if element is None:
            raise AssayError(
                f"{_NAMES} of {system.path} has a type {printable(name, 20)!r}, which is no element: write the symbol "
                "of one"
            )
    return np.array([atomic_numbers[elements[name] or ""] for name in names], dtype=np.int64)


def _array(system: _System, which: str, name: str) -> np.ndarray:
    columns = system.sets[which]
    if name not in columns:
        inside = f" in {which}" if which else ""
        raise AssayError(f"{system.path} has no {name}{inside}: it is no complete system of DeePMD-kit")
    return columns[name]()


def _arrays(system: _System, which: str, n_atoms: int, is_open: bool) -> dict[str, np.ndarray]:
    """The arrays of a set by name, each with a row for each structure.

    Raises:
        AssayError: one that is needed is missing, one has another shape than it should, or energies depend on more than
            elements, positions and cells.
    """
    columns = system.sets[which]
    for name in _DECIDE_TOO:
        if name in columns:
            raise AssayError(
                f"{system.path} has {name}, on which its labels depend and which students do not know: remove it if it "
                "is the same for all structures that you give"
            )
    wanted = [name for name in _ROWS if name in columns and not (is_open and name in ("box", "virial"))]
    needed = ("coord",) if is_open else ("coord", "box")
    arrays = {name: _array(system, which, name) for name in (*needed, *wanted)}
    count = len(arrays["coord"])
    for name, array in arrays.items():
        shape = (count, *(n_atoms if width == -1 else width for width in _ROWS[name]))
        if array.dtype.kind not in "iuf" or array.size != np.prod(shape) or array.shape[:1] != (count,):
            raise AssayError(
                f"{name} of {system.path}{f' in {which}' if which else ''} has shape {array.shape}, where {count} "
                f"structures of {n_atoms} atoms need {shape}: write it again"
            )
        arrays[name] = array.reshape(shape)
    return arrays


def _frame(
    system: _System,
    arrays: Mapping[str, np.ndarray],
    types: np.ndarray,
    elements: np.ndarray,
    row: int,
    index: int,
) -> Frame:
    where = f"structure {index} of {system.path}"
    has_own = _OWN_TYPES in arrays
    types = np.asarray(arrays[_OWN_TYPES][row], dtype=np.int64) if has_own else types
    if types.max() >= len(elements) or types.min() < (-1 if has_own else 0):
        raise AssayError(
            f"{where} has an atom of type {types.max() if types.max() >= len(elements) else types.min()}, where "
            f"{_NAMES} names {len(elements)} types, counted from 0: correct one of them"
        )
    info = {name: np.array(arrays[name][row], dtype=np.float64) for name in ("energy", "virial") if name in arrays}
    forces = {"forces": np.array(arrays["force"][row], dtype=np.float64)} if "force" in arrays else {}
    frame = Frame(
        where,
        f"{system.name}, structure {index}",
        "" if has_own else system.name,
        np.where(types < 0, 0, elements[types]),
        np.array(arrays["coord"][row], dtype=np.float64),
        np.array(arrays["box"][row], dtype=np.float64) if "box" in arrays else None,
        np.full(3, "box" in arrays),
        info,
        forces,
        "box" not in arrays,
    )
    return frame.unpadded() if has_own else frame
