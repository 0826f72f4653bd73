"""MDL molfiles and SDF, record by record: ASE reads the first record of a file, and no charges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from ase.io.formats import open_with_compression

from assay.data.frames import Frame, Layout
from assay.data.spellings import atomic_numbers
from assay.workflow.errors import AssayError, reason_of

_END = "$$$$"  # the line behind a record
_CHARGES = {1: 3, 2: 2, 3: 1, 5: -1, 6: -2, 7: -3}  # of an atom, by their number in its line
_HEADER = 4  # lines before those of atoms


class MolFile:
    """Molecules of a .mol or .sdf file, V2000; see ``FrameFile``.

    The total charge is the sum of formal charges, of which `M  CHG` lines hold all if there is one.
    """

    layout = Layout()

    def __init__(self, path: Path):
        self.path = path

    def count(self) -> int:
        """See ``FrameFile.count``."""
        return sum(1 for _ in self._records())

    def frames(self, chosen: np.ndarray | None = None) -> Iterator[Callable[[], Frame]]:
        """See ``FrameFile.frames``."""
        wanted = None if chosen is None else set(chosen.tolist())
        for index, lines in enumerate(self._records()):
            if wanted is None or index in wanted:
                yield partial(_frame, lines, f"structure {index} of {self.path}")

    def _records(self) -> Iterator[list[str]]:
        try:
            with open_with_compression(str(self.path), "rb") as file:
                lines = (line.decode(errors="replace").rstrip("\r\n") for line in file)
                for is_end, record in groupby(lines, lambda line: line.startswith(_END)):
                    kept = list(record)
                    if not is_end and any(map(str.strip, kept)):
                        yield kept
        except Exception as error:  # of any decompression
            raise AssayError(
                f"{self.path} cannot be read ({reason_of(error, 120)}): check that it is complete"
            ) from None


def _frame(lines: list[str], where: str) -> Frame:
    if any("V3000" in line for line in lines[:_HEADER]):
        raise AssayError(f"{where} is in the form V3000, which is not read: write it as V2000 or extended XYZ")
    try:
        n_atoms = int(lines[3][:3])
        atoms = lines[_HEADER : _HEADER + n_atoms]
        if len(atoms) < n_atoms:
            raise ValueError
        symbols, positions = zip(*map(_symbol_and_position, atoms), strict=True) if atoms else ((), ())
        charges = _formal_charges(lines, atoms)
    except (ValueError, IndexError):
        raise AssayError(f"{where} is no molecule of the form V2000, or is cut short: write it again") from None
    return Frame(
        where,
        lines[0].strip(),
        "",
        atomic_numbers(np.array(symbols, dtype=str), where),
        np.array(positions, dtype=np.float64).reshape(n_atoms, 3),
        None,
        np.zeros(3, dtype=bool),
        {"charge": sum(charges)} if any(charges) else {},
        is_told_open=True,
    )


def _symbol_and_position(line: str) -> tuple[str, list[float]]:
    """Words, as programs of others and hands write them, or else the columns of the format, which may touch."""
    words = line.split()
    try:
        return words[3], [float(word) for word in words[:3]]
    except (ValueError, IndexError):
        return line[30:34].strip(), [float(line[start : start + 10]) for start in (0, 10, 20)]


def _formal_charges(lines: list[str], atoms: list[str]) -> list[int]:
    """Formal charges of ``M  CHG`` lines, or else of the lines of atoms."""
    fields = [line[6:].split() for line in lines if line.startswith("M  CHG")]
    if fields:
        return [int(charge) for own in fields for charge in own[2::2]]
    return [_CHARGES.get(int(code), 0) for line in atoms if (code := line[36:39].strip()).isdecimal()]
