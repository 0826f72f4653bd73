"""Runs programs in their own processes and environments, and judges what they answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from assay.engine.painn import why_unsupported
from assay.engines import cases
from assay.engines.drift import drift_passes
from assay.engines.measuring import structure_to_json
from assay.engines.programs import Program
from assay.engines.table import FAILS, PASSES, TOO_SHORT
from assay.models import Potential
from assay.predictors.ase_calculator import PredictorCalculator
from assay.predictors.networks import EagerPredictor, EnginePredictor
from assay.predictors.virtual_environments import interpreter
from assay.structures.structure import Structure
from assay.verification.parity import Reference, errors_of, references
from assay.workflow.config_models.commands_yaml import EngineTask
from assay.workflow.config_models.physics_yaml import Tolerance
from assay.workflow.errors import AssayError
from assay.workflow.files import read_json, write_json

LIBRARY = Path(__file__).parents[2]
ENVIRONMENTS = LIBRARY.parent / "envs/engines"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
MOLECULE, BOX = "open molecule", "periodic box"


@dataclass(frozen=True)
class Expected:
    """What the network in double precision says of the cases."""

    structures: Mapping[str, Structure]
    references: Mapping[str, Reference]
    virials_eV: Mapping[str, np.ndarray]


def expect(model: Potential, structures: Sequence[Structure]) -> Expected:
    """Choose the open molecule and the periodic box, and evaluate them by ``model``, which is in double precision."""
    predictor = (EnginePredictor if why_unsupported(model) is None else EagerPredictor)(model)
    box = cases.periodic_box(structures, model.cutoff, PredictorCalculator(predictor))
    chosen = {MOLECULE: cases.open_molecule(structures), BOX: box}
    found = references(model, {name: [structure] for name, structure in chosen.items()})
    virials = {name: predictor.evaluate_with_virial([structure])[2] for name, structure in chosen.items()}
    return Expected(chosen, found, {name: virial[0] for name, virial in virials.items() if virial is not None})


def run_program(
    program: Program,
    files: Mapping[str, Path],
    timed: Sequence[Structure],
    expected: Expected,
    settings: EngineTask,
    tolerance: Tolerance,
) -> dict[str, Any]:
    """Run one program on all cases, on one thread, and judge it.

    Args:
        program: the program.
        files: the files of the student that it runs, by name.
        timed: the structures that are timed, the smallest first.
        expected: the cases with their references.
        settings: what is asked.
        tolerance: how far energies and forces may be from double precision.

    Returns:
        ``title``, ``cases`` by name with errors and each its ``verdict``, and ``speed`` by size; or ``title`` and
        ``error``.
    """
    job = {
        "module": program.module,
        "files": {name: path.absolute() for name, path in files.items()},
        "step_fs": settings.step_fs,
        "cases": {name: _case(structure, settings) for name, structure in expected.structures.items()},
        "sizes": [_case(structure, settings) for structure in timed],
        "drift_steps": round(1e3 * settings.drift_ps / settings.step_fs),
        "drift_s": settings.drift_s,
        "size_s": settings.size_s,
        "longest_s": settings.longest_s,
    }
    try:
        found = measured(program, job)
    except AssayError as error:
        return {"title": program.title, "error": str(error)}
    for name, case in found["cases"].items():
        if "energy_eV" in case:
            _judge(case, name, expected, settings, tolerance)
        case["verdict"] = _verdict(case)
    for row in found["speed"]:
        if "ms_per_step" in row:
            row["ns_per_day"] = 86400.0 / row["ms_per_step"] * settings.step_fs * 1e-3
    return {"title": program.title} | found


def measured(program: Program, job: Mapping[str, Any]) -> dict[str, Any]:
    """What ``assay.engines.measuring`` finds in the environment of a program.

    Raises:
        AssayError: the environment cannot be made, or the program found nothing.
    """
    python = interpreter(None if program.environment is None else ENVIRONMENTS / program.environment)
    with TemporaryDirectory() as folder:
        written, result = Path(folder, "job.json"), Path(folder, "result.json")
        write_json(written, job)
        command = [str(python), "-m", "assay.engines.measuring", str(written), str(result)]
        if program.ranks > 1:
            command = [str(python.parent / "mpiexec"), "-n", str(program.ranks), *command]
        paths = os.pathsep.join([str(LIBRARY), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | ONE_THREAD | {"PYTHONPATH": paths}
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, env=environment, cwd=folder)
        if not result.is_file():
            raise AssayError(
                f"{program.title} found nothing and ended with status {done.returncode}: look at what it printed"
            )
        found: dict[str, Any] = read_json(result)
    if done.returncode != 0:
        why = f"ended with status {done.returncode}"
        print(f"{program.title} {why}", file=sys.stderr)
        found["ended"] = why
        _tell_unmeasured(found, job, why)
    return found


def _tell_unmeasured(found: dict[str, Any], job: Mapping[str, Any], why: str) -> None:
    """Add to what a program found an ``error`` for each case and each size that it did not come to the end of."""
    cases = [found["cases"].setdefault(name, {}) for name in job["cases"]]
    sizes = [len(size["structure"]["atomic_numbers"]) for size in job["sizes"]]
    found["speed"] += [{"n_atoms": n_atoms} for n_atoms in sizes[len(found["speed"]) :]]
    for part in cases + found["speed"]:
        if not part.keys() & {"duration_ps", "ms_per_step", "left_out", "error"}:
            part["error"] = f"the program {why} before it was measured"


def _case(structure: Structure, settings: EngineTask) -> dict[str, Any]:
    velocities = cases.velocities_A_per_fs(structure, settings.temperature_K)
    return {"structure": structure_to_json(structure), "velocities_A_per_fs": velocities}


def _judge(case: dict[str, Any], name: str, expected: Expected, settings: EngineTask, tolerance: Tolerance) -> None:
    """Replace the answers of a program by their errors, and say which of them pass."""
    energy, forces = np.array([case.pop("energy_eV")]), np.array(case.pop("forces_eV_per_A"))
    virial, exact = case.pop("virial_eV"), expected.virials_eV[name]
    case |= errors_of(energy, forces, [len(expected.structures[name])], expected.references[name], tolerance)
    largest = float(np.abs(exact).max())
    if virial is not None:
        case["virial_error_relative"] = float(np.abs(np.array(virial) - exact).max()) / largest
    if "strain_slope_eV" in case:
        told = exact if virial is None else np.array(virial)
        difference = abs(case["strain_slope_eV"] + float((told * cases.strain_direction()).sum()))
        case["strain_error_relative"] = difference / largest
        case["strain_passed"] = case["strain_error_relative"] <= settings.strain_relative
    if "drift_meV_per_atom_per_ps" in case:
        case["drift_passed"] = drift_passes(case, settings.max_drift_meV_per_atom_per_ps)


def _verdict(case: Mapping[str, Any]) -> str:
    """Whether a program did all that was asked of it with a structure, and each within its limit.

    Returns:
        ``PASSES``; ``FAILS``; or ``TOO_SHORT`` where all else passes, and the motion was too short to tell the drift of
        the total energy from its fluctuations.
    """
    told = [case.get("passed", True), case.get("strain_passed", True), case.get("drift_passed", False)]
    if "error" in case or False in told:
        return FAILS
    return TOO_SHORT if None in told else PASSES
