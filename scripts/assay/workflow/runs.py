"""Trajectories that a program writes into several files, of which one is named and the others lie beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

OUTPUT_OF_CP2K = re.compile(r"(?P<project>.+)-(?P<kind>pos|frc|vel)-(?P<number>\d+)(?P<suffix>(?:\.\w+)+)")


class RunFiles(NamedTuple):
    """Where the forces, the state at the end and the cells of a run of CP2K stand, whether these files exist or not."""

    forces: Path
    restart: Path
    cells: Path


def files_of_run(positions: str | Path) -> RunFiles | None:
    """The files beside the positions PROJECT-pos-1.xyz of a run of CP2K; None for a file of another name."""
    path = Path(positions)
    name = OUTPUT_OF_CP2K.fullmatch(path.name)
    if name is None or name["kind"] != "pos":
        return None
    restart = path.with_name(f"{name['project']}-{name['number']}.restart")
    forces = path.with_name(f"{name['project']}-frc-{name['number']}{name['suffix']}")
    return RunFiles(forces, restart, restart.with_suffix(".cell"))


def parts_of_runs(config: Any) -> list[Path]:
    """The files that lie beside positions of runs which a part of a config names, sorted."""
    runs = filter(None, map(files_of_run, _texts(config)))
    return sorted({path for run in runs for path in run if path.is_file()})


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    for entry in part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ():
        yield from _texts(entry)
