"""The attributes of the predictors of exported files, and what is in doubt of a model in any form."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from assay.data.scope import Scope


def attributes(metadata: Mapping[str, Any], path: Path, runtime: str, device: str) -> dict[str, Any]:
    """Return the attributes of a ``BatchPredictor``, from what a file says about itself.

    What that says to be in doubt goes to the standard error.
    """
    say_doubts(str(path), metadata.get("doubts", []))
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


def say_doubts(name: str, doubts: Sequence[str]) -> None:
    """Print to the standard error what is in doubt of a model, once for all precisions."""
    for doubt in doubts:
        _say_once(f"{name}: {doubt}")


@cache
def _say_once(line: str) -> None:
    print(line, file=sys.stderr)
