"""Dynamics in OpenMM of a system that openmmml makes."""

from __future__ import annotations

from openmmml import MLPotential

from assay.engines.openmm.simulation import OpenMMSimulation
from assay.engines.program import Simulation, Start
from assay.runtime.openmm_ml import register


def start(start: Start) -> Simulation:
    """Begin with ``MLPotential("assay")``."""
    register()
    return OpenMMSimulation(
        start, lambda topology, model: MLPotential("assay", model=model).createSystem(topology, removeCMMotion=False)
    )
