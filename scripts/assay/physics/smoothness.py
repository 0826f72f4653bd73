"""Whether the forces bend nowhere by a jump: a search for kinks in the second derivative of the energy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from assay.physics.base import Check, Measurement, NotApplicable, Subject, worst
from assay.physics.continuity import AROUND, closed_walks, walk
from assay.predictors.interface import Prediction

FINE = 6  # the parts of a step that is looked at more closely
CLOSER = 4  # how often its most bent part is divided again
CANDIDATES = 3  # the most bent steps of a loop, of which the first may be a narrow curve and the next a kink
# The slope after a step less the slope before it, both continued to its middle by parabolas through three nodes.
# It is 0 for a polynomial of degree three, and the jump of the slope wherever within the step it jumps.
BEND = np.array((-1.0, 3.0, -2.0, -2.0, 3.0, -1.0))


def bends(predictions: Sequence[Prediction], velocities: np.ndarray) -> np.ndarray:
    """How much the slope of the force on some atom jumps within each step between T nodes, eV/angstrom^2.

    A pair whose energy has a kink in its second derivative changes the slopes of two forces at once where its distance
    passes the kink. Slopes are taken per distance by which two atoms of this path part in the mean.

    Args:
        predictions: forces at T nodes.
        velocities: the change of the positions per step there, (T, N, 3), angstrom.

    Returns:
        (T - 5,), from the third node on, since the slopes of a step need two nodes on either side of it.
    """
    forces = np.array([prediction.forces_eV_per_A for prediction in predictions])
    windows = np.lib.stride_tricks.sliding_window_view(forces, len(BEND), axis=0)  # (T - 5, N, 3, 6)
    jumps = np.linalg.norm(windows @ BEND, axis=-1).max(1)
    return jumps / np.sqrt(2.0 * (velocities**2).mean((1, 2)))[2:-3]


def smoothness(subject: Subject) -> Measurement:
    """The slopes of the forces along the loops of ``continuity``, before and after each step.

    The most bent steps of each loop are divided again and again, each time where they are most bent. A kink stays what
    it was. A narrow curve, such as that of the length of a vector which nearly vanishes, becomes straight.
    """
    if not subject.exact:
        raise NotApplicable("forces of single precision are too coarse to tell a kink from a curve")
    loops, walks = closed_walks(subject)
    rough = [bends(w, loop.velocities(AROUND)) for w, loop in zip(walks, loops, strict=True)]
    places = [np.argsort(-found)[:CANDIDATES].astype(float) for found in rough]
    paths = [loop for loop, own in zip(loops, places, strict=True) for _ in own]
    starts = np.concatenate(places)
    least, width = np.concatenate([np.sort(found)[::-1][:CANDIDATES] for found in rough]), 1.0
    for _ in range(CLOSER):
        width /= FINE
        steps = [start + np.arange(-2.0, FINE + 3.0) * width for start in starts]
        found = [
            bends(own, width * path.velocities(at))
            for own, path, at in zip(walk(subject, paths, steps), paths, steps, strict=True)
        ]
        least = np.minimum(least, [bend.max() for bend in found])
        starts = np.array([at[2 + int(bend.argmax())] for at, bend in zip(steps, found, strict=True)])
    kinks = least.reshape(len(loops), CANDIDATES).max(1)
    rows = [
        {"name": loop.middle.name, "atoms": len(loop.middle), "largest_kink_eV_per_A2": worst([kink])}
        for loop, kink in zip(loops, kinks, strict=True)
    ]
    return Measurement({"largest_kink_eV_per_A2": worst(kinks)}, {"paths": rows})


CHECKS = [Check("smoothness", "forces bend nowhere by a jump on any path", smoothness)]
