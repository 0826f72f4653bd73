"""Long dynamics of molecules that no student was trained on: whether it can be left alone for 100 ps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import units

from assay.dynamics.run import Motion, Trajectory, run_dynamics
from assay.predictors.interface import Predictor
from assay.structures.geometry import BROKEN_A, bond_lengths, degrees_of_freedom, lasting_bonds
from assay.structures.structure import Structure, evenly, knows, molecule_numbers
from assay.workflow.config_models.commands_yaml import Endurance
from assay.workflow.config_models.types import steps_between
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path
from assay.workflow.progress import progress

PART_ps = 1.0  # the state file is written after each part of this length
KEPT = ("parts", "stretch_A", "blown_up_fs", "kinetic_eV")  # what the state file holds besides the motion


def known_molecules(dataset: Iterable[Structure], elements: Sequence[str] | None) -> tuple[list[Structure], int]:
    """The structures of elements that a student knows, None for all, without single atoms, which nothing can break.

    Returns:
        The structures, and how many hold other elements.

    Raises:
        AssayError: none is left.
    """
    structures, n_of_others = [], 0
    for structure in dataset:
        if not knows(elements, structure):
            n_of_others += 1
        elif len(structure) > 1:
            structures.append(structure)
    if not structures:
        raise AssayError(
            "the split of `endurance` has no molecule of two atoms or more with elements that the student knows alone: "
            "name another one as endurance.split"
        )
    return structures, n_of_others


def molecules_of_all_sizes(structures: Sequence[Structure], count: int) -> list[Structure]:
    """The first structure of each of ``count`` molecules, evenly over sizes, or of all molecules if they are fewer."""
    _, first = np.unique(molecule_numbers(structure.molecule for structure in structures), return_index=True)
    by_size = sorted((structures[k] for k in first), key=lambda structure: (len(structure), structure.name))
    return evenly(by_size, count)


def endure(predictor: Predictor, structures: Sequence[Structure], settings: Endurance, state: Path) -> dict[str, Any]:
    """Move all structures at once; one survives if it never blows up and no lasting bond changes by 0.5 angstrom.

    Args:
        predictor: the student, which gives energies and forces.
        structures: the molecules.
        settings: how the dynamics are run.
        state: the file that keeps the state after each picosecond; if it exists, the run goes on from it.

    Returns:
        ``survived_fraction`` with its counts, and a row for each molecule.
    """
    bounds = _part_bounds(settings)
    n_parts = len(bounds) - 1
    so_far = _Record.read(state) if state.exists() else _Record.empty(len(structures))
    for part in progress(range(so_far.parts, n_parts), desc="endurance", unit="ps"):
        trajectory = run_dynamics(
            predictor,
            structures,
            temperature_K=settings.temperature_K,
            step_fs=settings.step_fs,
            n_steps=bounds[part + 1] - bounds[part],
            friction_per_fs=settings.friction_per_fs,
            frame_every=steps_between(settings.frame_every_fs, settings.step_fs),
            seed=settings.seed,
            start=so_far.end,
        )
        so_far = so_far.after(trajectory, structures, settings.step_fs * bounds[part], warm_up=n_parts // 10)
        so_far.write(state)
    bath = settings.friction_per_fs > 0  # which shifts and turns molecules, too
    degrees = [3 * len(structure) if bath else max(1, degrees_of_freedom(structure)) for structure in structures]
    rows: list[dict[str, Any]] = [
        {
            "name": structure.name,
            "n_atoms": len(structure),
            "largest_bond_change_A": float(so_far.stretch_A[k]),
            "blown_up_fs": None if np.isnan(so_far.blown_up_fs[k]) else float(so_far.blown_up_fs[k]),
            "mean_temperature_K": float(2.0 * so_far.kinetic_eV[k] / (degrees[k] * units.kB)),
            "survived": bool(np.isnan(so_far.blown_up_fs[k]) and so_far.stretch_A[k] < BROKEN_A),
        }
        for k, structure in enumerate(structures)
    ]
    survived = sum(row["survived"] for row in rows)
    return {
        "n_molecules": len(rows),
        "n_survived": survived,
        "survived_fraction": survived / len(rows),
        "duration_ps": settings.duration_ps,
        "molecules": rows,
    }


def _part_bounds(settings: Endurance) -> list[int]:
    """The numbers of the steps at which parts begin and end: 0, one for each picosecond, and the last step."""
    n_steps = round(1e3 * settings.duration_ps / settings.step_fs)
    n_parts = max(1, round(settings.duration_ps / PART_ps))
    return [round(part * n_steps / n_parts) for part in range(n_parts + 1)]


@dataclass(frozen=True)
class _Record:
    """What happened to S molecules in the parts that are done.

    Attributes:
        parts: the number of parts that are done.
        stretch_A: (S,), the largest change of a bond in each molecule.
        blown_up_fs: (S,), when a molecule blew up; NaN where it never did.
        kinetic_eV: (S,), the mean kinetic energy in the parts after the first tenth.
        end: the motion at the end of the latest part; None before the first.
    """

    parts: int
    stretch_A: np.ndarray
    blown_up_fs: np.ndarray
    kinetic_eV: np.ndarray
    end: Motion | None

    @classmethod
    def empty(cls, n_molecules: int) -> _Record:
        """The record before the first part."""
        return cls(0, np.zeros(n_molecules), np.full(n_molecules, np.nan), np.zeros(n_molecules), None)

    def after(self, trajectory: Trajectory, structures: Sequence[Structure], began_fs: float, warm_up: int) -> _Record:
        """The record with one more part; kinetic energies count from the part numbered ``warm_up`` on."""
        stretch = self.stretch_A.copy()
        for k, structure in enumerate(structures):
            looks, pairs = trajectory.looks[:, trajectory.owner == k], lasting_bonds(structure)
            changes = np.abs(bond_lengths(looks, pairs) - bond_lengths(structure.positions, pairs))
            stretch[k] = max(stretch[k], changes.max(initial=0.0))
        counted, kinetic_eV = self.parts + 1 - warm_up, self.kinetic_eV
        if counted > 0:
            kinetic_eV = kinetic_eV + (trajectory.kinetic_eV.mean(0) - kinetic_eV) / counted
        return _Record(
            self.parts + 1,
            stretch,
            np.where(np.isnan(self.blown_up_fs), began_fs + trajectory.blown_up_fs, self.blown_up_fs),
            kinetic_eV,
            trajectory.end,
        )

    def write(self, path: Path) -> None:
        """Write the record to a file, whole or not at all."""
        assert self.end is not None  # a part is done
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in KEPT}, **self.end.arrays)

    @classmethod
    def read(cls, path: Path) -> _Record:
        """Read a record that ``write`` wrote."""
        with np.load(path) as kept:
            end, counted = Motion.from_arrays(kept), {name: kept[name] for name in KEPT}
        return cls(**counted | {"parts": int(counted["parts"])}, end=end)
