"""Small molecules of ASE, each atom moved at random, as structures and as a file."""

import ase.io
import numpy as np
from ase.build import molecule
from ase.calculators.emt import EMT

from assay.structures.structure import Structure

# Splits of odd molecules, which were added to training.
ODD_PARTS = ("train_bridged", "train_caged", "train_small_cages", "train_altered")
TRAIN = ("CH4", "CH3CH2OH", "C2H6", "CH3OCH3", "H2O", "CH3OH", "isobutane", "C3H8")
LABELLED = ("CH3CH2OH", "H3CNH2", "C2H6", "CH3OH", "H2O", "NH3", "C2H4", "HCN", "CO", "N2")


def shaken(name, count, amplitude=0.05, seed=0):
    """Copies of one of ASE's molecules by its name, each atom moved at random by about ``amplitude`` angstrom."""
    rng = np.random.default_rng(seed)
    atoms = molecule(name)
    return [
        Structure(
            name,
            atoms.numbers.astype(np.int64),
            atoms.positions + rng.normal(0, amplitude, atoms.positions.shape),
            energy_eV=0.0,
            forces_eV_per_A=np.zeros((len(atoms), 3)),
            molecule=name,
        )
        for _ in range(count)
    ]


def molecules(count, names=LABELLED, rattle=0.05, seed=0):
    """Rattled molecules with labels of EMT."""
    structures = []
    for k in range(count):
        atoms = molecule(names[k % len(names)])
        atoms.rattle(rattle, seed=seed + k)
        atoms.calc = EMT()
        atoms.get_forces()
        structures.append(Structure.from_ase(atoms, f"{names[k % len(names)]}-{k}"))
    return structures


def write(path, structures):
    """Structures as an extended XYZ file; its path as text."""
    ase.io.write(path, [structure.to_ase() for structure in structures], format="extxyz")
    return str(path)


def trajectory(count=60, step=0.02):
    """One molecule that wanders, as in dynamics, with labels of EMT."""
    rng, atoms, structures = np.random.default_rng(0), molecule("CH3OH"), []
    for k in range(count):
        atoms.positions += rng.normal(0.0, step, atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_forces()
        structures.append(Structure.from_ase(atoms, f"frame-{k}"))
    return structures
