"""ASE calculators that do as they are told, and what only a calculator of another process may do: die, hang, print."""

import os
import signal
import time

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

SICK_ATOMS = 3  # only structures of so many atoms are fatal


class Swirl(Calculator):
    """Springs to the origin, and forces about an axis besides, which are the gradient of no energy."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.positions
        self.results = {"energy": 0.5 * float((x**2).sum()), "forces": np.cross([0.0, 0.0, 1.5], x) - x}


class Smeared(Calculator):
    """Springs to the origin, by whose ``free_energy`` atoms move, and another ``energy``, as of smeared electrons.

    Args:
        smeared: whether the free energy is told.
    """

    implemented_properties = ("energy", "free_energy", "forces")

    def __init__(self, smeared=True):
        super().__init__()
        self.smeared = smeared

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.positions
        free = 0.5 * float((x**2).sum())
        self.results = {"energy": 1.02 * free + 0.1, "free_energy": free, "forces": -x}
        if not self.smeared:
            del self.results["free_energy"]


class Toy(Calculator):
    """Harmonic pairs: every two atoms attract with 1 eV/angstrom^2, and the total charge adds 10 eV for each unit.

    Args:
        mode: what goes wrong: die, exit, hang, raise, lack, shape, words, nan, stdout, or nothing; with count
            the energy is the number of evaluations.
        spring: the constant of all springs.
    """

    implemented_properties = ("energy", "forces")
    cutoff = 7.5

    def __init__(self, mode="", spring=1.0):
        super().__init__()
        self.mode, self.spring, self.evaluations = mode, spring, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        apart = atoms.positions[:, None] - atoms.positions[None]
        energy = 0.25 * self.spring * float((apart**2).sum())
        energy += 10.0 * atoms.info.get("charge", 0) + 100.0 * atoms.get_initial_charges().sum()
        energy += 1e3 * atoms.info.get("spin", 1) + 1e4 * atoms.get_initial_magnetic_moments().sum()
        self.results = {"energy": energy, "forces": -self.spring * apart.sum(1)}
        if len(atoms) == SICK_ATOMS:
            getattr(self, f"do_{self.mode}", lambda: None)()

    def do_die(self):
        os.kill(os.getpid(), signal.SIGSEGV)

    def do_exit(self):
        os._exit(7)

    def do_hang(self):
        time.sleep(60)

    def do_raise(self):
        raise RuntimeError("no convergence in 200 steps")

    def do_lack(self):
        del self.results["forces"]

    def do_shape(self):
        self.results["forces"] = np.zeros((SICK_ATOMS, 2))

    def do_words(self):
        self.results["energy"] = "low"

    def do_nan(self):
        self.results["energy"] = float("nan")

    def do_count(self):
        self.evaluations += 1
        self.results["energy"] = float(self.evaluations)

    def do_stdout(self):
        for descriptor in (1, 2):
            os.write(descriptor, b"\x00assaycal SCF iteration 1\n" * 5000)
        print({"energy_eV": -1.0}, flush=True)


def silent():
    """A calculator that ends its process while it is made."""
    os._exit(0)
