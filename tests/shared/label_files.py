"""Files of labelled structures of a carbon crystal, to which a test adds what it is about."""

import ase
import h5py
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

CELL = np.array([[4.0, 0.0, 0.0], [-2.0, 3.5, 0.0], [0.0, 0.5, 10.0]])
POSITIONS = np.array([[0.0, 0.0, 0.0], [1.5, 3.0, 0.0]])
FORCES = np.array([[0.0, 0.0, 0.02], [0.0, 0.0, -0.02]])
UNITS = {"energy": "eV", "length": "angstrom"}
FRAME = "2\n{comment} Properties=species:S:1:pos:R:3:{columns}\nH 0 0 0 0.1 0 0{more}\nH 0 0 0.74 -0.1 0 0{more}\n"


def arrays(n=3):
    """Geometries of a carbon crystal, without its cell."""
    positions, forces = np.stack([POSITIONS] * n), np.stack([FORCES] * n)
    return {"numbers": np.array([6, 6]), "positions": positions, "energy": -1.0 - np.arange(n), "forces": forces}


def write_npz(path, **more):
    np.savez(path, **arrays() | more)


def write_groups(path, **more):
    with h5py.File(path, "w") as file:
        for name, values in (arrays() | more).items():
            file[f"diamond/{name}"] = values


def crystal_with(energy_eV):
    atoms = ase.Atoms("C2", POSITIONS)
    atoms.calc = SinglePointCalculator(atoms, energy=energy_eV, forces=FORCES)
    return atoms


def crystal_line(more):
    lattice = " ".join(map(str, CELL.ravel()))
    return FRAME.format(comment=f'energy=-2 Lattice="{lattice}" {more}', columns="forces:R:3", more="")
