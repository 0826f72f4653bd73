"""A stranger unzips a package and gets the pipeline's numbers, from ONNX Runtime alone."""

import copy
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import ase
import ase.build
import ase.neighborlist
import numpy as np
import pytest
import torch
from ase.calculators.calculator import PropertyNotImplementedError

from assay.accuracy.training_data import TrainingData
from assay.engine.library import library_path
from assay.engine.model_file import to_bytes
from assay.engines.programs import GUIDES
from assay.export import onnx_graphs, torchscript
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.models import build_model
from assay.package.build import example_files, write_package
from assay.package.card import write_card
from assay.package.wheel import make_wheel
from assay.report.evidence import Student
from assay.runtime import OnnxStudent, VerletList
from assay.runtime.calculator import StudentCalculator
from assay.runtime.engine import LIBRARY, MODEL
from assay.runtime.student import FALLBACK
from assay.structures.structure import Structure
from assay.verification import dynamics, parity
from assay.workflow.config_models.physics_yaml import ParityDynamics

ROOT = Path(__file__).parents[1]
PAINN = {"hidden": 12, "n_blocks": 2, "n_rbf": 5, "head": [6], "repulsion": True}
CELL = np.array([[4.1, 0.0, 0.0], [0.9, 4.6, 0.0], [-0.7, 0.8, 4.4]])
SAID = {"teacher": "GFN2-xTB", "licence": "CC0", "training_data": "molecules made for a test"}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(4)
    return build_model("painn", PAINN).double()


@pytest.fixture(scope="module")
def card():
    return {
        "variant": "toy",
        "checkpoint_sha256": "0" * 64,
        "architecture": "painn",
        "hyperparameters": PAINN | {"cutoff_A": 5.0},
        "n_parameters": 1234,
        "elements": ["H", "C", "N", "O"],
        "doubts": [],
        "created_utc": "2026-01-01T00:00:00+00:00",
    }


