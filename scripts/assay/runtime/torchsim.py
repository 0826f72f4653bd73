"""A student as a model of TorchSim: all systems of a state in one call, of the engine or of the kernels for GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch_sim
from ase import Atoms
from torch_sim.models.interface import ModelInterface

from .batches import EngineBatches
from .checks import check_elements
from .engine import EngineModel, opened
from .scope import RADIUS_A, Scope

if TYPE_CHECKING:
    from .gpu.student import GpuStudent


class StudentModel(ModelInterface):
    """Energies, forces and stresses of the systems of a state.

    Besides these, ``outside_scope`` says of each system, bool (S,), whether it lies outside of what the student was
    taught; ``scope.outside`` has the sentences.

    Args:
        model: the model as the engine opens it, or the path of ``model.assay``, for states on the CPU; or as
            ``GpuStudent`` opens it, for those on its GPU.
        dtype: the type of the states and of the results; the network computes in the precision that it was opened with.
        threads: the largest number of threads of the engine.

    Attributes:
        scope: what the student was taught.

    Raises:
        ValueError: the model is none.
    """

    def __init__(
        self, model: EngineModel | GpuStudent | str | Path, dtype: torch.dtype = torch.float64, threads: int = 1
    ):
        super().__init__()
        own: Any = model if hasattr(model, "device") else opened(model)  # a student on a GPU has one
        self._dtype, self.cutoff = dtype, own.cutoff
        self._compute_forces = self._compute_stress = True
        self.engine: EngineBatches | None = None
        self.student: GpuStudent | None = None
        if isinstance(own, EngineModel):
            self.engine, self._device, about = EngineBatches(own, threads), torch.device("cpu"), own.metadata
        else:
            self.student, self._device, about = own, own.device, own.identity
        self.scope = Scope(about.get("scope"))

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        """Evaluate a state; TorchSim calls this.

        Args:
            state: a ``SimState`` on the device of the model, or the dictionary of one.

        Returns:
            ``energy`` (S,), eV; ``forces`` (N, 3), eV/angstrom; ``stress`` (S, 3, 3), eV/angstrom^3, zero for open
            systems; and ``outside_scope`` (S,).

        Raises:
            ValueError: the state is on another device or of another type, has positions that make no sense, or an
                element that the student was not trained on.
        """
        if isinstance(state, dict):
            state = torch_sim.SimState(**{"masses": torch.ones_like(state["atomic_numbers"]), **state})
        if state.positions.device.type != self._device.type or state.positions.dtype != self._dtype:
            raise ValueError(
                f"the state is {state.positions.dtype} on {state.positions.device}, and the model {self._dtype} on "
                f"{self._device}: move the state, or give the model its dtype"
            )
        numbers = state.atomic_numbers.cpu().numpy()
        sizes = np.bincount(state.system_idx.cpu().numpy(), minlength=state.n_systems)
        cells = state.row_vector_cell.detach().double().cpu().numpy()
        pbc = np.broadcast_to(np.asarray(torch.as_tensor(state.pbc).cpu(), bool), (state.n_systems, 3))
        by_system = np.split(numbers, np.cumsum(sizes)[:-1])
        evaluate = self._in_engine if self.engine is not None else self._on_gpu
        energy, forces, virial, neighbors = evaluate(state.positions.detach().double(), sizes, by_system, cells, pbc)
        volumes = np.abs(np.linalg.det(cells))
        periodic = pbc.all(1) & (volumes > 0.0)
        factor = np.where(periodic, -1.0 / np.where(periodic, volumes, 1.0), 0.0)
        outside = [self._outside(*system) for system in zip(by_system, pbc, neighbors, strict=True)]
        return {
            "energy": energy.to(self._dtype),
            "forces": forces.to(self._dtype),
            "stress": (torch.as_tensor(factor, device=self._device)[:, None, None] * virial).to(self._dtype),
            "outside_scope": torch.tensor(outside),
        }

    def _in_engine(
        self, positions: torch.Tensor, sizes: np.ndarray, numbers: list[np.ndarray], cells: np.ndarray, pbc: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray]:
        """Energies, forces and virials, and the mean number of neighbors in each system."""
        assert self.engine is not None  # as the caller has seen
        at = np.split(positions.numpy(), np.cumsum(sizes)[:-1])
        found = self.engine(numbers, at, list(cells), list(pbc))
        energy, forces, virial = (torch.from_numpy(value) for value in (found.energy, found.forces, found.virial))
        return energy, forces, virial, self.engine.mean_neighbors

    def _on_gpu(
        self, positions: torch.Tensor, sizes: np.ndarray, numbers: list[np.ndarray], cells: np.ndarray, pbc: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, np.ndarray]:
        """The same of a state on a GPU, whose positions stay there."""
        student = self.student
        assert student is not None  # as the caller has seen
        every = np.concatenate(numbers)
        check_elements(every, student.elements)
        where = student.structures(sizes, positions, cells, pbc)
        out = student.evaluate(torch.as_tensor(every), where)
        neighbors = student.mean_neighbors(where, out)
        return out.energy[:, 0].clone(), out.forces.clone(), out.virial.reshape(-1, 3, 3).clone(), neighbors

    def _outside(self, numbers: np.ndarray, pbc: np.ndarray, neighbors: float) -> bool:
        atoms = Atoms(numbers, np.zeros((len(numbers), 3)), pbc=pbc)
        return bool(self.scope.outside(atoms, neighbors if self.cutoff == RADIUS_A else None))
