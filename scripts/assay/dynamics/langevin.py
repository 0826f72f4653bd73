"""Langevin dynamics of any forces: the force field's for sampling, the teacher's for the test splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from ase import units

Forces = Callable[[np.ndarray], np.ndarray]  # (N, 3) angstrom -> (N, 3) eV/angstrom


def langevin(
    forces: Forces,
    masses: np.ndarray,
    positions: np.ndarray,
    temperature_K: float | np.ndarray,
    rng: np.random.Generator,
    time_step_fs: float = 1.0,
    friction_per_fs: float = 0.02,
    velocities: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Endless (positions, velocities) after each step of BAOAB (Leimkuhler & Matthews, 2013).

    Args:
        forces: a function that gives the forces (N, 3), eV/angstrom, for positions (N, 3).
        masses: (N,), dalton.
        positions: (N, 3), angstrom; not changed.
        temperature_K: the temperature of the heat bath, and of the first velocities if none are given; one for all, or
            one for each atom as (N, 1).
        rng: the source of the noise.
        time_step_fs: the time step.
        friction_per_fs: the coupling to the bath; 0 gives velocity Verlet (NVE).
        velocities: (N, 3), angstrom per ASE time unit.
    """
    step = time_step_fs * units.fs
    inverse_mass = 1.0 / masses[:, None]
    thermal = np.sqrt(units.kB * temperature_K * inverse_mass)
    kept = np.exp(-friction_per_fs * time_step_fs)
    noise = np.sqrt(1.0 - kept**2) * thermal
    x = positions.copy()
    v = thermal * rng.standard_normal(x.shape) if velocities is None else velocities.copy()
    f = forces(x)
    while True:
        v += 0.5 * step * f * inverse_mass
        x += 0.5 * step * v
        v = kept * v + noise * rng.standard_normal(x.shape)
        x += 0.5 * step * v
        f = forces(x)
        v += 0.5 * step * f * inverse_mass
        yield x.copy(), v.copy()
