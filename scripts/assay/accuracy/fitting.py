"""The description of training data by which structures unlike them are flagged.

Memory stays bounded for any number of structures: all of them are gone through, but only atoms that were drawn
beforehand are kept, so many of each element.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from assay.accuracy.contacts import Nearest, none_yet
from assay.accuracy.domain import RARE, Domain
from assay.accuracy.environments import describe_atoms
from assay.accuracy.overlap import N_NUMBERS, Fingerprints, are_among, fingerprints
from assay.accuracy.training_data import ALL, PART, TrainingData
from assay.data.dataset import Dataset
from assay.data.store import StoredDataset
from assay.workflow.errors import AssayError

COMPONENTS = 16  # kept of each element's description
WHITENED_BY = 20_000  # atoms of an element at most
ATOM_QUANTILE, STRUCTURE_QUANTILE = 0.99, 0.95
DESCRIBED = 50_000  # structures of a stored file that stand for all where there are more


def fit(train: Dataset, calibration: Dataset, points_per_element: int, seed: int) -> Domain:
    """Describe the training data, and set what is usual by structures of molecules that are not among them.

    Args:
        train: the training data.
        calibration: structures of other, but similar, molecules. Those that are training structures tell nothing.
        points_per_element: how many training atoms of each element, drawn at random, others are compared with.
        seed: seed of the random choice of atoms.

    Raises:
        AssayError: all of ``calibration`` are training structures.
    """
    rng, elements = np.random.default_rng(seed), np.unique(train.atomic_numbers)
    atoms = np.argsort(np.repeat(train.sizes, train.sizes), kind="stable")  # those of small structures first
    atoms_of = {z: atoms[train.atomic_numbers[atoms] == z] for z in elements}
    drawn = {z: [_draw(rng, own, n) for n in (WHITENED_BY, points_per_element)] for z, own in atoms_of.items()}
    kept = np.unique(np.concatenate([atoms for both in drawn.values() for atoms in both]))
    vectors, sums, patterns, told, nearest = _go_through(train, kept, elements)
    means, axes, points = [], [], []
    for e, z in enumerate(elements):
        own, compared = (vectors[np.searchsorted(kept, atoms)] for atoms in drawn[z])
        mean = sums[e] / len(atoms_of[z])
        scaled = _whitening(own - mean)
        means.append(mean)
        axes.append(scaled)
        points.append((compared - mean) @ scaled)
    data = TrainingData(ALL, len(train), len(train), train.content_sha256())
    ones = np.ones(len(elements))
    known = dict(sorted(patterns.items()))
    domain = Domain(data, elements, np.array(means), np.array(axes), points, ones, 1.0, known, told, nearest)
    return _calibrated(domain, told, calibration)


def fit_stored(train: Path, calibration: Path, points_per_element: int, seed: int) -> Domain:
    """Describe the training data of two stored files, see ``data.store``; where there are more than ``DESCRIBED``
    structures, so many of them drawn at random. The arguments are those of ``fit``.
    """
    whole, others = StoredDataset(train), StoredDataset(calibration).sample(DESCRIBED, seed)
    domain = fit(whole.sample(DESCRIBED, seed), others, points_per_element, seed)
    if len(whole) <= DESCRIBED:
        return domain
    described = TrainingData(PART, DESCRIBED, len(whole), whole.content_sha256())
    return replace(domain, training_data=described)


def _go_through(
    train: Dataset, kept: np.ndarray, elements: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Counter[str], Fingerprints, Nearest]:
    """Descriptions (K, D) of the atoms ``kept`` (K,), sums (E, D) over all atoms of each element, how many atoms have
    each bonding pattern, what each structure is told by, and how near the elements come to each other.
    """
    owner, told = train.owner, _untold(len(train))
    vectors = sums = np.zeros((0, 0))
    patterns: Counter[str] = Counter()
    nearest = none_yet()
    for atoms, (_, described, words, graphs, contacts) in describe_atoms(train):
        _tell(told, owner[atoms], graphs, described)
        if not sums.size:
            vectors = np.zeros((len(kept), described.shape[1]), np.float32)
            sums = np.zeros((len(elements), described.shape[1]))
        np.add.at(sums, np.searchsorted(elements, train.atomic_numbers[atoms]), described)
        places = np.searchsorted(kept, atoms).clip(max=len(kept) - 1)
        here = kept[places] == atoms
        vectors[places[here]] = described[here]
        patterns.update(words)
        nearest = nearest.with_contacts(contacts, RARE)
    return vectors, sums, patterns, told, nearest


def _untold(n_structures: int) -> Fingerprints:
    return Fingerprints(np.zeros(n_structures, np.uint64), np.zeros((n_structures, N_NUMBERS), np.float32))


def _tell(told: Fingerprints, owner: np.ndarray, graphs: np.ndarray, vectors: np.ndarray) -> None:
    """Write the fingerprints of the whole structures ``owner`` (N,) of some atoms into those of all."""
    whole, owner_here = np.unique(owner, return_inverse=True)
    own = fingerprints(owner_here, graphs, vectors, len(whole))
    told.molecules[whole], told.shapes[whole] = own.molecules, own.shapes


def _whitening(centered: np.ndarray) -> np.ndarray:
    """(D, C) directions of the largest variance of ``centered`` (n, D), each divided by its standard deviation."""
    _, spread, directions = np.linalg.svd(centered, full_matrices=False)
    spread = spread / np.sqrt(max(len(centered) - 1, 1))
    scaled = np.zeros((centered.shape[1], COMPONENTS))
    n_kept = min(COMPONENTS, int((spread > 1e-3).sum()))
    scaled[:, :n_kept] = directions[:n_kept].T / spread[:n_kept]
    return scaled


def _calibrated(domain: Domain, known: Fingerprints, calibration: Dataset) -> Domain:
    """``domain``, whose scales and threshold are 1, with those that are usual in ``calibration``."""
    numbers, owner, told = calibration.atomic_numbers, calibration.owner, _untold(len(calibration))
    distance = np.full(len(numbers), np.inf)
    for atoms, found in describe_atoms(calibration):
        distance[atoms] = domain.distances(numbers[atoms], found.vectors)
        _tell(told, owner[atoms], found.graphs, found.vectors)
    is_other = ~are_among(known, told)
    if len(told) and not is_other.any():
        raise AssayError(
            f"all {len(told):,} structures that should tell how far others usually are from the training data are "
            "training structures: name structures of other molecules as `dataset.validation`, or as `data.validation` "
            "of a student of your own"
        )
    here = is_other[owner]
    numbers, distance, owner = numbers[here], distance[here], owner[here]
    scales = np.array(
        [np.quantile(distance[numbers == z], ATOM_QUANTILE) if z in numbers else 1.0 for z in domain.elements]
    ).clip(min=1e-6)
    for z, scale in zip(domain.elements, scales, strict=True):
        distance[numbers == z] /= scale
    largest = np.full(len(calibration), -np.inf)
    np.maximum.at(largest, owner, distance)
    largest = largest[np.isfinite(largest)]
    threshold = float(np.quantile(largest, STRUCTURE_QUANTILE)) if len(largest) else 1.0
    return replace(domain, scales=scales, threshold=threshold)


def _draw(rng: np.random.Generator, available: np.ndarray, wanted: int) -> np.ndarray:
    """So many of the ``available`` (n,), in their order; all if there are no more."""
    return available[np.sort(rng.choice(len(available), min(len(available), wanted), replace=False))]
