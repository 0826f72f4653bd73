"""Faults that jump in the second derivative of the energy alone."""

import pytest
import torch

from assay.physics.checks import measure
from assay.physics.continuity import STEPS
from shared.physics_faulty import Faulty, assert_caught
from shared.physics_toys import Pairs, predictor, subject


class SwitchedOff(Pairs):
    """Its pairs are switched off from 4 angstrom on by a function whose second derivative jumps at both ends."""

    def envelope(self, distance):
        x = (distance - 4.0).clamp(0.0, 1.0)
        return 1.0 - 3.0 * x**2 + 2.0 * x**3


class Tabulated(Pairs):
    """Its smooth envelope is read from a table by parabolas, whose first derivative is continuous."""

    spacing_A = 0.2

    def envelope(self, distance):
        knots = torch.arange(0.0, self.cutoff + self.spacing_A, self.spacing_A, dtype=distance.dtype)
        x = (knots / self.cutoff).clamp(max=1.0) ** 2
        slopes = -8.0 * knots / self.cutoff**2 * (1.0 - x) ** 3
        values = 1.0 + torch.cat([x[:1], torch.cumsum(0.5 * self.spacing_A * (slopes[1:] + slopes[:-1]), 0)])
        k = (distance.detach() / self.spacing_A).long().clamp(max=len(knots) - 2)
        t = distance - knots[k]
        return values[k] + slopes[k] * t + (slopes[k + 1] - slopes[k]) * t**2 / (2.0 * self.spacing_A)


@pytest.mark.parametrize("model", [SwitchedOff, Tabulated])
def test_a_kink_in_a_second_derivative(model):
    assert_caught(predictor(model()), ["smoothness"], ["work", "force_consistency", "nve"])


def test_both_checks_of_the_loops_share_one_walk():
    def _asked_for(*names):
        asked = []
        found = measure(subject(Faulty(question=lambda structure: asked.append(structure) or structure)), names)
        return len(asked), len(found[names[0]]["raw"]["paths"])

    (rough, loops), (fine, _) = _asked_for("continuity"), _asked_for("smoothness")
    both, _ = _asked_for("continuity", "smoothness")
    assert rough + fine - both == loops * STEPS + 1  # and a crystal, to see whether the model takes any
