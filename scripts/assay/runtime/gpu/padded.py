"""The network at sizes that are rounded up, each of which becomes one CUDA graph, so that a step is one launch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .neighbors import Candidates
from .network import Inputs, Network, Outputs

LEAST = 4  # the least number of atoms, pairs or structures
SHARE = 8  # a size is rounded up to the next of so many between two powers of two
MOST_KEPT = 8  # sizes that are kept


def rounded_up(n: int) -> int:
    """The size that n atoms, pairs or structures are computed at, at most an eighth more than n where n is large."""
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
        key = rounded_up(n), rounded_up(len(candidates.candidates)), rounded_up(n_structures)
        size = self._sizes.pop(key, None) or _Size(self.network, key, self._pool)
        self._sizes[key] = size
        if len(self._sizes) > MOST_KEPT:
            self._sizes.popitem(last=False)
        out = size(numbers, positions, first_atom, candidates)
        return Outputs(
            out.energy[:n_structures], out.forces[:n], out.virial[:n_structures], out.atomic_energies[:n],
            out.edge_start[: n + 1],
        )  # fmt: skip


class _Size:
    """The network at one size: the memory of its inputs and, on a GPU, its CUDA graph."""

    def __init__(self, network: Network, sizes: Sequence[int], pool: Any):
        atoms, pairs, structures = sizes
        self.network, self._pool, device = network, pool, network.device
        self._is_known = False
        whole, double = {"dtype": torch.int32, "device": device}, {"dtype": torch.float64, "device": device}
        self.inputs = Inputs(
            torch.zeros(atoms, **whole),  # type: ignore[call-overload]
            torch.zeros(atoms, 3, **double),  # type: ignore[call-overload]
            torch.zeros(structures + 1, **whole),  # type: ignore[call-overload]
            torch.zeros(atoms + 1, **whole),  # type: ignore[call-overload]
            torch.zeros(pairs, **whole),  # type: ignore[call-overload]
            torch.zeros(pairs, 3, **double),  # type: ignore[call-overload]
        )
        self._graph: torch.cuda.CUDAGraph | None = None
        self._outputs: Outputs | None = None
        self._candidates: Candidates | None = None
        self._first_atom = np.zeros(0)

    def __call__(self, numbers: Tensor, positions: Tensor, first_atom: np.ndarray, candidates: Candidates) -> Outputs:
        own, n = self.inputs, len(numbers)
        own.numbers[:n].copy_(numbers)
        own.numbers[n:].zero_()
        own.positions[:n].copy_(positions)
        if not np.array_equal(first_atom, self._first_atom):
            own.first_atom.fill_(n)
            own.first_atom[: len(first_atom)].copy_(torch.as_tensor(first_atom))
            self._first_atom = first_atom.copy()
        if candidates is not self._candidates:
            count = len(candidates.candidates)
            own.row_start.fill_(count)
            own.row_start[: n + 1].copy_(candidates.row_start)
            own.candidates[:count].copy_(candidates.candidates)
            own.shift[:count].copy_(candidates.shift)
            self._candidates = candidates
        if self._pool is None or not self._is_known:
            self._is_known = True
            return self.network(own)
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, pool=self._pool):
                self._outputs = self.network(own)
        assert self._outputs is not None  # which were captured
        self._graph.replay()
        return self._outputs
