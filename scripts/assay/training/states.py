"""Where an unfinished training keeps its state: the name of the file follows from all that decides the weights."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.workflow.files import short_digest


def unfinished(folder: Path, name: str, decides: Sequence[Any]) -> Path:
    """The file that a training resumes from.

    Args:
        folder: where states are kept.
        name: the name of what is trained.
        decides: all that decides its weights, as JSON can hold it. Where any of it changed, the training starts anew.
    """
    return folder / f"{name}.{short_digest(decides)}.state.pt"


def remove_states(folder: Path, name: str, but: Path | None = None) -> None:
    """Remove what trainings of this name left, but for one file."""
    for state in folder.glob(f"{glob.escape(name)}.*.state.pt"):
        if state != but:
            state.unlink()
