"""Dynamics in parts, after each of which the state is kept, so that a stopped run goes on where it was."""

from __future__ import annotations

import json
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
    friction_per_fs: float,
    n_frames: int,
    frame_every: int,
    frames_per_part: int,
    seed: int,
    state: Path,
    title: str,
) -> np.ndarray:
    """Move structures in one batch, and return their frames (n_frames, N, 3), angstrom.

    No boundary puts an atom back into the cell.

    Args:
        predictor: what gives energies and forces.
        structures: the structures, of N atoms in total.
        temperatures_K: the temperature of each.
        step_fs: the time step.
        friction_per_fs: the coupling to the heat bath.
        n_frames: the number of frames.
        frame_every: the number of steps between frames.
        frames_per_part: the number of frames in a part.
        seed: the seed of velocities and noise.
        state: the file that keeps the state after each part; if it exists, the run goes on from it.
        title: what the progress bar says.

    Raises:
        AssayError: a structure blew up.
    """
    done, motion = _read(state) if state.exists() else (np.zeros((0, sum(map(len, structures)), 3)), None)
    bar = progress(total=n_frames, initial=len(done), desc=title, unit="frames")
    with bar:
        while len(done) < n_frames:
            coming = min(frames_per_part, n_frames - len(done))
            trajectory = run_dynamics(
                predictor,
                structures,
                temperature_K=temperatures_K,
                step_fs=step_fs,
                n_steps=coming * frame_every,
                friction_per_fs=friction_per_fs,
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
            done, motion = np.concatenate([done, trajectory.frames]), trajectory.end
            _write(state, done, motion)
            bar.update(coming)
    return done


def _write(path: Path, frames: np.ndarray, motion: Motion) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            frames=frames.astype(np.float32),
            positions=motion.positions,
            velocities=motion.velocities,
            noise=json.dumps(motion.noise),
        )


def _read(path: Path) -> tuple[np.ndarray, Motion]:
    with np.load(path) as kept:
        motion = Motion(kept["positions"], kept["velocities"], json.loads(str(kept["noise"])))
        return kept["frames"].astype(np.float64), motion
