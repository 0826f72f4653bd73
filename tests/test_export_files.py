"""Exported files agree with the network they came from, and what judges them can tell when they do not."""

import copy
import functools
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import ase.build
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from assay.engine.library import library
from assay.engine.model_file import why_not_computed
from assay.export import onnx_graphs
from assay.export.forms import SlotPotential
from assay.export.half import to_half
from assay.export.lowering import lower
from assay.export.tables import find_pairs, slot_inputs
from assay.predictors.interface import BatchPredictor, load_predictor
from assay.predictors.networks import predictor_of
from assay.structures.geometry import moved, random_cluster
from assay.structures.structure import Structure, collate
from assay.verification import determinism, graph_checks, parity
from assay.verification.verify import largest_errors
from assay.workflow.config_models.physics_yaml import Tolerance
from assay.workflow.errors import AssayError
from shared.export_students import CUTOFF, ELEMENTS, STUDENTS, TOLERANCE, Exported, failed, references

ROOT = Path(__file__).parents[1]
FILES = ("model.onnx", "model.edges.onnx", "model.ts.pt")


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Makes a student with all its files by its name, once for this module."""
    return functools.cache(lambda name: Exported(name, tmp_path_factory.mktemp(name)))


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] * (name != "painn")) for name in sorted(STUDENTS)])
def student(request, exports):
    return exports(request.param)


@pytest.fixture
def painn(exports):
    return exports("painn")


def test_every_file_agrees_with_double_precision_on_every_case(student, cases):
    isolated, periodic = cases
    expected = references(student.model, isolated | periodic)
    for name in FILES if why_not_computed(student.model) or library() is None else (*FILES, "model.assay"):
        judged = isolated if name == "model.onnx" else isolated | periodic
        rows = parity.parity_rows(student.predictor(name), judged, expected, TOLERANCE)
        assert len(rows) == len(judged)
        assert failed(rows) == [], name


@pytest.mark.skipif(library() is None, reason="no C++ compiler on this machine")
def test_the_engine_says_which_networks_it_does_not_compute(exports):
    seed = exports("seed-painn")
    with pytest.raises(AssayError, match=r"model\.assay is of a network that the engine does not compute"):
        seed.predictor("model.assay")


@pytest.mark.parametrize("change", ["weight", "nan", "shape", "crash", "virial", "no virial"])
def test_parity_sees_a_wrong_model(student, cases, change):
    batch = {"5 atoms": cases[0]["5 atoms"]}
    predictor = student.predictor("model.ts.pt")
    evaluate = predictor.evaluate_with_virial

    def wrong(structures):
        energy, forces, virial = evaluate(structures)
        if change == "crash":
            raise RuntimeError("out of memory")
        if change == "weight":
            forces = forces + np.array([2e-4, 0.0, 0.0])
        if change == "nan":
            forces = forces * np.nan
        if "virial" in change:
            virial = -virial if change == "virial" else virial * np.nan
        return (energy[:, None] if change == "shape" else energy), forces, virial

    predictor.evaluate_with_virial = wrong
    (row,) = parity.parity_rows(predictor, batch, references(student.model, batch), TOLERANCE)
    assert not row["passed"]
    assert ("error" in row) == (change in ("shape", "crash"))
    json.dumps(row, allow_nan=False)
    exact = {"energy_error_eV": 0.0, "forces_error_eV_per_A": 0.0, "passed": True}
    largest = largest_errors([exact, row])
    assert not largest["passed"]
    assert (largest["energy_error_eV_max"] is None) == (change in ("nan", "shape", "crash")), (
        "no error of those cases that gave one"
    )


def test_graphs_are_standard_and_free_of_scatters(student):
    for name in ("model.onnx", "model.edges.onnx"):
        verdict = graph_checks.check_graph(student.folder / name)
        assert verdict["passed"], verdict
        assert verdict["inputs"]["positions"] == "float[atoms, 3]"
        assert verdict["outputs"]["energy"] == "double[structures]"
        assert verdict["outputs"]["forces"] == "float[atoms, 3]"
    assert list(verdict["inputs"]) == ["atomic_numbers", "positions", "batch", "edge_index", "edge_shift"]


def test_additions_of_small_numbers_survive(painn):
    """The exporter that PyTorch brings drops the 1e-8 under the root of the norm, and lone atoms get NaN forces."""
    constants = [onnx.numpy_helper.to_array(tensor) for tensor in painn.graphs["model.onnx"].graph.initializer]
    assert any(array.ndim == 0 and array == np.float32(1e-8) for array in constants)
    _, forces = painn.predictor("model.onnx").evaluate([Structure("one", np.array([6]), np.zeros((1, 3)))])
    assert np.array_equal(forces, np.zeros((1, 3)))


def test_atoms_of_structures_may_be_interleaved(painn):
    draw = np.random.default_rng(6)
    structures = [random_cluster(draw, ELEMENTS, n_atoms, 1.7) for n_atoms in (9, 4, 6)]
    numbers, positions, batch = (x.numpy() for x in collate(structures))
    student = painn.predictor("model.onnx").student
    order = draw.permutation(len(numbers))
    energy, forces, _ = student(numbers, positions, batch)
    mixed_energy, mixed_forces, _ = student(numbers[order], positions[order], batch[order])
    np.testing.assert_allclose(mixed_energy, energy, atol=1e-5)
    np.testing.assert_allclose(mixed_forces, forces[order], atol=1e-5)


def runs_of(student, name):
    """A file as a function of numbers, positions, structures and, if it takes them, edges, by the names of results."""
    if name.startswith("model.ts.pt"):
        module = torch.jit.load(student.folder / "model.ts.pt")
        own = module.from_edges if name.endswith("from_edges") else module
        return lambda *arrays: [x.numpy() for x in own(*map(torch.from_numpy, arrays))]
    session = onnxruntime.InferenceSession(student.folder / name)
    names = [value.name for value in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))


@pytest.mark.parametrize("name", [*FILES, "model.ts.pt from_edges"])
def test_atomic_numbers_and_indices_that_there_are_not_give_nan(student, name):
    run = runs_of(student, name)
    numbers, structures = np.array([8, 1, 6, 1]), np.array([0, 0, 1, 1])
    positions = np.array([[0, 0, 0], [0.9, 0.1, 0], [0, 0.2, 0], [0, 0, 1.1]], np.float32)
    edges = [np.array([[0, 1, 2, 3], [1, 0, 3, 2]]), np.zeros((4, 3), np.float32)] if "edges" in name else []
    right = run(numbers, positions, structures, *edges)
    assert all(np.isfinite(result).all() for result in right)
    beyond = student.model.max_z + 1
    for z in (0, -1, 1 - beyond, -beyond, -beyond - 1, -(2**63), beyond, beyond + 1, 2 * beyond, 2**63 - 1):
        numbers[1] = z
        for found, expected in zip(run(numbers, positions, structures, *edges), right, strict=True):
            first = 2 if len(found) == 4 else 1
            assert np.isnan(found[:first]).all(), z
            np.testing.assert_array_equal(found[first:], expected[first:])
    numbers[1] = 1
    for index in (-1, -5, -(2**63)):
        for array in [structures, *(row for row in edges[:1] for row in row)]:
            kept, array[1] = array[1], index
            for result in run(numbers, positions, structures, *edges):
                assert np.isnan(result).all(), index
            array[1] = kept


def test_edges_may_come_in_any_order_and_be_longer_than_the_cutoff(student, cases):
    batch = cases[1]["slab"]
    numbers, positions, index = (x.numpy() for x in collate(batch))
    graph = parity.ase_graph(batch, CUTOFF, torch.float32)
    longer = parity.ase_graph(batch, CUTOFF + 0.7, torch.float32)
    assert longer.edge_shape[0] > graph.edge_shape[0]
    run = student.predictor("model.edges.onnx").student
    expected = run(numbers, positions, index, graph.edge_index.numpy(), graph.shift.numpy())
    order = np.random.default_rng(7).permutation(longer.edge_shape[0])
    found = run(numbers, positions, index, longer.edge_index.numpy()[:, order], longer.shift.numpy()[order])
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(left, right, atol=2e-5)


def test_virial_is_that_of_the_network(student, cases):
    batch = cases[1]["periodic and open together"]
    numbers, positions, index = collate(batch, dtype=torch.float64)
    graph = parity.ase_graph(batch, CUTOFF, torch.float64)
    expected = student.model.energy_and_forces(numbers, positions, index, len(batch), graph, virial=True).virial
    arrays = (numbers.numpy(), positions.numpy(), index.numpy(), graph.edge_index.numpy(), graph.shift.numpy())
    found = student.predictor("model.edges.onnx").student(*arrays).virial
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("runtime", ["eager", "engine", *FILES, "model.assay"])
def test_predictors_lose_no_digit_wherever_atoms_lie(painn, tmp_path, runtime):
    """Far from the origin, in a batch with others, and unwrapped over many cells of a crystal."""
    if runtime in ("engine", "model.assay") and library() is None:
        pytest.skip("no C++ compiler on this machine")
    if "." in runtime:
        predictor = painn.predictor(runtime)
    else:
        predictor = predictor_of(copy.deepcopy(painn.model).float(), runtime=runtime)
    draw = np.random.default_rng(6)
    here = [random_cluster(draw, ELEMENTS, n, 1.9) for n in (12, 7)]
    away = [moved(here[0], here[0].positions + 2e5), moved(here[1], here[1].positions - np.array([3e6, 0.0, 7e3]))]
    if runtime != "model.onnx":
        crystal = Structure.from_ase(ase.build.bulk("C", cubic=True) * (2, 1, 1))
        crystal = moved(crystal, crystal.positions + draw.normal(scale=0.05, size=crystal.positions.shape))
        cells = draw.integers(-300, 300, crystal.positions.shape) @ crystal.cell
        here, away = [*here, crystal], [*away, moved(crystal, crystal.positions + cells)]
    for near, far in zip(predictor.predict(here), predictor.predict(away), strict=True):
        largest = np.abs(near.forces_eV_per_A).max()
        assert largest > 1e-3
        np.testing.assert_allclose(far.forces_eV_per_A, near.forces_eV_per_A, rtol=0, atol=2e-5 * largest)
        assert far.energy_eV == pytest.approx(near.energy_eV, rel=1e-5)
        if near.stress_eV_per_A3 is not None:
            largest = np.abs(near.stress_eV_per_A3).max()
            np.testing.assert_allclose(far.stress_eV_per_A3, near.stress_eV_per_A3, rtol=0, atol=2e-5 * largest)


def test_a_wide_open_structure_loses_no_digit_or_is_refused(painn):
    near = random_cluster(np.random.default_rng(6), ELEMENTS, 12, 1.9)
    apart = 3000.0 * (np.arange(12) % 2)[:, None] * np.ones(3)
    alone = [moved(near, near.positions), moved(near, near.positions - apart)]
    wide = Structure("wide", np.tile(near.atomic_numbers, 2), np.concatenate([s.positions for s in alone]))
    wide.positions[12:] += np.array([0.0, 3000.0, 0.0])
    exact = predictor_of(painn.model).predict([wide])[0].forces_eV_per_A
    found = painn.predictor("model.ts.pt").predict([wide])[0].forces_eV_per_A
    np.testing.assert_allclose(found, exact, rtol=0, atol=2e-5 * np.abs(exact).max())
    with pytest.raises(AssayError, match=r"more than 256 angstrom from the middle .*use model\.edges\.onnx"):
        painn.predictor("model.onnx").predict([wide])


@pytest.mark.parametrize("name", ["model.ts.pt", "model.ts.pt from_edges"])
def test_torchscript_keeps_the_digits_of_double_positions_wherever_they_lie(painn, name):
    numbers, at, index = collate([random_cluster(np.random.default_rng(4), ELEMENTS, 12, 1.9)], dtype=torch.float64)
    pairs = torch.stack(find_pairs(at, index, CUTOFF)).numpy()
    edges = [pairs, np.zeros((pairs.shape[1], 3))] if "edges" in name else []

    def forces(positions):
        return runs_of(painn, name)(numbers.numpy(), positions.numpy(), index.numpy(), *edges)[1]

    here, far = forces(at), at + 1000.0
    largest = np.abs(here).max()
    for place in (far, at + 2.0**24):  # where numbers of single precision are two angstrom apart
        np.testing.assert_allclose(forces(place), here, rtol=0, atol=1e-6 * largest)
    assert np.abs(forces(far.float()) - here).max() > 1e-5 * largest, "their digits should count"


def test_results_are_the_same_bits_run_after_run(painn):
    draw = np.random.default_rng(8)
    batch = [random_cluster(draw, ELEMENTS, n_atoms, 1.7) for n_atoms in (20, 7)]
    for name in FILES:
        verdict = determinism.check_determinism(painn.folder / name, batch, runs=10, threads=[1, 2])
        assert verdict["passed"], (name, verdict)


def test_determinism_sees_one_bit(painn, monkeypatch):
    class Restless(BatchPredictor):
        calls = 0

        def evaluate(self, structures):
            Restless.calls += 1
            return np.zeros(1), np.nextafter(np.zeros((1, 3)), float(Restless.calls == 5))

    restless = Restless("restless", "eager", "cpu", "float64", CUTOFF, 9, None)
    monkeypatch.setattr(determinism, "load_predictor", lambda path, threads: restless)
    verdict = determinism.check_determinism(painn.folder / "model.onnx", [], runs=4, threads=[1, 2])
    assert verdict["different_results_by_threads"] == {"1": 1, "2": 2}
    assert not verdict["passed"]


@pytest.mark.parametrize("part", ["forward", "from_edges"])
def test_what_torchscript_computes_either_way_is_judged(part, painn, cases):
    """Its ``forward`` finds neighbors itself, and ``from_edges`` takes them; each may be wrong alone."""

    class Wrong:
        def __init__(self, module):
            self.module = module

        def __call__(self, *inputs):
            energy, forces = self.module(*inputs)
            return energy + (part == "forward"), forces

        def from_edges(self, *inputs):
            energy, forces, virial = self.module.from_edges(*inputs)
            return energy + (part == "from_edges"), forces, virial + (part == "from_edges")

    predictor = painn.predictor("model.ts.pt")
    predictor.module = Wrong(predictor.module)
    case = {"5 atoms": cases[0]["5 atoms"]}
    assert len(failed(parity.parity_rows(predictor, case, references(painn.model, case), TOLERANCE))) == 1


@pytest.mark.slow
def test_torchscript_runs_in_plain_pytorch(painn, cases):
    structure = cases[0]["5 atoms"][0]
    expected = parity.reference(painn.model, [structure])
    program = f"""
