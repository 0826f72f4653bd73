"""Networks and structures for the tests of the engine, and structures as the C interface takes them."""

from __future__ import annotations

import functools

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule

from assay.engine.library import library_path
from assay.engine.model_file import to_bytes
from assay.models import build_model
from assay.neighbors.lists import build_graph
from assay.runtime.engine import EngineModel

NETWORKS = {
    "shipped": {"hidden": 20, "n_blocks": 3, "n_rbf": 7, "head": [18, 6], "repulsion": True, "floor": True, "rank": 2},
    "vectors": {"hidden": 20, "n_blocks": 3, "n_rbf": 7, "head": [18, 6], "repulsion": True, "floor": True},
    "gaussian": {"hidden": 16, "n_blocks": 2, "n_rbf": 5, "radial_basis": "gaussian", "envelope": "cosine"},
    "bare": {"hidden": 33, "n_blocks": 1, "n_rbf": 3, "filter_bias": False, "head": [], "epsilon": 1e-3},
    "bare tensors": {"hidden": 9, "n_blocks": 2, "n_rbf": 3, "filter_bias": False, "epsilon": 1e-3, "rank": 2},
    "from contact": {
        "hidden": 12,
        "n_blocks": 2,
        "n_rbf": 6,
        "radial_basis": "gaussian",
        "repulsion": True,
        "floor": True,
        "from_contact": True,
        "pair_elements": [1, 6, 8],
        "rank": 2,
        "max_z": 120,
    },
    "softplus": {"hidden": 12, "n_blocks": 2, "n_rbf": 4, "activation": "softplus"},
}
SCHNETPACK = {"hidden": 20, "n_blocks": 3, "n_rbf": 7, "max_z": 36, "head": [10]}
SOFT = {"activation": "shifted_softplus", "head_activation": "softplus", "head": [12, 12, 5]}
SCHNETPACK_NETWORKS = {
    "schnetpack": SCHNETPACK,
    "schnetpack bessel": SCHNETPACK | SOFT | {"radial_basis": "bessel"},
    "schnetpack shared": SCHNETPACK | {"shared_interactions": True, "epsilon": 1e-3, "head": []},
    "schnetpack all shared": SCHNETPACK | {"shared_interactions": True, "shared_filters": True},
    "schnetpack mollifier": SCHNETPACK | {"cutoff_function": "mollifier", "cutoff_arguments": [0.1]},
    "schnetpack switch": SCHNETPACK | {"cutoff_function": "switch", "cutoff_arguments": [2.0, 4.5]},
}
EVERY_NETWORK = [*NETWORKS, *SCHNETPACK_NETWORKS]


def network(name, dtype=torch.float64, **changes):
    """A network with random weights, by its name in one of the tables, with changed hyperparameters."""
    torch.manual_seed(2)
    if name in SCHNETPACK_NETWORKS:
        model = build_model("schnetpack-painn", SCHNETPACK_NETWORKS[name] | changes)
    else:
        model = build_model("painn", NETWORKS[name] | changes)
        if model.pair_energies is not None:
            torch.nn.init.normal_(model.pair_energies.table)
    model.reference_energy.uniform_(-50.0, 0.0)
    model.energy_scale.fill_(0.7)
    return model.to(dtype)


def inputs_of(systems, dtype=torch.float64, cutoff=5.0):
    """Numbers, positions, batch, count and graph of ASE systems, periodic or not."""
    numbers = torch.tensor(np.concatenate([s.numbers for s in systems]))
    positions = torch.tensor(np.concatenate([s.positions for s in systems])).to(dtype)
    batch = torch.tensor(np.repeat(np.arange(len(systems)), [len(s) for s in systems]))
    cells, pbc = np.stack([np.asarray(s.cell) for s in systems]), np.stack([s.pbc for s in systems])
    return numbers, positions, batch, len(systems), build_graph(positions, batch, cutoff, cells=cells, pbc=pbc)


def rattled(*names, width=0.15):
    """Molecules of ASE's collection, each displaced by a seed of its own."""
    systems = [molecule(name) for name in names]
    for seed, system in enumerate(systems):
        system.rattle(width, seed=seed)
    return systems


def salt():
    """A periodic crystal, displaced, in a cell that is shorter than the cutoff along two axes."""
    crystal = bulk("NaCl", "rocksalt", a=5.6).repeat((2, 1, 1))
    crystal.rattle(0.1, seed=3)
    return crystal


def cluster(n=90, spacing=1.9):
    """A dense cluster of one element."""
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3), -1).reshape(-1, 3)[:n] * spacing
    return Atoms("C" * n, grid + np.random.default_rng(0).normal(0, 0.1, grid.shape))


def near_contact():
    """Atoms so near that the floor and the repulsion act."""
    system = molecule("CH3CH2OH")
    system.positions *= 0.6
    return system


@functools.cache
def opened(name, precision=64, bits=64):
    """A network as the C interface opens it; ``bits`` are those of the parameters in the file."""
    dtype = {32: torch.float32, 64: torch.float64}[bits]
    return EngineModel(to_bytes(network(name, dtype), {"variant": name}), library_path(), precision)


def arrays_of(systems, cutoff=5.0):
    """Numbers, edge_index, vectors and structure of ASE systems, as ``EngineModel`` takes them."""
    numbers, positions, batch, _, graph = inputs_of(systems, cutoff=cutoff)
    neighbor, center = graph.edge_index
    vectors = positions[neighbor] - positions[center] + graph.shift
    return numbers.numpy(), graph.edge_index.numpy(), vectors.numpy(), batch.numpy()
