"""The compiled engine through its C interface (``assay.h``): numpy and ctypes, nothing else."""

from __future__ import annotations

import ctypes
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .checks import integers
from .identity import Opened, sha256_of

HERE = Path(__file__).parent
MODEL, LIBRARY = "model.assay", "libassay.so"  # the files of a wheel
MODEL_PATH, LIBRARY_PATH = HERE / MODEL, HERE / LIBRARY  # where it has them, for programs in other languages
INTERFACE_VERSION = 1
UNSUPPORTED = 4  # ASSAY_UNSUPPORTED of assay.h
ELF_HEADER = struct.Struct("<40xQ10xHH2x")  # where the table of sections is, the size of an entry, and their number

EXCHANGE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int)


class _Input(ctypes.Structure):
    """``assay_input``."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("struct_size", "n_atoms", "n_local", "n_structures", "n_edges")),
        *((name, ctypes.c_void_p) for name in ("atomic_numbers", "structure", "neighbor", "center", "vectors")),
        ("threads", ctypes.c_int),
        ("exchange", EXCHANGE),
        ("context", ctypes.c_void_p),
    ]


class _Output(ctypes.Structure):
    """``assay_output``."""

    _fields_ = [
        ("struct_size", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("energy", "atomic_energies", "forces", "virial")),
    ]


def is_cut_off(path: Path) -> bool:
    """Whether a shared library of Linux ends before its table of sections, which is its last part."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        header = file.read(ELF_HEADER.size)
    if len(header) < ELF_HEADER.size or not header.startswith(b"\x7fELF\x02\x01"):  # 64 bits, little-endian
        return False
    start, entry_bytes, n_entries = ELF_HEADER.unpack(header)
    return path.stat().st_size < start + entry_bytes * n_entries


class NotHere(ValueError):
    """The engine does not run on this machine, or does not compute this network."""


@dataclass(frozen=True)
class Evaluation:
    """What the engine computed.

    Attributes:
        energy: float64 (S,), eV, reference energies included.
        atomic_energies: float64 (n_local,), eV.
        forces: float64 (N, 3), eV/angstrom.
        virial: float64 (S, 3, 3), eV: -dE/d(strain).
    """

    energy: np.ndarray
    atomic_energies: np.ndarray
    forces: np.ndarray
    virial: np.ndarray


