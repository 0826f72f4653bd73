"""Databases of OMol25, whose packages are installed into an environment of their own."""

import os
import subprocess

import pytest

from assay.data import read_dataset
from assay.workflow.errors import AssayError
from shared.environments import own_interpreter
from shared.opt_in import installs
from shared.workflow_copy import ROOT

READ = """
import sys
import ase.build, ase.db
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from assay.data import read_dataset

path = sys.argv[1]
frames = [ase.build.molecule(name) for name in ("H2O", "CH4", "C2H6")]
draw = np.random.default_rng(0)
with ase.db.connect(path, type="aselmdb") as database:
    for atoms in frames:
        forces = draw.normal(size=atoms.positions.shape)
        atoms.calc = SinglePointCalculator(atoms, energy=draw.normal(), forces=forces)
        database.write(atoms, data={"charge": -1, "spin": 2})
read = read_dataset(path)
np.testing.assert_allclose(read.energy, [atoms.get_potential_energy() for atoms in frames])
np.testing.assert_allclose(read.forces, np.concatenate([atoms.get_forces() for atoms in frames]))
np.testing.assert_allclose(read.positions, np.concatenate([atoms.positions for atoms in frames]))
assert set(read.charge) == {-1} and set(read.spin) == {2}
assert len(read_dataset(path, at_most=2)) == 2
print("read", len(read))
"""


@pytest.mark.slow
@installs("aselmdb")
def test_a_database_of_omol25_is_read(tmp_path):
    python = own_interpreter(tmp_path / "environment", ROOT / "envs/formats/aselmdb.txt")
    done = subprocess.run(
        [python, "-c", READ, tmp_path / "omol.aselmdb"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout.endswith("read 3\n"), done.stdout + done.stderr


def test_without_its_packages_the_sentence_says_how_to_install_them(tmp_path, monkeypatch):
    (tmp_path / "omol.aselmdb").touch()

    def absent(*args, **options):
        raise ModuleNotFoundError("No module named 'ase_db_backends'")

    monkeypatch.setattr("ase.db.connect", absent)
    with pytest.raises(AssayError, match=r"install --no-deps -r envs/formats/aselmdb\.txt"):
        read_dataset(tmp_path / "omol.aselmdb")
