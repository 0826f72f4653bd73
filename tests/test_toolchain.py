"""The C++ compiler: one that works is found, its absence is said, and what it builds is built once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.engine import toolchain
from assay.export import aotinductor
from assay.workflow.errors import AssayError
from shared.workflow_copy import ROOT

BROKEN = "#!/bin/sh\nexit 1\n"


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def found(monkeypatch):
    """Looks for a compiler as a new process with this PATH and CXX would."""

    def find(path, cxx=""):
        monkeypatch.setenv("PATH", str(path))
        monkeypatch.setenv("CXX", str(cxx))
        toolchain.compiler.cache_clear()
        return toolchain.compiler()

    yield find
    toolchain.compiler.cache_clear()


def test_a_compiler_that_does_not_compile_is_passed_over(tmp_path, found):
    works = "#!/bin/sh\nexit 0\n"
    program(tmp_path / "g++", BROKEN)
    clang = program(tmp_path / "clang++", works)
    assert found(tmp_path) == str(clang)
    own = program(tmp_path / "mine", works)
    assert found(tmp_path, own) == str(own)
    assert found(tmp_path, program(tmp_path / "mine", BROKEN)) == str(clang)
    program(tmp_path / "clang++", "no program at all")
    assert found(tmp_path) is None


def test_without_a_compiler_compiled_files_are_one_sentence(tmp_path, found):
    program(tmp_path / "g++", BROKEN)
    assert found(tmp_path) is None
    [reason] = toolchain.missing_files().values()
    assert "that works on this machine: install one" in reason
    with pytest.raises(AssayError, match=r"model\.pt2 cannot be made: no C\+\+ compiler"):
        aotinductor.save(None, tmp_path / "model.pt2", {})


def test_temporary_files_lie_where_no_path_holds_a_space(tmp_path, monkeypatch):
    spaced = tmp_path / "a folder"
    spaced.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spaced))
    monkeypatch.setenv("TMPDIR", str(spaced))
    with aotinductor._temporary_folder():
        assert " " not in os.environ["TMPDIR"]
    assert os.environ["TMPDIR"] == str(spaced)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(AssayError, match="set TMPDIR to another"), aotinductor._temporary_folder():
        pass


@pytest.mark.slow
def test_processes_with_an_empty_cache_build_the_engine_once(tmp_path):
    compiler = program(
        tmp_path / "compiler",
        '#!/bin/sh\ncase "$*" in *-print-prog-name*) echo true;;\n'
        f'*-shared*) echo built >> "{tmp_path}/calls"; sleep 1\n'
        'while [ "$1" != -o ]; do shift; done; touch "$2";; esac\n',
    )
    code = "from assay.engine.library import library; library()"
    environment = os.environ | {
        "CXX": str(compiler),
        "XDG_CACHE_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT / "scripts"),
    }
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL) for _ in range(3)
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert Path(tmp_path, "calls").read_text() == "built\n"
