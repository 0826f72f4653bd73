"""Dynamics of one system in TorchSim, at constant energy."""

from __future__ import annotations

import numpy as np
import torch
import torch_sim
from torch_sim.integrators import nve
from torch_sim.quantities import calc_kinetic_energy
from torch_sim.units import MetalUnits

from assay.engine.library import library_path
from assay.engines.program import Evaluation, Simulation, Start
from assay.runtime.engine import EngineModel
from assay.runtime.torchsim import StudentModel

VACUUM_A = 60.0  # around an open molecule: TorchSim wants a cell


class TorchSimSimulation(Simulation):
    """A structure in TorchSim, in double precision outside of the network."""

    def __init__(self, start: Start):
        atoms = start.structure.to_ase()
        if not atoms.pbc.any():
            atoms.cell = np.eye(3) * VACUUM_A
        self.volume = float(atoms.get_volume())
        self.periodic = bool(atoms.pbc.all())
        self.model = StudentModel(EngineModel(start.files["model.assay"], str(library_path())))
        state = torch_sim.io.atoms_to_state([atoms], torch.device("cpu"), torch.float64)
        step = torch.tensor(1e-3 * start.step_fs * float(MetalUnits.time), dtype=torch.float64)
        begin, self.step = nve(self.model, dt=step, kT=torch.tensor(0.0, dtype=torch.float64))
        self.state = begin(state)
        velocities = torch.from_numpy(start.velocities_A_per_fs * 1e3 / float(MetalUnits.time))
        self.state.momenta = velocities * self.state.masses[:, None]

    def evaluate(self) -> Evaluation:
        """See ``Simulation.evaluate``."""
        found = self.model(self.state)
        virial = -found["stress"][0].numpy() * self.volume if self.periodic else None
        return Evaluation(float(found["energy"][0]), found["forces"].numpy(), virial)

    def move(self, steps: int) -> None:
        """See ``Simulation.move``."""
        for _ in range(steps):
            self.state = self.step(self.state)

    def total_energy_eV(self) -> float:
        """See ``Simulation.total_energy_eV``."""
        kinetic = calc_kinetic_energy(masses=self.state.masses, momenta=self.state.momenta)
        return float(self.state.energy.sum() + kinetic)


def start(start: Start) -> Simulation:
    """Begin with the model of a student."""
    return TorchSimSimulation(start)
