"""The drift of the total energy, and whether a motion was long enough to tell it from fluctuations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import t as student_t

CONFIDENCE = 0.95


def drift_of(times_ps: np.ndarray, energies: np.ndarray) -> dict[str, float]:
    """Fit a line to the total energy over time.

    Neighboring samples are not independent, and the energy swings about the line. Each stretch on one side of the line
    counts as one independent sample in the confidence interval of the slope.

    Args:
        times_ps: (S,), evenly spaced.
        energies: (S,) meV/atom; S is at least 3.

    Returns:
        ``drift_meV_per_atom_per_ps``, the slope; ``drift_uncertainty_meV_per_atom_per_ps``, half the width of its
        interval of 95 % confidence; and ``scatter_meV_per_atom``, the root mean square distance from the line.
    """
    slope, offset = np.polyfit(times_ps, energies, 1)
    residuals = energies - slope * times_ps - offset
    stretches = max(3, 1 + int(np.count_nonzero(np.diff(np.signbit(residuals)))))
    scatter, free = float(residuals.std()), stretches - 2
    slope_error = scatter / float(times_ps.std()) / np.sqrt(free)
    return {
        "drift_meV_per_atom_per_ps": float(slope),
        "drift_uncertainty_meV_per_atom_per_ps": float(student_t.ppf(0.5 + 0.5 * CONFIDENCE, free) * slope_error),
        "scatter_meV_per_atom": scatter,
    }


def drift_passes(case: Mapping[str, Any], largest: float) -> bool | None:
    """Whether the drift of a motion is within its limit.

    Args:
        case: what ``drift_of`` returned, and ``shortened`` if the motion is shorter than was asked.
        largest: the limit, meV/atom/ps.

    Returns:
        The answer; None for a shortened motion whose drift may be on either side of the limit.
    """
    drift = abs(case["drift_meV_per_atom_per_ps"])
    uncertain = case["drift_uncertainty_meV_per_atom_per_ps"] if "shortened" in case else 0.0
    return None if abs(drift - largest) < uncertain else bool(drift <= largest)
