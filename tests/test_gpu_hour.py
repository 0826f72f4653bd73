"""The measurements of half an hour on a GPU: they run in small on a CPU, go on where they stopped, and data travel."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from assay.checkpoint import load_model, normalize
from assay.data import read_dataset
from assay.gpu_hour import hour as of_hour
from assay.gpu_hour import parity, physics, training
from assay.gpu_hour.hour import MOST_FILES, Hour, bring_along, check_folder
from assay.gpu_hour.speed import in_box, settings
from assay.gpu_hour.travel import PACKED, pack, unpack
from assay.structures.structure import Structure
from assay.training.run import on_record
from assay.workflow.errors import AssayError
from assay.workflow.files import read_json, write_json

ROOT = Path(__file__).parents[1]


def hour(folder, seconds=100.0):
    folder.mkdir(exist_ok=True)
    return Hour(folder, "cpu", True, seconds)


@pytest.mark.slow
def test_all_parts_run_in_small_on_a_cpu(tmp_path):
    command = [sys.executable, str(ROOT / "scripts/gpu_hour.py"), "--out", str(tmp_path), "--dry"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    records = {path.stem: read_json(path) for path in tmp_path.glob("*.json")}
    assert set(records) == {"parity", "speed", "physics", "training", "profile"}
    assert all(record["left"] == [] and record["dry"] for record in records.values())
    assert len(list(tmp_path.iterdir())) <= MOST_FILES
    judged = records["parity"]["pieces"]
    for name in ("eager", "eager float64", "torchscript", "onnx"):
        assert judged[f"ultra_tiny, {name}"]["passed"], name
    assert judged["ultra_tiny, eager float64"]["forces_error_eV_per_A_max"] < 1e-10
    assert "not available" in judged["ultra_tiny, aotinductor"]["error"]
    if not torch.cuda.is_available():
        assert "not available" in judged["ultra_tiny, triton"]["error"]
    for name, piece in records["speed"]["pieces"].items():
        if "atoms" in name:
            assert piece["runtimes"]["eager"]["latency_ms_median"] > 0.0
            assert "not available" in piece["runtimes"]["schnetpack"]["error"]
    assert records["physics"]["pieces"]["ultra_tiny, eager, determinism"]["passed"]
    assert records["physics"]["pieces"]["ultra_tiny, eager, dynamics"]["blown_up"] == 0
    assert records["training"]["pieces"]["training"]["curve"][-1]["step"] == 4
    trained = torch.load(tmp_path / "ultra_tiny.trained.pt", weights_only=True)
    assert trained["config"]["architecture"] == "painn"
    assert records["profile"]["pieces"]["ultra_tiny, eager, 1 x 20 atoms"]["rows"]


def test_parity_is_judged_by_the_tolerance_of_the_config(tmp_path, monkeypatch):
    config = yaml.safe_load((ROOT / "config/physics.yaml").read_text())
    assert parity.tolerance().model_dump(exclude_unset=True) == config["export"]["tolerances"]["default"]
    config["export"]["tolerances"]["default"]["energy_eV"] = 0.5
    (tmp_path / "config").mkdir()
    (tmp_path / "config/physics.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setattr(of_hour, "ROOT", tmp_path)
    assert parity.tolerance().energy_eV == 0.5


def test_a_training_has_the_recipe_of_the_config_but_for_what_is_its_own():
    recipe = training.recipe_with({"steps": 30, "atoms_per_step": 64, **training.FURTHER}, warmup=7, validate_every=9)
    [part] = recipe.rounds
    assert (part.steps, part.atoms_per_step, part.peak, part.energy_weight) == (30, 64, 0.4, 8.0)
    shared = yaml.safe_load((ROOT / "config/recipes.yaml").read_text())["distill"]["recipe"]
    own = {"rounds", "warmup", "validate_every"}
    assert {key: value for key, value in on_record(recipe).items() if key not in own} == {
        key: value for key, value in shared.items() if key not in own | {"validation_structures"}
    }
    assert (recipe.warmup, recipe.validate_every) == (7, 9) and shared["warmup"] != 7


def test_a_shipped_student_is_trained_further(tmp_path):
    found = training.pieces(hour(tmp_path), None, "tiny")["tiny, further"]()
    assert found["further"] and found["curve"][-1]["step"] == 4
    trained = torch.load(tmp_path / "tiny.trained.pt", weights_only=True)["model_state_dict"]
    shipped = load_model(ROOT / "data/checkpoints/tiny.pt").state_dict()
    far = {name: ((trained[name] - value).norm() / value.norm()).item() for name, value in shipped.items()}
    assert 0.0 < max(far.values()) < 0.05  # four steps away, and not from new weights
    elements = normalize(ROOT / "data/checkpoints/tiny.pt").elements
    assert elements and normalize(tmp_path / "tiny.trained.pt").elements == elements


def test_a_student_that_is_trained_further_keeps_its_elements_on_data_of_fewer(tmp_path, monkeypatch):
    data = read_dataset(ROOT / "data/dataset/validation.h5")
    alkanes = [k for k, structure in enumerate(data) if set(structure.atomic_numbers) == {1, 6}]
    monkeypatch.setattr(training, "_data", lambda *_: (data.subset(alkanes), data.subset(alkanes[:4])))
    training.pieces(hour(tmp_path), None, "ultra_tiny")["ultra_tiny, further"]()
    shipped, trained = ROOT / "data/checkpoints/ultra_tiny.pt", tmp_path / "ultra_tiny.trained.pt"
    assert normalize(trained).elements == normalize(shipped).elements


def test_a_drift_is_the_slope_of_the_energy_per_atom_and_steps_a_second_are_those_after_the_first(
    tmp_path, monkeypatch
):
    time_fs = 0.5 * np.arange(2, 4000)

    def run(_, molecules, **settings):
        assert settings["n_steps"] == 20 and settings["step_fs"] == 0.5
        slopes = np.array([1e-3, -3e-3]) * [len(molecule) for molecule in molecules]  # eV/ps
        return SimpleNamespace(time_fs=time_fs, shadow_eV=1e-3 * time_fs[:, None] * slopes, blown_up_fs=[np.nan, 7.0])

    monkeypatch.setattr(physics, "load_runtime_of", lambda *_: None)
    monkeypatch.setattr(physics, "run_dynamics", run)
    found = physics.pieces(hour(tmp_path), tmp_path)["ultra_tiny, eager, dynamics"]()
    assert found["drift_meV_per_atom_per_ps_median"] == pytest.approx(2.0) and found["duration_ps"] == 0.01
    assert found["drift_meV_per_atom_per_ps_max"] == pytest.approx(3.0) and found["blown_up"] == 1
    assert found["spread_meV_per_atom_max"] == pytest.approx(3.0 * (1e-3 * time_fs).std())
    timed = SimpleNamespace(run=lambda: None, history=[{"seconds": 5.0}, {"seconds": 9.0}])
    monkeypatch.setattr(training, "_trainer", lambda *_: timed)
    found = training.pieces(hour(tmp_path), None, None)["ultra_tiny, 256 atoms a step"]()
    assert (found["steps_per_s"], found["atoms_per_s"], found["first_steps_s"]) == (0.5, 128.0, 5.0)


def test_without_a_gpu_only_the_small_form_runs(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, str(ROOT / "scripts/gpu_hour.py"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and "--dry" in done.stderr and "Traceback" not in done.stderr


def test_a_part_goes_on_where_it_stopped(tmp_path):
    calls = []

    def piece(name):
        def make():
            calls.append(name)
            if name == "broken" and calls.count(name) == 1:
                raise ValueError("nothing")
            return {"value": name}

        return make

    pieces = {name: piece(name) for name in ("first", "broken", "last")}
    hour(tmp_path).measure("part", dict(list(pieces.items())[:2]))
    record = hour(tmp_path).measure("part", pieces)
    assert calls == ["first", "broken", "broken", "last"]
    assert [record["pieces"][name]["value"] for name in pieces] == list(pieces)
    assert record["left"] == [] and read_json(tmp_path / "part.json") == json.loads(json.dumps(record))


def test_no_piece_begins_after_the_end(tmp_path):
    record = hour(tmp_path, seconds=0.0).measure("part", {"one": dict, "two": dict})
    assert record["pieces"] == {} and record["left"] == ["one", "two"]


def test_records_of_another_device_are_refused(tmp_path):
    hour(tmp_path).measure("part", {"one": dict})
    record = read_json(tmp_path / "part.json")
    write_json(tmp_path / "part.json", record | {"device_name": "another"})
    with pytest.raises(AssayError, match="choose another folder"):
        hour(tmp_path).measure("part", {"one": dict})


def test_earlier_records_are_brought_along(tmp_path):
    hour(tmp_path / "earlier").measure("part", {"one": dict})
    bring_along(tmp_path / "earlier", tmp_path / "out")
    record = hour(tmp_path / "out").measure("part", {"one": lambda: {"again": True}})
    assert "again" not in record["pieces"]["one"]


def test_a_folder_that_would_not_come_back_is_refused(tmp_path):
    for k in range(MOST_FILES):
        (tmp_path / f"{k}.json").write_text("{}")
    check_folder(tmp_path)
    (tmp_path / "more.json").write_text("{}")
    with pytest.raises(AssayError, match="clear it first"):
        check_folder(tmp_path)


def test_what_is_timed_reaches_from_one_molecule_to_a_box_of_20000_atoms():
    full = settings(dry=False)
    assert (min(full.batch_sizes), max(full.batch_sizes), max(full.single_sizes)) == (1, 1024, 20_000)
    boxed = in_box(Structure("two", np.array([6, 8]), np.array([[1.0, 2.0, 3.0], [9.0, 8.0, 7.0]])))
    np.testing.assert_allclose(np.diag(boxed.cell), [9.5, 7.5, 5.5])
    assert boxed.pbc.all()


@pytest.fixture(scope="module")
def structures():
    return read_dataset(ROOT / "data/dataset/new_molecules.h5").subset(range(0, 120, 2))


def test_data_come_back_as_they_travelled(structures, tmp_path):
    shuffled = structures.subset(np.random.default_rng(0).permutation(len(structures)))
    path = tmp_path / f"data{PACKED}"
    assert pack(shuffled, path) == path.stat().st_size
    found = unpack(path)
    expected = shuffled.subset(np.lexsort((np.arange(len(shuffled)), shuffled.sizes, shuffled.molecules)))
    np.testing.assert_array_equal(found.atomic_numbers, expected.atomic_numbers)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_allclose(found.positions, expected.positions, rtol=0, atol=1e-9)
    assert np.abs(found.forces - expected.forces).max() < 1e-4
    assert np.abs(found.energy - expected.energy).max() < 1e-6
    assert path.stat().st_size < 24 * len(found.atomic_numbers)  # four bytes for each coordinate and each force


def test_what_cannot_travel_is_refused(structures, tmp_path):
    one = structures.subset([0])
    between = np.array(one.positions) + 3e-5
    with pytest.raises(AssayError, match="between steps"):
        pack(type(one)(**vars(one) | {"positions": between}), tmp_path / "data")
    with pytest.raises(AssayError, match="repeats"):
        pack(type(one)(**vars(one) | {"pbc": np.ones((1, 3), bool)}), tmp_path / "data")
    (tmp_path / "data").write_bytes(b"nothing")
    with pytest.raises(AssayError, match="pack it again"):
        unpack(tmp_path / "data")
