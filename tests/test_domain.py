"""The flag for structures unlike the training data."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule

from assay.accuracy import by_novelty
from assay.data.dataset import from_structures
from assay.domain import describe, fit, read_domain, write_domain
from assay.errors import AssayError
from assay.metrics import Errors
from assay.structures import Structure

TRAIN = ("CH4", "CH3CH2OH", "C2H6", "CH3OCH3", "H2O", "CH3OH", "isobutane", "C3H8")


def shaken(name, count, amplitude=0.05, seed=0):
    rng = np.random.default_rng(seed)
    atoms = molecule(name)
    return [
        Structure(
            name,
            atoms.numbers.astype(np.int64),
            atoms.positions + rng.normal(0, amplitude, atoms.positions.shape),
            energy_eV=0.0,
            forces_eV_per_A=np.zeros((len(atoms), 3)),
            molecule=name,
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def domain():
    train = from_structures([s for k, name in enumerate(TRAIN) for s in shaken(name, 40, seed=k)])
    calibration = from_structures([s for k, name in enumerate(TRAIN) for s in shaken(name, 10, seed=100 + k)])
    return fit(train, calibration, points_per_element=400, seed=0)


def test_new_geometries_of_the_same_kind_are_rarely_flagged(domain):
    same = [s for k, name in enumerate(TRAIN) for s in shaken(name, 20, seed=200 + k)]
    assert np.mean([novelty.flagged for novelty in domain.judge(same)]) < 0.15


def test_distorted_geometries_are_flagged_the_more_the_stronger(domain):
    scores = [
        np.median([novelty.score for novelty in domain.judge(shaken("CH3CH2OH", 20, amplitude, seed=7))])
        for amplitude in (0.05, 0.1, 0.2)
    ]
    assert scores[0] < 1.0 < scores[2]
    assert scores == sorted(scores)


def test_unknown_bonding_and_unknown_elements_are_named(domain):
    nitrile, fluoride = domain.judge([*shaken("CH3CN", 1), *shaken("CH3Cl", 1)])
    assert nitrile.flagged
    assert "N bonded to C" in nitrile.reason
    assert fluoride.flagged
    assert "Cl bonded to C" in fluoride.reason


def test_the_score_does_not_know_batch_orientation_or_order(domain):
    structures = [*shaken("CH3CH2OH", 1), *shaken("isobutane", 1), *shaken("H2O", 1)]
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    together = domain.judge(structures)
    for structure, novelty in zip(structures, together, strict=True):
        order = np.random.default_rng(2).permutation(len(structure))
        other = replace(
            structure,
            atomic_numbers=structure.atomic_numbers[order],
            positions=structure.positions[order] @ turn.T + 5.0,
        )
        (alone,) = domain.judge([other])
        assert alone.score == pytest.approx(novelty.score, rel=1e-5)
        assert order[alone.atom] == novelty.atom


def test_descriptions_are_smooth_at_the_cutoff():
    def vectors(distance):
        return describe([Structure("pair", np.array([6, 8]), np.array([[0.0, 0, 0], [distance, 0, 0]]))])[1]

    assert np.abs(vectors(4.9999) - vectors(5.0001)).max() < 1e-6


def test_a_domain_survives_a_file(domain, tmp_path):
    write_domain(tmp_path / "domain.npz", domain)
    structures = shaken("CH3CN", 2) + shaken("C2H6", 2)
    back = read_domain(tmp_path / "domain.npz").judge(structures)
    for one, other in zip(back, domain.judge(structures), strict=True):
        assert one.score == pytest.approx(other.score, rel=1e-4)
        assert one.unknown == other.unknown


def test_something_else_is_refused(tmp_path):
    (tmp_path / "domain.npz").write_text("not arrays")
    with pytest.raises(AssayError, match=r"domain\.npz"):
        read_domain(tmp_path / "domain.npz")


def test_errors_of_flagged_and_unflagged_structures_are_told_apart(domain):
    structures = [*shaken("C2H6", 5, 0.02), *shaken("CH3CN", 5)]
    dataset = from_structures(structures)
    forces = np.repeat([0.1, 0.7], [40, 30])[:, None] * np.ones((1, 3))
    errors = Errors(dataset.atomic_numbers, dataset.sizes, dataset.energy, dataset.energy, forces, dataset.forces)
    found = by_novelty(errors, domain.judge(structures))
    assert found["flagged_fraction"] == 0.5
    assert found["flagged"]["force_rmse_eV_per_A"] == pytest.approx(0.7)
    assert found["unflagged"]["force_rmse_eV_per_A"] == pytest.approx(0.1)
    assert found["rank_correlation_with_force_rmse"] > 0.5
