"""ASE calculators as models: the process that they run in, what they may do there, and what comes back."""

import json
import os
import re
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import ase.build
import ase.io
import numpy as np
import pytest
import torch
import yaml
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from assay.predictors import worker
from assay.predictors.calculators import CalculatorModel, CalculatorPredictor, in_vacuum
from assay.predictors.interface import kind_of, load_predictor
from assay.predictors.virtual_environments import interpreter
from assay.sampling.teacher import Labels, Teacher
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

TESTS = Path(__file__).parent
SCRIPTS = TESTS.parent / "scripts"
TOY = "shared.toy_calculators.Toy"
HEALTHY, SICK = "H2", "H2O"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The toys can be imported by the process of a calculator."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


def molecule(name, **info):
    atoms = ase.build.molecule(name)
    atoms.rattle(0.1, seed=1)
    atoms.info.update(info)
    return Structure.from_ase(atoms, name)


def toy(mode="", **other):
    return CalculatorPredictor(CalculatorModel(TOY, {"mode": mode, **other.pop("arguments", {})}, **other), "toy")


def copper():
    atoms = ase.build.bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=2)
    return atoms


def test_energy_forces_and_stress_are_those_of_ase():
    predictor = CalculatorPredictor(CalculatorModel("ase.calculators.emt.EMT", {}))
    for atoms in (copper(), copper() * (2, 1, 1)):
        [found] = predictor.predict([Structure.from_ase(atoms)])
        atoms.calc = EMT()
        assert found.energy_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-12)
        np.testing.assert_allclose(found.forces_eV_per_A, atoms.get_forces(), atol=1e-12)
        np.testing.assert_allclose(found.stress_eV_per_A3, atoms.get_stress(voigt=False), atol=1e-14)
    atoms.pbc = False
    assert predictor.predict([Structure.from_ase(atoms)])[0].stress_eV_per_A3 is None


def test_a_calculator_in_single_precision_is_asked_near_the_origin_alone():
    predictor = CalculatorPredictor(CalculatorModel("ase.calculators.emt.EMT", {}))
    atoms = copper()
    atoms.positions += 5000.0
    [found] = predictor.predict([Structure.from_ase(atoms, "far")])
    assert np.isfinite(found.energy_eV)
    predictor.dtype = "float32"
    with pytest.raises(AssayError, match="far has an atom more than 4096 angstrom from the origin"):
        predictor.predict([Structure.from_ase(atoms, "far")])


@pytest.mark.parametrize("smeared", [True, False])
def test_the_energy_is_the_one_that_forces_belong_to(smeared):
    """The free energy where electrons are smeared; ``energy`` where the calculator tells no other."""
    teacher, atoms = Teacher("DFT", "shared.toy_calculators.Smeared", {"smeared": smeared}), copper()
    free = 0.5 * float((atoms.positions**2).sum())
    expected = pytest.approx(free if smeared else 1.02 * free + 0.1, abs=1e-12)
    [found] = teacher.process().predict([Structure.from_ase(atoms)])
    assert found.energy_eV == expected
    assert Labels(teacher)(atoms.numbers, atoms.positions)[0] == expected


def test_arguments_reach_the_calculator_and_order_is_kept_over_requests(monkeypatch):
    monkeypatch.setattr("assay.predictors.calculators.STRUCTURES_PER_REQUEST", 2)
    arguments = {"sigma": 2.5, "epsilon": 0.02, "rc": 8.0}
    predictor = CalculatorPredictor(CalculatorModel("ase.calculators.lj.LennardJones", arguments))
    structures = [molecule(name) for name in ("H2", "CH4", "H2O", "C2H6", "N2")]
    structures.insert(2, Structure("nothing", np.zeros(0, dtype=np.int64), np.zeros((0, 3))))
    for structure, found in zip(structures, predictor.predict(structures), strict=True):
        atoms = structure.to_ase()
        atoms.calc = LennardJones(**arguments)
        assert found.energy_eV == pytest.approx(atoms.get_potential_energy() if len(atoms) else 0.0, rel=1e-12)
        assert found.forces_eV_per_A.shape == (len(atoms), 3)


