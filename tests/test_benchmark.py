"""The benchmark reports what was timed, in the units that it names. No test here depends on how fast anything is."""

import json
import sys

import ase.build
import numpy as np
import pytest
import torch
from ase.calculators.calculator import Calculator, all_changes

from assay.benchmark.figures import draw_benchmark
from assay.benchmark.memory import PeakMemory
from assay.benchmark.points import Point, atoms_at, choose_points
from assay.benchmark.run import Benchmark, count_gflop, count_gflops, describe, summarize, teacher_calls
from assay.benchmark.timing import Timing
from assay.checkpoint import normalize
from assay.engine.library import library
from assay.engine.model_file import to_bytes
from assay.export.metadata import export_metadata
from assay.models import build_model
from assay.predictors.networks import EagerPredictor
from assay.sampling.teacher import Teacher
from assay.structures.structure import Structure, typical_batch
from assay.workflow.config_models import config_yaml
from assay.workflow.errors import AssayError
from assay.workflow.files import read_json, write_json

SETTINGS = config_yaml.Benchmark(
    system_sizes=[3, 9],
    single_sizes=[],
    batch_sizes=[1, 2, 4],
    detailed_batch_sizes=[1, 4],
    max_atoms=36,
    seconds=0.01,
    min_rounds=2,
    longest_s=1e9,
    max_rounds=6,
    time_step_fs=0.5,
)


def timing(*durations):
    return Timing({k: np.array([duration]) for k, duration in enumerate(durations)}, 3, True)


def molecule(name):
    return Structure.from_ase(ase.build.molecule(name), name)


@pytest.fixture
def structures():
    return [molecule(name) for name in ("H2O", "H2CO", "CH3CH2OH", "C6H6", "CH3OH", "CH3CHO")]


class CountingCalculator(Calculator):
    """Springs to the origin; counts calculations and instances."""

    implemented_properties = ("energy", "forces")
    calculations = instances = 0

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        type(self).instances += 1

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        type(self).calculations += 1
        x = self.atoms.positions
        self.results = {"energy": 0.5 * float((x * x).sum()), "forces": -x}


@pytest.fixture
def teacher(monkeypatch):
    monkeypatch.setattr(CountingCalculator, "calculations", 0)
    monkeypatch.setattr(CountingCalculator, "instances", 0)
    return Teacher("springs", f"{__name__}.CountingCalculator")


@pytest.fixture
def model_file(tmp_path):
    torch.manual_seed(0)
    model = build_model("painn", {"hidden": 8, "n_blocks": 2, "n_rbf": 5, "head": [4]})
    config = {"architecture": "painn", **model.hyperparameters}
    torch.save({"model_state_dict": model.state_dict(), "config": config}, tmp_path / "raw.pt")
    path = tmp_path / "model.safetensors"
    path.write_bytes(normalize(tmp_path / "raw.pt").to_bytes())
    return path


def test_points_take_the_structures_nearest_in_size(structures):
    points = choose_points(structures, SETTINGS)
    assert [structure.name for structure in points[0].structures] == ["H2O"]
    assert {structure.name for structure in points[5].structures} == {"CH3CH2OH", "CH3CHO", "CH3OH", "C6H6"}
    assert all(point.system_size in SETTINGS.system_sizes for point in points)


def test_batches_that_are_too_large_are_left_out_and_single_structures_never(structures):
    keys = [point.key for point in choose_points(structures, SETTINGS)]
    assert keys == [(3, 1), (3, 2), (3, 4), (9, 1), (9, 2), (9, 4)]
    narrow = config_yaml.Benchmark(**{**vars(SETTINGS), "max_atoms": 8})
    assert [point.key for point in choose_points(structures, narrow)] == [(3, 1), (3, 2), (9, 1)]


def test_few_structures_are_repeated_and_none_is_an_error():
    points = choose_points([molecule("H2O")], SETTINGS)
    assert [len(point.structures) for point in points] == [1, 2, 4, 1, 2, 4]
    with pytest.raises(AssayError, match="no structure to time"):
        choose_points([], SETTINGS)


def test_open_structures_are_preferred_to_periodic_ones(structures):
    crystal = Structure.from_ase(ase.build.bulk("C", cubic=True), "diamond")
    points = choose_points([crystal, *structures], config_yaml.Benchmark(**{**vars(SETTINGS), "system_sizes": [8]}))
    assert "diamond" not in {structure.name for point in points for structure in point.structures}


