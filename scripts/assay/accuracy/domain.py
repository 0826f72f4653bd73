"""Whether a structure is like the training data: no model is asked, only geometries are compared.

The description of each atom is whitened over the training atoms of its element. How far it is from the nearest of them,
in units of what is usual between molecules, is its novelty; that of a structure is the largest of its atoms'. A
structure is flagged above the novelty that one in twenty structures of unseen, but similar, molecules reaches, or if
it holds a bonding pattern that the training data do not have, or two elements nearer to each other than there.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from scipy.spatial import cKDTree

from assay.accuracy.contacts import Contacts, Nearest, contact_in_words, elements_of
from assay.accuracy.environments import BONDED_TO, CUTOFF_A, describe_structures
from assay.accuracy.overlap import Fingerprints, fingerprints_of, overlap
from assay.accuracy.training_data import ALL, TrainingData, training_data_of
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path
from assay.workflow.records import (
    NOTHING_SHIPPED,
    Description,
    ShippedPart,
    description_beside,
    training_description,
)

FARTHEST = 1e9  # the score where nothing is near: JSON holds no infinity
RARE = 5  # what fewer training atoms have is unknown: a bonding pattern, or two elements so near to each other
NEARER = 0.95  # a pair nearer than this part of the distance that is known is flagged


@dataclass(frozen=True)
class Novelty:
    """How unlike the training data a structure is.

    Attributes:
        score: the largest novelty of its atoms, divided by the threshold; 1 and above is flagged.
        atom: index of the atom with that novelty.
        unknown: what has no training atoms, bonding patterns such as "N bonded to F, F, F" and contacts such as "C and
            Ar nearer than 3.42 A"; none if all are known.
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
        """What files of predictions say of a structure."""
        return {"flagged": self.flagged, "flag_reason": self.reason}


