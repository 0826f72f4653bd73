"""How far atoms see: not at all beyond the cutoff, and without a jump at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from ase.data import chemical_symbols

from assay.physics.base import Check, Measurement, NotApplicable, Subject, worst
from assay.predictors.interface import rounding_eV
from assay.structures.geometry import joined, moved, random_rotations
from assay.structures.structure import Structure, atomic_numbers

APART_A, CLEAR_A = 30.0, 20.0  # between the middles of molecules, and at least between their atoms
MANY_ATOMS = 600
NEAR_A = {True: 1e-5, False: 1e-3}  # the distance to the cutoff in float64 (True) and in anything coarser (False)
SLOPE_A = 0.02  # the step of the formula for slopes
CROSSING_PAIRS, CROSSING_ATOMS = 24, 5  # the numbers of crossings of pairs of molecules, and of pairs of bare atoms
GHOSTS = 6


def _spacing_A(molecules: Sequence[Structure]) -> float:
    """The distance between the middles of molecules around the origin, however they are turned, angstrom."""
    radius = max(float(np.linalg.norm(molecule.positions, axis=1).max()) for molecule in molecules)
    return max(APART_A, 2.0 * radius + CLEAR_A)


def _scattered(subject: Subject) -> tuple[Structure, list[int]]:
    """Molecules far apart on a cubic lattice, of ``MANY_ATOMS`` atoms at least, and which molecule each of them is."""
    mean_size = float(np.mean([len(molecule) for molecule in subject.molecules]))
    side = int(np.ceil((MANY_ATOMS / mean_size) ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(side)] * 3), -1).reshape(-1, 3) - 0.5 * (side - 1)
    sites = _spacing_A(subject.molecules) * lattice
    chosen = [k % len(subject.molecules) for k in range(len(sites))]
    placed = [
        moved(m, m.positions + site) for m, site in zip((subject.molecules[k] for k in chosen), sites, strict=True)
    ]
    return joined(placed, "many molecules"), chosen


def extensivity(subject: Subject) -> Measurement:
    """Compare two molecules far apart, and hundreds of atoms, with the sum of the molecules."""
    firsts, seconds = subject.molecules, subject.molecules[1:] + subject.molecules[:1]
    pairs = [
        joined([a, moved(b, b.positions + np.array([_spacing_A([a, b]), 0.0, 0.0]))], f"{a.name} and {b.name}")
        for a, b in zip(firsts, seconds, strict=True)
    ]
    alone = subject.predictor.predict(firsts)
    energies, forces = [], []
    for k, pair in enumerate(subject.predictor.predict(pairs)):
        a, b = alone[k], alone[(k + 1) % len(alone)]
        rounding = 0.5 * sum(rounding_eV([own]) for own in (pair, a, b))
        energies.append(max(abs(pair.energy_eV - a.energy_eV - b.energy_eV) - rounding, 0.0))
        both = np.concatenate([a.forces_eV_per_A, b.forces_eV_per_A])
        forces.append(float(np.abs(pair.forces_eV_per_A - both).max()))
    scattered, chosen = _scattered(subject)
    many = subject.predictor.predict([scattered])[0]
    rounding = 0.5 * sum(rounding_eV([own]) for own in (many, *(alone[k] for k in chosen)))
    apart = abs(many.energy_eV - sum(alone[k].energy_eV for k in chosen))
    energies.append(max(apart - rounding, 0.0) / len(chosen))
    each = np.concatenate([alone[k].forces_eV_per_A for k in chosen])
    forces.append(float(np.abs(many.forces_eV_per_A - each).max()))
    return Measurement(
        {"energy_error_eV": worst(energies), "force_error_eV_per_A": worst(forces)},
        {"energy_error_eV": energies, "force_error_eV_per_A": forces},
    )


def locality(subject: Subject) -> Measurement:
    """Compare the forces on a molecule with and without hydrogen atoms 12 to 30 angstrom away from it."""
    rng, haunted = subject.rng("locality"), []
    for molecule in subject.molecules:
        directions = rng.normal(size=(GHOSTS, 3))
        distances = np.linspace(12.0, 30.0, GHOSTS)[:, None] + np.ptp(molecule.positions, axis=0).max()
        ghosts = distances * directions / np.linalg.norm(directions, axis=1, keepdims=True)
        number = 1 if 1 in subject.elements else min(subject.elements)
        far = Structure("ghosts", np.full(GHOSTS, number, dtype=np.int64), molecule.positions.mean(0) + ghosts)
        haunted.append(joined([molecule, far], molecule.name))
    changes = [
        float(np.abs(with_ghosts.forces_eV_per_A[: len(molecule)] - without.forces_eV_per_A).max())
        for molecule, with_ghosts, without in zip(
            subject.molecules,
            subject.predictor.predict(haunted),
            subject.predictor.predict(subject.molecules),
            strict=True,
        )
    ]
    return Measurement({"force_change_eV_per_A": worst(changes)}, {"force_change_eV_per_A": changes})


@dataclass(frozen=True)
class Crossing:
    """A path on which one distance passes the cutoff while all others stay on their side of it.

    Attributes:
        name: the names of the two atoms or molecules.
        start: the structure whose distance equals the cutoff.
        direction: (N, 3), the change of the positions per angstrom of that distance.
    """

    name: str
    start: Structure
    direction: np.ndarray

    def at(self, beyond_A: float) -> Structure:
        """The structure with the distance ``beyond_A`` beyond the cutoff."""
        return moved(self.start, self.start.positions + beyond_A * self.direction)


def approaching(a: Structure, b: Structure, cutoff: float, rng: np.random.Generator) -> Crossing:
    """Two molecules, turned at random, whose closest atoms are the cutoff apart; they part along that line."""
    turn_a, turn_b = random_rotations(2, rng)
    x, y = (a.positions - a.positions.mean(0)) @ turn_a.T, (b.positions - b.positions.mean(0)) @ turn_b.T
    axis = np.array([1.0, 0.0, 0.0])
    y = y + 4.0 * cutoff * axis
    for _ in range(50):  # closing in along the axis until the closest pair is at the cutoff
        gaps = y[None] - x[:, None]
        distance = np.linalg.norm(gaps, axis=-1)
        i, j = np.unravel_index(distance.argmin(), distance.shape)
        across = distance[i, j] ** 2 - gaps[i, j, 0] ** 2
        y = y - (gaps[i, j, 0] - np.sqrt(max(cutoff**2 - across, 0.0))) * axis
    gaps = y[None] - x[:, None]
    distance = np.linalg.norm(gaps, axis=-1)
    i, j = np.unravel_index(distance.argmin(), distance.shape)
    direction = np.concatenate([np.zeros_like(x), np.tile(gaps[i, j] / distance[i, j], (len(y), 1))])
    pair = joined([moved(a, x), moved(b, y)], f"{a.name} + {b.name}")
    return Crossing(pair.name, pair, direction)


def breathing(molecule: Structure, cutoff: float) -> Crossing | None:
    """A molecule that is scaled, by at most three percent, until one of its distances is the cutoff."""
    x = molecule.positions - molecule.positions.mean(0)
    first, second = np.triu_indices(len(x), 1)
    distance = np.linalg.norm(x[first] - x[second], axis=1)
    if len(distance) == 0:
        return None
    k = int(np.abs(distance - cutoff).argmin())
    scale = cutoff / distance[k]
    others = np.delete(distance * scale, k)
    if abs(scale - 1.0) > 0.03 or (len(others) and np.abs(others - cutoff).min() < 1e-2):
        return None
    return Crossing(molecule.name, moved(molecule, x * scale), x / distance[k])


def crossings(subject: Subject) -> list[Crossing]:
    """Paths across the cutoff: between molecules, of single atoms of each element, and within molecules."""
    rng, cutoff, molecules = subject.rng("cutoff"), subject.predictor.cutoff_A, subject.molecules
    atoms = [
        Structure(chemical_symbols[z], np.array([z], dtype=np.int64), np.zeros((1, 3)))
        for z in sorted(atomic_numbers(molecules))
    ]
    pairs = [(molecules[a], molecules[b]) for a, b in rng.choice(len(molecules), (CROSSING_PAIRS, 2))]
    pairs += [(molecules[k], atom) for atom in atoms for k in rng.choice(len(molecules), CROSSING_ATOMS)]
    pairs += list(combinations_with_replacement(atoms, 2))
    paths = [approaching(a, b, cutoff, rng) for a, b in pairs]
    return paths + [path for m in molecules if (path := breathing(m, cutoff)) is not None]


def _curvature_jumps(subject: Subject, paths: list[Crossing]) -> list[float]:
    """The largest jump of a force's slope at each crossing, eV/angstrom^2, from three points on either side."""
    steps = SLOPE_A * np.array([1, 2, 3, -1, -2, -3])
    found = iter(subject.predictor.predict([path.at(step) for path in paths for step in steps]))
    jumps = []
    for _ in paths:
        forces = np.array([next(found).forces_eV_per_A for _ in steps])
        outside, inside = (np.tensordot([5.0, -8.0, 3.0], side, 1) / (2.0 * SLOPE_A) for side in np.split(forces, 2))
        jumps.append(worst(np.abs(outside + inside)))
    return jumps


