"""Somebody's own labelled structures made ready for a training: checked, split and stored."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from assay.accuracy.overlap import Fingerprints, are_among, fingerprints_of
from assay.data.dataset import Dataset
from assay.data.formats import read_blocks
from assay.data.store import BLOCK, StoredDataset, StoreWriter
from assay.sampling.equal_structures import Known
from assay.sampling.held_out import FEWEST_HELD_OUT, hold_out
from assay.sampling.label_gradients import require_gradients, require_stresses
from assay.structures.geometry import completed_cell
from assay.structures.structure import symbols_of
from assay.workflow.errors import AssayError
from assay.workflow.progress import progress

FEWEST = 30  # labelled structures that a student can learn anything from
COMPARED = 20_000  # structures, the first ones, whose forces are compared with their energies

Source = str | Mapping[str, Any]


def store_data(
    train: Sequence[Source],
    validation: Source | None,
    share: float,
    seed: int,
    into: tuple[Path, Path],
    origins: Mapping[str, Fingerprints],
) -> dict[str, Any]:
    """Check labelled structures and write those for training and those that are held out.

    Positions are moved so that single precision keeps them: into the cell along periodic axes, and about the origin
    along open ones. Of ``train`` nothing is learned from that is equal to a held-out structure.

    Args:
        train: files of labelled structures, as ``read_dataset`` takes them.
        validation: the file of those that are held out; None to hold out a part of ``train``.
        share: how large that part is.
        seed: the seed of its draw.
        into: the files to write, training first.
        origins: what the students learned from that others go on from, by their checkpoint. Nothing of it is drawn to
            be held out.

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
        _check_labels(found, named)
        held_out, how = np.zeros(len(found), dtype=bool), ""
        if validation is None:
            held_out, how = _drawn(found, share, seed, origins, named)
        n_equal, n_found = _write(found, held_out, validation, into), len(found)
    stored, judged = map(StoredDataset, into)
    if validation is not None:
        path = validation if isinstance(validation, str) else validation["path"]
        how = f"{len(judged):,} structures of {path} are held out"
    if n_equal:
        how += f", and {n_equal:,} equal ones are not learned from"
    if n_found - n_equal < FEWEST:
        raise AssayError(
            f"{n_equal} of {n_found} labelled structures of {named} are equal to held-out ones, and a student needs at "
            f"least {FEWEST} others: label more"
        )
    _check_parts(stored, judged)
    elements = ", ".join(chemical_symbols[z] for z in stored.elements)
    return {
        "sentence": f"{len(stored):,} structures of {elements} are learned from; {how}",
        "n_train": len(stored),
        "n_validation": len(judged),
    }


def _check_labels(found: StoredDataset, named: str) -> None:
    """Print what the labels say of each other; refuse too few, and those that contradict each other."""
    if len(found) < FEWEST:
        raise AssayError(
            f"{named} holds {len(found)} labelled structures, and a student needs at least {FEWEST}: label more"
        )
    compared = found.subset(np.arange(min(len(found), COMPARED)))
    print(require_gradients(compared, named))
    if about_stresses := require_stresses(compared, named):
        print(about_stresses)


def _drawn(
    found: StoredDataset, share: float, seed: int, origins: Mapping[str, Fingerprints], named: str
) -> tuple[np.ndarray, str]:
    """Which structures (S,), bool, are held out of the labelled ones, and how they were drawn, in words."""
    seen = _seen(found, origins)
    held_out, how = hold_out(found, share, seed, seen)
    if seen.any() and held_out.sum() < FEWEST_HELD_OUT:
        raise AssayError(
            f"{seen.sum():,} of {len(found):,} structures of {named} were learned from by {' or '.join(origins)}, from "
            "which students go on, so that too few can be held out: name others as `data.validation`"
        )
    return held_out, how


def _check_parts(stored: StoredDataset, judged: StoredDataset) -> None:
    """Refuse too few held-out structures, and elements of theirs that no structure has that is learned from."""
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


def _seen(found: StoredDataset, origins: Mapping[str, Fingerprints]) -> np.ndarray:
    """Which structures (S,), bool, a student is known to have learned from."""
    if not origins:
        return np.zeros(len(found), dtype=bool)
    masks = []
    with progress(desc=f"looking for what {' and '.join(origins)} learned from", unit="structures") as bar:
        for block in found.blocks():
            own = fingerprints_of(list(block))
            masks.append(np.any([are_among(known, own) for known in origins.values()], axis=0))
            bar.update(len(block))
    return np.concatenate(masks)


def _write(found: StoredDataset, held_out: np.ndarray, validation: Source | None, into: tuple[Path, Path]) -> int:
    """Write what is held out (S,), bool, with a file of its own, and the others but for those that are equal to some of
    that; the number of these.
    """
    with StoreWriter(into[1]) as kept:
        for start, block in zip(range(0, len(found), BLOCK), found.blocks(), strict=True):
            kept.add(block.subset(held_out[start : start + BLOCK]))
        if validation is not None:
            _copy(validation, kept)
    judged = Known(StoredDataset(into[1]))
    n_equal = 0
    with StoreWriter(into[0]) as learned:
        for start, block in zip(range(0, len(found), BLOCK), found.blocks(), strict=True):
            others = block.subset(~held_out[start : start + BLOCK])
            equal = judged.are_equal(others)
            learned.add(others.subset(~equal))
            n_equal += int(equal.sum())
    return n_equal


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
    """The same structures with small coordinates: in the cell along periodic axes, about the origin along open ones."""
    positions = block.positions.copy()
    for index, structure in enumerate(block):
        atoms = slice(block.offsets[index], block.offsets[index + 1])
        cell = np.eye(3) if structure.cell is None else completed_cell(structure.cell, structure.pbc)
        fractional = structure.positions @ np.linalg.inv(cell)
        positions[atoms] -= np.where(structure.pbc, np.floor(fractional), fractional.mean(axis=0)) @ cell
    return replace(block, positions=positions)
