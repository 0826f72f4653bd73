"""The kernels for GPUs: they compute the network under Triton's interpreter, and compile for GPUs that are not here."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from assay.checkpoint import normalize
from assay.engine.model_file import to_bytes
from assay.models import build_model
from assay.package.wheel import runtime_sources
from assay.predictors.interface import load_predictor
from assay.runtime import gpu
from assay.runtime.gpu.model_file import read_model_file
from assay.runtime.gpu.neighbors import CandidateList, Structures, find_candidates, sorted_edges
from assay.workflow.errors import AssayError
from shared.engine_inputs import cluster, inputs_of, near_contact, network, rattled

ROOT = Path(__file__).parents[1]
STUDENTS = ("original", "tiny", "ultra_tiny")
NO_TRITON = importlib.util.find_spec("triton") is None
with_triton = pytest.mark.skipif(NO_TRITON, reason="triton is not installed")


def crystal():
    """Two atoms in a skewed cell that is shorter than the cutoff along all axes, outside of their cell."""
    cell = np.array([[3.3, 0.0, 0.0], [1.0, 3.6, 0.0], [-0.5, 0.7, 3.4]])
    return Atoms("CO", [[7.1, 0.2, 0.1], [1.3, -5.2, 1.9]], cell=cell, pbc=True)


def slab():
    """A layer whose third axis does not repeat."""
    cell = np.array([[4.1, 0.0, 0.0], [0.9, 4.3, 0.0], [0.0, 0.0, 0.0]])
    return Atoms("CH", [[0.0, 0.3, 40.1], [1.2, 0.4, 41.5]], cell=cell, pbc=[True, True, False])


# Networks and structures: every element of them is small, because the interpreter takes a second for a few atoms.
CASES = {
    "ultra_tiny, molecules": ("ultra_tiny", lambda: [*rattled("H2O"), Atoms("O"), Atoms("CN", [[0, 0, 0], [9, 0, 0]])]),
    "ultra_tiny, a crystal": ("ultra_tiny", lambda: [crystal()]),
    "a slab": ("bare tensors", lambda: [slab()]),
    "tiny": ("tiny", lambda: rattled("H2O")),
    "original": ("original", lambda: rattled("OH")),
    "one atom": ("bare tensors", lambda: [Atoms("C")]),
    "in contact": ("shipped", lambda: [near_contact()[:2]]),
    "bare": ("bare", lambda: rattled("OH")),
    "from contact": ("from contact", lambda: [near_contact()[:2]]),
    "pair energies": ("from contact", lambda: rattled("H2O")),
    "schnetpack": ("schnetpack", lambda: rattled("H2O")),
    "schnetpack bessel": ("schnetpack bessel", lambda: rattled("OH")),
    "schnetpack mollifier": ("schnetpack mollifier", lambda: rattled("OH")),
    "schnetpack switch": ("schnetpack switch", lambda: [Atoms("OH", [[0, 0, 0], [3.1, 0.4, 0.2]])]),
}


def model_of(name):
    """A shipped student or a network with random weights, in float64."""
    if name not in STUDENTS:
        return network(name)
    return normalize(ROOT / f"data/checkpoints/{name}.pt").build(torch.float64)


def model_bytes(name):
    return to_bytes(model_of(name), {"variant": name})


def arrays(systems):
    return {
        "numbers": np.concatenate([s.numbers for s in systems]),
        "positions": np.concatenate([s.positions for s in systems]),
        "sizes": np.array([len(s) for s in systems]),
        "cells": np.stack([np.asarray(s.cell) for s in systems]),
        "pbc": np.stack([s.pbc for s in systems]),
    }


def moving():
    """A crystal in three steps: the same, a small one, and one beyond half of the skin."""
    system = crystal()
    steps = [system.positions + shift * np.array([[0.0, 0.0, 0.0], [1.0, 0.5, -0.5]]) for shift in (0.0, 0.1, 0.4)]
    return {"numbers": system.numbers, "positions": np.stack(steps), "cell": system.cell.array, "pbc": system.pbc}


def requests():
    found = {name: {"model": model_bytes(model), **arrays(make())} for name, (model, make) in CASES.items()}
    for name in ("ultra_tiny, a crystal", "a slab", "schnetpack"):
        found[f"{name}, as many"] = found[name] | {"as_many": True}
    found["a slab"]["again"] = True
    small = {"model": model_bytes("bare tensors")}
    water, hydroxyl = (arrays(rattled(name)) for name in ("H2O", "OH"))
    mixed = {key: np.concatenate([water[key], hydroxyl[key]]) for key in ("numbers", "positions")}
    order = np.array([3, 0, 1, 4, 2])
    found["a batch in any order"] = small | {key: value[order] for key, value in mixed.items()}
    found["a batch in any order"] |= {"call": True, "batch": np.array([1, 0, 0, 1, 0])}
    edges = np.array([[1, 0], [0, 1]]), np.zeros((2, 3))
    found["given edges"] = small | hydroxyl | {"edges": edges}
    found["half of the edges"] = small | hydroxyl | {"edges": (edges[0][:, :1], edges[1][:1])}
    one_place = {"numbers": np.array([1, 1]), "positions": np.zeros((2, 3))}
    found["one place"] = small | one_place | {"call": True, "batch": None}
    found["unknown element"] = small | {"numbers": np.array([92]), "positions": np.zeros((1, 3)), "call": True}
    found["unknown element"]["batch"] = None
    found["moving"] = small | moving()
    system = crystal()
    atoms = {"numbers": system.numbers, "positions": system.positions, "cell": system.cell.array, "pbc": system.pbc}
    found["users"] = small | {"atoms": atoms}
    return found


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the kernels say of all cases, from one process under the interpreter."""
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "requests").write_bytes(pickle.dumps(requests()))
    run("gpu_interpreted.py", folder / "requests", folder / "answers")
    return pickle.loads((folder / "answers").read_bytes())


