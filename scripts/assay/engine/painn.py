"""The Python interface of the compiled engine: the energy, forces, virial and parameter gradients of PaiNN.

It computes this project's PaiNN and schnetpack's, whose blocks are the same at rank 1 (docs/engine.md).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from assay.engine.library import library, pointer
from assay.engine.model_file import Network, parameters, to_bytes, why_not_computed
from assay.models import EnergyForces, Potential
from assay.models.graph import EdgeGraph


class Evaluation(NamedTuple):
    """What the engine computes; None for what was not asked for.

    Attributes:
        energy: the energy of each structure without its reference energies, eV, float64 (S,).
        forces: the negative gradient of the weighted sum of energies by the positions, eV/angstrom, (N, 3).
        virial: the virial of each structure, times its weight, eV, float64 (S, 3, 3).
        gradients: the gradient of the weighted sum of energies by all parameters, (P,), in the model's order.
    """

    energy: Tensor
    forces: Tensor | None
    virial: Tensor | None
    gradients: Tensor | None


def why_unsupported(model: Potential) -> str | None:
    """Say why the engine cannot compute this network here; None where it can."""
    reason = why_not_computed(model)
    if reason is not None:
        return reason
    if any(p.device.type != "cpu" for p in model.parameters()):
        return "it computes on the CPU"
    if library() is None:
        return "there is no C++ compiler for it that works: install g++"
    return None


class Engine:
    """A network as the engine computes it.

    Args:
        model: the network; its hyperparameters and dtype are kept, its parameters are copied.

    Raises:
        ValueError: the engine cannot compute it.
    """

    def __init__(self, model: Network):
        self.handle = ctypes.c_void_p()
        found = library()
        assert found is not None  # why_unsupported says so
        self._library, self.dtype = found, next(model.parameters()).dtype
        self._evaluate = {
            torch.float32: found.assay_evaluate_tensors_float32,
            torch.float64: found.assay_evaluate_tensors_float64,
        }[self.dtype]
        content = to_bytes(model, {})
        bits = 8 * self.dtype.itemsize
        size = ctypes.c_int64(len(content))
        self._check(found.assay_open_bytes(content, size, ctypes.c_int(bits), ctypes.byref(self.handle)))
        self.shapes = [p.shape for p in model.parameters()]
        position = {id(p): k for k, p in enumerate(model.parameters())}
        # Each block of the engine has parameters of its own; those of blocks that share them are equal.
        self.positions = [position[id(p)] for p in parameters(model)]

    def __del__(self) -> None:
        if self.handle:
            self._library.assay_close(self.handle)

    def _check(self, code: int) -> None:
        if code:
            raise ValueError(self._library.assay_last_error().decode())

    def set_parameters(self, parameters: list[Tensor]) -> None:
        """Copy parameters into the engine, in the order of ``model.parameters()``."""
        flat = torch.cat([parameters[k].detach().reshape(-1) for k in self.positions]).to(self.dtype)
        self._library.assay_set_parameters(self.handle, pointer(flat))

    def _in_order_of_the_model(self, gradients: Tensor) -> Tensor:
        """Return the gradient by each parameter of the model; that of a shared one is the sum over its blocks."""
        if self.positions == list(range(len(self.shapes))):
            return gradients
        totals = [gradients.new_zeros(shape.numel()) for shape in self.shapes]
        parts = gradients.split([self.shapes[k].numel() for k in self.positions])
        for k, part in zip(self.positions, parts, strict=True):
            totals[k] += part
        return torch.cat(totals)

    def evaluate(
        self,
        atomic_numbers: Tensor,
        positions: Tensor,
        batch: Tensor,
        n_structures: int,
        graph: EdgeGraph,
        *,
        forces: bool = True,
        virial: bool = False,
        weights: Tensor | None = None,
        gradients: bool = False,
    ) -> Evaluation:
        """Compute energies and, where they are asked for, forces, virials and parameter gradients.

        Args:
            atomic_numbers, positions, batch, n_structures, graph: the arguments of ``Potential.energy_and_forces``,
                with atoms sorted by structure.
            forces, virial: whether to compute them; the virial needs the forces.
            weights: float64 (S,), weight of each energy in the sum that is differentiated; None for 1.
            gradients: whether to differentiate by the parameters.

        Raises:
            ValueError: shapes do not fit, atoms are not sorted, an edge has no reverse or leads to no atom, or the
                network does not know an atomic number.

        Positions that are not finite, and two atoms at one place, give NaN everywhere.
        """
        edge_index, shift = graph.edge_index.contiguous(), graph.shift.to(self.dtype).contiguous()
        n_atoms, n_edges = len(positions), edge_index.shape[1]
        shapes = {"atomic_numbers": atomic_numbers.shape, "batch": batch.shape, "shift": shift.shape}
        expected = {"atomic_numbers": (n_atoms,), "batch": (n_atoms,), "shift": (n_edges, 3)}
        if shapes != expected or positions.shape != (n_atoms, 3) or edge_index.shape[0] != 2:
            raise ValueError(f"the shapes {shapes} do not fit {tuple(positions.shape)} positions")
        numbers, owners, edge_index = (x.to(torch.int64).contiguous() for x in (atomic_numbers, batch, edge_index))
        energy = torch.empty(n_structures, dtype=torch.float64)
        out = Evaluation(
            energy,
            torch.empty(n_atoms, 3, dtype=self.dtype) if forces else None,
            torch.empty(n_structures, 3, 3, dtype=torch.float64) if virial else None,
            torch.empty(sum(self.shapes[k].numel() for k in self.positions), dtype=self.dtype) if gradients else None,
        )
        sizes = torch.tensor([n_atoms, n_structures, n_edges])
        at = positions.detach().to(self.dtype).contiguous()
        if weights is not None:
            weights = weights.to(torch.float64).contiguous()
        tensors = [sizes, numbers, owners, edge_index, at, shift, weights]
        self._check(
            self._evaluate(
                self.handle, *map(pointer, tensors), ctypes.c_int(torch.get_num_threads()), *map(pointer, out)
            )
        )
        return out if out.gradients is None else out._replace(gradients=self._in_order_of_the_model(out.gradients))


def accelerated(model: Potential) -> Callable[..., EnergyForces]:
    """Return ``model.energy_and_forces`` for inference, computed by the engine if it supports the model."""
    if why_unsupported(model) is not None:
        return model.energy_and_forces
    network = cast(Network, model)
    engine = Engine(network)

    def energy_and_forces(
        atomic_numbers: Tensor,
        positions: Tensor,
        batch: Tensor,
        n_structures: int,
        graph: EdgeGraph,
        *,
        virial: bool = False,
    ) -> EnergyForces:
        """See ``Potential.energy_and_forces``."""
        out = engine.evaluate(atomic_numbers, positions, batch, n_structures, graph, virial=virial)
        energy = out.energy.index_add(0, batch, network.reference_energy.double()[atomic_numbers])
        assert out.forces is not None  # they were asked for
        return EnergyForces(energy, out.forces, out.virial)

    return energy_and_forces
