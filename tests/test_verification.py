"""What is verified of exported files passes up to its tolerance and no further."""

import numpy as np
import pytest

from assay.verification.determinism import check_determinism
from assay.verification.parity import Reference, errors_of
from assay.workflow.config_models.physics_yaml import Tolerance

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
