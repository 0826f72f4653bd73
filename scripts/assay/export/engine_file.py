"""``model.assay``, the file of the compiled engine and of every program that uses it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.engine.model_file import to_bytes
from assay.models import Potential
from assay.workflow.files import atomic_path


def save(model: Potential, path: str | Path, metadata: Mapping[str, Any]) -> None:
    """Write a model file, atomically.

    Args:
        model: the network. One that the engine does not compute gives a file that says so.
        path: where the file goes.
        metadata: the result of ``export_metadata``, which has the atomic numbers that the network was trained on.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(to_bytes(model, metadata, metadata["elements"]))
