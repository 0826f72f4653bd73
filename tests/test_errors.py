"""A user's mistake is one sentence; a bug keeps its traceback; both are in the log."""

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assay.engine.library import library_path
from assay.workflow import code
from assay.workflow.errors import INTERRUPTED, AssayError, printable
from assay.workflow.files import cache_folder

SCRIPTS = Path(__file__).parents[1] / "scripts"
BODIES = {
    "success": "pass",
    "mistake": "raise AssayError('the file is empty, in a.pt: save it again')",
    "bug": "1 / 0",
    "interrupted": "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell may ignore it
    "signal.raise_signal(signal.SIGINT)",
    "unread": "print('lines ' * 100_000)",
}
SENTENCE = "Error: the file is empty, in a.pt: save it again"


@pytest.fixture
def script():
    """Run a script whose body ends as named, with a log or without; the finished process."""

    def run(body, log=None, **streams):
        code = f"""
import os
from assay.workflow.errors import AssayError, exit_on_error
with exit_on_error({log!r}):
    print("from Python")
    os.system("echo from a library")
    {BODIES[body]}
print("after")
"""
        environment = os.environ | {"PYTHONPATH": "scripts"}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        return subprocess.run([sys.executable, "-c", code], text=True, env=environment, **streams)

    return run


def test_the_cache_is_where_the_user_says_and_without_a_home_nowhere(monkeypatch, tmp_path):
    """An empty variable says nothing, and a home is asked for where it is needed alone."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for said, meant in (("", tmp_path / ".cache/assay/engine"), ("/kept", Path("/kept/assay/engine"))):
        monkeypatch.setenv("XDG_CACHE_HOME", said)
        assert cache_folder("engine") == meant

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder("engine") == Path("/kept/assay/engine")
    monkeypatch.delenv("XDG_CACHE_HOME")
    with pytest.raises(AssayError, match=r"no home .*: set XDG_CACHE_HOME to a folder"):
        cache_folder("engine")
    assert code._kept.__wrapped__() == {}, "planning goes on without what was kept"
    assert library_path.__wrapped__() is None, "and PyTorch works without the engine"


@pytest.mark.parametrize(("command", "status"), [("predict.py a.pt a.xyz", 1), ("verdict.py a.pt", 2)])
def test_a_locale_in_which_python_does_not_read_utf8_is_refused(command, status, tmp_path):
    script, *arguments = command.split()
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, SCRIPTS / script, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == status and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: Python takes texts and names of files for ")
    assert "set PYTHONUTF8=1, or a locale of UTF-8" in done.stderr


def test_a_long_text_is_quoted_by_its_ends():
    text = "a" * 60 + "b" * 60
    assert printable(text, 120) == text
    assert printable(text + "c", 20) == "a" * 10 + " ... " + "b" * 9 + "c"


def test_mistake_is_one_sentence_and_exit_status_1(script):
    done = script("mistake")
    assert done.returncode == 1
    assert done.stderr == SENTENCE + "\n"


def test_log_holds_all_output_and_the_sentence(script, tmp_path):
    log = tmp_path / "logs" / "rule.log"
    done = script("mistake", str(log))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", SENTENCE + "\n")
    assert log.read_text().splitlines() == ["from Python", "from a library", SENTENCE]


def test_bug_keeps_its_traceback(script, tmp_path):
    log = tmp_path / "rule.log"
    done = script("bug", str(log))
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "ZeroDivisionError" in log.read_text()


def test_an_interrupt_is_one_sentence_and_the_caller_sees_the_signal(script, tmp_path):
    log = tmp_path / "rule.log"
    for named in (None, str(log)):
        done = script("interrupted", named)
        assert (done.returncode, done.stderr) == (-signal.SIGINT, INTERRUPTED + "\n")
    assert log.read_text().splitlines()[-1] == INTERRUPTED


@pytest.mark.parametrize("body", ["unread", "success"], ids=["as it is printed", "as the last of it is flushed"])
def test_output_that_nothing_reads_is_one_sentence(script, body):
    """As of ``predict.py ... | head``, which wrote a traceback, and no file of those that were asked for."""
    end, pipe = os.pipe()
    os.close(end)
    with os.fdopen(pipe, "w") as closed:
        done = script(body, stdout=closed)
    [sentence] = done.stderr.splitlines()
    assert done.returncode == 1 and sentence.startswith("Error: nothing reads the output any more"), done.stderr


def test_terminal_is_given_back(script, tmp_path):
    done = script("success", str(tmp_path / "rule.log"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "after\n", "")


def test_a_file_that_errors_are_appended_to_keeps_what_it_has(script, tmp_path):
    kept = tmp_path / "err.log"
    kept.write_text("earlier text\n")
    with kept.open("a") as handle:
        script("mistake", "/dev/stderr", stderr=handle)
    lines = kept.read_text().splitlines()
    assert lines[:3] == ["earlier text", "from Python", "from a library"] and lines[-1] == SENTENCE


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("verdict.py tiny.pt --threads 0", "--threads is 0: give 1 or more"),
        ("verdict.py tiny.pt --json folder", "--json folder is a folder: name a file"),
        ("predict.py tiny.pt my.xyz --output folder", "--output folder is a folder: name a file"),
        (
            "predict.py tiny.pt my.xyz --json pipe",
            "--json pipe is a device or a pipe, and no file that can be complete or absent: name a file",
        ),
        (
            "predict.py tiny.pt my.xyz --output folder/../my.xyz",
            "--output folder/../my.xyz would replace what is read: name another file",
        ),
        (
            "predict.py tiny.pt my.xyz --output out.xyz.gz",
            "--output out.xyz.gz is to be extended XYZ: let it end in .xyz or .extxyz",
        ),
        ("predict.py tiny.pt my.xyz --json tiny.pt", "--json tiny.pt would replace what is read: name another file"),
        (
            "predict.py tiny.pt my.xyz --json out --output ./out",
            "--output ./out would replace what --json writes: name another file",
        ),
        ("scope.py nowhere.pt my.xyz", "there is no file nowhere.pt: check the path"),
        ("normalize.py student=tiny", "the rule normalize has no wildcard student: it has variant"),
        (
            "normalize.py variant=nope",
            "variant=nope is none that the workflow has: its variant must match original|tiny|ultra_tiny",
        ),
        ("normalize.py tiny", "tiny is no wildcard: write it as NAME=VALUE, as in variant=tiny"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_one_sentence_before_any_work(
    command, sentence, tmp_path, monkeypatch, capsys
):
    """No file that it names could be read, so that any work on them would be another error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("tiny.pt", "my.xyz"):
        (tmp_path / name).write_text("neither a student nor structures")
    script, *arguments = command.split()
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    status, said = ended.value.code, capsys.readouterr().err
    assert f"Error: {sentence}" == (status if isinstance(status, str) else said.strip()) and status != 0
    assert (tmp_path / "my.xyz").read_text() == "neither a student nor structures"
