"""New molecules from known ones, so that neighbors, rings and places of protons which no list has are seen too."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from assay.sampling.identity import n_atoms, standardize

# Heteroatom chains that fall apart before a force field can embed them.
_UNSTABLE = Chem.MolFromSmarts("[#7,#8;!a]-[#7,#8;!a]-[#7,#8;!a]-[#7,#8;!a]")

_tautomers = rdMolStandardize.TautomerEnumerator()
_tautomers.SetMaxTautomers(12)
_tautomers.SetMaxTransforms(60)


def cut(molecules: Iterable[Chem.Mol], max_heavy: int = 11) -> list[str]:
    """One-handed pieces of molecules, cut at single bonds of ring atoms outside rings; sorted SMILES with one *."""
    bond = Chem.MolFromSmarts("[R]-!@[*]")
    pieces = set()
    for molecule in molecules:
        for match in molecule.GetSubstructMatches(bond):
            index = molecule.GetBondBetweenAtoms(*match).GetIdx()
            parts = Chem.FragmentOnBonds(molecule, [index], dummyLabels=[(0, 0)])
            for piece in Chem.MolToSmiles(parts, isomericSmiles=False).split("."):
                pieces.add(piece)
    return sorted(piece for piece in pieces if 1 < _heavy(piece) <= max_heavy + 1)


def recombine(
    cores: Sequence[Chem.Mol], pieces: Sequence[str], odd_pieces: Sequence[str], max_atoms: int, seed: int
) -> Iterator[Chem.Mol]:
    """Endless molecules: a core, one to three pieces in place of hydrogens, and sometimes a changed element.

    Half of the pieces come from ``pieces``, half from ``odd_pieces``; each has one ``*`` where it binds.
    """
    rng = random.Random(seed)
    while True:
        molecule = Chem.Mol(rng.choice(cores))
        for _ in range(rng.choice((1, 1, 2, 2, 3))):
            grown = _attach(molecule, rng.choice(pieces if rng.random() < 0.5 else odd_pieces), rng)
            molecule = grown or molecule
        if rng.random() < 0.5:
            molecule = _mutate(molecule, rng) or molecule
        if stable := _stable(molecule, max_atoms):
            yield stable


def bridge(
    cores: Sequence[Chem.Mol],
    pieces: Sequence[str],
    max_atoms: int,
    seed: int,
    bonds: tuple[int, int] = (1, 2),
    changed: float = 0.0,
) -> Iterator[Chem.Mol]:
    """Endless molecules with strained rings: a core, new bonds across it, and for every third a piece.

    A new bond takes the place of two hydrogens of atoms two to four bonds apart. Of at least and at most so many
    ``bonds`` each further one is made by half of the molecules. A share ``changed`` has an element changed, or its
    carbons fluorinated.
    """
    rng = random.Random(seed)
    fewest, most = bonds
    while True:
        core = Chem.Mol(rng.choice(cores))
        if rng.random() < 0.33:
            core = _attach(core, rng.choice(pieces), rng) or core
        molecule: Chem.Mol | None = core
        for _ in range(fewest):
            molecule = molecule and _bridged(molecule, rng)
        for _ in range(most - fewest):
            if molecule and rng.random() < 0.5:
                molecule = _bridged(molecule, rng) or molecule
        if molecule and changed and rng.random() < changed:
            molecule = _mutate(molecule, rng) or molecule
        standard = standardize(Chem.MolToSmiles(molecule)) if molecule else None
        if standard and n_atoms(standard) <= max_atoms:
            yield standard


def alter(cores: Sequence[Chem.Mol], max_atoms: int, seed: int, changes: tuple[int, int]) -> Iterator[Chem.Mol]:
    """Endless molecules with unusual neighbors: a core after at least and at most so many ``changes``, each of which
    swaps an element for a relative or fluorinates the carbons.
    """
    rng = random.Random(seed)
    while True:
        molecule = Chem.Mol(rng.choice(cores))
        for _ in range(rng.randint(*changes)):
            molecule = _mutate(molecule, rng) or molecule
        if stable := _stable(molecule, max_atoms):
            yield stable


def other_tautomers(smiles: str) -> list[str]:
    """The neutral tautomers of a molecule that differ from it: sorted SMILES without stereo, of the same skeleton.

    RDKit enumerates them by its rules of moving protons, and stops at twelve tautomers or 60 moves.
    """
    molecule = Chem.MolFromSmiles(smiles)
    found = {Chem.MolToSmiles(tautomer, isomericSmiles=False) for tautomer in _tautomers.Enumerate(molecule)}
    found.discard(Chem.MolToSmiles(molecule, isomericSmiles=False))
    return sorted(
        tautomer for tautomer in found if "+" not in tautomer and "-]" not in tautomer and Chem.MolFromSmiles(tautomer)
    )


def _stable(molecule: Chem.Mol, max_atoms: int) -> Chem.Mol | None:
    """The molecule as a standard one; None if it is too large, or falls apart."""
    standard = standardize(Chem.MolToSmiles(molecule))
    if standard and n_atoms(standard) <= max_atoms and not standard.HasSubstructMatch(_UNSTABLE):
        return standard
    return None


def _bridged(molecule: Chem.Mol, rng: random.Random) -> Chem.Mol | None:
    """Bind two random atoms that are two to four bonds apart; None if no two can spare a hydrogen."""
    apart = Chem.GetDistanceMatrix(molecule)
    free = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetTotalNumHs() and not atom.GetIsAromatic()]
    pairs = [(first, second) for first in free for second in free if first < second and 2 <= apart[first, second] <= 4]
    if not pairs:
        return None
    changed = Chem.RWMol(molecule)
    ends = rng.choice(pairs)
    for end in ends:
        _spare_hydrogen(changed.GetAtomWithIdx(end))
    changed.AddBond(*ends, Chem.BondType.SINGLE)
    return _sane(changed)


def _heavy(smiles: str) -> int:
    molecule = Chem.MolFromSmiles(smiles)
    return molecule.GetNumAtoms() if molecule else 0


def _attach(molecule: Chem.Mol, piece: str, rng: random.Random) -> Chem.Mol | None:
    """Bind a one-handed piece in place of a random hydrogen; None if there is no place or no valence."""
    sites = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetTotalNumHs()]
    if not sites:
        return None
    both = Chem.RWMol(Chem.CombineMols(molecule, Chem.MolFromSmiles(piece)))
    hand = next(atom for atom in both.GetAtoms() if atom.GetAtomicNum() == 0)
    tip = hand.GetNeighbors()[0].GetIdx()
    site = both.GetAtomWithIdx(rng.choice(sites))
    _spare_hydrogen(site)
    both.AddBond(site.GetIdx(), tip, Chem.BondType.SINGLE)
    both.RemoveAtom(hand.GetIdx())
    return _sane(both)


def _spare_hydrogen(atom: Chem.Atom) -> None:
    """Let an atom have one hydrogen less, where it counts them itself."""
    atom.SetNumExplicitHs(max(0, atom.GetNumExplicitHs() - 1))


def _mutate(molecule: Chem.Mol, rng: random.Random) -> Chem.Mol | None:
    """Swap one atom for a relative, or fluorinate every carbon; None where the valence forbids it."""
    changed = Chem.RWMol(molecule)
    if rng.random() < 0.15:
        changed = Chem.RWMol(Chem.AddHs(molecule))
        for atom in changed.GetAtoms():
            if atom.GetAtomicNum() == 1 and atom.GetNeighbors()[0].GetAtomicNum() == 6 and rng.random() < 0.8:
                atom.SetAtomicNum(9)
        fluorinated = _sane(changed)
        return fluorinated and Chem.RemoveHs(fluorinated)
    relatives = {6: (7, 7, 8, 16, 15), 7: (6, 15, 8), 8: (16, 7), 16: (8, 7), 9: (17, 35), 17: (35, 9), 35: (17,)}
    atom = changed.GetAtomWithIdx(rng.randrange(changed.GetNumAtoms()))
    atom.SetAtomicNum(rng.choice(relatives.get(atom.GetAtomicNum(), (6,))))
    atom.SetNumExplicitHs(0)
    return _sane(changed)


def _sane(molecule: Chem.RWMol) -> Chem.Mol | None:
    try:
        Chem.SanitizeMol(molecule)
    except (Chem.AtomValenceException, Chem.KekulizeException, ValueError):
        return None
    return molecule.GetMol()