class EngineModel(Opened):
    """A model file, opened by the engine.

    Args:
        path: the model file, ``model.assay``, or its bytes; None takes the student of this package.
        library: the shared library, ``libassay.so``; None takes the one of this package.
        precision: 32 or 64, the numbers in which the network computes.

    Attributes:
        cutoff: the cutoff radius, angstrom.
        metadata: what the file says about itself.
        sha256: that of the file, which copies open again; see ``identity``.

    Raises:
        NotHere: the library is not there, cannot be loaded or lacks instructions of this processor, or the network is
            not its kind.
        ValueError: the file cannot be used; the sentence says why.
    """

    def __init__(self, path: str | Path | bytes | None = None, library: str | Path | None = None, precision: int = 32):
        self._handle = ctypes.c_void_p()
        self.path = path if isinstance(path, bytes) else Path(path or HERE / MODEL).absolute()  # wherever one goes
        self.library_path, self.precision = Path(library or HERE / LIBRARY).absolute(), precision
        self._arguments = (self.path, self.library_path, precision)
        if library is None and not (HERE / LIBRARY).is_file():
            raise NotHere(f"there is no engine in {HERE}: give the paths of a model file and of libassay.so")
        if is_cut_off(self.library_path):
            raise self._wrong_library("is cut off")
        try:
            self._library = ctypes.CDLL(str(self.library_path))  # and not one that the system has
            version = self._library.assay_interface_version()
        except (OSError, AttributeError) as error:
            raise self._wrong_library(f"is not the engine's library ({error})") from None
        if version != INTERFACE_VERSION:
            raise self._wrong_library(f"has interface {version} and not {INTERFACE_VERSION}")
        for name, result in {
            "last_error": ctypes.c_char_p,
            "metadata": ctypes.c_char_p,
            "cutoff": ctypes.c_double,
        }.items():
            getattr(self._library, f"assay_{name}").restype = result
        self._library.assay_row_width.restype = ctypes.c_int64
        self._library.assay_close.restype = None
        opened, bits = ctypes.byref(self._handle), ctypes.c_int(precision)
        if isinstance(self.path, bytes):
            self._check(self._library.assay_open_bytes(self.path, ctypes.c_int64(len(self.path)), bits, opened))
        else:
            self._check(self._library.assay_open(os.fsencode(self.path), bits, opened))
        self.cutoff = float(self._library.assay_cutoff(self._handle))
        try:
            self.metadata: dict[str, Any] = json.loads(self._library.assay_metadata(self._handle))
        except ValueError as error:
            raise ValueError(
                f"{self._named} has metadata that are not JSON ({error}): export the model again"
            ) from None
        self.sha256 = sha256_of(self.path)

    def __del__(self) -> None:
        if self._handle:
            self._library.assay_close(self._handle)

    @property
    def _named(self) -> str:
        return "the model" if isinstance(self.path, bytes) else str(self.path)

    def _wrong_library(self, why: str) -> NotHere:
        return NotHere(f"{self.library_path} {why}: install the package again")

    def _check(self, code: int) -> None:
        if code:
            raise (NotHere if code == UNSUPPORTED else ValueError)(os.fsdecode(self._library.assay_last_error()))

    @property
    def row_width(self) -> int:
        """The largest width of a row that an exchange sees."""
        return int(self._library.assay_row_width(self._handle))

    def has_element(self, atomic_number: int) -> bool:
        """Whether the model was trained on an element."""
        return bool(self._library.assay_has_element(self._handle, ctypes.c_int32(atomic_number)))

    def __call__(
        self,
        atomic_numbers: np.ndarray,
        edge_index: np.ndarray,
        vectors: np.ndarray,
        structure: np.ndarray | None = None,
        *,
        n_local: int | None = None,
        threads: int = 1,
        exchange: Any = None,
    ) -> Evaluation:
        """Compute energy, per-atom energies, forces and virial.

        Args:
            atomic_numbers: integers (N,).
            edge_index: integers (2, E), rows (neighbor, center); every pair within the cutoff both ways.
            vectors: (E, 3), angstrom: r_neighbor - r_center, with the periodic image.
            structure: integers (N,), the structure of each atom, ascending from 0; None for one structure.
            n_local: how many of the atoms are local ones, which come first; None if there are no ghosts.
            threads: the largest number of threads.
            exchange: an ``EXCHANGE`` function that fills the rows of ghosts; see ``assay.h``.

        Raises:
            ValueError: what is given makes no sense or is not finite, or an element is unknown to the model.
        """
        numbers, owners = integers("atomic_numbers", atomic_numbers, np.int32), None
        neighbor, center = (integers("edge_index", edge_index[row], np.int32) for row in (0, 1))
        arrows = np.ascontiguousarray(vectors, dtype=np.float64)
        if numbers.ndim != 1 or neighbor.ndim != 1 or arrows.shape != (len(neighbor), 3):
            raise ValueError(
                f"atomic_numbers {numbers.shape}, edges {np.shape(edge_index)} and vectors {arrows.shape} do not fit: "
                "give (N,), (2, E) and (E, 3)"
            )
        n_structures = 1
        if structure is not None:
            owners = integers("structure", structure, np.int32)
            if owners.shape != numbers.shape:
                raise ValueError(f"structure has the shape {owners.shape} and not {numbers.shape}")
            n_structures = int(owners.max(initial=-1)) + 1
        local = len(numbers) if n_local is None else n_local
        if not 0 <= local <= len(numbers):
            raise ValueError(f"n_local is {local}, and there are {len(numbers)} atoms")
        out = Evaluation(
            np.empty(n_structures), np.empty(local), np.empty((len(numbers), 3)), np.empty((n_structures, 3, 3))
        )
        given = _Input(
            ctypes.sizeof(_Input), len(numbers), local, n_structures, len(neighbor),
            *(None if array is None else array.ctypes.data for array in (numbers, owners, neighbor, center, arrows)),
            threads, exchange or EXCHANGE(), None,
        )  # fmt: skip
        wanted = _Output(ctypes.sizeof(_Output), *(array.ctypes.data for array in vars(out).values()))
        self._check(self._library.assay_evaluate(self._handle, ctypes.byref(given), ctypes.byref(wanted)))
        return out


def opened(model: Any, library: str | Path | None = None, precision: int = 32) -> EngineModel:
    """An ``EngineModel`` as it is, or that of a path with the further arguments of ``EngineModel``.

    Raises:
        NotHere, ValueError: as ``EngineModel`` does; or ``model`` is something else.
    """
    if isinstance(model, EngineModel):
        return model
    if isinstance(model, str | Path):
        return EngineModel(model, library, precision)
    raise ValueError(
        f"a {type(model).__name__} is no model of the engine: give EngineModel(path), or the path of {MODEL}"
    )
