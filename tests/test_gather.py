"""scripts/gather.py: the structures of many files in one, with their labels as they are read of each."""

import subprocess
import sys
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from assay.data import read_dataset

SCRIPT = Path(__file__).parents[1] / "scripts/gather.py"


@pytest.fixture
def runs(tmp_path):
    """Two runs of two structures each, the second with a stress and a charge, and one that was broken off."""
    draw = np.random.default_rng(7)
    for run, is_crystal in (("a", False), ("b", True)):
        frames = []
        for _ in range(2):
            atoms = ase.build.bulk("NaCl", "rocksalt", a=5.6) if is_crystal else ase.build.molecule("H2O")
            atoms.rattle(0.05, rng=draw)
            results = {"energy": draw.normal(), "forces": draw.normal(size=(len(atoms), 3))}
            if is_crystal:
                results["stress"] = draw.normal(size=6)
                atoms.info["charge"] = 1
            atoms.calc = SinglePointCalculator(atoms, **results)
            frames.append(atoms)
        (tmp_path / run).mkdir()
        ase.io.write(tmp_path / run / "run.xyz", frames, format="extxyz")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/run.xyz").write_text("2\nbroken\nH 0 0\n")
    return tmp_path


def gather(folder, *arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_labels_are_those_of_each_file_and_names_tell_where_they_are_from(runs):
    done = gather(runs, "[ab]/run.xyz", "a/run.xyz", "--output", "all.h5")
    assert done.returncode == 0, done.stderr
    assert "all.h5 holds 4 structures of 2 files" in done.stdout
    together = list(read_dataset(runs / "all.h5"))
    alone = [structure for run in "ab" for structure in read_dataset(runs / run / "run.xyz")]
    for found, structure in zip(together, alone, strict=True):
        assert found.energy_eV == structure.energy_eV and found.charge == structure.charge
        np.testing.assert_allclose(found.forces_eV_per_A, structure.forces_eV_per_A, atol=1e-6)
        np.testing.assert_allclose(found.positions, structure.positions, atol=1e-6)
        assert (found.stress_eV_per_A3 is None) == (structure.stress_eV_per_A3 is None)
    np.testing.assert_allclose(together[3].stress_eV_per_A3, alone[3].stress_eV_per_A3)
    assert [s.name for s in together] == [f"{run}/run.xyz, structure {k}" for run in "ab" for k in range(2)]


def test_a_file_that_cannot_be_read_is_left_out_on_demand_alone(runs):
    done = gather(runs, "*/run.xyz", "--output", "all.h5")
    assert done.returncode == 1 and "Error: " in done.stderr and "c/run.xyz" in done.stderr
    assert not (runs / "all.h5").exists()
    done = gather(runs, "*/run.xyz", "--output", "all.h5", "--leave-out")
    assert done.returncode == 0, done.stderr
    assert "c/run.xyz is left out: " in done.stdout and "4 structures of 2 files, and 1 are left out" in done.stdout
    earlier = (runs / "all.h5").read_bytes()
    done = gather(runs, "c/run.xyz", "--output", "all.h5", "--leave-out")
    assert done.returncode == 1 and "none of the 1 files has structures" in done.stderr
    assert (runs / "all.h5").read_bytes() == earlier


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["d/run.xyz", "--output", "all.h5"], "there is no file d/run.xyz"),
        (["d/*.xyz", "--output", "all.h5"], "there is no file d/*.xyz"),
        (["a/run.xyz", "--output", "all.xyz"], "--output all.xyz is to be HDF5"),
        (["a/run.xyz", "--output", "a/run.xyz"], "would replace what is read"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(runs, arguments, words):
    done = gather(runs, *arguments)
    assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) == 1


def test_labels_and_units_that_files_do_not_tell_are_those_of_the_options(runs):
    for run in "ab":
        path = runs / run / "run.xyz"
        path.write_text(path.read_text().replace(" energy=", " e_dft=").replace(":forces:", ":gradient:"))
    words = ("--units", "energy=hartree", "length=bohr", "--energy-key", "e_dft", "--forces-key", "gradient")
    done = gather(runs, "a/run.xyz", "b/run.xyz", "--output", "all.h5", *words)
    assert done.returncode == 0, done.stderr
    keys = {"units": {"energy": "hartree", "length": "bohr"}, "energy_key": "e_dft", "forces_key": "gradient"}
    alone = [structure for run in "ab" for structure in read_dataset({"path": runs / run / "run.xyz"} | keys)]
    for found, structure in zip(read_dataset(runs / "all.h5"), alone, strict=True):
        assert found.energy_eV == structure.energy_eV
        np.testing.assert_allclose(found.forces_eV_per_A, structure.forces_eV_per_A, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found.positions, structure.positions, atol=1e-6)


@pytest.mark.parametrize("word", ["energy", "e=hartree", "energy="])
def test_a_unit_of_nothing_is_refused(runs, word):
    done = gather(runs, "a/run.xyz", "--output", "all.h5", "--units", word)
    assert done.returncode == 2 and f"{word} is no unit of length, energy" in done.stderr
