"""An ONNX file as a function of atoms."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime

from .checks import about_the_mean, check_atoms, check_edges, check_pairs
from .identity import Opened
from .result import Evaluated, NoDevice, Result
from .threads import check_threads
from .verlet import open_neighbors

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxStudent(Opened):
    """A student in ONNX Runtime. Copies of it, and those that other processes get, open the file again.

    Args:
        path: the file ``model.onnx``, which finds neighbors itself, or ``model.edges.onnx``, which takes them.
        threads: number of CPU threads; None lets ONNX Runtime choose.
        device: "cpu" or "cuda".

    Raises:
        NoDevice: a device that is neither, or a GPU that ONNX Runtime cannot use.
        ValueError: the file cannot be opened, is damaged, or is no student.

    Attributes:
        identity: what the file says about itself.
        cutoff: radius of the neighbor search, angstrom.
        max_z: the largest atomic number that it takes.
        elements: the atomic numbers that it was trained on; None if the file does not say.
        needs_edges: whether the file takes its neighbors.
        sha256: that of the file.
        provider: the execution provider of ONNX Runtime that evaluates it.
        runtime: "onnxruntime".
    """

    runtime: Literal["onnxruntime"] = "onnxruntime"

    def __init__(self, path: str | Path, threads: int | None = None, device: str = "cpu"):
        check_threads(threads)
        self._arguments = (Path(path).resolve(), threads, device)
        if device not in PROVIDERS:
            raise NoDevice(f"there is no device {device!r}: choose one of {', '.join(PROVIDERS)}")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        # Sessions share the memory that the program registered for all of them; without such, each has its own.
        options.add_session_config_entry("session.use_env_allocators", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        # Threads that wait at full speed take cores from others: more threads than cores, and where OpenMP is told so.
        passive = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
        if passive or (threads or 0) > (os.cpu_count() or 1):
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if PROVIDERS[device] not in onnxruntime.get_available_providers():
            raise NoDevice("this ONNX Runtime computes on no GPU: install onnxruntime-gpu, or choose the device cpu")
        providers = list(dict.fromkeys([PROVIDERS[device], PROVIDERS["cpu"]]))
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error}): take the file as the package has it") from None
        if not _is_whole(content):
            raise ValueError(
                f"{path} is damaged, or was changed since it was made: take the file as the package has it"
            )
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # of whatever type; ONNX Runtime has no base class for them
            raise ValueError(
                f"ONNX Runtime cannot open {path} ({error}): take the file as the package has it"
            ) from None
        self.sha256 = hashlib.sha256(content).hexdigest()
        properties = self.session.get_modelmeta().custom_metadata_map
        self.identity = {key: _value(text) for key, text in properties.items() if key != "sha256"}
        if not {"cutoff_A", "max_z"} <= self.identity.keys():
            raise ValueError(f"{path} is not a student: its metadata name no cutoff_A and max_z")
        self.cutoff = float(self.identity["cutoff_A"])
        self.max_z = int(self.identity["max_z"])
        named = self.identity.get("elements")
        self.elements = None if named is None else frozenset(named)
        self.needs_edges = "edge_index" in {value.name for value in self.session.get_inputs()}
        self.provider = self.session.get_providers()[0]
        if self.provider != PROVIDERS[device]:
            raise NoDevice("there is no GPU that ONNX Runtime can use: choose the device cpu, or mend the driver")

    def __call__(
        self,
        atomic_numbers: np.ndarray,
        positions: np.ndarray,
        batch: np.ndarray | None = None,
        edge_index: np.ndarray | None = None,
        edge_shift: np.ndarray | None = None,
    ) -> Result:
        """Evaluate structures; the arguments are those of ``EngineStudent``.

        Raises:
            ValueError: what ``check_atoms``, ``check_edges`` and ``check_pairs`` refuse; or where the graph takes no
                edges, edges, or a structure that is too wide for its positions.
        """
        numbers, at, structure = check_atoms(atomic_numbers, positions, batch, self.elements, self.max_z)
        if not self.needs_edges:
            if edge_index is not None:
                raise ValueError("this graph finds the edges itself")
            return self._run(numbers, about_the_mean(at, structure), structure)
        if edge_index is None:
            return self._run(numbers, None, structure, *open_neighbors(at, structure, self.cutoff))
        edges, shift = check_edges(edge_index, edge_shift, len(numbers))
        vectors = at[edges[0]] - at[edges[1]] + shift
        check_pairs(edges, vectors, structure, self.cutoff)
        return self._run(numbers, None, structure, edges, vectors)

    def from_vectors(self, atomic_numbers: np.ndarray, edge_index: np.ndarray, vectors: np.ndarray) -> Evaluated:
        """Evaluate one structure by the vectors (E, 3) from its atoms to their neighbors, angstrom; see ``Evaluated``.

        Edges are taken to be complete, as those of ``VerletList`` are: that each has its reverse is not looked for.

        Raises:
            ValueError: what ``check_atoms`` and ``check_edges`` refuse.
        """
        n_atoms = len(atomic_numbers)
        numbers, _, structure = check_atoms(atomic_numbers, np.zeros((n_atoms, 3)), None, self.elements, self.max_z)
        energy, forces, virial = self._run(numbers, None, structure, *check_edges(edge_index, vectors, n_atoms))
        stretched = None if virial is None else virial[0].astype(np.float64)
        return Evaluated(float(energy[0]), forces.astype(np.float64), stretched, None)

    def _run(
        self,
        numbers: np.ndarray,
        positions: np.ndarray | None,
        structure: np.ndarray,
        edges: np.ndarray | None = None,
        vectors: np.ndarray | None = None,
    ) -> Result:
        """Evaluate what was checked: the graph sees positions, or else the vectors of edges, in single precision."""
        at = np.zeros((len(numbers), 3), np.float32) if positions is None else positions.astype(np.float32)
        feed = {"atomic_numbers": numbers, "positions": at, "batch": structure}
        if edges is not None and vectors is not None:
            feed |= {"edge_index": edges, "edge_shift": vectors.astype(np.float32)}
        energy, forces, *virial = self.session.run(None, feed)
        return Result(energy, forces, virial[0] if virial else None)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_whole(content: bytes) -> bool:
    """Whether an ONNX file is as it was written, where the end of its metadata tells the SHA-256 of what precedes it.

    A file without such an entry, which another program wrote, is taken as it is.
    """
    entry = b"rJ\n\x06sha256\x12@"  # as Protocol Buffers write it, before 64 hexadecimal digits
    start = len(content) - len(entry) - 64
    told, digest = content[start : start + len(entry)], content[start + len(entry) :]
    return told != entry or hashlib.sha256(content[:start]).hexdigest().encode() == digest
