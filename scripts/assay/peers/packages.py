"""Installs the packages of peers in folders of their own, on top of the environment whose torch they share."""

from __future__ import annotations

import sys
from pathlib import Path

from assay.predictors.virtual_environments import why_failed
from assay.workflow.files import atomic_path

FAILURE = "not-installed.txt"


def install(pins: str | Path, folder: str | Path) -> None:
    """Install what a requirements file names into ``folder``, without what that needs in turn.

    What cannot be installed leaves a file there with the reason, so that one peer does not keep the others from being
    timed.
    """
    with atomic_path(folder) as path:
        reason = why_failed(["pip", "install", "--no-deps", "--target", str(path), "-r", str(pins)])
        if reason is not None:
            path.mkdir(exist_ok=True)
            (path / FAILURE).write_text(reason)


def use(folder: str | Path) -> None:
    """Let packages of ``folder`` be imported, after those of the environment.

    Raises:
        ImportError: they could not be installed.
    """
    failure = Path(folder, FAILURE)
    if failure.is_file():
        raise ImportError(f"not installed: {failure.read_text()}")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
