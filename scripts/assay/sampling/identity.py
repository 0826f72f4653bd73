"""What makes two molecules the same, and what makes them too alike to stand on both sides of a split."""

from __future__ import annotations

import hashlib

from rdkit import Chem
from rdkit.Chem import rdMolHash
from rdkit.Chem.MolStandardize import rdMolStandardize

from assay.sampling.elements import ELEMENTS

_uncharger = rdMolStandardize.Uncharger()
_largest_fragment = rdMolStandardize.LargestFragmentChooser(preferOrganic=True)


def standardize(smiles: str) -> Chem.Mol | None:
    """The neutral, closed-shell parent of a SMILES: salts stripped, charges removed, isotopes and stereo forgotten.

    Returns:
        None for what the dataset leaves out: unreadable SMILES, other elements, net charges, radicals,
        an odd number of electrons.
    """
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or molecule.GetNumAtoms() == 0:
        return None
    molecule = _uncharger.uncharge(_largest_fragment.choose(molecule))
    for atom in molecule.GetAtoms():
        atom.SetIsotope(0)
        if atom.GetAtomicNum() not in ELEMENTS or atom.GetNumRadicalElectrons():
            return None
    Chem.RemoveStereochemistry(molecule)
    molecule = Chem.MolFromSmiles(Chem.MolToSmiles(molecule))
    if molecule is None or Chem.GetFormalCharge(molecule) or _electrons(molecule) % 2:
        return None
    return molecule


def identity_hash(molecule: Chem.Mol) -> str:
    """Sixteen hexadecimal digits, equal for stereoisomers and many tautomers of one molecule.

    They hash RDKit's tautomer-insensitive SMILES (``HetAtomTautomerv2``) of the standardized molecule. RDKit's
    enumeration of tautomers moves protons that this text does not follow; the skeleton is the same for all of them.
    """
    text = rdMolHash.MolHash(Chem.Mol(molecule), rdMolHash.HashFunction.HetAtomTautomerv2)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def skeleton(molecule: Chem.Mol) -> str:
    """Heavy atoms and their connections without bond orders: a split never separates molecules that share it."""
    return rdMolHash.MolHash(Chem.Mol(molecule), rdMolHash.HashFunction.ElementGraph)


def n_atoms(molecule: Chem.Mol) -> int:
    """Number of atoms with hydrogens."""
    return molecule.GetNumAtoms() + sum(atom.GetTotalNumHs() for atom in molecule.GetAtoms())


def _electrons(molecule: Chem.Mol) -> int:
    return sum(atom.GetAtomicNum() + atom.GetTotalNumHs() for atom in molecule.GetAtoms())
