"""Dynamics in i-PI at constant energy: of one structure, or of the beads of one."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import units
from ipi.scripting import InteractiveSimulation
from ipi.utils.units import unit_to_user

from assay.engine.library import library_path
from assay.engines.program import Evaluation, Simulation, Start

HARTREE_eV, BOHR_A = unit_to_user("energy", "electronvolt", 1.0), unit_to_user("length", "angstrom", 1.0)
VACUUM_A = 100.0  # around an open molecule: i-PI always has a cell
DRIVER = """from assay.runtime.ipi import StudentDriver

__DRIVER_NAME__, __DRIVER_CLASS__ = "student", "StudentDriver"
"""
INPUT = """<simulation verbosity="quiet" floatformat="%24.16e" threading="False" safe_stride="100">
  <output prefix="{folder}/run"/>
  <total_steps> 100000000 </total_steps>
  <ffdirect name="student">
    <pes> custom </pes>
    <pes_path> {folder}/student_driver.py </pes_path>
    <batch_size> {beads} </batch_size>
    <parameters>
      {{template: {folder}/atoms.extxyz, model: {model}, library: {library}}}
    </parameters>
  </ffdirect>
  <system>
    <initialize nbeads="{beads}">
      <file mode="ase"> {folder}/atoms.extxyz </file>
      <velocities mode="thermal" units="kelvin"> 0 </velocities>
    </initialize>
    <forces> <force forcefield="student"/> </forces>
    <ensemble> <temperature units="kelvin"> 300 </temperature> </ensemble>
    <motion mode="dynamics">
      <fixcom> False </fixcom>
      <dynamics mode="nve"> <timestep units="femtosecond"> {step_fs} </timestep> </dynamics>
    </motion>
  </system>
</simulation>
"""


class IPiSimulation(Simulation):
    """A structure in i-PI.

    Args:
        start: where it begins.
        beads: the number of beads; the energies and forces of more than one are means over them.
    """

    def __init__(self, start: Start, beads: int = 1):
        self.folder = TemporaryDirectory()
        atoms = start.structure.to_ase()
        self.periodic = bool(atoms.pbc.all())
        if not self.periodic:
            atoms.cell, atoms.pbc = np.eye(3) * VACUUM_A, False
        atoms.set_velocities(start.velocities_A_per_fs / units.fs)
        atoms.calc = None
        atoms.write(Path(self.folder.name, "atoms.extxyz"), format="extxyz", columns=["symbols", "positions"])
        Path(self.folder.name, "student_driver.py").write_text(DRIVER)
        self.run = InteractiveSimulation(
            INPUT.format(
                folder=self.folder.name,
                model=start.files["model.assay"],
                library=library_path(),
                beads=beads,
                step_fs=start.step_fs,
            )
        )
        self.run.set_structures([atoms] * beads if beads > 1 else atoms)

    def evaluate(self) -> Evaluation:
        """See ``Simulation.evaluate``."""
        [system] = self.run.syslist
        forces = np.asarray(system.forces.f).mean(0).reshape(-1, 3) * (HARTREE_eV / BOHR_A)
        virial = None
        if self.periodic:
            upper = (
                np.triu(np.asarray(system.forces.vir)) * HARTREE_eV / system.beads.nbeads
            )  # i-PI drops the lower half
            virial = upper + upper.T - np.diag(np.diag(upper))
        return Evaluation(float(system.forces.pot) / system.beads.nbeads * HARTREE_eV, forces, virial)

    def move(self, steps: int) -> None:
        """See ``Simulation.move``."""
        self.run.run(steps, write_outputs=False)

    def total_energy_eV(self) -> float:
        """See ``Simulation.total_energy_eV``."""
        [system] = self.run.syslist
        return float(system.forces.pot + system.nm.kin) / system.beads.nbeads * HARTREE_eV

    def close(self) -> None:
        """See ``Simulation.close``."""
        self.run.stop()
        self.folder.cleanup()


def start(start: Start) -> Simulation:
    """Begin with one bead."""
    return IPiSimulation(start)
