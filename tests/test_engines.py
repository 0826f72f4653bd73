"""Programs of molecular dynamics are asked the same, and judged: a toy in place of a program, right and wrong, and each
real program where ``ASSAY_TEST_ENVIRONMENTS`` names it.
"""

import os
import re
import subprocess
from pathlib import Path

import ase.data
import numpy as np
import pytest
import torch

from assay.checkpoint import load_model, normalize
from assay.checkpoint.normalized import write
from assay.engine.model_file import to_bytes
from assay.engines import cases
from assay.engines.drift import drift_of, drift_passes
from assay.engines.programs import PROGRAMS, Program
from assay.engines.run import BOX, ENVIRONMENTS, MOLECULE, expect, run_program
from assay.engines.table import FAILS, PASSES, TOO_SHORT, draw, write_markdown
from assay.export import onnx_graphs
from assay.export.lowering import lower
from assay.predictors.virtual_environments import interpreter
from assay.workflow.config import load_config
from assay.workflow.config_models.commands_yaml import EngineTask
from assay.workflow.config_models.physics_yaml import Tolerance
from shared.molecules import shaken
from shared.opt_in import installs

ROOT = Path(__file__).parents[1]
TOY = Program("a toy", "shared.toy_program", ("model.safetensors", "fault"))
# In so short a time the total energy swings by more than it drifts.
TOLERANCE = Tolerance(**load_config(ROOT / "config")["export"]["tolerances"]["default"])
SETTINGS = EngineTask(
    sizes=[9], size_s=0.1, longest_s=60.0, drift_ps=0.02, drift_s=60.0, step_fs=0.5, temperature_K=300.0,
    max_drift_meV_per_atom_per_ps=5.0, strain_relative=1e-3,
)  # fmt: skip


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """The folder of a student, structures that it knows, and what it says of two of them in double precision."""
    folder = tmp_path_factory.mktemp("student")
    write(
        normalize(ROOT / "data/checkpoints/ultra_tiny.pt"), "toy", folder / "model.safetensors", folder / "model.json"
    )
    structures = shaken("CH3CH2OH", 3)
    return folder, structures, expect(load_model(folder / "model.safetensors", torch.float64), structures)


