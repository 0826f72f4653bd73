"""Conformers and classical forces of molecules by RDKit: cheap thermal geometries for the teacher to label."""

from __future__ import annotations

import numpy as np
from ase import units
from ase.data import atomic_masses
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdMolTransforms
from rdkit.Chem import rdForceFieldHelpers as helpers
from rdkit.ForceField.rdForceField import ForceField

rdBase.DisableLog("rdApp.*")  # every atom that a force field lacks would be a line

KCAL_PER_MOL = units.kcal / units.mol  # eV
_HOLD_KCAL_PER_MOL_DEG2 = 1000.0  # stiff enough that a held angle is off by less than 0.01 degrees


class MechanicsError(Exception):
    """RDKit has no conformer or no force field for a molecule."""


def embed(smiles: str, n_conformers: int, seed: int) -> Chem.Mol:
    """A molecule with hydrogens and up to ``n_conformers`` conformers (ETKDGv3, Riniker & Landrum).

    Raises:
        MechanicsError: if no conformer is found.
    """
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    for random_coordinates in (False, True):
        parameters = rdDistGeom.ETKDGv3()
        settings = {"randomSeed": seed, "maxIterations": 30, "timeout": 20, "useRandomCoords": random_coordinates}
        for name, value in settings.items():
            setattr(parameters, name, value)
        if rdDistGeom.EmbedMultipleConfs(molecule, n_conformers, parameters):
            return molecule
    raise MechanicsError(f"{smiles}: no conformer")


class Mechanics:
    """MMFF94 of one molecule, or UFF where MMFF94 has no type for an atom.

    Attributes:
        atomic_numbers: (N,) int64.
        masses: (N,), dalton.
    """

    def __init__(self, molecule: Chem.Mol):
        """Raises ``MechanicsError`` if neither force field knows the atoms."""
        self.molecule = molecule
        self.atomic_numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], dtype=np.int64)
        self.masses = atomic_masses[self.atomic_numbers]
        self._single = Chem.Mol(molecule, confId=molecule.GetConformer().GetId())
        self._is_mmff = helpers.MMFFHasAllMoleculeParams(self._single)
        if not self._is_mmff and not helpers.UFFHasAllMoleculeParams(self._single):
            raise MechanicsError(f"{Chem.MolToSmiles(molecule)}: no force field")
        self._field = self._new_field()

    def forces(self, positions: np.ndarray) -> np.ndarray:
        """Forces (N, 3) in eV/angstrom at positions (N, 3) in angstrom."""
        self._set(positions)
        return -KCAL_PER_MOL * np.array(self._field.CalcGrad()).reshape(-1, 3)

    def minimize(self, positions: np.ndarray, max_steps: int = 200) -> np.ndarray:
        """Positions (N, 3) after at most ``max_steps`` steps of minimization, angstrom.

        Raises ``MechanicsError`` where the minimizer gives up, as RDKit's does on forces without a direction.
        """
        self._set(positions)
        return self._minimized(self._field, max_steps)

    def turned(
        self, positions: np.ndarray, torsion: tuple[int, int, int, int], angle_deg: float, max_steps: int = 200
    ) -> np.ndarray:
        """Positions (N, 3) where a dihedral angle is held and all else minimized, from positions (N, 3), angstrom.

        Args:
            positions: the start.
            torsion: the four atoms of the angle; a bond that is in no ring joins the two in the middle.
            angle_deg: the angle, degrees.
            max_steps: the largest number of steps of the minimization.

        Raises:
            MechanicsError: the minimizer gives up.
        """
        conformer = self._single.GetConformer()
        conformer.SetPositions(positions)
        rdMolTransforms.SetDihedralDeg(conformer, *torsion, angle_deg)
        field = self._new_field()
        hold = field.MMFFAddTorsionConstraint if self._is_mmff else field.UFFAddTorsionConstraint
        hold(*torsion, False, angle_deg, angle_deg, _HOLD_KCAL_PER_MOL_DEG2)
        field.Initialize()
        return self._minimized(field, max_steps)

    def _new_field(self) -> ForceField:
        if self._is_mmff:
            return helpers.MMFFGetMoleculeForceField(self._single, helpers.MMFFGetMoleculeProperties(self._single))
        return helpers.UFFGetMoleculeForceField(self._single)

    def _minimized(self, field: ForceField, max_steps: int) -> np.ndarray:
        try:
            field.Minimize(maxIts=max_steps)
        except RuntimeError as error:
            raise MechanicsError(f"no minimum: {error}") from None
        return self._single.GetConformer().GetPositions()

    def _set(self, positions: np.ndarray) -> None:
        self._single.GetConformer().SetPositions(positions)
        self._field.Initialize()  # else distances cached from older positions enter the gradient
