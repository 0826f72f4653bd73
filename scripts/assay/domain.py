"""Whether a structure is like the training data: no model is asked, only geometries are compared.

Each atom is described by the smoothed distances to its neighbors, element by element (the radial symmetry functions
of Behler and Parrinello, 2007), whitened over the training atoms of its element. How far it is from the nearest of
them, in units of what is usual between molecules, is its novelty; that of a structure is the largest of its atoms'. A
structure is flagged above the novelty that one in twenty structures of unseen, but similar, molecules reaches, or if
it holds a bonding pattern that the training data do not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols, covalent_radii
from scipy.spatial import cKDTree

from assay.batching import pack_structures
from assay.data.dataset import Dataset
from assay.errors import AssayError
from assay.files import atomic_path
from assay.neighbors import neighbor_list
from assay.structures import Structure, collate

CUTOFF_A = 5.0
CENTERS_A = np.array([0.8, 1.1, 1.4, 1.8, 2.3, 2.9, 3.6, 4.3])
WIDTHS_A = np.array([0.15, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.5])
BOND_STRETCH = 1.3
COMPONENTS = 16  # kept of each element's description
ATOM_QUANTILE, STRUCTURE_QUANTILE = 0.99, 0.95
RARE = 5  # a bonding pattern of fewer training atoms is unknown


@dataclass(frozen=True)
class Novelty:
    """How unlike the training data a structure is.

    Attributes:
        score: largest novelty of an atom over the threshold; 1 and above is flagged.
        atom: index of that atom.
        unknown: bonding patterns without training atoms, such as "N bonded to F, F, F"; none if all are known.
    """

    score: float
    atom: int
    unknown: tuple[str, ...]

    @property
    def flagged(self) -> bool:
        """Whether a prediction deserves distrust."""
        return self.score >= 1.0 or bool(self.unknown)

    @property
    def reason(self) -> str:
        """Why it is flagged, in words; empty if it is not."""
        if self.unknown:
            return f"no training data for {'; '.join(self.unknown)}"
        return (
            f"atom {self.atom} is {self.score:.1f} times as far as usual from any training atom" if self.flagged else ""
        )


@dataclass(frozen=True)
class Domain:
    """The training data as the flag sees them.

    Attributes:
        elements: (E,) atomic numbers with a description.
        means, axes: (E, D) and (E, D, C), the whitening of each element.
        points: for each element, (n, C) whitened descriptions of training atoms.
        scales: (E,), the distance that is usual for an element.
        threshold: of the largest distance over scale in a structure.
        patterns: bonding patterns and how many training atoms have them.
    """

    elements: np.ndarray
    means: np.ndarray
    axes: np.ndarray
    points: list[np.ndarray]
    scales: np.ndarray
    threshold: float
    patterns: dict[str, int]

    def judge(self, structures: Sequence[Structure]) -> list[Novelty]:
        """The novelty of each structure; an element without training data is an unknown pattern."""
        trees = [cKDTree(points) for points in self.points]
        results: list[Novelty] = [Novelty(0.0, 0, ())] * len(structures)
        for batch in pack_structures(structures, CUTOFF_A):
            some = [structures[k] for k in batch]
            numbers, vectors, patterns = describe(some)
            distance = np.full(len(numbers), np.inf)
            for e, z in enumerate(self.elements):
                here = numbers == z
                if here.any():
                    distance[here] = trees[e].query((vectors[here] - self.means[e]) @ self.axes[e])[0] / self.scales[e]
            ends = np.cumsum([len(structure) for structure in some])
            for k, start, end in zip(batch, [0, *ends[:-1]], ends, strict=True):
                unknown = sorted({p for p in patterns[start:end] if self.patterns.get(p, 0) < RARE})
                own = distance[start:end] / self.threshold
                worst = int(np.argmax(own)) if end > start else 0
                score = float(own[worst]) if end > start else 0.0
                results[k] = Novelty(score if np.isfinite(score) else 1e9, worst, tuple(unknown))
        return results


def describe(structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Atomic numbers (N,), descriptions (N, D) and bonding patterns of all atoms of a batch of structures."""
    atomic_numbers, positions, batch = collate(structures, dtype=torch.float64)
    cells = np.stack([np.zeros((3, 3)) if s.cell is None else s.cell for s in structures])
    edges, shift = neighbor_list(positions, batch, CUTOFF_A, cells, np.stack([s.pbc for s in structures]))
    neighbor, atom = edges.numpy()
    x, numbers = positions.numpy(), atomic_numbers.numpy()
    distance = np.linalg.norm(x[neighbor] - x[atom] + shift.numpy(), axis=1)
    species = np.searchsorted(_SPECIES, numbers)[neighbor].clip(max=len(_SPECIES) - 1)
    envelope = 0.5 * (np.cos(np.pi * np.minimum(distance / CUTOFF_A, 1.0)) + 1.0)
    column = len(numbers) * len(_SPECIES)
    vectors = np.stack(
        [
            np.bincount(
                atom * len(_SPECIES) + species,
                envelope * np.exp(-0.5 * ((distance - center) / width) ** 2),
                column,
            )
            for center, width in zip(CENTERS_A, WIDTHS_A, strict=True)
        ],
        -1,
    ).reshape(len(numbers), -1)
    bonded = distance < BOND_STRETCH * (covalent_radii[numbers[neighbor]] + covalent_radii[numbers[atom]])
    partners: list[list[str]] = [[] for _ in numbers]
    for i, j in zip(atom[bonded], neighbor[bonded], strict=True):
        partners[i].append(chemical_symbols[numbers[j]])
    patterns = [
        f"{chemical_symbols[z]} bonded to {', '.join(sorted(own)) or 'nothing'}"
        for z, own in zip(numbers, partners, strict=True)
    ]
    return numbers, vectors, patterns