@pytest.fixture
def run(student, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    folder, structures, expected = student

    def run(fault, **settings):
        (folder / "fault").write_text(fault)
        files = {name: folder / name for name in TOY.files}
        asked = SETTINGS.model_copy(update=settings)
        timed = [cases.of_size(structures, size) for size in asked.sizes]
        return run_program(TOY, files, timed, expected, asked, TOLERANCE)

    return run


def test_a_box_is_periodic_wider_than_two_cutoffs_and_not_crowded(student):
    _, structures, expected = student
    box = expected.structures[BOX]
    assert box.pbc.all()
    assert len(box) == 8 * len(structures[0])
    assert np.linalg.norm(box.cell, axis=1).min() >= 10.0
    gaps = box.positions[:, None] - box.positions
    gaps -= np.round(gaps @ np.linalg.inv(box.cell)) @ box.cell
    assert np.linalg.norm(gaps + 9.0 * np.eye(len(box))[..., None], axis=-1).min() > 0.9


def test_a_strain_keeps_a_cell_lower_triangular_and_turns_no_bond_into_another(student):
    box = student[2].structures[BOX]
    strained = cases.strained(box, cases.STRAIN)
    assert np.triu(strained.cell, 1).max() == 0.0
    fractions = [s.positions @ np.linalg.inv(s.cell) for s in (box, strained)]
    np.testing.assert_allclose(*fractions, atol=1e-12)
    strain = cases.strain_direction()
    assert np.abs(strain - strain.T).max() > 0.1
    assert np.linalg.norm(strain) == pytest.approx(1.0)


def test_velocities_are_thermal_and_leave_the_center_where_it_is(student):
    structure = student[2].structures[BOX]
    velocities, atoms = cases.velocities_A_per_fs(structure, 300.0), structure.to_ase()
    assert np.abs(atoms.get_masses() @ velocities).max() < 1e-10
    kinetic_eV = 0.5 * (atoms.get_masses()[:, None] * velocities**2).sum() * 103.642697  # amu A^2/fs^2
    assert kinetic_eV == pytest.approx(1.5 * len(structure) * 300.0 * 8.617333e-5, rel=0.3)


def test_the_interval_of_a_drift_holds_the_true_one():
    """Of energies that swing slowly and at random, as of many modes, 95 % of the intervals hold the slope."""
    rng, times_ps = np.random.default_rng(0), np.linspace(0.0, 2.0, 400)
    kernel, held = np.exp(-0.5 * np.linspace(-3, 3, 60) ** 2), []
    for _ in range(400):
        energies = 0.3 * times_ps + np.convolve(rng.normal(size=459), kernel, "valid")
        found = drift_of(times_ps, energies)
        error = found["drift_meV_per_atom_per_ps"] - 0.3
        held.append(abs(error) < found["drift_uncertainty_meV_per_atom_per_ps"])
    assert 0.9 <= np.mean(held) <= 0.99


@pytest.mark.parametrize(
    ("drift", "shortened", "answer"),
    [(0.0, True, None), (0.4, True, None), (9.0, True, False), (0.0, False, True), (0.4, False, False)],
)
def test_a_motion_that_was_cut_short_fails_or_passes_only_where_its_drift_can_be_told(drift, shortened, answer):
    times_ps = np.linspace(0.0, 0.2, 11)
    case = drift_of(times_ps, drift * times_ps + 0.04 * np.sin(40.0 * times_ps))
    assert drift_passes(case | ({"shortened": "moved for 0.2 ps"} if shortened else {}), 0.3) is answer


def test_a_long_motion_that_was_cut_short_passes():
    times_ps = np.linspace(0.0, 5.0, 251)
    case = drift_of(times_ps, 0.01 * times_ps + 0.04 * np.sin(40.0 * times_ps))
    assert drift_passes(case | {"shortened": "moved for 5 ps"}, 0.05) is True


@pytest.mark.slow
def test_a_program_that_is_right_passes(run, tmp_path):
    found = run("")
    assert {name: case for name, case in found["cases"].items() if case["verdict"] != PASSES} == {}
    [point] = found["speed"]
    assert point["ns_per_day"] == pytest.approx(86400 * 0.5e-3 / point["ms_per_step"])
    own = {
        "programs": {"toy": found},
        "load_of_other_processes": 0.5,
        "settings": SETTINGS.model_dump(),
        "device_name": "a processor",
    }
    result = {"students": {"tiny": own}}
    write_markdown(tmp_path / "page.md", result)
    draw(tmp_path / "figure.svg", result)
    page = (tmp_path / "page.md").read_text()
    assert page.count("| passes |") == 2
    assert "9 atoms" in page and "its times are rough" in page
    assert "a toy" in (tmp_path / "figure.svg").read_text()


def test_the_page_names_the_machine_of_each_student(tmp_path):
    own = {"programs": {}, "load_of_other_processes": 0.0, "settings": SETTINGS.model_dump()}
    machines = {"a": "one processor", "b": "one processor", "c": "another"}
    students = {name: own | {"device_name": machine} for name, machine in machines.items()}
    write_markdown(tmp_path / "page.md", {"device_name": "that of the node which submits", "students": students})
    page = (tmp_path / "page.md").read_text()
    assert "a, b: on one thread of one processor, each" in page and "c: on one thread of another, each" in page
    assert "submits" not in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "case", "verdict"),
    [
        ("forces", MOLECULE, "passed"),
        ("stress", BOX, "strain_passed"),
        ("drift", MOLECULE, "drift_passed"),
    ],
)
def test_a_program_that_is_wrong_is_seen(run, fault, case, verdict):
    found = run(fault, sizes=[])
    assert found["cases"][case][verdict] is False
    assert found["cases"][case]["verdict"] == FAILS


@pytest.mark.slow
def test_a_program_that_fails_says_why_and_a_size_that_takes_too_long_is_left_out(run, tmp_path):
    found = run("crash", sizes=[])
    assert found["cases"][MOLECULE]["error"] == "RuntimeError: no program"
    assert found["cases"][MOLECULE]["verdict"] == FAILS
    slow = run("", sizes=[9, 30], longest_s=1e-6, size_s=1e-6, drift_ps=0.02, drift_s=1e-6)
    first, second = slow["speed"]
    assert first["steps"] == 3 and "ms_per_step" in first
    assert re.fullmatch(r"did not fit: \S+ s a step expected", second["left_out"])
    case = slow["cases"][MOLECULE]
    assert case["duration_ps"] == pytest.approx(0.005)
    assert case["shortened"].startswith("moved for 0.005 ps, as 0.02 ps would take about")
    own = {"programs": {"toy": slow}, "load_of_other_processes": 0.0, "settings": SETTINGS.model_dump()}
    own["device_name"] = "a processor"
    write_markdown(tmp_path / "page.md", {"students": {"tiny": own}})
    page = (tmp_path / "page.md").read_text()
    assert second["left_out"] in page and case["shortened"] in page
    assert case["verdict"] == TOO_SHORT and "| too short to tell |" in page


