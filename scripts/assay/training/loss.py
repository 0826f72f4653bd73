"""The loss of energies, forces and virials, and its gradient with respect to every parameter.

Forces and virials are derivatives of the network, so the gradient of their loss is a second derivative. With g = dL/dF
and, for each structure, the symmetric matrix G = dL/dW,

    dL/dtheta = sum_s dL/dE_s dE_s/dtheta + sum_i g_i . dF_i/dtheta + sum_s G_s : dW_s/dtheta,
    F = -dE/dx,     W = -dE/dstrain,

and the last two terms are the derivative of -dE/dtheta as the atoms move along g and the space of each structure
stretches along G. ``engine_gradients`` approximates it by the difference of two first derivatives, at the vectors r of
all edges and at (1 + h G) r with the atoms moved by h g, which the compiled engine computes; ``eager_gradients``
differentiates twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from assay.data.dataset import Dataset
from assay.data.store import StoredDataset
from assay.engine.model_file import Network
from assay.engine.painn import Engine
from assay.models import EnergyForces, Potential
from assay.models.graph import EdgeGraph
from assay.training import processes
from assay.training.packs import Pack

LossGradients = Callable[[list[Tensor], Pack], tuple[Tensor, list[Tensor]]]

# The largest displacement of an atom, and by strain of two neighbors against each other, between the two points of the
# difference, angstrom.
DISPLACEMENT_A = 2e-4


@dataclass(frozen=True)
class Loss:
    """Pseudo-Huber loss of the force error of each atom, and of the errors of energy and virial per atom.

    Attributes:
        force_delta_eV_per_A: force errors count quadratically below it and linearly above it.
        energy_delta_eV_per_atom: energy errors per atom count quadratically below it and linearly above it.
        energy_weight: the weight of the energy's term, angstrom; the force's term has the weight 1.
        virial_delta_eV_per_atom: errors of the virial per atom, as the norm of a matrix, count quadratically below it
            and linearly above it.
        virial_weight: the weight of the virial's term, 1/angstrom; 0 where virials are not learned.
    """

    force_delta_eV_per_A: float
    energy_delta_eV_per_atom: float
    energy_weight: float
    virial_delta_eV_per_atom: float = 0.05
    virial_weight: float = 0.0

    def __call__(self, energy: Tensor, forces: Tensor, virial: Tensor | None, pack: Pack) -> Tensor:
        """The loss of a pack, eV/angstrom: weighted means over its atoms and over its structures.

        Without ``virial`` (S, 3, 3), eV, its term is left out.
        """
        squared = ((forces - pack.forces) ** 2).sum(-1)
        force_loss = torch.sqrt(squared + self.force_delta_eV_per_A**2) - self.force_delta_eV_per_A
        per_atom = ((energy - pack.energy) / pack.n_atoms).to(forces.dtype)
        energy_loss = torch.sqrt(per_atom**2 + self.energy_delta_eV_per_atom**2) - self.energy_delta_eV_per_atom
        loss = (force_loss * pack.atom_weight).sum() + self.energy_weight * (energy_loss * pack.structure_weight).sum()
        if virial is None:
            return loss
        squared = ((virial.to(forces.dtype) - pack.virial) ** 2).sum((-1, -2)) / pack.n_atoms**2
        virial_loss = torch.sqrt(squared + self.virial_delta_eV_per_atom**2) - self.virial_delta_eV_per_atom
        return loss + self.virial_weight * (virial_loss * pack.virial_weight).sum()


class _EnergyForces(nn.Module):
    """``energy_and_forces`` as the forward pass of a module, for ``functional_call`` with given parameters."""

    def __init__(self, model: Potential, virial: bool):
        super().__init__()
        self.model, self.virial = model, virial

    def forward(self, pack: Pack, positions: Tensor) -> EnergyForces:
        """Return energies, forces and, where they are wanted, virials of a pack with its atoms at ``positions``."""
        graph = EdgeGraph(pack.edge_index, pack.shift, len(positions), pack.reverse_index)
        return self.model.energy_and_forces(
            pack.atomic_numbers,
            positions,
            pack.batch,
            len(pack.n_atoms),
            graph,
            virial=self.virial,
            create_graph=True,
        )


def eager_gradients(model: Potential, loss: Loss) -> LossGradients:
    """Return the function from (parameters, pack) to (loss, gradients), in the order of ``model.parameters()``."""
    wrapped = _EnergyForces(model, virial=loss.virial_weight > 0)
    names = [name for name, _ in wrapped.named_parameters()]

    def gradients_of(parameters: list[Tensor], pack: Pack) -> tuple[Tensor, list[Tensor]]:
        """Return the loss, a scalar, and its gradient by each of ``parameters``, which are left unchanged."""
        with torch.enable_grad():
            leaves = [p.detach().requires_grad_() for p in parameters]
            positions = pack.positions.detach().requires_grad_()
            named = dict(zip(names, leaves, strict=True))
            found = torch.func.functional_call(wrapped, named, (pack, positions))
            value = loss(found.energy, found.forces, found.virial, pack)
            gradients = torch.autograd.grad(value, leaves)
        return value.detach(), [g.detach() for g in gradients]

    return gradients_of


def for_labels_of(data: Dataset | StoredDataset, values: Mapping[str, float]) -> dict[str, float]:
    """The arguments of a ``Loss`` for the labels of the data: without any stress there are no virials to learn."""
    return {**values} if data.has_stress else {**values, "virial_weight": 0.0}


def engine_gradients(model: Network, loss: Loss, displacement_A: float = DISPLACEMENT_A) -> LossGradients:
    """``eager_gradients`` by the compiled engine: many times faster, with an error of about 1 % of the gradient.

    The error of a one-sided difference has the same sign for all structures and would add up over steps. The sign of h
    therefore depends on the number of edge pairs of a step, so that it is negative for about half of all steps. Several
    processes use one h, so that their gradients sum to the one that a single process computes.
    """
    engine = Engine(model)
    sizes = [p.numel() for p in model.parameters()]
    shapes = [p.shape for p in model.parameters()]

    def gradients_of(parameters: list[Tensor], pack: Pack) -> tuple[Tensor, list[Tensor]]:
        """Return loss and gradients, as the function that ``eager_gradients`` returns."""
        engine.set_parameters(parameters)
        n_structures = len(pack.n_atoms)
        graph = EdgeGraph(pack.edge_index, pack.shift, len(pack.positions), pack.reverse_index)
        virial = loss.virial_weight > 0 and bool(pack.virial_weight.any())
        at_rest = engine.evaluate(
            pack.atomic_numbers, pack.positions, pack.batch, n_structures, graph, virial=virial, gradients=True
        )
        assert at_rest.forces is not None and at_rest.gradients is not None  # both were asked for
        references = at_rest.energy.new_zeros(n_structures)
        references.index_add_(0, pack.batch, model.reference_energy[pack.atomic_numbers])
        with torch.enable_grad():
            energy, forces = (at_rest.energy + references).requires_grad_(), at_rest.forces.requires_grad_()
            wanted = [energy, forces]
            if at_rest.virial is not None:
                wanted.append(at_rest.virial.requires_grad_())
            value = loss(energy, forces, at_rest.virial, pack)
            d_energy, d_forces, *d_virial = torch.autograd.grad(value, wanted)
        reach = d_forces.norm(dim=-1).max().double()
        strain = d_virial[0].to(d_forces.dtype) if d_virial else None
        if strain is not None:
            reach = torch.maximum(reach, torch.linalg.matrix_norm(strain).max().double() * model.cutoff)
        n_edges, longest = processes.gather(torch.stack([reach.new_tensor(pack.edge_index.shape[1]), reach])).unbind(1)
        sign = 1 if int(n_edges.sum()) % 4 < 2 else -1
        h = sign * displacement_A / float(longest.max().clamp(min=1e-12))
        positions, moved_graph = _moved(pack, graph, h * d_forces, None if strain is None else h * strain)
        moved = engine.evaluate(
            pack.atomic_numbers,
            positions,
            pack.batch,
            n_structures,
            moved_graph,
            forces=False,
            weights=d_energy - 1 / h,
            gradients=True,
        )
        assert moved.gradients is not None  # they were asked for
        parts = (moved.gradients + at_rest.gradients / h).split(sizes)
        return value.detach(), [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    return gradients_of


def _moved(pack: Pack, graph: EdgeGraph, step: Tensor, strain: Tensor | None) -> tuple[Tensor, EdgeGraph]:
    """The positions of a pack moved by ``step`` (A, 3), angstrom, after each structure was stretched by its ``strain``
    (S, 3, 3), which is symmetric, and the graph with the shifts that go with them.
    """
    if strain is None:
        return pack.positions + step, graph
    of_edge = pack.batch[pack.edge_index[1]]
    positions = pack.positions + step + torch.einsum("ax,axy->ay", pack.positions, strain[pack.batch])
    shift = pack.shift + torch.einsum("ex,exy->ey", pack.shift, strain[of_edge])
    return positions, EdgeGraph(pack.edge_index, shift, len(positions), pack.reverse_index)
