"""What float32 costs: the model as it will be run beside the model as it is meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.physics.base import Check, Measurement, NotApplicable, Subject, worst
from assay.predictors.interface import Predictor
from assay.structures.geometry import moved, random_rotations
from assay.structures.structure import Structure

COPIES = 6


def precision(subject: Subject) -> Measurement:
    """Rotated molecules in the precision of dynamics and in float64: the spread of the first, the distance of both."""
    if not subject.exact or subject.moving.dtype == "float64":
        raise NotApplicable("there is no float64 form of the model beside the one that is run")
    rng, copies = subject.rng("precision"), []
    for molecule in subject.molecules:
        copies += [moved(molecule, molecule.positions @ turn.T) for turn in random_rotations(COPIES, rng)]
    exact, rounded = subject.predictor.predict(copies), subject.moving.predict(copies)
    energy = np.array([r.energy_eV - e.energy_eV for r, e in zip(rounded, exact, strict=True)]).reshape(-1, COPIES)
    forces = [float(np.abs(r.forces_eV_per_A - e.forces_eV_per_A).max()) for r, e in zip(rounded, exact, strict=True)]
    spread = np.ptp(energy, axis=1)  # what rounding adds to any spread of the model itself
    return Measurement(
        {
            "rotation_spread_eV": worst(spread),
            "energy_error_eV": worst(np.abs(energy).max(1)),
            "force_error_eV_per_A": worst(forces),
        },
        {"molecules": [m.name for m in subject.molecules], "rotation_spread_eV": spread, "dtype": subject.moving.dtype},
    )


def turned_energy_spread_eV(predictor: Predictor, structures: Sequence[Structure]) -> float:
    """The largest difference of a structure's energy between six random orientations (eV), as the predictor rounds."""
    energies = [
        [p.energy_eV for p in predictor.predict([moved(s, s.positions @ turn.T) for s in structures])]
        for turn in random_rotations(COPIES, np.random.default_rng(0))
    ]
    return float(np.ptp(energies, axis=0).max())


CHECKS = [Check("precision", "single precision changes nothing that matters", precision)]