def cutoff(subject: Subject) -> Measurement:
    """Energy, forces and slopes of forces extrapolated to the cutoff from either side, and a scan for the eye."""
    if not np.isfinite(subject.predictor.cutoff_A):
        raise NotApplicable("the model does not tell its cutoff: set variants.<name>.cutoff_A")
    paths = crossings(subject)
    near = NEAR_A[subject.exact]
    found = subject.predictor.predict([path.at(n * near) for path in paths for n in (-2, -1, 1, 2)])
    energies, forces = [], []
    for index in range(len(paths)):
        far_in, in_, out, far_out = found[4 * index : 4 * index + 4]
        energies.append(abs(2 * out.energy_eV - far_out.energy_eV - 2 * in_.energy_eV + far_in.energy_eV))
        inside = 2 * in_.forces_eV_per_A - far_in.forces_eV_per_A
        outside = 2 * out.forces_eV_per_A - far_out.forces_eV_per_A
        forces.append(float(np.abs(outside - inside).max()))
    curvatures = _curvature_jumps(subject, paths[::3])
    largest = paths[int(np.argmax(np.nan_to_num(energies, nan=np.inf)))]
    beyond = np.linspace(-0.8, 0.3, 111)
    scan = subject.predictor.predict([largest.at(x) for x in beyond])
    direction = largest.direction
    return Measurement(
        {
            "energy_jump_eV": worst(energies),
            "force_jump_eV_per_A": worst(forces),
            "curvature_jump_eV_per_A2": worst(curvatures),
        },
        {
            "pairs": [path.name for path in paths],
            "energy_jump_eV": energies,
            "force_jump_eV_per_A": forces,
            "curvature_jump_eV_per_A2": curvatures,
            "scan_pair": largest.name,
            "scan_distance_A": subject.predictor.cutoff_A + beyond,
            "scan_energy_eV": np.array([p.energy_eV for p in scan]) - scan[-1].energy_eV,
            "scan_force_eV_per_A": np.array([(p.forces_eV_per_A * direction).sum() for p in scan]),
        },
    )


CHECKS = [
    Check("extensivity", "two molecules far apart are the sum of both", extensivity),
    Check("locality", "atoms far away exert no force", locality),
    Check("cutoff", "energy and forces are continuous where an atom crosses the cutoff", cutoff),
]
