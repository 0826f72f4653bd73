"""OpenMM, i-PI and TorchSim of PyPI run a student: they are installed once, and only where that is asked for.

``tests/environments/`` holds what is tried inside of each environment.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from assay.engine.model_file import to_bytes
from assay.engines.cases import strain_direction, velocities_A_per_fs
from assay.engines.measuring import structure_to_json
from assay.engines.programs import PROGRAMS
from assay.engines.run import measured
from assay.predictors.virtual_environments import interpreter
from assay.structures.structure import Structure
from shared.engine_inputs import network
from shared.engine_programs import crystal, ethanol, exact

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / "envs/engines"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("ASSAY_TEST_ENVIRONMENTS" not in os.environ, reason="installs programs of molecular dynamics"),
]
MINE = [name for name, program in PROGRAMS.items() if program.environment in ("openmm.txt", "ipi.txt", "torchsim.txt")]


@pytest.mark.parametrize("program", ["openmm", "ipi", "torchsim"])
def test_what_is_tried_inside_of_its_environment(program):
    python = interpreter(ENVIRONMENTS / f"{program}.txt")
    checks = ROOT / f"tests/environments/check_{program}.py"
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", checks]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize("name", MINE)
def test_a_program_answers_as_the_model_does_and_keeps_the_energy(name, tmp_path):
    model = tmp_path / "model.assay"
    model.write_bytes(to_bytes(network("shipped"), {"scope": None}, [1, 6, 8]))
    systems = {"molecule": ethanol(), "box": crystal((2, 2, 2))}
    structures = {case: Structure.from_ase(atoms) for case, atoms in systems.items()}
    job = {
        "module": PROGRAMS[name].module,
        "files": {"model.assay": str(model)},
        "step_fs": 0.25,
        "cases": {
            case: {
                "structure": structure_to_json(structure),
                "velocities_A_per_fs": velocities_A_per_fs(structure, 100.0),
            }
            for case, structure in structures.items()
        },
        "drift_steps": {"molecule": 400, "box": 40},
        "sizes": [],
        "longest_s": None,
    }
    found = measured(PROGRAMS[name], job, ENVIRONMENTS)["cases"]
    for case, atoms in systems.items():
        expected, own = exact(atoms), found[case]
        assert "error" not in own, own
        assert own["energy_eV"] == pytest.approx(expected.energy[0], abs=2e-5 * len(atoms))
        np.testing.assert_allclose(own["forces_eV_per_A"], expected.forces, atol=2e-4)
        assert own["scatter_meV_per_atom"] < 0.2
        if own["virial_eV"] is not None and case == "box":
            largest = np.abs(expected.virial).max()
            np.testing.assert_allclose(own["virial_eV"], expected.virial[0], atol=1e-4 * largest)
    along = float((exact(systems["box"]).virial[0] * strain_direction()).sum())
    assert found["box"]["strain_slope_eV"] == pytest.approx(-along, abs=0.02 * np.abs(along) + 0.05)
