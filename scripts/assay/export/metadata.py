"""What an exported file says about itself, so that it can be used without anything beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ase.data

from assay.models import Potential

UNITS = {"energy": "eV", "forces": "eV/angstrom", "positions": "angstrom", "virial": "eV"}


def export_metadata(model: Potential, card: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of an exported file, of plain types.

    What is in doubt of the student is among it, where there is something.

    Args:
        model: the network.
        card: the content of ``model.json``.
    """
    symbols = card.get("elements")
    doubts = {"doubts": card["doubts"]} if card.get("doubts") else {}
    return doubts | {
        "variant": card["variant"],
        "checkpoint_sha256": card["checkpoint_sha256"],
        "architecture": model.architecture,
        "hyperparameters": model.hyperparameters,
        "cutoff_A": model.cutoff,
        "max_z": model.max_z,
        "elements": None if symbols is None else [ase.data.atomic_numbers[symbol] for symbol in symbols],
        "scope": card.get("scope"),
        "units": UNITS,
    }
