"""Aggregation over neighbors: the same numbers and gradients as plain autograd, and a neighbor list like ASE's."""

import numpy as np
import pytest
import torch
from ase.neighborlist import neighbor_list as ase_neighbor_list

from assay.engine.library import library
from assay.models.graph import EdgeGraph, Term, reverse_edges
from assay.neighbors.lists import HAVE_TORCH_CLUSTER, build_graph, neighbor_list

BACKENDS = ["pairs", "vesin"]
BACKENDS += ["torch-cluster"] * HAVE_TORCH_CLUSTER + ["engine"] * (library() is not None)
CELLS = {
    "cubic": np.eye(3) * 6.0,
    "triclinic": np.array([[5.0, 0.0, 0.0], [1.5, 4.5, 0.0], [-0.7, 0.9, 6.0]]),
    "skewed": np.array([[3.0, 0.0, 0.0], [2.9, 3.1, 0.0], [0.1, 2.8, 3.3]]),
}


class PlainGraph(EdgeGraph):
    """The same sums, left to autograd."""

    def vectors(self, positions):
        return positions[self.neighbor] - positions[self.center] + self.shift

    def aggregate(self, *terms):
        messages = []
        for term in terms:
            message = term.kernel if term.x is None else term.kernel * term.x[self.neighbor]
            messages.append(message if term.direction is None else torch.einsum("ea,eh->eah", term.direction, message))
        return self.reduce(sum(messages))


def _atoms(n=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    positions = torch.rand(n, 3, generator=generator, dtype=torch.float64) * 4
    return positions, torch.arange(n) // 5


def _second_order(graph, positions, odd_parity=-1):
    """A scalar that has been through two derivatives of an even and an odd aggregation."""
    x = torch.linspace(-1, 1, len(positions) * 4, dtype=torch.float64).view(-1, 1, 4).requires_grad_()
    positions = positions.clone().requires_grad_()
    r = graph.vectors(positions)
    d = r.norm(dim=-1)
    even = torch.exp(-d)[:, None, None]
    direction, far = r / d[:, None], torch.exp(-(d**2) / 5)[:, None]
    odd = (direction * far)[:, :, None]
    v = graph.aggregate(Term(far, x.squeeze(1), odd_parity, direction), Term(odd, x, odd_parity))
    v = v + graph.aggregate(Term(even, v * v + x), Term(far, None, odd_parity, direction), Term(odd, None, odd_parity))
    energy = (v**3).sum()
    forces = torch.autograd.grad(energy, positions, create_graph=True)[0]
    (gradient,) = torch.autograd.grad((forces**2).sum() + energy, x)
    return energy.detach(), forces.detach(), gradient


def test_gradients_of_both_orders_are_those_of_plain_autograd():
    positions, batch = _atoms()
    graph = build_graph(positions, batch, 3.5)
    plain = PlainGraph(graph.edge_index, graph.shift, graph.n_atoms)
    for ours, expected in zip(_second_order(graph, positions), _second_order(plain, positions), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_a_wrong_parity_is_noticed():
    positions, batch = _atoms()
    graph = build_graph(positions, batch, 3.5)
    *_, gradient = _second_order(graph, positions)
    *_, wrong = _second_order(graph, positions, odd_parity=1)
    assert (gradient - wrong).abs().max() > 1e-3


@pytest.mark.parametrize("cutoff", [1.0, 3.5, 9.0])
@pytest.mark.parametrize("backend", BACKENDS)
def test_open_neighbor_lists_agree_with_ase(backend, cutoff):
    positions, batch = _atoms(40)
    edge_index, shift = neighbor_list(positions, batch, cutoff, backend=backend)
    expected = set()
    for structure in range(int(batch.max()) + 1):
        here = torch.nonzero(batch == structure).ravel()
        i, j = ase_neighbor_list("ij", _ase(positions[here]), cutoff)
        expected |= {(int(here[b]), int(here[a])) for a, b in zip(i, j, strict=True)}
    assert {tuple(edge) for edge in edge_index.T.tolist()} == expected
    assert len(expected) == edge_index.shape[1]
    assert not shift.any()


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, False, True)])
@pytest.mark.parametrize("cell", CELLS)
def test_periodic_neighbor_lists_agree_with_ase(cell, pbc):
    positions, _ = _atoms(6)
    batch, cells, flags = torch.zeros(6, dtype=torch.int64), CELLS[cell][None], np.array([pbc])
    edge_index, shift = neighbor_list(positions, batch, 5.0, cells, flags)
    i, j, vectors = ase_neighbor_list("ijD", _ase(positions, CELLS[cell], pbc), 5.0)
    r = (positions[edge_index[0]] - positions[edge_index[1]] + shift).numpy()
    ours = np.column_stack([edge_index[1].numpy(), edge_index[0].numpy(), r])
    theirs = np.column_stack([i, j, vectors])
    assert len(ours) == len(theirs) > 0
    np.testing.assert_allclose(_rows_sorted(ours), _rows_sorted(theirs), atol=1e-9)


