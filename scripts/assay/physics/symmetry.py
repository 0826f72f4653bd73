"""What must not matter: orientation, handedness, place, the order of atoms, company in a batch, the time of day."""

from __future__ import annotations

import numpy as np

from assay.physics.base import Check, Measurement, Subject, worst
from assay.predictors.interface import Prediction
from assay.structures.geometry import moved, random_rotations
from assay.structures.structure import Structure

COPIES = 6
SHIFT_A = 20.0  # a few times the size of a molecule: what float16 cannot resolve, and float32 can


def _by_structure(predictions: list[Prediction], count: int) -> list[list[Prediction]]:
    return [predictions[start : start + count] for start in range(0, len(predictions), count)]


def _orthogonal(subject: Subject, sign: float) -> Measurement:
    """Energies and forces of turned (sign 1) or turned and mirrored (-1) copies."""
    rng, copies, turns = subject.rng(f"orthogonal {sign}"), [], []
    for molecule in subject.molecules:
        matrices = [np.eye(3), *(sign * random_rotations(COPIES, rng))]
        turns.append(matrices)
        copies += [moved(molecule, molecule.positions @ matrix.T) for matrix in matrices]
    spreads, errors = [], []
    for matrices, found in zip(turns, _by_structure(subject.predictor.predict(copies), COPIES + 1), strict=True):
        energies = [prediction.energy_eV for prediction in found]
        forces = [p.forces_eV_per_A @ matrix for p, matrix in zip(found, matrices, strict=True)]  # turned back
        spreads.append(max(energies) - min(energies))
        errors.append(worst([np.abs(f - forces[0]).max() for f in forces]))
    return Measurement(
        {"energy_spread_eV": worst(spreads), "force_error_eV_per_A": worst(errors)},
        {
            "molecules": [m.name for m in subject.molecules],
            "energy_spread_eV": spreads,
            "force_error_eV_per_A": errors,
        },
    )


def rotation(subject: Subject) -> Measurement:
    """Random rotations of every molecule."""
    return _orthogonal(subject, 1.0)


def reflection(subject: Subject) -> Measurement:
    """Random rotations followed by an inversion."""
    return _orthogonal(subject, -1.0)


def _compared(found: list[Prediction], expected: list[Prediction]) -> Measurement:
    energies = [abs(a.energy_eV - b.energy_eV) for a, b in zip(found, expected, strict=True)]
    forces = [np.abs(a.forces_eV_per_A - b.forces_eV_per_A).max() for a, b in zip(found, expected, strict=True)]
    return Measurement(
        {"energy_spread_eV": worst(energies), "force_error_eV_per_A": worst(forces)},
        {"energy_spread_eV": energies, "force_error_eV_per_A": [float(force) for force in forces]},
    )


def translation(subject: Subject) -> Measurement:
    """Every molecule somewhere else."""
    directions = subject.rng("translation").normal(size=(len(subject.molecules), 3))
    shifts = SHIFT_A * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    away = [moved(m, m.positions + shift) for m, shift in zip(subject.molecules, shifts, strict=True)]
    return _compared(subject.predictor.predict(away), subject.predictor.predict(subject.molecules))


def permutation(subject: Subject) -> Measurement:
    """The atoms in another order; in a droplet too, where a list that drops neighbors drops others."""
    rng, originals, copies, orders = subject.rng("permutation"), [], [], []
    for molecule in [*subject.molecules, subject.dense_cluster]:
        order = rng.permutation(len(molecule))
        originals.append(molecule)
        orders.append(order)
        copies.append(Structure(molecule.name, molecule.atomic_numbers[order], molecule.positions[order]))
    expected = [
        Prediction(prediction.energy_eV, prediction.forces_eV_per_A[order])
        for prediction, order in zip(subject.predictor.predict(originals), orders, strict=True)
    ]
    return _compared(subject.predictor.predict(copies), expected)


def batch(subject: Subject) -> Measurement:
    """Alone, and in company: the whole batch, the batch turned round, the batch with a dense cluster in it."""
    molecules = subject.molecules
    alone = [subject.predictor.predict([molecule])[0] for molecule in molecules]
    together = subject.predictor.predict(molecules)
    reversed_order = subject.predictor.predict(molecules[::-1])[::-1]
    beside_cluster = subject.predictor.predict([subject.dense_cluster, *molecules])[1:]
    return _compared(together + reversed_order + beside_cluster, 3 * alone)


def determinism(subject: Subject) -> Measurement:
    """The same call again and again."""
    calls = [subject.predictor.predict([*subject.molecules, subject.dense_cluster]) for _ in range(4)]
    return _compared([p for call in calls[1:] for p in call], 3 * calls[0])


CHECKS = [
    Check("rotation", "turning a molecule changes no energy and turns its forces", rotation),
    Check("reflection", "a molecule and its mirror image have the same energy", reflection),
    Check("translation", "moving a molecule changes nothing", translation),
    Check("permutation", "renumbering the atoms changes nothing", permutation),
    Check("batch", "a structure alone is the same as in any batch", batch),
    Check("determinism", "the same input gives the same output", determinism),
]
