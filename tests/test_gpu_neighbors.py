"""The pairs that a GPU reads: their kernels under Triton's interpreter, what takes their place on a CPU, and edges."""

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from assay.runtime.gpu.neighbors import ALL_PAIRS, Candidates, Structures, find_candidates, sorted_edges
from shared.engine_inputs import cluster, inputs_of, rattled, salt

ROOT = Path(__file__).parents[1]
NO_TRITON = importlib.util.find_spec("triton") is None
with_triton = pytest.mark.skipif(NO_TRITON, reason="triton is not installed")
RADIUS = 5.0


def crystal(away=0):
    """Two atoms in a skewed cell that is shorter than the radius along all axes, and so many cells away from it."""
    cell = np.array([[3.3, 0.0, 0.0], [1.0, 3.6, 0.0], [-0.5, 0.7, 3.4]])
    return Atoms("CO", np.array([[7.1, 0.2, 0.1], [1.3, -5.2, 1.9]]) + away * cell.sum(0), cell=cell, pbc=True)


def slab(third=0.0):
    """A layer whose third axis does not repeat, and is not read."""
    cell = np.array([[4.1, 0.0, 0.0], [0.9, 4.3, 0.0], [third, 0.0, third]])
    return Atoms("CH", [[0.0, 0.3, 40.1], [1.2, 0.4, 41.5]], cell=cell, pbc=[True, True, False])


def wire():
    """Three atoms along an axis that repeats, far apart along one that does not."""
    return Atoms("H3", [[0, 0, 0], [3000.3, 1, 0], [3001, 0, 2]], cell=[2.2, 0, 0], pbc=[True, False, False])


def box(lengths, n=40, pbc=True):
    """Atoms anywhere, also outside of their skewed cell."""
    cell = np.diag(lengths) + np.array([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [-2.0, 1.0, 0.0]])
    fractional = np.random.default_rng(n).uniform(-1.0, 2.0, (n, 3))
    return Atoms("C" * n, fractional @ cell, cell=cell, pbc=pbc)


def far_clusters():
    """Two clusters in opposite corners of much empty space, where boxes are wider than the radius."""
    grid = cluster(50).positions
    return Atoms("C" * 100, np.concatenate([grid, grid + 400.0]))


SYSTEMS = {
    "molecules": lambda: [*rattled("CH3CH2OH", "H2O"), Atoms("O"), *rattled("OH")],
    "one atom": lambda: [Atoms("O")],
    "as many atoms as all pairs are taken of": lambda: [cluster(ALL_PAIRS)],
    "a cluster": lambda: [cluster(ALL_PAIRS + 1)],
    "clusters far apart": lambda: [far_clusters(), Atoms("O")],
    "a crystal": lambda: [crystal()],
    "a crystal far from its cell": lambda: [crystal(-700)],
    "salt": lambda: [salt()],
    "a slab": lambda: [slab()],
    "a slab with a third vector": lambda: [slab(30.0)],
    "a wire": lambda: [wire()],
    "a box": lambda: [box([16.0, 21.0, 17.0])],
    "a box of two boxes": lambda: [box([11.0, 12.0, 6.0], 20)],
    "a layer of boxes": lambda: [box([17.0, 16.0, 9.0], pbc=[True, False, True])],
    "many": lambda: [slab(), *rattled("CH4"), box([7.0, 11.0, 16.0], 12), Atoms("O"), box([9.0] * 3, 9, False), wire()],
}
WRONG = {
    "not finite": lambda: [Atoms("CO", [[0, 0, 0], [np.nan, 0, 0]], cell=[3, 3, 3], pbc=True)],
    "positions that are not finite": lambda: [Atoms("C" * 97, np.diag([np.inf, 0, 0])[[0] + [1] * 96])],
    "no volume": lambda: [crystal(), Atoms("CO", [[0, 0, 0], [1, 0, 0]], cell=[3, 3, 0], pbc=True)],
    "lattice vectors that are not finite": lambda: [Atoms("C", cell=[3, 3, np.nan], pbc=True)],
    "too flat": lambda: [Atoms("C", cell=[3, 3, 0.01], pbc=True)],
    "astray": lambda: [Atoms("C2", [[0, 0, 0], [2e4, 0, 0]], cell=[3, 0, 0], pbc=[True, False, False])],
    "is one astray": lambda: [Atoms("C" * 97, np.diag([0, 0, 2e4])[[2] + [0] * 96])],
    "must be atoms": lambda: [Atoms(cell=[3, 3, 3], pbc=True)],
}


