"""The files that a calculator rests on: its arguments and environment name them, and its code may be the user's own."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.workflow.code import imports_of
from assay.workflow.config_layers import texts_in
from assay.workflow.errors import AssayError

INCLUDES = re.compile(r"(?:-r|-c|--requirement|--constraint)[ =]*(\S+)")
PACKAGES = (".whl", ".zip", ".tar.gz")


def calculator_files(variant: Mapping[str, Any] | None) -> list[str]:
    """The files that a calculator rests on, so that its results follow them.

    They are the files that its environment and its arguments name, all files in a folder that an argument names, and
    code in the working directory that is imported with it. ASE's argument ``directory``, where a calculator writes, is
    left out, and so are folders around the working directory, caches and hidden files.

    Args:
        variant: an entry of ``variants``, or a teacher; without a calculator it rests on no file.

    Raises:
        AssayError: a file has a name that Snakemake takes for wildcards.
    """
    if not variant or "calculator" not in variant:
        return []
    arguments = {name: value for name, value in (variant.get("arguments") or {}).items() if name != "directory"}
    found = [path for text in texts_in(arguments) for path in _files_of(Path(text))]
    found += environment_files(variant.get("environment"))
    names = list(dict.fromkeys(map(str, [*found, *_own_code(variant["calculator"])])))
    if bad := [name for name in names if set("{}") & set(name)]:
        raise AssayError(
            f"the calculator {variant['calculator']} rests on {bad[0]}, and {{ and }} are wildcards to Snakemake: "
            "rename the file or its folder"
        )
    return names


def environment_files(environment: str | Path | None) -> list[Path]:
    """The file of an environment and, of requirements, what it includes and the packages on the disk that it names.

    What pip or a compiler leaves beside the sources of a package is none of its files.
    """
    waiting, found = [Path(environment)] if environment is not None else [], []
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found.append(file)
        for line in [] if is_interpreter(file) else file.read_text(errors="replace").splitlines():
            text = re.split(r"(?:^|\s)#", line)[0].strip()
            if included := INCLUDES.match(text):
                waiting.append(file.parent / included[1])
            elif not text.startswith("-") or text.startswith(("-e", "--editable")):
                found += _packages_in(text)
    return list(dict.fromkeys(found))


def is_interpreter(path: str | Path) -> bool:
    """Whether the file of an environment is a Python interpreter, and not a requirements file."""
    return Path(path).suffix != ".txt" and os.access(path, os.X_OK)


def _packages_in(requirement: str) -> Iterator[Path]:
    """The files of a package that a requirement names by its path, such as ./wheels/mine.whl or -e ./mine[gpu]."""
    for word in re.split(r"[\s;=\[\]]+|file:(?://)?", requirement):
        if "/" in word or word.startswith(".") or word.endswith(PACKAGES):
            for path in _files_of(Path(word)):
                parts = path.relative_to(word).parts
                if parts[:1] != ("build",) and path.suffix != ".so" and not any(".egg-info" in part for part in parts):
                    yield path


def _own_code(module: str) -> list[Path]:
    """The files in the working directory that are imported with a module, be it itself or what others import.

    A package counts with all its files, since its code may read the others.
    """
    names, asked, packages, found = [module], set[str](), set[Path](), dict[Path, None]()
    while names:
        name = names.pop()
        if name in asked:
            continue
        asked.add(name)
        for place in _places_of(name, packages):
            if place not in found:
                found[place] = None
                names += _imported_by(place)
    return list(found)


def _places_of(name: str, packages: set[Path]) -> Iterator[Path]:
    """The files in the working directory that are imported for a dotted name, which may end with what is no module.

    The files of a package are listed once: it is added to ``packages``, and none of those that are there is listed.
    """
    folder = Path()
    for part in filter(None, name.split(".")):
        folder /= part
        if (folder / "__init__.py").is_file():
            if folder not in packages:
                packages.add(folder)
                yield from _files_of(folder)
            return
        if (code := folder.with_suffix(".py")).is_file():
            yield code


def _imported_by(path: Path) -> Iterator[str]:
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return  # whoever imports it says so
    yield from imports_of(tree, path.parts)


def _files_of(path: Path) -> list[Path]:
    """A file itself; all files of a folder but for caches and hidden ones, none of one around the current one."""
    if path.is_file():
        return [path]
    if not path.is_dir() or Path.cwd().is_relative_to(path.resolve()):
        return []
    return sorted(file for file in path.rglob("*") if file.is_file() and not _is_of_cache(file.relative_to(path)))


def _is_of_cache(path: Path) -> bool:
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)
