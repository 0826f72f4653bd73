"""Properties of a material by dynamics of a model: radial distribution, diffusion, pressure.

Whatever gives energies and forces of periodic structures can be asked, a student as well as its teacher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from ase import units
from ase.data import atomic_masses

from assay.dynamics.parts import frames_in_parts
from assay.physics.crystals import repeated
from assay.physics.transport import diffusion, radial_distributions
from assay.predictors.interface import Predictor, check_structure
from assay.predictors.structure_files import read_frames
from assay.structures.geometry import moved, wrapped
from assay.structures.structure import Structure, evenly
from assay.workflow.config_models.commands_yaml import MaterialDynamics
from assay.workflow.config_models.types import steps_between
from assay.workflow.errors import AssayError

PART_ps = 0.2  # of dynamics between two states that are kept
PRESSURE_FRAMES = 40  # of a run, evenly over its time
LEAST_LAGS = 3  # frames through which the line of a mean squared displacement goes
DECIMALS = 4  # of positions in angstrom: what a file keeps of them
BLOCKS = 5  # of time, whose means tell the error of a temperature and of a pressure
HEATING_per_fs = 0.01  # the least friction of the equilibration: a crystal at rest is warm in half a picosecond


def read_start(path: str | Path) -> Structure:
    """The first structure of a file, at which dynamics begin.

    Raises:
        AssayError: the file holds none, or one that does not repeat along all axes.
    """
    atoms = next((load() for load in read_frames(path)), None)
    if atoms is None or not atoms.pbc.all():
        raise AssayError(f"{path} does not begin with a structure that repeats along all axes: properties need one")
    return Structure.from_ase(atoms)


def _frame_ps(settings: MaterialDynamics) -> float:
    """The time between frames, ps."""
    return 1e-3 * steps_between(settings.frame_every_fs, settings.step_fs) * settings.step_fs


def _check(settings: MaterialDynamics) -> None:
    """Make sure that a run tells what is asked of it, or raise an AssayError."""
    frame_ps, (shortest_ps, longest_ps) = _frame_ps(settings), settings.lags_ps
    first = int(np.ceil(shortest_ps / frame_ps - 1e-6))
    last, frames = (round(time / frame_ps) for time in (longest_ps, settings.duration_ps))
    if frames <= last:
        raise AssayError(
            f"dynamics of {settings.duration_ps:g} ps tell no displacement after {longest_ps:g} ps: lengthen "
            "`duration_ps` or shorten `lags_ps`"
        )
    if last - first + 1 < LEAST_LAGS:
        raise AssayError(
            f"`lags_ps` from {shortest_ps:g} to {longest_ps:g} ps hold fewer than {LEAST_LAGS} frames, "
            f"which are {frame_ps:g} ps apart: a slope needs more, so widen `lags_ps` or shorten `frame_every_fs`"
        )
    if len(set(settings.temperatures_K)) < len(settings.temperatures_K):
        raise AssayError("`properties: temperatures_K` names a temperature twice: name each of them once")


def material_record(
    predictor: Predictor, start: Structure, settings: MaterialDynamics, state: Path
) -> tuple[dict[str, Any], list[Structure]]:
    """The properties of a material as ``properties.json`` keeps them; arguments as in ``material_properties``.

    Returns:
        ``rows``, one for each size and temperature, with what follows from several of them; or why they are
        ``not_applicable``, for a model that does not know the elements of the structure. And the labelled frames.
    """
    try:
        check_structure(start, predictor)
    except AssayError as refusal:
        return {"not_applicable": str(refusal)}, []
    rows, labelled = material_properties(predictor, start, settings, state)
    return {
        "rows": rows,
        "diffusion_without_images_cm2_per_s": without_images(rows),
        "activation_energy_eV": activation_energies(rows),
    }, labelled


def material_properties(
    predictor: Predictor, start: Structure, settings: MaterialDynamics, state: Path
) -> tuple[list[dict[str, Any]], list[Structure]]:
    """Run dynamics at every size and temperature, and measure.

    Args:
        predictor: what gives energies, forces and, for the pressure, the stress.
        start: the structure at which dynamics begin.
        settings: how properties are measured.
        state: the beginning of the names of the files that keep states.

    Returns:
        A row for each size and temperature; and of each the frames that tell the pressure, labelled by ``predictor``.

    Raises:
        AssayError: a run would be shorter than the longest lag, a line would go through fewer than three of its frames,
            a temperature is there twice, or a structure blew up.
    """
    _check(settings)
    rows, labelled = [], []
    for repeat in settings.repeats:
        whole = repeated(start, (int(repeat[0]), int(repeat[1]), int(repeat[2])))
        size = "x".join(str(int(count)) for count in repeat)
        structures = [replace(whole, name=f"{start.name} at {t:g} K") for t in settings.temperatures_K]
        runs = _runs(predictor, structures, settings, state.with_name(f"{state.name}.{size}.npz"))
        for structure, temperature, (own, heat) in zip(structures, settings.temperatures_K, runs, strict=True):
            some = _labelled(predictor, structure, own)
            of_run = {"repeats": list(repeat), "temperature_K": float(temperature)}
            rows.append(of_run | _measured(structure, own, heat, some, settings))
            labelled += some
    return rows, labelled


def _runs(
    predictor: Predictor, structures: Sequence[Structure], settings: MaterialDynamics, state: Path
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The frames (F, N, 3), angstrom, and kinetic energies (F,), eV, of each structure after its equilibration."""
    before, measured = (round(t / _frame_ps(settings)) for t in (settings.equilibration_ps, settings.duration_ps))
    frames, heat = frames_in_parts(
        predictor,
        structures,
        temperatures_K=settings.temperatures_K,
        step_fs=settings.step_fs,
        heating_per_fs=max(HEATING_per_fs, settings.friction_per_fs),
        heating_frames=before,
        friction_per_fs=settings.friction_per_fs,
        n_frames=measured,
        frame_every=steps_between(settings.frame_every_fs, settings.step_fs),
        frames_per_part=max(1, round(PART_ps / _frame_ps(settings))),
        seed=settings.seed,
        state=state,
        title=f"{len(structures[0])} atoms",
    )
    ends = np.cumsum([len(structure) for structure in structures])
    return list(zip(np.split(frames, ends[:-1], axis=1), heat.T, strict=True))


