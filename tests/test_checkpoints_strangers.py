"""Models of other programs are named for what they are, by names alone, and never called a student's file."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from assay.checkpoint import normalize
from assay.checkpoint.exported import MAX_ONNX_BYTES
from assay.checkpoint.programs import PROGRAMS, model_of_another_program
from assay.predictors.interface import load_predictor
from assay.workflow.errors import AssayError
from shared.checkpoint_foreign import library
from shared.checkpoint_refusals import SEED
from shared.checkpoint_samples import lightning, prefixed, store, student, torch_bytes
from shared.checkpoint_strangers import (
    HOSTILE,
    MACE,
    SCHNETPACK,
    STRANGERS,
    compiled,
    onnx_model,
    torchscript,
    weights,
)
from shared.watch import watched

SCRIPTS = Path(__file__).parents[1] / "scripts"
IDENTITY = json.dumps({"variant": "tiny", "cutoff_A": 5.0, "max_z": 9})


@pytest.fixture
def nothing_is_loaded(monkeypatch, tmp_path):
    """Fails where a file is unpickled, or its code is loaded."""

    def refuse(*_, **__):
        pytest.fail("a file of others is loaded")

    monkeypatch.chdir(tmp_path)
    for owner, name in (
        (torch, "load"),
        (torch.jit, "load"),
        (torch.export, "load"),
        (torch._inductor, "aoti_load_package"),
    ):
        monkeypatch.setattr(owner, name, refuse)


def said_of(path):
    """What normalize and load_predictor both say of a file, in one sentence."""
    messages = set()
    for read in (normalize, load_predictor):
        with pytest.raises(AssayError):  # which imports what reads it
            read(path)
        with watched() as seen, pytest.raises(AssayError) as caught:
            read(path)
        assert not seen
        messages.add(str(caught.value))
    [message] = messages
    assert message.startswith(str(path))
    assert ": " in message.removeprefix(str(path))
    assert message.isprintable()
    assert len(message) < 1500
    return message


@pytest.mark.parametrize("case", STRANGERS)
def test_what_others_wrote_is_named(case, tmp_path, nothing_is_loaded):
    suffix, content, pattern = STRANGERS[case]
    message = said_of(store(tmp_path, content(), f"given{suffix}"))
    assert re.search(pattern, message), message
    assert "docs/calculators.md" in message


@pytest.mark.parametrize("case", HOSTILE)
def test_strangers_that_mean_harm_are_harmless(case, tmp_path, nothing_is_loaded):
    suffix, content, pattern = HOSTILE[case]
    message = said_of(store(tmp_path, content(), f"given{suffix}"))
    assert re.search(pattern, message), message
    assert not (tmp_path / "hacked").exists()


def test_every_program_has_a_file_that_is_named(tmp_path):
    told = " ".join(pattern for _, _, pattern in STRANGERS.values())
    assert all(f"of {program.name}" in told for program in PROGRAMS)


def test_a_file_with_a_student_is_not_called_its_teacher(tmp_path):
    """A fault of the student is what is said; a sound one is read."""
    teachers = prefixed(weights(MACE), "teacher.") | prefixed(weights(SCHNETPACK), "teacher.spk.")
    both = prefixed(SEED, "student.") | teachers
    assert normalize(store(tmp_path, lightning(both))).to_bytes() == normalize(store(tmp_path, SEED, "x.pt")).to_bytes()
    broken = both | {"student.energy_head.0.bias": torch.full_like(SEED["energy_head.0.bias"], float("nan"))}
    with pytest.raises(AssayError, match=r"NaN or infinite values in energy_head\.0\.bias"):
        normalize(store(tmp_path, lightning(broken)))


def test_a_class_of_data_does_not_make_a_model(tmp_path):
    """Names of another program's classes count where they are its models."""

    class ASEAtomsData:
        pass

    with library(schnetpack__data__atoms__ASEAtomsData=ASEAtomsData):
        content = torch_bytes({"weights": {"linear.weight": torch.ones(2, 2)}, "data": ASEAtomsData()})
    with pytest.raises(AssayError, match="holds no weights of a student"):
        normalize(store(tmp_path, content))


@pytest.mark.parametrize("architecture", ["seed-painn", "painn"])
def test_a_student_beside_a_model_of_another_program_is_a_student(architecture):
    def told(names):
        return model_of_another_program(Path("a.pt"), ["mace.modules.models.MACE"], names)

    assert "a.pt is a model of MACE (it names the class mace.modules" in str(told(["a.weight"]))
    assert told(prefixed(student(architecture).state_dict(), "model.")) is None


def test_an_exported_file_of_assay_is_no_checkpoint(tmp_path):
    keys = {"cutoff_A": "5.0", "max_z": "9", "checkpoint_sha256": "0"}
    for name, content, match in (
        (
            "a.ts.pt",
            torchscript("somewhere.Student", **{"identity.json": IDENTITY}),
            "TorchScript file that Assay exported",
        ),
        ("a.pt2", compiled(json.dumps({"identity": IDENTITY})), "compiled .pt2 file that Assay exported"),
        ("a.onnx", onnx_model(["positions"], ["energy"], **keys), "ONNX"),
    ):
        with pytest.raises(AssayError, match=f"{match}.*: give the checkpoint that it was exported from"):
            normalize(store(tmp_path, content, name))


def test_large_onnx_files_are_told_by_their_first_byte(tmp_path):
    content = onnx_model(["x"], ["y"], note="x" * MAX_ONNX_BYTES)
    with pytest.raises(AssayError, match="looks like an ONNX model"):
        normalize(store(tmp_path, content))


def test_damaged_archives_are_not_loaded(tmp_path, nothing_is_loaded):
    for name, content in (("a.pt2", b"PK nonsense"), ("b.pt2", compiled("{}")[:-30]), ("c.pt2", torch_bytes(SEED))):
        with pytest.raises(AssayError, match=r"is damaged, or Assay did not export it .*: export it again"):
            load_predictor(store(tmp_path, content, name))


@pytest.mark.slow
@pytest.mark.parametrize(("script", "status"), [("predict.py", 1), ("verdict.py", 2)])
def test_scripts_say_so_too(script, status, tmp_path):
    path = store(tmp_path, STRANGERS["mace_torchscript"][1](), "my.model")
    (tmp_path / "any.xyz").write_text("1\n\nH 0 0 0\n")
    more = [tmp_path / "any.xyz"] if script == "predict.py" else []
    done = subprocess.run([sys.executable, SCRIPTS / script, path, *more], capture_output=True, text=True)
    assert done.returncode == status
    assert f"Error: {path} is a TorchScript file of MACE" in done.stderr
    assert "Traceback" not in done.stderr
