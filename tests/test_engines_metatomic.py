"""The real metatomic runs a student: it is installed on the first run, and only where that is asked for."""

import json
import os
import subprocess
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
import torch

from assay.checkpoint import load_model, normalize
from assay.checkpoint.normalized import write
from assay.predictors.networks import EagerPredictor
from assay.predictors.virtual_environments import interpreter
from assay.structures.structure import Structure
from shared.engine_programs import blocks
from shared.opt_in import installs

ROOT = Path(__file__).parents[1]
pytestmark = [installs("metatomic"), pytest.mark.slow]


def structures():
    """An open molecule, and displaced molecules in a periodic triclinic cell narrower than two cutoffs."""
    molecule = ase.build.molecule("CH3CH2OH")
    molecule.rattle(0.05, seed=0)
    crystal = molecule.copy()
    crystal.center(vacuum=1.3)
    crystal.set_cell(np.array(crystal.cell) + np.array([[0, 0, 0], [0.4, 0, 0], [-0.3, 0.5, 0]]))
    crystal.pbc = True
    crystal = crystal.repeat((2, 1, 1))
    crystal.rattle(0.03, seed=1)
    return [molecule, crystal]


def test_metatomic_is_the_network_and_is_consistent(tmp_path):
    python = interpreter(ROOT / "envs/engines/metatomic.txt")
    model, card = tmp_path / "model.safetensors", tmp_path / "model.json"
    write(normalize(ROOT / "data/checkpoints/ultra_tiny.pt"), "ultra_tiny", model, card)
    ase.io.write(tmp_path / "structures.xyz", structures(), format="extxyz")
    given = ase.io.read(tmp_path / "structures.xyz", ":")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT / "scripts", ROOT / "tests"]))}
    command = [python, "-m", "shared.metatomic_answers", model, card, tmp_path / "structures.xyz", tmp_path / "answers"]
    subprocess.run(command, check=True, env=environment, timeout=500)
    *answers, stranger = json.loads((tmp_path / "answers").read_text())
    exact = EagerPredictor(load_model(model, torch.float64))
    for atoms, found in zip(given, answers, strict=True):
        energy, forces, virial = exact.evaluate_with_virial([Structure.from_ase(atoms)])
        assert found["energy"] == pytest.approx(energy[0], abs=1e-4 + 1e-6 * abs(energy[0]))
        assert sum(found["atomic"]) == pytest.approx(energy[0], abs=1e-4 + 1e-6 * abs(energy[0]))
        np.testing.assert_allclose(found["forces"], forces, atol=1e-4)
        if found["stress"] is not None:
            np.testing.assert_allclose(found["stress"], -virial[0] / atoms.get_volume(), atol=1e-6)
    assert "atomic type" in stranger["refused"]
    (tmp_path / "answers.pt").rename(tmp_path / "model.metatomic.pt")
    [page] = blocks("metatomic.md", "python")
    done = subprocess.run([python, "-c", page], cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    energies = np.array(done.stdout.split(), float)
    assert len(energies) == 11 and np.ptp(energies) < 0.02  # of 9 atoms, over 50 fs
