"""What the network reads of the pairs: distances, the radial basis and repulsion, and the filters of its blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor

from ..network_constants import N_FILTERS, pair_rows
from . import filter_kernels, launch, pair_kernels
from .model_file import ModelFile
from .neighbors import Candidates

LEAST_ROWS = 16  # the least depth that tl.dot takes
FEW_PAIRS = 16384  # up to so many candidates, each keeps its own row of filters, whether it is near or not
COMPARED = 256  # pairs that a program compares with the cutoff
PAIRS, CHUNK, PAIR_WARPS = 64, 8, 2  # pairs that a program describes, and radial functions that it computes at once
FILTER_PAIRS, FILTER_COLUMNS, FILTER_WARPS = 64, 32, 4  # the tile of a program that makes filters
FILTER_PRECISION = "tf32x3"  # three products of TF32, whose error is at most twice that of single precision
FLAGS = ("gaussian", "floor", "from_contact", "repulsion")
MEMORY_SHARE = 8  # filters of all blocks are made at once where they need less than this part of the memory


class Inputs(NamedTuple):
    """The atoms of some structures, one after the other.

    Attributes:
        numbers: int32 (N,), atomic numbers.
        positions: float64 (N, 3), angstrom.
        first_atom: int32 (S + 1,), where the atoms of each structure begin.
        candidates: the pairs that may be neighbors.
    """

    numbers: Tensor
    positions: Tensor
    first_atom: Tensor
    candidates: Candidates


class Pairs(NamedTuple):
    """What the network reads of the pairs, as ``describe_pairs`` writes it.

    Attributes:
        n_near: int32 (1,), how many are within the cutoff, if these have the first rows.
        compact: whether they have.
    """

    place: Tensor
    distance: Tensor
    direction: Tensor
    basis: Tensor
    slope: Tensor
    pair_energy: Tensor
    pair_energy_slope: Tensor
    n_near: Tensor
    compact: bool


class PairFunctions:
    """The functions of a distance of one model.

    Args:
        model: the model file.
        device: where they are computed.

    Attributes:
        has_pair_energy: whether pairs have an energy, which is repulsion or of their own.
        memory_bytes: the memory up to which the filters of all blocks are made at once.
    """

    def __init__(self, model: ModelFile, device: torch.device):
        self.settings, self.device = model.settings, device
        n_rbf = self.settings["n_rbf"]
        self.rows = max(LEAST_ROWS, triton.next_power_of_2(n_rbf + bool(self.settings["filter_bias"])))
        radial = np.ones((2, self.rows))
        radial[:, :n_rbf] = model.radial
        reals = [self.settings[name] for name in ("cutoff", "envelope_begin", "envelope_end")]
        values = radial, np.stack([model.radii, model.powers]), np.array(reals)
        self._radial, self._elements, self._reals = (torch.tensor(value, device=device) for value in values)
        self.has_pair_energy = bool(self.settings["repulsion"] or self.settings["n_pair_elements"])
        self._coefficients = self._pair_coefficients(model)
        self.weights = torch.stack([self._filter_weights(*block.filter) for block in model.blocks])
        on_gpu = device.type == "cuda"
        memory = torch.cuda.get_device_properties(device).total_memory if on_gpu else 1 << 30
        self.memory_bytes = memory // MEMORY_SHARE

    def _pair_coefficients(self, model: ModelFile) -> Tensor:
        """The coefficients of pair energies (Z, Z, rows), float64, zero behind those of the radial functions."""
        rows = np.array(pair_rows(self.settings["n_pair_elements"]))[model.pair_places[:, None], model.pair_places]
        found = np.zeros((*rows.shape, self.rows))
        found[..., : self.settings["n_rbf"]] = model.pair_energies[rows]
        return torch.tensor(found, device=self.device)

    def _filter_weights(self, weight: np.ndarray, bias: np.ndarray | None) -> Tensor:
        """The weights of all filters of a block, (rows, K H), with the bias behind those of the radial functions."""
        filters = np.zeros((self.rows, N_FILTERS[self.settings["rank"]] * self.settings["hidden"]))
        filters[: self.settings["n_rbf"]] = weight.T
        if bias is not None:
            filters[self.settings["n_rbf"]] = bias
        return torch.tensor(filters, dtype=torch.float32, device=self.device)

    def describe(self, inputs: Inputs) -> Pairs:
        """Choose the pairs within the cutoff among the candidates, and compute what depends on each."""
        first, second, shift = inputs.candidates[3:]
        most, settings, options = len(first), self.settings, launch.options(len(inputs.numbers), self.device)
        near, place, counted = torch.empty_like(first), torch.empty_like(first), first
        which = inputs.positions, first, second, shift, near
        compact = most > FEW_PAIRS
        if compact:
            pair_kernels.find_near[(triton.cdiv(most, COMPARED),)](*which, most, self._reals, PAIRS=COMPARED, **options)
            counted = torch.cumsum(near, 0, dtype=torch.int32)
        basis, direction = self.weights.new_empty(2, most, self.rows), self.weights.new_empty(most, 3)
        pair_energy = inputs.positions.new_empty(2, most if self.has_pair_energy else 0)
        distance, (own, slope), (pair, pair_slope) = direction.new_empty(most), basis, pair_energy
        pairs = Pairs(place, distance, direction, own, slope, pair, pair_slope, counted[-1:], compact)
        flags = {name.upper(): bool(settings[name]) for name in FLAGS}
        flags["PAIR_ENERGIES"] = bool(settings["n_pair_elements"])
        pair_kernels.describe_pairs[(triton.cdiv(most, PAIRS),)](
            inputs.numbers, *which, counted, most, self._elements, self._radial, self._coefficients, self._reals,
            *pairs[:7], self._elements.shape[1], COMPACT=compact,
            ENVELOPE=settings["envelope"], **flags, N_RBF=settings["n_rbf"], ROWS=self.rows, CHUNK=CHUNK, PAIRS=PAIRS,
            num_warps=PAIR_WARPS, **options,
        )  # fmt: skip
        return pairs

    def filters(self, pairs: Pairs, n_atoms: int) -> Filters:
        """The filters of some pairs of n atoms."""
        return Filters(self, pairs, launch.options(n_atoms, self.device))


class Filters:
    """The filters of the pairs: those of all blocks at once where there is memory, otherwise of one block at a time.

    Args:
        functions: whose weights they have.
        pairs: the pairs.
        options: how kernels are launched.
    """

    def __init__(self, functions: PairFunctions, pairs: Pairs, options: dict[str, bool]):
        self.pairs, self.weights, self.options = pairs, functions.weights, options
        n_blocks, _, columns = self.weights.shape
        self.at_once = 8 * n_blocks * len(pairs.place) * columns <= functions.memory_bytes
        self.filters = self.weights.new_empty(n_blocks if self.at_once else 1, len(pairs.place), columns)
        self.slopes = torch.empty_like(self.filters)
        if self.at_once:
            self._make(self.weights, True)

    def of(self, index: int) -> Tensor:
        """The filters of a block."""
        if self.at_once:
            return self.filters[index]
        self._make(self.weights[index : index + 1], False)
        return self.filters[0]

    def with_slopes(self, index: int) -> tuple[Tensor, Tensor]:
        """The filters of a block, and their derivatives by the distance."""
        if self.at_once:
            return self.filters[index], self.slopes[index]
        self._make(self.weights[index : index + 1], True)
        return self.filters[0], self.slopes[0]

    def _make(self, weights: Tensor, slope: bool) -> None:
        (n_blocks, rows, columns), pairs, n = weights.shape, self.pairs, len(self.pairs.place)
        grid = triton.cdiv(columns, FILTER_COLUMNS) * triton.cdiv(n, FILTER_PAIRS), n_blocks
        filter_kernels.make_filters[grid](
            n, pairs.n_near, pairs.basis, pairs.slope, weights, self.filters, self.slopes, columns,
            ROWS=rows, COMPACT=pairs.compact, SLOPE=slope, PAIRS=FILTER_PAIRS, COLUMNS=FILTER_COLUMNS,
            PRECISION=FILTER_PRECISION, num_warps=FILTER_WARPS, **self.options,
        )  # fmt: skip