def test_a_typical_batch_is_full_and_of_the_median_size(structures):
    batch = typical_batch(structures[:5], 32)
    assert len(batch) == 32 and len({structure.name for structure in batch}) == 5
    assert len(batch[0]) == sorted(map(len, structures[:5]))[2]
    assert len({structure.name for structure in typical_batch(structures, 2)}) == 2


def test_an_isolated_atom_is_not_timed_in_the_place_of_crystals():
    crystal = Structure.from_ase(ase.build.bulk("C", cubic=True), "diamond")
    points = choose_points([molecule("C"), crystal], config_yaml.Benchmark(**{**vars(SETTINGS), "system_sizes": [8]}))
    assert {structure.name for point in points if point.system_size == 8 for structure in point.structures} == {
        "diamond"
    }


def test_rates_are_structures_and_atoms_over_time():
    timings = {
        "onnx": timing(0.02, 0.02, 0.02),
        "eager": timing(0.08, 0.08, 0.08),
        "teacher": timing(1.0, 1.0, 1.0),
        "teacher restarted": timing(0.5, 0.5, 0.5),
        "neighbor search": timing(0.001, 0.001, 0.001),
        "onnx, neighbors known": timing(0.015, 0.015, 0.015),
        "onnx, one thread": timing(0.03, 0.03, 0.03),
    }
    row = describe(timings, "onnx", {"batch_size": 4, "n_atoms": 100}, time_step_fs=0.5)
    assert row["latency_ms_median"] == pytest.approx(20.0)
    assert row["structures_per_s"] == pytest.approx(4 / 0.02)
    assert row["atoms_per_s"] == pytest.approx(100 / 0.02)
    assert row["us_per_atom"] == pytest.approx(200.0)
    assert row["neighbor_search_ms_median"] == pytest.approx(1.0)
    assert row["latency_neighbors_known_ms_median"] == pytest.approx(15.0)
    assert row["latency_ratio_to_eager"]["median"] == pytest.approx(0.25)
    assert row["latency_ratio_to_one_thread"]["median"] == pytest.approx(2 / 3)
    assert row["speedup_over_teacher"]["median"] == pytest.approx(4 * 1.0 / 0.02)
    assert row["speedup_over_restarted_teacher"]["median"] == pytest.approx(4 * 0.5 / 0.02)
    steps_per_day = 86400 / 0.02
    assert row["ns_per_day"] == pytest.approx(steps_per_day * 0.5e-6)


def test_the_fastest_runtime_of_each_size_and_batch_is_named():
    """Which failed at one of them."""
    common = {"n_atoms": 20, "n_edges": 100, "atoms_per_s": 1.0, "latency_ms_p5": 1.0, "latency_ms_p95": 1.0}
    times = {("onnx", 3): 2.0, ("eager", 3): 5.0, ("onnx", 9): 7.0, ("eager", 9): 6.0}
    rows = [
        common | {"runtime": name, "system_size": size, "batch_size": 1, "latency_ms_median": ms}
        for (name, size), ms in times.items()
    ]
    failed = {"runtime": "compiled", "system_size": 3, "batch_size": 1, "error": "out of memory"}
    found = summarize([failed, *rows], None)["fastest"]
    assert [(row["runtime"], row["system_size"], row["latency_ms_median"]) for row in found] == [
        ("onnx", 3, 2.0),
        ("eager", 9, 6.0),
    ]


def test_single_sizes_are_timed_alone_and_beyond_the_data_as_a_droplet(structures):
    settings = config_yaml.Benchmark(**{**vars(SETTINGS), "single_sizes": [4, 300]})
    water, (*_, formaldehyde, droplet) = structures[0], choose_points(structures, settings)
    assert [structure.name for structure in formaldehyde.structures] == ["H2CO"]
    assert droplet.key == (300, 1)
    assert droplet.n_atoms == pytest.approx(300, rel=0.05)
    x = droplet.structures[0].positions
    distance = np.linalg.norm(x[:, None] - x[None], axis=-1) + 9.0 * np.eye(len(x))
    bond = np.linalg.norm(water.positions[0] - water.positions[1])
    assert distance.min() > 0.7 * bond  # molecules do not run into each other
    assert 25 < (distance < 5.0).sum(1).mean() < 70  # neighbors of an atom in a liquid


