"""The structures that every program runs: an open molecule, a periodic box, and droplets for the speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase import units
from ase.calculators.calculator import Calculator
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.optimize import FIRE

from assay.structures.geometry import LIQUID_ATOMS_PER_A3, droplet, shaken
from assay.structures.structure import Structure, nearest_in_size, open_molecules
from assay.workflow.errors import AssayError

MOLECULE_ATOMS = 20
BOX_MOLECULE_ATOMS = 12
COPIES = 2  # of the molecule along each axis of the box
GAP_A = 2.6  # between a molecule and its image
DROPLET_MOLECULES = 12  # the number of different molecules in a droplet
RELAXATION_STEPS = 100
STRAIN = 4e-3  # the step of the four-point formula: smaller ones drown in the noise of single precision


def open_molecule(structures: Sequence[Structure]) -> Structure:
    """The open structure that is nearest to 20 atoms.

    Raises:
        AssayError: there is no open structure.
    """
    return nearest_in_size(_open(structures), MOLECULE_ATOMS)[0]


def periodic_box(structures: Sequence[Structure], cutoff: float, calculator: Calculator) -> Structure:
    """Eight copies of a molecule of about 12 atoms in a cubic box at least two cutoffs wide, relaxed for some steps.

    Args:
        structures: where the molecule is taken from.
        cutoff: the cutoff of the student, angstrom.
        calculator: what relaxes the box.

    Raises:
        AssayError: there is no open structure.
    """
    molecule = nearest_in_size(_open(structures), BOX_MOLECULE_ATOMS)[0]
    centered = molecule.positions - molecule.positions.mean(0)
    axes = np.linalg.svd(centered, full_matrices=True)[2]
    turned = centered @ (axes.T if np.linalg.det(axes) > 0 else -axes.T)
    spacing = max(float(np.ptp(turned, axis=0).max()) + GAP_A, cutoff + 0.1)
    sites = np.stack(np.meshgrid(*[np.arange(COPIES)] * 3, indexing="ij"), -1).reshape(-1, 1, 3) + 0.5
    box = Structure(
        f"box of {molecule.name}",
        np.tile(molecule.atomic_numbers, len(sites)),
        (turned + sites * spacing).reshape(-1, 3),
        np.eye(3) * spacing * COPIES,
        np.ones(3, bool),
    )
    atoms = shaken(box, 0.02, np.random.default_rng(0)).to_ase()
    atoms.calc = calculator
    FIRE(atoms, logfile=None).run(fmax=0.1, steps=RELAXATION_STEPS)
    return replace(box, positions=atoms.positions)


def of_size(structures: Sequence[Structure], n_atoms: int) -> Structure:
    """The open structure that is nearest to a size, or where all are smaller, a droplet of molecules.

    Raises:
        AssayError: there is no open structure.
    """
    open_ = _open(structures)
    if n_atoms <= max(map(len, open_)):
        return nearest_in_size(open_, n_atoms)[0]
    molecules = nearest_in_size(open_, MOLECULE_ATOMS)[:DROPLET_MOLECULES]
    return droplet(molecules, n_atoms, LIQUID_ATOMS_PER_A3, np.random.default_rng(0))


def velocities_A_per_fs(structure: Structure, temperature_K: float) -> np.ndarray:
    """Thermal velocities (N, 3), angstrom/fs, of a fixed seed; the center of mass stays where it is."""
    atoms = structure.to_ase()
    thermalize_momenta(atoms, temperature_K=temperature_K, rng=np.random.default_rng(0))
    Stationary(atoms)
    return np.asarray(atoms.get_velocities()) * units.fs


def strain_direction() -> np.ndarray:
    """A lower triangular strain (3, 3) of norm 1 without symmetry: it leaves a lower triangular cell lower triangular.

    The energy is the same in any orientation, so that its slope along a strain is minus the virial times that strain,
    whether the strain is symmetric or not.
    """
    strain = np.array([[0.7, 0.0, 0.0], [0.3, -0.4, 0.0], [-0.2, 0.5, 0.35]])
    return strain / np.linalg.norm(strain)


def strained(structure: Structure, amount: float) -> Structure:
    """The periodic structure with cell and atoms strained along ``strain_direction``."""
    assert structure.cell is not None  # it is periodic
    deformation = np.eye(3) + amount * strain_direction()
    return replace(structure, positions=structure.positions @ deformation, cell=structure.cell @ deformation)


def _open(structures: Sequence[Structure]) -> list[Structure]:
    found = open_molecules(structures)
    if not found:
        raise AssayError(
            "no split of the dataset holds an open structure of more than one atom that the student knows: "
            "name one that does"
        )
    return found
