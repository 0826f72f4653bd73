"""What must not matter: orientation, handedness, place, the order of atoms, company in a batch, the time of day."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from assay.physics.base import SHAKE_A, Check, Measurement, Subject, worst
from assay.predictors.interface import Prediction
from assay.structures.geometry import droplet, fragments, moved, random_rotations, shaken
from assay.structures.structure import Structure

COPIES = 6
CROWD = 300  # more structures than one byte can number
SMALL_CLUSTER_ATOMS = 60
GATHERING = np.linspace(2.0, 1.0, 6)  # the extents of a cluster that comes together
MEETING_A = np.arange(2.0, -0.6, -0.05)  # the ways from there of its two halves, which then meet
JOINING_A = np.arange(3.0, 0.1, -0.25)  # the ways from there of one of its molecules, which then joins it alone
MEETING_AXIS = np.ones(3) / np.sqrt(3.0)  # no coordinate changes by more than 0.58 of the way along it
CREEPING_A = (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)  # and the last steps of a coordinate
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
        spreads.append(float(np.ptp(energies)))  # which is NaN where any of them is
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
    """Alone, and in company: the whole batch, the batch turned round, one with a dense cluster, and a large crowd."""
    molecules = subject.molecules
    alone = [subject.predictor.predict([molecule])[0] for molecule in molecules]
    together = subject.predictor.predict(molecules)
    reversed_order = subject.predictor.predict(molecules[::-1])[::-1]
    beside_cluster = subject.predictor.predict([subject.dense_cluster, *molecules])[1:]
    smallest, rng = min(molecules, key=len), subject.rng("crowd of copies")
    crowd = [shaken(smallest, SHAKE_A, rng) for _ in range(CROWD)]
    last = subject.predictor.predict(crowd)[-CROWD // 5 :]
    few = [p for copy in crowd[-CROWD // 5 :] for p in subject.predictor.predict([copy])]
    return _compared(together + reversed_order + beside_cluster + last, 3 * alone + few)


def history(subject: Subject) -> Measurement:
    """A small cluster that gathers, meets its other half and a lone molecule, and hardly moves, beside the same cluster
    in another order of atoms.

    The first order comes step by step, as in dynamics, where a list of neighbors or a result may be kept for too long.
    The second is asked where all neighbors are close for its first answer, and elsewhere before each of the others.
    """
    rng = subject.rng("history")
    cluster = droplet(sorted(subject.molecules, key=len)[:3], SMALL_CLUSTER_ATOMS, subject.atoms_per_A3, rng)
    order, elsewhere = rng.permutation(len(cluster)), moved(cluster, cluster.positions + SHIFT_A)
    traveler = Structure("traveler", cluster.atomic_numbers[order], cluster.positions[order])
    predict = subject.predictor.predict
    predict([cluster])
    found, expected = [], []
    for place in _journey(cluster, rng):
        found.append(predict([moved(traveler, place[order])])[0])
        predict([elsewhere])
        own = predict([moved(cluster, place)])[0]
        expected.append(Prediction(own.energy_eV, own.forces_eV_per_A[order]))
    return _compared(found, expected)


def _journey(cluster: Structure, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Positions (N, 3) of a cluster that comes together, of its two halves and then of one molecule and the rest that
    meet head-on, and of atoms that creep.

    Atoms that meet head-on use up the skin of a kept list twice as soon as one that moves alone. Where one molecule
    moves, the mean displacement says little.
    """
    owner = fragments(cluster)
    centers = np.stack([cluster.positions[owner == k].mean(0) for k in range(owner.max() + 1)])
    along = centers @ MEETING_AXIS
    halves = np.where(along > np.median(along), 1.0, -1.0)
    alone = np.where(along == along.max(), 1.0, 0.0)
    for extent in GATHERING:
        yield cluster.positions + (extent - 1.0) * centers[owner]
    for ways, left in ((MEETING_A, halves), (JOINING_A, alone)):
        for way in ways:
            yield cluster.positions + way * left[owner, None] * MEETING_AXIS
    place, direction = cluster.positions, rng.normal(size=cluster.positions.shape)
    for step in CREEPING_A:
        place = place + step * direction
        yield place


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
    Check("history", "what was asked before changes nothing", history),
    Check("determinism", "the same input gives the same output", determinism),
]
