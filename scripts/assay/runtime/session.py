"""An ONNX file as a function of atoms."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime


class Result(NamedTuple):
    """What a student says of a batch.

    Attributes:
        energy: float64 (S,), eV.
        forces: float32 (N, 3), eV/angstrom.
        virial: float32 (S, 3, 3), eV, which is -dE/d(strain), so that the stress of a cell of volume V is -virial/V;
            None from ``model.onnx``.
    """

    energy: np.ndarray
    forces: np.ndarray
    virial: np.ndarray | None


class OnnxStudent:
    """A student in ONNX Runtime.

    Args:
        path: the file ``model.onnx``, which finds neighbors itself, or ``model.edges.onnx``, which takes them.
        threads: number of CPU threads; None lets ONNX Runtime choose.
        device: "cpu", or "cuda" where ONNX Runtime has it.

    Attributes:
        identity: what the file says about itself.
        cutoff: radius of the neighbor search, angstrom.
        max_z: the largest atomic number that it takes.
        elements: the atomic numbers that it was trained on; None if the file does not say.
        needs_edges: whether the file takes its neighbors.
        provider: the execution provider of ONNX Runtime that evaluates it.
    """

    def __init__(self, path: str | Path, threads: int | None = None, device: str = "cpu"):
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
        wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
        there = [name for name in wanted if name in onnxruntime.get_available_providers()]
        self.session = onnxruntime.InferenceSession(str(path), options, providers=[*there, "CPUExecutionProvider"])
        properties = self.session.get_modelmeta().custom_metadata_map
        self.identity = {key: _value(text) for key, text in properties.items()}
        self.cutoff = float(self.identity["cutoff_A"])
        self.max_z = int(self.identity["max_z"])
        named = self.identity.get("elements")
        self.elements = None if named is None else frozenset(named)
        self.needs_edges = "edge_index" in {value.name for value in self.session.get_inputs()}
        self.provider = self.session.get_providers()[0]

    def __call__(
        self,
        atomic_numbers: np.ndarray,
        positions: np.ndarray,
        batch: np.ndarray | None = None,
        edge_index: np.ndarray | None = None,
        edge_shift: np.ndarray | None = None,
    ) -> Result:
        """Evaluate structures.

        Args:
            atomic_numbers: (N,), N >= 1.
            positions: (N, 3), angstrom.
            batch: (N,), the structure of each atom, counted from 0; None for one structure.
            edge_index: (2, E), rows (neighbor, atom), both directions of every pair within the cutoff.
            edge_shift: (E, 3), angstrom: the vector of an edge is positions[neighbor] - positions[atom] + edge_shift.

        Raises:
            ValueError: atomic numbers that the student does not know, or edges that the graph does not take or lacks.
        """
        numbers = np.asarray(atomic_numbers, dtype=np.int64)
        if len(numbers) == 0 or numbers.min() < 1 or numbers.max() > self.max_z:
            raise ValueError(f"there must be atoms, with atomic numbers from 1 to {self.max_z}")
        new = set() if self.elements is None else set(numbers.tolist()) - self.elements
        if new:
            raise ValueError(
                f"the student was not trained on atomic numbers {sorted(new)}, only on {sorted(self.elements or ())}"
            )
        if self.needs_edges != (edge_index is not None):
            raise ValueError("this graph takes edges" if self.needs_edges else "this graph finds the edges itself")
        feed = {
            "atomic_numbers": numbers,
            "positions": np.asarray(positions, dtype=np.float32),
            "batch": np.zeros_like(numbers) if batch is None else np.asarray(batch, dtype=np.int64),
        }
        if edge_index is not None:
            feed["edge_index"] = np.asarray(edge_index, dtype=np.int64)
            feed["edge_shift"] = np.asarray(edge_shift, dtype=np.float32)
        energy, forces, *virial = self.session.run(None, feed)
        return Result(energy, forces, virial[0] if virial else None)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
