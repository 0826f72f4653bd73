"""Dynamics of eight beads in i-PI, which one call of the engine evaluates."""

from __future__ import annotations

from assay.engines.ipi.simulation import IPiSimulation
from assay.engines.program import Simulation, Start


def start(start: Start) -> Simulation:
    """Begin with eight beads at one place."""
    return IPiSimulation(start, beads=8)
