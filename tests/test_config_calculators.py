"""A calculator in the config rests on its files, its folders, its own code and what it requires."""

import re
import sys

import pytest

from assay.predictors.virtual_environments import content_of
from assay.workflow.calculator_files import calculator_files
from assay.workflow.errors import AssayError


def test_a_calculator_rests_on_its_files_folders_and_own_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("my.model", "folder/weights.bin", "folder/.cache/x", "mine.py", "scratch/log", "of_mine/__init__.py",
                 "of_mine/__pycache__/a.pyc", "of_mine/part.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    arguments = {"model_paths": ["my.model"], "folder": "folder", "directory": "scratch", "device": "cpu"}
    variant = {"calculator": "mine.Mine", "arguments": arguments}
    assert set(calculator_files(variant)) == {"my.model", "folder/weights.bin", "mine.py"}
    package = {"calculator": "of_mine.part.Mine", "environment": "my.model"}
    assert set(calculator_files(package)) == {"my.model", "of_mine/__init__.py", "of_mine/part.py"}
    assert calculator_files({"calculator": "ase.calculators.lj.LennardJones"}) == []
    monkeypatch.chdir(tmp_path / "scratch")
    for around in (".", "..", str(tmp_path)):
        assert calculator_files({"calculator": "a.A", "arguments": {"path": around}}) == []
    assert calculator_files({"calculator": "a.A", "arguments": {"path": "../folder"}}) == ["../folder/weights.bin"]


def test_a_file_behind_a_calculator_that_snakemake_takes_for_wildcards_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/a{1}.bin").touch()
    with pytest.raises(AssayError, match=re.escape("rests on models/a{1}.bin, and { and } are wildcards to Snakemake")):
        calculator_files({"calculator": "ase.calculators.emt.EMT", "arguments": {"folder": "models"}})


def test_own_code_is_followed_through_folders_that_are_no_packages_and_through_imports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = dict.fromkeys(["pots/beside.py", "pots/other.py", "of_mine/__init__.py", "of_mine/part.py"], "not Python")
    code |= dict.fromkeys(["of_mine/weights.bin", "far/away.py", "numpy.txt"], "")
    code["pots/mycalc.py"] = "from pots import near\nfrom . import beside\nimport helper as h, numpy, far.away"
    code["pots/near.py"] = "def later():\n    import of_mine.part"
    code["helper.py"] = "import pots.mycalc"
    for name, text in code.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert set(calculator_files({"calculator": "pots.mycalc.Mine"})) == code.keys() - {"pots/other.py", "numpy.txt"}


def test_an_environment_rests_on_what_its_requirements_include(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packages = [
        "-e ./mine[gpu]",
        "x @ file:wheels/x.whl ; python_version < '4'",
        "--find-links ./found",
        "# ./commented",
    ]
    named = dict.fromkeys(
        ["req/pins/lock.txt", "mine/pyproject.toml", "mine/mine.py", "wheels/x.whl", "packed.zip"], ""
    )
    named["req/m.txt"] = "\n".join(["-r base.txt  # more", "--constraint=pins/lock.txt", *packages, "ase==3.29"])
    named["req/base.txt"] = "-rm.txt\n./packed.zip"
    others = ["found/other.whl", "commented/a.py", "mine/build/mine.py", "mine/mine.egg-info/PKG-INFO", "mine/fast.so"]
    for name, text in [*named.items(), *((name, "") for name in others)]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    variant = {"calculator": "ase.calculators.emt.EMT", "environment": "req/m.txt"}
    assert set(calculator_files(variant)) == named.keys()
    before = content_of("req/m.txt")
    for name in named.keys() - {"req/m.txt"}:
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text + "# changed")
        assert content_of("req/m.txt") != before, name
        (tmp_path / name).write_text(text)
    assert content_of("req/m.txt") == before
    assert calculator_files(variant | {"environment": sys.executable}) == [sys.executable]
