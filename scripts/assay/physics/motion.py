"""Whether the model can be run: energy is conserved, molecules survive, rings stay flat and bonds their length."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.dynamics.run import Trajectory, run_dynamics
from assay.physics import reference
from assay.physics.base import Check, Measurement, NoDynamics, NoReference, OutOfScope, Subject, once, worst
from assay.physics.reference import Frame
from assay.structures.geometry import BROKEN_A, COLLAPSED, bond_lengths, lasting_bonds, nearest_unbonded, out_of_plane
from assay.structures.structure import evenly

LONG_RUN_PS = 50.0  # the time after which a drift is compared with the fluctuation of the kinetic energy
LEAST_FOR_MEANS_FS = 100.0  # a run that is averaged has at least so many: a few periods of the slowest bond


def _frames(subject: Subject) -> list[Frame]:
    return [frames[0] for frames in subject.groups(reference.DYNAMICS).values()]


def nve(subject: Subject) -> Measurement:
    """Constant-energy runs of several molecules at two time steps, from the teacher's minima.

    What is judged is the drift of the shadow energy at the shorter step: what the integrator does is taken out of it,
    what the model does (jumps, forces that are no gradient, rounding) is left. The drifts of the total energy at both
    steps stand beside it.
    """
    options = subject.dynamics["nve"]
    frames = evenly(_frames(subject), options["molecules"])
    structures = [frame.structure for frame in frames]
    sizes = np.array([len(structure) for structure in structures])
    raw: dict[str, Any] = {"molecules": [frame.group for frame in frames]}
    drifts, ratio, survived = {}, np.inf, True
    for step in sorted(options["steps_fs"], reverse=True):  # the shortest step comes last and is judged
        # All energy is kinetic at the minimum; half of it goes into the bonds.
        trajectory = run_dynamics(
            subject.moving,
            structures,
            temperature_K=2.0 * options["temperature_K"],
            step_fs=step,
            n_steps=int(options["duration_fs"] / step),
            seed=subject.seed,
        )
        survived &= bool(np.isnan(trajectory.blown_up_fs).all())
        shadow = slopes(trajectory, trajectory.shadow_eV) / sizes
        total = slopes(trajectory, trajectory.total_eV) / sizes
        drifts[step] = shadow
        spread = trajectory.kinetic_eV.std(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = worst(np.abs(shadow) * sizes / 1e3 * LONG_RUN_PS / spread)
        thin = slice(None, None, max(1, len(trajectory.time_fs) // 200))
        raw[f"step_{step:g}_fs"] = {
            "shadow_drift_meV_per_atom_per_ps": shadow,
            "total_drift_meV_per_atom_per_ps": total,
            "time_fs": trajectory.time_fs[thin],
            "total_meV_per_atom": 1e3 * (trajectory.total_eV - trajectory.total_eV[0])[thin].T / sizes[:, None],
            "shadow_meV_per_atom": 1e3 * (trajectory.shadow_eV - trajectory.shadow_eV[0])[thin].T / sizes[:, None],
            "kinetic_std_eV": spread,
        }
    judged = drifts[min(drifts)]
    return Measurement(
        {
            "drift_meV_per_atom_per_ps": worst(np.abs(judged)) if survived else np.inf,
            f"drift_over_{LONG_RUN_PS:g}_ps_per_kinetic_std": ratio if survived else np.inf,
        },
        raw,
    )


def slopes(trajectory: Trajectory, energy_eV: np.ndarray) -> np.ndarray:
    """(S,) slope of a straight line through each energy (T, S), meV/ps."""
    if not np.isfinite(energy_eV).all():
        return np.full(energy_eV.shape[1], np.inf)
    return np.polyfit(trajectory.time_fs, energy_eV - energy_eV[0], 1)[0] * 1e6


@once
def _heated(subject: Subject) -> tuple[list[Frame], np.ndarray, Trajectory]:
    """Every molecule at every temperature, in one batch of Langevin dynamics."""
    options = subject.dynamics["stability"]
    frames = [frame for _ in options["temperatures_K"] for frame in _frames(subject)]
    temperatures = np.repeat(options["temperatures_K"], len(frames) // len(options["temperatures_K"]))
    trajectory = run_dynamics(
        subject.moving,
        [frame.structure for frame in frames],
        temperature_K=temperatures,
        step_fs=options["step_fs"],
        n_steps=int(options["duration_fs"] / options["step_fs"]),
        friction_per_fs=options["friction_per_fs"],
        seed=subject.seed,
    )
    return frames, temperatures, trajectory


def stability(subject: Subject) -> Measurement:
    """Molecules at 300 and 500 K: none may lose a bond, collapse, or blow up; ``lasting_bonds`` says which bonds count.

    A molecule has collapsed where two atoms that were not bonded come nearer than ``COLLAPSED`` of the sum of their
    covalent radii: 0.43 angstrom for two hydrogens, 1.06 for two carbons, 0.68 for hydrogen and oxygen. No healthy
    molecule comes near that: bonds themselves are about 1.0 of this sum, and kT at 500 K shortens them by less than a
    fifth; hydrogen bonds are above 1.4, two hydrogens of one carbon at 2.9, and in such runs of good models nothing
    comes below 1.3.
    """
    frames, temperatures, trajectory = _heated(subject)
    rows: list[dict[str, Any]] = []
    for k, frame in enumerate(frames):
        pairs = lasting_bonds(frame.structure)
        start = bond_lengths(frame.structure.positions, pairs)
        looks = trajectory.looks[:, trajectory.owner == k]
        stretch = np.abs(bond_lengths(looks, pairs) - start).max(initial=0.0)
        rows.append(
            {
                "molecule": frame.group,
                "temperature_K": float(temperatures[k]),
                "largest_stretch_A": float(stretch),
                "nearest_unbonded": nearest_unbonded(looks, frame.structure),
                "blown_up_fs": None if np.isnan(trajectory.blown_up_fs[k]) else float(trajectory.blown_up_fs[k]),
            }
        )
    whole = [row["largest_stretch_A"] < BROKEN_A and row["nearest_unbonded"] > COLLAPSED for row in rows]
    broken = [row["blown_up_fs"] is not None or not held for row, held in zip(rows, whole, strict=True)]
    return Measurement({"broken_fraction": float(np.mean(broken))}, {"runs": rows})


def _like_the_teacher(subject: Subject) -> list[tuple[Frame, np.ndarray]]:
    """Molecules run at the temperature of the teacher's own dynamics, and their frames after the first quarter."""
    duration_fs = subject.dynamics["stability"]["duration_fs"]
    if duration_fs < LEAST_FOR_MEANS_FS:
        raise NoDynamics(
            f"means over dynamics need {LEAST_FOR_MEANS_FS:g} fs, and the config's physics.dynamics.stability has "
            f"{duration_fs:g} fs"
        )
    frames, temperatures, trajectory = _heated(subject)
    chosen = []
    for k, frame in enumerate(frames):
        if "temperature_K" in frame.known and np.isclose(temperatures[k], float(frame.known["temperature_K"][0])):
            settled = trajectory.frames[len(trajectory.frames) // 4 :, trajectory.owner == k]
            chosen.append((frame, settled))
    if not chosen:
        raise NoReference("the reference has no run of the teacher at a temperature of physics.dynamics.stability")
    return chosen


def rings(subject: Subject) -> Measurement:
    """Mean distance of ring atoms from their plane in dynamics, beside the teacher's."""
    rows = {}
    for frame, settled in _like_the_teacher(subject):
        if "ring" in frame.known:
            mean = float(out_of_plane(settled[:, frame.known["ring"].astype(int)]).mean())
            rows[frame.group] = {"mean_A": mean, "teacher_A": float(frame.known["mean_out_of_plane_A"][0])}
    if not rows:
        raise OutOfScope("the reference has no aromatic ring of the elements that the model knows")
    differences = [abs(row["mean_A"] - row["teacher_A"]) for row in rows.values()]
    return Measurement({"max_difference_A": worst(differences)}, {"rings": rows})


def bond_statistics(subject: Subject) -> Measurement:
    """Mean bond lengths in dynamics, beside the teacher's."""
    rows = {}
    for frame, settled in _like_the_teacher(subject):
        pairs = frame.known["bonds"].reshape(-1, 2).astype(int)
        if not len(pairs):
            continue
        mean = bond_lengths(settled, pairs).mean(0)
        rows[frame.group] = {"mean_A": mean, "teacher_A": frame.known["mean_bond_lengths_A"]}
    if not rows:
        raise OutOfScope("the reference has no molecule with a bond that lasts")
    differences = np.concatenate([np.abs(row["mean_A"] - row["teacher_A"]) for row in rows.values()])
    return Measurement(
        {"max_difference_A": worst(differences), "mean_difference_A": float(differences.mean())}, {"bonds": rows}
    )


CHECKS = [
    Check("nve", "total energy does not drift in dynamics at constant energy", nve),
    Check("stability", "molecules survive dynamics at every temperature", stability),
    Check("rings", "aromatic rings stay as flat as the teacher's in dynamics", rings, against_teacher=True),
    Check("bonds", "bonds have the teacher's mean length in dynamics", bond_statistics, against_teacher=True),
]
