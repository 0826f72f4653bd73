"""What goes wrong ends in one clear sentence or in the right result; docs/faults.md has the table."""

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from assay.dynamics.run import BatchForces
from assay.predictors.interface import BatchPredictor, load_predictor
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path, write_json
from assay.workflow.progress import progress
from shared.workflow_copy import ROOT, lay_out

# Writes each output in two halves, and in every rule that it has not been killed in yet, stops between them.
STAND_IN = """
import time
from pathlib import Path

from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path

with exit_on_error(snakemake.log[0]):
    for path in snakemake.output:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            if snakemake.rule not in Path("killed").read_text().split():
                Path("hanging").write_text(snakemake.rule)
                time.sleep(600)
            temporary.write_text("whole")
    with Path("finished").open("a") as log:
        print(snakemake.rule, file=log)
"""


def workflow(tree):
    """A copy of the workflow for one variant, with stand-ins for scripts and data."""
    lay_out(tree, STAND_IN)
    (tree / "killed").touch()
    (tree / "finished").touch()
    return tree


def start(tree, *arguments):
    overrides = ["--config", "variants={original: null, ultra_tiny: null}"]
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *arguments, *overrides],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(tree, *arguments):
    process = start(tree, *arguments)
    return process.communicate(timeout=600)[0], process.returncode


def files(tree):
    return [path for path in (tree / "results").rglob("*") if path.is_file()]


def unlock(tree, killed):
    """Unlock the folder as a user does, the first time; later remove the lock files, which takes no time."""
    locks = tree / ".snakemake/locks"
    assert locks.is_dir()
    if len(killed) == 1:
        assert finish(tree, "--unlock")[1] == 0
        assert not locks.exists()
    shutil.rmtree(locks, ignore_errors=True)


def wait(process, sign):
    """Wait until a job hangs, or the run is over."""
    while process.poll() is None and not (sign.is_file() and sign.read_text()):  # which is empty at first
        time.sleep(0.05)


@pytest.mark.slow
def test_run_killed_in_the_middle_of_each_rule_goes_on_where_it_was(tmp_path):
    tree, hanging = workflow(tmp_path), tmp_path / "hanging"
    killed = []
    while True:
        process = start(tree, "-j", "1", "all")
        wait(process, hanging)
        if process.poll() is not None:
            break
        if not killed:
            said, status = finish(tree, "-j", "1", "all")
            assert status != 0
            assert "Directory cannot be locked" in said
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        killed.append(hanging.read_text())
        hanging.unlink()
        (tree / "killed").write_text("\n".join(killed))
        visible = [path for path in files(tree) if not any(part.startswith(".") for part in path.parts[-2:])]
        assert {path.read_text() for path in visible} <= {"whole"}
        unlock(tree, killed)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert len(killed) == len(set(killed))
    assert {"normalize", "validate", "benchmark", "export", "quantize", "physics", "report"} <= set(killed)
    assert sorted((tree / "finished").read_text().split()) == sorted(killed)
    assert "Nothing to be done" in finish(tree, "-n", "all")[0]


# Files


def run(code, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, **options)


WRITE = """
import sys
from assay.workflow.errors import exit_on_error
from assay.workflow.files import write_json
with exit_on_error(sys.argv[1] if len(sys.argv) > 1 else None):
    print("working")
    write_json("{path}", list(range({count})))
"""


@contextmanager
def mounted(folder, options):
    """A disk in memory at ``folder``."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here: it needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB."""
    with mounted(tmp_path / "disk", "size=1m") as folder:
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("size=1m,ro", r"Failed to create output directory results/tiny\.\n.*Read-only file system: 'results/tiny'"),
        (
            "size=200k",
            r"Error: results/tiny/\S+ cannot be written \(No space left on device\): free some space and run again",
        ),
    ],
    ids=["read-only", "full"],
)
def test_run_whose_results_cannot_be_written_says_so(tmp_path, options, sentence):
    lay_out(tmp_path)
    shutil.copy(ROOT / "data/checkpoints/tiny.pt", tmp_path / "data/checkpoints/tiny.pt")
    with mounted(tmp_path / "results", options):
        said, status = finish(tmp_path, "-j", "1", "results/tiny/model.json")
        assert status == 1
        assert len(re.findall(sentence, said)) == 1, said
        assert "Traceback" not in said
        assert files(tmp_path) == []