def test_charge_and_spin_are_handed_over_as_ase_does():
    predictor = toy()
    [neutral], [ion] = (predictor.predict([molecule("H2O", **info)]) for info in ({}, {"charge": -1, "spin": 3}))
    assert ion.energy_eV - neutral.energy_eV == pytest.approx(-10.0 - 100.0 + 2e3 + 2e4)
    atoms = ase.build.molecule("OH")
    atoms.set_initial_magnetic_moments([0.4, 0.6])
    atoms.set_initial_charges([0.25, 0.75])
    structure = Structure.from_ase(atoms)
    assert (structure.charge, structure.spin) == (1, 2)
    assert structure.to_ase().info["spin"] == 2


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("die", r"toy died by SIGSEGV at H2O \(3 atoms\): look at what it printed"),
        ("exit", r"toy ended with status 7 at H2O \(3 atoms\): look at what it printed"),
        ("hang", r"toy did not answer within 5 s at H2O \(3 atoms\): give it more with time_limit_s, .*"),
        ("raise", r"toy failed at H2O \(3 atoms\) \(RuntimeError: no convergence in 200 steps, in line \d+ .*\): .*"),
        ("lack", r"toy gives no forces of H2O: choose a calculator that has energies and forces"),
        ("shape", r"toy gives forces of shape \(3, 2\) for H2O, which has 3 atoms, and not \(3, 3\): mend .*"),
        ("words", r"toy failed at H2O \(3 atoms\) \(ValueError: could not convert string to float: 'low'.*\): .*"),
    ],
)
def test_what_goes_wrong_is_one_sentence_that_names_the_structure_and_the_next_call_works(mode, sentence):
    predictor = toy(mode, time_limit_s=5.0 if mode == "hang" else 60.0)
    [before] = predictor.predict([molecule(HEALTHY)])
    with pytest.raises(AssayError) as caught:
        predictor.predict([molecule(HEALTHY), molecule(SICK), molecule("CH4")])
    assert re.fullmatch(sentence, str(caught.value))
    assert "\n" not in str(caught.value)
    assert predictor.predict([molecule(HEALTHY)])[0].energy_eV == before.energy_eV


def test_what_is_printed_disturbs_nobody_and_goes_to_stderr(capfd):
    found = toy("stdout").predict([molecule(SICK), molecule(HEALTHY)])
    expected = toy().predict([molecule(SICK), molecule(HEALTHY)])
    assert [one.energy_eV for one in found] == [one.energy_eV for one in expected]
    out, err = capfd.readouterr()
    assert out == ""
    assert "SCF iteration 1" in err


def test_energy_that_is_not_a_number_stays_with_its_structure():
    found = toy("nan").predict([molecule(HEALTHY), molecule(SICK), molecule("CH4")])
    assert [bool(np.isnan(one.energy_eV)) for one in found] == [False, True, False]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (CalculatorModel("nowhere.Toy", {}), "failed while it was made (ModuleNotFoundError: No module named"),
        (CalculatorModel("shared.toy_calculators.Nothing", {}), "failed while it was made (AttributeError"),
        (CalculatorModel(TOY, {"springs": 2}), "unexpected keyword argument 'springs'"),
        (CalculatorModel("shared.toy_calculators.silent", {}), "ended with status 0 while it was made"),
        (CalculatorModel(TOY, {}, "missing.txt"), "there is no file missing.txt, which is to be the environment"),
        (CalculatorModel(TOY, {}, "/bin/true"), "ended with status 0 while it was made"),
    ],
)
def test_calculator_that_cannot_be_made_is_one_sentence(model, sentence):
    with pytest.raises(AssayError, match=re.escape(sentence)) as caught:
        CalculatorPredictor(model)
    assert "\n" not in str(caught.value)


