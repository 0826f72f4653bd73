"""Dynamics in parts, after each of which the state is kept, so that a stopped run goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assay.dynamics.run import Motion, run_dynamics
from assay.predictors.interface import Predictor
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path
from assay.workflow.progress import progress


def frames_in_parts(
    predictor: Predictor,
    structures: Sequence[Structure],
    *,
    temperatures_K: Sequence[float],
    step_fs: float,
    heating_per_fs: float,
    heating_frames: int,
    friction_per_fs: float,
    n_frames: int,
    frame_every: int,
    frames_per_part: int,
    seed: int,
    state: Path,
    title: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Move S structures in one batch.

    A heat bath of its own brings them to their temperatures first. No boundary puts an atom back into the cell.

    Args:
        predictor: what gives energies and forces.
        structures: the structures, of N atoms in total.
        temperatures_K: the temperature of each.
        step_fs: the time step.
        heating_per_fs: the coupling to the heat bath in the first frames.
        heating_frames: how many these are.
        friction_per_fs: the coupling to the heat bath afterwards; 0 is constant energy.
        n_frames: the number of frames after those.
        frame_every: the number of steps between frames.
        frames_per_part: the number of frames in a part.
        seed: the seed of velocities and noise.
        state: the file that keeps the state after each part; if it exists, the run goes on from it.
        title: what the progress bar says.

    Returns:
        The frames after the heating, (n_frames, N, 3), angstrom; and the kinetic energy of each structure in the middle
        of a step at each of them, (n_frames, S), eV.

    Raises:
        AssayError: a structure blew up.
    """
    nothing = np.zeros((0, sum(map(len, structures)), 3)), np.zeros((0, len(structures)))
    done, heat, motion = _read(state) if state.exists() else (*nothing, None)
    total = heating_frames + n_frames
    with progress(total=total, initial=len(done), desc=title, unit="frames") as bar:
        while len(done) < total:
            heating = len(done) < heating_frames
            coming = min(frames_per_part, (heating_frames if heating else total) - len(done))
            trajectory = run_dynamics(
                predictor,
                structures,
                temperature_K=temperatures_K,
                step_fs=step_fs,
                n_steps=coming * frame_every,
                friction_per_fs=heating_per_fs if heating else friction_per_fs,
                frame_every=frame_every,
                seed=seed,
                start=motion,
            )
            for structure, when in zip(structures, trajectory.blown_up_fs, strict=True):
                if np.isfinite(when):
                    ps = 1e-3 * (when + len(done) * frame_every * step_fs)
                    raise AssayError(
                        f"{structure.name} blew up after {ps:.2g} ps of dynamics by {predictor.name}: take a shorter "
                        "step_fs or a lower temperature, or train the student on such structures"
                    )
            done, heat = np.concatenate([done, trajectory.frames]), np.concatenate([heat, trajectory.heat_eV])
            motion = trajectory.end
            _write(state, done, heat, motion)
            bar.update(coming)
    return done[heating_frames:], heat[heating_frames:]


def _write(path: Path, frames: np.ndarray, heat_eV: np.ndarray, motion: Motion) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, frames=frames.astype(np.float32), heat_eV=heat_eV, **motion.arrays)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, Motion]:
    with np.load(path) as kept:
        return kept["frames"].astype(np.float64), kept["heat_eV"], Motion.from_arrays(kept)
