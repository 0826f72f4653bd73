"""Inside an environment with i-PI: beads are the model, in i-PI's units, and every mistake is refused in a sentence."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ipi.utils.io.inputs.io_xml import read_dict
from ipi.utils.units import unit_to_internal

from assay.runtime.ipi import StudentDriver
from shared.engine_programs import blocks, crystal, ethanol, exact, open_model, unpack_wheel

BOHR = unit_to_internal("length", "angstrom", 1.0)
EV = unit_to_internal("energy", "electronvolt", 1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(tmp_path_factory.mktemp("model"))


def driver_of(atoms, model, folder, **options):
    ase.io.write(folder / "atoms.extxyz", atoms)
    return StudentDriver(str(folder / "atoms.extxyz"), model, **options)


def handed(atoms):
    """Lattice vectors in columns and positions, in bohr, as i-PI hands them over."""
    cell = np.array(atoms.cell) if atoms.pbc.all() else 100.0 * np.eye(3)
    return cell.T * BOHR, atoms.positions * BOHR


@pytest.mark.parametrize("make", [ethanol, crystal])
def test_beads_are_the_model_in_atomic_units(make, model, tmp_path):
    beads = [make() for _ in range(5)]
    for seed, bead in enumerate(beads):
        bead.rattle(0.03, seed=seed)
    driver = driver_of(beads[0], model, tmp_path)
    cells, positions = zip(*map(handed, beads), strict=True)
    found = driver(list(cells), list(positions))
    for bead, (energy, forces, virial, _) in zip(beads, found, strict=True):
        expected = exact(bead)
        assert energy == pytest.approx(expected.energy[0] * EV, abs=1e-9)
        np.testing.assert_allclose(forces, expected.forces * EV / BOHR, atol=1e-9)
        np.testing.assert_allclose(virial, expected.virial[0].T * EV, atol=1e-9)
    alone = driver(cells[3], positions[3])
    assert alone[0] == pytest.approx(found[3][0], abs=1e-10)


def test_only_a_template_that_does_not_say_that_it_repeats_is_told_so(model, tmp_path):
    whole = crystal()
    bare = ase.Atoms(whole.symbols, whole.positions)
    for atoms, options, repeats in (
        (bare, {}, False),
        (bare, {"periodic": False}, False),
        (bare, {"periodic": True}, True),
        (whole, {"periodic": True}, True),
    ):
        energy, *_ = driver_of(atoms, model, tmp_path, **options)(*handed(whole))
        assert energy == pytest.approx(exact(whole if repeats else bare).energy[0] * EV, abs=1e-9)


def test_extras_say_what_lies_outside_of_the_scope(model, tmp_path):
    said = {}
    for make in (ethanol, crystal):
        atoms = make()
        driver = driver_of(atoms, model, tmp_path)
        said[make] = json.loads(driver(*handed(atoms))[3])["outside"]
    assert said[ethanol] == ""
    assert "repeats along 3 axes" in said[crystal] and "has 162 atoms" in said[crystal]


@pytest.mark.parametrize(
    ("scale", "question"), [(1.0 / BOHR, "in nm, or in units of the cell"), (BOHR, "in bohr"), (10.0, "in angstrom")]
)
def test_positions_in_another_unit_are_warned_of_once(scale, question, model, tmp_path):
    cell, positions = handed(ethanol())
    driver = driver_of(ethanol(), model, tmp_path)
    with pytest.warns(UserWarning, match=rf"are the positions {question}.* write `positions{{angstrom}}`"):
        driver(cell, scale * positions)
    with warnings.catch_warnings(record=True) as again:
        warnings.simplefilter("always")
        driver(cell, scale * positions)
        driver_of(ethanol(), model, tmp_path)(cell, positions)
    assert not again


def test_what_cannot_be_is_refused_in_a_sentence(model, tmp_path):
    with pytest.raises(ValueError, match="not trained on atomic numbers \\[26\\]"):
        driver_of(ase.Atoms("Fe"), model, tmp_path)
    with pytest.raises(ValueError, match="give the paths of a model file and of libassay"):
        driver_of(ethanol(), None, tmp_path)
    with pytest.raises(ValueError, match=r"atoms\.extxyz repeats, and `periodic` is false: leave it out"):
        driver_of(crystal(), model, tmp_path, periodic=False)
    for written, words in (
        ("{periodic: no}", "`periodic` is 'no': write true or false, or leave it out"),
        ("{periodic: 0}", "`periodic` is 0: write true or false"),
        ("{threads: two}", "`threads` is 'two': write a whole number of at least 1"),
        ("{threads: 0}", "`threads` is 0: write a whole number"),
        ("{precision: double}", "`precision` is 'double': write 32 or 64"),
        ("{precision: 64.0}", "`precision` is 64.0: write 32 or 64"),
    ):
        with pytest.raises(ValueError, match=words):
            driver_of(ethanol(), model, tmp_path, **read_dict(written))
    driver = driver_of(ethanol(), model, tmp_path, **read_dict("{periodic: False, threads: 2, precision: 64}"))
    cell, positions = handed(ethanol())
    with pytest.raises(ValueError, match="has 4 atoms, and the template has 9"):
        driver(cell, positions[:4])
    positions[2, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        driver(cell, positions)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("modle", "did you mean `model`"),
        ("model_path", "did you mean `model`"),
        ("Periodic", "did you mean `periodic`"),
        ("nonsense", "it takes template, model, library, periodic, precision, threads, verbose, verbosity"),
    ],
)
def test_an_argument_that_nobody_takes_is_refused_rather_than_passed_over(name, hint, model, tmp_path):
    with pytest.raises(TypeError, match=f"StudentDriver takes no argument `{name}`: {hint}"):
        driver_of(ethanol(), model, tmp_path, **{name: "other/model.assay"})
    driver_of(ethanol(), model, tmp_path, verbosity="high", verbose=True)  # as i-PI does


def test_the_page_runs_as_it_stands(tmp_path):
    [xml], [driver], [atoms] = (blocks("ipi.md", kind) for kind in ("xml", "python", "text"))
    (tmp_path / "input.xml").write_text(xml)
    (tmp_path / "student_driver.py").write_text(driver)
    (tmp_path / "water.xyz").write_text(atoms)
    unpack_wheel(tmp_path)
    command = [sys.executable, Path(sys.executable).parent / "i-pi", "input.xml"]
    options = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path)}, "timeout": 200}
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = np.loadtxt(tmp_path / "water.out")
    assert len(rows) == 11
    assert np.ptp(rows[:, 1]) < 0.2 * np.ptp(rows[:, 2])  # what the thermostat conserves, beside the potential energy
    [outside] = tmp_path.glob("water.outside_0")
    assert outside.read_text().count("EXTRAS(outside)") == 3
