"""The network on a GPU: which kernel and which product follows which, from positions to energies and forces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor

from . import force_kernels, message_kernels, pair_kernels, update_kernels
from .constants import ACTIVATIONS, N_FILTERS, SOFTPLUS_IS_LINEAR_FROM
from .model_file import Block, Layer, ModelFile

EDGES = 16  # edges of one tile: the least number of rows that tl.dot takes
LEAST_ROWS = 16  # its least depth
PAIRS = 64  # pairs that a program compares at once
ELEMENTS = 512  # channels of atoms that a program updates at once
ATOMS = 256  # atoms that are summed at once


class Inputs(NamedTuple):
    """The atoms of some structures, one after the other, and the candidates for neighbors of each.

    Attributes:
        numbers: int32 (N,), atomic numbers.
        positions: float64 (N, 3), angstrom.
        first_atom: int32 (S + 1,), where the atoms of each structure begin.
        row_start: int32 (N + 1,), where the candidates of each atom begin.
        candidates: int32 (C,), all atoms that may be within the cutoff, both ways.
        shift: float64 (C, 3), the displacement of the image of each, angstrom.
    """

    numbers: Tensor
    positions: Tensor
    first_atom: Tensor
    row_start: Tensor
    candidates: Tensor
    shift: Tensor


class Outputs(NamedTuple):
    """What the network says.

    Attributes:
        energy: float64 (S, 1), eV, with reference energies.
        forces: float64 (N, 3), eV/angstrom.
        virial: float64 (S, 9), eV: -dE/d(strain).
        atomic_energies: float64 (N,), eV.
        edge_start: int32 (N + 1,), where the pairs within the cutoff of each atom begin, both ways.
    """

    energy: Tensor
    forces: Tensor
    virial: Tensor
    atomic_energies: Tensor
    edge_start: Tensor


class _Edges(NamedTuple):
    """The pairs within the cutoff, as ``pair_kernels`` writes them."""

    start: Tensor
    neighbors: Tensor
    centers: Tensor
    distance: Tensor
    direction: Tensor
    basis: Tensor
    slope: Tensor
    repulsion: Tensor
    repulsion_slope: Tensor


class _Weights:
    """The layers of one block on the device; those of the last one without the gates that nothing reads behind it."""

    def __init__(self, block: Block, settings: dict[str, Any], rows: int, last: bool, device: torch.device):
        hidden, rank = settings["hidden"], settings["rank"]
        weight, bias = block.filter
        filters = np.zeros((N_FILTERS[rank], rows, hidden))
        filters[:, : settings["n_rbf"]] = weight.reshape(N_FILTERS[rank], hidden, -1).transpose(0, 2, 1)
        if bias is not None:
            filters[:, settings["n_rbf"]] = bias.reshape(N_FILTERS[rank], hidden)
        self.filters = _single(filters, device)
        self.context = [_on_device(layer, device) for layer in block.context]
        self.mix = _single(block.mix.weight, device)
        self.mix_tensors = _single(np.zeros(0) if block.mix_tensors is None else block.mix_tensors.weight, device)
        inner, outer = block.update
        if last:
            gates = [0, 2, 3] if rank == 2 else [0, 2]
            kept = [part.reshape(-1, hidden, *part.shape[1:])[gates] for part in (outer.weight, outer.bias)]  # type: ignore[union-attr]
            outer = Layer(kept[0].reshape(-1, hidden), kept[1].reshape(-1))
        self.update = [_on_device(layer, device) for layer in (inner, outer)]


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


@contextmanager
def full_precision() -> Iterator[None]:
    """Let torch multiply matrices in full single precision, without TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Network:
    """A network in single precision, whose distances and sums of energies, forces and virials are in double precision.

    Args:
        model: the model file.
        device: where it computes: a GPU, or the CPU under Triton's interpreter.

    Attributes:
        cutoff: the cutoff radius, angstrom.
    """

    def __init__(self, model: ModelFile, device: torch.device):
        settings = model.settings
        self.settings, self.device, self.cutoff = settings, device, float(settings["cutoff"])
        self.rank, self.hidden = settings["rank"], settings["hidden"]
        self.activation = ACTIVATIONS[settings["activation"]]
        self.head_activation = ACTIVATIONS[settings["head_activation"]]
        n_rbf = settings["n_rbf"]
        self.rows = max(LEAST_ROWS, triton.next_power_of_2(n_rbf + bool(settings["filter_bias"])))
        self.channels = 16 if self.hidden <= 16 else 32
        self.tiles = triton.cdiv(self.hidden, self.channels)
        radial = np.ones((2, self.rows))
        radial[:, :n_rbf] = model.radial
        self._radial = _double(radial, device)
        self._elements = _double(np.stack([model.radii, model.powers]), device)
        self._reference = _double(model.reference_energy, device)
        reals = [settings["cutoff"], settings["envelope_begin"], settings["envelope_end"]]
        self._reals = _double(np.array(reals), device)
        self._cutoff_squared = _double(np.array([self.cutoff**2]), device)
        self._scale = _double(np.array([settings["energy_scale"]]), device)
        last = len(model.blocks) - 1
        self.blocks = [
            _Weights(block, settings, self.rows, index == last, device) for index, block in enumerate(model.blocks)
        ]
        self.head = [_on_device(layer, device) for layer in model.head]
        self.embedding = _single(model.embedding, device)
        with full_precision():
            _, self._element_context = self._context(self.embedding, self.blocks[0])

    @full_precision()
    def __call__(self, inputs: Inputs) -> Outputs:
        """Compute energies, forces and virials. All shapes follow from those of the inputs, so that it can be captured.

        Atoms behind the last structure, whose number is 0 and which have no candidates, are computed for nothing.
        """
        n, n_structures = len(inputs.numbers), len(inputs.first_atom) - 1
        edges = self._edges(inputs)
        s, v, t = self.embedding[inputs.numbers], *self._features(n)
        kept: list[_Kept] = []
        for index in range(len(self.blocks)):
            s, v, t, own = self._forward(index, edges, inputs.numbers, s, v, t)
            kept.append(own)
        learned, s_bar = self._head(s)
        pair_forces = learned.new_empty(self.tiles, len(inputs.candidates), 3)
        v_bar, t_bar = self._features(n)
        for index in reversed(range(len(self.blocks))):
            s_bar, v_bar, t_bar = self._backward(index, edges, kept[index], s_bar, v_bar, t_bar, pair_forces)
        energies = torch.empty(n, dtype=torch.float64, device=self.device)
        forces, virials = energies.new_empty(n, 3), energies.new_empty(n, 9)
        pair_kernels.atomic_totals[(n,)](
            inputs.numbers, learned, self._reference, self._scale, edges.start, edges.distance, edges.direction,
            edges.repulsion, edges.repulsion_slope, pair_forces, pair_forces.shape[1], energies, forces, virials,
            REPULSION=bool(self.settings["repulsion"]), TILES=self.tiles, EDGES=32, num_warps=1,
        )  # fmt: skip
        energy, virial = energies.new_empty(n_structures, 1), energies.new_empty(n_structures, 9)
        for values, totals in ((energies, energy), (virials, virial)):
            stride = totals.shape[1]
            pair_kernels.structure_totals[(n_structures, stride)](
                inputs.first_atom, values, totals, STRIDE=stride, ATOMS=ATOMS
            )
        return Outputs(energy, forces, virial, energies, edges.start)

    def _features(self, n: int) -> tuple[Tensor, Tensor]:
        """Memory for vectors and tensors."""
        empty = torch.empty(0, device=self.device)
        return empty.new_empty(n, 3, self.hidden), empty.new_empty(n if self.rank == 2 else 0, 5, self.hidden)

    def _edges(self, inputs: Inputs) -> _Edges:
        """Choose the pairs within the cutoff among the candidates, and compute what depends on each."""
        n, most, settings = len(inputs.numbers), len(inputs.candidates), self.settings
        whole, double = {"dtype": torch.int32, "device": self.device}, {"dtype": torch.float64, "device": self.device}
        start, counts = torch.zeros(n + 1, **whole), torch.empty(n, **whole)  # type: ignore[call-overload]
        places = inputs.row_start, inputs.candidates, inputs.positions, inputs.shift
        pair_kernels.count_near[(n,)](*places, counts, self._cutoff_squared, PAIRS=PAIRS)
        torch.cumsum(counts, 0, dtype=torch.int32, out=start[1:])
        neighbors, centers, kept = (torch.empty(most, **whole) for _ in range(3))  # type: ignore[call-overload]
        pair_kernels.keep_near[(n,)](*places, start, neighbors, centers, kept, self._cutoff_squared, PAIRS=PAIRS)
        basis, direction = self.embedding.new_empty(2, most, self.rows), self.embedding.new_empty(most, 3)
        distance = self.embedding.new_empty(most)
        repulsion = torch.empty(2, most if settings["repulsion"] else 0, **double)  # type: ignore[call-overload]
        edges = _Edges(start, neighbors, centers, distance, direction, *basis, *repulsion)
        pair_kernels.describe_pairs[(triton.cdiv(most, EDGES),)](
            inputs.numbers, start, n, neighbors, centers, kept, inputs.positions, inputs.shift,
            self._elements, self._radial, self._reals,
            *edges[3:], self._elements.shape[1],
            ENVELOPE=settings["envelope"], GAUSSIAN=bool(settings["gaussian"]), FLOOR=bool(settings["floor"]),
            REPULSION=bool(settings["repulsion"]), N_RBF=settings["n_rbf"], ROWS=self.rows, EDGES=EDGES,
        )  # fmt: skip
        return edges

    def _forward(
        self, index: int, edges: _Edges, numbers: Tensor, s: Tensor, v: Tensor, t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, _Kept]:
        """Compute one block, which begins with the features s, v and t."""
        weights, first, last, n = self.blocks[index], index == 0, index == len(self.blocks) - 1, len(s)
        if first:
            hidden, x = s, self._element_context[numbers]
        else:
            hidden, x = self._context(s, weights)
        xv, xt = self._features(0 if first else n)
        if not first:
            self._over_channels(update_kernels.scale_carried, n, x, v, t, xv, xt)
        s_summed, (v_summed, t_summed) = torch.empty_like(s), self._features(n)
        message_kernels.add_messages[(n, self.tiles)](
            edges.start, edges.neighbors, edges.direction, edges.basis, weights.filters, x, xv, xt, s, v, t,
            s_summed, v_summed, t_summed, self.hidden, FIRST=first, **self._tile(),
        )  # fmt: skip
        ab = v_summed @ weights.mix.T
        ab2 = t_summed @ weights.mix_tensors.T if self.rank == 2 else t_summed
        invariants = s.new_empty(n, (self.rank + 1) * self.hidden)
        self._over_channels(update_kernels.join_invariants, n, s_summed, ab, ab2, invariants, epsilon=True)
        (inner, bias), (outer, outer_bias) = weights.update
        update_hidden = torch.addmm(bias, invariants, inner.T)
        y = torch.addmm(outer_bias, _activate(self.activation, update_hidden), outer.T)
        s_next, (v_next, t_next) = torch.empty_like(s), self._features(0 if last else n)
        features = s_summed, v_summed, t_summed, ab, ab2, y, s_next, v_next, t_next
        self._over_channels(update_kernels.update_features, n, *features, LAST=last)
        own = _Kept(hidden, x, xv, xt, v, t, ab, ab2, invariants, update_hidden, y)
        return s_next, v_next, t_next, own

    def _backward(
        self, index: int, edges: _Edges, kept: _Kept, s_bar: Tensor, v_bar: Tensor, t_bar: Tensor, pair_forces: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Differentiate one block, and add what it gives to the force of each edge to ``pair_forces``."""
        weights, first, last, n = self.blocks[index], index == 0, index == len(self.blocks) - 1, len(s_bar)
        y_bar = torch.empty_like(kept.y)
        self._over_channels(update_kernels.gates_adjoint, n, s_bar, v_bar, t_bar, kept.ab, kept.ab2, y_bar, LAST=last)
        inner, outer = (weight for weight, _ in weights.update)
        invariants_bar = _activate_adjoint(self.activation, y_bar @ outer, kept.update_hidden) @ inner
        s_summed_bar, ab_bar, ab2_bar = torch.empty_like(s_bar), torch.empty_like(kept.ab), torch.empty_like(kept.ab2)
        self._over_channels(
            update_kernels.mixed_adjoint, n, s_bar, v_bar, t_bar, kept.ab, kept.ab2, kept.y, kept.invariants,
            invariants_bar, s_summed_bar, ab_bar, ab2_bar, LAST=last,
        )  # fmt: skip
        v_bar = _added(v_bar, ab_bar, weights.mix, last)
        if self.rank == 2:
            t_bar = _added(t_bar, ab2_bar, weights.mix_tensors, last)
        force_kernels.add_pair_forces[(triton.cdiv(len(edges.neighbors), EDGES), self.tiles)](
            edges.start[-1:], edges.neighbors, edges.centers, edges.distance, edges.direction, edges.basis, edges.slope,
            weights.filters, kept.x, kept.xv, kept.xt, s_summed_bar, v_bar, t_bar, pair_forces, pair_forces.shape[1],
            self.hidden, FIRST=first, LAST=last, **self._tile(),
        )  # fmt: skip
        if first:
            return s_summed_bar, v_bar, t_bar
        x_bar, (v_before, t_before) = torch.empty_like(kept.x), self._features(n)
        message_kernels.add_messages_adjoint[(n, self.tiles)](
            edges.start, edges.neighbors, edges.direction, edges.basis, weights.filters, kept.x, kept.v, kept.t,
            s_summed_bar, v_bar, t_bar, x_bar, v_before, t_before, self.hidden, **self._tile(),
        )  # fmt: skip
        inner, outer = (weight for weight, _ in weights.context)
        hidden_bar = _activate_adjoint(self.activation, x_bar.reshape(n, -1) @ outer, kept.hidden)
        return torch.addmm(s_summed_bar, hidden_bar, inner), v_before, t_before

    def _context(self, s: Tensor, weights: _Weights) -> tuple[Tensor, Tensor]:
        """What each atom tells its neighbors, (N, K, H), and the hidden layer before that."""
        (inner, bias), (outer, outer_bias) = weights.context
        hidden = torch.addmm(bias, s, inner.T)
        x = torch.addmm(outer_bias, _activate(self.activation, hidden), outer.T)
        return hidden, x.reshape(len(s), -1, self.hidden)

    def _head(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """The energy of each atom before it is scaled, float32 (N,), and the derivative of the scaled one by s."""
        before = []
        for weight, bias in self.head[:-1]:
            before.append(torch.addmm(bias, s, weight.T))
            s = _activate(self.head_activation, before[-1])
        weight, bias = self.head[-1]
        learned = torch.addmm(bias, s, weight.T).squeeze(-1)
        s_bar = (weight * float(self.settings["energy_scale"])).expand(len(s), -1)
        for (weight, _), hidden in zip(self.head[-2::-1], before[::-1], strict=True):
            s_bar = _activate_adjoint(self.head_activation, s_bar.contiguous(), hidden) @ weight
        return learned, s_bar.contiguous()

    def _over_channels(self, kernel: Any, n: int, *tensors: Tensor, epsilon: bool = False, **options: Any) -> None:
        """Start a kernel of ``update_kernels``, each program of which has ``ELEMENTS`` channels of atoms."""
        elements = n * self.hidden
        more = [float(self.settings["epsilon"])] if epsilon else []
        kernel[(triton.cdiv(elements, ELEMENTS),)](
            *tensors, elements, self.hidden, *more, RANK=self.rank, SIZE=ELEMENTS, **options
        )

    def _tile(self) -> dict[str, Any]:
        """What the kernels over edges are compiled for: with so many warps that their sums stay in registers."""
        warps = self.channels // 4
        return {"RANK": self.rank, "ROWS": self.rows, "CHANNELS": self.channels, "EDGES": EDGES, "num_warps": warps}


def _added(bar: Tensor, mixed_bar: Tensor, weight: Tensor, last: bool) -> Tensor:
    """The derivative by what was mixed: that which passed the block by, zero behind the last one, and the mixed one."""
    flat = mixed_bar.reshape(-1, weight.shape[0])
    if last:
        return (flat @ weight).reshape(bar.shape)
    return torch.addmm(bar.reshape(-1, weight.shape[1]), flat, weight).reshape(bar.shape)


def _activate(name: str, x: Tensor) -> Tensor:
    if name == "silu":
        return torch.nn.functional.silu(x)
    soft = torch.nn.functional.softplus(x, 1.0, SOFTPLUS_IS_LINEAR_FROM)
    return soft if name == "softplus" else soft - float(np.log(2.0))


def _activate_adjoint(name: str, y_bar: Tensor, x: Tensor) -> Tensor:
    """The derivative by the argument of an activation, from that by its value."""
    if name == "silu":
        return torch.ops.aten.silu_backward(y_bar, x)
    return torch.ops.aten.softplus_backward(y_bar, x, 1.0, SOFTPLUS_IS_LINEAR_FROM)


def _single(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)


def _double(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)


def _on_device(layer: Layer, device: torch.device) -> tuple[Tensor, Tensor]:
    assert layer.bias is not None  # only filters and mixing layers may lack one
    return _single(layer.weight, device), _single(layer.bias, device)
