"""A user's mistake is one sentence; a bug keeps its traceback; both are in the log."""

import os
import subprocess
import sys

import pytest

BODIES = {
    "success": "pass",
    "mistake": "raise AssayError('the file is empty, in a.pt: save it again')",
    "bug": "1 / 0",
}
SENTENCE = "Error: the file is empty, in a.pt: save it again"


@pytest.fixture
def script():
    """Run a script whose body ends as named, with a log or without; the finished process."""

    def run(body, log=None):
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
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)

    return run


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


def test_terminal_is_given_back(script, tmp_path):
    done = script("success", str(tmp_path / "rule.log"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "after\n", "")
