"""The check that an export computes the network: its distance from double precision, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import ase.neighborlist
import numpy as np
import torch

from assay.models import Potential
from assay.models.graph import EdgeGraph
from assay.predictors.interface import BatchPredictor
from assay.structures.structure import Structure, collate
from assay.verification.cases import Cases
from assay.workflow.config_models.physics_yaml import Tolerance

# Whatever the tolerance says, forces and virials may be off by so many times the error that single precision makes in
# the network itself. Virials may be off by what the forces may over so many angstrom for each atom, too.
ROUNDINGS = 2.0
VIRIAL_A = 5.0


@dataclass(frozen=True)
class Reference:
    """Results of the network on one batch.

    Attributes:
        energy_eV: float64 (S,).
        forces_eV_per_A: float64 (N, 3).
        n_edges: number of directed edges.
        rounding_eV_per_A: the largest error of a force that single precision makes in the network.
        virial_eV: float64 (S, 3, 3).
        virial_rounding_eV: the largest error of a virial that single precision makes in the network.
    """

    energy_eV: np.ndarray
    forces_eV_per_A: np.ndarray
    n_edges: int
    rounding_eV_per_A: float = 0.0
    virial_eV: np.ndarray | None = None
    virial_rounding_eV: float = 0.0


def references(model: Potential, cases: Cases) -> dict[str, Reference]:
    """Evaluate ``model``, which is in double precision, on each case, and measure the rounding of single precision."""
    single = type(model)(**model.hyperparameters)
    single.load_state_dict(model.state_dict())
    found = {}
    for name, batch in cases.items():
        graph = ase_graph(batch, model.cutoff, torch.float64)
        exact, rounded = _evaluated(model, batch, graph), _evaluated(single, batch, graph)
        error, virial_error = (
            float(np.abs(getattr(rounded, of) - getattr(exact, of)).max(initial=0.0))
            for of in ("forces_eV_per_A", "virial_eV")
        )
        found[name] = replace(exact, rounding_eV_per_A=error, virial_rounding_eV=virial_error)
    return found


def reference(model: Potential, structures: Sequence[Structure]) -> Reference:
    """Evaluate ``model``, which is in double precision, on one batch, with neighbors from ASE."""
    return _evaluated(model, structures, ase_graph(structures, model.cutoff, torch.float64))


def _evaluated(model: Potential, structures: Sequence[Structure], graph: EdgeGraph) -> Reference:
    dtype = next(model.parameters()).dtype
    numbers, positions, batch = collate(structures, dtype=dtype)
    graph = replace(graph, shift=graph.shift.to(dtype))
    result = model.energy_and_forces(numbers, positions, batch, len(structures), graph, virial=True)
    assert result.virial is not None
    forces, virial = result.forces.double().numpy(), result.virial.double().numpy()
    return Reference(result.energy.numpy(), forces, graph.edge_shape[0], virial_eV=virial)


def ase_graph(structures: Sequence[Structure], cutoff: float, dtype: torch.dtype) -> EdgeGraph:
    """Find neighbors with ASE, which no other part of the pipeline does; ``cutoff`` is in angstrom."""
    edges, shifts, first = [np.zeros((2, 0), np.int64)], [np.zeros((0, 3))], 0
    for structure in structures:
        atoms = structure.to_ase()
        atom, neighbor, image = ase.neighborlist.neighbor_list("ijS", atoms, cutoff)
        edges.append(np.stack([neighbor, atom]) + first)
        shifts.append(image @ atoms.cell.array)
        first += len(structure)
    index = torch.from_numpy(np.concatenate(edges, axis=1))
    return EdgeGraph(index, torch.from_numpy(np.concatenate(shifts)).to(dtype), first)


def parity_rows(
    predictor: BatchPredictor, cases: Cases, references: dict[str, Reference], tolerance: Tolerance
) -> list[dict]:
    """Return a row for each case, with its sizes, largest errors and verdict.

    A case that fails to run is a row with its error.
    """
    return [_row(predictor, name, batch, references[name], tolerance) for name, batch in cases.items()]


def _row(
    predictor: BatchPredictor, name: str, batch: list[Structure], expected: Reference, tolerance: Tolerance
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "case": name,
        "n_structures": len(batch),
        "n_atoms": sum(map(len, batch)),
        "n_edges": expected.n_edges,
    }
    try:
        energy, forces, virial = predictor.evaluate_with_virial(batch)
    except Exception as error:  # whatever the runtime raises is a result
        return row | {"passed": False, "error": f"{type(error).__name__}: {error}"}
    return row | errors_of(energy, forces, [len(structure) for structure in batch], expected, tolerance, virial)


def allowed(tolerance: Tolerance) -> dict[str, float]:
    """What a record says of how far energies, forces and virials may be off."""
    return tolerance.model_dump() | {"roundings": ROUNDINGS, "virial_A": VIRIAL_A}


def errors_of(
    energy: np.ndarray,
    forces: np.ndarray,
    sizes: Sequence[int],
    expected: Reference,
    tolerance: Tolerance,
    virial: np.ndarray | None = None,
) -> dict[str, Any]:
    """How far energies, forces and virials are from those of the network in double precision, and whether that passes.

    Args:
        energy: (S,), eV.
        forces: (N, 3), eV/angstrom.
        sizes: the numbers of atoms of the S structures.
        expected: what the network says.
        tolerance: how far they may be off.
        virial: (S, 3, 3), eV; None of a file without.
    """
    if energy.shape != expected.energy_eV.shape or forces.shape != expected.forces_eV_per_A.shape:
        return {"passed": False, "error": f"shapes {energy.shape} and {forces.shape}"}
    energy_error = np.abs(energy - expected.energy_eV)
    force_error = np.abs(forces - expected.forces_eV_per_A).max(initial=0.0)
    largest_force = np.abs(expected.forces_eV_per_A).max(initial=0.0)
    energy_allowed = (
        tolerance.energy_eV
        + tolerance.energy_eV_per_atom * np.array(sizes)
        + tolerance.energy_relative * np.abs(expected.energy_eV)
    )
    forces_allowed = max(
        tolerance.forces_eV_per_A + tolerance.forces_relative * largest_force,
        ROUNDINGS * expected.rounding_eV_per_A,
    )
    finite = bool(np.isfinite(energy_error).all() and np.isfinite(force_error))
    of_virial: dict[str, Any] = {}
    is_right = True
    if virial is not None and expected.virial_eV is not None:
        errors_eV = np.abs(virial - expected.virial_eV).max((1, 2), initial=0.0)
        apart_eV = forces_allowed * VIRIAL_A * np.array(sizes)
        is_right = bool((errors_eV <= np.maximum(apart_eV, ROUNDINGS * expected.virial_rounding_eV)).all())
        of_virial = {"virial_error_eV": float(errors_eV.max()) if np.isfinite(errors_eV).all() else None}
    return {
        "energy_error_eV": float(energy_error.max()) if finite else None,
        "forces_error_eV_per_A": float(force_error) if finite else None,
        "largest_force_eV_per_A": float(largest_force),
        "forces_rounding_eV_per_A": expected.rounding_eV_per_A,
        **of_virial,
        "passed": bool(
            finite and is_right and (energy_error <= energy_allowed).all() and force_error <= forces_allowed
        ),
    }
