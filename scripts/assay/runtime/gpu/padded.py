"""The network at sizes that are rounded up, each of which becomes one CUDA graph, so that a step is one launch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .neighbors import Candidates
from .network import Network, Outputs
from .pairs import Inputs

LEAST = 4  # the least number of atoms, pairs or structures
SHARE = 16  # a size is rounded up to the next of so many between two powers of two
MOST_KEPT = 8  # sizes that are kept
FAR_A = 1e6  # the distance of the atoms of pairs that are padding


def rounded_up(n: int) -> int:
    """The size that n atoms, pairs or structures are computed at, at most a sixteenth more than n where n is large."""
    step = max(LEAST, 1 << max(0, int(n).bit_length() - 1 - SHARE.bit_length() + 1))
    return max(step, -(-n // step) * step)


class PaddedNetwork:
    """A network that computes any structures, and captures a CUDA graph of each size that it meets again.

    On the CPU, under Triton's interpreter, nothing is captured, and all else is the same.
    """

    def __init__(self, network: Network):
        self.network = network
        self._sizes: OrderedDict[tuple[int, int, int], _Size] = OrderedDict()
        # Graphs share memory: none runs beside another, and outputs are read before the next call.
        self._pool = torch.cuda.graph_pool_handle() if network.device.type == "cuda" else None

    def __call__(self, numbers: Tensor, positions: Tensor, first_atom: np.ndarray, candidates: Candidates) -> Outputs:
        """Evaluate structures.

        Args:
            numbers: int32 (N,), on the device of the network.
            positions: float64 (N, 3), angstrom, likewise.
            first_atom: int64 (S + 1,), where the atoms of each structure begin.
            candidates: the candidates for neighbors of each atom.

        Returns:
            The outputs of these atoms and structures, which the next call may overwrite.
        """
        n, n_structures = len(numbers), len(first_atom) - 1
        key = rounded_up(n), rounded_up(len(candidates.first)), 1 if n_structures == 1 else rounded_up(n_structures)
        size = self._sizes.pop(key, None) or _Size(self.network, key, self._pool)
        self._sizes[key] = size
        if len(self._sizes) > MOST_KEPT:
            self._sizes.popitem(last=False)
        return size(numbers, positions, first_atom, candidates)


class _Size:
    """The network at one size: the memory of its inputs and, on a GPU, its CUDA graph."""

    def __init__(self, network: Network, sizes: Sequence[int], pool: Any):
        atoms, pairs, structures = sizes
        self.network, self._pool = network, pool
        self._is_known = False

        def whole(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.int32, device=network.device)

        def double(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=network.device)

        self.inputs = Inputs(
            whole(atoms), double(atoms, 3), whole(structures + 1),
            Candidates(
                whole(atoms + 1), whole(2 * pairs), whole(2 * pairs), whole(pairs), whole(pairs), double(pairs, 3)
            ),
        )  # fmt: skip
        self._graph: torch.cuda.CUDAGraph | None = None
        self._captured: Outputs | None = None
        self._outputs: Outputs | None = None  # those of the captured ones that belong to the last structures
        self._numbers: tuple[Tensor, int] | None = None
        self._candidates: Candidates | None = None
        self._first_atom = np.zeros(0)

    def __call__(self, numbers: Tensor, positions: Tensor, first_atom: np.ndarray, candidates: Candidates) -> Outputs:
        self._copy(numbers, positions, first_atom, candidates)
        n, n_structures = len(numbers), len(first_atom) - 1
        if self._pool is None or not self._is_known:
            self._is_known = True
            return _of_these(self.network(self.inputs), n, n_structures)
        if self._graph is None:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):  # which may run out of memory
                self._captured = self.network(self.inputs)
            self._graph = graph
        self._graph.replay()
        if self._outputs is None:
            assert self._captured is not None  # as the graph was
            self._outputs = _of_these(self._captured, n, n_structures)
        return self._outputs

    def _copy(self, numbers: Tensor, positions: Tensor, first_atom: np.ndarray, candidates: Candidates) -> None:
        """Copy what changed since the last call to where the graph reads it."""
        own, n = self.inputs, len(numbers)
        own.positions[:n].copy_(positions)
        if self._numbers is None or self._numbers[0] is not numbers or self._numbers[1] != numbers._version:
            own.numbers[:n].copy_(numbers)
            own.numbers[n:].zero_()
            self._numbers = numbers, numbers._version
        if not np.array_equal(first_atom, self._first_atom):
            own.first_atom.fill_(n)
            own.first_atom[: len(first_atom)].copy_(torch.as_tensor(first_atom))
            self._first_atom, self._outputs = first_atom.copy(), None
        if candidates is not self._candidates:
            own.candidates.row_start.fill_(len(candidates.pairs))
            own.candidates.shift.fill_(FAR_A)
            for there, value in zip(own.candidates, candidates, strict=True):
                there[: len(value)].copy_(value)
            self._candidates = candidates


def _of_these(outputs: Outputs, n: int, n_structures: int) -> Outputs:
    """The outputs of atoms and structures that are not padding."""
    return Outputs(
        outputs.energy[:n_structures], outputs.forces[:n], outputs.virial[:n_structures], outputs.atomic_energies[:n],
        outputs.neighbor_counts[:n], outputs.total,
    )  # fmt: skip
