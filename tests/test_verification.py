"""What is verified of exported files passes up to its tolerance and no further."""

from types import SimpleNamespace

import numpy as np
import pytest

from assay.models import build_model
from assay.structures.structure import Structure
from assay.verification import dynamics, verify
from assay.verification.determinism import check_determinism
from assay.verification.parity import Reference, errors_of
from assay.workflow.config_models.physics_yaml import Export, ParityDynamics, Tolerance
from assay.workflow.errors import AssayError

TOLERANCE = Tolerance(
    energy_eV=0.1, energy_eV_per_atom=0.01, energy_relative=0.001, forces_eV_per_A=0.02, forces_relative=0.01
)
SIZES, ENERGY_eV = [10, 5], np.array([-100.0, -50.0])


def judged(energy_eV=(0.0, 0.0), force_eV_per_A=0.0, virial_eV=(0.0, 0.0), **rounding):
    """What is said of results that are off by so much, of two structures whose largest force is 2 eV/angstrom."""
    forces, virial = np.zeros((15, 3)), np.zeros((2, 3, 3))
    forces[3, 1] = -2.0
    expected = Reference(ENERGY_eV, forces, 0, virial_eV=virial, **rounding)
    found, strained = forces.copy(), virial.copy()
    found[7, 2] -= force_eV_per_A
    strained[:, 0, 1] -= virial_eV
    return errors_of(ENERGY_eV - np.array(energy_eV), found, SIZES, expected, TOLERANCE, strained)


@pytest.mark.parametrize(
    ("off", "allowed"),
    [
        ({"energy_eV": np.array([1.0, 0.0])}, 0.1 + 10 * 0.01 + 100 * 0.001),
        ({"energy_eV": np.array([0.0, 1.0])}, 0.1 + 5 * 0.01 + 50 * 0.001),
        ({"force_eV_per_A": 1.0}, 0.02 + 0.01 * 2.0),
        ({"virial_eV": np.array([1.0, 0.0])}, 5.0 * 10 * 0.04),
        ({"virial_eV": np.array([0.0, 1.0])}, 5.0 * 5 * 0.04),
    ],
)
def test_errors_pass_up_to_the_sum_of_the_parts_of_their_tolerance(off, allowed):
    for share, passes in ((0.999, True), (1.001, False)):
        assert judged(**{key: share * allowed * value for key, value in off.items()})["passed"] == passes


def test_errors_may_be_twice_those_that_single_precision_makes_in_the_network():
    rounding = {"rounding_eV_per_A": 0.05, "virial_rounding_eV": 3.0}
    for share, passes in ((0.999, True), (1.001, False)):
        assert judged(force_eV_per_A=share * 0.1, **rounding)["passed"] == passes
        assert judged(virial_eV=(0.0, share * 6.0), **rounding)["passed"] == passes


def test_the_largest_errors_are_recorded():
    row = judged(energy_eV=(0.02, -0.07), force_eV_per_A=0.03, virial_eV=(0.2, -0.4))
    found = {key: row[key] for key in ("energy_error_eV", "forces_error_eV_per_A", "virial_error_eV")}
    assert found == pytest.approx({"energy_error_eV": 0.07, "forces_error_eV_per_A": 0.03, "virial_error_eV": 0.4})


@pytest.mark.parametrize(("threads", "same"), [([1, 2], False), ([1], True)])
def test_each_number_of_threads_may_give_its_own_bits_and_that_is_told(threads, same, monkeypatch):
    class ByThreads:
        def __init__(self, n):
            self.n = n

        def evaluate(self, structures):
            return np.zeros(1), np.full((1, 3), float(self.n))

    monkeypatch.setattr("assay.verification.determinism.BatchPredictor", ByThreads)
    monkeypatch.setattr("assay.verification.determinism.load_predictor", lambda path, threads: ByThreads(threads))
    found = check_determinism(None, [], runs=3, threads=threads)
    assert (found["passed"], found["same_for_all_threads"]) == (True, same)


MOTION = ParityDynamics(n_atoms=[2, 4], steps=100, step_fs=0.5, temperature_K=300.0, energy_eV_per_atom=1e-4)
MOLECULES = [Structure(f"{n}", np.full(n, 6), np.arange(3.0 * n).reshape(n, 3)) for n in (2, 4)]


