"""One place that turns atomic energies into energy, forces and virial."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from assay.models.graph import Graph


def count_parameters(network: nn.Module) -> int:
    """The number of parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


class EnergyForces(NamedTuple):
    """What a potential predicts.

    Attributes:
        energy: the energy of each structure, eV, float64 (S,).
        forces: the force on each atom, eV/angstrom, (N, 3).
        virial: W = -dE/d(strain) of each structure, eV, (S, 3, 3), so that the stress of a cell of volume V is -W/V;
            None where it was not asked for.
    """

    energy: Tensor
    forces: Tensor
    virial: Tensor | None = None


class Potential(nn.Module):
    """A network that gives the energy of each atom and sees neighbors up to a finite cutoff.

    Subclasses set ``architecture``, keep ``hyperparameters`` and define ``atomic_energies``.

    Attributes:
        architecture: the name by which ``build_model`` finds the class.
        hyperparameters: all arguments of the constructor, as plain types.
        cutoff: the radius of the neighbor list, angstrom.
        max_z: the largest atomic number that has an embedding.
    """

    architecture: str
    hyperparameters: dict
    cutoff: float
    max_z: int

    def atomic_energies(self, atomic_numbers: Tensor, vectors: Tensor, graph: Graph) -> Tensor:
        """The energy of each atom, eV, float64 (N,).

        Args:
            atomic_numbers: int64 (N,).
            vectors: the vector from the center to its neighbor for each edge, angstrom, graph.edge_shape + (3,).
            graph: the neighbor relation.
        """
        raise TypeError(f"{type(self).__name__} does not define atomic energies")

    def energy(
        self, atomic_numbers: Tensor, positions: Tensor, batch: Tensor, n_structures: int, graph: Graph
    ) -> Tensor:
        """The energy of each structure, eV, float64 (S,). The arguments are those of ``energy_and_forces``."""
        return self._total(atomic_numbers, graph.vectors(positions), batch, n_structures, graph)

    def energy_and_forces(
        self,
        atomic_numbers: Tensor,
        positions: Tensor,
        batch: Tensor,
        n_structures: int,
        graph: Graph,
        *,
        virial: bool = False,
        create_graph: bool = False,
    ) -> EnergyForces:
        """Compute the energy of each structure and its exact negative gradient, the forces.

        Args:
            atomic_numbers: int64 (N,).
            positions: (N, 3), angstrom, in the dtype of the model.
            batch: int64 (N,), the index of the structure that each atom belongs to.
            n_structures: the number of structures, S.
            graph: the neighbor relation of all structures.
            virial: whether to return the virial of each structure too.
            create_graph: whether forces and virials can be differentiated further, as training needs.
        """
        with torch.enable_grad():
            if not create_graph:
                positions = positions.detach()
            positions = positions if positions.requires_grad else positions.requires_grad_()
            vectors = graph.vectors(positions)
            energy = self._total(atomic_numbers, vectors, batch, n_structures, graph)
            wanted = [positions, vectors] if virial else [positions]
            gradients = torch.autograd.grad(energy.sum(), wanted, create_graph=create_graph)
        forces = -gradients[0]
        if not create_graph:
            energy, vectors = energy.detach(), vectors.detach()
        if not virial:
            return EnergyForces(energy, forces)
        atomic_virial = -graph.reduce(gradients[1].unsqueeze(-1) * vectors.unsqueeze(-2))
        total_virial = positions.new_zeros(n_structures, 3, 3).index_add(0, batch, atomic_virial)
        return EnergyForces(energy, forces, 0.5 * (total_virial + total_virial.mT))

    def _total(self, atomic_numbers: Tensor, vectors: Tensor, batch: Tensor, n_structures: int, graph: Graph) -> Tensor:
        atomic = self.atomic_energies(atomic_numbers, vectors, graph)
        return atomic.new_zeros(n_structures).index_add(0, batch, atomic)