def test_large_structures_are_timed_without_the_teacher_and_without_slow_runtimes(
    model_file, structures, teacher, monkeypatch
):
    settings = config_yaml.Benchmark(**{**vars(SETTINGS), "single_sizes": [4, 30], "longest_s": 0.025})
    result = run({"eager": model_file}, structures, teacher, monkeypatch, settings)
    assert {row["system_size"] for row in result["teacher"]["rows"]} == {3, 4, 9}
    [large] = [row for row in result["rows"] if row["system_size"] == 30]
    assert large["left_out"] == "its first call took more than 0.025 s"
    assert "latency_ms_median" not in large
    assert large["peak_memory_MB"] is not None
    others = [row for row in result["rows"] if row["system_size"] != 30]
    assert all("latency_ms_median" in row for row in others)  # whatever they take
    patient = config_yaml.Benchmark(**{**vars(settings), "longest_s": 0.05})
    rows = run({"eager": model_file}, structures, teacher, monkeypatch, patient)["rows"]
    assert all("latency_ms_median" in row for row in rows)


@pytest.mark.parametrize("count", [1, 2])
def test_every_call_of_the_teacher_computes_and_none_makes_it(teacher, structures, count):
    calls = teacher_calls(teacher, structures[:count])
    CountingCalculator.calculations = 0
    made = CountingCalculator.instances
    for _ in range(3):
        calls["teacher"]()
    assert (CountingCalculator.calculations, CountingCalculator.instances) == (3, made)
    for _ in range(3):
        calls["teacher restarted"]()
    assert (CountingCalculator.calculations, CountingCalculator.instances) == (6, made)


def test_matrix_products_are_counted_in_both_passes(structures):
    class OneProduct:
        weight = torch.ones(5, 7)

        def evaluate(self, batch):
            x = torch.ones(sum(map(len, batch)), 5, requires_grad=True)
            torch.autograd.grad((x @ self.weight).sum(), x)

    n_atoms = sum(map(len, structures))
    assert count_gflop(OneProduct(), structures) == pytest.approx(2 * 2 * n_atoms * 5 * 7 / 1e9)


def test_operations_of_a_student_grow_with_its_atoms(model_file):
    predictor = EagerPredictor(normalize(model_file).build())
    one, two = (count_gflop(predictor, [molecule("C6H6")] * n) for n in (1, 2))
    assert two == pytest.approx(2 * one)
    assert one > 0


class Counted:
    """A predictor that notes the number of atoms of each batch that it evaluates."""

    def __init__(self, evaluate):
        self.compute, self.n_atoms = evaluate, []

    def evaluate(self, batch):
        self.n_atoms.append(sum(map(len, batch)))
        return self.compute(batch)


def test_operations_of_large_batches_follow_from_small_ones(model_file):
    predictor = EagerPredictor(normalize(model_file).build())
    water, ethanol, benzene = map(molecule, ("H2O", "CH3CH2OH", "C6H6"))
    batches = [[benzene, ethanol] * 3, [water], [benzene], [ethanol], [water] * 9]
    edges = [sum(len(s) * (len(s) - 1) for s in batch) for batch in batches]  # all atoms are within the cutoff
    sizes = [(sum(map(len, batch)), n) for batch, n in zip(batches, edges, strict=True)]
    counted = Counted(predictor.evaluate)
    found = count_gflops(counted, batches, sizes)
    assert found == pytest.approx([count_gflop(predictor, batch) for batch in batches], rel=1e-12)
    assert counted.n_atoms == [3, 9, 12]


def test_operations_that_are_not_linear_in_size_are_counted_everywhere():
    def attention(batch):
        x = torch.ones(sum(map(len, batch)), 5)
        return x @ x.T

    batches = [[molecule("H2O")] * n for n in (1, 4, 2, 8)]
    found = count_gflops(Counted(attention), batches, [(3 * len(batch), 6 * len(batch)) for batch in batches])
    assert found == pytest.approx([2 * 5 * (3 * n) ** 2 / 1e9 for n in (1, 4, 2, 8)])


def run(files, structures, teacher, monkeypatch, settings=SETTINGS):
    """A whole benchmark whose clock says 1 ms for each atom of a batch."""
    seen = []

    def one_ms_per_atom(call):
        seen.append(call)
        call()
        return 1e-3 * sum(map(len, call.args[0])) if getattr(call, "args", None) and len(call.args) == 1 else 0.05

    monkeypatch.setattr("assay.benchmark.run.clock", lambda device: one_ms_per_atom)
    monkeypatch.setattr("assay.benchmark.run.matrix_peak", lambda device: {"gflop_per_s": 10.0})
    return Benchmark(files, structures, teacher, settings, "cpu", torch.get_num_threads()).run()


