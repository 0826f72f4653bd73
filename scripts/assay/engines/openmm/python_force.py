"""Dynamics in OpenMM by the force in Python, which needs no compiler."""

from __future__ import annotations

from typing import Any

import openmm

from assay.engines.openmm.simulation import OpenMMSimulation
from assay.engines.program import Simulation, Start
from assay.runtime.engine import EngineModel
from assay.runtime.openmm import python_force


def start(start: Start) -> Simulation:
    """Begin with a system whose only force is that in Python."""
    numbers, periodic = start.structure.atomic_numbers.tolist(), bool(start.structure.pbc.all())

    def make(topology: Any, model: EngineModel) -> Any:
        system = openmm.System()
        for atom in topology.atoms():
            system.addParticle(atom.element.mass)
        if periodic:
            system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
        system.addForce(python_force(numbers, model, range(len(numbers)), periodic))
        return system

    return OpenMMSimulation(start, make)