def run(script, *arguments):
    command = [sys.executable, str(ROOT / "tests/shared" / script), *map(str, arguments)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def assert_is_network(name, systems, energy, forces, virial=None):
    model = model_of(name)
    expected = model.energy_and_forces(*inputs_of(systems), virial=True)
    scale = max(1.0, expected.forces.abs().max().item())
    assert np.abs(energy - expected.energy.numpy()).max() < 1e-5 * scale
    assert np.abs(forces - expected.forces.numpy()).max() < 1e-5 * scale
    if virial is not None:
        assert np.abs(virial - expected.virial.numpy()).max() < 3e-5 * scale


@with_triton
@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_kernels_compute_the_network(answers, case):
    name, make = CASES[case]
    found, systems = answers[case], make()
    energy = found["energy"][:, 0]
    assert_is_network(name, systems, energy, found["forces"], found["virial"].reshape(-1, 3, 3))
    ends = np.cumsum([len(s) for s in systems])[:-1]
    np.testing.assert_allclose([part.sum() for part in np.split(found["atomic_energies"], ends)], energy, rtol=1e-12)
    assert found["neighbor_counts"].sum() == inputs_of(systems)[-1].edge_shape[0]


@with_triton
@pytest.mark.slow
@pytest.mark.parametrize("case", ["ultra_tiny, a crystal", "a slab", "schnetpack"])
def test_what_is_done_for_many_atoms_computes_the_same(answers, case):
    """Products of a library, rows for near pairs only, and filters block by block."""
    name, make = CASES[case]
    found = answers[f"{case}, as many"]
    virial = found["virial"].reshape(-1, 3, 3)
    assert_is_network(name, make(), found["energy"][:, 0], found["forces"], virial)
    np.testing.assert_array_equal(found["neighbor_counts"], answers[case]["neighbor_counts"])


@with_triton
@pytest.mark.slow
def test_two_calls_agree_to_the_last_bit(answers):
    assert answers["a slab"]["same"]


@with_triton
@pytest.mark.slow
def test_atoms_may_come_in_any_order(answers):
    found, place = answers["a batch in any order"], np.array([1, 2, 4, 0, 3])
    assert_is_network("bare tensors", rattled("H2O"), found["energy"][:1], found["forces"][place[:3]])
    assert_is_network("bare tensors", rattled("OH"), found["energy"][1:], found["forces"][place[3:]])


@with_triton
@pytest.mark.slow
def test_edges_may_be_given(answers):
    found = answers["given edges"]
    assert_is_network("bare tensors", rattled("OH"), found["energy"], found["forces"], found["virial"])


@with_triton
@pytest.mark.slow
def test_neighbors_are_kept_and_found_again_in_motion(answers):
    assert answers["moving"]["builds"] == 2
    for at, found in zip(moving()["positions"], answers["moving"]["steps"], strict=True):
        system = crystal()
        system.positions = at
        assert_is_network("bare tensors", [system], found["energy"], found["forces"], found["virial"])


@with_triton
@pytest.mark.slow
def test_calculator_and_predictor_use_the_kernels(answers):
    found, system = answers["users"], crystal()
    of_ase, of_assay = found["calculator"], found["predictor"]
    assert_is_network("bare tensors", [system], of_ase["energy"], of_ase["forces"])
    virial = -of_assay["stress_eV_per_A3"] * system.get_volume()
    assert_is_network("bare tensors", [system], of_assay["energy_eV"], of_assay["forces_eV_per_A"], virial)
    np.testing.assert_allclose(of_ase["stress"], full_3x3_to_voigt_6_stress(of_assay["stress_eV_per_A3"]), atol=1e-7)
    assert of_ase["energies"].sum() == pytest.approx(of_ase["energy"], rel=1e-12)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_kernels_say_so():
    with pytest.raises(AssayError, match="the kernels for GPUs cannot run"):
        load_predictor(ROOT / "data/checkpoints/ultra_tiny.pt", runtime="triton")


def test_what_triton_compiles_with_must_be_there(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(gpu.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    monkeypatch.setenv("CC", "gcc")
    assert f"{tmp_path} has no Python.h" in gpu.why_not_here()
    (tmp_path / "Python.h").touch()
    assert gpu.why_not_here() is None
    monkeypatch.delenv("CC")
    monkeypatch.setattr(gpu.shutil, "which", lambda name: None)
    assert "Triton finds no C compiler" in gpu.why_not_here()


def test_packages_carry_the_kernels():
    assert {"gpu/__init__.py", "gpu/network.py", "gpu/layers.py", "gpu/cell_kernels.py"} <= runtime_sources().keys()


@with_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("half of the edges", "not every edge has its reverse"),
        ("one place", "two atoms lie at one place"),
        ("unknown element", "atomic numbers from 1 to 36"),
    ],
)
def test_what_makes_no_sense_is_refused(answers, case, sentence):
    assert sentence in answers[case]["error"]


@with_triton
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ultra_tiny", "schnetpack switch"])
def test_every_kernel_compiles_for_a_gpu(tmp_path, name):
    """Types, layouts and shared memory, of which the interpreter knows nothing; no GPU is needed."""
    (tmp_path / "model.assay").write_bytes(model_bytes(name))
    found = json.loads(run("gpu_compiled.py", tmp_path / "model.assay", 90))
    kernels = {label.split()[0] for label in found}
    assert {"add_messages", "add_pair_forces", "describe_pairs", "find_near", "make_filters", "linear"} <= kernels
    assert max(found.values()) <= 48 * 1024  # what every GPU gives without being asked


@pytest.mark.parametrize("name", ["shipped", "bare", "schnetpack bessel"])
def test_a_model_file_is_read_as_it_was_written(name):
    model = network(name)
    found = read_model_file(to_bytes(model, {"variant": name}, elements=[1, 8]))
    assert found.metadata == {"variant": name} and found.elements == {1, 8}
    np.testing.assert_array_equal(found.embedding, model.embedding.weight.detach())
    np.testing.assert_array_equal(found.head[-1].weight, model.head[-1].weight.detach())
    np.testing.assert_array_equal(found.blocks[-1].update[1].bias, model.blocks[-1].update[2].bias.detach())
    np.testing.assert_array_equal(found.reference_energy, model.reference_energy)


def test_a_damaged_model_file_is_refused():
    content = to_bytes(network("bare"), {})
    for broken in (content[:-8], b"other" + content, content[:-100] + b"\1" + content[-99:]):
        with pytest.raises(ValueError, match="export the model again"):
            read_model_file(broken)
    uncomputed = build_model("seed-painn", {"hidden": 8, "n_blocks": 1, "n_rbf": 4})
    with pytest.raises(ValueError, match="neither the engine nor its kernels"):
        read_model_file(to_bytes(uncomputed, {}))


def pairs_of(candidates, systems, cutoff):
    """The pairs within the cutoff among candidates, both ways: center, neighbor and the vector, sorted."""
    first, second, shift = (value.numpy() for value in candidates[3:])
    at = np.concatenate([s.positions for s in systems])
    vectors = at[second] - at[first] + shift
    near = (vectors**2).sum(1) <= cutoff**2
    first, second, vectors = first[near], second[near], np.round(vectors[near], 6)
    there, back = np.column_stack([first, second, vectors]), np.column_stack([second, first, -vectors])
    rows = np.concatenate([there, back]) + 0.0
    return rows[np.lexsort(rows.T[::-1])]


def structures_of(systems):
    given = arrays(systems)
    return Structures(given["sizes"], torch.as_tensor(given["positions"]), given["cells"], given["pbc"])


@pytest.mark.parametrize(
    "systems",
    [
        lambda: [*rattled("CH3CH2OH", "H2O"), Atoms("O")],
        lambda: [cluster(), cluster(70)],
        lambda: [crystal(), slab(), *rattled("CH4"), crystal().repeat((4, 3, 3))],
        lambda: [Atoms("H3", [[0, 0, 0], [3000.3, 1, 0], [3001, 0, 2]], cell=[2.2, 0, 0], pbc=[True, False, False])],
    ],
    ids=["molecules", "clusters", "crystals", "a wire of atoms far apart"],
)
def test_candidates_hold_every_pair(systems):
    made = systems()
    if len(made) == 2:
        made[0] = Atoms(np.repeat(made[0].numbers, 2), np.concatenate([made[0].positions, made[0].positions + 30.0]))
    expected = inputs_of(made)[-1]
    edges, shift = expected.edge_index.numpy(), expected.shift.numpy()
    found = find_candidates(structures_of(made), 5.5)
    listed = sorted_edges(edges, shift, sum(map(len, made)), torch.device("cpu"))
    np.testing.assert_array_equal(pairs_of(found, made, 5.0), pairs_of(listed, made, 5.0))


def test_candidates_are_kept_while_they_hold():
    kept = CandidateList(5.0, 0.5)
    system = crystal()
    first = kept.update(structures_of([system]))
    system.positions[0] += 0.14
    assert kept.update(structures_of([system])) is first
    system.positions[0] += 0.01
    assert kept.update(structures_of([system])) is not first
    system.set_cell(system.cell * 1.01)
    kept.update(structures_of([system]))
    kept.update(structures_of(rattled("CH4")))
    assert kept.n_builds == 4
    small = kept.update(structures_of(rattled("CH4")))
    moved = rattled("CH4")
    moved[0].positions *= 3.0  # all pairs of a small molecule hold at any distance
    assert kept.update(structures_of(moved)) is small
    kept.forget()
    assert kept.update(structures_of(moved)) is small
    listed = kept.update(structures_of([system]))
    kept.forget()
    assert kept.update(structures_of([system])) is not listed


@pytest.mark.parametrize(
    ("system", "sentence"),
    [
        (Atoms("CO", [[0, 0, 0], [np.nan, 0, 0]], cell=[3, 3, 3], pbc=True), "not finite"),
        (Atoms("CO", [[0, 0, 0], [1, 0, 0]], cell=[3, 3, 0], pbc=True), "no volume"),
        (Atoms("C2", [[0, 0, 0], [2e4, 0, 0]], cell=[3, 0, 0], pbc=[True, False, False]), "astray"),
    ],
)
def test_structures_that_make_no_sense_are_refused(system, sentence):
    with pytest.raises(ValueError, match=sentence):
        CandidateList(5.0, 0.5).update(structures_of([system]))


def test_a_skin_must_be_positive():
    with pytest.raises(ValueError, match="must be positive"):
        CandidateList(5.0, 0.0)


@with_triton
def test_sizes_are_rounded_up_a_little():
    from assay.runtime.gpu.padded import rounded_up  # which imports Triton

    sizes = np.unique(np.geomspace(1, 1e7, 400).astype(int))
    padded = np.array([rounded_up(n) for n in sizes])
    assert (padded >= sizes).all() and (padded[sizes > 128] <= 1.07 * sizes[sizes > 128]).all()
    assert len(np.unique(padded[(sizes > 1000) & (sizes < 2000)])) <= 17
