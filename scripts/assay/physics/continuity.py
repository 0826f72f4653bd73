"""Whether the energy is continuous wherever atoms go: a search for jumps that presumes nothing about their place."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import ase.build
import numpy as np

from assay.physics.base import SHAKE_A, Check, Measurement, NotApplicable, Subject, once, worst
from assay.physics.crystals import crystals
from assay.predictors.interface import Prediction, rounding_eV
from assay.structures.geometry import droplet, fragments, moved
from assay.structures.structure import Structure, evenly

STEPS = 32
AROUND = np.arange(-2.0, STEPS + 3.0)  # the nodes of a closed walk, of which the first two and last three come twice
FINE = 6  # the parts of the step that is least explained, to tell a jump from the error of the quadrature
SWELL = 0.2  # a cluster grows by this share and shrinks again, so that its atoms leave and enter all neighborhoods
WATERS, WATER_ATOMS_PER_A3 = 32, 0.1
# The integral over one step from the six nodes around it, exact for polynomials of degree five.
NODES = ((-2, 11 / 1440), (-1, -93 / 1440), (0, 802 / 1440), (1, 802 / 1440), (2, -93 / 1440), (3, 11 / 1440))


@dataclass(frozen=True)
class Loop:
    """A smooth closed path, on which each atom goes round an ellipse of its own.

    Attributes:
        middle: the structure that the path goes round.
        across, along: (N, 3), the half axes of the ellipses, angstrom.
    """

    middle: Structure
    across: np.ndarray
    along: np.ndarray

    def at(self, steps: np.ndarray) -> list[Structure]:
        """The structures after so many steps (T,), of which ``STEPS`` go round."""
        angles = 2.0 * np.pi * steps / STEPS
        shifts = [np.sin(angle) * self.across + np.cos(angle) * self.along for angle in angles]
        return [moved(self.middle, self.middle.positions + shift) for shift in shifts]

    def velocities(self, steps: np.ndarray) -> np.ndarray:
        """The change of the positions per step, (T, N, 3), angstrom."""
        angles = 2.0 * np.pi * steps[:, None, None] / STEPS
        return (np.cos(angles) * self.across - np.sin(angles) * self.along) * (2.0 * np.pi / STEPS)


def random_loop(structure: Structure, rng: np.random.Generator, swell: float = 0.0) -> Loop:
    """Draw a loop around ``structure``, on which its molecules also part by the share ``swell`` and come back."""
    across, along = SHAKE_A * rng.normal(size=(2, *structure.positions.shape))
    owner = fragments(structure)
    centers = np.stack([structure.positions[owner == k].mean(0) for k in range(owner.max() + 1)])
    apart = 0.5 * swell * (centers - centers.mean(0))[owner]
    return Loop(moved(structure, structure.positions + apart), across, along - apart)


def dense_clusters(subject: Subject) -> list[Structure]:
    """Droplets as dense as a liquid: of water where the model knows it, and of the reference's smallest molecules."""
    if not subject.elements.issuperset((1, 8)):
        return [subject.dense_cluster]
    water = Structure.from_ase(ase.build.molecule("H2O"), "water")
    waters = droplet([water], 3 * WATERS, WATER_ATOMS_PER_A3, subject.rng("water"))
    return [moved(waters, waters.positions, f"{WATERS} waters"), subject.dense_cluster]


def unexplained(predictions: Sequence[Prediction], velocities: np.ndarray) -> np.ndarray:
    """What the work of the forces does not explain of the change of the energy, eV, for each step between T nodes.

    Args:
        predictions: energies and forces at T nodes.
        velocities: the change of the positions per step there, (T, N, 3), angstrom.

    Returns:
        (T - 5,), from the third node on, since the quadrature of a step needs two nodes on either side of it.
    """
    power = np.array([(p.forces_eV_per_A * v).sum() for p, v in zip(predictions, velocities, strict=True)])
    energy = np.array([prediction.energy_eV for prediction in predictions])
    work = np.correlate(power, [weight for _, weight in NODES], "valid")
    return np.diff(energy)[2:-2] + work


def continuity(subject: Subject) -> Measurement:
    """The energy along random loops of molecules, dense clusters and crystals beside the work of its forces, step by
    step. There are no crystals for a model that takes no periodic structure.

    The least explained step of each loop is walked again in ``FINE`` parts. A jump stays what it was, where the error
    of the quadrature falls by orders of magnitude.
    """
    loops, walks = closed_walks(subject)
    rough = [unexplained(w, loop.velocities(AROUND)) for w, loop in zip(walks, loops, strict=True)]
    closer = [float(np.abs(left).argmax()) + np.arange(-2.0, FINE + 3.0) / FINE for left in rough]
    again = walk(subject, loops, closer)
    rows = []
    for loop, whole, left, steps, parts in zip(loops, walks, rough, closer, again, strict=True):
        energy, atoms = np.array([prediction.energy_eV for prediction in whole[2:-3]]), len(loop.middle)
        fine, rounding = unexplained(parts, loop.velocities(steps) / FINE), rounding_eV(whole)
        row = {
            "name": loop.middle.name,
            "atoms": atoms,
            "path_A": float(np.linalg.norm(loop.velocities(AROUND[2:-3]), axis=-1).mean(1).sum()),
            "energy_eV": energy - energy[0],
            "unexplained_eV": left,
            "rounding_eV": rounding,
            "largest_jump_eV": max(worst(np.abs(fine)) - rounding, 0.0),
            "sum_eV_per_atom": worst([np.maximum(np.abs(left) - rounding, 0.0).sum() / atoms]),
        }
        rows.append(row)
    return Measurement(
        {key: worst([row[key] for row in rows]) for key in ("largest_jump_eV", "sum_eV_per_atom")},
        {"paths": rows},
    )


@once
def closed_walks(subject: Subject) -> tuple[list[Loop], list[list[Prediction]]]:
    """The loops, and what is predicted at the nodes ``AROUND`` of each."""
    loops = loops_of(subject)
    walks = walk(subject, loops, [AROUND[2:-3]] * len(loops))
    return loops, [[*whole[-2:], *whole, *whole[:3]] for whole in walks]


def loops_of(subject: Subject) -> list[Loop]:
    """The loops that are walked: of so many molecules and clusters as the config says, and of crystals."""
    rng, count = subject.rng("continuity"), subject.dynamics["loops"]
    loops = [random_loop(molecule, rng) for molecule in evenly(subject.molecules, count["molecules"])]
    loops += [random_loop(cluster, rng, SWELL) for cluster in dense_clusters(subject)[: count["clusters"]]]
    with suppress(NotApplicable):
        named = [replace(crystal, name=f"crystal of {crystal.name}") for crystal in crystals(subject)]
        loops += [random_loop(crystal, rng) for crystal in named]
    return loops


def walk(subject: Subject, loops: Sequence[Loop], steps: Sequence[np.ndarray]) -> list[list[Prediction]]:
    """Predict each loop at its own steps, all in one call."""
    found = iter(subject.predictor.predict([s for loop, t in zip(loops, steps, strict=True) for s in loop.at(t)]))
    return [[next(found) for _ in t] for t in steps]


CHECKS = [Check("continuity", "the energy changes by the work of the forces at every step of any path", continuity)]