def test_full_disk_is_one_sentence_and_leaves_what_was_there(small_disk):
    write_json(small_disk / "a.json", "before")
    done = run(WRITE.format(path=small_disk / "a.json", count=10**6))
    assert done.returncode == 1
    assert re.fullmatch(r"Error: \S+a\.json cannot be written \(No space left .*\): free some space .*\n", done.stderr)
    assert json.loads((small_disk / "a.json").read_text()) == "before"
    assert [path.name for path in small_disk.iterdir()] == ["a.json"]


def test_disk_full_by_a_writer_that_does_not_say_so_is_recognized(small_disk):
    with pytest.raises(AssayError, match="No space left"), atomic_path(small_disk / "model.pt") as path:
        torch.save(torch.zeros(10**6), path)
    assert list(small_disk.iterdir()) == []


def test_full_disk_of_the_log_does_not_hide_the_sentence(small_disk, tmp_path):
    (small_disk / "fill").write_bytes(bytes(2**20 - 4096))
    code = WRITE.format(path=small_disk / "a.json", count=10**6).replace("sys.argv[1]", f"{str(small_disk / 'l')!r}")
    done = run(code.replace("if len(sys.argv) > 1 else None", "").replace("working", "working" * 10**4))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr or "No space left" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody who may not write")
