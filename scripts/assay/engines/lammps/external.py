"""Dynamics in LAMMPS, by ``fix external`` and Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.engine.library import library_path
from assay.engines.lammps.simulation import LammpsSimulation
from assay.engines.program import Simulation, Start
from assay.runtime.engine import EngineModel
from assay.runtime.lammps import attach


def start(start: Start) -> Simulation:
    """Begin with ``fix external``."""

    def add_forces(lammps: Any, symbols: Sequence[str]) -> None:
        lammps.commands_string(f"pair_style zero {model.cutoff}\npair_coeff * *")
        attach(lammps, model, symbols)

    model = EngineModel(start.files["model.assay"], library_path() or "")
    return LammpsSimulation(start, add_forces)