def test_a_run_has_a_row_for_each_runtime_and_point(model_file, structures, teacher, monkeypatch, tmp_path):
    result = run({"eager": model_file}, structures, teacher, monkeypatch)
    points = choose_points(structures, SETTINGS)
    assert [(row["system_size"], row["batch_size"]) for row in result["rows"]] == [point.key for point in points]
    for row, point in zip(result["rows"], points, strict=True):
        assert row["n_atoms"] == point.n_atoms
        assert row["atoms_per_s"] == pytest.approx(1000.0)
        rate = row["matrix_gflop"] / (1e-3 * point.n_atoms)
        assert row["fraction_of_matrix_peak"] == pytest.approx(rate / 10.0)
        assert (row["latency_neighbors_known_ms_median"] is not None) == (point.key[1] in (1, 4))
    assert {row["batch_size"] for row in result["teacher"]["rows"]} == {1, 4}
    assert len(result["summary"]["fastest"]) == len(points)
    assert result["summary"]["throughput_falls"] == []
    write_json(tmp_path / "benchmark.json", result)
    again = read_json(tmp_path / "benchmark.json")
    draw_benchmark(tmp_path / "benchmark.svg", again)
    assert (tmp_path / "benchmark.svg").stat().st_size > 1000
    assert json.dumps(again)


@pytest.mark.skipif(library() is None, reason="no C++ compiler on this machine")
def test_the_engine_is_timed_on_one_thread_too_where_it_may_take_several(structures, tmp_path):
    network, card = build_model("painn", {"hidden": 8, "n_blocks": 1, "n_rbf": 4}), {"variant": "toy"}
    metadata = export_metadata(network, card | {"checkpoint_sha256": "0" * 64, "elements": ["H", "C", "O"]})
    path = tmp_path / "model.assay"
    path.write_bytes(to_bytes(network, metadata, metadata["elements"]))
    for threads, timed in ((2, {1, 4}), (1, set())):
        rows = Benchmark({"package": path}, structures, None, SETTINGS, "cpu", threads).run()["rows"]
        assert {row["batch_size"] for row in rows if "latency_ratio_to_one_thread" in row} == timed


def test_what_fails_is_said_and_the_others_are_timed(model_file, structures, teacher, monkeypatch, tmp_path):
    broken = tmp_path / "model.onnx"
    broken.write_text("no graph")
    evaluate = EagerPredictor.evaluate

    def refuse_pairs(self, batch):
        if len(batch) == 2:
            raise RuntimeError("out of memory\nwith a long tail")
        return evaluate(self, batch)

    monkeypatch.setattr(EagerPredictor, "evaluate", refuse_pairs)
    result = run({"eager": model_file, "onnx": broken}, structures, teacher, monkeypatch)
    assert "not an ONNX file" in result["runtimes"]["onnx"]["error"]
    for row in result["rows"]:
        if row["batch_size"] == 2:
            assert row["error"] == "RuntimeError: out of memory"
            assert "latency_ms_median" not in row
        else:
            assert "error" not in row
    draw_benchmark(tmp_path / "benchmark.svg", result)
    with pytest.raises(AssayError, match="no runtime can load"):
        run({"onnx": broken}, structures, teacher, monkeypatch)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read as Linux tells it")
def test_peak_memory_is_that_of_the_call():
    held = np.ones(4_000_000)  # 32 MB, before
    memory = PeakMemory()
    peak = memory.of(lambda: float(np.ones(8_000_000).sum()))  # 64 MB, given back
    assert 60 < peak < 90
    assert memory.of(lambda: float(np.ones(1_000_000).sum())) < 30
    assert held.size == 4_000_000


def test_the_atoms_of_a_size_are_those_of_the_smallest_batch_that_was_timed():
    rows = [(20, 32, 58 * 32), (20, 8, 60 * 8 + 1), (60, 1, 61)]
    timed = [{"system_size": size, "batch_size": batch, "n_atoms": n_atoms} for size, batch, n_atoms in rows]
    assert (atoms_at(timed, 20), atoms_at(timed, 60)) == (60, 61)


def test_a_point_knows_its_atoms():
    assert Point(3, [molecule("H2O")] * 4).n_atoms == 12
    assert Point(3, [molecule("H2O")] * 4).key == (3, 4)
