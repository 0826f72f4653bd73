"""The JSON schema of the config, which completes error sentences and helps editors.

``python -m assay.workflow.config_schema FILE`` writes it for editors; see ``make format``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from assay.workflow.config_models.whole import Config


@cache
def config_schema() -> dict[str, Any]:
    """The JSON schema that the models of the config give, as one dictionary."""
    return Config.model_json_schema()


def schema_at(path: Iterable[str | int]) -> dict[str, Any]:
    """The part of the schema for the key at ``path``, and {} where any value is accepted.

    Args:
        path: keys, and indices of lists, from the top of the config.
    """
    schema = config_schema()
    for part in path:
        schema = _resolved(schema)
        patterns = list(schema.get("patternProperties", {}).values())
        below = schema.get("properties", {}).get(part) or schema.get("items") or schema.get("additionalProperties")
        schema = below if isinstance(below, dict) else patterns[0] if patterns else {}
    return schema


def types_at(path: Iterable[str | int]) -> list[str]:
    """The JSON types that the key at ``path`` may have, such as ["integer", "null"]; empty if any value is accepted."""
    schema = schema_at(path)
    options = [_resolved(option) for option in schema.get("anyOf", [schema])]
    return [option["type"] for option in options if "type" in option]


def choices_at(path: Iterable[str | int]) -> list[str]:
    """The words that the key at ``path`` may be; empty if it is no choice of words."""
    schema = _resolved(schema_at(path))
    return schema.get("enum", [schema["const"]] if "const" in schema else [])


def keys_at(path: Iterable[str | int]) -> list[str]:
    """The names of the keys that a section may have."""
    return list(_resolved(schema_at(path)).get("properties", {}))


def names_at(path: Iterable[str | int]) -> list[str]:
    """The names that may stand in the set of keys at ``path``; empty if they are free."""
    return _resolved(schema_at(path)).get("propertyNames", {}).get("enum", [])


def editor_schema() -> str:
    """The schema as a file for editors, one section a line; no key is required, since a file may hold any part."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without_demands(config_schema())}
    sections = ",\n".join(f"{json.dumps(name)}: {json.dumps(part)}" for name, part in schema.pop("$defs").items())
    return f'{json.dumps(schema)[:-1]}, "$defs": {{\n{sections}\n}}}}\n'


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """What a schema refers to, or its alternative to null."""
    for option in schema.get("anyOf", []):
        if option.get("type") != "null":
            return _resolved(option)
    if "$ref" in schema:
        return config_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _without_demands(schema: Any, is_section: bool = True) -> Any:
    """A copy without required keys, defaults and generated titles; below ``properties`` these words are keys."""
    if isinstance(schema, list):
        return [_without_demands(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = {"required", "default", "title"} if is_section else set()
    return {
        key: _without_demands(part, key not in ("properties", "$defs"))
        for key, part in schema.items()
        if key not in dropped
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(editor_schema())
