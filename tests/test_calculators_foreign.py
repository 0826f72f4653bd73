"""Two programs whose packages contradict each other, judged in one run, each in an environment of its own.

It installs packages, so it runs only where ASSAY_TEST_ENVIRONMENTS asks for calculators.
"""

import os
import subprocess
from pathlib import Path

import ase.build
import numpy as np
import pytest

from assay.predictors.calculators import CalculatorModel, CalculatorPredictor
from assay.predictors.virtual_environments import interpreter
from assay.structures.structure import Structure
from shared.environments import own_interpreter
from shared.opt_in import installs

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    installs("calculators"),
]
# A network with weights that nobody trained, as each program saves it.
MAKE = {
    "mace": """
import sys, torch, mace
from assay.peers.mace import build
from assay.peers.network import Size
torch.manual_seed(0)
torch.save(build(Size(20000, 2, 8, 5.0, (1, 6, 8)), 8).double(), sys.argv[1])
""",
    "schnetpack": """
import sys, torch
from assay.peers.schnetpack import build
from assay.peers.network import Size
torch.manual_seed(0)
torch.save(build(Size(20000, 2, 8, 5.0, (1, 6, 8)), 8), sys.argv[1])
""",
}


def predictor_of(program, environment, folder):
    path = folder / f"{program}.model"
    python = interpreter(environment)
    subprocess.run([python, "-c", MAKE[program], path], check=True, env=os.environ | {"PYTHONPATH": ROOT / "scripts"})
    calculators = {
        "mace": ("mace.calculators.MACECalculator", {"model_paths": str(path), "device": "cpu"}),
        "schnetpack": ("shared.schnetpack_calculator.make", {"path": str(path), "cutoff_A": 5.0}),
    }
    return CalculatorPredictor(CalculatorModel(*calculators[program], str(environment)), program)


def test_mace_and_schnetpack_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=0)
    environments = {
        "mace": ROOT / "envs/models/mace.txt",
        "schnetpack": own_interpreter(tmp_path / "own", ROOT / "envs/peers/schnetpack.txt"),
    }
    predictors = {program: predictor_of(program, environments[program], tmp_path) for program in MAKE}
    installed = {program: set(predictor.told["versions"]) for program, predictor in predictors.items()}
    assert "mace-torch" in installed["mace"] - installed["schnetpack"]
    assert "schnetpack" in installed["schnetpack"] - installed["mace"]
    assert len({predictor.told["versions"]["torch"] for predictor in predictors.values()}) == 1
    step = np.zeros((len(atoms), 3))
    step[2, 1] = 1e-2
    for predictor in predictors.values():
        assert predictor.told["n_parameters"] > 1000
        here, up, down = (
            predictor.predict([Structure("ethanol", atoms.numbers, atoms.positions + shift)])[0]
            for shift in (0.0 * step, step, -step)
        )
        slope = -(up.energy_eV - down.energy_eV) / 2e-2
        assert slope == pytest.approx(here.forces_eV_per_A[2, 1], rel=0.02, abs=1e-4)
    assert predictors["mace"].cutoff_A == 5.0
    assert predictors["mace"].elements == {1, 6, 8}
