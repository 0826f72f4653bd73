"""A student by its model file on a GPU, behind the interface of ``EngineStudent``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ..checks import check_atoms, check_edges, structure_by_structure
from ..identity import Opened, sha256_of
from ..result import Evaluated, NoDevice, Result
from . import why_not_here
from .model_file import read_model_file
from .neighbors import CandidateList, Candidates, Structures, sorted_edges, starts_of
from .network import Network, Outputs
from .padded import PaddedNetwork


class GpuStudent(Opened):
    """A student in the kernels of this package. Copies of it, and those that other processes get, open the file again.

    Args:
        path: the model file, ``model.assay``, or its bytes.
        device: "cuda"; "cpu" needs Triton's interpreter, and is for tests.
        skin: how much farther apart than the cutoff candidates for neighbors may be, angstrom; see ``CandidateList``.

    Raises:
        NoDevice: there is no such device.
        ValueError: the file cannot be used, or the skin makes no sense.

    Attributes:
        identity: what the file says about itself.
        cutoff: the radius of the neighbor search, angstrom.
        elements: the atomic numbers that it was trained on.
        max_z: the largest atomic number that it has an embedding of.
        runtime: "triton".
        sha256: that of the file; empty for bytes.
        device: the device of torch.
    """

    runtime: Literal["triton"] = "triton"
    needs_edges = True

    def __init__(self, path: str | Path | bytes, device: str = "cuda", skin: float = 0.5):
        self._arguments = (path if isinstance(path, bytes) else Path(path).resolve(), device, skin)
        reason = why_not_here() if device.startswith("cuda") else None
        if reason is not None:
            raise NoDevice(f"the kernels for GPUs do not run here ({reason}): or choose the device cpu")
        model = read_model_file(self._arguments[0])
        self.sha256 = sha256_of(self._arguments[0])
        self.device = torch.device(device)
        self.identity, self.elements, self.max_z = model.metadata, model.elements, model.settings["max_z"]
        network = Network(model, self.device)
        self.cutoff = network.cutoff
        self.neighbors = CandidateList(self.cutoff, skin)
        self._padded = PaddedNetwork(network)
        self._sizes = self._starts = np.zeros(0)

    def __call__(
        self,
        atomic_numbers: ArrayLike,
        positions: ArrayLike,
        batch: ArrayLike | None = None,
        edge_index: ArrayLike | None = None,
        edge_shift: ArrayLike | None = None,
    ) -> Result:
        """Evaluate structures; the arguments are those of ``EngineStudent``.

        Raises:
            ValueError: what ``check_atoms`` and ``check_edges`` refuse, edges of which not each has its reverse, or two
                atoms at one place.
        """
        numbers, at, structure = check_atoms(atomic_numbers, positions, batch, self.elements, self.max_z)
        order, place = structure_by_structure(structure)
        sizes, candidates = np.bincount(structure), None
        if edge_index is not None:
            edges, shift = check_edges(edge_index, edge_shift, len(numbers))
            candidates = sorted_edges(place[edges], shift, len(numbers), self.device)
        where = self.structures(sizes, at[order], np.zeros((len(sizes), 3, 3)), np.zeros((len(sizes), 3), bool))
        out = self.evaluate(torch.as_tensor(numbers[order]), where, candidates)
        return Result(_host(out.energy)[:, 0], _host(out.forces)[place], _host(out.virial).reshape(-1, 3, 3))

    def from_vectors(self, atomic_numbers: np.ndarray, edge_index: np.ndarray, vectors: np.ndarray) -> Evaluated:
        """Evaluate one structure by the vectors (E, 3) from its atoms to their neighbors, angstrom; see ``Evaluated``.

        Raises:
            ValueError: as in a call.
        """
        n = len(atomic_numbers)
        numbers, at, _ = check_atoms(atomic_numbers, np.zeros((n, 3)), None, self.elements, self.max_z)
        candidates = sorted_edges(*check_edges(edge_index, vectors, n), n, self.device)
        return self._one(numbers, at, np.zeros((3, 3)), np.zeros(3, bool), candidates)

    def from_cell(self, atomic_numbers: ArrayLike, positions: ArrayLike, cell: ArrayLike, pbc: ArrayLike) -> Evaluated:
        """Evaluate one structure, whose neighbors are found on the GPU, and kept from one call to the next.

        Args:
            atomic_numbers: integers (N,).
            positions: (N, 3), angstrom.
            cell: (3, 3), lattice vectors in rows, angstrom; those of open axes are not read.
            pbc: bool (3,).

        Raises:
            ValueError: what ``check_atoms`` refuses, a cell that makes no sense, or two atoms at one place.
        """
        numbers, at, _ = check_atoms(atomic_numbers, positions, None, self.elements, self.max_z)
        return self._one(numbers, at, np.asarray(cell, np.float64), np.asarray(pbc, bool))

    def structures(
        self, sizes: np.ndarray, positions: np.ndarray | Tensor, cells: np.ndarray, pbc: np.ndarray
    ) -> Structures:
        """Put the atoms of some structures on the device; see ``Structures``."""
        return Structures(sizes, torch.as_tensor(positions, dtype=torch.float64, device=self.device), cells, pbc)

    def evaluate(self, numbers: Tensor, structures: Structures, candidates: Candidates | None = None) -> Outputs:
        """Evaluate structures that torch has.

        Args:
            numbers: integers (N,), elements that the student knows.
            structures: where their atoms are.
            candidates: the candidates for neighbors; None finds them, unless those of the last call still hold.

        Returns:
            The outputs, which the next call may overwrite.

        Raises:
            ValueError: as in ``from_cell``.
        """
        found = self.neighbors.update(structures) if candidates is None else candidates
        if not np.array_equal(structures.sizes, self._sizes):
            self._sizes, self._starts = structures.sizes.copy(), starts_of(structures.sizes)
        out = self._padded(numbers.to(self.device, torch.int32), structures.positions, self._starts, found)
        if not math.isfinite(out.total.item()):
            raise ValueError("an energy is not finite: do two atoms lie at one place?")
        return out

    def mean_neighbors(self, structures: Structures, out: Outputs) -> np.ndarray:
        """The mean number of neighbors of an atom in each structure of the last call, float64 (S,)."""
        counted = starts_of(_host(out.neighbor_counts))
        return np.diff(counted[starts_of(structures.sizes)]) / np.maximum(structures.sizes, 1)

    def _one(
        self, numbers: np.ndarray, at: np.ndarray, cell: np.ndarray, pbc: np.ndarray, known: Candidates | None = None
    ) -> Evaluated:
        where = self.structures(np.array([len(numbers)]), at, cell[None], pbc[None])
        out = self.evaluate(torch.as_tensor(numbers), where, known)
        energy, virial = float(out.energy[0, 0]), _host(out.virial[0]).reshape(3, 3)
        return Evaluated(energy, _host(out.forces), virial, _host(out.atomic_energies), int(out.neighbor_counts.sum()))


def _host(values: Tensor) -> np.ndarray:
    """A copy on the host, which no later call overwrites."""
    return values.cpu().numpy().copy()
