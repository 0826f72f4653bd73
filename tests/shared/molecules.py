"""Small molecules of ASE, each atom moved at random."""

import numpy as np
from ase.build import molecule

from assay.structures.structure import Structure

# Splits of odd molecules, which were added to training.
ODD_PARTS = ("train_bridged", "train_caged", "train_small_cages", "train_altered")
TRAIN = ("CH4", "CH3CH2OH", "C2H6", "CH3OCH3", "H2O", "CH3OH", "isobutane", "C3H8")


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