@pytest.mark.parametrize(("off_eV", "passed"), [((1e-4, 3e-4), [True, True]), ((3e-4, 1e-4), [False, True])])
def test_molecules_move_as_by_the_network_if_the_energy_of_each_does(off_eV, passed, monkeypatch, tmp_path):
    """Both of them drift by 2 meV, here over 0.05 ps; what the file adds comes in the middle and goes again."""

    def energies(structure, calculator, settings):
        added = np.where(np.arange(101) == 50, off_eV[len(structure) // 4], 0.0)
        return -40.0 + np.linspace(0.0, 2e-3, 101) + (added if calculator == "file" else 0.0)

    monkeypatch.setattr(dynamics, "total_energies", energies)
    monkeypatch.setattr(dynamics, "StudentCalculator", lambda *_, **__: File("file"))
    for name in ("EagerPredictor", "PredictorCalculator"):
        monkeypatch.setattr(dynamics, name, lambda _: "network")
    found = dynamics.check_dynamics(None, tmp_path, MOLECULES, MOTION)
    assert [row["passed"] for row in found["molecules"]] == passed and found["passed"] == all(passed)
    for row, n_atoms, off in zip(found["molecules"], (2, 4), off_eV, strict=True):
        assert row["energy_difference_eV_per_atom"] == pytest.approx(off / n_atoms)
        for drift in ("drift_meV_per_atom_per_ps", "drift_exact_meV_per_atom_per_ps"):
            assert row[drift] == pytest.approx(2.0 / n_atoms / 0.05)


class File(str):
    """A calculator that is known by its name."""

    neighbors = SimpleNamespace(n_builds=1)


FILES = ("model.onnx", "model.edges.onnx", "model.ts.pt")


@pytest.fixture
def checks(monkeypatch, tmp_path):
    """What each check says of each file, all of it good, and what it was asked; ``verify`` with checks that say so."""
    says, asked = {}, {}

    def check(name):
        def of(*given):
            file = given[name == "dynamics"]
            key = name, getattr(file, "path", file).name
            asked[key], passed = given, says.get(key, True)
            if passed is None:
                raise AssayError("a damaged file")
            errors = dict.fromkeys(("energy_error_eV", "forces_error_eV_per_A"), 0.01)
            row = {"passed": passed, **(errors if name == "parity" else {})}
            return [row, row | {"energy_error_eV": None}] if name == "parity" else row

        return of

    monkeypatch.setattr(verify, "BatchPredictor", SimpleNamespace)
    monkeypatch.setattr(verify, "load_predictor", lambda path, threads: SimpleNamespace(path=path))
    monkeypatch.setattr(verify.parity, "references", lambda *_: {"2 atoms": SimpleNamespace(rounding_eV_per_A=1e-6)})
    for module, function in (("parity", "parity_rows"), ("graph_checks", "check_graph"),
                             ("determinism", "check_determinism"), ("dynamics", "check_dynamics")):  # fmt: skip
        monkeypatch.setattr(getattr(verify, module), function, check(module))
    for name in FILES:
        (tmp_path / name).write_bytes(b"a file")
    near = TOLERANCE.model_copy(update={"energy_eV": 0.001})
    settings = Export(tolerances={"default": TOLERANCE, "model.onnx": near}, runs=1, threads=[1], dynamics=MOTION)
    network = build_model("painn", {"hidden": 4, "n_blocks": 1, "n_rbf": 4, "max_z": 8}).double()
    water = Structure("water", np.array([8, 1]), np.eye(3)[:2])

    def run():
        files = {name: tmp_path / name for name in FILES}
        return verify.verify(network, [6, 8], files, {"model.pt2": "no compiler"}, [*MOLECULES, water], settings)

    return run, says, asked


def test_each_file_is_judged_on_what_it_computes_by_its_own_tolerance(checks):
    run, _, asked = checks
    found = run()
    assert found["passed"] and found["missing"] == {"model.pt2": "no compiler"}
    for name in FILES:
        _, cases, _, tolerance = asked["parity", name]
        assert ("slab" in cases, "2 atoms" in cases) == (name != "model.onnx", True)
        assert tolerance.energy_eV == (0.001 if name == "model.onnx" else 0.1)
        assert found["files"][name]["parity"]["forces_error_eV_per_A_max"] == 0.01
        assert found["files"][name]["parity"]["energy_error_eV_max"] is None, "one case has none"
    _, _, moved, _ = asked["dynamics", "model.edges.onnx"]
    assert [structure.name for structure in moved] == ["2", "4"], "hydrogen is not known"


@pytest.mark.parametrize(
    ("check", "name"),
    [("graph_checks", "model.onnx"), ("parity", "model.ts.pt"), ("determinism", "model.ts.pt"),
     ("dynamics", "model.edges.onnx")],
)  # fmt: skip
def test_a_file_that_fails_one_check_fails_and_all_files_with_it(checks, check, name):
    run, says, _ = checks
    for passed in (False, None):
        if (check, passed) == ("graph_checks", None):
            continue
        says[check, name] = passed
        found = run()
        assert not found["passed"]
        assert {file for file, row in found["files"].items() if not row["passed"]} == {name}
        assert found["files"][name].get("error") == ("a damaged file" if passed is None else None)
