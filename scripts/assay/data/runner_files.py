"""Training data of RuNNer, n2p2 and other Behler-Parrinello networks: `input.data`, in units that it does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assay.data.blocks import BlockFile
from assay.data.frames import Frame, Layout
from assay.data.spellings import atomic_numbers, numbers_in
from assay.workflow.errors import AssayError, printable

_WORDS = ("begin", "end")
_KNOWN = ("comment", "atom", "lattice", "energy", "charge")
_COLUMNS = slice(1, 4), slice(7, 10)  # of positions and forces in the line of an atom, behind its keyword
_ELEMENT, _WIDTH = 4, 10


def is_runner(begin: str) -> bool:
    """Whether a file that begins so is an `input.data`: its first line that is not empty holds that word alone."""
    return begin.lstrip("\ufeff \t\r\n").partition("\n")[0].strip().lower() == _WORDS[0]


def open_runner(path: Path) -> BlockFile:
    """An `input.data`.

    The line of an atom has its position, element, two numbers that are passed over, and its force. Three lines of a
    lattice repeat all axes, and none is an open structure. `charge` is that of the structure.
    """
    return BlockFile(path, _WORDS, _frame, Layout(unknown_units=True))


def _frame(lines: Sequence[str], where: str) -> Frame:
    """The frame of the lines of a block.

    Raises:
        AssayError: one of them is none that the format knows, or has other numbers than it should.
    """
    rows: dict[str, list[list[str]]] = {word: [] for word in _KNOWN}
    for line in lines:
        word, *_ = words = line.split()
        if word.lower() not in rows:
            raise AssayError(f"{where} has {printable(line.strip(), 60)!r}, which is not known there: correct it")
        rows[word.lower()].append(words)
    atoms, cell = rows["atom"], rows["lattice"]
    if any(len(words) < _WIDTH for words in atoms):
        raise AssayError(f"{where} has an atom with less than a position, element, two numbers and a force: add them")
    positions, forces = (
        _numbers([words[columns] for words in atoms], len(atoms), 3, "atoms", where) for columns in _COLUMNS
    )
    info = {
        word: _numbers([words[1:] for words in rows[word]], 1, 1, f"`{word}`", where)[0, 0]
        for word in ("energy", "charge")
        if rows[word]
    }
    return Frame(
        where,
        "",
        "",
        atomic_numbers(np.array([words[_ELEMENT] for words in atoms], dtype=object), where),
        positions,
        _numbers([words[1:4] for words in cell], 3, 3, "`lattice`", where) if cell else None,
        np.full(3, bool(cell)),
        info,
        {"forces": forces},
        not cell,
    )


def _numbers(rows: Sequence[Sequence[str]], count: int, width: int, what: str, where: str) -> np.ndarray:
    """Numbers (count, width) of so many lines."""
    found = numbers_in(" ".join(word for row in rows for word in row)) if rows else np.zeros(0)
    if len(rows) != count or found is None or len(found) != count * width:
        raise AssayError(f"{where} has {what} with other lines or numbers than `input.data` has: correct it")
    return found.reshape(count, width)
