"""What is held out of somebody's own structures, where no file of its own is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from string import digits

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from assay.data.store import StoredDataset

FEWEST_HELD_OUT = 5
MOST_HELD_OUT = 10_000  # structures are enough for any error
LEAST_SHARE = 0.3  # of what should be held out: where whole groups cannot make up as much, parts of them are


def hold_out(found: StoredDataset, share: float, seed: int, seen: np.ndarray) -> tuple[np.ndarray, str]:
    """Which structures (S,) are held out, bool, and how they were chosen, as a clause.

    Whole molecules are held out where all structures name theirs, and otherwise whole compositions. Where those that
    can be spared make up too little, the end of each series in each group is held out, so that every trajectory has its
    share: a series are structures whose names differ in the number at the end alone, in the order of the file. Of every
    element some structures stay to learn from.

    Args:
        found: all structures.
        share: how large a part of them is held out.
        seed: the seed of the draw.
        seen: which structures (S,), bool, are not held out, because a student learned from them before.
    """
    free = ~seen
    groups, kind, stock = _groups(found)
    wanted = max(min(round(share * len(found)), MOST_HELD_OUT), FEWEST_HELD_OUT)
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups))
    held: list[np.ndarray] = []
    n_held = 0
    for group in np.random.default_rng(seed).permutation(len(ends)).tolist():
        members = order[ends[group - 1] if group else 0 : ends[group]]
        fits = n_held < wanted and n_held + len(members) <= 1.3 * wanted
        if fits and free[members].all() and stock.spare(members):
            held.append(members)
            n_held += len(members)
    if n_held >= max(LEAST_SHARE * wanted, FEWEST_HELD_OUT):
        return _mask(held, len(found)), f"{n_held:,} structures of {len(held):,} of {len(ends):,} {kind} are held out"
    for members in held:
        stock.put_back(members)
    parts = _parts(found, groups)
    last = _last_of_each(parts, wanted, stock, free)
    how = (
        f"{len(last):,} structures are held out, the last ones of {parts.max() + 1:,} series in {len(ends):,} {kind}, "
        f"since there are too few {kind} that can be spared whole"
    )
    return _mask([last], len(found)), how


def _parts(found: StoredDataset, groups: np.ndarray) -> np.ndarray:
    """The part (S,) of each structure, int64: the series that its group has, one after the other by group and name.

    What shares its name with no other structure up to the number is in one part with all such of its group.
    """
    stems: dict[tuple[int, str], int] = {}
    numbers = np.empty(len(found), dtype=np.int64)
    names = (str(name) for block in found.blocks() for name in block.names)
    for place, (group, name) in enumerate(zip(groups.tolist(), names, strict=True)):
        numbers[place] = stems.setdefault((group, name.rstrip(digits)), len(stems))
    several = np.bincount(numbers) > 1
    series = [(group, stem if several[number] else "") for (group, stem), number in stems.items()]
    places = {part: place for place, part in enumerate(sorted(set(series)))}
    return np.array([places[part] for part in series], dtype=np.int64)[numbers]


def _last_of_each(parts: np.ndarray, wanted: int, stock: _Stock, free: np.ndarray) -> np.ndarray:
    """The last free structures of each part that can be spared, in shares that add up to what is wanted."""
    order, ends = np.argsort(parts, kind="stable"), np.cumsum(np.bincount(parts))
    last: list[int] = []
    for start, end in pairwise([0, *ends.tolist()]):
        due = round(wanted * end / len(order))
        for member in order[start:end][::-1]:
            if len(last) >= due:
                break
            if free[member] and stock.spare(member[None]):
                last.append(int(member))
    return np.array(last, dtype=np.int64)


def _mask(held: list[np.ndarray], n_structures: int) -> np.ndarray:
    mask = np.zeros(n_structures, dtype=bool)
    mask[np.concatenate(held)] = True
    return mask


class _Stock:
    """How many structures of each element are there to learn from.

    Args:
        sets: the sets of elements that structures have, each with its number.
        of_structures: (S,) the number of the set of each structure.
    """

    def __init__(self, sets: Mapping[frozenset[int], int], of_structures: np.ndarray):
        elements = sorted(set().union(*sets))
        self._holds = np.array([[z in found for z in elements] for found in sets], dtype=np.int64)
        self._of_structures = of_structures
        self._left = np.bincount(of_structures, minlength=len(sets)) @ self._holds

    def spare(self, members: np.ndarray) -> bool:
        """Take these structures away, unless an element were gone then; whether they were taken."""
        left = self._left - self._holds[self._of_structures[members]].sum(axis=0)
        if not left.all():
            return False
        self._left = left
        return True

    def put_back(self, members: np.ndarray) -> None:
        """Undo ``spare``."""
        self._left = self._left + self._holds[self._of_structures[members]].sum(axis=0)


def _groups(found: StoredDataset) -> tuple[np.ndarray, str, _Stock]:
    """The group (S,) of each structure, int64; the groups in words, molecules or compositions; and the elements."""
    numbers: dict[str, int] = {}
    by_molecule: dict[str, int] = {}
    sets: dict[frozenset[int], int] = {}
    compositions, molecules, of_structures, all_named = [], [], [], True
    for block in found.blocks():
        for structure in block:
            counts = Counter(structure.atomic_numbers.tolist())
            formula = Formula.from_dict({chemical_symbols[z]: n for z, n in counts.items()}).format("hill")
            compositions.append(numbers.setdefault(formula, len(numbers)))
            of_structures.append(sets.setdefault(frozenset(counts), len(sets)))
            all_named = all_named and bool(structure.molecule)
            molecules.append(by_molecule.setdefault(structure.molecule, len(by_molecule)) if all_named else 0)
    stock = _Stock(sets, np.array(of_structures, dtype=np.int64))
    if all_named and len(by_molecule) > 1:
        return np.array(molecules, dtype=np.int64), "molecules", stock
    return np.array(compositions, dtype=np.int64), "compositions", stock
