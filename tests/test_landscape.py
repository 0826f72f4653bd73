"""The checks of the energy landscape where a number of modes or an energy is out of the ordinary."""

from dataclasses import replace

import numpy as np
import pytest

from assay.physics.base import Subject
from assay.physics.checks import measure
from assay.physics.reference import CONFORMER, MINIMUM, TAUTOMER, TORSION, Frame, Reference
from assay.physics.relax import force_jacobians, frequencies, relax
from assay.predictors.interface import Prediction
from assay.structures.structure import Structure
from shared.physics_toys import TEACHER, Springs

LINE = Structure("CO2", np.array([6, 8, 8]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.16], [0.0, 0.0, -1.16]]))
ONE_SIDE = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])


def springs(stiffness_eV_per_A2=50.0, ends_A=2.32):
    """A straight molecule of three atoms, its ends at a distance."""
    bonds = [(0, k, 1.16, stiffness_eV_per_A2) for k in (1, 2)]
    return Springs([*bonds, (1, 2, ends_A, 5.0)])


def measured(student, frames, *names):
    return measure(Subject(student, student, Reference(frames, TEACHER), {}, teacher=TEACHER), names)


def vibrations(student, off_axis_A, first_mode=0, teacher=None):
    """What the check finds of the straight molecule, its ends off the axis, whose teacher has the modes from one on."""
    teacher = teacher or springs()
    [line], _ = relax(teacher, [LINE], 1e-4, 100)
    (jacobian,) = force_jacobians(teacher, [line], 0.005)
    known = {"frequencies_per_cm": frequencies(line, -jacobian)[first_mode:]}
    bent = replace(LINE, positions=LINE.positions + off_axis_A * ONE_SIDE)
    return measured(student, [Frame(bent, MINIMUM, "CO2", known=known)], "vibrations")["vibrations"]["values"]


@pytest.mark.parametrize("off_axis_A", [0.0, 1e-4, 3e-3, 1e-2])
def test_a_straight_molecule_that_is_bent_a_little_is_compared_by_all_of_its_modes(off_axis_A):
    faultless = vibrations(springs(), off_axis_A)
    assert faultless["mae_per_cm"] < 20.0 and faultless["imaginary_modes"] == 0
    soft = vibrations(springs(5.0, ends_A=2.30), off_axis_A)
    assert soft["mae_per_cm"] > 500.0


def test_a_mode_that_the_teacher_has_not_makes_the_error_infinite():
    assert vibrations(springs(), 0.0, first_mode=1)["mae_per_cm"] is None


def test_only_imaginary_modes_that_the_teacher_has_not_are_the_model_s():
    saddle = springs(ends_A=2.2)  # the straight molecule is one, since its ends are drawn together
    assert vibrations(saddle, 0.0, teacher=saddle)["imaginary_modes"] == 0
    assert vibrations(saddle, 0.0)["imaginary_modes"] == 2


class Springless(Springs):
    """Two atoms whose energy is nothing where they are near each other."""

    def predict(self, structures):
        return [Prediction(0.3 * (np.ptp(s.positions) > 1.2), np.zeros_like(s.positions)) for s in structures]


def test_an_energy_of_exactly_nothing_is_a_label():
    frames = [
        Frame(
            Structure("two", np.array([1, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, x]]), energy_eV=e), kind, "two", x
        )
        for kind in (TORSION, CONFORMER, TAUTOMER)
        for x, e in ((1.0, 0.0), (1.5, 0.3))
    ]
    found = measured(Springless([]), frames, "torsions", "conformers", "tautomers")
    assert all(abs(value) < 1e-9 for row in found.values() for value in row["values"].values())
    unlabelled = [replace(frame, structure=replace(frame.structure, energy_eV=None)) for frame in frames]
    found = measured(Springless([]), unlabelled, "torsions", "conformers", "tautomers")
    assert {value for row in found.values() for value in row["values"].values()} == {None}
