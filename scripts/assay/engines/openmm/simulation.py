"""Dynamics in OpenMM by the force in C++, or by what else makes a system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openmm
from ase.data import atomic_masses
from openmm import app, unit

from assay.engine.library import library_path
from assay.engines.program import Evaluation, Simulation, Start
from assay.runtime.engine import EngineModel
from assay.runtime.openmm import ANGSTROM_PER_NM, KJ_PER_MOL_PER_EV, compiled_plugin, createSystem

MakeSystem = Callable[[Any, EngineModel], Any]  # topology and model -> system


class OpenMMSimulation(Simulation):
    """A structure on the platform Reference of OpenMM, on which the thread of the caller does all of a step.

    Args:
        start: where it begins.
        make: makes the system of a topology and a model.
    """

    def __init__(self, start: Start, make: MakeSystem):
        structure = start.structure
        system = make(topology_of(start), EngineModel(start.files["model.assay"], str(library_path())))
        for k, z in enumerate(structure.atomic_numbers):
            system.setParticleMass(k, float(atomic_masses[z]))
        self.integrator = openmm.VerletIntegrator(start.step_fs * unit.femtosecond)
        self.context = openmm.Context(system, self.integrator, openmm.Platform.getPlatformByName("Reference"))
        self.context.setPositions(structure.positions / ANGSTROM_PER_NM)
        # OpenMM is a leapfrog: its velocities are half a step behind, and energies are told for whole steps.
        acceleration = self.context.getState(getForces=True).getForces(asNumpy=True)._value
        half = 0.5e-3 * start.step_fs * acceleration / atomic_masses[structure.atomic_numbers][:, None]
        self.context.setVelocities(start.velocities_A_per_fs * 1e3 / ANGSTROM_PER_NM - half)

    def evaluate(self) -> Evaluation:
        """See ``Simulation.evaluate``."""
        state = self.context.getState(getEnergy=True, getForces=True)
        forces = state.getForces(asNumpy=True)._value / (KJ_PER_MOL_PER_EV * ANGSTROM_PER_NM)
        return Evaluation(state.getPotentialEnergy()._value / KJ_PER_MOL_PER_EV, np.asarray(forces), None)

    def move(self, steps: int) -> None:
        """See ``Simulation.move``."""
        self.integrator.step(steps)

    def total_energy_eV(self) -> float:
        """See ``Simulation.total_energy_eV``."""
        state = self.context.getState(getEnergy=True)
        return float((state.getPotentialEnergy() + state.getKineticEnergy())._value / KJ_PER_MOL_PER_EV)


def topology_of(start: Start) -> Any:
    """The topology of a structure: one residue, with box vectors if it is periodic."""
    structure, topology = start.structure, app.Topology()
    residue = topology.addResidue("MOL", topology.addChain())
    for z in structure.atomic_numbers:
        topology.addAtom("X", app.Element.getByAtomicNumber(int(z)), residue)
    if structure.pbc.all():
        topology.setPeriodicBoxVectors((np.asarray(structure.cell) / ANGSTROM_PER_NM) * unit.nanometer)
    return topology


def start(start: Start) -> Simulation:
    """Begin with the force in C++."""
    plugin = compiled_plugin()  # and no fallback to Python, whose speed is another
    return OpenMMSimulation(
        start, lambda topology, model: createSystem(topology, model, removeCMMotion=False, plugin=plugin)
    )
