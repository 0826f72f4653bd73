"""Long dynamics of molecules that no student was trained on: whether it can be left alone for 100 ps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import units

from assay.data.dataset import Dataset
from assay.dynamics import run
from assay.physics.geometry import bond_lengths, bonds
from assay.physics.motion import BROKEN_A
from assay.predictors import Predictor
from assay.structures import Structure


@dataclass(frozen=True)
class Settings:
    """Of the dynamics.

    Attributes:
        split: labelled structures that molecules are taken from.
        molecules: how many, evenly over sizes.
        temperature_K: of the first velocities and of the heat bath.
        step_fs: time step.
        duration_ps: of each trajectory.
        friction_per_fs: coupling to the bath (Langevin, BAOAB); 0 is constant energy.
        frame_every_fs: how often bonds are looked at.
        seed: of velocities and noise.
    """

    split: str
    molecules: int
    temperature_K: float
    step_fs: float
    duration_ps: float
    friction_per_fs: float
    frame_every_fs: float
    seed: int


def choose(dataset: Dataset, count: int) -> list[Structure]:
    """The first structure of each of ``count`` molecules, evenly over sizes; of all, where there are fewer."""
    first = {structure.molecule: structure for structure in reversed(list(dataset))}
    by_size = sorted(first.values(), key=lambda structure: (len(structure), structure.name))
    picked = np.unique(np.linspace(0, len(by_size) - 1, count).round().astype(int))
    return [by_size[k] for k in picked]


def endure(predictor: Predictor, structures: Sequence[Structure], settings: Settings) -> dict[str, Any]:
    """Move all structures at once; a molecule survives if it never blows up and no bond changes by 0.5 angstrom.

    Returns:
        ``survived_fraction`` with its counts, and a row for each molecule.
    """
    trajectory = run(
        predictor,
        structures,
        temperature_K=settings.temperature_K,
        step_fs=settings.step_fs,
        n_steps=round(1e3 * settings.duration_ps / settings.step_fs),
        friction_per_fs=settings.friction_per_fs,
        frame_every=max(1, round(settings.frame_every_fs / settings.step_fs)),
        seed=settings.seed,
        title="endurance",
    )
    rows: list[dict[str, Any]] = []
    for k, structure in enumerate(structures):
        frames, pairs = trajectory.frames[:, trajectory.owner == k], bonds(structure)
        stretch = np.abs(bond_lengths(frames, pairs) - bond_lengths(structure.positions, pairs)).max(initial=0.0)
        blown_up = trajectory.blown_up_fs[k]
        degrees = 3 * len(structure) - (0 if settings.friction_per_fs else 6)  # a bath moves molecules as a whole too
        kinetic = trajectory.kinetic_eV[len(trajectory.kinetic_eV) // 10 :, k].mean()
        rows.append(
            {
                "name": structure.name,
                "n_atoms": len(structure),
                "largest_bond_change_A": float(stretch),
                "blown_up_fs": None if np.isnan(blown_up) else float(blown_up),
                "mean_temperature_K": float(2.0 * kinetic / (max(1, degrees) * units.kB)),
                "survived": bool(np.isnan(blown_up) and stretch < BROKEN_A),
            }
        )
    survived = sum(row["survived"] for row in rows)
    return {
        "n_molecules": len(rows),
        "n_survived": survived,
        "survived_fraction": survived / len(rows),
        "duration_ps": settings.duration_ps,
        "molecules": rows,
    }
