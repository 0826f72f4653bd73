"""Dynamics in ASE, by the packaged calculator of a student or by any other one."""

from __future__ import annotations

from ase import units
from ase.calculators.calculator import Calculator
from ase.md.verlet import VelocityVerlet

from assay.engine.library import library_path
from assay.engines.program import Evaluation, Simulation, Start
from assay.runtime.calculator import StudentCalculator


class AseSimulation(Simulation):
    """A structure that ASE moves by a calculator."""

    def __init__(self, start: Start, calculator: Calculator):
        self.atoms = start.structure.to_ase()
        self.atoms.calc = calculator
        self.atoms.set_velocities(start.velocities_A_per_fs / units.fs)
        self.dynamics = VelocityVerlet(self.atoms, start.step_fs * units.fs)

    def evaluate(self) -> Evaluation:
        """See ``Simulation.evaluate``."""
        energy, forces = self.atoms.get_potential_energy(), self.atoms.get_forces()
        virial = None
        if self.atoms.pbc.all():
            virial = -self.atoms.get_stress(voigt=False) * self.atoms.get_volume()
        return Evaluation(float(energy), forces, virial)

    def move(self, steps: int) -> None:
        """See ``Simulation.move``."""
        self.dynamics.run(steps)

    def total_energy_eV(self) -> float:
        """See ``Simulation.total_energy_eV``."""
        return float(self.atoms.get_total_energy())


def start(start: Start) -> Simulation:
    """Begin with the calculator that the package of a student holds."""
    model = start.files["model.assay"]
    return AseSimulation(start, StudentCalculator(model, threads=1, library=library_path()))