@dataclass(frozen=True)
class Domain:
    """The training data as the flag sees them.

    Attributes:
        training_data: the structures that are described here; where they are unknown, nothing is flagged.
        elements: (E,) atomic numbers with a description.
        means: (E, D) the mean description of each element's atoms.
        axes: (E, D, C) the directions that whiten the descriptions of each element's atoms.
        points: the whitened descriptions (n, C) of the training atoms of each element.
        scales: (E,) the distance that is usual for an element.
        threshold: the largest distance over scale, among its atoms, at which a structure is flagged.
        patterns: bonding patterns and how many training atoms have them.
        fingerprints: what the training structures are told by, with those of the student that a training went on from;
            None in a description that an earlier version wrote.
        nearest: the shortest distances of two elements; None as above.
    """

    training_data: TrainingData

    elements: np.ndarray
    means: np.ndarray
    axes: np.ndarray
    points: list[np.ndarray]
    scales: np.ndarray
    threshold: float
    patterns: dict[str, int]
    fingerprints: Fingerprints | None = None
    nearest: Nearest | None = None

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

    def novelties_of(self, structures: Sequence[Structure]) -> list[Novelty]:
        """The novelty of each structure; an element without training data is an unknown pattern.

        Where the training data are unknown, no structure has any.
        """
        results = [Novelty(0.0, 0, ())] * len(structures)
        if not self.training_data.known:
            return results
        for indices, found in describe_structures(structures):
            scores = np.minimum(self.distances(found.atomic_numbers, found.vectors) / self.threshold, FARTHEST)
            too_near = self._too_near(found.contacts)
            start = 0
            for k in indices:
                own = slice(start, start := start + len(structures[k]))
                unknown = sorted({p for p in found.patterns[own] if self.patterns.get(p, 0) < RARE})
                unknown += sorted({words for atom, words in too_near if own.start <= atom < own.stop})
                worst = int(np.argmax(scores[own]))
                results[k] = Novelty(float(scores[own][worst]), worst, tuple(unknown))
        return results

    def _too_near(self, contacts: Contacts) -> list[tuple[int, str]]:
        """One atom of each pair of known elements that is nearer than in training, and the pair in words."""
        if self.nearest is None:
            return []
        known = np.isin(np.stack(elements_of(contacts.kinds)), self.elements).all(0)
        limits = self.nearest.limits_A(contacts.kinds, RARE)
        chosen = np.flatnonzero(known & (contacts.distances_A < NEARER * limits))
        return [(contacts.atoms[k], contact_in_words(contacts.kinds[k], limits[k], CUTOFF_A)) for k in chosen]

    @property
    def seen(self) -> Fingerprints | None:
        """What is known of the structures that the student learned from; None if nothing is."""
        if not self.training_data.known or self.fingerprints is None:
            return None
        return replace(self.fingerprints, whole=self.fingerprints.whole and self.training_data.extent == ALL)

    def overlap_with(self, structures: Sequence[Structure]) -> dict[str, Any] | None:
        """How many structures are among the training data, see ``overlap.overlap``; None if that is not known."""
        seen = self.seen
        return None if seen is None else overlap(seen, fingerprints_of(structures), seen.whole)

    def after(self, origin: Domain | None) -> Domain:
        """The same of a student that had learned before as ``origin`` says; None if that is not known."""
        if self.fingerprints is None:
            return self
        return replace(self, fingerprints=self.fingerprints.joined(None if origin is None else origin.seen))

    def coverage(self) -> dict[str, dict[str, Any]]:
        """What the training data hold of each element, by its symbol: the number of atoms, how many bonding patterns
        they have often enough to be known and how many too rarely, and the most frequent patterns with their atoms.
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


def without_training_data(training_data: TrainingData) -> Domain:
    """The domain of a student whose training data are unknown, which flags nothing."""
    nothing = np.zeros(0)
    return Domain(training_data, nothing, nothing, nothing, [], nothing, 1.0, {})


def write_domain(path: str | Path, domain: Domain) -> None:
    """Write a domain as compressed arrays, atomically."""
    arrays: dict[str, Any] = {
        "training_data": np.array(json.dumps(asdict(domain.training_data))),
        "elements": domain.elements,
        "means": domain.means,
        "axes": domain.axes.astype(np.float32),
        "points": np.concatenate(domain.points or [np.zeros((0, 0))]).astype(np.float32),
        "n_points": np.array([len(points) for points in domain.points], dtype=np.int64),
        "scales": domain.scales,
        "threshold": np.array(domain.threshold),
        "patterns": np.array(list(domain.patterns), dtype=np.str_),
        **({} if domain.fingerprints is None else {f"training_{k}": v for k, v in vars(domain.fingerprints).items()}),
        **({} if domain.nearest is None else {f"nearest_{k}": v for k, v in vars(domain.nearest).items()}),
        "pattern_counts": np.array(list(domain.patterns.values()), dtype=np.int64),
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
                TrainingData(**json.loads(str(file["training_data"]))),
                file["elements"],
                file["means"],
                file["axes"],
                np.split(file["points"], np.cumsum(file["n_points"]))[: len(file["elements"])],
                file["scales"],
                float(file["threshold"]),
                dict(zip(file["patterns"].tolist(), file["pattern_counts"].tolist(), strict=True)),
                _fingerprints_in(file) if "training_molecules" in file else None,
                Nearest(file["nearest_kinds"], file["nearest_distances_A"]) if "nearest_kinds" in file else None,
            )
    except FileNotFoundError:
        raise AssayError(f"there is no file {path}: check the path") from None
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        raise AssayError(
            f"{path} is no whole description of training data: name a domain.npz, or make it again"
        ) from None


def _fingerprints_in(file: Mapping[str, np.ndarray]) -> Fingerprints:
    whole = bool(file["training_whole"]) if "training_whole" in file else True  # as of students without an origin
    return Fingerprints(file["training_molecules"], file["training_shapes"], whole)


def domain_of(
    checkpoint: str | Path | None, description: Description, file: str | Path | None, shipped: ShippedPart
) -> Domain:
    """What structures are compared with for a student.

    Args:
        checkpoint: the file that the student came in; None for a calculator.
        description: the kind of description that there is, see ``records.description_for``.
        file: that description; None if there is none.
        shipped: the training structures that are shipped.

    Raises:
        AssayError: the checkpoint, its record and the description of its training data contradict each other, or one of
            them cannot be read.
    """
    described = read_domain(file) if file else None
    found = training_data_of(checkpoint, description, described.training_data if described else None, shipped)
    return replace(described, training_data=found) if described and found.known else without_training_data(found)


def domain_beside(model: str | Path) -> Domain | None:
    """What structures are compared with for a model, by ``records.description_beside``; None if nothing describes it.

    Raises:
        AssayError: as ``domain_of`` does.
    """
    description = description_beside(model)
    if description is None:
        return None
    if description == training_description(model):
        return domain_of(model, "own", description, NOTHING_SHIPPED)
    return read_domain(description)
