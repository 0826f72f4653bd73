"""The molecules that the dataset is made of: lists, peptides by sequence, and recombined pieces."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from rdkit import Chem, rdBase

from assay.sampling.identity import identity_hash, n_atoms, skeleton, standardize
from assay.sampling.recombination import alter, bridge, cut, recombine
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
# The sources that no list has.
_MADE = ("recombined", "bridged", "altered")


@dataclass(frozen=True)
class Molecule:
    """One molecule of the dataset.

    Attributes:
        smiles: the canonical SMILES of the standardized molecule.
        source: the list or recipe that it came from.
        identity: a hash that stereoisomers and many tautomers share.
        skeleton: a hash of the connected heavy atoms without bond orders.
        n_atoms: the number of atoms, hydrogens included.
    """

    smiles: str
    source: str
    identity: str
    skeleton: str
    n_atoms: int


def read_lists(paths: Iterable[str | Path]) -> Iterator[tuple[str, str]]:
    """(SMILES, source) of each row of CSV files with these columns.

    Raises:
        AssayError: if a file lacks one of them.
    """
    for path in paths:
        table = pd.read_csv(path, keep_default_na=False)
        if not {"smiles", "source"} <= set(table.columns):
            raise AssayError(f"the molecule list {path} has no columns smiles and source: add a header row")
        yield from table[["smiles", "source"]].itertuples(index=False, name=None)


def peptides(n_tripeptides: int, n_longer: int, seed: int) -> Iterator[tuple[str, str]]:
    """(SMILES, source) of all dipeptides, random tripeptides, and random peptides of four to twelve residues."""
    rng = random.Random(seed)
    sequences = ["".join(pair) for pair in itertools.product(RESIDUES, repeat=2)]
    sequences += ["".join(rng.choices(RESIDUES, k=3)) for _ in range(n_tripeptides)]
    sequences += ["".join(rng.choices(RESIDUES, k=rng.randint(4, 12))) for _ in range(n_longer)]
    for sequence in sequences:
        yield Chem.MolToSmiles(Chem.MolFromSequence(sequence)), "peptides"


def collect(
    lists: Iterable[str | Path],
    odd_pieces: Sequence[str],
    max_atoms: int,
    n_recombined: int,
    max_atoms_recombined: int,
    seed: int,
) -> list[Molecule]:
    """Every molecule of the dataset once, in the order listed, peptides, recombined.

    Args:
        lists: CSV files with columns smiles and source.
        odd_pieces: SMILES with one ``*``, for recombination.
        max_atoms: larger molecules are left out.
        n_recombined: the number of recombined molecules to add.
        max_atoms_recombined: the largest number of atoms of a recombined molecule.
        seed: the seed of peptide sequences and recombination.
    """
    known = _known(itertools.chain(read_lists(lists), peptides(200, 250, seed)), max_atoms)
    _add_recombined(known, odd_pieces, n_recombined, max_atoms_recombined, seed)
    return list(known.values())


def listed(lists: Iterable[str | Path], max_atoms: int) -> list[Molecule]:
    """Every molecule of CSV files with columns smiles and source once, of at most ``max_atoms`` atoms."""
    return list(_known(read_lists(lists), max_atoms).values())


def identities(path: str | Path) -> set[str]:
    """The identities of the molecules in the column ``smiles`` of a CSV file."""
    standardized = map(standardize, pd.read_csv(path, keep_default_na=False)["smiles"])
    return {identity_hash(molecule) for molecule in standardized if molecule is not None}


def recombine_more(
    molecules: Iterable[Molecule], odd_pieces: Sequence[str], n_recombined: int, max_atoms_recombined: int, seed: int
) -> list[Molecule]:
    """Recombined molecules that are not among ``molecules``, from their pieces; arguments as in ``collect``."""
    return _add_recombined(_by_identity(molecules), odd_pieces, n_recombined, max_atoms_recombined, seed)


def bridged(
    molecules: Iterable[Molecule],
    odd_pieces: Sequence[str],
    count: int,
    max_atoms: int,
    max_heavy: int,
    bonds: tuple[int, int],
    changed: float,
    seed: int,
) -> list[Molecule]:
    """Molecules with strained rings that are not among ``molecules``.

    Args:
        molecules: the molecules to start from.
        odd_pieces: SMILES with one ``*``, which are bound to some molecules first.
        count: the number of molecules to make.
        max_atoms: the largest number of atoms of a made molecule.
        max_heavy: the largest number of heavy atoms of a molecule to start from.
        bonds: the fewest and the most new bonds of a molecule.
        changed: the share of molecules in which an element is changed, or the carbons are fluorinated.
        seed: the seed of the draw.
    """
    known = _by_identity(molecules)
    made = bridge(_cores(known, max_heavy), odd_pieces, max_atoms, seed, bonds, changed)
    return _fill(known, made, "bridged", count, max_atoms)


def altered(
    molecules: Iterable[Molecule], count: int, max_atoms: int, max_heavy: int, changes: tuple[int, int], seed: int
) -> list[Molecule]:
    """Molecules with several changed elements, or fluorinated, that are not among ``molecules``.

    Args:
        molecules: the molecules to start from.
        count: the number of molecules to make.
        max_atoms: the largest number of atoms of a made molecule.
        max_heavy: the largest number of heavy atoms of a molecule to start from.
        changes: the fewest and the most changes of a molecule.
        seed: the seed of the draw.
    """
    known = _by_identity(molecules)
    made = alter(_cores(known, max_heavy), max_atoms, seed, changes)
    return _fill(known, made, "altered", count, max_atoms)


def write_molecules(path: str | Path, splits: dict[str, list[Molecule]]) -> None:
    """Write one row per molecule: the fields of ``Molecule`` and ``split``."""
    rows = [asdict(molecule) | {"split": split} for split, molecules in splits.items() for molecule in molecules]
    with atomic_path(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n")


def read_molecules(path: str | Path) -> dict[str, list[Molecule]]:
    """Molecules by split, in the order of the file."""
    splits: dict[str, list[Molecule]] = {}
    for row in pd.read_csv(path, keep_default_na=False).to_dict("records"):
        splits.setdefault(row.pop("split"), []).append(Molecule(**row))
    return splits


def _known(entries: Iterable[tuple[str, str]], max_atoms: int) -> dict[str, Molecule]:
    """Molecules by identity, each as it came first, of (SMILES, source)."""
    rdBase.DisableLog("rdApp.*")  # what cannot be read or built is left out by design
    known: dict[str, Molecule] = {}
    for smiles, source in entries:
        _add(known, standardize(smiles), source, max_atoms)
    return known


def _by_identity(molecules: Iterable[Molecule]) -> dict[str, Molecule]:
    """What more molecules are made of, and added to."""
    rdBase.DisableLog("rdApp.*")
    return {molecule.identity: molecule for molecule in molecules}


def _add_recombined(
    known: dict[str, Molecule], odd_pieces: Sequence[str], n_recombined: int, max_atoms: int, seed: int
) -> list[Molecule]:
    unmade = _unmade(known)
    cores = [molecule for molecule in unmade if molecule.GetNumAtoms() <= 9]
    pieces = cut(molecule for molecule in unmade if molecule.GetNumAtoms() <= 40)
    return _fill(known, recombine(cores, pieces, odd_pieces, max_atoms, seed), "recombined", n_recombined, max_atoms)


def _cores(known: dict[str, Molecule], max_heavy: int) -> list[Chem.Mol]:
    """Those of four to ``max_heavy`` heavy atoms that were not made of others."""
    return [molecule for molecule in _unmade(known) if 4 <= molecule.GetNumAtoms() <= max_heavy]


def _unmade(known: dict[str, Molecule]) -> list[Chem.Mol]:
    """Those that were not made of others."""
    return [Chem.MolFromSmiles(entry.smiles) for entry in known.values() if entry.source not in _MADE]


def _fill(
    known: dict[str, Molecule], molecules: Iterable[Chem.Mol], source: str, count: int, max_atoms: int
) -> list[Molecule]:
    """Add ``count`` of ``molecules`` that are not known yet, and return these."""
    n_known = len(known)
    for molecule in molecules:
        if len(known) >= n_known + count:
            break
        _add(known, molecule, source, max_atoms)
    return list(known.values())[n_known:]


def _add(known: dict[str, Molecule], molecule: Chem.Mol | None, source: str, max_atoms: int) -> None:
    if molecule is None or not 2 <= n_atoms(molecule) <= max_atoms:
        return
    entry = Molecule(Chem.MolToSmiles(molecule), source, identity_hash(molecule), skeleton(molecule), n_atoms(molecule))
    known.setdefault(entry.identity, entry)
