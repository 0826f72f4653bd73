"""Reads what a text that is no JSON says of settings: YAML, the words of a command, or a printed object."""

from __future__ import annotations

import re
from typing import Any

from assay.checkpoint.sections import MAX_TEXT, as_dict

MAX_WORDS = 1000  # of a command
MAX_AROUND = 20  # keys around a setting that are kept
_FLAG = re.compile(r"(?<!-)--([a-zA-Z][\w./-]*)(?:=|\s+|$)")
_FLAG_ALONE = re.compile(r"--[^=\s]*")  # whose value is the next word
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
# A key, its sign, the first word of its value behind an anchor or a tag of YAML, and a bracket; or a bracket alone.
_SETTING = re.compile(
    r"(?<![\w./-])([\w./-]+)['\"]?[ \t]*([:=])[ \t]*(?:[&!](?!!python/name:)\S*(?:[ \t]+|$))?"
    r"(?:<(?:class|function) )?['\"]?((?:(?!-[a-zA-Z-])[\w.+$*!/-]+)?)([({\[]?)|[(){}\[\]]"
)
_JOINT = re.compile("[./]")
_OPENING = ("(", "[", "{")
_TABLE = re.compile(r"\[+([a-zA-Z_][\w.]*)\]+")  # of TOML and INI
_IN_BRACKETS = -1  # the indent of a key with a bracket behind it, which no line ends
_OF_TABLE = -2  # that of a table, which the next one ends


def settings_in_text(text: Any) -> dict[str, Any]:
    """The values that a text, or a list of the words of a command, gives, in dicts by their paths; none in JSON.

    A key lies around the lines of YAML that are indented further, and around what is in the brackets behind it, with
    the class before them as its "_target_". A table of TOML or INI lies around all up to the next one. A flag without
    a value is "true".
    """
    if isinstance(text, list) and len(text) <= MAX_WORDS and all(isinstance(word, str) for word in text):
        text = "\n".join(_rows(text))
    if not isinstance(text, str) or as_dict(text) is not None:
        return {}
    found: dict[str, Any] = {}
    around: list[tuple[int, str]] = []  # indents and keys
    for row in _FLAG.sub(r"\n\1=", text[:MAX_TEXT]).splitlines():
        line = _COMMENT.sub("", row).rstrip()
        if table := _TABLE.fullmatch(line):
            around = [(_OF_TABLE, table[1])]
            continue
        indent = len(line) - len(line.lstrip(" -"))
        while line and around and around[-1][0] >= indent:
            around.pop()
        for match in _SETTING.finditer(line):
            key, sign, value, bracket = match.groups()
            in_brackets = bool(around) and around[-1][0] == _IN_BRACKETS
            path = [it for _, it in around[:MAX_AROUND]] + ([key, "_target_"] if value and bracket else [key])
            if key and (value or (sign == "=" and not bracket)):
                _put(found, path, value or "true")
            if bracket or match[0] in _OPENING:
                around.append((_IN_BRACKETS, key or ""))
            elif key and not value and not in_brackets:
                around.append((indent, key))
            elif not key and in_brackets:
                around.pop()
    return found


def _rows(words: list[str]) -> list[str]:
    """The words of a command, each in a row of its own, or behind the flag that it is the value of."""
    rows: list[str] = []
    for word in words:
        if rows and _FLAG_ALONE.fullmatch(rows[-1]) and not word.startswith("--"):
            rows[-1] += f" {word}"
        else:
            rows.append(word)
    return rows


def _put(entries: dict[str, Any], keys: list[str], value: str) -> None:
    """Set a value in dicts of dicts, by keys that may be paths. A dict takes the place of a value, and keeps it."""
    *around, last = [part for key in keys for part in _JOINT.split(key) if part] or [""]
    for part in around:
        if not isinstance(entries.get(part), dict):
            entries[part] = {}
        entries = entries[part]
    if not isinstance(entries.get(last), dict):
        entries[last] = value
