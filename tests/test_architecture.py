"""The rooms of the library: imports go down only, each room says what may enter, and no test file enters another."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assay import runtime

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "scripts/assay"
ROOMS = sorted(folder for folder in LIBRARY.iterdir() if (folder / "__init__.py").is_file())


def lint_imports(tree):
    """import-linter on the library in ``tree``, with the contracts of its pyproject.toml."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree / "scripts")},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def tree(tmp_path):
    """A copy of the library and its contracts."""
    shutil.copytree(LIBRARY, tmp_path / "scripts/assay", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_go_down_only():
    linted = lint_imports(ROOT)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("structures/batching.py", "from assay.models.graph import EdgeGraph"),
        ("physics/base.py", "from assay.report import wording"),
        ("runtime/session.py", "import torch"),
        ("runtime/scope.py", "from assay.workflow import errors"),
        ("basement/__init__.py", ""),
    ],
)
def test_an_import_that_goes_up_and_a_room_without_a_place_are_found(tree, module, line):
    path = tree / "scripts/assay" / module
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n{line}\n")
    assert lint_imports(tree).returncode != 0


def test_no_module_lies_outside_a_room():
    assert [path.name for path in LIBRARY.glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_room_says_what_lives_there_and_what_may_enter(room):
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    assert "\n\n" in text
    assert "enter" in text


def test_what_the_runtime_offers_is_imported_when_it_is_asked_for():
    heavy = "sorted(sys.modules.keys() & {'ase', 'numpy', 'vesin', 'torch'})"
    lines = f"import sys, assay.runtime as offered\nprint({heavy}, offered.MODEL.name, {heavy})"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    found = subprocess.check_output([sys.executable, "-c", lines], env=environment)
    assert found.decode().split() == ["[]", "model.assay", "['numpy']"]
    assert [getattr(runtime, name).__name__ for name in runtime.__all__ if name[1].islower()] == [
        "EngineStudent", "Result", "StudentCalculator", "VerletList", "open_student",
    ]  # fmt: skip
    assert runtime.OnnxStudent.__name__ == "OnnxStudent"
    assert {*runtime.__all__, "OnnxStudent"} <= {*dir(runtime)}
    with pytest.raises(AttributeError, match="has no attribute 'open_students'"):
        _ = runtime.open_students


def modules_imported_by(path):
    """The full name of each module that a file imports, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{name.name}" for name in node.names)


def test_no_file_imports_a_test_file():
    """What several test files need lives in tests/shared."""
    imported = {
        (path.name, module)
        for path in (ROOT / "tests").rglob("*.py")
        for module in modules_imported_by(path)
        if any(part.startswith("test_") for part in module.split("."))
    }
    assert imported == set()
