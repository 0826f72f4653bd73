"""Sound labels of distorted molecules, a student of them, and what is planted in these labels."""

from dataclasses import replace

import numpy as np
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from assay.accuracy.metrics import Errors
from assay.data.dataset import Dataset, from_structures
from assay.structures.structure import Structure

MOLECULES = ("CH3CH2OH", "CH3COOH", "C6H6", "CH3CN", "H2O", "CH3CH2NH2")
FORCE_UNITS = {
    "kcal/mol/angstrom": units.mol / units.kcal,
    "kJ/mol/angstrom": units.mol / units.kJ,
    "kJ/mol/nm": units.nm * units.mol / units.kJ,
    "hartree/bohr": units.Bohr / units.Hartree,
    "hartree/angstrom": 1 / units.Hartree,
    "rydberg/bohr": units.Bohr / units.Rydberg,
    "eV/nm": units.nm,
    "eV/bohr": units.Bohr,
}
ENERGY_UNITS = {
    "hartree": 1 / units.Hartree,
    "rydberg": 1 / units.Rydberg,
    "kcal/mol": units.mol / units.kcal,
    "kJ/mol": units.mol / units.kJ,
}


def labelled(names=MOLECULES, frames=10, spread_A=0.08, seed=0) -> Dataset:
    """Distorted molecules with a reference of atoms and the forces of EMT, which knows C, N, O and H."""
    generator, structures = np.random.default_rng(seed), []
    for k in range(frames):
        for name in names:
            atoms = molecule(name)
            atoms.positions += generator.normal(0, spread_A, atoms.positions.shape)
            atoms.calc = EMT()
            energy = atoms.get_potential_energy() - 13.0 * (atoms.numbers**1.5).sum()
            structures.append(
                Structure(f"{name}-{k}", atoms.numbers.astype(np.int64), atoms.positions, energy_eV=energy,
                          forces_eV_per_A=atoms.get_forces(), molecule=name)
            )  # fmt: skip
    return from_structures(structures)


def of_student(dataset: Dataset, error=0.1, slope=1.0, seed=1) -> Errors:
    """A student whose forces are off by ``error`` of their size, and whose energies are off by as much of theirs."""
    generator = np.random.default_rng(seed)
    size = np.sqrt((dataset.forces**2).mean())
    energy = dataset.energy + error * 0.5 * generator.normal(size=len(dataset))
    forces = slope * (dataset.forces + error * size * generator.normal(size=dataset.forces.shape))
    return Errors(dataset.atomic_numbers, dataset.sizes, energy, dataset.energy, forces, dataset.forces)


def relabelled(errors: Errors, energy=None, forces=None) -> Errors:
    """The same student beside other labels."""
    return Errors(
        errors.atomic_numbers,
        errors.n_atoms,
        errors.energy,
        errors.energy_teacher if energy is None else energy,
        errors.forces,
        errors.forces_teacher if forces is None else forces,
    )


def other_reference(errors: Errors) -> np.ndarray:
    """Energies of another teacher: hundreds of eV an atom, and a constant."""
    return errors.energy_teacher - 7.0 - np.bincount(errors.owner, 17.3 * errors.atomic_numbers**1.9)


def part(dataset: Dataset, errors: Errors, indices) -> tuple[Dataset, Errors]:
    """The structures of these indices alone."""
    mask = np.isin(np.arange(len(dataset)), indices)
    return dataset.subset(mask), errors.subset(mask)


def fresh(**options) -> tuple[Dataset, Errors]:
    """Labels of other molecules than those of the fixture ``sound``, or otherwise distorted, and a student."""
    dataset = labelled(**options)
    return dataset, of_student(dataset)


def cohesive(isolated_eV: dict[str, float]) -> tuple[Dataset, Errors]:
    """Crystals with energies less those of isolated atoms, these atoms with the label zero, and what is predicted."""
    structures, generator = [], np.random.default_rng(7)
    for k in range(20):
        for element in isolated_eV:
            atoms = bulk(element, cubic=True) * (2, 1, 1)
            atoms.positions += generator.normal(0, 0.05, atoms.positions.shape)
            atoms.calc = EMT()
            atoms.calc.results["energy"] = atoms.get_potential_energy() - 3.5 * len(atoms)
            structures.append(Structure.from_ase(atoms, f"{element}-{k}"))
    for element in isolated_eV:
        alone = {"energy_eV": 0.0, "forces_eV_per_A": np.zeros((1, 3))}
        structures.append(replace(Structure.from_ase(Atoms(element), f"{element}-alone"), **alone))
    dataset = from_structures(structures)
    errors = of_student(dataset)
    errors.energy[60:] = np.array(list(isolated_eV.values())) + generator.normal(0, 0.003, 3)
    errors.forces[-3:] = 0.0
    return dataset, errors
