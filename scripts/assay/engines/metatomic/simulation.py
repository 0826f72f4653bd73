"""Dynamics in ASE by the calculator of metatomic."""

from __future__ import annotations

import torch
from metatomic_ase import MetatomicCalculator

from assay.engines.ase.simulation import AseSimulation
from assay.engines.program import Simulation, Start


def start(start: Start) -> Simulation:
    """Begin with ``MetatomicCalculator``."""
    torch.set_num_threads(1)
    return AseSimulation(start, MetatomicCalculator(start.files["model.metatomic.pt"]))
