"""Training data of RuNNer, n2p2 and other Behler-Parrinello networks: `input.data`, in units that it does not tell."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from assay.data.frames import Frame, Layout
from assay.data.spellings import atomic_numbers, numbers_in
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError, printable, reason_of

_BEGIN, _END = "begin", "end"
_KNOWN = ("comment", "atom", "lattice", "energy", "charge")
_COLUMNS = slice(1, 4), slice(7, 10)  # of positions and forces in the line of an atom, behind its keyword
_ELEMENT, _WIDTH = 4, 10


def is_runner(begin: str) -> bool:
    """Whether a file that begins so is an `input.data`."""
    return begin.lstrip().partition("\n")[0].strip().lower() == _BEGIN


class RunnerFile:
    """Blocks from `begin` to `end`, compressed or not; see ``FrameFile``.

    The line of an atom has its position, element, two numbers that are passed over, and its force. Three lines of a
    lattice repeat all axes, and none is an open structure. `charge` is that of the structure.
    """

    layout = Layout(unknown_units=True)

    def __init__(self, path: Path):
        self.path = path

    def count(self) -> int:
        """See ``FrameFile.count``."""
        return sum(1 for _ in self._blocks(()))

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        wanted = None if chosen is None else set(chosen.tolist())
        for index, lines in self._blocks(wanted):
            if wanted is None or index in wanted:
                yield partial(_frame, lines, f"structure {index} of {self.path}")

    def _blocks(self, wanted: Container[int] | None) -> Iterator[tuple[int, list[str]]]:
        """The index of each block, and its lines if it is wanted."""
        index = -1
        lines: list[str] | None = None
        try:
            with open_text(self.path) as file:
                for line in filter(str.strip, file):
                    word = line.split(maxsplit=1)[0].lower()
                    if (word == _BEGIN) != (lines is None):
                        place, wanted_word = ("behind", _BEGIN) if lines is None else ("within", _END)
                        raise AssayError(
                            f"{self.path} has {printable(line.strip(), 60)!r} {place} structure {index}, where "
                            f"{wanted_word!r} should stand: correct it"
                        )
                    if lines is None:
                        index, lines = index + 1, []
                    elif word == _END:
                        yield index, lines
                        lines = None
                    elif wanted is None or index in wanted:
                        lines.append(line)
        except (OSError, EOFError, ValueError) as error:
            raise AssayError(
                f"{self.path} cannot be read ({reason_of(error, 200)}): check that it is complete"
            ) from None
        if lines is not None:
            raise AssayError(f"structure {index} of {self.path} has no {_END!r}: the file is cut short; write it again")


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
        word: _numbers([words[1:2] for words in rows[word]], 1, 1, f"`{word}`", where)[0, 0]
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