def test_dense_clusters_are_not_truncated():
    positions = torch.rand(150, 3, dtype=torch.float64) * 2
    batch = torch.zeros(150, dtype=torch.int64)
    for backend in BACKENDS:
        edge_index, _ = neighbor_list(positions, batch, 5.0, backend=backend)
        assert edge_index.shape[1] == 150 * 149


def test_every_edge_finds_its_reverse():
    positions, _ = _atoms(6)
    graph = build_graph(
        positions, torch.zeros(6, dtype=torch.int64), 5.0, cells=CELLS["skewed"][None], pbc=np.ones((1, 3), bool)
    )
    reverse = reverse_edges(graph.edge_index, graph.shift)
    assert torch.equal(graph.edge_index[:, reverse], graph.edge_index.flip(0))
    torch.testing.assert_close(graph.shift[reverse], -graph.shift)


def test_a_one_sided_list_is_refused():
    with pytest.raises(ValueError, match="not symmetric"):
        reverse_edges(torch.tensor([[0, 1], [1, 2]]), torch.zeros(2, 3))


def _ase(positions, cell=None, pbc=False):
    from ase import Atoms

    return Atoms(numbers=[1] * len(positions), positions=positions.numpy(), cell=cell, pbc=pbc)


def _rows_sorted(table):
    table = np.round(table, 7) + 0.0  # no negative zeros
    return table[np.lexsort(table.T[::-1])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [1e3, 1e5, 1e6, 1e9])
@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 1, 0), (0, 1, 0), (1, 1, 1)])
def test_an_atom_far_away_leaves_the_pairs_of_the_others(pbc, far, dtype):
    """Each in the process of the tests: a signal would end it."""
    flags = np.array([pbc], bool)
    cell = np.diag([12.0, 11.0, 10.0]) * np.array(pbc)[:, None]  # zero along open axes
    cell[flags[0], flags[0]] += 0.1 * far  # a flat cell, and images of the atom far from home
    positions, _ = _atoms(6)
    positions = torch.cat([positions, torch.tensor([[3.0, 3.0, 3.0]]) + far * torch.tensor([[0.0, 0.0, -1.0]])])
    if all(pbc):
        positions[-1, 2] = far / 20
    batch = torch.zeros(7, dtype=torch.int64)
    backends = ["vesin"] if any(pbc) else BACKENDS
    expected, _ = neighbor_list(positions[:6], batch[:6], 4.0, backend="pairs")
    for backend in backends:
        edge_index, shift = neighbor_list(positions.to(dtype), batch, 4.0, cell[None], flags, backend)
        assert sorted(edge_index.T.tolist()) == sorted(expected.T.tolist()), backend
        assert not shift.any()


@pytest.mark.parametrize("pbc", [(1, 1, 0), (0, 1, 0), (1, 1, 1)])
def test_the_tree_finds_the_pairs_and_images_that_vesin_finds(pbc, monkeypatch):
    flags, cells = np.array([pbc], bool), CELLS["triclinic"][None]
    positions, _ = _atoms(7)
    positions[3] += 40.0 * torch.tensor(cells[0, 1])
    found = [neighbor_list(positions, torch.zeros(7, dtype=torch.int64), 5.1, cells, flags)]
    monkeypatch.setattr("assay.neighbors.lists.keeps_boxes", lambda heights, cutoff: False)
    found.append(neighbor_list(positions, torch.zeros(7, dtype=torch.int64), 5.1, cells, flags))
    vesins, trees = (_rows_sorted(np.column_stack([edges.T, shift])) for edges, shift in found)
    assert len(vesins) > 90
    np.testing.assert_allclose(trees, vesins, atol=1e-9)