def test_process_ends_with_its_predictor():
    predictor = toy()
    pid = predictor._process._process.pid
    os.kill(pid, 0)
    del predictor
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_time_is_that_inside_the_process_and_the_transfer_stands_apart():
    call = toy().timed_call([molecule(HEALTHY)] * 20)
    started = time.perf_counter()
    inside = [call.seconds() for _ in range(3)]
    assert len(call.transfer_s) == 3
    assert 0.0 < sum(inside) + sum(call.transfer_s) <= time.perf_counter() - started
    assert min(inside + call.transfer_s) > 0.0


def test_description_is_a_file_of_a_kind_of_its_own(tmp_path):
    path = tmp_path / "calculator.json"
    path.write_text(json.dumps({"variant": "mine", "calculator": TOY, "arguments": {"spring": 2.0}}))
    assert kind_of(path) == "calculator"
    predictor = load_predictor(path, dtype="float64")
    assert (predictor.name, predictor.runtime, predictor.cutoff_A) == ("mine", "calculator", 7.5)
    assert load_predictor(path, dtype="float32") is predictor  # one process for both
    told = {"arguments": {"spring": 2.0}, "cutoff_A": 6.0, "vacuum_A": 11.0, "time_limit_s": 60.0}
    path.write_text(json.dumps({"variant": "mine", "calculator": TOY, **told}))
    other = load_predictor(path)
    assert other.model == CalculatorModel(TOY, **told) and other.cutoff_A == 6.0
    path.write_text('{"energy": 1}')
    with pytest.raises(AssayError, match="is no description of a calculator"):
        load_predictor(path)


def test_a_range_that_nobody_tells_has_no_end():
    assert CalculatorPredictor(CalculatorModel("ase.calculators.emt.EMT", {})).cutoff_A == np.inf


def test_equal_positions_are_computed_again_unless_it_is_said():
    """One that remembers its last answer would be timed as if it took no time."""
    counting, asked = toy("count"), [molecule(SICK)] * 2
    for afresh, numbers in ((True, [1.0, 2.0]), (False, [2.0, 2.0])):
        assert [found.energy_eV for found, _ in counting.predictions(asked, afresh=afresh)] == numbers


def test_vacuum_is_put_along_what_does_not_repeat():
    water = in_vacuum(molecule(SICK), 12.0)
    assert water.pbc.all()
    np.testing.assert_allclose(np.diag(water.cell), np.ptp(water.positions, axis=0) + 12.0)
    slab = Structure.from_ase(ase.build.fcc111("Cu", (2, 2, 3)))
    padded = in_vacuum(slab, 10.0)
    np.testing.assert_allclose(padded.cell[:2], slab.cell[:2])
    np.testing.assert_allclose(padded.cell[2], [0.0, 0.0, np.ptp(slab.positions[:, 2]) + 10.0])


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({}, {"n_parameters": None, "dtype": "float64", "cutoff_A": None, "elements": None, "stress": False}),
        ({"r_max": 6.0, "cutoff": 5.0}, {"cutoff_A": 6.0}),
        *(({"r_max": unknown, "cutoff": 5.0}, {"cutoff_A": 5.0}) for unknown in (None, 0.0, -1.0, 1e6, "far")),
        ({"type_map": {"8": 0, "1": 1}}, {"elements": [1, 8]}),
        ({"implemented_properties": ["energy", "stress"]}, {"stress": True}),
        ({"model": torch.nn.Linear(2, 2).double()}, {"n_parameters": 6, "dtype": "float64"}),
        ({"models": [torch.nn.Linear(2, 2), torch.nn.Linear(2, 1).double()]}, {"n_parameters": 9, "dtype": "float32"}),
    ],
)
def test_what_a_calculator_has_as_attributes_is_known_of_it(attributes, told):
    found = worker.known_of(
        SimpleNamespace(**attributes), {"calculator": "ase.calculators.emt.EMT", "own_packages": False}
    )
    assert {key: found[key] for key in told} == told


