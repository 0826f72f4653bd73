"""The code that a script runs, as one digest: what tells Snakemake that results were made by other code.

A script runs the modules of this library that it imports, directly or through others, at the top of a file or inside a
function. Docstrings, comments and layout do not count.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

# Comments of C++, or a string, which may hold //.
COMPILED = re.compile(r'//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\\n])*")', re.S)


def code_digest(script: Path, library: Path) -> str:
    """Return a SHA-256, in hexadecimal, of what a script runs.

    Args:
        script: the script.
        library: the folder that the script imports packages from. A file of another kind beside a module, such as C++
            or a template, belongs to all modules of its folder.

    Raises:
        SyntaxError: the script or one of its modules is not Python.
    """
    modules = _modules(library)
    waiting, found = [script], {script}
    while waiting:
        for name in _read(waiting.pop(), library).imports:
            new = [path for path in _run_by(name, modules) if path not in found]
            found.update(new)
            waiting += new
    files = {path: _read(path, library).digest for path in found}
    for folder in {path.parent for path in found if path.name == "__init__.py"}:
        files |= {path: _digest_of_file(path) for path in _other_files(folder)}
    lines = sorted(f"{path.relative_to(library)} {digest}" for path, digest in files.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Module:
    """A file of Python: a digest of what it does, and the names of what it may import."""

    def __init__(self, path: Path, library: Path):
        tree = ast.parse(path.read_bytes(), str(path))
        self.imports = set(_imports(tree, path.relative_to(library).parts))
        for node in ast.walk(tree):
            _drop_docstring(node)
        self.digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()


_read = functools.cache(_Module)


@functools.cache
def _modules(library: Path) -> dict[str, Path]:
    """The file of each module below a folder, by the module's name."""
    names = {path: path.relative_to(library).with_suffix("").parts for path in sorted(library.rglob("*.py"))}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for path, parts in names.items()}


def _run_by(name: str, modules: dict[str, Path]) -> Iterator[Path]:
    """The files that run when a name is imported: the module, and the packages that it lies in."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        path = modules.get(".".join(parts[:end]))
        if path is not None:
            yield path


def _imports(tree: ast.Module, place: tuple[str, ...]) -> Iterator[str]:
    """Every name that may be a module: those of import statements, and text that is spelled like one.

    Backends and peers are imported by names that stand in a table.

    Args:
        tree: the content of a file.
        place: the parts of its path from the library on, to which relative imports refer.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*(place[: -node.level] if node.level else ()), *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("assay."):
            yield node.value


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node):
        node.body[0] = ast.Pass()


@functools.cache
def _other_files(package: Path) -> list[Path]:
    """What belongs to a package and is not Python, but for what Python itself writes there."""
    return [
        path
        for path in package.rglob("*")
        if path.is_file()
        and path.suffix not in (".py", ".pyc")
        and not path.name.startswith(".")
        and next(folder for folder in path.parents if (folder / "__init__.py").is_file()) == package
    ]


@functools.cache
def _digest_of_file(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix in (".cpp", ".h"):
        text = COMPILED.sub(lambda match: match[1] or " ", content.decode())
        content = " ".join(text.split()).encode()
    return hashlib.sha256(content).hexdigest()
