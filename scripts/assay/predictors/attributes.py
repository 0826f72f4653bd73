"""The attributes of the predictors of exported files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.data.scope import Scope


def attributes(metadata: Mapping[str, Any], path: Path, runtime: str, device: str) -> dict[str, Any]:
    """Return the attributes of a ``BatchPredictor``, from what a file says about itself."""
    elements = metadata["elements"]
    return {
        "name": str(path),
        "runtime": runtime,
        "device": device,
        "dtype": "float32",
        "cutoff_A": float(metadata["cutoff_A"]),
        "max_z": int(metadata["max_z"]),
        "elements": None if elements is None else frozenset(elements),
        "scope": Scope.from_record(metadata.get("scope")),
    }
