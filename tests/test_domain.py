"""The flag for structures unlike the training data."""

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import ase.io
import numpy as np
import pytest

from assay.accuracy import fitting
from assay.accuracy.domain import RARE, Novelty, domain_beside, read_domain, write_domain
from assay.accuracy.environments import describe, describe_atoms
from assay.accuracy.evaluation import by_novelty
from assay.accuracy.fitting import fit
from assay.accuracy.metrics import Errors
from assay.data.dataset import from_structures
from assay.data.hdf5 import write_hdf5
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from shared.checkpoint_samples import store, student
from shared.molecules import TRAIN, shaken

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def domain():
    train = from_structures([s for k, name in enumerate(TRAIN) for s in shaken(name, 40, seed=k)])
    calibration = from_structures([s for k, name in enumerate(TRAIN) for s in shaken(name, 10, seed=100 + k)])
    return fit(train, calibration, points_per_element=400, seed=0)


def test_new_geometries_of_the_same_kind_are_rarely_flagged(domain):
    same = [s for k, name in enumerate(TRAIN) for s in shaken(name, 20, seed=200 + k)]
    assert np.mean([novelty.flagged for novelty in domain.novelties_of(same)]) < 0.15


def test_one_in_twenty_of_the_structures_that_the_threshold_was_set_by_is_flagged():
    """Some of them are shaken more, whose atoms far off set the scales of elements."""
    train = from_structures([s for k, name in enumerate(TRAIN) for s in shaken(name, 40, seed=k)])
    others = [s for k, name in enumerate(TRAIN) for s in shaken(name, 20, 0.05 + 0.01 * (k % 3), seed=100 + k)]
    found = fit(train, from_structures(others), points_per_element=400, seed=0).novelties_of(others)
    assert np.mean([novelty.score >= 1.0 for novelty in found]) == pytest.approx(0.05, abs=1 / len(others))


def test_training_structures_do_not_tell_how_far_others_usually_are():
    """They are at no distance, so that all others would be far off."""
    training = [s for k, name in enumerate(TRAIN) for s in shaken(name, 20, seed=k)]
    others = [s for k, name in enumerate(TRAIN) for s in shaken(name, 10, seed=100 + k)]
    train, both = from_structures(training), from_structures(training + others)
    alone = fit(train, from_structures(others), points_per_element=4000, seed=0)
    beside = fit(train, both, points_per_element=4000, seed=0)
    assert (beside.threshold, *beside.scales) == pytest.approx((alone.threshold, *alone.scales))
    with pytest.raises(
        AssayError, match=r"all 160 .* are training structures: name .*`dataset\.validation`, or as `data\.validation`"
    ):
        fit(train, train, points_per_element=4000, seed=0)


def test_each_direction_of_a_description_is_as_wide_as_any_other(domain):
    for points in domain.points:
        widths = points.std(axis=0)
        np.testing.assert_allclose(widths[widths > 0.0], 1.0, atol=0.2)
        assert (widths > 0.0).sum() >= 4


def test_distorted_geometries_are_flagged_the_more_the_stronger(domain):
    scores = [
        np.median([novelty.score for novelty in domain.novelties_of(shaken("CH3CH2OH", 20, amplitude, seed=7))])
        for amplitude in (0.05, 0.1, 0.2)
    ]
    assert scores[0] < 1.0 < scores[2]
    assert scores == sorted(scores)


def test_a_structure_is_flagged_from_the_threshold_on_by_its_farthest_atom(domain):
    found = [Novelty(score, 3, ()) for score in (0.99, 1.0, 1.24)]
    assert [(novelty.flagged, novelty.reason) for novelty in found] == [
        (False, ""),
        (True, "atom 3 is 1.0 times as far as usual from any training atom"),
        (True, "atom 3 is 1.2 times as far as usual from any training atom"),
    ]
    [pulled] = shaken("CH3CH2OH", 1, 0.02)
    pulled.positions[5] *= 1.08
    [novelty] = domain.novelties_of([pulled])
    described = describe([pulled])
    apart = domain.distances(described.atomic_numbers, described.vectors) / domain.threshold
    assert (novelty.score, novelty.atom) == (pytest.approx(apart.max()), apart.argmax())


