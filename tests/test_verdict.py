"""scripts/verdict.py: an exit status that a pipeline can rely on, for every form of a model."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
import yaml

from assay.checkpoint import normalize, write
from assay.export import onnx_graphs, torchscript
from assay.export.half import to_half
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.workflow.files import sha256_file
from shared.checkpoint_samples import store, student

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "scripts/verdict.py"
QUICK = ["rotation", "batch", "net_force"]
FILES = ("model.pt", "model.safetensors", "model.onnx", "model.edges.onnx", "model.ts.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A painn of random weights in every form but compiled code, and a network that no turned molecule knows again."""
    folder = tmp_path_factory.mktemp("models")
    model = student("painn")
    store(folder, {"model": model.state_dict(), "training": {"elements": ["H", "C", "N", "O"]}}, "model.pt")
    checkpoint = normalize(folder / "model.pt")
    write(checkpoint, "test", folder / "model.safetensors", folder / "model.json")
    metadata = export_metadata(model, checkpoint.card("test"))
    network = lower(model)
    atoms = onnx_graphs.assemble(network, model.cutoff, metadata, search=True)
    edges = onnx_graphs.assemble(network, model.cutoff, metadata, search=False)
    for name, graph in (("model.onnx", atoms), ("model.edges.onnx", edges), ("model.fp16.onnx", to_half(atoms))):
        onnx_graphs.save(graph, folder / name)
    torchscript.save(torchscript.to_torchscript(network, model.cutoff), folder / "model.ts.pt", metadata)
    broken = student("seed-painn")
    with torch.no_grad():
        for block in broken.interactions:
            block.update.mixing_matrix += torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    store(folder, broken.state_dict(), "broken.pt")
    return folder


@pytest.fixture
def verdict(monkeypatch):
    """Run the script as a program; its exit status."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return ended.value.code

    return run


@pytest.mark.parametrize("file", FILES)
def test_every_form_of_a_model_is_judged(folder, verdict, file, capsys):
    assert verdict(folder / file, "--checks", *QUICK) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in QUICK)
    assert said.splitlines()[-1].startswith("md-ready, by 3 checks and without reflection, ")


def test_half_precision_is_not_invariant_enough(folder, verdict, capsys):
    assert verdict(folder / "model.fp16.onnx", "--checks", *QUICK) == 1
    assert "reject: rotation" in capsys.readouterr().out


@pytest.mark.parametrize(("required", "status"), [("md-ready", 1), ("screening-only", 1), ("reject", 0)])
def test_a_verdict_below_the_one_required_is_status_1(folder, verdict, required, status, capsys):
    assert verdict(folder / "broken.pt", "--checks", *QUICK, "--require", required) == status
    assert capsys.readouterr().out.splitlines()[-1].startswith("reject: rotation, net_force did not pass")


@pytest.mark.parametrize("checks", [["npt"], ["equation_of_state", "phonons", "vacancies"]])
def test_where_no_check_could_be_judged_there_is_no_verdict(folder, verdict, checks, tmp_path, capsys):
    asked = (folder / "model.pt", "--checks", *checks, "--require", "reject", "--json", tmp_path / "verdict.json")
    assert verdict(*asked) == 2
    said = capsys.readouterr()
    assert f"none of these checks could be judged ({checks[0]}: " in said.err and "name others by --checks" in said.err
    assert "md-ready" not in said.out and not (tmp_path / "verdict.json").exists()


def test_a_check_that_only_dynamics_needs_leaves_screening(folder, verdict, tmp_path):
    limits = {"net_force_eV_per_A": {"max": 1.0e-30, "because": "test only"}}
    mine = tmp_path / "mine.yaml"
    mine.write_text(yaml.safe_dump({"physics": {"thresholds": {"net_force": {"limits": limits}}}}))
    arguments = [folder / "model.pt", "--checks", *QUICK, "--config", mine]
    assert verdict(*arguments) == 1
    assert verdict(*arguments, "--require", "screening-only") == 0


def test_numbers_are_kept_with_what_they_are_of(folder, verdict, tmp_path):
    assert verdict(folder / "model.onnx", "--checks", "rotation", "--json", tmp_path / "verdict.json") == 0
    kept = json.loads((tmp_path / "verdict.json").read_text())
    assert kept["model_sha256"] == sha256_file(folder / "model.onnx")
    assert (kept["verdict"], kept["runtime"]) == ("md-ready", "onnxruntime")
    assert len(kept["checks"]["rotation"]["raw"]["energy_spread_eV"]) > 3
    assert {"nve", "cutoff"} <= set(kept["left_out"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.pt"], "there is no checkpoint"),
        (["damaged.onnx"], "is not an ONNX file of a student"),
        (["model.pt", "--checks", "rotatoin"], "there is no physics check rotatoin"),
        (["model.pt", "--config", "nowhere.yaml"], "cannot be read as a config"),
        (["model.pt", "--config", "typo.yaml"], "`physics.sed` is not a known key; did you mean `seed`?"),
    ],
)
def test_what_cannot_be_judged_is_status_2(folder, verdict, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    Path("damaged.onnx").write_bytes(b"damaged")
    Path("typo.yaml").write_text("physics: {sed: 1}")
    assert verdict(*arguments, "--require", "reject") == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_a_bug_is_no_verdict(folder, verdict, monkeypatch, capsys):
    monkeypatch.setattr("assay.physics.verdict.table", lambda judged: 1 / 0)
    assert verdict(folder / "model.pt", "--checks", "net_force", "--require", "reject") == 2
    assert "ZeroDivisionError" in capsys.readouterr().err
