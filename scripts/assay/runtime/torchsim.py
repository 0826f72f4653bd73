"""A student as a model of TorchSim: all systems of a state in one call of the engine, on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch_sim
from ase import Atoms
from torch_sim.models.interface import ModelInterface

from .batches import EngineBatches
from .engine import EngineModel
from .scope import RADIUS_A, Scope


class StudentModel(ModelInterface):
    """Energies, forces and stresses of the systems of a state.

    Besides these, ``outside_scope`` says of each system, bool (S,), whether it lies outside of what the student was
    taught; ``scope.outside`` has the sentences.

    Args:
        model: the opened model.
        dtype: the type of the states and of the results; the network computes in the precision that it was opened with.
        threads: the largest number of threads.

    Attributes:
        scope: what the student was taught.
    """

    def __init__(self, model: EngineModel, dtype: torch.dtype = torch.float64, threads: int = 1):
        super().__init__()
        self._device, self._dtype = torch.device("cpu"), dtype
        self._compute_forces = self._compute_stress = True
        self.engine, self.scope = EngineBatches(model, threads), Scope(model.metadata.get("scope"))

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        """Evaluate a state; TorchSim calls this.

        Args:
            state: a ``SimState`` on the CPU, or the dictionary of one.

        Returns:
            ``energy`` (S,), eV; ``forces`` (N, 3), eV/angstrom; ``stress`` (S, 3, 3), eV/angstrom^3, zero for open
            systems; and ``outside_scope`` (S,).

        Raises:
            ValueError: the state is on another device or of another type, has positions that make no sense, or an
                element that the student was not trained on.
        """
        if isinstance(state, dict):
            state = torch_sim.SimState(**{"masses": torch.ones_like(state["atomic_numbers"]), **state})
        if state.positions.device.type != "cpu" or state.positions.dtype != self._dtype:
            raise ValueError(
                f"the state is {state.positions.dtype} on {state.positions.device}, and the model {self._dtype} on the "
                "CPU: move the state, or give the model its dtype"
            )
        index, numbers = state.system_idx.numpy(), state.atomic_numbers.numpy()
        ends = np.cumsum(np.bincount(index, minlength=state.n_systems))[:-1]
        positions = np.split(state.positions.detach().double().numpy(), ends)
        cells = state.row_vector_cell.detach().double().numpy()
        pbc = np.broadcast_to(np.asarray(state.pbc, bool), (state.n_systems, 3))
        by_system = np.split(numbers, ends)
        found = self.engine(by_system, positions, list(cells), list(pbc))
        volumes = np.abs(np.linalg.det(cells))
        periodic = pbc.all(1) & (volumes > 0.0)
        stress = np.where(periodic, -1.0 / np.where(periodic, volumes, 1.0), 0.0)[:, None, None] * found.virial
        outside = [self._outside(*system) for system in zip(by_system, pbc, self.engine.mean_neighbors, strict=True)]
        return {
            "energy": torch.from_numpy(found.energy).to(self._dtype),
            "forces": torch.from_numpy(found.forces).to(self._dtype),
            "stress": torch.from_numpy(stress).to(self._dtype),
            "outside_scope": torch.tensor(outside),
        }

    def _outside(self, numbers: np.ndarray, pbc: np.ndarray, neighbors: float) -> bool:
        atoms = Atoms(numbers, np.zeros((len(numbers), 3)), pbc=pbc)
        return bool(self.scope.outside(atoms, neighbors if self.engine.model.cutoff == RADIUS_A else None))