@pytest.mark.parametrize(("n_atoms", "known"), [(RARE - 1, False), (RARE, True)])
def test_a_pattern_of_a_few_training_atoms_is_unknown(domain, n_atoms, known):
    """And coverage says the same of it."""
    few = replace(domain, patterns=domain.patterns | {"O bonded to C, H": n_atoms})
    [novelty] = few.novelties_of(shaken("CH3CH2OH", 1, 0.01))
    assert novelty.unknown == (() if known else ("O bonded to C, H",))
    assert few.coverage()["O"]["n_patterns_known"] == (3 if known else 2)


def test_unknown_bonding_and_unknown_elements_are_named(domain):
    nitrile, fluoride = domain.novelties_of([*shaken("CH3CN", 1), *shaken("CH3Cl", 1)])
    assert nitrile.flagged
    assert "N bonded to C" in nitrile.reason
    assert fluoride.flagged
    assert "Cl bonded to C" in fluoride.reason


def beside_methane(distance_A, seed):
    """Methane, shaken, and an argon atom so far from its carbon, in a random direction."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    tetrahedron = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.629
    positions = np.concatenate([np.zeros((1, 3)), tetrahedron]) + rng.normal(size=(5, 3)) * 0.03
    argon = distance_A * axis / np.linalg.norm(axis)
    numbers, positions = np.array([6, 1, 1, 1, 1, 18]), np.concatenate([positions, argon[None]])
    return Structure(f"at-{distance_A}", numbers, positions, energy_eV=0.0, forces_eV_per_A=np.zeros((6, 3)))


@pytest.mark.parametrize("trained_at", [3.6, 12.0])
def test_elements_that_never_came_so_near_are_flagged(trained_at):
    """Where two elements never met in training, no direction of the description varies by their meeting."""
    train = from_structures([beside_methane(trained_at + 0.2 * (k % 5), seed=k) for k in range(60)])
    others = from_structures([beside_methane(trained_at + 0.2 * (k % 5), seed=100 + k) for k in range(40)])
    domain = fit(train, others, points_per_element=400, seed=0)
    same, near = domain.novelties_of([beside_methane(trained_at + 0.3, seed=200), beside_methane(2.4, seed=201)])
    assert not same.flagged
    assert near.flagged
    assert "C and Ar nearer than" in near.reason
    distance = float(near.reason.split("C and Ar nearer than ")[1].split()[0])
    assert distance == pytest.approx(min(trained_at, 5.0), abs=0.01)


def test_an_atom_that_never_came_so_near_to_its_own_image_is_flagged():
    def iron(a_A):
        cell = a_A / 2 * np.array([[-1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, -1.0]])
        zero = np.zeros((1, 3))
        return Structure("Fe", np.array([26]), zero, cell, np.ones(3, bool), energy_eV=0.0, forces_eV_per_A=zero)

    train, others = ([iron(2.8 + 0.01 * k + offset) for k in range(20)] for offset in (0.0, 0.004))
    domain = fit(from_structures(train), from_structures(others), points_per_element=20, seed=0)
    same, near = domain.novelties_of([iron(2.802), iron(2.5)])
    assert not same.flagged and near.unknown == (f"Fe and Fe nearer than {3**0.5 / 2 * 2.8:.2f} A",)


def test_the_score_does_not_know_batch_orientation_or_order(domain):
    structures = [*shaken("CH3CH2OH", 1), *shaken("isobutane", 1), *shaken("H2O", 1)]
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    together = domain.novelties_of(structures)
    for structure, novelty in zip(structures, together, strict=True):
        order = np.random.default_rng(2).permutation(len(structure))
        other = replace(
            structure,
            atomic_numbers=structure.atomic_numbers[order],
            positions=structure.positions[order] @ turn.T + 5.0,
        )
        (alone,) = domain.novelties_of([other])
        assert alone.score == pytest.approx(novelty.score, rel=1e-5)
        assert order[alone.atom] == novelty.atom


def test_descriptions_are_smooth_at_the_cutoff():
    def vectors(distance):
        return describe([Structure("pair", np.array([6, 8]), np.array([[0.0, 0, 0], [distance, 0, 0]]))])[1]

    assert np.abs(vectors(4.9999) - vectors(5.0001)).max() < 1e-6


def test_a_domain_survives_a_file(domain, tmp_path):
    write_domain(tmp_path / "domain.npz", domain)
    structures = shaken("CH3CN", 2) + shaken("C2H6", 2)
    back = read_domain(tmp_path / "domain.npz").novelties_of(structures)
    for one, other in zip(back, domain.novelties_of(structures), strict=True):
        assert one.score == pytest.approx(other.score, rel=1e-4)
        assert one.unknown == other.unknown


def test_something_else_is_refused(tmp_path):
    (tmp_path / "domain.npz").write_text("not arrays")
    with pytest.raises(AssayError, match=r"domain\.npz"):
        read_domain(tmp_path / "domain.npz")


def test_description_does_not_depend_on_how_many_structures_are_described_at_once(domain, monkeypatch):
    """Only atoms that were drawn beforehand are kept, wherever in the stream they come."""
    train = from_structures([s for k, name in enumerate(TRAIN) for s in shaken(name, 40, seed=k)])
    calibration = from_structures([s for k, name in enumerate(TRAIN) for s in shaken(name, 10, seed=100 + k)])
    monkeypatch.setattr(fitting, "describe_atoms", partial(describe_atoms, at_once=7))
    piecewise = fitting.fit(train, calibration, points_per_element=400, seed=0)
    assert piecewise.threshold == pytest.approx(domain.threshold, rel=1e-4)
    assert piecewise.patterns == domain.patterns
    np.testing.assert_allclose(piecewise.means, domain.means, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(piecewise.scales, domain.scales, rtol=1e-4)
    assert [len(points) for points in piecewise.points] == [len(points) for points in domain.points]


def test_errors_of_flagged_and_unflagged_structures_are_told_apart(domain):
    structures = [*shaken("C2H6", 5, 0.02), *shaken("CH3CN", 5)]
    dataset = from_structures(structures)
    forces = np.repeat([0.1, 0.7], [40, 30])[:, None] * np.ones((1, 3))
    errors = Errors(dataset.atomic_numbers, dataset.sizes, dataset.energy, dataset.energy, forces, dataset.forces)
    found = by_novelty(errors, domain.novelties_of(structures))
    assert found["flagged_fraction"] == 0.5
    assert found["flagged"]["force_rmse_eV_per_A"] == pytest.approx(0.7)
    assert found["unflagged"]["force_rmse_eV_per_A"] == pytest.approx(0.1)
    assert found["rank_correlation_with_force_rmse"] > 0.5
    assert found["unknown_patterns"]["N bonded to C"] == 5


def test_coverage_counts_training_atoms_and_what_they_are_bonded_to(domain):
    coverage = domain.coverage()
    assert set(coverage) == {"H", "C", "O"}
    assert coverage["O"]["n_training_atoms"] == 40 * 4
    assert coverage["O"]["most_frequent"] == {"O bonded to C, H": 80, "O bonded to C, C": 40, "O bonded to H, H": 40}
    assert coverage["O"]["n_patterns_known"] == 3


def test_no_atoms_at_all_are_not_flagged(domain):
    [water, nothing] = domain.novelties_of([*shaken("H2O", 1), Structure("", np.zeros(0, np.int64), np.zeros((0, 3)))])
    assert water.score > nothing.score == 0.0
    assert nothing.record == {"flagged": False, "flag_reason": ""}


@pytest.fixture
def results(domain, tmp_path):
    """A folder of results with a model and the domain, and structures of a plain and an odd molecule."""
    (tmp_path / "tiny").mkdir()
    content = {"model_state_dict": student("painn").state_dict(), "training": {"elements": ["H", "C", "N", "O"]}}
    store(tmp_path / "tiny", content)
    write_domain(tmp_path / "tiny/domain.npz", domain)
    frames = [s.to_ase() for name in ("CH3CH2OH", "CH3CN") for s in shaken(name, 1, amplitude=0.02)]
    ase.io.write(tmp_path / "molecules.xyz", frames)
    return tmp_path


def predict(folder, model, *options):
    command = [sys.executable, ROOT / "scripts/predict.py", model, "molecules.xyz", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_predict_flags_what_is_unlike_the_training_data(results):
    model = results / "tiny/checkpoint.pt"
    done = predict(results, model, "--json", "out.json", "--output", "out.xyz")
    assert done.returncode == 0, done.stderr
    _, plain, odd, compared, scope = done.stdout.splitlines()
    assert scope.startswith("The scope of the model: ")
    assert "unlike" not in plain
    assert "unlike training data: no training data for C bonded to C, N; N bonded to C" in odd
    rows, frames = json.loads((results / "out.json").read_text()), ase.io.read(results / "out.xyz", ":")
    assert [row["flagged"] for row in rows] == [bool(atoms.info["flagged"]) for atoms in frames] == [False, True]
    assert [row["flag_reason"] for row in rows] == [atoms.info.get("flag_reason", "") for atoms in frames]
    assert [row["energy_eV"] for row in rows] == pytest.approx([atoms.get_potential_energy() for atoms in frames])
    assert rows[0]["flag_reason"] == ""
    assert rows[1]["flag_reason"].endswith("N bonded to C")
    assert compared == "Structures are compared with all 320 training structures."
    assert [row["flag_compares_with"] for row in rows] == ["all 320 training structures"] * 2


@pytest.mark.slow
def test_predict_takes_a_domain_from_elsewhere_and_does_without(results):
    model = results / "tiny/checkpoint.pt"
    (results / "tiny/domain.npz").rename(results / "elsewhere.npz")
    assert domain_beside(model) is None
    *rows, why, _ = predict(results, model).stdout.splitlines()
    assert len(rows) == 3 and not any("unlike" in row for row in rows)
    assert why.startswith("No structure is flagged as unlike the training data, because no description")
    assert "unlike training data" in predict(results, model, "--domain", "elsewhere.npz").stdout
    broken = predict(results, model, "--domain", "molecules.xyz")
    assert broken.returncode == 1
    assert broken.stderr.splitlines()[-1].startswith("Error: molecules.xyz is no whole description of training data")
    with pytest.raises(AssayError, match=r"there is no file nowhere\.npz: check the path"):
        read_domain("nowhere.npz")


@pytest.mark.parametrize("script", ["train", "train_own"])
def test_no_training_is_lost_to_validation_data_that_tell_nothing(script, tmp_path, monkeypatch, capsys):
    file = tmp_path / "all.h5"
    write_hdf5(file, from_structures([s for k, name in enumerate(TRAIN) for s in shaken(name, 4, seed=k)]))
    trained = []
    monkeypatch.setattr("assay.training.run.train_student", lambda **_: trained.append("train"))
    monkeypatch.setattr("assay.training.own.train_own", lambda **_: trained.append("train_own"))
    job = MagicMock(input=SimpleNamespace(train=file, validation=file, about=file), log=[str(tmp_path / "log")])
    job.params.domain, job.params.origin = {"points_per_element": 100, "seed": 0}, None
    job.threads, job.params.processes, job.params.training = 1, 1, {"processes": 1}
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / f"scripts/{script}.py"), {"snakemake": job})
    assert "are training structures" in capsys.readouterr().err and not trained