_SPECIES = np.array([1, 6, 7, 8, 9, 15, 16, 17, 35, 53, 118])  # neighbors of other elements count as the next one


def fit(train: Dataset, calibration: Dataset, points_per_element: int, seed: int) -> Domain:
    """Describe the training data, and set what is usual by structures of molecules that are not among them."""
    numbers, vectors, patterns, _ = _describe_all(list(train))
    names, counts = np.unique(patterns, return_counts=True)
    elements, rng = np.unique(numbers), np.random.default_rng(seed)
    means, axes, points = [], [], []
    for z in elements:
        own = vectors[numbers == z]
        mean = own.mean(0)
        _, spread, directions = np.linalg.svd(own[_draw(rng, len(own), 20000)] - mean, full_matrices=False)
        spread = spread / np.sqrt(max(min(len(own), 20000) - 1, 1))
        scaled = np.zeros((vectors.shape[1], COMPONENTS))
        kept = min(COMPONENTS, int((spread > 1e-3).sum()))
        scaled[:, :kept] = directions[:kept].T / spread[:kept]
        means.append(mean)
        axes.append(scaled)
        points.append((own[_draw(rng, len(own), points_per_element)] - mean) @ scaled)
    rough = Domain(
        elements,
        np.array(means),
        np.array(axes),
        points,
        np.ones(len(elements)),
        1.0,
        dict(zip(names.tolist(), counts.tolist(), strict=True)),
    )
    return _calibrated(rough, list(calibration))


def _calibrated(domain: Domain, structures: list[Structure]) -> Domain:
    numbers, vectors, _, owner = _describe_all(structures)
    scales, distance = [], np.full(len(numbers), np.nan)
    for e, z in enumerate(domain.elements):
        here = numbers == z
        own = cKDTree(domain.points[e]).query((vectors[here] - domain.means[e]) @ domain.axes[e])[0]
        scales.append(float(np.quantile(own, ATOM_QUANTILE)) if len(own) else 1.0)
        distance[here] = own / max(scales[-1], 1e-6)
    largest = np.full(len(structures), -np.inf)
    np.maximum.at(largest, owner, np.nan_to_num(distance, nan=np.inf))
    threshold = float(np.quantile(largest, STRUCTURE_QUANTILE)) if len(structures) else 1.0
    return Domain(
        domain.elements,
        domain.means,
        domain.axes,
        domain.points,
        np.maximum(scales, 1e-6),
        threshold,
        domain.patterns,
    )


def _describe_all(structures: Sequence[Structure]) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """``describe`` in batches of bounded size, and the structure (N,) of each atom: batches change their order."""
    batches = pack_structures(structures, CUTOFF_A)
    parts = [describe([structures[k] for k in batch]) for batch in batches]
    return (
        np.concatenate([numbers for numbers, _, _ in parts]),
        np.concatenate([vectors for _, vectors, _ in parts]).astype(np.float32),
        [pattern for _, _, own in parts for pattern in own],
        np.concatenate([np.repeat(batch, [len(structures[k]) for k in batch]) for batch in batches]),
    )


def _draw(rng: np.random.Generator, available: int, wanted: int) -> np.ndarray:
    return np.sort(rng.choice(available, min(available, wanted), replace=False))


def write_domain(path: str | Path, domain: Domain) -> None:
    """Write a domain as compressed arrays, atomically."""
    arrays: dict[str, Any] = {
        "elements": domain.elements,
        "means": domain.means,
        "axes": domain.axes.astype(np.float32),
        "points": np.concatenate(domain.points).astype(np.float32),
        "n_points": np.array([len(points) for points in domain.points]),
        "scales": domain.scales,
        "threshold": np.array(domain.threshold),
        "patterns": np.array(list(domain.patterns)),
        "pattern_counts": np.array(list(domain.patterns.values())),
    }
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **arrays)


def read_domain(path: str | Path) -> Domain:
    """Read what ``write_domain`` wrote.

    Raises:
        AssayError: if the file is missing or is something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return Domain(
                file["elements"],
                file["means"],
                file["axes"],
                np.split(file["points"], np.cumsum(file["n_points"])[:-1]),
                file["scales"],
                float(file["threshold"]),
                dict(zip(file["patterns"].tolist(), file["pattern_counts"].tolist(), strict=True)),
            )
    except (OSError, KeyError, ValueError) as error:
        raise AssayError(f"{path} is no description of training data ({error}): make it again") from None
