"""A small world for the physics checks: a pair potential as teacher and faultless student, clusters that it binds."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import ase.build
import numpy as np
import torch
from ase.data import covalent_radii

from assay.dynamics.run import run_dynamics
from assay.models import Potential
from assay.models.graph import Term
from assay.physics.base import Subject
from assay.physics.lattice import crystal_frames
from assay.physics.lattice_dynamics import displaced_frames, vacancy_frames
from assay.physics.reference import Frame, Reference
from assay.physics.relax import force_jacobians, frequencies, relax
from assay.predictors.interface import Prediction
from assay.predictors.networks import EagerPredictor
from assay.structures.geometry import bond_lengths, bonds, contact, moved, out_of_plane
from assay.structures.structure import Structure
from assay.workflow.config import load_config

CONFIG = load_config(Path(__file__).parents[2] / "config")
THRESHOLDS = CONFIG["physics"]["thresholds"]
TEACHER = "pairs of atoms"
DYNAMICS = {
    "nve": {"molecules": 2, "temperature_K": 300.0, "steps_fs": [0.5, 1.0], "duration_fs": 100.0},
    "stability": {"temperatures_K": [300.0], "step_fs": 1.0, "duration_fs": 120.0, "friction_per_fs": 0.02},
    "npt": {"crystals": 1, "temperatures_K": [300.0], "step_fs": 4.0, "duration_fs": 1200.0},
    "loops": {"molecules": 3, "clusters": 2},
}


class Pairs(Potential):
    """Morse bonds between all pairs, smooth to the third derivative at the cutoff."""

    architecture = "pairs"

    def __init__(self, depth_eV=1.5, cutoff_A=5.0):
        super().__init__()
        self.cutoff, self.max_z, self.stiffness = cutoff_A, 20, 1.6
        self.depth = torch.nn.Parameter(torch.tensor(depth_eV))
        self.register_buffer("radius", torch.as_tensor(covalent_radii[:21].astype(np.float32)))

    def atomic_energies(self, atomic_numbers, vectors, graph):
        distance = torch.sqrt((vectors * vectors).sum(-1))
        radius = self.radius[atomic_numbers]
        bond = graph.at_neighbor(radius) + graph.at_center(radius)
        morse = (1.0 - torch.exp(-self.stiffness * (distance - bond))) ** 2 - 1.0
        return (
            0.5 * graph.aggregate(Term(self.depth * morse * self.envelope(distance))).double() - 10.0 * atomic_numbers
        )

    def envelope(self, distance):
        return (1.0 - (distance / self.cutoff).clamp(max=1.0) ** 2) ** 4


class Springs:
    """A predictor of molecules that springs hold: for each the numbers of two atoms, its length in angstrom, and its
    stiffness in eV/angstrom^2.
    """

    cutoff_A, max_z, dtype, device, name, runtime = 6.0, 20, "float64", "cpu", "springs", "toy"
    elements = scope = None

    def __init__(self, springs):
        self.springs = springs

    def predict(self, structures):
        return [self._one(structure.positions) for structure in structures]

    def _one(self, positions):
        energy, forces = 0.0, np.zeros_like(positions)
        for a, b, length, stiffness in self.springs:
            apart = positions[a] - positions[b]
            distance = np.linalg.norm(apart)
            energy += stiffness * (distance - length) ** 2
            force = 2.0 * stiffness * (distance - length) * apart / distance
            forces[a] -= force
            forces[b] += force
        return Prediction(energy, forces)


def predictor(model=None, dtype=torch.float64):
    """The eager predictor of a model, by default of the faultless one."""
    return EagerPredictor((model or Pairs()).to(dtype).requires_grad_(False), elements=frozenset(range(1, 21)))


def cluster(name, numbers, seed):
    """Atoms at random, no two closer than 0.9 angstrom, relaxed."""
    rng, positions = np.random.default_rng(seed), []
    while len(positions) < len(numbers):
        trial = rng.normal(0.0, 1.2, 3)
        if all(np.linalg.norm(trial - other) > 0.9 for other in positions):
            positions.append(trial)
    start = Structure(name, np.array(numbers, dtype=np.int64), np.array(positions))
    return relax(predictor(), [start], 1e-4, 400)[0][0]


def labelled(structure, teacher):
    (prediction,) = teacher.predict([structure])
    return replace(structure, energy_eV=prediction.energy_eV, forces_eV_per_A=prediction.forces_eV_per_A)


def crystal():
    """Two elements in the lattice of rock salt, a little off the volume of least energy, without any symmetry."""
    atoms = ase.build.bulk("KNa", "rocksalt", a=6.9)
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + 0.01 * np.array([[1, 2, 0], [2, -1, 1], [0, 1, 0]])), scale_atoms=True
    )
    return Structure.from_ase(atoms, "KNa")


@cache
def toy_reference():
    """A reference with at least one frame of every kind, labelled by the pair potential."""
    teacher, frames = predictor(), []
    molecules = [cluster("alpha", [6, 8, 1, 7], 0), cluster("beta", [6, 6, 8, 1, 1], 1), cluster("gamma", [8, 1, 6], 2)]
    options = {key: DYNAMICS["stability"][key] for key in ("step_fs", "friction_per_fs")}
    run = run_dynamics(teacher, molecules, temperature_K=300.0, n_steps=120, seed=0, **options)
    for k, molecule in enumerate(molecules):
        settled, pairs = run.frames[3:, run.owner == k], bonds(molecule)
        known = {
            "bonds": pairs.ravel(),
            "mean_bond_lengths_A": bond_lengths(settled, pairs).mean(0),
            "temperature_K": np.array([300.0]),
            "ring": np.arange(len(molecule)),
            "mean_out_of_plane_A": np.array([out_of_plane(settled).mean()]),
        }
        frames.append(Frame(molecule, "dynamics", molecule.name, known=known))
        (jacobian,) = force_jacobians(teacher, [molecule], 1e-3)
        known = {"frequencies_per_cm": frequencies(molecule, -jacobian)}
        frames.append(Frame(molecule, "minimum", molecule.name, known=known))
        for x in range(4):
            bent = moved(molecule, molecule.positions + 0.02 * x * np.sin(3.0 * molecule.positions[:, ::-1]))
            frames += [Frame(bent, kind, molecule.name, x) for kind in ("torsion", "conformer")]
        frames += [Frame(moved(molecule, x), "tautomer", molecule.name) for x in (molecule.positions, bent.positions)]
    for a, b in ((6, 6), (1, 8)):
        for d in np.linspace(0.5, 4.9, 45):
            pair = Structure("pair", np.array([a, b], dtype=np.int64), np.array([[0.0, 0, 0], [0, 0, d]]))
            frames.append(Frame(pair, "dimer", f"{a}-{b}", d))
    frames += [*crystal_frames(crystal()), *displaced_frames(crystal()), *vacancy_frames(crystal())]
    for d in np.linspace(0.6, 4.9, 44):
        frames.append(Frame(contact(molecules[0], 2, molecules[2], 1, d), "contact", "H-H", d))
    labelled_frames = [
        Frame(labelled(frame.structure, teacher), frame.kind, frame.group, frame.coordinate, frame.known)
        for frame in frames
    ]
    return Reference(labelled_frames, TEACHER)


def subject(student, moving=None):
    """What the checks are given, for a predictor in float64 and one for dynamics."""
    return Subject(student, moving or student, toy_reference(), DYNAMICS, seed=0, teacher=TEACHER)
