"""What a trajectory of a periodic structure tells of a material: how its atoms are arranged, and how they diffuse."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from ase.data import chemical_symbols

from assay.neighbors.lists import neighbor_list
from assay.structures.geometry import periodic_heights
from assay.structures.structure import Structure

A2_PER_PS_TO_CM2_PER_S = 1e-4  # one square angstrom a picosecond
FRAMES_AT_ONCE = 50


@dataclass(frozen=True)
class Diffusion:
    """How the atoms of one element move away from where they were.

    Attributes:
        lags_ps: (L,), times between two looks.
        squared_A2: (L,), mean squared displacement after each.
        coefficient_cm2_per_s: the slope of the mean squared displacement over six.
        standard_error_cm2_per_s: that of the mean over atoms, each of which moves almost by itself; None of one atom.
    """

    lags_ps: np.ndarray
    squared_A2: np.ndarray
    coefficient_cm2_per_s: float
    standard_error_cm2_per_s: float | None


def radial_distributions(
    structure: Structure, frames: np.ndarray, to_A: float, n_bins: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The radial distribution function of each pair of elements.

    g_ab(r) is the density of atoms of b at a distance r from an atom of a, over their mean density, which it approaches
    in a liquid.

    Args:
        structure: the atoms and their cell, which repeats along all axes.
        frames: (F, N, 3), positions, angstrom.
        to_A: the largest distance; half the smallest height of the cell where that is less, since beyond it atoms meet
            their own images.
        n_bins: the number of shells of equal thickness.

    Returns:
        The middles of the shells, (B,), angstrom; and the functions (B,) by pair, such as "Cl-Na".
    """
    cell = np.asarray(structure.cell, dtype=np.float64)
    to_A = min(to_A, 0.5 * float(periodic_heights(cell, structure.pbc).min()))
    edges = np.linspace(0.0, to_A, n_bins + 1)
    elements, kinds = np.unique(structure.atomic_numbers, return_inverse=True)
    counts = np.zeros((len(elements), len(elements), n_bins))
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        part = frames[start : start + FRAMES_AT_ONCE]
        positions = torch.from_numpy(part.reshape(-1, 3))
        batch = torch.arange(len(part)).repeat_interleave(len(structure))
        cells, pbc = np.broadcast_to(cell, (len(part), 3, 3)), np.broadcast_to(structure.pbc, (len(part), 3))
        edge_index, shift = neighbor_list(positions, batch, to_A, cells=cells, pbc=pbc)
        distances = (positions[edge_index[0]] + shift - positions[edge_index[1]]).norm(dim=1).numpy()
        neighbor, center = (kinds[edge % len(structure)] for edge in edge_index.numpy())
        for a, b in itertools.product(range(len(elements)), repeat=2):
            counts[a, b] += np.histogram(distances[(center == a) & (neighbor == b)], edges)[0]
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3) / abs(np.linalg.det(cell))
    numbers = np.bincount(kinds)
    functions = {}
    for a, b in itertools.combinations_with_replacement(range(len(elements)), 2):
        pairs = numbers[a] * (numbers[b] - (a == b))
        symbols = sorted(chemical_symbols[elements[k]] for k in (a, b))
        functions["-".join(symbols)] = counts[a, b] / (len(frames) * pairs * shells) if pairs else np.zeros(n_bins)
    return 0.5 * (edges[1:] + edges[:-1]), functions


def diffusion(
    structure: Structure, frames: np.ndarray, frame_ps: float, between_ps: tuple[float, float], masses: np.ndarray
) -> dict[str, Diffusion]:
    """The mean squared displacement and the self-diffusion coefficient of each element (Einstein's relation).

    All times serve as origins. The center of mass stays where it is.

    Args:
        structure: the atoms.
        frames: (F, N, 3), positions that no boundary has put back into the cell, angstrom.
        frame_ps: the time between frames.
        between_ps: the lags between which the slope is taken, with two frames between them at least; the last one must
            be shorter than the trajectory.
        masses: (N,), dalton.
    """
    center = np.einsum("fnx,n->fx", frames, masses) / masses.sum()
    moved = frames - center[:, None]
    n_lags = round(between_ps[1] / frame_ps)
    squared = np.zeros((n_lags + 1, len(structure)))
    for lag in range(1, n_lags + 1):
        squared[lag] = ((moved[lag:] - moved[:-lag]) ** 2).sum(-1).mean(0)
    lags = frame_ps * np.arange(n_lags + 1)
    fitted = lags >= between_ps[0] - 1e-6 * frame_ps
    slopes = np.polyfit(lags[fitted], squared[fitted], 1)[0] / 6.0 * A2_PER_PS_TO_CM2_PER_S
    found = {}
    for z in np.unique(structure.atomic_numbers):
        own = structure.atomic_numbers == z
        error = float(slopes[own].std(ddof=1) / np.sqrt(own.sum())) if own.sum() > 1 else None
        found[chemical_symbols[z]] = Diffusion(lags, squared[:, own].mean(1), float(slopes[own].mean()), error)
    return found
