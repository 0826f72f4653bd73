"""The recipes for geometries that the teacher labels.

A recipe yields ``Geometry`` objects; it skips, and reports as ``Skipped``, what RDKit cannot build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from assay.data.kinds import on_disk
from assay.dynamics.langevin import langevin
from assay.dynamics.run import run_dynamics
from assay.predictors.interface import load_predictor
from assay.sampling.distortion import (
    FARTHEST_PAIR_A,
    element_pairs,
    nanodiamond,
    place_dimer,
    stretch_bonds,
    turn_torsions,
    turning_torsions,
)
from assay.sampling.elements import ELEMENTS
from assay.sampling.mechanics import Mechanics, MechanicsError, embed
from assay.sampling.teacher import LabelError, Labels
from assay.structures.geometry import LIQUID_ATOMS_PER_A3, contact, droplet, random_cluster
from assay.structures.structure import Structure


@dataclass(frozen=True)
class Geometry:
    """Atoms to be labelled: name, identity of the molecule, atomic numbers (N,), positions (N, 3) in angstrom."""

    name: str
    molecule: str
    atomic_numbers: np.ndarray
    positions: np.ndarray


@dataclass(frozen=True)
class Skipped:
    """A geometry that could not be made, and why in one word."""

    reason: str


Outcome = Iterator[Geometry | Skipped]
Named = tuple[str, str]  # identity, SMILES


def sampled(
    molecules: Sequence[Named],
    seed: int,
    kinds: dict[str, float],
    per_molecule: int,
    temperatures_K: tuple[float, float],
) -> Outcome:
    """Geometries from classical dynamics, each of its own conformer and of a random kind.

    Args:
        molecules: the identity and the SMILES of each molecule.
        seed: the seed of everything random.
        kinds: the share of each of ``thermal``, ``relaxed``, ``stretched``, ``twisted``.
        per_molecule: the number of geometries of each molecule.
        temperatures_K: the lowest and the highest temperature, drawn uniformly.
    """
    rng = np.random.default_rng(seed)
    for identity, smiles in molecules:
        try:
            molecule = embed(smiles, per_molecule, seed)
            mechanics = Mechanics(molecule)
        except MechanicsError:
            yield Skipped("mechanics")
            continue
        conformers = [conformer.GetPositions() for conformer in molecule.GetConformers()]
        for index in range(per_molecule):
            try:
                positions = mechanics.minimize(conformers[index % len(conformers)])
            except MechanicsError:
                yield Skipped("mechanics")
                continue
            kind = rng.choice(list(kinds), p=np.array(list(kinds.values())) / sum(kinds.values()))
            temperature = rng.uniform(*temperatures_K)
            if kind == "relaxed":
                positions = positions + rng.normal(0.0, 0.02, positions.shape)
            else:
                steps = langevin(mechanics.forces, mechanics.masses, positions, temperature, rng, 1.0, 0.05)
                positions, _ = next(islice(steps, 149, None))
            if kind == "stretched":
                positions = stretch_bonds(molecule, positions, rng)
            elif kind == "twisted":
                positions = turn_torsions(molecule, positions, rng)
            name = f"{identity[:8]}-{kind}-{temperature:.0f}K-{seed}"
            yield Geometry(f"{name}.{index}", identity, mechanics.atomic_numbers, positions)


def student_md(
    molecules: Sequence[Named],
    seed: int,
    student: dict[str, str],
    turned: float,
    frames: int,
    temperatures_K: tuple[float, float],
    thermalization_fs: float,
    interval_fs: float,
    time_step_fs: float,
) -> Outcome:
    """Frames of Langevin dynamics (friction 0.05/fs) with a student's forces, all molecules in one batch.

    Args:
        molecules: the identity and the SMILES of each molecule.
        seed: the seed of everything random.
        student: ``checkpoint``, the student's file, and ``sha256``, which tells one student from another.
        turned: the share of molecules that start with all torsions turned at random.
        frames: the number of frames of each molecule.
        temperatures_K: the lowest and the highest temperature, drawn uniformly for each molecule.
        thermalization_fs: the time from a minimum of the classical force field to the first frame.
        interval_fs: the time between frames.
        time_step_fs: the time step of the dynamics.
    """
    rng = np.random.default_rng(seed)
    starts: list[Structure] = []
    for identity, smiles in molecules:
        try:
            molecule = embed(smiles, 1, seed)
            mechanics = Mechanics(molecule)
            positions = mechanics.minimize(molecule.GetConformer().GetPositions())
            if rng.random() < turned:
                positions = mechanics.minimize(turn_torsions(molecule, positions, rng), 20)
        except MechanicsError:
            yield Skipped("mechanics")
            continue
        starts.append(Structure(identity[:8], mechanics.atomic_numbers, positions, molecule=identity))
    if not starts:
        return
    temperatures = rng.uniform(*temperatures_K, len(starts))
    warm, every = round(thermalization_fs / time_step_fs), round(interval_fs / time_step_fs)
    trajectory = run_dynamics(
        load_predictor(student["checkpoint"]),
        starts,
        temperature_K=temperatures,
        step_fs=time_step_fs,
        n_steps=warm + (frames - 1) * every,
        friction_per_fs=0.05,
        frame_every=1,
        seed=seed,
    )
    for index, start in enumerate(starts):
        if not np.isnan(trajectory.blown_up_fs[index]):
            yield Skipped("student")
            continue
        for frame, positions in enumerate(trajectory.frames[warm - 1 :: every, trajectory.owner == index]):
            name = f"{start.name}-{on_disk('student_md')}-{temperatures[index]:.0f}K-{seed}.{frame}"
            yield Geometry(name, start.molecule, start.atomic_numbers, positions)


def dimers(molecules: Sequence[Named], seed: int, count: int, distances_A: tuple[float, float]) -> Outcome:
    """Pairs of molecules at 300 K in random orientation, closest atoms at a random distance within a range."""

    def place(first: Structure, second: Structure, rng: np.random.Generator) -> tuple[float, np.ndarray]:
        distance = rng.uniform(*distances_A)
        return distance, place_dimer(first.positions, second.positions, distance, rng)

    return _pairs("dimer", molecules, seed, count, place)


def facing(molecules: Sequence[Named], seed: int, count: int, distances_A: tuple[float, float]) -> Outcome:
    """Pairs of molecules at 300 K that face each other with an atom of a random element each.

    Arguments as in ``dimers``, whose closest atoms are mostly hydrogens; the distance is that of the facing atoms.
    """

    def place(first: Structure, second: Structure, rng: np.random.Generator) -> tuple[float, np.ndarray]:
        atoms = []
        for numbers in (first.atomic_numbers, second.atomic_numbers):
            element = rng.choice(np.unique(numbers))
            atoms.append(int(rng.choice(np.flatnonzero(numbers == element))))
        distance = rng.uniform(*distances_A)
        return distance, contact(first, atoms[0], second, atoms[1], distance).positions

    return _pairs("facing", molecules, seed, count, place)


def droplets(
    molecules: Sequence[Named],
    seed: int,
    count: int,
    n_molecules: int,
    n_atoms: tuple[int, int],
    over_liquid: tuple[float, float],
) -> Outcome:
    """Droplets of molecules at 300 K, denser than liquids are.

    Args:
        molecules: the identity and the SMILES of each molecule.
        seed: the seed of everything random.
        count: the number of droplets.
        n_molecules: the number of different molecules in a droplet.
        n_atoms: the fewest and the most atoms that a droplet is filled up to.
        over_liquid: the lowest and the highest density, over that of a liquid.
    """
    rng = np.random.default_rng(seed)
    for index in range(count):
        made = _drawn(molecules, n_molecules, rng)
        if len(made) < n_molecules:
            yield Skipped("mechanics")
            continue
        parts = [Structure(part.name, part.atomic_numbers, part.positions) for part in made]
        density = rng.uniform(*over_liquid)
        drop = droplet(parts, int(rng.integers(*n_atoms)), density * LIQUID_ATOMS_PER_A3, rng)
        identity = "+".join(sorted({part.molecule for part in made}))
        yield Geometry(f"{density:.2f}-droplet-300K-{seed}.{index}", identity, drop.atomic_numbers, drop.positions)


def diamonds(seed: int, count: int, radii_A: tuple[float, float], scales: tuple[float, float]) -> Outcome:
    """Pieces of diamond ended by hydrogens, shaken by 0.05 angstrom.

    Args:
        seed: the seed of everything random.
        count: the number of pieces.
        radii_A: the smallest and the largest radius.
        scales: the smallest and the largest factor of all distances.
    """
    rng = np.random.default_rng(seed)
    for index in range(count):
        numbers, sites = nanodiamond(rng.uniform(*radii_A), rng.uniform(-0.9, 0.9, 3))
        scale = rng.uniform(*scales)
        if len(numbers):
            positions = scale * sites + rng.normal(0.0, 0.05, sites.shape)
            yield Geometry(f"{scale:.3f}-diamond-{seed}.{index}", "diamond", numbers, positions)
        else:
            yield Skipped("too small")


def clusters(seed: int, count: int, n_atoms: tuple[int, int], spacings_A: tuple[float, float]) -> Outcome:
    """Atoms of random elements, without any bonds in mind.

    Args:
        seed: the seed of everything random.
        count: the number of clusters.
        n_atoms: the fewest atoms of a cluster, and the number that all clusters stay below.
        spacings_A: about the smallest and the largest distance of neighbors.
    """
    rng = np.random.default_rng(seed)
    for index in range(count):
        spacing = rng.uniform(*spacings_A)
        made = random_cluster(rng, list(ELEMENTS), int(rng.integers(*n_atoms)), spacing)
        yield Geometry(f"{spacing:.2f}-cluster-{seed}.{index}", "cluster", made.atomic_numbers, made.positions)


def scans(molecules: Sequence[Named], seed: int, per_bond: int) -> Outcome:
    """Each bond of each molecule turned and held at random angles, the rest at rest but for 0.03 angstrom of noise.

    Args:
        molecules: the identity and the SMILES of each molecule; those without a bond that turns are passed over.
        seed: the seed of everything random.
        per_bond: the number of angles of each bond, one in each of as many equal parts of a turn, one after the other.
    """
    rng = np.random.default_rng(seed)
    for identity, smiles in molecules:
        try:
            molecule = embed(smiles, 1, seed)
            torsions = turning_torsions(molecule)
            if not torsions:
                continue
            mechanics, at_rest = Mechanics(molecule), molecule.GetConformer().GetPositions()
            for torsion in torsions:
                positions = at_rest
                for index in range(per_bond):
                    angle = 360.0 * (index + rng.random()) / per_bond - 180.0
                    positions = mechanics.turned(positions, torsion, angle)
                    name = f"{identity[:8]}-scan-{torsion[1]}.{torsion[2]}-{angle:.0f}deg-{seed}"
                    shaken = positions + rng.normal(0.0, 0.03, positions.shape)
                    yield Geometry(name, identity, mechanics.atomic_numbers, shaken)
        except MechanicsError:
            yield Skipped("mechanics")


def diatomics(
    n_distances: int,
    elements: Sequence[int] = tuple(ELEMENTS),
    distances_A: Sequence[float] = (0.0, FARTHEST_PAIR_A),
    copies: int = 1,
) -> Outcome:
    """Pairs of ``elements`` from strongly repulsive to apart, their distance in a range, each so many ``copies`` times.

    There are ``n_distances`` in all, before those out of the range are left out.
    """
    nearest, farthest = distances_A
    for _ in range(copies):
        for numbers, positions in element_pairs(n_distances):
            if set(numbers.tolist()) <= set(elements) and nearest <= positions[1, 2] <= farthest:
                pair = "".join(ELEMENTS[number] for number in numbers)
                yield Geometry(f"{pair}-pair-{positions[1, 2]:.3f}A", f"pair:{pair}", numbers, positions)


def dynamics(
    molecules: Sequence[Named],
    seed: int,
    labels: Labels,
    temperatures_K: Sequence[float],
    frames: int,
    thermalization_fs: float,
    interval_fs: float,
    time_step_fs: float,
) -> Outcome:
    """Frames of the teacher's own Langevin dynamics, one trajectory per molecule and temperature.

    Classical dynamics at the same temperature gives the start; the teacher's bath then thermalizes it
    (friction 0.05/fs), and frames follow at intervals under a weaker one (0.01/fs).
    """
    rng = np.random.default_rng(seed)
    for identity, smiles in molecules:
        for temperature in temperatures_K:
            try:
                molecule = embed(smiles, 1, int(rng.integers(2**31)))
                mechanics = Mechanics(molecule)
                start = mechanics.minimize(molecule.GetConformer().GetPositions())
                warm = langevin(mechanics.forces, mechanics.masses, start, temperature, rng, 1.0, 0.05)
                state = next(islice(warm, 299, None))
                numbers = mechanics.atomic_numbers

                def forces(positions: np.ndarray, numbers: np.ndarray = numbers) -> np.ndarray:
                    return labels(numbers, positions)[1]

                for frame in range(frames):
                    friction, duration = (0.05, thermalization_fs) if frame == 0 else (0.01, interval_fs)
                    steps = langevin(
                        forces, mechanics.masses, state[0], temperature, rng, time_step_fs, friction, state[1]
                    )
                    state = next(islice(steps, round(duration / time_step_fs) - 1, None))
                    name = f"{identity[:8]}-dynamics-{temperature:.0f}K-{seed}.{frame}"
                    yield Geometry(name, identity, numbers, state[0])
            except MechanicsError:
                yield Skipped("mechanics")
            except LabelError:
                yield Skipped("teacher")


def _pairs(
    kind: str,
    molecules: Sequence[Named],
    seed: int,
    count: int,
    place: Callable[[Structure, Structure, np.random.Generator], tuple[float, np.ndarray]],
) -> Outcome:
    """Random molecules at 300 K, two at a time; ``place`` gives their distance and the positions of both, angstrom."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        pair = _drawn(molecules, 2, rng)
        if len(pair) < 2:
            yield Skipped("mechanics")
            continue
        first, second = (Structure(part.name, part.atomic_numbers, part.positions) for part in pair)
        distance, positions = place(first, second, rng)
        yield Geometry(
            f"{pair[0].molecule[:8]}-{pair[1].molecule[:8]}-{kind}-{distance:.2f}A-{seed}.{index}",
            "+".join(sorted(part.molecule for part in pair)),
            np.concatenate([first.atomic_numbers, second.atomic_numbers]),
            positions,
        )


def _drawn(molecules: Sequence[Named], count: int, rng: np.random.Generator) -> list[Geometry]:
    """``count`` random molecules at 300 K, or fewer where some cannot be built."""
    drawn = [molecules[i] for i in rng.choice(len(molecules), count)]
    outcomes = sampled(drawn, int(rng.integers(2**31)), {"thermal": 1.0}, 1, (300.0, 300.0))
    return [outcome for outcome in outcomes if isinstance(outcome, Geometry)]
