"""A faultless potential passes every check, and the judgement follows the thresholds."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.neighborlist import neighbor_list

from assay.physics.base import Subject
from assay.physics.checks import CHECKS, measure
from assay.physics.crystals import crystals
from assay.physics.locality import breathing, crossings
from assay.physics.precision import COPIES
from assay.physics.reference import DYNAMICS, SCALED_CELL, Frame, Reference, read_reference, write_reference
from assay.physics.relax import frequencies
from assay.physics.verdict import table, unit_of, verdict_of
from assay.predictors.calculators import CalculatorModel, CalculatorPredictor
from assay.structures.geometry import moved, out_of_plane, superposed_rmsd
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from assay.workflow.files import read_json, write_json
from shared.physics_faulty import Faulty
from shared.physics_toys import DYNAMICS as DYNAMICS_OF_TOYS
from shared.physics_toys import TEACHER, THRESHOLDS, predictor, subject, toy_reference


@pytest.fixture(scope="module")
def faultless():
    return measure(subject(predictor(), moving=predictor(dtype=torch.float32)))


def test_every_check_has_thresholds_and_every_threshold_a_check():
    assert set(CHECKS) == set(THRESHOLDS)


def test_a_faultless_model_passes_every_check(faultless):
    judged = verdict_of(faultless, THRESHOLDS)
    assert {name: check["message"] for name, check in judged["checks"].items() if check["outcome"] != "pass"} == {}
    assert judged["verdict"] == "md-ready"


def test_exact_symmetries_are_exact_to_rounding(faultless):
    for name in ("rotation", "reflection", "translation", "batch", "extensivity"):
        assert max(faultless[name]["values"].values()) < 1e-9, name
    assert faultless["determinism"]["values"] == {"energy_spread_eV": 0.0, "force_error_eV_per_A": 0.0}


def test_the_teachers_own_run_has_its_own_means(faultless):
    """Both leave out what was before the run had settled."""
    assert 0.0 < faultless["bonds"]["values"]["max_difference_A"] < 1e-5
    assert 0.0 < faultless["rings"]["values"]["max_difference_A"] < 1e-5
    warmer = subject(predictor())
    warmer.dynamics = warmer.dynamics | {"stability": warmer.dynamics["stability"] | {"temperatures_K": [350.0]}}
    results = measure(warmer, ["bonds", "rings"])
    assert {(row["status"], row["lacks"]) for row in results.values()} == {("not applicable", "reference")}
    assert "no run of the teacher at a temperature of physics.dynamics.stability" in results["bonds"]["message"]


def test_molecules_far_from_the_origin_and_long_ones_are_judged_as_others(faultless):
    checks = ["extensivity", "translation", "net_force", "precision"]
    away, long = (subject(predictor(), moving=predictor(dtype=torch.float32)) for _ in range(2))
    frames = [frames[0] for frames in toy_reference().groups(DYNAMICS).values()]
    sides = [(-15.0, 0.0, 0.0), (15.0, 1.0, 0.0), (900.0, 900.0, 900.0)]
    away.reference = Reference(
        [
            Frame(moved(f.structure, f.structure.positions + x), DYNAMICS, f.group)
            for f, x in zip(frames, sides, strict=True)
        ]
    )
    atoms = np.arange(30)
    chain = np.stack([1.4 * atoms, 0.4 * (-1.0) ** atoms, 0.0 * atoms], -1)
    long.reference = Reference([Frame(Structure("chain", np.full(30, 6), chain), DYNAMICS, "chain")])
    for asked_about in (away, long):
        judged = verdict_of(measure(asked_about, checks), THRESHOLDS)
        assert {name: own["message"] for name, own in judged["checks"].items() if own["outcome"] != "pass"} == {}


def test_images_are_judged_where_a_model_does_not_tell_its_cutoff():
    emt = CalculatorPredictor(CalculatorModel("ase.calculators.emt.EMT", {}), "EMT", 1)
    copper = Structure.from_ase(bulk("Cu"), "Cu")
    found = Subject(emt, emt, Reference([Frame(copper, SCALED_CELL, "Cu")]), DYNAMICS_OF_TOYS)
    judged = verdict_of(measure(found, ["images"]), THRESHOLDS)["checks"]["images"]
    assert judged["outcome"] == "pass", judged["message"]


def test_thresholds_alone_turn_the_verdict(faultless):
    stricter = {name: dict(rules) for name, rules in THRESHOLDS.items()}
    stricter["precision"] = {"needed_for": "dynamics", "limits": {"energy_error_eV": {"max": 0.0, "because": "test"}}}
    judged = verdict_of(faultless, stricter)
    assert (judged["verdict"], judged["failed"]) == ("screening-only", ["precision"])
    assert "above 0" in judged["checks"]["precision"]["message"]
    stricter["batch"] = {"needed_for": "screening", "limits": {"energy_spread_eV": {"max": -1.0, "because": "test"}}}
    assert verdict_of(faultless, stricter)["verdict"] == "reject"


@pytest.mark.parametrize(("least", "outcome"), [(0.1, "pass"), (0.2, "pass"), (0.3, "fail")])
def test_a_limit_may_be_the_least_that_is_allowed(least, outcome):
    measured = {"status": "measured", "message": "", "values": {"share": 0.2}, "raw": {}, "wall_s": 0, "cpu_s": 0}
    rules = {"own": {"needed_for": "dynamics", "limits": {"share": {"min": least, "because": "test"}}}}
    judged = verdict_of({"own": measured}, rules)
    assert judged["checks"]["own"]["outcome"] == outcome
    assert judged["verdict"] == ("md-ready" if outcome == "pass" else "screening-only")
    said = "" if outcome == "pass" else f"share is 0.2, below {least}"
    assert judged["checks"]["own"]["message"] == said and f"≥ {least}" in table(judged)


def test_every_value_is_limited_or_deliberately_not(faultless):
    free = {
        (name, key)
        for name, measured in faultless.items()
        for key in measured["values"]
        if key not in THRESHOLDS[name]["limits"]
    }
    assert free == {
        ("bonds", "mean_difference_A"),
        ("contact_curves", "mean_wrong_minima"),
        ("minima", "max_rmsd_A"),
        ("torsions", "profile_mae_kcal_per_mol"),
    }


@pytest.mark.parametrize(
    ("network", "file", "verdict"),
    [
        ("rotation", None, "reject"),
        (None, "rotation", "reject"),
        ("nve", None, "screening-only"),
        (None, None, "md-ready"),
    ],
)
def test_a_file_is_worth_no_more_than_its_network_and_than_its_own_checks(
    faultless, network, file, verdict, tmp_path, monkeypatch
):
    monkeypatch.setattr("assay.physics.figures.draw_all", lambda checks, paths: None)

    def checks(failing):
        return faultless | ({failing: faultless[failing] | {"status": "error", "message": "crash"}} if failing else {})

    write_json(tmp_path / "probe.json", {"teacher": TEACHER, "gaps": [], "checks": checks(network)})
    write_json(tmp_path / "exports.json", {"files": {"model.onnx": {"dtype": "float32", "checks": checks(file)}}})
    write_json(tmp_path / "model.json", {"scope": {"sentence": "molecules of C and H"}})
    given = {"probe": tmp_path / "probe.json", "exports": [tmp_path / "exports.json"], "card": tmp_path / "model.json"}
    job = SimpleNamespace(
        input=SimpleNamespace(**given), output=Named(physics=tmp_path / "physics.json"), log=[tmp_path / "log"]
    )
    job.params = SimpleNamespace(thresholds=THRESHOLDS)
    runpy.run_path(str(Path(__file__).parents[1] / "scripts/physics.py"), {"snakemake": job})
    found = read_json(tmp_path / "physics.json")
    assert found["exports"]["model.onnx"]["verdict"] == verdict
    assert found["verdict"] == ("md-ready" if network is None else verdict)
    assert found["scope"] == found["exports"]["model.onnx"]["scope"] == "molecules of C and H"


class Named(dict):
    """Outputs of a rule, by name and as attributes."""

    def __getattr__(self, name):
        return self[name]

    def __missing__(self, name):
        return name


def test_a_check_without_threshold_and_a_threshold_without_check_or_value_are_errors(faultless):
    with pytest.raises(AssayError, match="has no work"):
        verdict_of(faultless, {name: rules for name, rules in THRESHOLDS.items() if name != "work"})
    with pytest.raises(AssayError, match="limits rotatoin, which is no physics check"):
        verdict_of(faultless, THRESHOLDS | {"rotatoin": THRESHOLDS["rotation"]})
    with pytest.raises(AssayError, match="limits speed"):
        verdict_of(
            {"work": faultless["work"]},
            {"work": {"needed_for": "dynamics", "limits": {"speed": {"max": 1, "because": "test"}}}},
        )


def test_an_unknown_check_is_an_error():
    with pytest.raises(AssayError, match="rotatoin"):
        measure(subject(predictor()), ["rotatoin"])


def test_means_over_a_run_of_a_few_femtoseconds_are_not_judged():
    short = subject(predictor())
    short.dynamics = short.dynamics | {"stability": short.dynamics["stability"] | {"duration_fs": 25.0}}
    results = measure(short, ["bonds", "rings"])
    assert {result["status"] for result in results.values()} == {"not applicable"}
    why = "need 100 fs, and the config's physics.dynamics.stability has 25 fs"
    assert why in results["bonds"]["message"]
    judged = verdict_of(results, THRESHOLDS)
    assert judged["verdict"] == "screening-only"
    assert "at most, because 2 checks could not be judged" in judged["capped"] and why in judged["capped"]


class Broken:
    name = runtime = "broken"
    dtype, cutoff_A, max_z, elements = "float64", 5.0, 20, None

    def predict(self, structures):
        raise RuntimeError("out of order")


def test_no_verdict_rests_on_nothing():
    results = measure(subject(predictor()), ["npt"])
    results["npt"] |= {"status": "not applicable", "values": {}, "message": "no crystal", "lacks": "scope"}
    judged = verdict_of(results, THRESHOLDS)
    assert (judged["verdict"], judged["rests_on"]) == ("screening-only", {"judged": 0, "of": 1})
    assert judged["capped"] == "screening-only at most, because no check could be judged"


def test_a_crash_is_an_outcome_and_stops_nothing():
    results = measure(subject(Broken()), ["rotation", "work"])
    judged = verdict_of(results, THRESHOLDS)
    assert [check["outcome"] for check in judged["checks"].values()] == ["error", "error"]
    assert "out of order" in judged["checks"]["work"]["message"]
    assert judged["verdict"] == "reject"
    assert "out of order" in table(judged)
    judged = verdict_of(measure(subject(Broken()), ["nve"]), THRESHOLDS)
    assert (judged["verdict"], judged["failed"]) == ("screening-only", ["nve"]), "dynamics need it"


def test_nothing_to_judge_is_not_applicable_and_no_verdict_for_screening():
    empty = subject(predictor())
    empty.reference = Reference([])
    judged = verdict_of(measure(empty), THRESHOLDS)
    assert {check["outcome"] for check in judged["checks"].values()} == {"not applicable"}
    assert judged["verdict"] == "reject"


def test_elements_that_the_model_does_not_know_are_left_out():
    limited = predictor()
    limited.elements = frozenset({1, 6, 8})
    results = measure(subject(limited), ["rotation", "dimer_curves"])
    assert set(results["rotation"]["raw"]["molecules"]) == {"beta", "gamma"}


def test_values_that_are_not_finite_fail():
    measured = {"status": "measured", "message": "", "values": {"drift": None}, "raw": {}, "wall_s": 0, "cpu_s": 0}
    rules = {"nve": {"needed_for": "dynamics", "limits": {"drift": {"max": 1.0, "because": "test"}}}}
    judged = verdict_of({"nve": measured}, rules)
    assert judged["checks"]["nve"]["outcome"] == "fail"
    assert "not finite" in judged["checks"]["nve"]["message"]


def test_the_reference_survives_a_file(tmp_path):
    frames = toy_reference().frames
    write_reference(tmp_path / "reference.xyz.gz", frames, "pairs of atoms")
    back = read_reference(tmp_path / "reference.xyz.gz")
    assert back.teacher == "pairs of atoms"
    back = back.frames
    assert [(f.kind, f.group) for f in back] == [(f.kind, f.group) for f in frames]
    for one, other in zip(back, frames, strict=True):
        assert np.allclose(one.structure.positions, other.structure.positions, atol=1e-7)
        assert one.structure.energy_eV == pytest.approx(other.structure.energy_eV, abs=1e-6)
        assert one.coordinate == pytest.approx(other.coordinate)
        for key, value in other.known.items():
            assert np.allclose(one.known[key], value, atol=1e-6), key


def test_a_missing_reference_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(AssayError, match="physics_reference"):
        read_reference(tmp_path / "nothing.xyz.gz")


def test_frequencies_of_a_diatomic_and_of_a_bent_molecule():
    stiffness = 100.0  # eV/angstrom^2 along x
    pair = Structure("N2", np.array([7, 7]), np.array([[0.0, 0, 0], [1.1, 0, 0]]))
    hessian = np.zeros((6, 6))
    hessian[np.ix_([0, 3], [0, 3])] = stiffness * np.array([[1, -1], [-1, 1]])
    expected = np.sqrt(stiffness * 1.602176634e-19 * 1e20 / (14.007 / 2 * 1.66053907e-27)) / (2 * np.pi * 2.99792458e10)
    assert frequencies(pair, hessian) == pytest.approx([expected], rel=1e-4)
    bent = Structure("H2O", np.array([8, 1, 1]), np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))
    assert len(frequencies(bent, np.eye(9))) == 3


def test_superposition_knows_a_mirror_image_from_a_rotation():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    assert superposed_rmsd(x, x @ turn.T + 3.0) < 1e-7
    assert superposed_rmsd(x, -x @ turn.T) > 0.1


def test_distance_from_the_plane():
    hexagon = np.array([[np.cos(k), np.sin(k), 0.0] for k in np.linspace(0, 2 * np.pi, 6, endpoint=False)])
    assert out_of_plane(hexagon) < 1e-12
    chair = hexagon + 0.2 * np.array([[0, 0, (-1) ** k] for k in range(6)])
    assert out_of_plane(chair[None])[0] == pytest.approx(0.2)


def test_paths_cross_the_cutoff_with_one_pair_only():
    names = {path.name for path in crossings(subject(predictor()))}
    assert {"alpha + gamma", "beta + H", "H + O", "13 atoms of KNa"} <= names, "of each kind"
    for path in crossings(subject(predictor())):
        counts = []
        for beyond in (-1e-3, 1e-3):
            x = path.at(beyond).positions
            distance = np.linalg.norm(x[:, None] - x[None], axis=-1)
            counts.append(int((distance < 5.0).sum()) // 2)
        assert counts[0] - counts[1] == 1, path.name
    line = Structure("line", np.array([1, 1, 1]), np.array([[0.0, 0, 0], [2.4, 0, 0], [4.95, 0, 0]]))
    assert np.ptp(breathing(line, 5.0).start.positions[:, 0]) == pytest.approx(5.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_long_molecule_is_not_put_onto_its_own_images(axis):
    zigzag = np.array([[1.4 * k, 0.4 * (-1) ** k, 0.0] for k in range(16)])
    chain = Structure("chain", np.full(16, 6), np.roll(zigzag, axis, axis=1))
    student = predictor()
    (packed,) = crystals(Subject(student, student, Reference([Frame(chain, DYNAMICS, "chain")]), DYNAMICS_OF_TOYS))
    assert neighbor_list("d", packed.to_ase(), 5.0).min() > 1.3
    assert neighbor_list("d", packed.to_ase(), 5.0).size > neighbor_list("d", chain.to_ase(), 5.0).size


def test_single_precision_is_judged_by_its_largest_error_and_by_the_spread_of_one_molecule():
    """Here energies are off by 10 meV more from molecule to molecule, and by 1 meV more from copy to copy."""
    rounded = Faulty(lambda s, e, f, k: (e + 1e-2 * (k // COPIES) + 1e-3 * (k % COPIES), f + 2e-4))
    rounded.dtype = "float32"
    asked = subject(predictor(), moving=rounded)
    found = measure(asked, ["precision"])["precision"]["values"]
    largest = 1e-2 * (len(asked.molecules) - 1) + 1e-3 * (COPIES - 1)
    assert found == pytest.approx(
        {"rotation_spread_eV": 5e-3, "energy_error_eV": largest, "force_error_eV_per_A": 2e-4}, rel=1e-6
    )


def test_random_numbers_are_those_of_the_seed_and_of_their_purpose():
    one, same, other = subject(predictor()), subject(predictor()), subject(predictor())
    other.seed = 1
    drawn = [s.rng(purpose).random() for s, purpose in ((one, "a"), (same, "a"), (other, "a"), (one, "b"))]
    assert drawn[0] == drawn[1] and len(set(drawn)) == 3


def test_units_are_read_from_names():
    assert unit_of("energy_spread_eV") == "eV"
    assert unit_of("drift_meV_per_atom_per_ps") == "meV/atom/ps"
    assert unit_of("net_torque_eV") == "eV"
    assert unit_of("relative_error") == ""
