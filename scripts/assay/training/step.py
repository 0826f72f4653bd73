"""One training step as one compiled graph: energy, forces, loss and its gradient in every parameter.

The double derivative is taken by eager autograd while the step is traced, so that what is compiled is a plain list of
tensor operations with nothing left to differentiate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from assay.graph import EdgeGraph
from assay.models import Potential
from assay.training.packs import Pack

Step = Callable[[list[Tensor], Pack], tuple[Tensor, list[Tensor]]]


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
        """Mean loss of a pack over its real atoms and structures, eV/angstrom."""
        real_atom = (pack.atomic_numbers > 0).to(forces.dtype)
        squared = ((forces - pack.forces) ** 2).sum(-1)
        force_loss = (torch.sqrt(squared + self.force_delta_eV_per_A**2) - self.force_delta_eV_per_A) * real_atom
        real = (pack.n_atoms > 0).to(forces.dtype)
        per_atom = ((energy - pack.energy) / pack.n_atoms.clamp(min=1.0)).to(forces.dtype)
        energy_loss = (
            torch.sqrt(per_atom**2 + self.energy_delta_eV_per_atom**2) - self.energy_delta_eV_per_atom
        ) * real
        return force_loss.sum() / real_atom.sum() + self.energy_weight * energy_loss.sum() / real.sum()


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


def traced_step(model: Potential, loss: Loss, example: Pack) -> Step:
    """The same as a flat graph of tensor operations, for packs of the shape of ``example``."""
    return make_fx(eager_step(model, loss))([p.detach() for p in model.parameters()], example)


def compiled_step(model: Potential, loss: Loss, example: Pack) -> Step:
    """``traced_step``, compiled."""
    compiled = torch.compile(traced_step(model, loss, example), fullgraph=True, dynamic=False)

    def step(parameters: list[Tensor], pack: Pack) -> tuple[Tensor, list[Tensor]]:
        with torch.no_grad():
            return compiled([p.detach() for p in parameters], pack)

    return step
