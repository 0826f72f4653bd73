"""The errors of a student on the validation molecules, during training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from assay.data.dataset import Dataset
from assay.engine.painn import accelerated
from assay.models import Potential
from assay.neighbors.inputs import graph_inputs
from assay.structures.batching import pack_structures
from assay.structures.structure import NO_FORCES_eV_per_A
from assay.workflow.errors import AssayError


def check_held_out(dataset: Dataset, path: str | Path) -> None:
    """Refuse structures that cannot tell how well a student learns.

    Raises:
        AssayError: their forces are zero, as those of single atoms and of perfect crystals.
    """
    if not np.sqrt((dataset.forces**2).mean()) > NO_FORCES_eV_per_A:
        raise AssayError(
            f"the structures of {path} that a training is held against have no forces (of {NO_FORCES_eV_per_A:g} "
            "eV/angstrom or more): hold out others"
        )


def validation_errors(model: Potential, dataset: Dataset) -> dict[str, float]:
    """Compute force accuracy 1 - RMSE/RMS, force MAE (eV/angstrom) and energy MAE (eV/atom) on a labelled dataset.

    Where it has stresses, their MAE (eV/angstrom^3) too.
    """
    structures = list(dataset)
    energy_and_forces = accelerated(model)
    virials = dataset.stress is not None and bool(np.isfinite(dataset.stress).any())
    force_errors, energy_errors, stress_errors = [], [], []
    for chunk in pack_structures(structures, model.cutoff):
        part = dataset.subset(chunk)
        atoms, graph = graph_inputs(list(part), model.cutoff)
        energy, forces, virial = energy_and_forces(*atoms, len(part), graph, virial=virials)
        force_errors.append(forces.double().numpy() - part.forces)
        energy_errors.append((energy.numpy() - part.energy) / part.sizes)
        if virial is not None and part.stress is not None:
            known = np.isfinite(part.stress).all(axis=(1, 2))
            volume = np.abs(np.linalg.det(part.cells[known]))[:, None, None]
            stress_errors.append((-virial.double().numpy()[known] / volume - part.stress[known]).ravel())
    force_error = np.concatenate(force_errors)
    rms = np.sqrt((dataset.forces**2).mean())
    stresses = {"stress_mae_eV_per_A3": float(np.abs(np.concatenate(stress_errors)).mean())} if stress_errors else {}
    return {
        "force_accuracy": float(1 - np.sqrt((force_error**2).mean()) / rms),
        "force_mae_eV_per_A": float(np.abs(force_error).mean()),
        "energy_mae_eV_per_atom": float(np.abs(np.concatenate(energy_errors)).mean()),
    } | stresses
