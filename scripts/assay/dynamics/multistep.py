"""Dynamics of multiple time steps beside the teacher's own: the drift of the energy, and distributions.

A student is the inner force of reversible RESPA, and its teacher corrects it every n steps (``runtime.respa``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import ase
import numpy as np
from ase import units
from ase.calculators.calculator import CalculationFailed, Calculator
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.verlet import VelocityVerlet

from assay.dynamics.endurance import molecules_of_all_sizes
from assay.dynamics.internal import InternalCoordinates, compare, densities
from assay.dynamics.run import MAX_FORCE_eV_per_A, still, thermal_velocities
from assay.predictors.calculators import atoms_of
from assay.predictors.worker import energy_of_forces
from assay.runtime.respa import Respa
from assay.structures.structure import Structure, knows, open_molecules
from assay.workflow.config_models.commands_yaml import MultistepDynamics
from assay.workflow.config_models.types import steps_between
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path
from assay.workflow.progress import progress

Make = Callable[[], Calculator]
TEACHER, REPEATED, ALONE = "teacher", "teacher again", "student alone"  # what moves the atoms beside a number n
WARM_UP = 0.1  # the share of a run at a temperature that does not count


def molecules_for(
    dataset: Iterable[Structure], settings: MultistepDynamics, elements: list[list[str] | None]
) -> list[Structure]:
    """The molecules that are moved: evenly over sizes, of elements that all students know.

    Args:
        dataset: labelled structures.
        settings: ``molecules`` and ``max_atoms``.
        elements: the elements of each student; None for one that does not tell.

    Raises:
        AssayError: there is no such molecule.
    """
    fitting = [
        structure
        for structure in open_molecules(dataset)
        if len(structure) <= settings.max_atoms and all(knows(own, structure) for own in elements)
    ]
    if not fitting:
        raise AssayError(
            f"no molecule of `multistep: split: {settings.split}` has at most {settings.max_atoms} atoms and only "
            "elements that all students know: raise `multistep: max_atoms`, or name another split"
        )
    return molecules_of_all_sizes(fitting, settings.molecules)


class Run(NamedTuple):
    """One trajectory, looked at after each correction.

    Attributes:
        time_fs: (T,).
        total_eV: (T,), kinetic energy and the potential energy of the calculator of the atoms.
        kinetic_eV: (T,).
        frames: (F, N, 3), positions, angstrom.
        blown_up_fs: when it blew up; NaN if it never did.
    """

    time_fs: np.ndarray
    total_eV: np.ndarray
    kinetic_eV: np.ndarray
    frames: np.ndarray
    blown_up_fs: np.ndarray


def moving_atoms(structure: Structure, temperature_K: float, rng: np.random.Generator) -> ase.Atoms:
    """A molecule with random velocities, of which none moves or turns it as a whole."""
    atoms = atoms_of(structure)
    masses = atoms.get_masses()
    velocities = thermal_velocities(masses, np.full((len(atoms), 1), temperature_K), rng)
    atoms.set_velocities(still(velocities, masses, structure.positions, np.zeros(len(atoms), dtype=int)))
    return atoms


def run(
    structure: Structure, teacher: Calculator, student: Calculator | None, n: int, settings: MultistepDynamics, *,
    bath: bool, seed: int,
) -> Run:  # fmt: skip
    """Move one molecule.

    Args:
        structure: the molecule.
        teacher: the calculator whose dynamics these are.
        student: the inner force; None moves the atoms by the teacher alone, with the short step.
        n: the number of short steps between two corrections.
        settings: how long, and how.
        bath: whether there is a heat bath; otherwise the energy is constant.
        seed: the seed of velocities and noise.
    """
    rng = np.random.default_rng(seed)
    atoms = moving_atoms(structure, settings.temperature_K, rng)
    atoms.calc = teacher
    step = settings.step_fs * units.fs
    heat: dict[str, Any] = {}
    if bath:
        heat = {"temperature_K": settings.temperature_K, "friction": settings.friction_per_fs / units.fs, "rng": rng}
    if student is not None:
        motion: Any = Respa(atoms, step, student, n, **heat)
    elif bath:
        friction = heat.pop("friction")
        motion = LangevinBAOAB(atoms, step, T_tau=1.0 / friction, **heat)
    else:
        motion = VelocityVerlet(atoms, step)
    length_ps = settings.bath_ps if bath else settings.constant_energy_ps
    count = max(2, round(1e3 * length_ps / (n * settings.step_fs)))
    every = steps_between(settings.sample_every_fs, n * settings.step_fs)
    return _follow(atoms, motion, count, every, n * settings.step_fs)


def _follow(atoms: ase.Atoms, motion: Any, count: int, every: int, step_fs: float) -> Run:
    total, kinetic, frames, blown_up = [], [], [], np.nan
    for index in range(count):
        try:
            forces = motion.step()
            energy = energy_of_forces(atoms)
        except (CalculationFailed, RuntimeError, ValueError):  # as teachers do where atoms are on each other
            energy, forces = np.nan, np.array([np.nan])
        forces = atoms.get_forces() if forces is None else forces
        if not (np.isfinite(energy) and np.abs(forces).max() < MAX_FORCE_eV_per_A):
            blown_up = (index + 1) * step_fs
            break
        kinetic.append(atoms.get_kinetic_energy())
        total.append(energy + kinetic[-1])
        if (index + 1) % every == 0:
            frames.append(atoms.get_positions())
    time = step_fs * np.arange(1, len(total) + 1)
    return Run(
        time, np.array(total), np.array(kinetic), np.array(frames).reshape(-1, len(atoms), 3), np.array(blown_up)
    )


def kept(path: Path, make: Callable[[], Run]) -> Run:
    """A run that a file keeps, and which is made and kept where there is none."""
    if not path.is_file():
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **found._asdict())
    with np.load(path) as stored:
        return Run(**{name: stored[name] for name in Run._fields})


def teacher_runs(
    structures: Sequence[Structure], teacher: Make, settings: MultistepDynamics, folder: Path
) -> list[dict[str, Run]]:
    """The teacher's own dynamics of each molecule: at constant energy, and twice in a heat bath.

    Args:
        structures: the molecules.
        teacher: makes its calculator.
        settings: how the dynamics are run.
        folder: where finished runs are kept, so that a stopped job goes on.

    Returns:
        for each molecule, runs by the names ``energy``, ``TEACHER`` and ``REPEATED``.
    """
    wanted = {"energy": (False, 0), TEACHER: (True, 0), REPEATED: (True, 1)}
    found: list[dict[str, Run]] = []
    for number, structure in enumerate(progress(structures, desc="teacher", unit="molecules")):
        found.append({})
        for name, (bath, again) in wanted.items():
            seed = settings.seed + 2 * number + again
            make = partial(_teacher_run, structure, teacher, settings, bath, seed)
            found[-1][name] = kept(folder / f"{number}.{name.replace(' ', '-')}.npz", make)
    return found


def _teacher_run(structure: Structure, teacher: Make, settings: MultistepDynamics, bath: bool, seed: int) -> Run:
    return run(structure, teacher(), None, 1, settings, bath=bath, seed=seed)


def write_runs(path: str | Path, runs: Sequence[Mapping[str, Run]]) -> None:
    """Write the runs of each molecule, which have names, to one file."""
    arrays = {
        f"{number}.{name}.{field}": value
        for number, named in enumerate(runs)
        for name, found in named.items()
        for field, value in found._asdict().items()
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_runs(path: str | Path) -> list[dict[str, Run]]:
    """Read what ``write_runs`` wrote."""
    found: dict[int, dict[str, dict[str, np.ndarray]]] = {}
    with np.load(path) as stored:
        for key in stored.files:
            number, name, field = key.split(".")
            found.setdefault(int(number), {}).setdefault(name, {})[field] = stored[key]
    return [{name: Run(**fields) for name, fields in found[number].items()} for number in sorted(found)]


def student_runs(
    structures: Sequence[Structure], student: Make, teacher: Make, settings: MultistepDynamics, folder: Path
) -> Iterator[tuple[int, int | str, dict[str, Run]]]:
    """The dynamics of each molecule by the student alone, and by the student with its teacher at each n.

    Args:
        structures: the molecules.
        student, teacher: make calculators.
        settings: how the dynamics are run.
        folder: where finished runs are kept.

    Yields:
        the number of the molecule; n, or ``ALONE``; and its runs by the names ``energy`` and ``bath``.
    """
    cases = [(number, n) for n in [ALONE, *settings.corrected_every] for number in range(len(structures))]
    for number, n in progress(cases, desc="student", unit="runs"):
        found = {}
        for name in ("energy", "bath"):
            own, every = (None, 1) if n == ALONE else (student, int(n))
            bath = name == "bath"
            seed = settings.seed + 2 * number + bath  # other noise than the teacher's run that it is held against
            make = partial(_student_run, structures[number], own, student if own is None else teacher, every, settings,
                           bath, seed)  # fmt: skip
            found[name] = kept(folder / f"{number}.{str(n).replace(' ', '-')}.{name}.npz", make)
        yield number, n, found


def _student_run(
    structure: Structure, inner: Make | None, outer: Make, n: int, settings: MultistepDynamics, bath: bool, seed: int
) -> Run:
    return run(structure, outer(), inner and inner(), n, settings, bath=bath, seed=seed)


def describe(structure: Structure, energy: Run, bath: Run, teacher: Run) -> dict[str, Any]:
    """What a run at constant energy and one in a heat bath say of one molecule.

    Args:
        structure: the molecule.
        energy, bath: the runs.
        teacher: the teacher's own run in the bath.

    Returns:
        ``drift_meV_per_atom_per_ps`` (the slope of the total energy), ``fluctuation_meV_per_atom`` (its standard
        deviation about the slope), ``blown_up_fs``, ``mean_temperature_K``, the distances of ``internal.compare``, and
        the ``densities`` of bonds and torsions. What a run that blew up cannot tell is None.
    """
    n_atoms, coordinates = len(structure), InternalCoordinates.of(structure)
    blown_up = np.nanmin([energy.blown_up_fs, bath.blown_up_fs, np.inf])
    row: dict[str, Any] = {
        "name": structure.name,
        "n_atoms": n_atoms,
        "blown_up_fs": float(blown_up) if np.isfinite(blown_up) else None,
        "drift_meV_per_atom_per_ps": None,
        "fluctuation_meV_per_atom": None,
        "mean_temperature_K": None,
        "bond_distance_A": None,
        "torsion_distance_deg": None,
    }
    if np.isnan(energy.blown_up_fs) and len(energy.time_fs) > 2:
        slope, offset = np.polyfit(energy.time_fs / 1e3, energy.total_eV, 1)
        rest = energy.total_eV - slope * energy.time_fs / 1e3 - offset
        row["drift_meV_per_atom_per_ps"] = float(1e3 * slope / n_atoms)
        row["fluctuation_meV_per_atom"] = float(1e3 * rest.std() / n_atoms)
    if np.isnan(bath.blown_up_fs):
        counted = bath.kinetic_eV[round(WARM_UP * len(bath.kinetic_eV)) :]
        row["mean_temperature_K"] = float(2.0 * counted.mean() / (3 * n_atoms * units.kB))
        own, reference = (coordinates.measure(_counted(r.frames)) for r in (bath, teacher))
        row |= compare(own, reference) | {"densities": densities(own, reference)}
    return row


def _counted(frames: np.ndarray) -> np.ndarray:
    """The frames after the warm-up."""
    return frames[round(WARM_UP * len(frames)) :]
