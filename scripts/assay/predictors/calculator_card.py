"""What is written down of an ASE calculator: how it is made again, and its identity card."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from assay.predictors.calculators import CalculatorPredictor
from assay.workflow.files import sha256_file
from assay.workflow.provenance import header

_REASON = "an ASE calculator runs code of its own, which Assay does not rebuild"
NOT_APPLICABLE = dict.fromkeys(("engine", "export", "quantization", "package"), _REASON)


def description_of(variant: str, predictor: CalculatorPredictor, files: Iterable[Path]) -> dict[str, Any]:
    """The content of ``calculator.json``: it changes with all that the results of a calculator rest on.

    Args:
        variant: the name of the variant.
        predictor: the calculator.
        files: the files that it rests on, see ``assay.workflow.calculator_files``.
    """
    return {
        "variant": variant,
        **asdict(predictor.model),
        "versions": predictor.told["versions"],
        "files_sha256": {str(path): sha256_file(path) for path in files},
    }


def card_of(variant: str, predictor: CalculatorPredictor, description: str | Path, device: str) -> dict[str, Any]:
    """The content of ``model.json``, with the branches that are not applicable and why.

    Args:
        variant: the name of the variant.
        predictor: the calculator.
        description: its ``calculator.json``, whose checksum stands for the model.
        device: the device of the workflow.
    """
    told, elements = predictor.told, predictor.elements
    return header(variant, sha256_file(description), device) | {
        "architecture": predictor.model.calculator,
        "calculator": predictor.model.calculator,
        "arguments": dict(predictor.model.arguments),
        "environment": {"path": predictor.model.environment, "versions": told["versions"]},
        "n_parameters": told.get("n_parameters"),
        "dtype": predictor.dtype,
        "cutoff_A": predictor.model.cutoff_A or told.get("cutoff_A"),
        "gives_stress": bool(told.get("stress")),
        "elements": None if elements is None else [chemical_symbols[z] for z in sorted(elements)],
        "not_applicable": NOT_APPLICABLE,
    }