import json, sys, torch
module = torch.jit.load({str(painn.folder / "model.ts.pt")!r})
energy, forces = module(torch.tensor({structure.atomic_numbers.tolist()}), torch.tensor({structure.positions.tolist()}),
                        torch.zeros({len(structure)}, dtype=torch.int64))
assert not any(name.split(".")[0] == "assay" for name in sys.modules)
print(json.dumps([energy.tolist(), forces.tolist()]))
"""
    command = [sys.executable, "-I", "-W", "ignore", "-c", program]
    output = subprocess.run(command, cwd=painn.folder, capture_output=True, text=True, check=True).stdout
    energy, forces = json.loads(output)
    np.testing.assert_allclose(energy, expected.energy_eV, atol=1e-4)
    np.testing.assert_allclose(forces, expected.forces_eV_per_A, atol=1e-4)


def test_torchscript_tells_no_folder_of_the_machine_that_wrote_it(painn):
    with zipfile.ZipFile(painn.folder / "model.ts.pt") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    assert any(name.endswith("extra/identity.json") for name in records)
    for name, content in records.items():
        assert str(ROOT).encode() not in content, name
        assert re.search(rb"/\w+\.py\b", content) is None, name


def test_torchscript_makes_every_tensor_where_its_inputs_are(student):
    """A device in the code would be that of the exporting machine: such a file failed on a GPU."""
    module = torch.jit.load(str(student.folder / "model.ts.pt"))
    for method in (module.forward, module.from_edges):
        assert "torch.device(" not in method.code


def test_half_precision_keeps_positions_and_energies_in_single(student, cases):
    half = to_half(student.graphs["model.onnx"])
    path = student.folder / "model.fp16.onnx"
    onnx_graphs.save(half, path)
    # The bound grows with the number of atoms: in a crystal the errors of equal atoms add up.
    loose = Tolerance(
        energy_eV=0.01, energy_eV_per_atom=5e-3, energy_relative=1e-6, forces_eV_per_A=0.02, forces_relative=1.5e-2
    )
    rows = parity.parity_rows(load_predictor(path, threads=1), cases[0], references(student.model, cases[0]), loose)
    assert failed(rows) == []
    casts = {node.output[0]: node.input[0] for node in half.graph.node if node.op_type == "Cast"}
    assert not set(casts.values()).intersection(casts), (
        "a value is rounded on its way between nodes of single precision"
    )
    assert [value.type for value in half.graph.input] == [v.type for v in student.graphs["model.onnx"].graph.input]
    assert [value.type for value in half.graph.output] == [v.type for v in student.graphs["model.onnx"].graph.output]
    assert any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in half.graph.initializer)
    assert graph_checks.check_graph(path)["passed"]


def test_files_say_what_they_are(painn):
    for name in FILES:
        predictor = painn.predictor(name)
        assert predictor.cutoff_A == CUTOFF
        assert predictor.elements == frozenset(ELEMENTS)
        assert predictor.dtype == "float32"


def test_what_a_file_cannot_do_is_said_in_a_sentence(painn, cases, tmp_path):
    with pytest.raises(AssayError, match=r"is periodic.*model\.edges\.onnx"):
        painn.predictor("model.onnx").predict(cases[1]["slab"])
    with pytest.raises(AssayError, match="no file"):
        load_predictor(tmp_path / "absent.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(AssayError, match="not an ONNX file of a student"):
        load_predictor(tmp_path / "broken.onnx")


@pytest.mark.slow
def test_slots_agree_with_double_precision_on_every_case(student, cases):
    """What AOTInductor compiles, as PyTorch interprets it."""
    everything = {name: batch for part in cases for name, batch in part.items() if sum(map(len, batch)) < 250}
    network = lower(student.model, SlotPotential)
    for name, batch in everything.items():
        numbers, positions, index = collate(batch, dtype=torch.float64)
        graph = parity.ase_graph(batch, CUTOFF, torch.float64)
        inputs = slot_inputs(numbers, positions, index, graph.neighbor, graph.center, graph.shift, CUTOFF)
        expected = student.model.energy_and_forces(numbers, positions, index, len(batch), graph, virial=True)
        for found, value in zip(network(*inputs), expected, strict=True):
            torch.testing.assert_close(found, value, atol=1e-9, rtol=1e-9, msg=name)
