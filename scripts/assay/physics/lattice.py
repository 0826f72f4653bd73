"""Crystals beside the teacher's: the equation of state, the stiffness of the lattice, and rattled cells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import units

from assay.physics import reference
from assay.physics.base import Check, Measurement, NoReference, NotApplicable, Subject, asked, relative_error, worst
from assay.physics.crystals import repeated, strained
from assay.physics.reference import Frame
from assay.structures.geometry import shaken
from assay.structures.structure import Structure

SCALES = np.linspace(0.97, 1.03, 7)  # of all lengths: volumes from 91 to 109 %
STRAIN = 0.01  # of the three stretches and the three shears
RATTLE_A, RATTLED_CELLS, RATTLED_ATOMS = 0.05, 3, 8
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def crystal_frames(crystal: Structure) -> Iterator[Frame]:
    """What a teacher is asked about a crystal: scaled, stretched and sheared cells, whose atoms move along with the
    cell, and cells with rattled atoms. Labels are those of ``crystal`` and not yet right.
    """
    for scale in SCALES:
        yield Frame(strained(crystal, (scale - 1.0) * np.eye(3)), reference.SCALED_CELL, crystal.name, float(scale))
    for k, (i, j) in enumerate(VOIGT):
        for sign in (-1, 0, 1):
            strain = np.zeros((3, 3))
            strain[i, j] += 0.5 * sign * STRAIN
            strain[j, i] += 0.5 * sign * STRAIN
            yield Frame(strained(crystal, strain), reference.STRAINED_CELL, crystal.name, 3.0 * k + sign + 1)
    rng = np.random.default_rng(0)
    cell = crystal if len(crystal) >= RATTLED_ATOMS else repeated(crystal, (2, 2, 2))  # a lone atom feels no force
    for k in range(RATTLED_CELLS):
        yield Frame(shaken(cell, RATTLE_A, rng), reference.RATTLED_CELL, crystal.name, float(k))


def equation_of_state(scales: np.ndarray, energies_eV: np.ndarray, volume_A3: float) -> tuple[float, float]:
    """The volume of least energy (angstrom^3) and the bulk modulus V d2E/dV2 there (GPa), of a cubic through E(scale).

    Both are NaN where an energy is no number, or the cubic has no minimum within 10 % of the scanned lengths.
    """
    if not np.isfinite(energies_eV).all():
        return np.nan, np.nan
    fit = np.polynomial.Polynomial.fit(scales, energies_eV, 3)
    turns = fit.deriv().roots()
    real = turns[np.isreal(turns)].real
    minima = [x for x in real if fit.deriv(2)(x) > 0.0 and 0.9 * scales.min() < x < 1.1 * scales.max()]
    if not minima:
        return np.nan, np.nan
    scale = float(minima[0])
    volume = volume_A3 * scale**3
    # dV/ds = 3 V0 s^2, and dE/ds vanishes, so that d2E/dV2 = (d2E/ds2) / (3 V0 s^2)^2.
    return volume, float(volume * fit.deriv(2)(scale) / (3.0 * volume_A3 * scale**2) ** 2 / units.GPa)


def equations_of_state(subject: Subject) -> Measurement:
    """The volume of least energy and the bulk modulus of each crystal, beside the teacher's."""
    rows = {}
    scans = {name: scan for name, scan in asked(subject, reference.SCALED_CELL).items() if len(scan[0]) > 1}
    if not scans:
        raise NoReference(f"the reference has no crystal at several volumes: {reference.HOW_TO_MAKE}")
    for name, (frames, predictions) in scans.items():
        scales = np.array([frame.coordinate for frame in frames])
        volume = frames[0].structure.volume_A3 / scales[0] ** 3
        teacher = equation_of_state(scales, np.array([frame.energy_eV for frame in frames]), volume)
        own = equation_of_state(scales, np.array([prediction.energy_eV for prediction in predictions]), volume)
        if np.isfinite(teacher[0]):
            rows[name] = {
                "volume_A3": own[0],
                "teacher_volume_A3": teacher[0],
                "bulk_modulus_GPa": own[1],
                "teacher_bulk_modulus_GPa": teacher[1],
            }
    if not rows:
        raise NotApplicable("the teacher has no volume of least energy near that of any crystal of the reference")
    volumes = [abs(row["volume_A3"] / row["teacher_volume_A3"] - 1.0) for row in rows.values()]
    moduli = [abs(row["bulk_modulus_GPa"] / row["teacher_bulk_modulus_GPa"] - 1.0) for row in rows.values()]
    return Measurement(
        {"relative_volume_error": worst(volumes), "relative_bulk_modulus_error": worst(moduli)},
        {"crystals": rows, "without_least_energy_of_teacher": sorted(set(scans) - set(rows))},
    )


def elastic_constants(subject: Subject) -> Measurement:
    """The six diagonal elastic constants of each crystal with clamped atoms, beside the teacher's."""
    rows, errors = {}, []
    for name, (frames, predictions) in asked(subject, reference.STRAINED_CELL).items():
        if len(frames) != 3 * len(VOIGT):
            continue
        own = np.array([prediction.energy_eV for prediction in predictions])
        teacher = np.array([frame.energy_eV for frame in frames])
        volume = frames[1].structure.volume_A3
        known, found = (_stiffness(energy, volume) for energy in (teacher, own))
        rows[name] = {"elastic_constants_GPa": found, "teacher_GPa": known}
        errors.append(relative_error(found, known))
    if not rows:
        raise NoReference(f"the teacher could not compute all strained cells of any crystal: {reference.HOW_TO_MAKE}")
    return Measurement({"relative_error": worst(errors)}, {"crystals": rows})


def _stiffness(energies_eV: np.ndarray, volume_A3: float) -> np.ndarray:
    """(6,), GPa, from the energies at strains -, 0 and + of each of the six kinds; shears are those of engineers."""
    below, middle, above = energies_eV.reshape(6, 3).T
    return (below + above - 2.0 * middle) / (STRAIN**2 * volume_A3) / units.GPa


def rattled_cells(subject: Subject) -> Measurement:
    """Forces in cells with rattled atoms beside the teacher's: their root-mean-square error over the teacher's."""
    errors = {}
    for name, (frames, predictions) in asked(subject, reference.RATTLED_CELL).items():
        teacher = np.array([frame.structure.forces_eV_per_A for frame in frames])
        own = np.array([prediction.forces_eV_per_A for prediction in predictions])
        errors[name] = relative_error(own, teacher)
    return Measurement({"relative_force_error": worst(list(errors.values()))}, {"crystals": errors})


CHECKS = [
    Check("equation_of_state", "crystals have the teacher's volume and bulk modulus", equations_of_state, True),
    Check("elastic_constants", "crystals are as stiff as the teacher's", elastic_constants, True),
    Check("rattled_cells", "atoms in a crystal are driven back as by the teacher", rattled_cells, True),
]
