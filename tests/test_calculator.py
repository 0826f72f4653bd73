"""The calculator of a package computes what it was asked for, or says why not."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from assay.engine.library import library_path
from assay.engine.model_file import to_bytes
from assay.export import onnx_graphs
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.models import build_model
from assay.runtime import OnnxStudent, StudentCalculator, open_student
from assay.runtime.engine import EngineModel, NotHere, is_cut_off
from assay.runtime.gpu.student import GpuStudent
from shared.workflow_copy import ROOT

PAINN = {"hidden": 16, "n_blocks": 2, "n_rbf": 5, "head": [6], "repulsion": True, "rank": 2}

pytestmark = pytest.mark.skipif(library_path() is None, reason="there is no C++ compiler for the engine")


def write_student(folder, seed):
    """Write a student as a package has it; those of two seeds are of two checkpoints."""
    torch.manual_seed(seed)
    network = build_model("painn", PAINN)
    card = {"variant": f"toy{seed}", "checkpoint_sha256": f"{seed}a" * 32, "elements": ["H", "C", "N", "O"]}
    metadata = export_metadata(network, card)
    folder.mkdir()
    (folder / "model.assay").write_bytes(to_bytes(network, metadata, metadata["elements"]))
    lowered = lower(network, elements=metadata["elements"])
    onnx_graphs.save(onnx_graphs.assemble(lowered, 5.0, metadata, search=False), folder / "model.edges.onnx")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_student(tmp_path_factory.mktemp("students") / "one", 1)


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    return write_student(tmp_path_factory.mktemp("students") / "two", 2)


@pytest.fixture
def calculator(folder):
    return StudentCalculator(folder / "model.assay", threads=1, library=library_path())


@pytest.mark.parametrize(
    ("name", "meant"),
    [("model", "path"), ("precison", "precision"), ("Threads", "threads"), ("lable", "label"), ("dtype", "precision")],
)
def test_a_misspelt_argument_is_refused_with_the_name_that_was_meant(folder, calculator, name, meant):
    for take in (StudentCalculator, calculator.set):
        with pytest.raises(TypeError, match=f"takes no argument `{name}`: did you mean `{meant}`"):
            take(**{name: folder / "model.assay"})
    with pytest.raises(TypeError, match="takes no argument `charge`: it takes path, threads, device"):
        StudentCalculator(charge=1)


def test_an_open_student_keeps_its_arguments_and_those_of_ase_are_taken(folder, calculator, tmp_path):
    with pytest.raises(ValueError, match="precision cannot be changed once the student is open: make another"):
        calculator.set(precision=64)
    water = molecule("H2O")
    StudentCalculator(
        folder / "model.assay", threads=1, library=library_path(), directory=tmp_path, label="water", atoms=water
    )
    assert np.isfinite(water.get_potential_energy()) and water.calc.label == f"{tmp_path}/water"


@pytest.mark.parametrize("file", ["model.assay", "model.edges.onnx"])
def test_a_copy_of_a_calculator_is_of_the_file_that_was_opened_or_of_none(folder, another, tmp_path, file):
    shutil.copy(folder / file, tmp_path)
    calculator = StudentCalculator(tmp_path / file, threads=1, library=library_path())
    water = molecule("H2O")
    energy, sent = calculator.get_potential_energy(water), pickle.dumps(calculator)
    shutil.copy(folder / file, tmp_path / "same")
    os.replace(tmp_path / "same", tmp_path / file)
    for duplicate in (copy.deepcopy(calculator), pickle.loads(sent)):
        duplicate.reset()
        assert duplicate.get_potential_energy(water) == energy
    shutil.copy(another / file, tmp_path / "other")
    os.replace(tmp_path / "other", tmp_path / file)
    for duplicate in (lambda: copy.deepcopy(calculator), lambda: pickle.loads(sent)):
        with pytest.raises(ValueError, match=rf"{file} was replaced since it was opened, .* open it anew"):
            duplicate()


def test_students_of_arrays_are_held_to_their_file_too(folder, another, tmp_path, monkeypatch):
    monkeypatch.setattr("assay.runtime.gpu.student.PaddedNetwork", lambda network: None)  # which need a GPU
    monkeypatch.setattr("assay.runtime.gpu.student.Network", lambda *_: SimpleNamespace(cutoff=5.0))
    for file, kind in (("model.edges.onnx", OnnxStudent), ("model.assay", lambda path: GpuStudent(path, "cpu"))):
        shutil.copy(folder / file, tmp_path)
        student = kind(tmp_path / file)
        assert copy.deepcopy(student).identity["variant"] == "toy1"
        shutil.copy(another / file, tmp_path)
        with pytest.raises(ValueError, match="was replaced since it was opened"):
            copy.deepcopy(student)


def test_onnx_runtime_takes_the_place_of_the_engine_for_the_same_student_alone(folder, another, tmp_path):
    shutil.copy(folder / "model.assay", tmp_path)
    shutil.copy(another / "model.edges.onnx", tmp_path)
    nothing = tmp_path / "nothing.so"
    with (
        pytest.warns(RuntimeWarning, match="ONNX Runtime computes instead"),
        pytest.raises(ValueError, match=r"model\.edges\.onnx, .* is of another student than .*model\.assay: put"),
    ):
        open_student(tmp_path / "model.assay", library=nothing)
    (tmp_path / "model.assay").write_bytes(b"of a download that failed")
    with (
        pytest.warns(RuntimeWarning, match="ONNX Runtime computes instead"),
        pytest.raises(ValueError, match="cannot be read"),
    ):
        open_student(tmp_path / "model.assay", library=nothing)
    shutil.copy(folder / "model.edges.onnx", tmp_path)
    shutil.copy(folder / "model.assay", tmp_path)
    with pytest.warns(RuntimeWarning, match="ONNX Runtime computes instead"):
        assert open_student(tmp_path / "model.assay", library=nothing).runtime == "onnxruntime"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_without_onnx_runtime_no_warning_says_that_it_computes(folder, tmp_path, monkeypatch, device):
    monkeypatch.setattr("assay.runtime.student.why_not_here", lambda: "torch is not installed")
    monkeypatch.setitem(sys.modules, "assay.runtime.session", None)
    why = {"cpu": "the compiled engine does not run here", "cuda": r"not run here \(torch is not installed"}[device]
    with warnings.catch_warnings(), pytest.raises(ImportError, match=rf"{why}.*; ONNX Runtime must .* pip install"):
        warnings.simplefilter("error")
        open_student(folder / "model.assay", device=device, library=tmp_path / "nothing.so")


def test_a_calculator_in_use_by_another_thread_is_refused_and_free_afterwards(calculator):
    water, ammonia, hindrance = molecule("H2O"), molecule("NH3"), []
    evaluate, other = calculator._evaluated, copy.deepcopy(calculator)

    def meanwhile(*arguments):
        for ask in (calculator.get_potential_energy, calculator.calculate, other.get_forces):
            thread = threading.Thread(target=lambda ask=ask: hindrance.append(outcome(ask)))
            thread.start()
            thread.join()
        return evaluate(*arguments)

    def outcome(ask):
        try:
            return ask(ammonia)
        except RuntimeError as error:
            return str(error)

    calculator._evaluated = meanwhile
    energy = calculator.get_potential_energy(water)
    assert "in use by another thread: give each thread a calculator of its own" in hindrance[0]
    assert hindrance[0] == hindrance[1] and hindrance[2].shape == (4, 3)
    del calculator._evaluated
    assert calculator.get_potential_energy(water) == energy != calculator.get_potential_energy(ammonia)


def test_a_calculator_refuses_a_structure_without_atoms_before_and_after_others(calculator):
    for box in ({}, {"cell": [5.0, 5.0, 5.0], "pbc": True}):
        with pytest.raises(ValueError, match="there must be atoms"):
            calculator.get_potential_energy(Atoms(**box))
        assert np.isfinite(calculator.get_potential_energy(molecule("H2O")))


@pytest.mark.parametrize("part", [0.0001, 0.1, 0.5, 0.99])
def test_a_library_that_was_copied_in_part_is_refused_before_it_ends_the_process(folder, tmp_path, part):
    whole = library_path().read_bytes()
    assert not is_cut_off(library_path())
    (tmp_path / "libassay.so").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(NotHere, match="install the package again"):
        EngineModel(folder / "model.assay", tmp_path / "libassay.so")
    assert is_cut_off(tmp_path / "libassay.so") or part < 0.01  # of which the loader says itself that it is too short


@pytest.mark.parametrize(
    ("scale", "sentence"),
    [
        (0.1, r"the atoms 0 and 1 are 0\.15 angstrom apart: are the positions in nm"),
        (0.529, r"are 0\.8 angstrom apart: are the positions in nm, or in units of the cell"),
        (1.89, "no atoms are bonded, and the nearest, .*: are the positions in bohr"),
        (10.0, "none of its atoms has a neighbor, so that each is computed alone"),
    ],
)
@pytest.mark.parametrize("file", ["model.assay", "model.edges.onnx"])
def test_positions_in_another_unit_are_warned_of(folder, file, scale, sentence):
    ethanol = molecule("CH3CH2OH")
    ethanol.calc = StudentCalculator(folder / file, threads=1, library=library_path())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ethanol.get_potential_energy()
    ethanol.positions *= scale
    with pytest.warns(UserWarning, match=sentence):
        ethanol.get_potential_energy()
    ethanol.positions += 0.01  # within the skin, so that no neighbors are searched for
    ethanol.get_potential_energy()
    assert len(ethanol.calc.outside) == 1 and ethanol.calc.n_outside == 2
    ethanol.positions /= scale
    ethanol.get_potential_energy()
    assert ethanol.calc.outside == []


@pytest.mark.parametrize(
    ("absurd", "sentence"),
    [
        ({"energy": -3.1e26}, r"gives H2O -3\.1e\+26 eV, which no atoms have: .* not in angstrom"),
        ({"energy": 3.1e7}, r"gives H2O 3\.1e\+07 eV, which no atoms have"),  # 1e7 eV for each atom are none
        ({"energy": np.inf}, "gives no finite energy and forces of H2O"),
        ({"forces": np.diag([1.0, np.nan, 1.0])}, "gives no finite energy and forces of H2O"),
    ],
)
def test_what_no_atoms_have_is_refused(calculator, monkeypatch, absurd, sentence):
    water, evaluate = molecule("H2O"), calculator._evaluated

    def evaluated(*arguments):
        found, n_edges = evaluate(*arguments)
        return found._replace(**absurd), n_edges

    monkeypatch.setattr(calculator, "_evaluated", evaluated)
    with pytest.raises(ValueError, match=sentence):
        calculator.get_potential_energy(water)


@pytest.mark.parametrize("file", ["model.assay", "model.edges.onnx"])
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"threads": threads}, "number of threads is") for threads in ("2", 1.5, 0, 10**12)]
    + [({"skin": skin}, "skin is") for skin in (None, "0.5", -1.0)],
)
def test_threads_and_skins_that_are_no_such_numbers_are_refused(folder, file, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        StudentCalculator(folder / file, library=library_path(), **wrong)


def test_a_folder_may_have_a_name_that_is_no_utf8(folder, tmp_path):
    strange = tmp_path / os.fsdecode(b"l\xe4rche")
    strange.mkdir()
    shutil.copy(folder / "model.assay", strange)
    open_student(strange / "model.assay", library=library_path())
    with pytest.raises(ValueError, match=r"cannot be opened|no such|No such|cannot be read"):
        EngineModel(strange / "other.assay", library_path())


def test_an_unpacked_package_takes_the_files_that_lie_beside_its_module(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("assay.runtime.student.HERE", tmp_path / "student")
    monkeypatch.setattr("assay.runtime.engine.HERE", tmp_path / "student")
    for file in (folder / "model.assay", folder / "model.edges.onnx"):
        shutil.copy(file, tmp_path)
    with pytest.warns(RuntimeWarning, match="there is no engine in .*: give the paths of a model file and of libassay"):
        assert open_student().runtime == "onnxruntime"
    shutil.copy(library_path(), tmp_path / "libassay.so")
    assert open_student().runtime == open_student(tmp_path / "model.assay").runtime == "engine"


def test_a_package_with_the_engine_alone_imports_whole_and_says_what_is_missing():
    program = """