def test_message_comes_back_as_it_went():
    arrays = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.array([True, False]), "c": np.zeros((0, 3), np.int64)}
    header, back = worker.decode(reader(worker.encode({"kind": "x", "energy": [1.5]}, arrays)))
    assert header == {"kind": "x", "energy": [1.5]}
    assert all((back[name] == array).all() and back[name].dtype == array.dtype for name, array in arrays.items())


def reader(data):
    def read(count):
        nonlocal data
        part, data = data[:count], data[count:]
        if len(part) < count:
            raise EOFError
        return part

    return read


def framed(text, data=b""):
    return worker.LENGTHS.pack(worker.MAGIC, len(text), len(data)) + text + data


@pytest.mark.parametrize(
    "message",
    [
        b"SCF converged in 12 iterations",
        struct.pack("<8sQQ", worker.MAGIC, 2**60, 0),
        struct.pack("<8sQQ", worker.MAGIC, 14, 2**60) + b'{"arrays": []}',
        framed(b"[1]"),
        framed(b"{}"),
        framed(b"[" * 100_000),
        framed(b"\xff\xfe"),
        framed(b'{"arrays": [["a", "|O", [1]]]}', b"12345678"),
        framed(b'{"arrays": [["a", "<f8", [-1]]]}', b"12345678"),
        framed(b'{"arrays": [["a", "<f8", [4611686018427387904, 4]]]}', b"12345678"),
        framed(b'{"arrays": [["a", "<f8", [9]]]}', b"12345678"),
        framed(b'{"arrays": [7]}'),
    ],
)
def test_bytes_that_are_no_message_are_refused(message):
    with pytest.raises(ValueError):
        worker.decode(reader(message))


def test_worker_needs_nothing_of_this_project():
    """It runs by other interpreters, so it imports the standard library, numpy and ASE."""
    imported = re.findall(r"^\s*(?:import|from) ([a-z_]+)", Path(worker.__file__).read_text(), re.M)
    assert {name for name in imported if name not in sys.stdlib_module_names} == {"numpy", "ase"}


def wheel(folder, version):
    """A wheel of a calculator whose spring constant is its version."""
    code = (TESTS / "shared/toy_calculators.py").read_text().replace("spring=1.0", f"spring={version}")
    with zipfile.ZipFile(folder / f"springs-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("springs.py", code)
        about = f"Metadata-Version: 2.1\nName: springs\nVersion: {version}\nRequires-Dist: torch\n"
        archive.writestr(f"springs-{version}.dist-info/METADATA", about)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"springs-{version}.dist-info/WHEEL", tags)
        archive.writestr(f"springs-{version}.dist-info/RECORD", "")