def test_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    try:
        done = run(WRITE.format(path=tmp_path / "results/a.json", count=3), user=65534, group=65534, cwd="/")
    except PermissionError:
        pytest.skip("somebody else cannot run this Python")
    reason = "cannot be written (Permission denied): make its folder writable and run again"
    assert done.stderr == f"Error: {tmp_path}/results/a.json {reason}\n"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_folder_that_refuses_is_one_sentence(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    with pytest.raises(AssayError, match=re.escape(os.strerror(number))):
        write_json(tmp_path / "a.json", 1)


def test_file_in_the_place_of_a_folder_is_one_sentence(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(AssayError, match="move the file away"):
        write_json(tmp_path / "results/tiny/a.json", 1)


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    stray = [tmp_path / f".a.json.{host}-{process}-x1" for process in (dead.pid, os.getpid())]
    other = [tmp_path / f".a.json.elsewhere-{dead.pid}-x1", tmp_path / f".b.json.{host}-{dead.pid}-x1"]
    for folder in [*stray, *other]:
        (folder / "deep").mkdir(parents=True)
    write_json(tmp_path / "a.json", 1)
    assert {path for path in tmp_path.iterdir() if path.is_dir()} == {stray[1], *other}


def test_a_device_a_pipe_or_a_stream_is_not_replaced_by_a_file(tmp_path):
    """``os.replace`` took the place of /dev/null, or of the link /dev/stdout, where root called, as in a container."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
    (tmp_path / "disk.json").symlink_to(tmp_path / "kept.json")
    for name in ("pipe", "stdout"):
        with pytest.raises(AssayError, match=f"{name} is a device or a pipe.*: name a file"):
            write_json(tmp_path / name, {})
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "stdout").is_symlink()
    write_json(tmp_path / "disk.json", {})


def test_other_mistakes_are_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.json"):
        (tmp_path / "missing").read_text()


# Devices


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_one_sentence():
    with pytest.raises(AssayError, match=r"^there is no GPU that torch can use.*set it to auto or cpu"):
        load_predictor(ROOT / "data/checkpoints/tiny.pt", device="cuda")


class Small(BatchPredictor):
    """A GPU that holds two structures; energy and forces tell which structure they are of."""

    error = torch.OutOfMemoryError("CUDA out of memory")

    def evaluate(self, structures):
        if len(structures) > self.holds:
            raise self.error
        energies = np.array([structure.positions.sum() for structure in structures])
        return energies, np.concatenate([structure.positions for structure in structures])


@pytest.fixture
def small():
    predictor = Small("small", "eager", "cuda", "float32", 5.0, 100, None)
    predictor.holds = 2
    return predictor


def structures(count):
    draw = np.random.default_rng(0)
    return [Structure(f"s{k}", np.full(3 + k, 6), 3.0 * draw.normal(size=(3 + k, 3))) for k in range(count)]


def test_too_little_memory_makes_smaller_batches_and_says_so(small, capsys):
    batch = structures(7)
    for structure, prediction in zip(batch, small.predict(batch), strict=True):
        assert prediction.energy_eV == structure.positions.sum()
        assert (prediction.forces_eV_per_A == structure.positions).all()
    assert "no memory for 7 structures at once" in capsys.readouterr().err


OF_TORCHSCRIPT = "The following operation failed in the TorchScript interpreter.\nOutOfMemoryError: CUDA out of memory."
OF_ONNX_RUNTIME = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer"


@pytest.mark.parametrize("words", [OF_TORCHSCRIPT, OF_ONNX_RUNTIME, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED"])
def test_too_little_memory_is_known_by_words_where_a_runtime_has_no_type_for_it(small, words):
    small.error = RuntimeError(words)
    assert [p.energy_eV for p in small.predict(structures(5))] == [s.positions.sum() for s in structures(5)]
    small.error = RuntimeError("the memory of an elephant")
    with pytest.raises(RuntimeError, match="elephant"):
        small.predict(structures(5))


def test_too_little_memory_of_the_processor_is_said_in_the_words_of_the_runtime(small):
    small.device, small.error = "cpu", RuntimeError(OF_ONNX_RUNTIME)
    with pytest.raises(RuntimeError, match="Failed to allocate memory for requested buffer"):
        small.predict(structures(5))


def test_too_little_memory_halves_the_batches_of_dynamics_once(small, capsys):
    forces = BatchForces(small, structures(7))
    positions = np.concatenate([structure.positions for structure in structures(7)])
    for scale in (1.0, 1.1):
        np.testing.assert_array_equal(forces(scale * positions), scale * positions)
        np.testing.assert_allclose(forces.energy, [scale * structure.positions.sum() for structure in structures(7)])
    assert capsys.readouterr().err.count("no memory for 7 structures at once") == 1


def test_structure_that_does_not_fit_at_all_is_named(small):
    small.holds = 0
    with pytest.raises(AssayError, match="s1 with 4 atoms does not fit into the memory of the GPU"):
        small.predict(structures(2)[1:])


# Progress


def test_progress_in_a_log_is_plain_lines(capsys, monkeypatch):
    monkeypatch.setattr("assay.workflow.progress.LINE_EVERY_s", 0.0)
    with progress(total=4, unit="atoms", desc="counting") as bar:
        for _ in range(4):
            bar.update()
            bar.refresh()
    said = capsys.readouterr().err
    assert "\r" not in said
    lines = said.splitlines()
    assert re.fullmatch(r"counting: 2 of 4 atoms in \d+ s, \S+/s, \S+ s left", lines[2])
    assert re.fullmatch(r"counting: 4 of 4 atoms in \d+ s, \S+/s", lines[-1])


def test_progress_of_work_that_is_resumed_counts_the_rest_only(capsys):
    with progress(total=4, initial=3, unit="steps", desc="training") as bar:
        time.sleep(0.2)
        bar.update()
    rate = float(re.search(r"s, (\S+)/s", capsys.readouterr().err).group(1))
    assert rate < 1 / 0.2 + 0.01
