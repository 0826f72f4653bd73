"""The network on a GPU: which kernel and which product follows which, from positions to energies and forces."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor

from . import force_kernels, launch, message_kernels, pair_kernels, update_kernels
from .layers import DeviceLayer, full_precision, multiply, multiply_components
from .model_file import Block, Layer, ModelFile
from .pairs import Filters, Inputs, PairFunctions, Pairs

TILE, ADJOINT_TILE = 64, 128  # pairs times channels that a program over neighbors has at once
ELEMENTS = 512  # channels of atoms that a program updates at once
ATOMS = 256  # atoms that are summed at once


class Outputs(NamedTuple):
    """What the network says.

    Attributes:
        energy: float64 (S, 1), eV, with reference energies.
        forces: float64 (N, 3), eV/angstrom.
        virial: float64 (S, 9), eV: -dE/d(strain).
        atomic_energies: float64 (N,), eV.
        neighbor_counts: int32 (N,), the atoms within the cutoff of each.
        total: float64 (), the sum of all energies, which is not finite where one of them is not.
    """

    energy: Tensor
    forces: Tensor
    virial: Tensor
    atomic_energies: Tensor
    neighbor_counts: Tensor
    total: Tensor


class _Weights:
    """The layers of one block on the device; those of the last one without the gates that nothing reads behind it."""

    def __init__(self, block: Block, settings: dict[str, Any], last: bool, device: torch.device):
        hidden, rank = settings["hidden"], settings["rank"]
        self.context = [DeviceLayer(layer, device) for layer in block.context]
        mix, mix_tensors = DeviceLayer(block.mix, device), block.mix_tensors
        mixes = mix, None if mix_tensors is None else DeviceLayer(mix_tensors, device)
        self.mix = mix.transposed, None if mixes[1] is None else mixes[1].transposed
        self.mix_adjoint = mix.weight, None if mixes[1] is None else mixes[1].weight
        inner, outer = block.update
        if last:
            gates = [0, 2, 3] if rank == 2 else [0, 2]
            kept = [part.reshape(-1, hidden, *part.shape[1:])[gates] for part in (outer.weight, outer.bias)]  # type: ignore[union-attr]
            outer = Layer(kept[0].reshape(-1, hidden), kept[1].reshape(-1))
        self.update = [DeviceLayer(layer, device) for layer in (inner, outer)]


class _Kept(NamedTuple):
    """What the backward pass of a block reads of its forward pass."""

    hidden: Tensor
    x: Tensor
    xv: Tensor
    xt: Tensor
    v: Tensor
    t: Tensor
    ab: Tensor
    ab2: Tensor
    invariants: Tensor
    update_hidden: Tensor
    y: Tensor


class Network:
    """A network in single precision, whose distances and sums of energies, forces and virials are in double precision.

    Args:
        model: the model file.
        device: where it computes: a GPU, or the CPU under Triton's interpreter.

    Attributes:
        cutoff: the cutoff radius, angstrom.
        pairs: the functions of a distance.
    """

    def __init__(self, model: ModelFile, device: torch.device):
        settings = model.settings
        self.settings, self.device, self.cutoff = settings, device, float(settings["cutoff"])
        self.rank, self.hidden = settings["rank"], settings["hidden"]
        self.activation, self.head_activation = settings["activation"], settings["head_activation"]
        self.channels = 16 if self.hidden % 32 else 32
        self.pairs = PairFunctions(model, device)
        self._reference = _double(model.reference_energy, device)
        self._scale = _double(np.array([settings["energy_scale"]]), device)
        last = len(model.blocks) - 1
        self.blocks = [_Weights(block, settings, index == last, device) for index, block in enumerate(model.blocks)]
        self.head = [DeviceLayer(layer, device) for layer in model.head]
        self._head_adjoint = self.head[-1].weight * float(settings["energy_scale"])
        self.embedding = _single(model.embedding, device)
        with full_precision():
            _, self._element_context = self._context(self.embedding, self.blocks[0])

    @full_precision()
    def __call__(self, inputs: Inputs) -> Outputs:
        """Compute energies, forces and virials. All shapes follow from those of the inputs, so that it can be captured.

        Atoms behind the last structure, whose number is 0 and which have no candidates, are computed for nothing.
        """
        n, n_structures = len(inputs.numbers), len(inputs.first_atom) - 1
        pairs = self.pairs.describe(inputs)
        filters = self.pairs.filters(pairs, n)
        s, x, ones = self._first(inputs.numbers)
        v, t = self._features(n)
        kept: list[_Kept] = []
        for index in range(len(self.blocks)):
            s, v, t, own = self._forward(index, inputs, pairs, filters, s, v, t, None if index else x)
            kept.append(own)
        learned, s_bar = self._head(s, ones)
        pair_forces = s.new_empty(len(inputs.candidates.first), 3)
        v_bar, t_bar = self._features(n)
        for index in reversed(range(len(self.blocks))):
            s_bar, v_bar, t_bar = self._backward(
                index, inputs, pairs, filters, kept[index], s_bar, v_bar, t_bar, pair_forces
            )
        sums = torch.empty(n, 10, dtype=torch.float64, device=self.device)
        forces, counts = sums.new_empty(n, 3), torch.empty_like(inputs.numbers)
        pair_kernels.atomic_totals[(n,)](
            inputs.numbers, learned, self._reference, self._scale,
            inputs.candidates.row_start, inputs.candidates.pairs, pairs.place, pairs.distance,
            pairs.direction, pairs.pair_energy, pairs.pair_energy_slope, pair_forces, forces, sums, counts,
            HAS_PAIR_ENERGY=self.pairs.has_pair_energy, PAIRS=32, num_warps=1, **launch.options(n, self.device),
        )  # fmt: skip
        totals = sums.new_empty(n_structures, 10)
        pair_kernels.structure_totals[(n_structures, 10)](
            inputs.first_atom, sums, totals, COLUMNS=10, ATOMS=ATOMS, **launch.options(n, self.device)
        )
        total = totals[0, 0] if n_structures == 1 else totals[:, 0].sum()
        return Outputs(totals[:, :1], forces, totals[:, 1:], sums[:, 0], counts, total)

    def _features(self, n: int) -> tuple[Tensor, Tensor]:
        """Memory for vectors and tensors."""
        empty = torch.empty(0, device=self.device)
        return empty.new_empty(n, 3, self.hidden), empty.new_empty(n if self.rank == 2 else 0, 5, self.hidden)

    def _forward(
        self, index: int, inputs: Inputs, pairs: Pairs, filters: Filters, s: Tensor, v: Tensor, t: Tensor,
        known: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, _Kept]:  # fmt: skip
        """Compute one block, which begins with the features s, v and t, and in the first one with a known context."""
        weights, first, last, n = self.blocks[index], index == 0, index == len(self.blocks) - 1, len(s)
        hidden, x = self._context(s, weights) if known is None else (s, known)
        xv, xt = self._features(0 if first else n)
        if not first:
            self._over_channels(update_kernels.scale_carried, n, x, v, t, xv, xt)
        s_summed, (v_summed, t_summed) = torch.empty_like(s), self._features(n)
        message_kernels.add_messages[self._grid(n)](
            *inputs.candidates[:3], pairs.place, pairs.direction, filters.of(index),
            x, xv, xt, s, v, t, s_summed, v_summed, t_summed, self.hidden,
            FIRST=first, **self._tile(TILE, n),
        )  # fmt: skip
        ab, ab2 = multiply_components(v_summed, t_summed, weights.mix)
        invariants = s.new_empty(n, (self.rank + 1) * self.hidden)
        self._over_channels(update_kernels.join_invariants, n, s_summed, ab, ab2, invariants, epsilon=True)
        inner, outer = weights.update
        update_hidden = multiply(n, invariants, inner.transposed, bias=inner.bias)
        y = multiply(n, update_hidden, outer.transposed, bias=outer.bias, activation=self.activation)
        s_next, (v_next, t_next) = torch.empty_like(s), self._features(0 if last else n)
        features = s_summed, v_summed, t_summed, ab, ab2, y, s_next, v_next, t_next
        self._over_channels(update_kernels.update_features, n, *features, LAST=last)
        own = _Kept(hidden, x, xv, xt, v, t, ab, ab2, invariants, update_hidden, y)
        return s_next, v_next, t_next, own

    def _backward(
        self, index: int, inputs: Inputs, pairs: Pairs, filters: Filters, kept: _Kept,
        s_bar: Tensor, v_bar: Tensor, t_bar: Tensor, pair_forces: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Differentiate one block, and add what it gives to the force of each pair to ``pair_forces``."""
        weights, first, last, n = self.blocks[index], index == 0, index == len(self.blocks) - 1, len(s_bar)
        y_bar = torch.empty_like(kept.y)
        self._over_channels(update_kernels.gates_adjoint, n, s_bar, v_bar, t_bar, kept.ab, kept.ab2, y_bar, LAST=last)
        inner, outer = weights.update
        hidden_bar = multiply(n, y_bar, outer.weight, before=kept.update_hidden, slope_of=self.activation)
        invariants_bar = multiply(n, hidden_bar, inner.weight)
        s_summed_bar, ab_bar, ab2_bar = torch.empty_like(s_bar), torch.empty_like(kept.ab), torch.empty_like(kept.ab2)
        self._over_channels(
            update_kernels.mixed_adjoint, n, s_bar, v_bar, t_bar, kept.ab, kept.ab2, kept.y, kept.invariants,
            invariants_bar, s_summed_bar, ab_bar, ab2_bar, LAST=last,
        )  # fmt: skip
        passed = None if last else (v_bar, t_bar)
        v_bar, t_bar = multiply_components(ab_bar, ab2_bar, weights.mix_adjoint, passed)
        own, slopes = filters.with_slopes(index)
        _, _, _, i, j, _ = inputs.candidates
        most, tile = len(i), self._tile(ADJOINT_TILE, n)
        force_kernels.add_pair_forces[(triton.cdiv(most, tile["PAIRS"]),)](
            most, i, j, pairs.place, pairs.distance, pairs.direction, own, slopes,
            kept.x, kept.xv, kept.xt, s_summed_bar, v_bar, t_bar, pair_forces, self.hidden,
            FIRST=first, LAST=last, **tile,
        )  # fmt: skip
        if first:
            return s_summed_bar, v_bar, t_bar
        x_bar, (v_before, t_before) = torch.empty_like(kept.x), self._features(n)
        message_kernels.add_messages_adjoint[self._grid(n)](
            *inputs.candidates[:3], pairs.place, pairs.direction, own,
            kept.x, kept.v, kept.t, s_summed_bar, v_bar, t_bar, x_bar, v_before, t_before, self.hidden, **tile,
        )  # fmt: skip
        inner, outer = weights.context
        hidden_bar = multiply(n, x_bar.reshape(n, -1), outer.weight, before=kept.hidden, slope_of=self.activation)
        return multiply(n, hidden_bar, inner.weight, added=s_summed_bar), v_before, t_before

    def _context(self, s: Tensor, weights: _Weights) -> tuple[Tensor, Tensor]:
        """What each atom tells its neighbors, (N, K, H), and the hidden layer before that."""
        inner, outer = weights.context
        hidden = multiply(len(s), s, inner.transposed, bias=inner.bias)
        x = multiply(len(s), hidden, outer.transposed, bias=outer.bias, activation=self.activation)
        return hidden, x.reshape(len(s), -1, self.hidden)

    def _first(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features and context of the first block, which each element has, and a column of ones."""
        n, width = len(numbers), self._element_context.shape[1] * self.hidden
        s, x, ones = (self.embedding.new_empty(n, columns) for columns in (self.hidden, width, 1))
        update_kernels.first_features[(n, triton.cdiv(width, 128))](
            numbers, self.embedding, self._element_context, s, x, ones, self.hidden, width, SIZE=128, num_warps=1,
            **launch.options(n, self.device),
        )  # fmt: skip
        return s, x.reshape(n, -1, self.hidden), ones

    def _head(self, s: Tensor, ones: Tensor) -> tuple[Tensor, Tensor]:
        """The energy of each atom before it is scaled, float32 (N, 1), and the derivative of the scaled one by s."""
        n, kind = len(s), self.head_activation
        before: list[Tensor] = []
        for layer in self.head:
            s_before, own = s, kind if before else None
            s = multiply(n, s, layer.transposed, bias=layer.bias, activation=own)
            before.append(s_before)
        bar, weight = ones, self._head_adjoint
        for layer, hidden in zip(self.head[-2::-1], before[:0:-1], strict=True):
            bar, weight = multiply(n, bar, weight, before=hidden, slope_of=kind), layer.weight
        return s, multiply(n, bar, weight)

    def _over_channels(self, kernel: Any, n: int, *tensors: Tensor, epsilon: bool = False, **options: Any) -> None:
        """Start a kernel of ``update_kernels``, each program of which has ``ELEMENTS`` channels of atoms."""
        elements = n * self.hidden
        more = [float(self.settings["epsilon"])] if epsilon else []
        kernel[(triton.cdiv(elements, ELEMENTS),)](
            *tensors,
            elements,
            self.hidden,
            *more,
            RANK=self.rank,
            SIZE=ELEMENTS,
            **options,
            **launch.options(n, self.device),
        )

    def _grid(self, n: int) -> tuple[int]:
        """The programs over the neighbors of n atoms: tiles of channels of one atom, then of the next."""
        return (triton.cdiv(self.hidden, self.channels) * n,)

    def _tile(self, size: int, n: int) -> dict[str, Any]:
        """What the kernels over neighbors are compiled for: one warp."""
        tile = {"RANK": self.rank, "CHANNELS": self.channels, "PAIRS": size // self.channels, "num_warps": 1}
        return tile | launch.options(n, self.device)


def _single(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)


def _double(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)
