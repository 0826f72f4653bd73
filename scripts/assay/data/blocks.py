"""Files of structures that stand between a word that begins and one that ends each of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from assay.data.frames import Frame, Layout
from assay.runtime.template import open_text
from assay.workflow.errors import AssayError, printable, reason_of


class BlockFile:
    """Structures each of which is one block, compressed or not; see ``FrameFile``."""

    def __init__(self, path: Path, words: tuple[str, str], read: Callable[[Sequence[str], str], Frame], layout: Layout):
        """Describe a file.

        Args:
            path: the file.
            words: those that begin and end a block.
            read: makes a frame of the lines of a block and of how errors name it.
            layout: what its layout tells.
        """
        self.path, self.layout = path, layout
        self._words, self._read = words, read

    def count(self) -> int:
        """See ``FrameFile.count``."""
        return sum(1 for _ in blocks_of(self.path, self._words, ()))

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        wanted = range(sys.maxsize) if chosen is None else set(chosen.tolist())
        for index, lines in blocks_of(self.path, self._words, wanted):
            if index in wanted:
                yield partial(self._read, lines, f"structure {index} of {self.path}")


def blocks_of(path: Path, words: tuple[str, str], wanted: Container[int]) -> Iterator[tuple[int, list[str]]]:
    """The index of each block of a file, compressed or not, and its lines that are not empty.

    Args:
        path: the file.
        words: those that begin and end a block, each alone in its line, in whatever case.
        wanted: the indices of the blocks whose lines are kept.

    Raises:
        AssayError: the file is damaged, or a block lacks one of its words.
    """
    begin, end = words
    index = -1
    lines: list[str] | None = None
    try:
        with open_text(path) as file:
            for line in filter(str.strip, file):
                word = line.strip("\ufeff \t\r\n").lower()
                if (word == begin.lower()) != (lines is None):
                    missing = begin if lines is None else end
                    place = (
                        f"{'behind' if lines is None else 'within'} structure {index}"
                        if index >= 0
                        else "at its beginning"
                    )
                    text = printable(line.strip(), 60)
                    raise AssayError(f"{path} has {text!r} {place}, where {missing!r} should stand: correct it")
                if lines is None:
                    index, lines = index + 1, []
                elif word == end.lower():
                    yield index, lines
                    lines = None
                elif index in wanted:
                    lines.append(line)
    except (OSError, EOFError, ValueError) as error:
        raise AssayError(f"{path} cannot be read ({reason_of(error, 200)}): check that it is complete") from None
    if lines is not None:
        raise AssayError(f"structure {index} of {path} has no {end!r}: the file is cut short; write it again")