def _labelled(predictor: Predictor, structure: Structure, frames: np.ndarray) -> list[Structure]:
    """Some of the frames (F, N, 3), evenly over time, with their atoms in the cell and the labels of ``predictor``."""
    inside = [replace(structure, positions=x) for x in evenly(list(frames), PRESSURE_FRAMES)]
    some = [moved(frame, wrapped(frame).round(DECIMALS), f"{structure.name}.{k}") for k, frame in enumerate(inside)]
    return [own.label(frame) for frame, own in zip(some, predictor.predict(some), strict=True)]


def _measured(
    structure: Structure,
    frames: np.ndarray,
    heat_eV: np.ndarray,
    labelled: Sequence[Structure],
    settings: MaterialDynamics,
) -> dict[str, Any]:
    volume = structure.volume_A3
    masses = atomic_masses[structure.atomic_numbers]
    distances, functions = radial_distributions(structure, frames, settings.radial_to_A, settings.radial_bins)
    lags = (settings.lags_ps[0], settings.lags_ps[1])
    temperature_K, error_K = _mean_and_error(heat_eV / (1.5 * len(structure) * units.kB))
    displaced = diffusion(structure, frames, _frame_ps(settings), lags, masses)
    return {
        "n_atoms": len(structure),
        "mean_temperature_K": temperature_K,
        "mean_temperature_standard_error_K": error_K,
        "volume_A3": volume,
        "density_g_per_cm3": float(masses.sum() / volume / (units.mol * 1e-24)),
        "n_frames": len(frames),
        **_pressure(labelled, temperature_K, volume),
        "radial_distribution": {"distance_A": distances, **functions},
        "diffusion": {symbol: asdict(found) for symbol, found in displaced.items()},
    }


def _pressure(labelled: Sequence[Structure], temperature_K: float, volume_A3: float) -> dict[str, float | None]:
    """The mean pressure: that of an ideal gas, less the mean of the stress; None from a model without stress."""
    found = [frame.stress_eV_per_A3 for frame in labelled]
    if any(stress is None for stress in found):
        return {"pressure_GPa": None, "pressure_standard_error_GPa": None}
    stresses = np.array([np.trace(np.asarray(stress)) / 3.0 for stress in found])
    pressures = (len(labelled[0]) * units.kB * temperature_K / volume_A3 - stresses) / units.GPa
    mean, error = _mean_and_error(pressures)
    return {"pressure_GPa": mean, "pressure_standard_error_GPa": error}


def _mean_and_error(values: np.ndarray) -> tuple[float, float | None]:
    """The mean of values in the course of time, and its standard error by blocks; None of a single value."""
    means = [block.mean() for block in np.array_split(values, min(BLOCKS, len(values)))]
    return float(values.mean()), float(np.std(means, ddof=1) / np.sqrt(len(means))) if len(means) > 1 else None


def without_images(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Diffusion coefficients, cm2/s, by temperature and element, of a cell without end.

    The images of a periodic cell slow its atoms down by a term that goes with the inverse of its length (Yeh and
    Hummer, J. Phys. Chem. B 108, 15873, 2004), so that a line through two sizes or more ends at the infinite one.

    Returns:
        For each temperature that was run at several sizes, as text, the coefficient by element.
    """
    found: dict[str, dict[str, float]] = {}
    temperatures = sorted({row["temperature_K"] for row in rows})
    elements = sorted({symbol for row in rows for symbol in row["diffusion"]})
    for temperature, symbol in product(temperatures, elements):
        own = [row for row in rows if row["temperature_K"] == temperature]
        if len({row["n_atoms"] for row in own}) > 1:
            inverse = [row["volume_A3"] ** (-1.0 / 3.0) for row in own]
            values = [row["diffusion"][symbol]["coefficient_cm2_per_s"] for row in own]
            found.setdefault(f"{temperature:g}", {})[symbol] = float(np.polyfit(inverse, values, 1)[1])
    return found


def of_largest_size(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of the largest size, of one shape."""
    largest = max(rows, key=lambda row: row["n_atoms"])
    return [row for row in rows if all(row.get(key) == largest.get(key) for key in ("n_atoms", "repeats"))]


def activation_energies(rows: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The activation energy of diffusion, eV, by element, of the largest size (Arrhenius); none of one temperature.

    It is None where an element diffuses no faster than the error of its coefficient at one of the temperatures, as in a
    cold crystal.
    """
    own = of_largest_size(rows)
    if len(own) < 2:
        return {}
    inverse = [1.0 / (units.kB * row["temperature_K"]) for row in own]
    found: dict[str, float | None] = {}
    for symbol in own[0]["diffusion"]:
        told = [row["diffusion"][symbol] for row in own]
        values = [one["coefficient_cm2_per_s"] for one in told]
        moves = all(one["coefficient_cm2_per_s"] > (one.get("standard_error_cm2_per_s") or 0.0) for one in told)
        found[symbol] = float(-np.polyfit(inverse, np.log(values), 1)[0]) if moves else None
    return found
