"""Networks are lowered, traced and compiled without a change, and what judges their graphs sees what is wrong."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from assay.engine.toolchain import compiler
from assay.export import aotinductor
from assay.export.folding import fold_filters
from assay.export.forms import SlotInputs, SlotPotential, TablePotential
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.export.onnx_operators import Writer
from assay.export.prelude import prelude
from assay.export.simplify import simplify
from assay.export.tables import find_pairs, make_table, slot_inputs, table_inputs
from assay.models import build_model
from assay.predictors.interface import load_predictor
from assay.structures.geometry import random_cluster
from assay.structures.structure import Structure, collate
from assay.verification import determinism, graph_checks, parity
from assay.workflow.errors import AssayError
from shared.export_students import CUTOFF, ELEMENTS, STUDENTS, TOLERANCE, failed, references

ROOT = Path(__file__).parents[1]


def test_cases_hold_what_they_are_called(cases):
    isolated, periodic = cases
    lone = parity.ase_graph(isolated["isolated atoms"], CUTOFF, torch.float64)
    dense = parity.ase_graph(isolated["dense cluster"], CUTOFF, torch.float64)
    assert lone.edge_shape == (0,)
    assert torch.bincount(dense.center).max() > 100
    for name in ("batch of 64", "64 random clusters"):
        assert len(isolated[name]) == 64
        assert len({len(structure) for structure in isolated[name]}) > 10
    small = parity.ase_graph(periodic["triclinic cell below the cutoff"], CUTOFF, torch.float64)
    assert (small.center == small.neighbor).any(), "an atom should see its own image"


def test_graph_checks_see_scatters_and_custom_operators(tmp_path):
    text = """<ir_version: 10, opset_import: ["" : 18, "mine" : 1]>
    g (float[n] x, int64[m, 1] i, float[m] u) => (float[n] y) {OPERATION}"""
    for operation, problem in {
        'y = ScatterND <reduction = "add"> (x, i, u)': "scatters",
        "y = mine.Magic (x)": "custom_operators",
    }.items():
        path = tmp_path / "model.onnx"
        onnx.save(onnx.parser.parse_model(text.replace("OPERATION", operation)), path)
        verdict = graph_checks.check_graph(path)
        assert verdict[problem] and not verdict["passed"]


@pytest.mark.parametrize("owner", [[], [0], [2, 0, 2, 2, 0], [1, 1, 1], [3, 2, 1, 0]])
def test_tables_list_the_places_of_each_owner(owner):
    owner, n_atoms = np.array(owner, dtype=np.int64), 4
    edges = np.stack([np.zeros_like(owner), owner])
    session = onnxruntime.InferenceSession(prelude(CUTOFF, search=False).SerializeToString())
    names = [value.name for value in session.get_outputs()]
    feed = {"batch": np.array([0, 0, 2, 2]), "edge_index": edges, "edge_shift": np.zeros((len(owner), 3), np.float32)}
    feed["positions"] = np.zeros((n_atoms, 3), np.float32)
    tables = dict(zip(names, session.run(None, feed), strict=True))
    expected = [np.flatnonzero(owner == atom).tolist() for atom in range(n_atoms)]
    assert [[e for e in row if e < len(owner)] for row in tables["incoming"].tolist()] == expected
    scripted = make_table(torch.from_numpy(owner), n_atoms)
    assert [[e for e in row if e < len(owner)] for row in scripted.tolist()] == expected
    assert tables["members"].tolist() == [[0, 1], [4, 4], [2, 3]]
    assert tables["neighbor"].tolist() == [*edges[0], 0]
    assert tables["shift"][-1].tolist() == [2 * CUTOFF, 0.0, 0.0]


def test_slots_that_are_empty_widen_no_table():
    star = Structure("star", np.full(40, 6), np.concatenate([np.zeros((1, 3)), 60.0 * np.eye(3).repeat(13, 0)]))
    star.positions[1:] *= np.arange(1, 40)[:, None]  # each far from all others
    star.positions[1:11] = 1.5 * np.random.default_rng(3).normal(size=(10, 3))  # but for ten about the first
    numbers, positions, batch = collate([star])
    graph = parity.ase_graph([star], CUTOFF, torch.float32)
    *_, neighbor, _, outgoing, _ = slot_inputs(
        numbers, positions, batch, graph.neighbor, graph.center, graph.shift, CUTOFF
    )
    assert outgoing.shape[1] == torch.bincount(graph.neighbor).max() < (neighbor == torch.arange(40)[:, None]).sum()
    flat = torch.cat([neighbor.reshape(-1), neighbor.new_full((1,), -1)])
    assert all(set(flat[row].tolist()) <= {atom, -1} for atom, row in enumerate(outgoing))
    assert (outgoing < neighbor.numel()).sum() == graph.edge_shape[0]


def test_search_in_the_graph_finds_what_ase_finds():
    draw = np.random.default_rng(5)
    structures = [random_cluster(draw, ELEMENTS, n_atoms, 1.7) for n_atoms in (1, 30, 2, 17)]
    _, positions, batch = (x.numpy() for x in collate(structures))
    expected = parity.ase_graph(structures, CUTOFF, torch.float64).edge_index.numpy()
    session = onnxruntime.InferenceSession(prelude(CUTOFF, search=True).SerializeToString())
    neighbor, atom = session.run(["neighbor", "atom"], {"positions": positions, "batch": batch})
    found = set(zip(neighbor[:-1].tolist(), atom[:-1].tolist(), strict=True))
    assert found == set(zip(*expected.tolist(), strict=True))
    assert len(neighbor) - 1 == len(found)


@pytest.mark.slow
def test_torchscript_of_two_folders_is_the_same_bits(tmp_path):
    program = f"""