def structures_of(systems):
    at = torch.as_tensor(np.concatenate([s.positions for s in systems]))
    cells, pbc = np.stack([np.asarray(s.cell) for s in systems]), np.stack([s.pbc for s in systems])
    return Structures(np.array([len(s) for s in systems]), at, cells, pbc)


def found_in(systems, again=False):
    """The candidates as arrays, or the error that was raised."""
    try:
        found = find_candidates(structures_of(systems), RADIUS)
    except ValueError as error:
        return str(error)
    if again:
        assert all(map(torch.equal, find_candidates(structures_of(systems), RADIUS), found))
    assert all(value.is_contiguous() for value in found)
    return Candidates(*(value.numpy() for value in found))


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory):
    """What the kernels find, in one process under the interpreter."""
    answers = tmp_path_factory.mktemp("neighbors") / "answers"
    path = os.pathsep.join([str(ROOT / "scripts"), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, __file__, str(answers)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": path, "TRITON_INTERPRET": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return pickle.loads(answers.read_bytes())


def both_ways(found, systems):
    """The pairs within the radius in both directions: center, neighbor and the vector, sorted."""
    at = np.concatenate([s.positions for s in systems])
    vectors = at[found.second] - at[found.first] + found.shift
    near = (vectors**2).sum(1) <= RADIUS**2
    first, second, vectors = found.first[near], found.second[near], np.round(vectors[near], 6)
    return in_order(
        np.concatenate([first, second]), np.concatenate([second, first]), np.concatenate([vectors, -vectors])
    )


def in_order(center, neighbor, vectors):
    rows = np.column_stack([center, neighbor, vectors]) + 0.0
    return rows[np.lexsort(rows.T[::-1])]


def expected_of(systems):
    """The same from the neighbor lists of the networks in float64."""
    _, positions, _, _, graph = inputs_of(systems, cutoff=RADIUS)
    neighbor, center = graph.edge_index
    vectors = positions[neighbor] - positions[center] + graph.shift
    return in_order(center.numpy(), neighbor.numpy(), np.round(vectors.numpy(), 6))


def assert_entries_are_pairs(found, n_atoms):
    """Each pair has one entry of its first atom and one of its second."""
    whole, n_pairs = {np.dtype(np.int32)}, len(found.first)
    assert {value.dtype for value in found[:5]} == whole and found.shift.dtype == np.float64
    assert found.shift.shape == (n_pairs, 3) and found.neighbors.shape == found.pairs.shape == (2 * n_pairs,)
    assert found.row_start.shape == (n_atoms + 1,) and found.row_start[0] == 0
    assert (np.diff(found.row_start) >= 0).all() and found.row_start[-1] == 2 * n_pairs
    atom, is_first = np.repeat(np.arange(n_atoms), np.diff(found.row_start)), found.pairs >= 0
    pair = np.where(is_first, found.pairs, -1 - found.pairs)
    np.testing.assert_array_equal(np.sort(2 * pair + is_first), np.arange(2 * n_pairs))
    np.testing.assert_array_equal(atom, np.where(is_first, found.first[pair], found.second[pair]))
    np.testing.assert_array_equal(found.neighbors, np.where(is_first, found.second[pair], found.first[pair]))
    assert (found.shift[found.first == found.second] != 0).any(1).all()


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_pair_is_found_once_on_a_cpu(name):
    systems = SYSTEMS[name]()
    found = found_in(systems)
    assert_entries_are_pairs(found, sum(map(len, systems)))
    np.testing.assert_array_equal(both_ways(found, systems), expected_of(systems))


@with_triton
@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_kernels_find_every_pair_once(interpreted, name):
    systems = SYSTEMS[name]()
    found = interpreted[name]
    assert_entries_are_pairs(found, sum(map(len, systems)))
    np.testing.assert_array_equal(both_ways(found, systems), expected_of(systems))
    assert len(found.first) == len(found_in(systems).first)


@with_triton
@pytest.mark.slow
def test_displacements_are_whole_lattice_vectors(interpreted):
    found, system = interpreted["a crystal far from its cell"], crystal(-700)
    whole = found.shift @ np.linalg.inv(system.cell.array)
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-12)
    np.testing.assert_allclose(found.shift, np.round(whole) @ system.cell.array, atol=1e-12)


@pytest.mark.parametrize("sentence", WRONG)
def test_what_makes_no_sense_is_refused_on_a_cpu(sentence):
    assert sentence in found_in(WRONG[sentence]())


@with_triton
@pytest.mark.slow
@pytest.mark.parametrize("sentence", WRONG)
def test_what_makes_no_sense_is_refused_by_kernels(interpreted, sentence):
    assert sentence in interpreted[sentence]


def edges_of(systems):
    graph = inputs_of(systems, cutoff=RADIUS)[-1]
    return graph.edge_index.numpy(), graph.shift.numpy()


def listed(edges, shift, systems):
    found = sorted_edges(edges, shift, sum(map(len, systems)), torch.device("cpu"))
    return Candidates(*(value.numpy() for value in found))


@pytest.mark.parametrize("name", ["molecules", "one atom", "a crystal", "a slab", "salt", "many"])
def test_edges_both_ways_become_pairs(name):
    systems = SYSTEMS[name]()
    edges, shift = edges_of(systems)
    found = listed(edges, shift, systems)
    assert_entries_are_pairs(found, sum(map(len, systems)))
    np.testing.assert_array_equal(both_ways(found, systems), expected_of(systems))
    order = np.random.default_rng(1).permutation(len(shift))
    noise = np.random.default_rng(2).uniform(-4e-7, 4e-7, shift.shape)
    np.testing.assert_array_equal(listed(edges[:, order], shift[order], systems).second, found.second)
    assert_entries_are_pairs(listed(edges, shift + noise, systems), sum(map(len, systems)))


@pytest.mark.parametrize(
    "change", ["one is missing", "one is wrong", "one is turned", "an atom beside itself", "twice"]
)
def test_edges_without_their_reverse_are_refused(change):
    systems = [crystal()]
    edges, shift = (value.copy() for value in edges_of(systems))
    own = int(np.flatnonzero(edges[0] == edges[1])[0])
    if change == "one is missing":
        edges, shift = edges[:, 1:], shift[1:]
    elif change == "one is wrong":
        shift[3, 1] += 1e-5
    elif change == "one is turned":
        shift[own] *= -1.0
    elif change == "an atom beside itself":
        shift[own] = 0.0
    else:
        edges, shift = np.column_stack([edges, edges[:, own]]), np.concatenate([shift, shift[[own]]])
    with pytest.raises(ValueError, match="not every edge has its reverse"):
        listed(edges, shift, systems)


@with_triton
@pytest.mark.slow
def test_the_kernels_compile_for_a_gpu():
    from triton import compile as compiled
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from assay.runtime.gpu import cell_kernels

    double = {"positions", "frames", "home", "wrapped", "extents", "shift", "radius_squared"}
    kinds = dict.fromkeys(double, "*fp64") | dict.fromkeys(("order", "ends"), "*i64")
    kinds |= dict.fromkeys(("n_atoms", "steps", "groups"), "i32")
    walks = ({"WRITE": write, "ATOMS": 32} for write in (False, True))
    choices = [("list_all_pairs", {"MOST": 256}), ("measure", {"ATOMS": 1024}), ("place", {"ATOMS": 128})]
    for name, fixed in [*choices, *(("walk", walk) for walk in walks)]:
        kernel = getattr(cell_kernels, name)
        signature = {n: "constexpr" if n in fixed else kinds.get(n, "*i32") for n in kernel.arg_names}
        found = compiled(ASTSource(kernel, signature, fixed), target=GPUTarget("cuda", 90, 32))
        assert found.metadata.shared <= 48 * 1024


def main():
    found = {name: found_in(make(), again=name == "many") for name, make in (SYSTEMS | WRONG).items()}
    Path(sys.argv[1]).write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
