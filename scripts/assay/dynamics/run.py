"""Molecular dynamics of many molecules in one batch, microcanonical or at a temperature each.

The integrator is the one that samples the dataset. Here it moves the atoms of all molecules at once, and a molecule
that blows up is frozen and noted while the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import units
from ase.data import atomic_masses

from assay.dynamics.langevin import langevin
from assay.predictors.interface import BatchPredictor, Predictor, check_structure
from assay.predictors.memory import in_memory
from assay.structures.batching import pack_structures
from assay.structures.structure import Structure

MAX_FORCE_eV_per_A = 300.0  # five times what a bond exerts where it breaks: beyond it a molecule has blown up


@dataclass(frozen=True)
class Motion:
    """The state at the end of a run, from which another one may go on.

    Attributes:
        positions: (N, 3), angstrom.
        velocities: (N, 3), angstrom per ASE time unit.
        noise: the state of the generator of random numbers.
    """

    positions: np.ndarray
    velocities: np.ndarray
    noise: Mapping[str, Any]

    @classmethod
    def from_arrays(cls, kept: Mapping[str, np.ndarray]) -> Motion:
        """Read what ``arrays`` gave, perhaps among others."""
        return cls(kept["positions"], kept["velocities"], json.loads(str(kept["noise"])))

    @property
    def arrays(self) -> dict[str, Any]:
        """What a file of numpy keeps of it, by name."""
        return vars(self) | {"noise": json.dumps(self.noise)}


@dataclass(frozen=True)
class Trajectory:
    """What happened to S molecules of N atoms in total over T recorded steps.

    Attributes:
        time_fs: (T,).
        potential_eV, kinetic_eV: (T, S).
        shadow_eV: (T, S), the energy that the integrator conserves to fourth order in its step: its drift is the
            model's, its rounding's and its discontinuities', not the integrator's. Meaningless with friction.
        frames: (F, N, 3), positions every ``frame_every`` steps, angstrom.
        heat_eV: (F, S), kinetic energy in the middle of a step at each frame. Its mean is that of the heat bath, where
            the mean at the ends of steps is less by a term of second order in the step (Kieninger and Keller, J. Chem.
            Theory Comput. 18, 5792, 2022).
        owner: (N,), the molecule of each atom.
        blown_up_fs: (S,), when a molecule was frozen; NaN where it never was.
        end: the motion after the last step.
    """

    time_fs: np.ndarray
    potential_eV: np.ndarray
    kinetic_eV: np.ndarray
    shadow_eV: np.ndarray
    frames: np.ndarray
    heat_eV: np.ndarray
    owner: np.ndarray
    blown_up_fs: np.ndarray
    end: Motion

    @property
    def looks(self) -> np.ndarray:
        """(F + 1, N, 3), the frames and the end, which is looked at however far apart the frames are, angstrom."""
        return np.concatenate([self.frames, self.end.positions[None]])

    @property
    def total_eV(self) -> np.ndarray:
        """(T, S), potential and kinetic energy."""
        return self.potential_eV + self.kinetic_eV


class BatchForces:
    """Forces on the concatenated atoms of ``structures``: a function of their positions (N, 3), angstrom.

    Attributes:
        energy: (S,), of the latest call, eV.
        forces: (N, 3), of the latest call, eV/angstrom; zero for frozen molecules.
        frozen: (S,), which molecules have blown up.

    Raises:
        AssayError: ``predictor`` cannot judge one of the structures, as ``check_structure`` says.
    """

    def __init__(self, predictor: Predictor, structures: Sequence[Structure]):
        for structure in structures:
            check_structure(structure, predictor)
        self.structures, self._predictor = list(structures), predictor
        self.sizes = np.array([len(structure) for structure in structures])
        self.owner = np.repeat(np.arange(len(structures)), self.sizes)
        self._ends = np.cumsum(self.sizes)
        self._batches = pack_structures(structures, 1.1 * predictor.cutoff_A)
        self.frozen = np.zeros(len(structures), dtype=bool)
        self.energy, self.forces = np.zeros(len(structures)), np.zeros((int(self._ends[-1]), 3))
        self._sane = np.concatenate([structure.positions for structure in structures])

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """See the class; the array returned is ``forces``."""
        positions = np.where(self.frozen[self.owner, None], self._sane, positions)
        energy, forces = self._evaluate(positions)
        with np.errstate(invalid="ignore"):
            wild = ~(np.abs(forces).max(1) < MAX_FORCE_eV_per_A)
        self.frozen |= ~np.isfinite(energy) | (np.bincount(self.owner, wild, len(self.sizes)) > 0)
        stopped = self.frozen[self.owner]
        self.energy = np.where(self.frozen, self.energy, energy)
        self.forces = np.where(stopped[:, None], 0.0, forces)
        self._sane = np.where(stopped[:, None], self._sane, positions)
        return self.forces

    def _evaluate(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = np.split(positions, self._ends[:-1])
        moved = [replace(structure, positions=x) for structure, x in zip(self.structures, parts, strict=True)]
        energy, forces = np.empty(len(moved)), [np.empty(0)] * len(moved)
        fitting = []
        for batch in self._batches:
            for piece, (energies, own) in in_memory(moved, batch, self._evaluate_batch, self._predictor.device):
                energy[piece] = energies
                for k, f in zip(piece, own, strict=True):
                    forces[k] = f
                fitting.append(piece)
        self._batches = fitting  # so that no step tries again what did not fit
        return energy, np.concatenate(forces).astype(np.float64)

    def _evaluate_batch(self, structures: list[Structure]) -> tuple[np.ndarray, list[np.ndarray]]:
        if isinstance(self._predictor, BatchPredictor):  # already packed: no need to pack again
            energy, forces = self._predictor.evaluate(structures)
            return energy, np.split(forces, np.cumsum([len(structure) for structure in structures])[:-1])
        predictions = self._predictor.predict(structures)
        energies = np.array([prediction.energy_eV for prediction in predictions])
        return energies, [prediction.forces_eV_per_A for prediction in predictions]


def run_dynamics(
    predictor: Predictor,
    structures: Sequence[Structure],
    *,
    temperature_K: float | Sequence[float] | np.ndarray,
    step_fs: float,
    n_steps: int,
    friction_per_fs: float = 0.0,
    frame_every: int = 10,
    seed: int = 0,
    start: Motion | None = None,
) -> Trajectory:
    """Move every molecule of a batch for ``n_steps`` steps.

    Args:
        predictor: what gives energies and forces.
        structures: S molecules.
        temperature_K: the temperature of the first velocities and of the heat bath, one for all or for each molecule.
        step_fs: the time step.
        n_steps: the number of steps.
        friction_per_fs: the coupling to the bath (Langevin, BAOAB); 0 is velocity Verlet at constant energy.
        frame_every: the number of steps between the positions that are kept.
        seed: the seed of velocities and noise.
        start: the end of an earlier run, to go on from; the positions of ``structures`` and ``seed`` do not count then.
    """
    evaluate = BatchForces(predictor, structures)
    rng = np.random.default_rng(seed)
    masses = atomic_masses[np.concatenate([structure.atomic_numbers for structure in structures])]
    positions = np.concatenate([structure.positions for structure in structures])
    temperature = np.broadcast_to(np.asarray(temperature_K, dtype=float), len(structures))[evaluate.owner, None]
    if start is None:
        velocities = still(thermal_velocities(masses, temperature, rng), masses, positions, evaluate.owner)
    else:
        positions, velocities, rng.bit_generator.state = start.positions, start.velocities, start.noise
    steps = langevin(evaluate, masses, positions, temperature, rng, step_fs, friction_per_fs, velocities)

    potential, kinetic, force_term, curvature = [], [], [], []
    frames: list[np.ndarray] = []
    heat: list[np.ndarray] = []
    x, v = positions, velocities
    history: list[tuple[np.ndarray, np.ndarray]] = []  # velocities and forces of the latest three steps
    blown_up = np.full(len(structures), np.nan)
    n_molecules = len(structures)
    for index, (x, v) in zip(range(n_steps), steps, strict=False):
        blown_up[evaluate.frozen & np.isnan(blown_up)] = (index + 1) * step_fs
        potential.append(evaluate.energy)
        kinetic.append(0.5 * np.bincount(evaluate.owner, (masses[:, None] * v * v).sum(1), n_molecules))
        force_term.append(np.bincount(evaluate.owner, (evaluate.forces**2 / masses[:, None]).sum(1), n_molecules))
        history = [*history[-2:], (v, evaluate.forces)]
        if len(history) == 3:
            slope = (history[2][1] - history[0][1]) / (2.0 * step_fs * units.fs)
            curvature.append(-np.bincount(evaluate.owner, (history[1][0] * slope).sum(1), n_molecules))
        if (index + 1) % frame_every == 0:
            frames.append(x)
            heat.append(kinetic[-1] + (step_fs * units.fs) ** 2 / 8.0 * force_term[-1])
    inner = slice(1, -1)  # where the forces of both neighboring steps are known
    correction = (step_fs * units.fs) ** 2 * (
        np.reshape(curvature, (-1, n_molecules)) / 12.0 - np.array(force_term)[inner] / 24.0
    )
    potential_eV, kinetic_eV = np.array(potential)[inner], np.array(kinetic)[inner]
    return Trajectory(
        time_fs=step_fs * np.arange(2, n_steps),
        potential_eV=potential_eV,
        kinetic_eV=kinetic_eV,
        shadow_eV=potential_eV + kinetic_eV + correction,
        frames=np.array(frames).reshape(len(frames), len(positions), 3),
        heat_eV=np.array(heat).reshape(len(frames), n_molecules),
        owner=evaluate.owner,
        blown_up_fs=blown_up,
        end=Motion(x, v, rng.bit_generator.state),
    )


def thermal_velocities(masses: np.ndarray, temperature_K: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Maxwell-Boltzmann velocities (N, 3), angstrom per ASE time unit, for temperatures (N, 1)."""
    return np.sqrt(units.kB * temperature_K / masses[:, None]) * rng.standard_normal((len(masses), 3))


def still(velocities: np.ndarray, masses: np.ndarray, positions: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Velocities without the translation and the rotation of each molecule."""
    result = velocities.copy()
    for molecule in np.unique(owner):
        here = owner == molecule
        m, v = masses[here, None], velocities[here]
        v = v - (m * v).sum(0) / m.sum()
        r = positions[here] - (m * positions[here]).sum(0) / m.sum()
        inertia = (m[:, :, None] * ((r * r).sum(1)[:, None, None] * np.eye(3) - r[:, :, None] * r[:, None, :])).sum(0)
        omega = np.linalg.pinv(inertia) @ (m * np.cross(r, v)).sum(0)
        result[here] = v - np.cross(omega, r)
    return result
