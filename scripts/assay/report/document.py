"""The documentation's figures and tables, written from a run so that no page shows a number that nobody measured."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.report import gpu, tables
from assay.report.evidence import Student
from assay.report.figures import CAPTIONS
from assay.report.fine_tuning import FINE_TUNING
from assay.report.readme import write_figure
from assay.report.walkthrough import WALKTHROUGH
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path, sha256_file
from assay.workflow.markdown import table

FIGURES, PICTURE, GALLERY = "docs/figures.json", "docs/results.svg", "docs/gallery"
EXAMPLE = "docs/molten-salt.svg"
TABLES = tables.TABLES | WALKTHROUGH | FINE_TUNING
BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.S)
SHOWN = ("parity", "errors", "overview", "nve", "cutoff", "torsions", "vibrations", "energies", "benchmark")


def pages(root: str | Path) -> list[Path]:
    """The pages that may hold tables: the README and everything in ``docs/``."""
    return [Path(root) / "README.md", *sorted(Path(root).glob("docs/*.md"))]


def rooms(root: str | Path) -> str:
    """The rooms of the library from top to bottom, each with the first sentence of its docstring."""
    project = tomllib.loads((Path(root) / "pyproject.toml").read_text())
    [layers] = [c["layers"] for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    rows = []
    for room in layers:
        docstring = ast.get_docstring(ast.parse((Path(root) / f"scripts/assay/{room}/__init__.py").read_text())) or ""
        rows.append([f"`{room}`", " ".join(docstring.split("\n\n")[0].split())])
    return table(["room", "what lives there"], rows, left=2)


FROM_FILES = {"rooms": rooms, **gpu.TABLES}  # tables that are made from files of the repository


def filled(text: str, figures: Mapping[str, Any], page: str | Path, root: str | Path) -> str:
    """A page with the table of each of its markers written anew.

    Args:
        text: Markdown. A table stands between ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``, each on a
            line of its own, where NAME is a key of ``TABLES`` or of ``FROM_FILES``.
        figures: the content of ``docs/figures.json``.
        page: path of the page, for messages.
        root: folder of the repository, for the tables of ``FROM_FILES``.

    Raises:
        AssayError: a marker names no table, or has no end.
    """
    begun, ended = text.count("<!-- figures: "), text.count("<!-- end of figures -->")
    if not begun == ended == len(BLOCK.findall(text)):
        raise AssayError(f"{page} begins {begun} tables and ends {ended}: write both markers on lines of their own")

    def write(block: re.Match[str]) -> str:
        if block[2] not in TABLES | FROM_FILES:
            raise AssayError(f"{page} asks for the table {block[2]}, which does not exist: use one of {list(TABLES)}")
        written = FROM_FILES[block[2]](root) if block[2] in FROM_FILES else TABLES[block[2]](figures)
        return f"{block[1]}{written}\n{block[3]}"

    return BLOCK.sub(write, text)


def write_pages(root: str | Path, figures: Mapping[str, Any]) -> None:
    """Write the tables of every page, and then the picture of the README.

    Args:
        root: folder of the repository.
        figures: the content of ``docs/figures.json``.

    Raises:
        AssayError: a page has a marker that makes no sense, or the run has no times for the picture.
    """
    for page in pages(root):
        text = page.read_text()
        new = filled(text, figures, page, root)
        if new != text:
            with atomic_path(page) as temporary:
                temporary.write_text(new)
    write_figure(Path(root) / PICTURE, figures)


def make_gallery(root: str | Path, student: Student) -> dict[str, Any]:
    """Copy the report's figures of one student into ``docs/gallery/``, those that are small enough for a repository.

    Args:
        root: folder of the repository.
        student: the variant whose figures are shown.

    Returns:
        The name of the student, and of each file its SHA-256 and its caption.
    """
    folder = Path(root) / GALLERY
    for old in folder.glob("*"):
        old.unlink()
    found = {}
    drawn = {path.stem: path for path in (*student.folder.glob("*.svg"), *student.folder.glob("figures/*.svg"))}
    for name in SHOWN:
        if name in drawn:
            with atomic_path(folder / f"{name}.svg") as temporary:
                temporary.write_bytes(drawn[name].read_bytes())
            found[f"{name}.svg"] = {"sha256": sha256_file(drawn[name]), "caption": CAPTIONS[name]}
    return {"student": student.name, "files": found}
