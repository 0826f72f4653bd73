"""One training step: loss of energies and forces, and its gradient in every parameter.

Forces are a derivative of the network, so the gradient of a loss of them is a second derivative. With g = dL/dF,

    dL/dtheta = sum_s dL/dE_s dE_s/dtheta + sum_i g_i . dF_i/dtheta,     F = -dE/dx,

and the last term is the change of -dE/dtheta along g. ``engine_step`` takes it as a difference of first derivatives,
which the compiled engine gives, at x and x + h g; ``eager_step`` differentiates twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from assay.engine.painn import Engine
from assay.models import PaiNN, Potential
from assay.models.graph import EdgeGraph
from assay.training.packs import Pack

Step = Callable[[list[Tensor], Pack], tuple[Tensor, list[Tensor]]]

# How far the difference moves an atom at most, angstrom.
DISPLACEMENT_A = 2e-4


@dataclass(frozen=True)
class Loss:
    """Pseudo-Huber loss of each atom's force error and of each structure's energy error per atom.

    Attributes:
        force_delta_eV_per_A: errors below it count quadratically, above it linearly.
        energy_delta_eV_per_atom: the same for the energy.
        energy_weight: of the energy's term, the force's being 1 (angstrom).
    """

    force_delta_eV_per_A: float = 0.1
    energy_delta_eV_per_atom: float = 0.01
    energy_weight: float = 4.0

    def __call__(self, energy: Tensor, forces: Tensor, pack: Pack) -> Tensor:
        """Mean loss of a pack over its atoms and structures, by their weights, eV/angstrom."""
        squared = ((forces - pack.forces) ** 2).sum(-1)
        force_loss = torch.sqrt(squared + self.force_delta_eV_per_A**2) - self.force_delta_eV_per_A
        per_atom = ((energy - pack.energy) / pack.n_atoms).to(forces.dtype)
        energy_loss = torch.sqrt(per_atom**2 + self.energy_delta_eV_per_atom**2) - self.energy_delta_eV_per_atom
        return (force_loss * pack.atom_weight).sum() + self.energy_weight * (energy_loss * pack.structure_weight).sum()


class _EnergyForces(nn.Module):
    """``energy_and_forces`` as a forward pass, so that parameters can be handed in."""

    def __init__(self, model: Potential):
        super().__init__()
        self.model = model

    def forward(self, pack: Pack, positions: Tensor) -> tuple[Tensor, Tensor]:
        graph = EdgeGraph(pack.edge_index, pack.shift, len(positions), pack.reverse_index)
        energy, forces, _ = self.model.energy_and_forces(
            pack.atomic_numbers, positions, pack.batch, len(pack.n_atoms), graph, create_graph=True
        )
        return energy, forces


def eager_step(model: Potential, loss: Loss) -> Step:
    """(parameters, pack) to (loss, gradients), in the order of ``model.parameters()``."""
    wrapped = _EnergyForces(model)
    names = [name for name, _ in wrapped.named_parameters()]

    def step(parameters: list[Tensor], pack: Pack) -> tuple[Tensor, list[Tensor]]:
        """The loss, a scalar, and its gradient in each of ``parameters``, which stay as they are."""
        with torch.enable_grad():
            leaves = [p.detach().requires_grad_() for p in parameters]
            positions = pack.positions.detach().requires_grad_()
            named = dict(zip(names, leaves, strict=True))
            energy, forces = torch.func.functional_call(wrapped, named, (pack, positions))
            value = loss(energy, forces, pack)
            gradients = torch.autograd.grad(value, leaves)
        return value.detach(), [g.detach() for g in gradients]

    return step


def engine_step(model: PaiNN, loss: Loss) -> Step:
    """``eager_step`` by the compiled engine: equal to a hundredth of the gradient, and many times faster.

    The error of a difference to one side has one sign for all structures. It would add up over steps, so that half of
    all packs, told by how many pairs of edges they have, are differentiated to the other side.
    """
    engine = Engine(model)
    sizes = [p.numel() for p in model.parameters()]
    shapes = [p.shape for p in model.parameters()]

    def step(parameters: list[Tensor], pack: Pack) -> tuple[Tensor, list[Tensor]]:
        """As that of ``eager_step``."""
        engine.read(parameters)
        n_structures = len(pack.n_atoms)
        graph = EdgeGraph(pack.edge_index, pack.shift, len(pack.positions), pack.reverse_index)
        at_rest = engine.evaluate(pack.atomic_numbers, pack.positions, pack.batch, n_structures, graph, gradients=True)
        assert at_rest.forces is not None and at_rest.gradients is not None  # they were asked for
        references = at_rest.energy.new_zeros(n_structures)
        references.index_add_(0, pack.batch, model.reference_energy[pack.atomic_numbers])
        with torch.enable_grad():
            energy, forces = (at_rest.energy + references).requires_grad_(), at_rest.forces.requires_grad_()
            value = loss(energy, forces, pack)
            d_energy, d_forces = torch.autograd.grad(value, [energy, forces])
        side = 1 if pack.edge_index.shape[1] % 4 < 2 else -1
        reach = side * DISPLACEMENT_A / float(d_forces.norm(dim=-1).max().clamp(min=1e-12))
        moved = engine.evaluate(
            pack.atomic_numbers,
            pack.positions + reach * d_forces,
            pack.batch,
            n_structures,
            graph,
            forces=False,
            weights=d_energy - 1 / reach,
            gradients=True,
        )
        assert moved.gradients is not None  # they were asked for
        parts = (moved.gradients + at_rest.gradients / reach).split(sizes)
        return value.detach(), [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    return step