import sys
sys.modules["onnxruntime"] = None
from assay.runtime import *
import assay.runtime
assert EngineStudent and "OnnxStudent" not in globals()
for name in ("OnnxStudent", "nothing"):
    try:
        getattr(assay.runtime, name)
    except (ImportError, AttributeError) as error:
        print(error)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    missing, unknown = done.stdout.splitlines()
    assert missing.startswith("ONNX Runtime must evaluate this, and is not here") and "pip install" in missing
    assert unknown == "module 'assay.runtime' has no attribute 'nothing'"


def test_the_engine_keeps_its_file_where_the_working_directory_changes(folder, another, monkeypatch):
    monkeypatch.chdir(folder)
    model = EngineModel("model.assay", library_path())
    monkeypatch.chdir(another)
    assert copy.deepcopy(model).metadata["variant"] == "toy1"


def test_a_package_whose_model_file_is_missing_says_so(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("assay.runtime.student.HERE", tmp_path)
    shutil.copy(folder / "model.edges.onnx", tmp_path)
    with pytest.warns(RuntimeWarning, match="made without the compiled engine"):
        open_student()
    shutil.copy(library_path(), tmp_path / "libassay.so")
    with pytest.warns(RuntimeWarning, match=r"model\.assay is missing, so that this package must be installed again"):
        student = open_student()
    assert student.runtime == "onnxruntime"
