"""The model that a command line names: a file, a variant of the config, or an ASE calculator."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.predictors.calculators import CalculatorModel, CalculatorPredictor
from assay.predictors.interface import Predictor, load_predictor
from assay.workflow.config import calculator_of, load_config
from assay.workflow.errors import AssayError
from assay.workflow.files import sha256_file
from assay.workflow.own_students import present
from assay.workflow.teachers import teacher_beside, teacher_of

ROOT = Path(__file__).parents[3]  # the folder with config/


@dataclass(frozen=True)
class NamedModel:
    """A model that a user named.

    Attributes:
        name: what reports and errors call it.
        path: its file; None for a calculator.
        calculator: the calculator; None for a file.
        options: further arguments of ``load_predictor`` for a checkpoint.
        teacher: the name of its teacher; None if it is unknown.
    """

    name: str
    path: Path | None = None
    calculator: CalculatorModel | None = None
    options: Mapping[str, Any] | None = None
    teacher: str | None = None

    def load(self, device: str = "cpu", threads: int | None = None, dtypes: tuple[str, ...] = ("float32",)) -> Any:
        """Load it in each of the precisions; a calculator, which has its own, is the same in all of them.

        Returns:
            A list of predictors.

        Raises:
            AssayError: it cannot be loaded.
        """
        if self.calculator is not None:
            return [CalculatorPredictor(self.calculator, self.name, threads)] * len(dtypes)
        assert self.path is not None
        options = {"device": device, "threads": threads, **(self.options or {})}
        return [load_predictor(self.path, dtype=dtype, **options) for dtype in dtypes]

    def record(self, predictor: Predictor) -> dict[str, Any]:
        """What a JSON says of it: its file and its checksum, or its calculator and the versions of its environment."""
        about: dict[str, Any] = {"model": self.name, "runtime": predictor.runtime}
        if self.path is not None:
            return about | {"model": str(self.path), "model_sha256": sha256_file(self.path)}
        assert isinstance(predictor, CalculatorPredictor)
        return about | asdict(predictor.model) | {"versions": predictor.told["versions"]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``named_model``, the positional ``model`` among them, to a parser."""
    parser.add_argument(
        "model",
        nargs="?",
        help="a model file (.safetensors, .pt, .pth, .ckpt, .onnx, .pt2), or the name of a variant of the config",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="what to change of the config, in YAML")
    calculator = parser.add_argument_group("a model of another program, in place of a file")
    calculator.add_argument("--calculator", metavar="MODULE.CLASS", help="its ASE calculator")
    calculator.add_argument("--arguments", metavar="JSON", default="{}", help="keyword arguments of the calculator")
    calculator.add_argument("--environment", metavar="FILE", help="a requirements file or a Python interpreter")


def named_model(options: argparse.Namespace) -> NamedModel:
    """The model that the arguments of ``add_arguments`` name.

    Raises:
        AssayError: they name none or two, or what they say of it is not right.
    """
    if options.calculator is not None:
        if options.model is not None:
            raise AssayError(f"both {options.model} and --calculator {options.calculator} name a model: leave one out")
        return NamedModel(
            options.calculator,
            calculator=CalculatorModel(options.calculator, _arguments(options.arguments), options.environment),
        )
    if options.model is None:
        raise AssayError("no model is named: give its file, the name of a variant of the config, or --calculator")
    if Path(options.model).is_file() or {".", "/"} & {*options.model}:  # which no name of a variant has
        return NamedModel(options.model, Path(options.model), teacher=teacher_beside(options.model))
    config = load_config(ROOT / "config", *([options.config] if options.config else []))
    variants = present(config["variants"])
    if options.model not in variants:
        raise AssayError(
            f"there is no file {options.model}, and no variant of the config has that name: check the path, or name "
            f"one of {', '.join(variants)}"
        )
    variant = variants[options.model]
    teacher = teacher_of(variant, config["teacher"])["name"]
    if "calculator" in variant:
        return NamedModel(options.model, calculator=CalculatorModel(**calculator_of(variant)), teacher=teacher)
    chosen = {key: variant[key] for key in ("cutoff_A", "weights", "units") if key in variant}
    return NamedModel(options.model, Path(variant["checkpoint"]), options=chosen, teacher=teacher)


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except ValueError as error:
        raise AssayError(f"--arguments is no JSON ({error}): write it as '{{\"name\": value}}'") from None
    if not isinstance(arguments, dict):
        raise AssayError("--arguments is no JSON object: write it as '{\"name\": value}'")
    return arguments
