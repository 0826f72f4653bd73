"""The split into molecules that a student trains on and molecules that it never sees."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from assay.sampling.molecules import Molecule


def split(
    molecules: Sequence[Molecule],
    n_validation: dict[str, int],
    n_unseen: dict[str, int],
    n_larger: Sequence[tuple[int, int, int]],
    max_atoms: int,
    max_similarity: float,
    seed: int,
) -> dict[str, list[Molecule]]:
    """Split molecules so that train and test share neither identity nor skeleton, nor near-identical molecules.

    Molecules of at most three heavy atoms are for training: what they are made of stands in every other molecule.

    Args:
        molecules: all molecules, each once.
        n_validation: about how many ``listed`` and how many ``recombined`` molecules are for validation.
        n_unseen: about how many of each are for the test split of unseen molecules.
        n_larger: (fewest atoms, most atoms, how many) for each size range of larger molecules.
        max_atoms: the largest molecule for train, validation and unseen.
        max_similarity: the Tanimoto similarity (Morgan fingerprint of radius 2) to an unseen or larger test molecule
            from which on a training molecule is left out.
        seed: the seed of the draw.

    Returns:
        The molecules of train, validation, unseen_molecules and larger_molecules.
    """
    groups = defaultdict(list)
    for molecule in molecules:
        if molecule.n_atoms <= max_atoms:
            groups[molecule.skeleton].append(molecule)
    keys = sorted(groups)
    rng = random.Random(seed)
    rng.shuffle(keys)
    parts: dict[str, list[Molecule]] = {"train": [], "validation": [], "unseen_molecules": []}
    wanted = {"unseen_molecules": dict(n_unseen), "validation": dict(n_validation)}
    for key in keys:
        group = groups[key]
        kind = "recombined" if group[0].source == "recombined" else "listed"
        open_parts = [part for part, counts in wanted.items() if counts[kind] > 0 and _n_heavy(group[0]) > 3]
        part = open_parts[0] if open_parts else "train"
        parts[part] += group
        if open_parts:
            wanted[part][kind] -= len(group)
    parts["larger_molecules"] = _draw_larger(molecules, n_larger, set(groups), rng)
    test = parts["unseen_molecules"] + parts["larger_molecules"]
    parts["train"] = _unlike(parts["train"], test, max_similarity)
    return parts


def for_training(more: Sequence[Molecule], parts: dict[str, list[Molecule]], max_similarity: float) -> list[Molecule]:
    """Those of ``more`` that may be trained on beside the ``parts`` that there are: no skeleton of a molecule that is
    held out, and none as similar to a test molecule as ``max_similarity``. Parts for training are named ``train...``.
    """
    held_out = {part: molecules for part, molecules in parts.items() if not part.startswith("train")}
    skeletons = {molecule.skeleton for molecules in held_out.values() for molecule in molecules}
    test = [molecule for part, molecules in held_out.items() if part != "validation" for molecule in molecules]
    return _unlike([molecule for molecule in more if molecule.skeleton not in skeletons], test, max_similarity)


def never_seen(molecules: Sequence[Molecule], parts: dict[str, list[Molecule]]) -> list[Molecule]:
    """Those of ``molecules`` that share neither identity nor skeleton with any molecule of ``parts``."""
    entries = [molecule for part in parts.values() for molecule in part]
    identities, skeletons = {entry.identity for entry in entries}, {entry.skeleton for entry in entries}
    return [entry for entry in molecules if entry.identity not in identities and entry.skeleton not in skeletons]


def _draw_larger(
    molecules: Sequence[Molecule], n_larger: Sequence[tuple[int, int, int]], taken: set[str], rng: random.Random
) -> list[Molecule]:
    """Molecules of each size range, alternating between sources as far as there are any."""
    drawn = []
    for first, last, count in n_larger:
        by_source = defaultdict(list)
        for molecule in molecules:
            if first <= molecule.n_atoms <= last and molecule.skeleton not in taken:
                by_source[molecule.source].append(molecule)
        for pool in by_source.values():
            rng.shuffle(pool)
        turns = [molecule for rank in range(count) for pool in by_source.values() for molecule in pool[rank : rank + 1]]
        drawn += turns[:count]
    return drawn


def _unlike(train: Sequence[Molecule], test: Sequence[Molecule], max_similarity: float) -> list[Molecule]:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    fingerprints = [generator.GetFingerprint(Chem.MolFromSmiles(molecule.smiles)) for molecule in test]
    return [
        molecule
        for molecule in train
        if max(
            DataStructs.BulkTanimotoSimilarity(
                generator.GetFingerprint(Chem.MolFromSmiles(molecule.smiles)), fingerprints
            )
        )
        < max_similarity
    ]


def _n_heavy(molecule: Molecule) -> int:
    return Chem.MolFromSmiles(molecule.smiles).GetNumHeavyAtoms()
