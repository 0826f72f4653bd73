"""Structures on which an export must agree with the network it came from: every size, density and boundary."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import ase.build
import numpy as np

from assay.structures.geometry import LIQUID_ATOMS_PER_A3, droplet, random_cluster
from assay.structures.structure import Structure, evenly, nearest_in_size

Cases = dict[str, list[Structure]]
DROPLET_MOLECULE_ATOMS = 20  # about the size of the molecules that a droplet is made of
LARGEST_IN_BATCH = 60  # the largest molecule of a batch, in atoms
CLUSTER_SPACING_A = 1.9


def open_cases(elements: Sequence[int], cutoff: float, molecules: Sequence[Structure]) -> Cases:
    """Return batches of isolated structures, by the name of the case.

    Args:
        elements: atomic numbers that random clusters are made of.
        cutoff: radius of the neighbor search of the model, angstrom.
        molecules: structures that a droplet and batches are made of; random clusters replace them where there are none.
    """
    draw = np.random.default_rng(0)

    def cluster(n_atoms: int) -> Structure:
        return _cluster(draw, elements, n_atoms)

    far = cluster(21)
    apart = np.array([[0.0, 0.0, 0.0], [3.0 * cutoff, 0.5, 0.0], [0.0, 2.0 * cutoff, 1.0]])
    small = nearest_in_size(molecules, DROPLET_MOLECULE_ATOMS)[:8]
    dense_cluster = droplet(small, 200, LIQUID_ATOMS_PER_A3, draw) if small else cluster(200)
    clusters = [cluster(int(n)) for n in draw.integers(1, 31, 64)]
    mixed = _every_size(molecules, 64) or clusters
    return {
        "1 atom": [cluster(1)],
        "2 atoms": [cluster(2)],
        "5 atoms": [cluster(5)],
        "200 atoms": [_structure("droplet", dense_cluster.atomic_numbers, dense_cluster.positions)],
        "isolated atoms": [_structure("isolated", draw.choice(elements, 3), apart)],
        "dense cluster": [diamond(draw, 6 if 6 in elements else elements[0], 216)],
        "far from the origin": [
            _structure("far", far.atomic_numbers, far.positions + np.array([700.0, -300.0, 500.0]))
        ],
        **{f"batch of {size}": mixed[:size] for size in (2, 8, 64)},
        "64 random clusters": clusters,
    }


def periodic_cases(elements: Sequence[int], cutoff: float) -> Cases:
    """Return batches with periodic structures, by the name of the case.

    Some cells are smaller than the cutoff and some larger, and one is a slab.

    Args:
        elements: atomic numbers that the structures are made of.
        cutoff: radius of the neighbor search of the model, angstrom.
    """
    draw = np.random.default_rng(1)
    every, slab = np.ones(3, bool), np.array([True, True, False])
    small = np.array([[0.72, 0.0, 0.0], [0.21, 0.81, 0.0], [-0.13, 0.19, 0.77]]) * cutoff
    large = np.diag([2.3, 2.6, 2.1]) * cutoff

    def crystal(name: str, n_atoms: int, cell: np.ndarray, pbc: np.ndarray) -> Structure:
        sites = _spread(draw, n_atoms) @ cell
        return Structure(name, draw.choice(elements, n_atoms), sites, cell, pbc)

    bulk, layer = crystal("small", 4, small, every), crystal("slab", 9, small, slab)
    box = crystal("large", 120, large, every)
    return {
        "triclinic cell below the cutoff": [bulk],
        "slab": [layer],
        "large cell": [box],
        "periodic and open together": [layer, _cluster(draw, elements, 11), bulk],
    }


def diamond(draw: np.random.Generator, element: int, n_atoms: int) -> Structure:
    """Make a sphere of diamond under pressure (lattice constant 3.44 angstrom), its atoms displaced by 0.05 angstrom.

    No solid is denser: each atom has a hundred neighbors within 5 angstrom.
    """
    side = int(np.ceil((n_atoms / 8) ** (1 / 3))) + 2
    sites = (ase.build.bulk("C", "diamond", a=3.44, cubic=True) * (side, side, side)).positions
    sites = sites - sites.mean(0)
    sites = sites[np.argsort(np.linalg.norm(sites, axis=1), kind="stable")[:n_atoms]]
    return _structure("diamond", np.full(n_atoms, element), sites + draw.normal(0.0, 0.05, sites.shape))


def _cluster(draw: np.random.Generator, elements: Sequence[int], n_atoms: int) -> Structure:
    made = random_cluster(draw, elements, n_atoms, CLUSTER_SPACING_A)
    return _structure(made.name, made.atomic_numbers, made.positions)


def _every_size(molecules: Sequence[Structure], count: int) -> list[Structure]:
    """Choose ``count`` molecules of at most ``LARGEST_IN_BATCH`` atoms evenly over sizes, small and large in turn."""
    by_size = sorted((molecule for molecule in molecules if len(molecule) <= LARGEST_IN_BATCH), key=len)
    chosen = list(itertools.islice(itertools.cycle(evenly(by_size, count)), count))
    small, large = chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :]
    mixed = itertools.chain.from_iterable(zip(small, large, strict=True))
    return [_structure(molecule.name, molecule.atomic_numbers, molecule.positions) for molecule in mixed]


def _spread(draw: np.random.Generator, n_points: int) -> np.ndarray:
    """Draw points (n_points, 3) that keep apart in a periodic unit cube: each is the best of 30 random ones."""
    points = draw.uniform(size=(1, 3))
    while len(points) < n_points:
        trial = draw.uniform(size=(30, 3))
        gap = (trial[:, None] - points + 0.5) % 1.0 - 0.5
        points = np.vstack([points, trial[np.linalg.norm(gap, axis=-1).min(1).argmax()]])
    return points


def _structure(name: str, numbers: np.ndarray, positions: np.ndarray) -> Structure:
    """Make a structure whose positions single precision holds exactly."""
    return Structure(name, np.asarray(numbers, np.int64), positions.astype(np.float32).astype(np.float64))
