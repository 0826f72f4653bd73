"""The workflow's config, checked strictly: a bad value is one sentence, before any job is planned."""

from __future__ import annotations

import difflib
import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match
from snakemake.utils import update_config

from assay.workflow.errors import AssayError

Value = TypeVar("Value")

_TYPE_NAMES = {
    "object": "a set of keys",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "text of at least {} character(s)",
    "minItems": "a list of at least {} item(s)",
    "minProperties": "a set of at least {} key(s)",
    "pattern": "of the form {}",
}


def check_config(config: dict[str, Any], schema_path: str | Path) -> None:
    """Compare ``config`` with the JSON schema in the YAML file ``schema_path``.

    Snakemake hands over every scalar inside ``--config key={...}`` as text, so text where the schema wants another
    scalar is first read as one, in place.

    Raises:
        AssayError: naming the most telling key that does not fit, its value, and what would.
    """
    validator = Draft202012Validator(yaml.safe_load(Path(schema_path).read_text()))
    for error in validator.iter_errors(config):
        if error.validator == "type" and isinstance(error.instance, str):
            _read_scalar(config, error)
    error = best_match(validator.iter_errors(config))
    if error is not None:
        raise AssayError(f"the config cannot be used: {_sentence(error)}")
    for section in (config["variants"], config["dataset"]["splits"]):
        if not present(section):
            raise AssayError("the config cannot be used: all variants or all splits are null; keep at least one")


def load_config(folder: str | Path, override: str | Path | None = None) -> dict[str, Any]:
    """The checked config of a folder with ``config.yaml`` and ``schema.yaml``, for scripts that run without Snakemake.

    Args:
        folder: of both files.
        override: a YAML file whose keys replace those of the default, as with ``--configfile``.

    Raises:
        AssayError: a file is missing or is not YAML, or as ``check_config`` does.
    """
    config: dict[str, Any] = {}
    for path in (Path(folder, "config.yaml"), override):
        if path is None:
            continue
        try:
            content = yaml.safe_load(Path(path).read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise AssayError(f"{path} cannot be read as a config ({reason}): correct it") from None
        if not isinstance(content, dict):
            raise AssayError(f"{path} holds no keys of a config: see {Path(folder, 'config.yaml')}")
        update_config(config, content)
    check_config(config, Path(folder, "schema.yaml"))
    return config


def present(entries: Mapping[str, Value | None]) -> dict[str, Value]:
    """The entries that are not null: null in an override removes an entry of the default config.

    Inside ``--config key={...}`` Snakemake hands null over as text.
    """
    return {name: value for name, value in entries.items() if value not in (None, "null")}


def resolve_device(wanted: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` is a GPU where its driver answers and torch was built for it.

    Asks without importing torch, which would slow each planning of the workflow down by seconds.
    """
    if wanted != "auto":
        return wanted
    if version("torch").endswith("+cpu") or shutil.which("nvidia-smi") is None:
        return "cpu"
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True)
    return "cuda" if answer.returncode == 0 and answer.stdout else "cpu"


def _read_scalar(config: dict[str, Any], error: ValidationError) -> None:
    """Replace text of the wrong type by the scalar that it spells, if that one is of the right type."""
    *parents, key = error.absolute_path
    holder: Any = config
    for parent in parents:
        holder = holder[parent]
    for value in _spelled(error.instance):
        if Draft202012Validator({"type": error.validator_value}).is_valid(value):
            holder[key] = value
            return


def _spelled(text: str) -> Iterator[Any]:
    """What ``text`` may spell: YAML, or a number like 1e-4, which YAML takes for text."""
    with suppress(yaml.YAMLError):
        yield yaml.safe_load(text)
    with suppress(ValueError):
        yield float(text)


def _sentence(error: ValidationError) -> str:
    """One schema violation in plain words."""
    path = [str(part) for part in error.absolute_path]
    where = f"`{'.'.join(path)}`" if path else "it"
    if error.validator == "additionalProperties":
        key = next(key for key in error.instance if key not in error.schema["properties"])
        return f"`{'.'.join([*path, key])}` is not a known key; {_suggestion(key, error.schema['properties'])}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{where} lacks the key `{missing}`"
    if "propertyNames" in error.absolute_schema_path:
        return f"{error.instance!r} cannot be a name in {where}: use letters, digits, - and _, and no reserved name"
    description = error.schema.get("description")
    meaning = f" ({description})" if description else ""
    return f"{where}{meaning} is {json.dumps(error.instance, default=str)}, but must be {_wanted(error)}"


def _wanted(error: ValidationError) -> str:
    """What a violated keyword asks for, to follow "must be"."""
    value = error.validator_value
    if error.validator == "type":
        return " or ".join(_TYPE_NAMES[name] for name in ([value] if isinstance(value, str) else value))
    if error.validator == "enum":
        return f"one of {', '.join(map(str, value))}"
    if error.validator in _BOUNDS:
        return _BOUNDS[error.validator].format(value)
    return f"otherwise: {error.message}"


def _suggestion(key: str, known: Iterable[str]) -> str:
    """The known key that looks most like ``key``, or all known keys."""
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known keys are {', '.join(sorted(known))}"