@pytest.mark.slow
def test_what_a_program_that_died_has_not_measured_fails_and_says_why(run, tmp_path):
    found = run("death", sizes=[9, 30])
    assert found["cases"][MOLECULE]["verdict"] == PASSES
    assert found["cases"][BOX]["verdict"] == FAILS and "energy_error_eV" in found["cases"][BOX]
    why = "the program ended with status 7 before it was measured"
    assert [part["error"] for part in (found["cases"][BOX], *found["speed"])] == [why] * 3
    own = {"programs": {"toy": found}, "load_of_other_processes": 0.0, "settings": SETTINGS.model_dump()}
    write_markdown(tmp_path / "page.md", {"students": {"tiny": own | {"device_name": "a processor"}}})
    page = (tmp_path / "page.md").read_text()
    assert "- tiny in a toy: ended with status 7" in page
    assert f"- tiny in a toy, {BOX}: {why}" in page and f"- tiny in a toy, 36 atoms: {why}" in page


@pytest.mark.slow
def test_a_slow_first_step_shortens_no_motion(run):
    for case in run("slow start", sizes=[], drift_s=2.0)["cases"].values():
        assert "shortened" not in case
        assert case["duration_ps"] == pytest.approx(SETTINGS.drift_ps)
    for case in run("slow start", sizes=[], drift_s=1.195)["cases"].values():
        assert case["duration_ps"] == pytest.approx(0.0105)  # 1 s of one step, and 0.2 s of 20 others
        assert case["shortened"].startswith("moved for 0.011 ps, as 0.02 ps would take about")


def test_lammps_knows_the_elements_by_the_symbols_and_weights_of_ase():
    listed = re.findall(r'\{"(\w+)", ([\d.]+)\}', (ROOT / "scripts/assay/engines/lammps/elements.h").read_text())
    assert len(listed) == 101
    for z, (symbol, mass_u) in enumerate(listed[1:], 1):
        assert symbol == ase.data.chemical_symbols[z]
        assert float(mass_u) == pytest.approx(ase.data.atomic_masses[z], abs=0.01)


def test_every_program_has_its_environment():
    for program in PROGRAMS.values():
        assert program.environment is None or (ENVIRONMENTS / program.environment).is_file()


def of_environment(name, program):
    if program.environment is None:
        return pytest.param(name, marks=pytest.mark.slow)
    return pytest.param(name, marks=[installs(Path(program.environment).stem), pytest.mark.slow])


@pytest.mark.parametrize("name", [of_environment(*item) for item in PROGRAMS.items()])
def test_programs_run_the_student(student, name):
    folder, structures, expected = student
    program, model = PROGRAMS[name], load_model(folder / "model.safetensors")
    for file in program.files:
        WRITE[file](model, folder / file)
    files = {file: folder / file for file in program.files}
    timed = [cases.of_size(structures, size) for size in SETTINGS.sizes]
    found = run_program(program, files, timed, expected, SETTINGS, TOLERANCE)
    assert "error" not in found, found
    assert {name: case for name, case in found["cases"].items() if case["verdict"] != PASSES} == {}
    told = [case["virial_error_relative"] for case in found["cases"].values() if "virial_error_relative" in case]
    assert max(told, default=0.0) < 1e-4


def write_metatomic(model, path):
    python = interpreter(ENVIRONMENTS / "metatomic.txt")
    files = [path.with_name("model.safetensors"), path.with_name("model.json"), path]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    subprocess.run([python, "-m", "assay.engines.metatomic.model", *files], check=True, env=environment)


WRITE = {
    "model.assay": lambda model, path: path.write_bytes(to_bytes(model, {"variant": "toy"}, [1, 6, 8])),
    "model.edges.onnx": lambda model, path: onnx_graphs.save(
        onnx_graphs.assemble(lower(model), model.cutoff, {"variant": "toy"}, search=False), path
    ),
    "model.metatomic.pt": write_metatomic,
}
