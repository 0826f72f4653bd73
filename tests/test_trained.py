"""Bounds on the weights of students: what is measured, and that `snakemake weights` says no when one is broken."""

import json

import numpy as np
import pytest
import yaml

from assay.export import onnx_graphs
from assay.export.lowering import lower
from assay.predictors.interface import load_predictor
from assay.quantize.trained import measure_trained, require_bounds
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError
from shared.checkpoint_samples import store, student
from shared.molecules import shaken
from shared.workflow_copy import ROOT, lay_out, snakemake

BOUNDS = yaml.safe_load((ROOT / "data/benchmarks/weights.yaml").read_text())
VARIANTS = list(load_config(ROOT / "config")["variants"])


@pytest.mark.slow
def test_every_value_that_has_a_bound_is_measured(tmp_path):
    model = student("painn", hidden=16, n_rbf=16)
    described = {"architecture": "painn", "cutoff_A": model.cutoff, "max_z": model.max_z, "elements": None}
    onnx_graphs.save(onnx_graphs.assemble(lower(model), model.cutoff, described, search=True), tmp_path / "model.onnx")
    predictor = load_predictor(store(tmp_path, model.state_dict()), runtime="eager")
    measured = measure_trained([predictor], tmp_path / "model.onnx", shaken("CH3CH2OH", 81))
    assert {name for bounds in BOUNDS.values() for name in bounds} == {
        *measured,
        "engine_turned_energy_spread_eV",
    }
    assert all(np.isfinite(value) and value > 0.0 for value in measured.values())


def test_every_shipped_student_has_bounds():
    assert BOUNDS.keys() == set(VARIANTS)


def test_a_value_above_its_bound_is_named():
    bounds = {"tiny": {"a": 1.0, "b": 2.0}}
    assert (
        require_bounds({"tiny": {"a": 1.0, "b": 0.1, "c": 9.0}, "mine": {}}, bounds) == "All 2 bounds on weights hold."
    )
    with pytest.raises(AssayError, match=r"1 of 2 bounds on weights are broken: tiny, b: 2.1 above 2; train again"):
        require_bounds({"tiny": {"a": 0.5, "b": 2.1}}, bounds)
    with pytest.raises(AssayError, match="tiny, a: nan above 1; tiny, b: not measured"):
        require_bounds({"tiny": {"a": float("nan")}}, bounds)
    with pytest.raises(AssayError, match="no bounds are stored for mine"):
        require_bounds({"mine": {"a": 0.5}}, bounds)


SAYS_WHAT_WAS_MEASURED = """
import json
from pathlib import Path

measured = json.loads(Path("measured.json").read_text())
variant = snakemake.wildcards.get("variant")
for path in snakemake.output:
    Path(path).write_text(json.dumps({"variant": variant, "measured": measured.get(variant)}))
"""


@pytest.mark.slow
def test_target_passes_and_fails_with_a_sentence(tmp_path):
    """All scripts but the one that judges are stand-ins; what they write says what measured.json says of a student."""
    lay_out(tmp_path, SAYS_WHAT_WAS_MEASURED, real=["hold_weights.py"])
    (tmp_path / "data/benchmarks").mkdir(parents=True, exist_ok=True)
    (tmp_path / "data/benchmarks/weights.yaml").write_text(yaml.safe_dump(BOUNDS))
    measured = tmp_path / "measured.json"
    measured.write_text(json.dumps(BOUNDS))
    done = snakemake(tmp_path, "-j", "1", "weights")
    assert done.returncode == 0, done.stdout
    assert "All 9 bounds on weights hold." in done.stdout
    worse = BOUNDS["tiny"] | {"change_left_by_finer_filters": 0.8}
    measured.write_text(json.dumps(BOUNDS | {"tiny": worse}))
    done = snakemake(tmp_path, "-j", "1", "weights", "--forcerun", "measure_weights")
    assert done.returncode != 0
    assert (
        "Error: 1 of 9 bounds on weights are broken: tiny, change_left_by_finer_filters: 0.8 above 0.75" in done.stdout
    )
    assert "Traceback" not in done.stdout