@pytest.mark.slow
def test_two_versions_of_a_package_side_by_side(tmp_path, monkeypatch, capfd):
    """Each has an environment of its own, made once; torch is that of this process, and is not installed again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = {}
    for version in ("1.0", "2.0"):
        wheel(tmp_path, version)
        pins = tmp_path / f"springs{version}.txt"
        pins.write_text(f"--no-index\n--find-links {tmp_path}\nsprings=={version}\n")
        predictor = CalculatorPredictor(CalculatorModel("springs.Toy", {}, str(pins)))
        assert predictor.told["versions"]["springs"] == version
        assert predictor.told["versions"]["torch"].startswith("2.")
        assert not list(predictor.python.parents[1].rglob("site-packages/torch"))
        found[version] = predictor.predict([molecule(SICK)])[0].energy_eV
    base = 1e3  # of the multiplicity, which the springs do not scale
    assert found["2.0"] - base == pytest.approx(2.0 * (found["1.0"] - base), rel=1e-9)
    capfd.readouterr()
    copy = tmp_path / "copy.txt"
    copy.write_text((tmp_path / "springs2.0.txt").read_text())
    assert interpreter(copy) == predictor.python
    assert "Making the environment" not in capfd.readouterr().err


@pytest.mark.slow
def test_environment_outlives_the_checkout_that_made_it(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wheel(tmp_path, "1.0")
    pins = tmp_path / "springs.txt"
    pins.write_text(f"--no-index\n--find-links {tmp_path}\nsprings==1.0\n")
    python = interpreter(pins)
    (shared,) = python.parents[1].rglob("shared.pth")
    shared.write_text(f"{tmp_path / 'removed'}\n")
    capfd.readouterr()
    assert CalculatorPredictor(CalculatorModel("springs.Toy", {}, str(pins))).told["versions"]["torch"].startswith("2.")
    assert "Making the environment" not in capfd.readouterr().err
    python.unlink()
    python.symlink_to(tmp_path / "removed" / "python")
    assert subprocess.run([interpreter(pins), "-c", "import springs"], check=False).returncode == 0


@pytest.mark.slow
def test_environment_that_cannot_be_made_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pins = tmp_path / "pins.txt"
    pins.write_text(f"--no-index\n--find-links {tmp_path}\nsprings==3.0\n")
    with pytest.raises(AssayError, match=r"pins\.txt cannot be made \(ERROR: No matching distribution found for spr"):
        interpreter(pins)
    assert [path.suffix for path in (tmp_path / "cache/assay/environments").iterdir()] == [".lock"]


def test_interpreter_of_the_user_is_taken_as_it_is():
    predictor = CalculatorPredictor(CalculatorModel("ase.calculators.lj.LennardJones", {}, sys.executable))
    assert str(predictor.python) == sys.executable
    assert len(predictor.told["versions"]) > 20


def call(script, *arguments):
    return subprocess.run([sys.executable, SCRIPTS / script, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def molecules(tmp_path):
    ase.io.write(tmp_path / "molecules.xyz", [ase.build.molecule(name) for name in (HEALTHY, SICK)])
    return tmp_path / "molecules.xyz"


@pytest.mark.slow
def test_predict_takes_a_calculator_or_a_variant_of_a_config(molecules, tmp_path):
    arguments = {"spring": 2.0}
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump({"variants": {"mine": {"calculator": TOY, "arguments": arguments}}})
    )
    ways = (["--calculator", TOY, "--arguments", json.dumps(arguments)], ["mine", "--config", tmp_path / "mine.yaml"])
    expected = toy(arguments=arguments).predict([Structure.from_ase(atoms) for atoms in ase.io.read(molecules, ":")])
    for way in ways:
        done = call("predict.py", *way, molecules, "--json", tmp_path / "out.json")
        assert done.returncode == 0, done.stderr
        rows = json.loads((tmp_path / "out.json").read_text())
        assert [row["energy_eV"] for row in rows] == pytest.approx([one.energy_eV for one in expected])


@pytest.mark.parametrize(
    ("way", "sentence"),
    [
        (["--calculator", TOY, "--arguments", '{"mode": "die"}'], "died by SIGSEGV at H2O (3 atoms)"),
        (["--calculator", TOY, "--arguments", "mode"], "--arguments is no JSON"),
        (["model.pt", "--calculator", TOY], "both model.pt and --calculator"),
        ([], "no model is named"),
        (["tinny"], "there is no file tinny, and no variant of the config has that name"),
    ],
)
@pytest.mark.slow
def test_predict_says_no_in_one_sentence(way, sentence, molecules):
    done = call("predict.py", *way, molecules)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert sentence in done.stderr


@pytest.mark.slow
def test_verdict_judges_a_calculator(tmp_path):
    arguments = ["--calculator", TOY, "--checks", "rotation", "net_force", "--json", tmp_path / "out.json"]
    done = call("verdict.py", *arguments)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["calculator"], result["checks"]["rotation"]["outcome"]) == (TOY, "pass")
