"""A peer that needs no package: a network of this project under another name."""

import torch

from assay.models import build_model
from assay.neighbors.lists import build_graph

NAME = "Fake PaiNN"
DISTRIBUTION = "torch"
ABOUT = "as wide as it must be"


def build(size, width):
    return build_model("painn", {"hidden": width, "n_blocks": size.n_blocks, "n_rbf": size.n_rbf, "head": [width // 2]})


def bind(network, size, atoms, edge_index, n_structures):
    graph = build_graph(atoms.positions, atoms.batch, size.cutoff_A)
    assert torch.equal(graph.edge_index, edge_index)

    def call():
        found = network.energy_and_forces(*atoms, n_structures, graph)
        return found.energy, found.forces

    return call
