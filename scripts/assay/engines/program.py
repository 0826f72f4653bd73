"""What a program of molecular dynamics does here: it evaluates one structure, and moves it at constant energy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from assay.structures.structure import Structure


@dataclass(frozen=True)
class Start:
    """Where a simulation begins.

    Attributes:
        structure: the atoms; a periodic one has a lower triangular cell, as LAMMPS and OpenMM want it.
        velocities_A_per_fs: (N, 3) float64, angstrom/fs.
        step_fs: the time step of velocity Verlet, fs.
        files: the files of the student by their names in ``results/<variant>/``, such as ``model.assay``.
    """

    structure: Structure
    velocities_A_per_fs: np.ndarray
    step_fs: float
    files: Mapping[str, Path]


class Evaluation(NamedTuple):
    """What a program says of its structure.

    Attributes:
        energy_eV: the potential energy.
        forces_eV_per_A: (N, 3) float64, in the order of the structure.
        virial_eV: (3, 3) float64, -dE/d(strain); None where the program does not tell it.
    """

    energy_eV: float
    forces_eV_per_A: np.ndarray
    virial_eV: np.ndarray | None


class Simulation(ABC):
    """One structure in one program, on one thread.

    A module of a program has a function ``start(start: Start) -> Simulation``. It is called in an interpreter with the
    packages of that program besides those of this project.
    """

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Evaluate the atoms where they are."""

    @abstractmethod
    def move(self, steps: int) -> None:
        """Move the atoms by so many time steps at constant energy."""

    @abstractmethod
    def total_energy_eV(self) -> float:
        """The potential and the kinetic energy where the atoms are."""

    def slowest_s(self, seconds: float) -> float:
        """The longest of the times that the processes of this simulation measured, so that all decide alike."""
        return seconds

    def close(self) -> None:  # noqa: B027, most programs have nothing to end
        """End the program."""