import torch
from assay.export import torchscript
from assay.export.lowering import lower
from assay.models import build_model
torch.manual_seed(0)
module = torchscript.to_torchscript(lower(build_model("painn", {STUDENTS["painn"]})), {CUTOFF})
torchscript.save(module, "model.ts.pt", {{"variant": "test"}})
"""
    written = []
    for folder in (tmp_path / "here", tmp_path / "there/and/deeper"):
        shutil.copytree(ROOT / "scripts/assay", folder / "assay", ignore=shutil.ignore_patterns("__pycache__"))
        own = os.environ | {"PYTHONPATH": str(folder)}
        subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=folder, env=own, check=True)
        written.append((folder / "model.ts.pt").read_bytes())
    assert written[0] == written[1]


def test_operations_without_an_onnx_form_are_named():
    class Odd(torch.nn.Module):
        def forward(self, x):
            return (torch.special.bessel_j0(x),)

    traced = torch.fx.experimental.proxy_tensor.make_fx(Odd(), tracing_mode="symbolic")(torch.ones(3))
    with pytest.raises(AssayError, match="bessel_j0"):
        Writer(traced).write(["x"], ["y"])


@pytest.mark.parametrize("form", [TablePotential, SlotPotential])
def test_lowering_leaves_the_model_as_it_was_and_no_scatter(form):
    model = build_model("painn", STUDENTS["painn"] | {"n_blocks": 1}).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    network = lower(model, form)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert "blocks_0_filter_part_0" in dict(network.named_buffers())
    targets = [str(node.target) for node in network.graph.nodes]
    assert [target for target in targets if any(word in target for word in ("scatter", "index_add", "index_put"))] == []
    assert [tuple(value.shape) for value in network(*form.example())] == [(2,), (7, 3), (2, 3, 3)]


@pytest.mark.parametrize(("name", "filter_bias"), [("painn", True), ("painn", False), ("tensors", True)])
def test_folded_filters_are_the_same_filters(name, filter_bias):
    model = build_model("painn", STUDENTS[name] | {"filter_bias": filter_bias}).double()
    folded, distance = copy.deepcopy(model), torch.linspace(0.6, 6.0, 40, dtype=torch.float64)
    fold_filters(folded)
    basis, envelope = model.radial(distance), model.envelope(distance)
    for block, other in zip(model.blocks, folded.blocks, strict=True):
        (hook,) = other._forward_pre_hooks.values()
        _, _, carrying, ones, *_ = hook(other, (None, None, basis, envelope))
        torch.testing.assert_close(other.filter(carrying), block.filter(basis) * envelope.unsqueeze(-1))
        assert ones.eq(1).all()


def test_a_shift_without_end_gives_no_number_where_no_direction_tells_of_it():
    schnet = build_model("schnetpack-schnet", {"hidden": 8, "n_blocks": 1, "n_rbf": 4, "n_filters": 8})
    edges, shift = torch.tensor([[1, 0], [0, 1]]), torch.zeros(2, 3)
    shift[:, 0] = torch.tensor([torch.inf, -torch.inf])
    atoms = torch.tensor([1, 8]), torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)
    for found in TablePotential(schnet)(*table_inputs(*atoms, *edges, shift, schnet.cutoff)):
        assert found.isnan().all()


def test_what_is_joined_is_cut_only_off_its_seams():
    def cut(a, b):
        left, right = torch.cat([a, b], 1).split(2, 1)
        [whole] = torch.cat([b, a], 1).split(3, 0)  # along another axis than the seam's
        return left, right, torch.cat([b, a], 1)[:, :3], whole

    a, b = torch.arange(12.0).view(2, 3, 2)
    traced = make_fx(cut)(a, b)
    simplify(traced.graph)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    assert [str(node.target) for node in traced.graph.find_nodes(op="output")[0].args[0]] == [
        "a_1", "b_1", "aten.slice.Tensor", "<built-in function getitem>",
    ]  # fmt: skip
    for found, expected in zip(traced(a, b), cut(a, b), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="there is no C++ compiler, which AOTInductor needs")
def test_compiled_file_agrees_at_all_sizes(cases, tmp_path):
    torch.manual_seed(9)
    single = build_model("painn", STUDENTS["tensors"] | {"repulsion": False})
    card = {"variant": "test", "checkpoint_sha256": None, "elements": None}
    aotinductor.save(lower(single, SlotPotential), tmp_path / "model.pt2", export_metadata(single, card))
    predictor, everything = load_predictor(tmp_path / "model.pt2", threads=1), cases[0] | cases[1]
    expected = references(single.double(), everything)
    assert failed(parity.parity_rows(predictor, everything, expected, TOLERANCE)) == []
    assert determinism.check_determinism(tmp_path / "model.pt2", everything["batch of 8"], runs=5, threads=[1, 2])[
        "passed"
    ]
    check_that_wrong_tensors_are_refused(torch._inductor.aoti_load_package(str(tmp_path / "model.pt2")))


def check_that_wrong_tensors_are_refused(compiled):
    positions = torch.tensor([[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.7, -0.5]])
    atoms = torch.tensor([8, 1, 1]), positions, torch.zeros(3, dtype=torch.int64)
    right = slot_inputs(*atoms, *find_pairs(*atoms[1:], CUTOFF), torch.zeros(6, 3), CUTOFF)
    right = dict(zip(SlotInputs._fields, right, strict=True))
    assert compiled(*right.values())[0].isfinite().all()
    wrong = {
        "positions": [positions.double(), positions.t().contiguous().t(), positions[None], positions[:2]],
        "atomic_numbers": [atoms[0].int(), torch.tensor([8, 1, 500]), torch.tensor([8, 1, -1]), atoms[0][:0]],
        "neighbor": [right["neighbor"].repeat(2, 1)[::2], right["neighbor"] + 3, right["neighbor"] - 3],
        "shift": [right["shift"].double(), right["shift"][:, :1]],
        "outgoing": [right["outgoing"] + 100],
        "members": [right["members"].int(), right["members"] + 2],
    }
    for name, tensors in wrong.items():
        for tensor in tensors:
            with pytest.raises(RuntimeError):
                compiled(*(right | {name: tensor}).values())
    for name, value in {"positions": np.nan, "shift": np.inf}.items():
        tensor = right[name].clone()
        tensor.view(-1)[0] = value
        assert compiled(*(right | {name: tensor}).values())[0].isnan().all()
