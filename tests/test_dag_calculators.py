"""Variants that are ASE calculators: `calculator` is real, other scripts are stand-ins, and nothing is exported."""

import json

import pytest
import yaml

from shared.workflow_copy import STAND_IN, changed, lay_out, snakemake, snapshot

pytestmark = pytest.mark.slow

CALCULATOR = {"calculator": "ase.calculators.lj.LennardJones", "arguments": {"sigma": 2.5, "rc": 6.0}}
BRANCHES = {"accuracy.json", "benchmark.json", "benchmark.svg", "physics.json", "domain.npz", "calculator.json"}


def run(tree, variants):
    """Make everything for these variants and no others; what there is then."""
    shipped = yaml.safe_load((tree / "config/config.yaml").read_text())["variants"]
    variants = dict.fromkeys(shipped) | variants
    (tree / "mine.yaml").write_text(yaml.safe_dump({"variants": variants}))
    (tree / "jobs.jsonl").write_text("")
    done = snakemake(tree, "-j", "3", "all", "--configfile", "mine.yaml")
    assert done.returncode == 0, done.stdout
    return snapshot(tree)


@pytest.fixture
def tree(tmp_path):
    lay_out(tmp_path, STAND_IN, real=("calculator.py",))
    return tmp_path


def rules_run(tree):
    return {json.loads(line)["rule"] for line in (tree / "jobs.jsonl").read_text().splitlines()}


def test_calculators_beside_checkpoints_then_alone_then_changed(tree, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tree / "cache"))
    (tree / "pins.txt").write_text("# nothing beyond what the workflow has\n")
    apart = CALCULATOR | {"environment": "pins.txt"}
    made = run(tree, {"lj": apart, "tiny": {"checkpoint": "data/checkpoints/tiny.pt"}})
    assert {"tiny/package.zip", "tiny/export.json", "report/report.html"} <= set(made)
    assert BRANCHES <= {path.removeprefix("lj/") for path in made}
    assert not [path for path in made if path.startswith("lj/") and path.endswith((".onnx", ".zip", "export.json"))]
    assert {"validate", "probe", "physics", "benchmark", "package"} <= rules_run(tree)
    card, description = (json.loads(made[f"lj/{name}.json"][1]) for name in ("model", "calculator"))
    assert set(card["not_applicable"]) == {"engine", "export", "quantization", "package"}
    assert set(description["files_sha256"]) == {"pins.txt"}
    assert description["versions"]["ase"]
    alone = run(tree, {"lj": apart})
    assert rules_run(tree) == {"compare_accuracy", "report"}
    again = run(tree, {"lj": apart | {"arguments": {"sigma": 3.0}}})
    assert {"lj/calculator.json", "lj/accuracy.json", "lj/benchmark.json"} <= changed(alone, again)
