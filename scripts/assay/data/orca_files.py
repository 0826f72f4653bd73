"""Outputs of ORCA, structure by structure: ASE reads the last of a job, and none where no number of atoms is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ase.data import atomic_numbers

from assay.data.passed_over import cut_off, not_read

_TITLE = "CARTESIAN COORDINATES (ANGSTROEM)"
_TABLE = re.compile(rf"(?m)^{re.escape(_TITLE)}(?:[ \t]*\n[-\t ]+\n((?:[ \t]*\S.*\n)+)(?=[ \t]*\n))?")
_CHARGE_OR_MULTIPLICITY = re.compile(r"(?:Total Charge\s+Charge|Multiplicity\s+Mult)\s+\.+.*")
_GHOST, _GHOST_OF_INPUT = re.compile(r"\s*\w+\s*:"), re.compile(r"(?m)^\|\s*\d+>\s*[A-Za-z]{1,2}\s*:.*\d")
_END = "ORCA TERMINATED NORMALLY\n"


def structures_of(text: str, path: Path) -> Iterator[str]:
    """An output for each table of coordinates, with the charge and multiplicity of its job, and without ghost atoms.

    Those of a step that tells none are those of the step before, if it has the same atoms.

    Raises:
        AssayError: it ends within a structure, has others than atoms and ghosts, such as cores without electrons that
            embed a cluster, or does not tell which atoms are ghosts.
    """
    tables = list(_TABLE.finditer(text))
    if not tables:
        yield text
    ghost = _GHOST_OF_INPUT.search(text)
    if ghost is not None and not any(map(_GHOST.match, "".join(table[1] or "" for table in tables).splitlines())):
        raise not_read(path, ghost[0])
    told: list[str] = []
    before: list[str] = []
    for table, end in zip(tables, [*(table.start() for table in tables[1:]), len(text)], strict=True):
        if table[1] is None:
            raise cut_off(path)
        atoms = [row for row in table[1].splitlines() if not _GHOST.match(row)]
        symbols = [row.split()[0] for row in atoms]
        for symbol, row in zip(symbols, atoms, strict=True):
            if symbol not in atomic_numbers:
                raise not_read(path, row)
        told = _CHARGE_OR_MULTIPLICITY.findall(text, table.end(), end) or (told if symbols == before else [])
        before = symbols
        yield "\n".join([f"Number of atoms ... {len(atoms)}", _TITLE, "---", *atoms, "", *told, _END])
