"""Somebody's own labelled structures made ready for a training: checked, split and stored."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from assay.data.dataset import Dataset
from assay.data.formats import read_blocks
from assay.data.store import BLOCK, StoredDataset, StoreWriter
from assay.sampling.label_gradients import require_gradients, require_stresses
from assay.structures.structure import symbols_of
from assay.workflow.errors import AssayError
from assay.workflow.progress import progress

FEWEST = 30  # labelled structures that a student can learn anything from
FEWEST_HELD_OUT = 5
COMPARED = 20_000  # structures, the first ones, whose forces are compared with their energies
MOST_HELD_OUT = 10_000  # structures are enough for any error
LEAST_SHARE = 0.3  # of what should be held out: where whole groups cannot make up as much, parts of them are

Source = str | Mapping[str, Any]


def store_data(
    train: Sequence[Source],
    validation: Source | None,
    share: float,
    seed: int,
    into: tuple[Path, Path],
) -> dict[str, Any]:
    """Check labelled structures and write those for training and those that are held out.

    Positions are moved so that single precision keeps them: into the cell along periodic axes, and about the origin
    along open ones.

    Args:
        train: files of labelled structures, as ``read_dataset`` takes them.
        validation: the file of those that are held out; None to hold out a part of ``train``.
        share: how large that part is.
        seed: the seed of its draw.
        into: the files to write, training first.

    Returns:
        What was done: ``sentence`` for people, and the numbers of structures.

    Raises:
        AssayError: a file cannot be used, there are too few structures, what is held out has elements that the others
            lack, or the forces or stresses are not those of the energies.
    """
    named = " and ".join(str(source if isinstance(source, str) else source["path"]) for source in train)
    with tempfile.TemporaryDirectory(dir=_folder(into[0])) as folder:
        everything = Path(folder, "all.h5")
        with StoreWriter(everything) as writer:
            for source in train:
                _copy(source, writer)
        found = StoredDataset(everything)
        if len(found) < FEWEST:
            raise AssayError(
                f"{named} holds {len(found)} labelled structures, and a student needs at least {FEWEST}: label more"
            )
        compared = found.subset(np.arange(min(len(found), COMPARED)))
        print(require_gradients(compared, named))
        if about_stresses := require_stresses(compared, named):
            print(about_stresses)
        held_out = np.zeros(len(found), dtype=bool)
        if validation is None:
            held_out, how = _hold_out(found, share, seed)
        with StoreWriter(into[0]) as learned, StoreWriter(into[1]) as kept:
            for start, block in enumerate(found.blocks()):
                mask = held_out[start * BLOCK : start * BLOCK + len(block)]
                learned.add(block.subset(~mask))
                kept.add(block.subset(mask))
            if validation is not None:
                _copy(validation, kept)
    stored, judged = map(StoredDataset, into)
    if validation is not None:
        path = validation if isinstance(validation, str) else validation["path"]
        how = f"{len(judged):,} structures of {path} are held out"
    if len(judged) < FEWEST_HELD_OUT:
        raise AssayError(
            f"{len(judged)} structures are held out, and a verdict needs at least {FEWEST_HELD_OUT}: add some to "
            "`data.validation`, or leave it out"
        )
    unknown = sorted(set(judged.elements) - set(stored.elements))
    if unknown:
        raise AssayError(
            f"the structures that are held out hold {symbols_of(unknown)}, which no training structure has: add "
            "structures with it to the training, or leave those out"
        )
    elements = ", ".join(chemical_symbols[z] for z in stored.elements)
    return {
        "sentence": f"{len(stored):,} structures of {elements} are learned from; {how}",
        "n_train": len(stored),
        "n_validation": len(judged),
    }


def _folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent


def _copy(source: Source, writer: StoreWriter) -> None:
    """Append a file of labelled structures."""
    path = source if isinstance(source, str) else source["path"]
    with progress(desc=f"reading {path}", unit="structures") as bar:
        for block in read_blocks(source, BLOCK):
            writer.add(_near_origin(block))
            bar.update(len(block))


def _near_origin(block: Dataset) -> Dataset:
    """The same structures with small coordinates."""
    positions = block.positions.copy()
    for index, structure in enumerate(block):
        atoms = slice(block.offsets[index], block.offsets[index + 1])
        if structure.pbc.all() and structure.cell is not None:
            fractional = structure.positions @ np.linalg.inv(structure.cell)
            positions[atoms] -= np.floor(fractional) @ structure.cell
        elif not structure.pbc.any():
            positions[atoms] -= structure.positions.mean(axis=0)
    return replace(block, positions=positions)


def _hold_out(found: StoredDataset, share: float, seed: int) -> tuple[np.ndarray, str]:
    """Which structures (S,) are held out, bool, and how they were chosen, as a clause.

    Whole molecules are held out where all structures name theirs, and otherwise whole compositions. Where too few
    groups make up the data for that, the end of each group in the order of the file is held out.
    """
    groups, kind = _groups(found)
    wanted = min(round(share * len(found)), MOST_HELD_OUT)
    wanted = max(wanted, FEWEST_HELD_OUT)
    sizes = np.bincount(groups)
    held: list[int] = []
    n_held = 0
    for group in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        if n_held < wanted and n_held + sizes[group] <= 1.3 * wanted:
            held.append(group)
            n_held += sizes[group]
    if n_held >= max(LEAST_SHARE * wanted, FEWEST_HELD_OUT) and _elements_stay(found, np.isin(groups, held)):
        mask = np.isin(groups, held)
        return mask, f"{mask.sum():,} structures of {len(held):,} of {len(sizes):,} {kind} are held out"
    mask = np.zeros(len(found), dtype=bool)
    order = np.argsort(groups, kind="stable")
    for members in np.split(order, np.cumsum(sizes)[:-1]):
        last = round(wanted * len(members) / len(found))
        mask[members[len(members) - last :]] = last > 0
    if mask.sum() < FEWEST_HELD_OUT:
        mask[-FEWEST_HELD_OUT:] = True
    few = f"there are too few {kind} to hold out whole ones"
    return mask, f"{mask.sum():,} structures are held out, the last ones of each of {len(sizes):,} {kind}, since {few}"


def _groups(found: StoredDataset) -> tuple[np.ndarray, str]:
    """The group (S,) of each structure, int64, and the groups in words: molecules, or compositions."""
    numbers: dict[str, int] = {}
    by_molecule: dict[str, int] = {}
    compositions, molecules, all_named = [], [], True
    for block in found.blocks():
        for structure in block:
            counts = Counter(chemical_symbols[z] for z in structure.atomic_numbers.tolist())
            formula = Formula.from_dict(counts).format("hill")
            compositions.append(numbers.setdefault(formula, len(numbers)))
            all_named = all_named and bool(structure.molecule)
            molecules.append(by_molecule.setdefault(structure.molecule, len(by_molecule)) if all_named else 0)
    if all_named and len(by_molecule) > 1:
        return np.array(molecules, dtype=np.int64), "molecules"
    return np.array(compositions, dtype=np.int64), "compositions"


def _elements_stay(found: StoredDataset, mask: np.ndarray) -> bool:
    """Whether no element occurs in structures alone that are held out."""
    left: set[int] = set()
    for start, block in enumerate(found.blocks()):
        rest = block.subset(~mask[start * BLOCK : start * BLOCK + len(block)])
        left |= set(np.unique(rest.atomic_numbers).tolist())
    return left == set(found.elements)
