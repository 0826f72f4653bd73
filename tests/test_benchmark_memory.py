"""What is timed in turns takes the memory of one call, and not that of one call for each session."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from assay.export import onnx_graphs
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.models import build_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read as Linux tells it"),
]

GRID = 8  # atoms along each axis of a dense cube

SCRIPT = f"""
import json, sys
import numpy as np
from assay.benchmark.memory import PeakMemory, share_session_memory
from assay.predictors.interface import load_predictor
from assay.structures.structure import Structure

def resident():
    return PeakMemory()._base / 1e6

if sys.argv[2] == "shared":
    share_session_memory()
    share_session_memory()  # once is enough
positions = 2.0 * np.stack(np.meshgrid(*[np.arange({GRID})] * 3), -1).reshape(-1, 3)
cube = Structure("cube", np.full(len(positions), 6), positions)
sessions = [load_predictor(sys.argv[1], threads=1) for _ in range(2)]
told = [resident()]
for session in sessions:
    energies = session.predict([cube])[0].energy_eV
    told.append(resident())
for session in sessions:
    session.give_back_memory()
again = sessions[1].predict([cube])[0].energy_eV
sessions[1].give_back_memory()
print(json.dumps({{"resident_MB": [*told, resident()], "energies": [energies, again]}}))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small network of random weights as an ONNX file."""
    torch.manual_seed(0)
    network = build_model("painn", {"hidden": 32, "n_blocks": 1, "n_rbf": 5, "head": [4]})
    card = {"variant": "test", "checkpoint_sha256": "0" * 64, "elements": None}
    path = tmp_path_factory.mktemp("model") / "model.edges.onnx"
    graph = onnx_graphs.assemble(lower(network), 5.0, export_metadata(network, card), search=False)
    onnx_graphs.save(graph, path)
    return path


def memory_of(path, mode):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), mode],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[1] / "scripts"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["energies"][0] == pytest.approx(said["energies"][1], rel=1e-6)
    return said["resident_MB"]


def test_sessions_share_their_memory_and_give_it_back(exported):
    start, one, two, after = memory_of(exported, "shared")
    assert one - start > 40  # so that there is something to share
    assert two - one < 0.2 * (one - start)
    assert after - start < 0.3 * (one - start)


def test_sessions_of_users_are_their_own(exported):
    """So the test above can fail."""
    start, one, two, after = memory_of(exported, "own")
    assert two - one > 0.7 * (one - start)
    assert after - start < 0.3 * (one - start)
