"""What is wrong with a config, in one sentence that names the key."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails

from assay.workflow.config_schema import choices_at, keys_at, names_at, schema_at, types_at
from assay.workflow.errors import printable

LONGEST_VALUE = 200  # characters of a bad value that are quoted

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
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "string_too_short": "text of at least {min_length} character(s)",
    "string_pattern_mismatch": "of the form {pattern}",
    "finite_number": "a finite number",
    "value_error": "{error}",
}
_LENGTHS = {"List": "a list of {} {} item(s)", "Dictionary": "a set of {} {} key(s)"}
_UNKNOWN = ("extra_forbidden", "invalid_key")


def most_telling(errors: Sequence[ErrorDetails]) -> ErrorDetails:
    """The error that explains most: an unknown key, since it may be why another is missing, or else the shallowest."""
    return min(errors, key=lambda error: (error["type"] not in _UNKNOWN, len(error["loc"])))


def sentence(error: ErrorDetails) -> str:
    """One error of a model of the config in plain words."""
    path = error["loc"]
    if error["type"] in _UNKNOWN:
        return f"{_where(path)} is not a known key; {_suggestion(path)}"
    if error["type"] == "missing":
        return f"{_where(path[:-1])} lacks the key `{path[-1]}`"
    if path[-1:] == ("[key]",):
        name, holder = printable(repr(path[-2]), LONGEST_VALUE), _where(path[:-2])
        if error["type"] == "literal_error":
            return f"{name} cannot be a name in {holder}; {nearest(path[-2], names_at(path[:-2]))}"
        return f"{name} cannot be a name in {holder}: use letters, digits, - and _, and no reserved name"
    description = schema_at(path).get("description")
    meaning = f" ({description})" if description else ""
    value = printable(json.dumps(error["input"], default=str, ensure_ascii=False), LONGEST_VALUE)
    return f"{_where(path)}{meaning} is {value}, but must be {_wanted(error)}"


def _where(path: Sequence[str | int]) -> str:
    return f"`{printable('.'.join(map(str, path)), LONGEST_VALUE)}`" if path else "it"


def _wanted(error: ErrorDetails) -> str:
    """What a value must be, to follow "must be"."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        return f"one of {', '.join(map(str, choices_at(error['loc'])))}"
    if kind in ("too_short", "too_long"):
        bound, length = ("at least", "min_length") if kind == "too_short" else ("at most", "max_length")
        return _LENGTHS[context["field_type"]].format(bound, context[length])
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    return " or ".join(_TYPE_NAMES[name] for name in types_at(error["loc"]))


def nearest(name: str | int, known: Sequence[str], what: str = "names") -> str:
    """The known name that looks most like another one, or all of them."""
    if close := difflib.get_close_matches(str(name), known, n=1):
        return f"did you mean `{close[0]}`?"
    return f"known {what} are {', '.join(sorted(known))}"


def _suggestion(path: Sequence[str | int]) -> str:
    """The known key that looks most like the last one of ``path``, a section below that has it, or all known keys."""
    key, known = str(path[-1]), keys_at(path[:-1])
    section = next((name for name in known if key in keys_at((*path[:-1], name))), None)
    if section and not difflib.get_close_matches(key, known, n=1):
        return f"it is one of `{section}`: write `{section}: {{{key}: ...}}`"
    return nearest(key, known, "keys")


def text_may_be(error: ErrorDetails, value: Any) -> bool:
    """Whether ``value`` has a type that is right where a value of a wrong one stands."""
    types = types_at(error["loc"])
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, int):
        return bool({"integer", "number"} & {*types})
    names = {float: "number", str: "string", list: "array", dict: "object", type(None): "null"}
    return names.get(type(value)) in types
