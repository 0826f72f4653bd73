"""Files of structures that stand between a word that begins and one that ends each of them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from assay.runtime.template import open_text
from assay.workflow.errors import AssayError, printable, reason_of


def begins_with(text: str, word: str) -> bool:
    """Whether the first line of a text that is not empty holds a word, in whatever case, and nothing else."""
    return text.lstrip("\ufeff \t\r\n").partition("\n")[0].strip().lower() == word.lower()


def blocks_of(path: Path, words: tuple[str, str], wanted: Container[int] | None) -> Iterator[tuple[int, list[str]]]:
    """The index of each block of a file, compressed or not, and its lines that are not empty.

    Args:
        path: the file.
        words: those that begin and end a block, each alone in its line, in whatever case.
        wanted: the indices of the blocks whose lines are kept; None for all.

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
                elif wanted is None or index in wanted:
                    lines.append(line)
    except (OSError, EOFError, ValueError) as error:
        raise AssayError(f"{path} cannot be read ({reason_of(error, 200)}): check that it is complete") from None
    if lines is not None:
        raise AssayError(f"structure {index} of {path} has no {end!r}: the file is cut short; write it again")