@pytest.fixture(scope="module")
def files(model, card, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    single = build_model("painn", PAINN)
    single.load_state_dict(model.state_dict())
    network = lower(single)
    for name, search in (("model.onnx", True), ("model.edges.onnx", False)):
        graph = onnx_graphs.assemble(network, 5.0, export_metadata(single, card), search=search)
        onnx_graphs.save(graph, folder / name)
    return {path.name: path for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def package(model, card, files, tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "package.zip"
    text = write_card({"model": card}, files, **SAID)
    write_package(path, "toy", files | example_files(model, [1, 6, 7, 8]) | {"README.md": text.encode()})
    return path


def unzip(package, folder):
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder / "toy"


def crystal(seed=0):
    draw = np.random.default_rng(seed)
    scaled = np.array([[0.05, 0.1, 0.0], [0.45, 0.52, 0.1], [0.1, 0.55, 0.55], [0.6, 0.05, 0.5]])
    return ase.Atoms([6, 1, 8, 7], (scaled + draw.normal(scale=0.02, size=(4, 3))) @ CELL, cell=CELL, pbc=True)


def exact(model, atoms):
    return parity.reference(model, [Structure.from_ase(atoms)])


@pytest.mark.parametrize("pbc", [True, False, (True, False, True)])
def test_kept_neighbors_are_those_of_a_fresh_search(pbc):
    atoms, draw = crystal(), np.random.default_rng(1)
    atoms.pbc = pbc
    kept = VerletList(5.0, skin=0.6)
    for _ in range(40):
        atoms.positions += draw.normal(scale=0.03, size=(4, 3))
        edge_index, vectors = kept.update(atoms.positions, atoms.cell.array, atoms.pbc)
        i, j, expected = ase.neighborlist.neighbor_list("ijD", atoms, 5.0)
        found, wanted = (np.column_stack(columns).round(6) for columns in ((*edge_index, vectors), (j, i, expected)))
        assert len(found) == len(wanted)
        np.testing.assert_allclose(found[np.lexsort(found.T[::-1])], wanted[np.lexsort(wanted.T[::-1])], atol=1e-5)
    assert 1 < kept.n_builds < 30


def test_slabs_and_wires_need_no_vectors_along_open_axes():
    """Not even where one atom is far away, which vesin's own grid answers by SIGFPE."""
    atoms = crystal()
    atoms.positions[0, 2] += 9e3
    for pbc in ((True, True, False), (True, False, False)):
        atoms.pbc, atoms.cell = pbc, CELL * np.array(pbc)[:, None]
        boxed = ase.Atoms(atoms, cell=np.where(np.array(pbc)[:, None], CELL, np.diag([0.0, 50.0, 2e4])), pbc=pbc)
        edge_index, vectors = VerletList(5.0).update(atoms.positions, atoms.cell.array, atoms.pbc)
        i, j, expected = ase.neighborlist.neighbor_list("ijD", boxed, 5.0)
        found, wanted = (
            np.column_stack(columns).round(6) + 0.0 for columns in ((*edge_index, vectors), (j, i, expected))
        )
        np.testing.assert_allclose(found[np.lexsort(found.T[::-1])], wanted[np.lexsort(wanted.T[::-1])], atol=1e-5)


@pytest.mark.parametrize(
    ("positions", "cell"),
    [
        ([[0, 0, 0], [0, 0, 1e6]], np.diag([4, 4, 0])),
        ([[0, 0, 0], [0, 0, np.nan]], np.diag([4, 4, 4])),
        ([[0, 0, 0], [0, 0, 1]], np.diag([4, 0, 0])),
        ([[0, 0, 0], [0, 0, 1]], np.array([[4, 0, 0], [8, 0, 0], [0, 0, 9]])),
        ([[0, 0, 0], [0, 0, 1]], np.diag([9e3, 9e3, 5])),
        ([[0, 0, 0], [0, 0, 1]], np.diag([4, 4, 0.01])),
    ],
)
def test_neighbors_are_not_searched_where_that_would_end_the_process(positions, cell):
    pbc = np.array([True, True, bool(cell[2].any())])
    with pytest.raises(ValueError, match=r"astray|lattice vectors|not finite"):
        VerletList(5.0).update(np.array(positions, float), cell.astype(float), pbc)


def test_neighbors_are_searched_again_when_they_must_be():
    atoms, kept = crystal(), VerletList(5.0, skin=0.6)
    box = [atoms.cell.array, atoms.pbc]
    kept.update(atoms.positions, *box)
    kept.update(atoms.positions + 0.29 / np.sqrt(3), *box)
    assert kept.n_builds == 1
    kept.update(atoms.positions + 0.31 / np.sqrt(3), *box)
    assert kept.n_builds == 2
    kept.update(atoms.positions + 0.31 / np.sqrt(3), 1.01 * box[0], box[1])
    kept.update(atoms.positions + 0.31 / np.sqrt(3), 1.01 * box[0], np.array([True, True, False]))
    kept.update(atoms.positions[:3], 1.01 * box[0], np.array([True, True, False]))
    assert kept.n_builds == 5
    given = [atoms.positions.copy(), atoms.cell.array.copy(), np.array(atoms.pbc)]
    kept.update(*given)
    given[1] *= 1.01  # in place, as everything may be changed
    kept.update(*given)
    given[2][2] = False
    kept.update(*given)
    given[0] += 0.31 / np.sqrt(3)
    kept.update(*given)
    assert kept.n_builds == 9
    with pytest.raises(ValueError, match="negative"):
        VerletList(5.0, skin=-0.1)


def test_calculator_gives_the_networks_energy_and_forces_anywhere(model, files):
    atoms = ase.build.molecule("CH3CONH2")
    atoms.calc = StudentCalculator(files["model.edges.onnx"], threads=1)
    for shift in (0.0, 3e5):
        atoms.positions += shift
        expected = exact(model, atoms)
        assert atoms.get_potential_energy() == pytest.approx(expected.energy_eV[0], abs=1e-5)
        np.testing.assert_allclose(atoms.get_forces(), expected.forces_eV_per_A, atol=1e-5)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_stress_is_the_derivative_by_strain(model, files):
    atoms = crystal()
    atoms.calc = StudentCalculator(files["model.edges.onnx"], threads=1)
    found, step = atoms.get_stress(voigt=False), 1e-4
    assert np.abs(found).max() > 1e-3
    for row, column in ((0, 0), (1, 2), (0, 1), (2, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[row, column] += sign * step / 2
            strain[column, row] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies.append(exact(model, strained).energy_eV[0])
        slope = (energies[0] - energies[1]) / (2 * step * atoms.get_volume())
        assert found[row, column] == pytest.approx(slope, abs=1e-5)


def test_a_wrong_file_or_atom_is_refused_in_words(files):
    with pytest.raises(ValueError, match=r"give model\.edges\.onnx"):
        StudentCalculator(files["model.onnx"])
    student = OnnxStudent(files["model.onnx"], threads=1)
    with pytest.raises(ValueError, match="atomic numbers from 1 to 36"):
        student(np.array([37]), np.zeros((1, 3)))
    with pytest.raises(ValueError, match="finds the edges itself"):
        student(np.array([1]), np.zeros((1, 3)), None, np.zeros((2, 0)), np.zeros((0, 3)))


@pytest.mark.parametrize(("policy", "spinning"), [("passive", "0"), ("PASSIVE", "0"), ("active", "")])
def test_threads_that_wait_leave_their_core_where_openmp_is_told_so(files, policy, spinning, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    options = OnnxStudent(files["model.onnx"], threads=1).session.get_session_options()
    try:
        found = options.get_session_config_entry("session.intra_op.allow_spinning")
    except RuntimeError:  # it was never set
        found = ""
    assert found == spinning


def test_dynamics_conserve_energy_as_the_network_does(model, files):
    molecules = [Structure.from_ase(ase.build.molecule(name)) for name in ("H2O", "C6H6", "CH3CONH2")]
    settings = ParityDynamics(n_atoms=[12], steps=100, step_fs=0.5, temperature_K=300.0, energy_eV_per_atom=2e-6)
    right = dynamics.check_dynamics(model, files["model.edges.onnx"], molecules, settings)
    (row,) = right["molecules"]
    assert right["passed"] and row["n_atoms"] == 12 and row["neighbor_lists_made"] < 20
    other = copy.deepcopy(model)
    other.head[-1].weight.data *= 1.02
    wrong = dynamics.check_dynamics(other, files["model.edges.onnx"], molecules, settings)
    assert not wrong["passed"], "a model whose forces are 2 % off moves otherwise"


def test_package_is_whole_and_equal_for_equal_contents(package, model, card, files, tmp_path):
    folder = unzip(package, tmp_path)
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    inside = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(sums) == set(inside) - {"SHA256SUMS"}
    assert all(hashlib.sha256(inside[name].read_bytes()).hexdigest() == digest for name, digest in sums.items())
    assert {"README.md", "example.py", "student/session.py", "pyproject.toml", "model.onnx"} <= set(inside)
    forces = json.loads(inside["example.json"].read_text())["forces_eV_per_A"]
    assert np.linalg.norm(forces, axis=1).min() > 1e-3, "atoms that feel no force would tell no file from another"
    again = tmp_path / "again.zip"
    text = write_card({"model": card}, files, **SAID)
    write_package(again, "toy", files | example_files(model, [1, 6, 7, 8]) | {"README.md": text.encode()})
    assert again.read_bytes() == package.read_bytes()
    with zipfile.ZipFile(package) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}, "no date of the making"


def test_guides_to_the_programs_that_the_card_names_come_with_a_package(package, card, files, tmp_path):
    folder, text = unzip(package, tmp_path), write_card({"model": card}, files, has_engine=True, **SAID)
    guides = re.findall(r"\]\((engines/[^)]+)\)", text)
    assert guides == [f"engines/{program}.md" for program in GUIDES]
    for guide in guides:
        told = (folder / guide).read_text()
        assert "assay_toy" in told and "toy/*.whl" in told
        assert not re.search(r"\btiny\b|_tiny|\]\((?!https?:)", told), "another student, or a page that is not here"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum on this machine")
def test_checksums_are_those_that_sha256sum_takes(package, tmp_path):
    folder = unzip(package, tmp_path)
    check = ["sha256sum", "-c", "SHA256SUMS"]
    assert subprocess.run(check, cwd=folder, capture_output=True).returncode == 0
    with (folder / "model.onnx").open("ab") as handle:
        handle.write(b"x")
    changed = subprocess.run(check, cwd=folder, capture_output=True, text=True)
    assert changed.returncode == 1 and "model.onnx: FAILED" in changed.stdout


def guide(language):
    """The blocks of docs/packages.md in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "docs/packages.md").read_text(), re.M | re.S)


WATER = np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])


@pytest.mark.parametrize("has_engine", [True, False])
def test_python_of_the_guide_runs_in_an_unpacked_wheel(model, card, files, tmp_path, has_engine):
    inside = {FALLBACK: files[FALLBACK].read_bytes()}
    if has_engine:
        if library_path() is None:
            pytest.skip("there is no C++ compiler for the engine")
        single = build_model("painn", PAINN)
        single.load_state_dict(model.state_dict())
        metadata = export_metadata(single, card)
        inside |= {LIBRARY: library_path().read_bytes(), MODEL: to_bytes(single, metadata, metadata["elements"])}
    zipfile.ZipFile(io.BytesIO(make_wheel("tiny", "0" * 64, inside, "# A card").content)).extractall(tmp_path)
    with_ase, with_numpy = guide("python")
    start = f"import ase\natoms = ase.Atoms([8, 1, 1], {WATER.tolist()})\n"
    code = f"{start}{with_ase}\n{with_numpy}\nprint(atoms.get_potential_energy(), *energy, *forces.shape)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    by_ase, water, _, *shape = map(float, done.stdout.split())
    expected = exact(model, ase.Atoms([8, 1, 1], WATER)).energy_eV[0]
    assert [by_ase, water] == pytest.approx([expected, expected], abs=1e-5)
    assert shape == [5, 3]
    assert ("ONNX Runtime computes instead" in done.stderr) == (not has_engine)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler on this machine")
def test_program_of_the_guide_gives_the_energy_and_forces_of_the_network(model, card, tmp_path):
    single = build_model("painn", PAINN)
    single.load_state_dict(model.state_dict())
    scripted = torchscript.to_torchscript(lower(single), single.cutoff)
    torchscript.save(scripted, tmp_path / "model.ts.pt", export_metadata(single, card))
    (tmp_path / "student.cpp").write_text(*guide("cpp"))
    libtorch = Path(torch.__file__).parent
    headers = [f"-I{libtorch / 'include' / part}" for part in ("", "torch/csrc/api/include")]
    libraries = [f"-L{libtorch / 'lib'}", f"-Wl,-rpath,{libtorch / 'lib'}", "-ltorch", "-ltorch_cpu", "-lc10"]
    build = ["g++", "-std=c++20", "-O0", *headers, "student.cpp", "-o", "student", "-Wl,--no-as-needed", *libraries]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["./student"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = exact(model, ase.Atoms([8, 1, 1], WATER))
    energy, forces = printed_tensors(done.stdout)
    assert energy == pytest.approx(expected.energy_eV, abs=1e-3)
    np.testing.assert_allclose(forces, expected.forces_eV_per_A.ravel(), atol=1e-4)


def printed_tensors(text):
    """The numbers of each tensor as libtorch prints it: a factor if need be, rows, and the type."""
    for block in re.split(r"\[ CPU\w+\{[\d,]+\} \]", text)[:-1]:
        factor = re.match(r"\s*(\S+) +\*", block)
        rows = block[factor.end() :] if factor else block
        yield np.array(rows.split(), float) * (float(factor.group(1)) if factor else 1.0)


def test_card_tells_what_was_measured_and_what_was_not(card, files):
    bare = write_card({"model": card}, files, **SAID)
    assert "Elements beyond it are refused." in bare and "No element is refused" not in bare
    nameless = write_card({"model": card | {"elements": None}}, files, **SAID)
    assert "No element is refused" in nameless and "Elements beyond" not in nameless
    assert bare.count("Not measured") == 3 and "1,234 parameters" in bare
    assert "bare.pt holds tensors alone." in write_card(
        {"model": card | {"doubts": ["bare.pt holds tensors alone."]}}, files, **SAID
    )
    assert "Licence: CC0" in bare and "Citation: the config states none; write it there as `citation`" in bare
    split = {
        "n_structures": 40,
        "force_accuracy": 0.9512,
        "force_mae_eV_per_A": 0.0313,
        "energy_mae_eV_per_atom": 0.002,
        "confidence_intervals": {"force_accuracy": [0.9481, 0.9542], "force_mae_eV_per_A": [None, None]},
    }
    physics = {"verdict": "reject", "failed": ["rotation"], "checks": {"rotation": {"message": "spread of 0.4 eV"}}}
    times = {"onnx": 1.234, "engine": 0.456}
    rows = [
        {"runtime": name, "batch_size": 1, "system_size": 20, "n_atoms": 20, "latency_ms_median": ms}
        for name, ms in times.items()
    ]
    rows += [rows[0] | {"batch_size": 32, "n_atoms": 640, "latency_ms_median": 77.0}]
    runtimes = {"onnx": {"file": "model.onnx"}, "engine": {"file": "model.safetensors"}}
    split["domain"] = {"flagged_fraction": 0.083}
    described = TrainingData("part", 38_464, 283_301, "45" * 32).record
    measured = {
        "accuracy": {
            "settings": {"confidence": 0.9},
            "splits": {"unseen_molecules": split},
            "training_data": described,
        },
        "physics": physics,
        "benchmark": {"device_name": "a processor", "load_of_other_processes": 0.4, "runtimes": runtimes, "rows": rows},
        "export": {
            "files": {
                "model.onnx": {
                    "parity": {"forces_error_eV_per_A_max": 3e-6},
                    "determinism": {"passed": True},
                    "passed": False,
                }
            }
        },
    }
    given = [{"n_structures": 9000, "sha256": "ab" * 32}, {"n_structures": 16802, "sha256": "cd" * 32}]
    measured["training"] = {"data_sets": given, "teacher": {"name": "GFN2-xTB"}}
    text = write_card({"model": card} | measured, files, **SAID)
    assert f"9,000 structures (SHA-256 `{'ab' * 32}`), then 16,802 structures" in text
    assert "Other processes used 40 % of the processor meanwhile" in text
    for words in (
        "| 0.9512 (0.9481 to 0.9542) | 0.0313 |",
        "90 %",
        "**reject**",
        "spread of 0.4 eV",
        "1.23",
        "3e-06",
        "| yes | **no** |",
    ):
        assert words in text, words
    assert "Not measured" not in text and "finds `pair_style assay`" not in text
    with_engine = write_card({"model": card}, files, lammps="20250722", has_engine=True, **SAID)
    assert "of the date 20250722 finds `pair_style assay`" in with_engine
    assert "cannot run this student" in text and "cannot run this student" not in with_engine
    assert "Flagged as unlike the training data: 8.3 % of unseen molecules." in text
    assert "Structures are compared with 38,464 of 283,301 training structures." in text
    assert "| file | 20 atoms |" in text and "| `model.onnx` | 1.23 |" in text
    measured["export"]["files"]["model.onnx"] |= {"determinism": {"passed": False}, "passed": True}
    assert "| no | yes |" in write_card({"model": card} | measured, files, **SAID)
    assert "0.46" not in text, "the file that the engine was timed with is not in the package"
    split["force_accuracy"] = None  # where labelled forces are zero
    assert "| not measured | 0.0313 |" in write_card({"model": card} | measured, files, **SAID)


def test_card_names_the_atoms_that_were_timed(card, files):
    """Of crystals of 64 atoms, which are the nearest to 3, 20 and 60 atoms."""
    sizes = {3: (64, 2.3), 20: (64, 2.4), 60: (64, 2.6), 200: (256, 9.0)}
    rows = [
        {"runtime": "onnx", "batch_size": 1, "system_size": size, "n_atoms": n_atoms, "latency_ms_median": ms}
        for size, (n_atoms, ms) in sizes.items()
    ]
    timed = {"device_name": "a processor", "runtimes": {"onnx": {"file": "model.onnx"}}, "rows": rows}
    text = write_card({"model": card, "benchmark": timed}, files, **SAID)
    assert "| file | 64 atoms | 256 atoms |" in text and "| `model.onnx` | 2.40 | 9.00 |" in text


def test_card_gives_no_higher_verdict_than_the_report_where_structures_have_no_prediction(card, files, tmp_path):
    rows = [{"name": "s7", "number": 7, "reason": "energy or forces are not finite"}]
    split = {
        "n_structures": 1,
        "force_accuracy": 0.99,
        "force_mae_eV_per_A": 0.01,
        "energy_mae_eV_per_atom": 0.001,
        "without_prediction": {"n_structures": 99, "structures": rows},
        "domain": None,
    }
    accuracy = {"settings": {"confidence": 0.9}, "splits": {"unseen_molecules": split}, "training_data": None}
    exports = {"model.onnx": {"verdict": "md-ready"}}
    results = {
        "model": card,
        "accuracy": accuracy,
        "physics": {"verdict": "md-ready", "failed": [], "checks": {}, "exports": exports},
    }
    text, student = write_card(results, files, **SAID), Student("toy", tmp_path, results)
    assert student.verdict() == "screening-only"
    assert f"Verdict: **{student.verdict()}**. It is {student.cap}." in text and "md-ready" not in text
    assert "| unseen molecules | 1 | 99 | 0.99 |" in text
    assert "Of unseen molecules 99 structures have no prediction, such as s7 (number 7): energy or forces" in text


def test_card_takes_what_it_says_of_an_eight_bit_file_from_where_it_was_measured(card, files, tmp_path):
    integers = tmp_path / "model.int8.onnx"
    integers.write_bytes(bytes(120_000))
    scheme = {
        "force_mae_increase_relative": 0.031,
        "energy_mae_increase_relative": 0.052,
        "energy_force_consistency": 0.0123,
    }
    repeated = [{"value_name": "energy_spread_eV", "value": 3e-7}, {"value_name": "force_error_eV_per_A", "value": 0.0}]
    own = {"verdict": "screening-only", "checks": {"determinism": {"criteria": repeated}}}
    measured = {
        "physics": {"verdict": "md-ready", "failed": [], "exports": {integers.name: own}},
        "quantization": {"chosen": "static", "schemes": {"static": scheme}},
        "export": {"files": {}},
    }
    text = write_card({"model": card} | measured, files | {integers.name: integers}, **SAID)
    [row] = [line for line in text.splitlines() if line.startswith(f"| `{integers.name}`")]
    assert row.endswith("| 0.12 MB | MAE +5.2 % | MAE +3.1 % | to 3e-07 eV | not checked apart | screening-only |")
    assert "those of `model.int8.onnx`\nare 1.2 % of their size off it" in text
    exact = own | {"checks": {"determinism": {"criteria": [{"value_name": "energy_spread_eV", "value": 0.0}]}}}
    measured["physics"]["exports"][integers.name] = exact
    assert "| yes | not checked apart | screening-only |" in write_card(
        {"model": card} | measured, {integers.name: integers}, **SAID
    )


def run_example(folder, python, *options):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [python, *options, "example.py", "--picoseconds", "0.05"],
        cwd=folder, capture_output=True, text=True, env=environment,
    )  # fmt: skip


@pytest.mark.slow
def test_example_notices_other_numbers(package, tmp_path):
    folder = unzip(package, tmp_path)
    good = run_example(folder, sys.executable, "-W", "error::DeprecationWarning")
    assert good.returncode == 0, good.stderr
    expected = json.loads((folder / "example.json").read_text())
    expected["forces_eV_per_A"][0][0] += 2e-4
    (folder / "example.json").write_text(json.dumps(expected))
    bad = run_example(folder, sys.executable)
    assert bad.returncode == 1 and "does not give the numbers" in bad.stderr


@pytest.mark.slow
def test_package_runs_in_an_empty_environment(package, tmp_path):
    folder = unzip(package, tmp_path)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check"]
    wheels = subprocess.run([*install, "-r", "requirements.txt"], cwd=folder, capture_output=True, text=True)
    if wheels.returncode != 0 and "requirements.txt" not in wheels.stderr and "No matching" in wheels.stderr:
        pytest.skip("no package index can be reached, and the package's own requirements must come from one")
    assert wheels.returncode == 0, wheels.stderr
    listed = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert "onnxruntime" in listed and "torch" not in listed
    run = run_example(folder, python)
    assert run.returncode == 0, run.stderr
    assert "minimum found" in run.stdout and "meV/atom/ps" in run.stdout
