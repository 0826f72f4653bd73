"""Eight bits: forces stay the gradient of the quantized energy, broken schemes are found, the choice is fair."""

from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ase.build import molecule

from assay.errors import AssayError
from assay.export import onnx_graphs
from assay.export.lowering import lower
from assay.models import build_model
from assay.predictors import load_predictor
from assay.quantize.instructions import int8_instructions
from assay.quantize.judge import Limits, Motion, choose, compare, consistency
from assay.quantize.schemes import SCHEMES, dynamic, weights
from assay.structures import Structure

LIMITS = Limits(
    size_ratio=0.35,
    latency_ratio=1.0,
    force_mae_increase_relative=0.05,
    energy_force_consistency=0.01,
    drift_ratio=2.0,
)


@pytest.fixture(scope="module")
def structures():
    systems = [molecule(name) for name in ("CH3CH2OH", "CH3COOH", "C4H4NH", "CH3SH")]
    for k, system in enumerate(systems):
        system.rattle(0.1, seed=k)
    return [Structure.from_ase(system) for system in systems]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    model = build_model("painn", {"hidden": 32, "n_blocks": 2, "n_rbf": 8, "head": [32]})
    for parameter in model.parameters():
        parameter.data *= 1.5
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    identity = {"architecture": "painn", "cutoff_A": model.cutoff, "max_z": model.max_z, "elements": None}
    onnx_graphs.save(onnx_graphs.assemble(lower(model), model.cutoff, identity, search=True), path)
    return path


def test_quantized_weights_keep_forces_the_gradient_of_the_energy(exported, structures, tmp_path):
    target = tmp_path / "weights.onnx"
    weights(exported, target, [])
    exact, small = (load_predictor(path, threads=1) for path in (exported, target))
    assert consistency(small, structures) < 3 * consistency(exact, structures) + 1e-3
    before, after = (np.concatenate([p.forces_eV_per_A for p in m.predict(structures)]) for m in (exact, small))
    assert 1e-5 < np.abs(after - before).max() < 0.1 * np.abs(before).max()
    stored = {t.data_type for t in onnx.load(target).graph.initializer if len(t.dims) == 2 and np.prod(t.dims) >= 256}
    assert stored == {onnx.TensorProto.INT8}


def test_a_scheme_that_quantizes_both_passes_apart_is_found_inconsistent(exported, structures, tmp_path):
    target = tmp_path / "dynamic.onnx"
    dynamic(exported, target, [])
    assert consistency(load_predictor(target, threads=1), structures) > LIMITS.energy_force_consistency


def test_what_a_file_says_about_itself_survives(exported, structures, tmp_path):
    said = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    for scheme in SCHEMES:
        target = tmp_path / f"{scheme.name}.onnx"
        scheme.apply(exported, target, [structures])
        assert {entry.key: entry.value for entry in onnx.load(target).metadata_props}.items() >= said.items()
        if scheme.is_int8:
            assert [p.energy_eV for p in load_predictor(target).predict(structures)]


def _row(**changes):
    good = {
        "size_ratio": 0.3,
        "latency_ratio_batch1": 0.9,
        "latency_ratio_batch32": 0.8,
        "force_mae_increase_relative": 0.01,
        "energy_force_consistency": 1e-3,
        "nve_drift_meV_per_atom_per_ps": 0.1,
    }
    return good | changes


def test_the_scheme_that_holds_every_limit_is_chosen():
    rows = {"fp32": _row(), "a": _row(force_mae_increase_relative=0.04), "b": _row(size_ratio=0.5), "c": _row()}
    decision = choose(rows, ["a", "b", "c"], LIMITS)
    assert (decision["chosen"], decision["recommended"]) == ("c", True)


@pytest.mark.parametrize(
    "fault",
    [
        {"size_ratio": 0.4},
        {"latency_ratio_batch32": 1.2},
        {"force_mae_increase_relative": 0.2},
        {"energy_force_consistency": 0.5},
        {"nve_drift_meV_per_atom_per_ps": 0.3},
        {"nve_drift_meV_per_atom_per_ps": None},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_a_scheme_that_does_not_pay_is_not_recommended(fault):
    decision = choose({"fp32": _row(), "a": _row(**fault)}, ["a"], LIMITS)
    assert not decision["recommended"]
    assert decision["reason"].startswith("do not use INT8 for this one")
    assert next(iter(fault)).removesuffix("_meV_per_atom_per_ps") in decision["failed_limits"]["a"]


def test_the_processor_is_asked_for_its_integer_instructions(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor: 0\nflags\t\t: fpu avx2 avx512_vnni\n")
    assert int8_instructions(info)["dot_products"] == ["avx512_vnni"]
    info.write_text("flags\t\t: fpu avx2\n")
    found = int8_instructions(info)
    assert (found["vectors"], found["dot_products"]) == (["avx2"], [])
    assert "VNNI" in found["meaning"]
    assert int8_instructions(tmp_path / "missing")["dot_products"] is None


def test_quantized_weights_cost_no_time(exported, tmp_path):
    weights(exported, tmp_path / "weights.onnx", [])
    exact, small = (_after_loading(path, tmp_path) for path in (exported, tmp_path / "weights.onnx"))
    assert exact == small


def _after_loading(path, folder):
    """The operators that ONNX Runtime is left with when it has folded constants."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


def test_a_file_that_does_not_run_is_a_row_with_its_error(exported, structures, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_text("no graph")
    labelled = [replace(s, energy_eV=0.1, forces_eV_per_A=np.ones((len(s), 3))) for s in structures]
    rows = compare({"fp32": exported, "broken": broken}, labelled, Motion(300.0, 0.5, 4.0), 2, 0.0, 1)
    assert "ONNXRuntimeError" in rows["broken"]["error"]
    assert rows["fp32"]["force_mae_increase_relative"] == 0.0
    assert rows["fp32"]["latency"]["batch32"]["n_atoms"] == sum(map(len, structures))
    with pytest.raises(AssayError, match="no eight-bit file"):
        choose(rows, ["broken"], LIMITS)
