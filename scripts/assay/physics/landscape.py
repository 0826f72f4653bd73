"""The energy landscape beside the teacher's: minima, vibrations, and the energies between shapes of a molecule."""

from __future__ import annotations

import numpy as np
from ase import units

from assay.physics import reference
from assay.physics.base import Check, Measurement, OutOfScope, Subject, asked, once, worst
from assay.physics.reference import Frame
from assay.physics.relax import force_jacobians, frequencies, relax
from assay.structures.geometry import superposed_rmsd
from assay.structures.structure import Structure

KCAL_PER_MOL = units.kcal / units.mol  # eV
# The force at which a geometry counts as relaxed and the displacement of a derivative, in float64 (True) and in
# anything coarser (False).
RELAXED_eV_per_A = {True: 1e-3, False: 5e-3}
STEP_A = {True: 0.005, False: 0.01}
IMAGINARY_per_cm = -30.0  # forces that are left make softer ones of free turns
MAX_STEPS = 60


@once
def _minima(subject: Subject) -> tuple[list[Frame], list[Structure], np.ndarray]:
    """The teacher's minima, the model's that they relax to, and the forces that are left."""
    frames = [frames[0] for frames in subject.groups(reference.MINIMUM).values()]
    structures = [frame.structure for frame in frames]
    return frames, *relax(subject.predictor, structures, RELAXED_eV_per_A[subject.exact], MAX_STEPS)


def minima(subject: Subject) -> Measurement:
    """Distance between the teacher's minima and those that the model relaxes them to."""
    frames, relaxed, residual = _minima(subject)
    rmsd = [
        superposed_rmsd(own.positions, frame.structure.positions) for frame, own in zip(frames, relaxed, strict=True)
    ]
    lost = int((residual > 10 * RELAXED_eV_per_A[subject.exact]).sum())
    return Measurement(
        {"mean_rmsd_A": float(np.mean(rmsd)), "max_rmsd_A": worst(rmsd), "unconverged": float(lost)},
        {"molecules": [f.group for f in frames], "rmsd_A": rmsd, "residual_eV_per_A": residual},
    )


def vibrations(subject: Subject) -> Measurement:
    """Harmonic frequencies at the model's minima, beside the teacher's at its own.

    A molecule that the teacher has straight is compared as a straight one, since forces that are left bend it a little.
    One that is straight for the model alone has a mode that the teacher's has not, and makes the error infinite. A
    reference may hold saddle points of the teacher, so that only further imaginary modes are the model's.
    """
    frames, relaxed, residual = _minima(subject)
    usable = [k for k in range(len(frames)) if np.isfinite(residual[k])]
    jacobians = force_jacobians(subject.predictor, [relaxed[k] for k in usable], STEP_A[subject.exact])
    rows, errors, imaginary = {}, [], 0
    for k, jacobian in zip(usable, jacobians, strict=True):
        teacher = frames[k].known["frequencies_per_cm"]
        own = frequencies(relaxed[k], -jacobian, len(teacher))
        rows[frames[k].group] = {"frequencies_per_cm": own, "teacher_per_cm": teacher}
        errors += list(np.abs(own - teacher)) if len(own) == len(teacher) else [np.inf]
        imaginary += max(0, int((own < IMAGINARY_per_cm).sum() - (teacher < IMAGINARY_per_cm).sum()))
    missing = len(frames) - len(usable)
    return Measurement(
        {
            "mae_per_cm": float(np.mean(errors)) if errors and not missing else float("inf"),
            "imaginary_modes": float(imaginary),
        },
        {"molecules": rows},
    )


def _relative(subject: Subject, kind: str) -> dict[str, dict[str, np.ndarray]]:
    """Energies of the frames of each group, of the model and of the teacher, kcal/mol, each less its mean."""
    rows = {}
    for name, (frames, predictions) in asked(subject, kind).items():
        own = np.array([prediction.energy_eV for prediction in predictions]) / KCAL_PER_MOL
        teacher = np.array([frame.energy_eV for frame in frames]) / KCAL_PER_MOL
        rows[name] = {
            "coordinate": np.array([frame.coordinate for frame in frames]),
            "energy_kcal_per_mol": own - own.mean(),
            "teacher_kcal_per_mol": teacher - teacher.mean(),
        }
    return rows


def torsions(subject: Subject) -> Measurement:
    """Scans of dihedral angles: the barrier's height, and the whole profile."""
    rows = _relative(subject, reference.TORSION)
    barriers = [abs(np.ptp(r["energy_kcal_per_mol"]) - np.ptp(r["teacher_kcal_per_mol"])) for r in rows.values()]
    profiles = [np.abs(r["energy_kcal_per_mol"] - r["teacher_kcal_per_mol"]).mean() for r in rows.values()]
    return Measurement(
        {"barrier_mae_kcal_per_mol": float(np.mean(barriers)), "profile_mae_kcal_per_mol": float(np.mean(profiles))},
        {"scans": rows},
    )


def conformers(subject: Subject) -> Measurement:
    """Energies of the conformers of a molecule relative to each other."""
    rows = {name: row for name, row in _relative(subject, reference.CONFORMER).items() if len(row["coordinate"]) > 1}
    if not rows:
        raise OutOfScope("no molecule of the reference has two conformers")
    errors = [np.abs(r["energy_kcal_per_mol"] - r["teacher_kcal_per_mol"]).mean() for r in rows.values()]
    return Measurement({"mae_kcal_per_mol": float(np.mean(errors))}, {"molecules": rows})


def tautomers(subject: Subject) -> Measurement:
    """Energy differences of pairs of tautomers."""
    rows = {name: row for name, row in _relative(subject, reference.TAUTOMER).items() if len(row["coordinate"]) == 2}
    if not rows:
        raise OutOfScope("the reference has no two tautomers of one molecule")
    errors = [
        abs(float(np.diff(r["energy_kcal_per_mol"])[0] - np.diff(r["teacher_kcal_per_mol"])[0])) for r in rows.values()
    ]
    return Measurement({"mae_kcal_per_mol": float(np.mean(errors))}, {"pairs": rows})


CHECKS = [
    Check("minima", "molecules relax to the teacher's geometry", minima, against_teacher=True),
    Check("vibrations", "molecules vibrate at the teacher's frequencies", vibrations, against_teacher=True),
    Check("torsions", "turning about a bond costs what it costs the teacher", torsions, against_teacher=True),
    Check("conformers", "conformers have the teacher's relative energies", conformers, against_teacher=True),
    Check("tautomers", "tautomers have the teacher's energy differences", tautomers, against_teacher=True),
]
