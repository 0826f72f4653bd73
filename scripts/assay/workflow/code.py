"""The code that a script runs, as one digest: what tells Snakemake that results were made by other code.

A script runs the modules of this library that it imports, directly or through others, at the top of a file or inside a
function. Docstrings, comments and layout do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import re
import site
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple, TypeGuard

from assay.workflow.errors import AssayError
from assay.workflow.files import cache_folder, write_json

MOST_KEPT = 10_000  # files of Python; then what is known of them begins anew

# Comments of C++, or a string, which may hold //.
COMPILED = re.compile(r'//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\\n])*")', re.S)

NAMED = re.compile(r"^(?:from |import )?(assay\.[\w.]+)", re.M)  # text that is spelled like a module, or imports one


def code_digest(script: Path, library: Path) -> str:
    """Return a SHA-256, in hexadecimal, of what a script runs.

    Args:
        script: the script.
        library: the folder that the script imports packages from. A file of another kind beside a module, such as C++
            or a template, belongs to all modules of its folder; so does Python in a folder that is no package.

    Raises:
        SyntaxError: the script or one of its modules is not Python.
    """
    waiting, found = [script], {script}
    while waiting:
        new = _run_by(waiting.pop(), library) - found
        found |= new
        waiting += new
    lines = [_line(path, library) for path in found]
    _keep()
    for folder in {path.parent for path in found if path.name == "__init__.py"}:
        lines += _other_lines(folder, library)
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def require_only_library(library: Path) -> None:
    """Refuse a second package of the name of this one that a job would import in its place.

    Snakemake puts the folder of a script behind all others that Python searches, so a job first takes what PYTHONPATH
    names and what is installed, while plans and digests are those of ``library``.

    Raises:
        AssayError: there is such a package, or the process plans by that of another checkout already.
    """
    here = Path(__file__).parents[1]
    if not here.samefile(library / here.name):
        raise AssayError(
            f"one workflow takes rules of two checkouts, {here.parents[1]} and {library.parent}, whose jobs would all "
            "run the code of one: take both modules from one checkout, or run two workflows"
        )
    named = os.environ.get("PYTHONPATH")
    searched = [*(named.split(os.pathsep) if named else []), *site.getsitepackages()]
    searched += [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    found = PathFinder.find_spec(here.name, [folder or "." for folder in searched])
    if found and found.origin and not here.samefile(folder := Path(found.origin).parent):
        raise AssayError(
            f"{folder} is another package of the name {here.name}, which jobs would run in place of {here}: take it "
            "out of PYTHONPATH, or uninstall it"
        )


class _Module:
    """A file of Python: a digest of what it does, and the names of what it may import."""

    def __init__(self, path: Path, library: Path):
        tree = ast.parse(path.read_bytes(), str(path))
        self.imports = set(imports_of(tree, path.relative_to(library).parts))
        for node in ast.walk(tree):
            _drop_docstring(node)
        self.digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()


class _Known(NamedTuple):
    """What is known of a file of Python; as in ``_Module``."""

    imports: list[str]
    digest: str


@functools.cache
def _read(path: Path, library: Path) -> _Known:
    """Parse a file, unless one of equal content in the same place was parsed before, by this process or another."""
    key = hashlib.sha256(f"{path.relative_to(library)}\n".encode() + path.read_bytes()).hexdigest()
    if key not in _kept():
        parsed = _Module(path, library)
        _kept()[key] = _Known(sorted(parsed.imports), parsed.digest)
        _new.add(key)
    return _kept()[key]


_new: set[str] = set()  # keys of what this process has parsed and not yet kept


def _store() -> Path:
    """The file of what is known, for this version of Python and of this module."""
    version = hashlib.sha256(sys.version.encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    return cache_folder("code") / f"{version}.json"


@functools.cache
def _kept() -> dict[str, _Known]:
    """What is known of files by the hash of their place and content; nothing if that cannot be read."""
    try:
        known = json.loads(_store().read_text())
        return {key: _Known(*said) for key, said in known.items()} if len(known) < MOST_KEPT else {}
    except (AssayError, OSError, ValueError, TypeError, AttributeError):
        return {}


def _keep() -> None:
    """Keep what was parsed for the next planning, where that can be written."""
    if _new:
        with suppress(AssayError):
            write_json(_store(), _kept())
        _new.clear()


@functools.cache
def _modules(library: Path) -> dict[str, Path]:
    """The file of each module below a folder, by the module's name."""
    names = {path: path.relative_to(library).with_suffix("").parts for path in sorted(library.rglob("*.py"))}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for path, parts in names.items()}


@functools.cache
def _run_by(path: Path, library: Path) -> frozenset[Path]:
    """The files that run when a file does: of each name that it imports the module, and the packages around it."""
    modules = _modules(library)
    names = [name.split(".") for name in _read(path, library).imports]
    places = {tuple(parts[:end]) for parts in names for end in range(1, len(parts) + 1)}
    return frozenset(modules[place] for place in map(".".join, places) if place in modules)


def imports_of(tree: ast.Module, place: tuple[str, ...]) -> Iterator[str]:
    """Every name that may be a module: those of import statements that may run, and text that is spelled like one.

    Backends and peers are imported by names that stand in a table, and a program of another process may stand in text.

    Args:
        tree: the content of a file.
        place: the parts of its path from the library on, to which relative imports refer.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        waiting += node.orelse if _is_for_types(node) else ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*(place[: -node.level] if node.level else ()), *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from NAMED.findall(node.value)


def _is_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    """Whether a statement is ``if TYPE_CHECKING:``, which never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node):
        node.body[0] = ast.Pass()


@functools.cache
def _line(path: Path, library: Path) -> str:
    """The place of a file of Python and the digest of what it does."""
    return f"{path.relative_to(library)} {_read(path, library).digest}"


@functools.cache
def _other_lines(package: Path, library: Path) -> list[str]:
    """The places and digests of what belongs to a package and is no module of it, but for what Python itself writes."""
    return [
        f"{path.relative_to(library)} {_digest_of_file(path)}"
        for path in package.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and (path.suffix != ".py" or not (path.parent / "__init__.py").is_file())
        and not path.name.startswith(".")
        and next(folder for folder in path.parents if (folder / "__init__.py").is_file()) == package
    ]


def _digest_of_file(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix in (".cpp", ".h"):
        text = COMPILED.sub(lambda match: match[1] or " ", content.decode())
        content = " ".join(text.split()).encode()
    return hashlib.sha256(content).hexdigest()
