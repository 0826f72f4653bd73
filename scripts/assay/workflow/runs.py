"""Trajectories that a program writes into several files, of which one is named and the others lie beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from assay.workflow.config_layers import texts_in

COMPRESSIONS = (".gz", ".bz2", ".xz")
OUTPUT_OF_CP2K = re.compile(
    rf"(?P<project>.+)-(?P<kind>pos|frc|vel)-(?P<number>\d+)(?P<suffix>(?:\.\w+)+?)(?:{'|'.join(COMPRESSIONS)})?"
)


class RunFiles(NamedTuple):
    """Where the forces, the state at the end and the cells of a run of CP2K stand, whether these files exist or not."""

    forces: Path
    restart: Path
    cells: Path


def files_of_run(positions: str | Path) -> RunFiles | None:
    """The files beside the positions PROJECT-pos-1.xyz of a run of CP2K, of which any may be compressed; None for a
    file of another name.
    """
    path = Path(positions)
    name = OUTPUT_OF_CP2K.fullmatch(path.name)
    if name is None or name["kind"] != "pos":
        return None
    project, number = name["project"], name["number"]
    names = (f"{project}-frc-{number}{name['suffix']}", f"{project}-{number}.restart", f"{project}-{number}.cell")
    return RunFiles(*(_found(path.with_name(beside)) for beside in names))


def _found(path: Path) -> Path:
    """A file, or the same by the name that it has compressed if it is there by that name alone."""
    ways = (path, *(path.with_name(path.name + suffix) for suffix in COMPRESSIONS))
    return next(filter(Path.is_file, ways), path)


def parts_of_runs(config: Any) -> list[Path]:
    """The files that lie beside positions of runs which a part of a config names, sorted."""
    runs = filter(None, map(files_of_run, texts_in(config)))
    return sorted({path for run in runs for path in run if path.is_file()})
