"""The check that molecules move by the exported file as they do by the network in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import units
from ase.calculators.calculator import Calculator
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from assay.models import Potential
from assay.predictors.ase_calculator import PredictorCalculator
from assay.predictors.networks import EagerPredictor
from assay.runtime.calculator import StudentCalculator
from assay.structures.structure import Structure, nearest_in_size
from assay.workflow.config_models.physics_yaml import ParityDynamics
from assay.workflow.errors import AssayError


def check_dynamics(
    model: Potential, path: Path, structures: Sequence[Structure], settings: ParityDynamics
) -> dict[str, Any]:
    """Run each molecule twice from one start: by ``model``, in float64, and by the ``model.edges.onnx`` at ``path``.

    Raises:
        AssayError: no structure to start from.
    """
    if not structures:
        raise AssayError("no structure of the dataset holds only elements that the model knows: give a split of them")
    molecules = [_run_both(model, path, nearest_in_size(structures, n)[0], settings) for n in settings.n_atoms]
    return {
        "file": path.name,
        "step_fs": settings.step_fs,
        "temperature_K": settings.temperature_K,
        "tolerance_eV_per_atom": settings.energy_eV_per_atom,
        "molecules": molecules,
        "passed": all(molecule["passed"] for molecule in molecules),
    }


def _run_both(model: Potential, path: Path, structure: Structure, settings: ParityDynamics) -> dict[str, Any]:
    calculator = StudentCalculator(path, threads=torch.get_num_threads())
    exact = total_energies(structure, PredictorCalculator(EagerPredictor(model)), settings)
    exported = total_energies(structure, calculator, settings)
    difference = np.abs((exported - exported[0]) - (exact - exact[0])).max() / len(structure)
    duration_ps = settings.steps * settings.step_fs / 1000.0

    def drift(energies: np.ndarray) -> float:
        return 1000.0 * float(energies[-1] - energies[0]) / len(structure) / duration_ps

    return {
        "name": structure.name,
        "n_atoms": len(structure),
        "steps": settings.steps,
        "neighbor_lists_made": calculator.neighbors.n_builds,
        "drift_meV_per_atom_per_ps": drift(exported),
        "drift_exact_meV_per_atom_per_ps": drift(exact),
        "energy_difference_eV_per_atom": float(difference),
        "passed": bool(difference <= settings.energy_eV_per_atom),
    }


def total_energies(structure: Structure, calculator: Calculator, settings: ParityDynamics) -> np.ndarray:
    """Return potential plus kinetic energy, eV, at the start and after each step of velocity Verlet.

    The first velocities are drawn with a fixed seed.
    """
    atoms = structure.to_ase()
    atoms.calc = calculator
    thermalize_momenta(atoms, temperature_K=settings.temperature_K, rng=np.random.default_rng(0))
    Stationary(atoms)
    energies: list[float] = []
    with VelocityVerlet(atoms, settings.step_fs * units.fs) as dynamics:
        dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
        dynamics.run(settings.steps)
    return np.array(energies)
