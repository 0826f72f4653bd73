"""Whether a structure is like the training data: no model is asked, only geometries are compared.

The description of each atom is whitened over the training atoms of its element. How far it is from the nearest of them,
in units of what is usual between molecules, is its novelty; that of a structure is the largest of its atoms'. A
structure is flagged above the novelty that one in twenty structures of unseen, but similar, molecules reaches, or if
it holds a bonding pattern that the training data do not have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from scipy.spatial import cKDTree

from assay.accuracy.environments import BONDED_TO, CUTOFF_A, describe, describe_all
from assay.data.dataset import Dataset
from assay.structures.batching import pack_structures
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path

COMPONENTS = 16  # kept of each element's description
ATOM_QUANTILE, STRUCTURE_QUANTILE = 0.99, 0.95
FARTHEST = 1e9  # for a score that JSON can hold
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
        if self.flagged:
            return f"atom {self.atom} is {self.score:.1f} times as far as usual from any training atom"
        return ""

    @property
    def record(self) -> dict[str, Any]:
        """What files of predictions say of it."""
        return {"flagged": self.flagged, "flag_reason": self.reason}


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

    @cached_property
    def _trees(self) -> list[cKDTree]:
        return [cKDTree(points) for points in self.points]

    def distances(self, numbers: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """(N,) distance of each description (N, D) from the nearest training atom of its element, over the element's
        scale; infinite where there is none.
        """
        result = np.full(len(numbers), np.inf)
        for e, z in enumerate(self.elements):
            here = numbers == z
            result[here] = self._trees[e].query((vectors[here] - self.means[e]) @ self.axes[e])[0] / self.scales[e]
        return result

    def judge(self, structures: Sequence[Structure]) -> list[Novelty]:
        """The novelty of each structure; an element without training data is an unknown pattern."""
        results = [Novelty(0.0, 0, ())] * len(structures)
        present = [k for k, structure in enumerate(structures) if len(structure)]
        for batch in pack_structures([structures[k] for k in present], CUTOFF_A):
            indices = [present[k] for k in batch]
            numbers, vectors, patterns = describe([structures[k] for k in indices])
            scores = np.minimum(self.distances(numbers, vectors) / self.threshold, FARTHEST)
            start = 0
            for k in indices:
                own = slice(start, start := start + len(structures[k]))
                unknown = sorted({p for p in patterns[own] if self.patterns.get(p, 0) < RARE})
                worst = int(np.argmax(scores[own]))
                results[k] = Novelty(float(scores[own][worst]), worst, tuple(unknown))
        return results

    def coverage(self) -> dict[str, dict[str, Any]]:
        """By symbol of each element: its training atoms, how many bonding patterns they have often enough to be known
        and how many too rarely, and the most frequent ones with their atoms.
        """
        found: dict[str, dict[str, Any]] = {}
        for z in self.elements:
            symbol = chemical_symbols[z]
            own = Counter({p: n for p, n in self.patterns.items() if p.startswith(symbol + BONDED_TO)})
            known = sum(n >= RARE for n in own.values())
            found[symbol] = {
                "n_training_atoms": own.total(),
                "n_patterns_known": known,
                "n_patterns_rare": len(own) - known,
                "most_frequent": dict(own.most_common(3)),
            }
        return found


def fit(train: Dataset, calibration: Dataset, points_per_element: int, seed: int) -> Domain:
    """Describe the training data, and set what is usual by structures of molecules that are not among them."""
    numbers, vectors, patterns, _ = describe_all(list(train))
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
    ones = np.ones(len(elements))
    counted = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return _calibrated(Domain(elements, np.array(means), np.array(axes), points, ones, 1.0, counted), list(calibration))


def _calibrated(domain: Domain, structures: list[Structure]) -> Domain:
    """``domain``, whose scales and threshold are 1, with those that are usual in ``structures``."""
    numbers, vectors, _, owner = describe_all(structures)
    distance = domain.distances(numbers, vectors)
    scales = np.array(
        [np.quantile(distance[numbers == z], ATOM_QUANTILE) if z in numbers else 1.0 for z in domain.elements]
    ).clip(min=1e-6)
    for z, scale in zip(domain.elements, scales, strict=True):
        distance[numbers == z] /= scale
    largest = np.full(len(structures), -np.inf)
    np.maximum.at(largest, owner, distance)
    largest = largest[np.isfinite(largest)]
    threshold = float(np.quantile(largest, STRUCTURE_QUANTILE)) if len(largest) else 1.0
    return replace(domain, scales=scales, threshold=threshold)


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


def domain_beside(model: str | Path) -> Path | None:
    """What belongs to a model of the workflow: results/domain.npz for results/<variant>/<file>; None if it is not
    there.
    """
    path = Path(model).absolute().parent.parent / "domain.npz"
    return path if path.is_file() else None
