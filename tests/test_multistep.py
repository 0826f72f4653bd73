"""Multiple time steps: the integrator is the teacher's, the student only makes it cheap, and a bad student is seen."""

from dataclasses import replace

import ase
import numpy as np
import pytest
from ase import units
from ase.build import molecule
from ase.constraints import FixAtoms
from ase.md.verlet import VelocityVerlet

from assay.benchmark.multistep import best_inner_force, collect, draw, largest_stable, summarize, time_steps
from assay.benchmark.multistep_page import write_page
from assay.benchmark.timing import Timing
from assay.dynamics import multistep
from assay.dynamics.internal import BOND_EDGES_A, InternalCoordinates, compare, dihedral_angles
from assay.dynamics.multistep import describe, molecules_for, student_runs, teacher_runs
from assay.predictors.ase_calculator import PredictorCalculator
from assay.runtime.respa import Respa
from assay.structures.structure import Structure
from assay.workflow.config_models.commands_yaml import MultistepDynamics
from assay.workflow.errors import AssayError
from shared.physics_toys import Pairs, cluster, predictor
from shared.respa_toys import Wells
from shared.toy_calculators import Smeared

STEP = 0.5 * units.fs
SETTINGS = MultistepDynamics(
    split="unseen_molecules", molecules=2, max_atoms=6, corrected_every=[1, 4], step_fs=0.5, temperature_K=300.0,
    constant_energy_ps=0.03, bath_ps=0.02, friction_per_fs=0.02, sample_every_fs=2.0, seed=0,
)  # fmt: skip


def toy(depth_eV=1.5):
    return PredictorCalculator(predictor(Pairs(depth_eV)))


def moving(calculator, numbers=(6, 8, 1, 7), temperature_K=300.0):
    structure = cluster("alpha", list(numbers), 0)
    atoms = ase.Atoms(structure.atomic_numbers, structure.positions, calculator=calculator)
    rng = np.random.default_rng(1)
    atoms.set_velocities(rng.standard_normal((len(atoms), 3)) * np.sqrt(units.kB * temperature_K / 12.0))
    return atoms


def test_one_short_step_a_correction_is_velocity_verlet_of_the_teacher():
    one, other = moving(toy()), moving(toy())
    Respa(one, STEP, toy(1.0), 1).run(20)
    VelocityVerlet(other, STEP).run(20)
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-10)
    np.testing.assert_allclose(one.get_momenta(), other.get_momenta(), atol=1e-9)


def test_it_goes_back_the_way_it_came():
    atoms = moving(toy())
    began = atoms.positions.copy()
    motion = Respa(atoms, STEP, toy(1.2), 4)
    motion.run(10)
    assert np.abs(atoms.positions - began).max() > 0.02
    atoms.set_momenta(-atoms.get_momenta())
    motion.run(10)
    np.testing.assert_allclose(atoms.positions, began, atol=1e-9)


def test_the_energy_of_the_teacher_is_kept_and_that_of_the_student_is_not():
    spans = []
    for corrected in (True, False):
        atoms, found = moving(toy() if corrected else toy(3.0), temperature_K=2000.0), []
        motion = Respa(atoms, STEP, toy(3.0), 2) if corrected else VelocityVerlet(atoms, STEP)
        for _ in range(60):
            motion.run(1 if corrected else 2)
            found.append(toy().get_potential_energy(atoms) + atoms.get_kinetic_energy())
        spans.append(np.ptp(found))
    assert spans[0] < 0.1 * spans[1]


def test_the_energy_that_is_kept_is_the_one_that_forces_belong_to():
    """Of a teacher with smeared electrons the free energy."""
    structure, spans = cluster("alpha", [6, 8, 1, 7], 0), []
    for smeared in (True, False):
        found = multistep.run(structure, Smeared(smeared), None, 1, SETTINGS, bath=False, seed=0)
        spans.append(np.ptp(found.total_eV))
    assert spans[0] < 0.1 * spans[1]


def test_a_bath_gives_the_distribution_of_the_teacher():
    stiffness, temperature_K, n_atoms = 2.0, 400.0, 400
    atoms = ase.Atoms(["C"] * n_atoms, np.zeros((n_atoms, 3)), calculator=Wells(stiffness))
    rng = np.random.default_rng(0)
    motion = Respa(atoms, 1.0 * units.fs, Wells(0.6 * stiffness), 3, temperature_K, 0.05 / units.fs, rng)
    motion.run(60)
    squares = []
    for _ in range(60):
        motion.run(3)
        squares.append((atoms.positions**2).mean())
    expected = units.kB * temperature_K / stiffness
    assert np.mean(squares) == pytest.approx(expected, rel=0.04)  # the student's would be 1.67 times as large
    assert atoms.get_temperature() == pytest.approx(temperature_K, rel=0.1)


def test_a_seed_is_the_source_of_noise_that_it_makes():
    ended = []
    for rng in (42, np.random.default_rng(42)):
        atoms = moving(toy())
        Respa(atoms, STEP, toy(), 2, 300.0, 0.05 / units.fs, rng).run(2)
        ended.append(atoms.positions)
    np.testing.assert_array_equal(*ended)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n": 0}, "at least 1"),
        ({"n": 2, "temperature_K": 300.0}, "give both"),
        ({"n": 2, "friction": 0.1}, "give both"),
        ({"n": 2.5}, "at least 1 and whole"),
        ({"n": 2, "temperature_K": 300.0, "friction": -0.1}, "a friction of -0.1 is none: give positive"),
        ({"n": 2, "temperature_K": -300.0, "friction": 0.1}, "a heat bath of -300.0 K"),
        ({"n": 2, "temperature_K": np.nan, "friction": 0.1}, "a heat bath of nan K"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        Respa(moving(toy()), STEP, toy(), **arguments)


def test_constraints_and_a_missing_teacher_are_refused():
    atoms = moving(toy())
    with pytest.raises(ValueError, match="is the teacher"):
        Respa(atoms, STEP, atoms.calc, 2)
    motion = Respa(atoms, STEP, toy(), 2)
    atoms.set_constraint(FixAtoms([0]))
    with pytest.raises(ValueError, match="constraints"):
        Respa(atoms, STEP, toy(), 2)
    with pytest.raises(ValueError, match="constraints"):
        motion.run(1)


def test_masses_that_change_move_atoms_from_then_on():
    one, other = moving(toy()), moving(toy())
    first, second = Respa(one, STEP, toy(), 1), VelocityVerlet(other, STEP)
    for motion, atoms in ((first, one), (second, other)):
        atoms.set_masses(3.0 * atoms.get_masses())
        motion.run(5)
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-12)


def test_a_cell_that_comes_later_is_that_of_the_student_too():
    atoms, student = moving(toy()), toy()
    motion = Respa(atoms, STEP, student, 2)
    atoms.set_cell([9.0, 8.0, 7.0])
    atoms.pbc = True
    motion.run(1)
    assert student.atoms.pbc.all()
    np.testing.assert_array_equal(student.atoms.cell.lengths(), [9.0, 8.0, 7.0])


def test_torsions_are_those_of_bonds_in_no_ring():
    butane, benzene = molecule("trans-butane"), molecule("C6H6")
    found = InternalCoordinates.of(Structure("butane", butane.numbers, butane.positions))
    assert len(found.bonds) == 13 and len(found.torsions) == 3
    angles = dihedral_angles(butane.positions[None], found.torsions)[0]
    expected = [butane.get_dihedral(*map(int, torsion)) for torsion in found.torsions]
    np.testing.assert_allclose(np.cos(np.radians(angles - expected)), 1.0, atol=1e-9)
    assert len(InternalCoordinates.of(Structure("benzene", benzene.numbers, benzene.positions)).torsions) == 0


def test_distances_of_distributions_are_shifts_also_across_180_degrees():
    rng = np.random.default_rng(0)
    lengths, angles = 1.5 + 0.03 * rng.standard_normal((4000, 2)), rng.normal(175.0, 8.0, (4000, 3))
    wrapped = [(angles + shift + 180.0) % 360.0 - 180.0 for shift in (0.0, 12.0)]
    found = compare((lengths + 0.01, wrapped[1]), (lengths, wrapped[0]))
    assert found["bond_distance_A"] == pytest.approx(0.01, rel=1e-6)
    assert found["torsion_distance_deg"] == pytest.approx(12.0, abs=0.5)
    assert compare((lengths, wrapped[0][:, :0]), (lengths, wrapped[0][:, :0]))["torsion_distance_deg"] is None


def test_what_is_said_of_a_run_is_what_follows_by_hand():
    peroxide = molecule("H2O2")
    structure = Structure("peroxide", peroxide.numbers, peroxide.positions)
    time_fs, still = 0.5 * np.arange(1, 401), np.tile(peroxide.positions, (50, 1, 1))
    rest = np.tile([1.0, -1.0, -1.0, 1.0], 100)  # which has neither a mean nor a slope
    longer = still.copy()
    bond = still[0, 2] - still[0, 0]
    assert np.linalg.norm(bond) == pytest.approx(0.98, abs=0.02), "atom 2 is a hydrogen of the oxygen 0"
    longer[:, 2] += 0.03 * bond / np.linalg.norm(bond)
    longer[:5] *= 3.0  # before a tenth of the run is over
    kinetic_eV = np.where(np.arange(400) < 40, 9.9, 1.5 * 4 * units.kB * 350.0)
    energy = multistep.Run(time_fs, -7.0 + 3e-6 * time_fs + 2e-4 * rest, kinetic_eV, still, np.array(np.nan))
    bath = energy._replace(total_eV=kinetic_eV, frames=longer)
    row = describe(structure, energy, bath, energy)
    assert row["drift_meV_per_atom_per_ps"] == pytest.approx(0.75) and row["n_atoms"] == 4  # 3 meV/ps over 4 atoms
    assert row["fluctuation_meV_per_atom"] == pytest.approx(0.05)
    assert row["mean_temperature_K"] == pytest.approx(350.0) and row["blown_up_fs"] is None
    assert row["bond_distance_A"] == pytest.approx(0.01) and row["torsion_distance_deg"] == 0.0  # one of three bonds
    counts, middles = row["densities"]["bonds"], 0.5 * (BOND_EDGES_A[1:] + BOND_EDGES_A[:-1])
    assert counts.sum() == 3 * 45 and counts @ middles / counts.sum() == pytest.approx(0.01, abs=0.0026)
    assert row["densities"]["torsions"].sum() == 45
    ended = describe(structure, energy, bath._replace(blown_up_fs=np.array(12.5)), energy)
    assert ended["blown_up_fs"] == 12.5 and ended["drift_meV_per_atom_per_ps"] == row["drift_meV_per_atom_per_ps"]
    assert ended["mean_temperature_K"] is None and ended["bond_distance_A"] is None and "densities" not in ended
    ended = describe(structure, energy._replace(blown_up_fs=np.array(7.0)), bath, energy)
    assert ended["blown_up_fs"] == 7.0 and ended["mean_temperature_K"] == row["mean_temperature_K"]
    assert ended["drift_meV_per_atom_per_ps"] is None and ended["fluctuation_meV_per_atom"] is None


@pytest.mark.parametrize(("student", "n"), [(None, 1), (Wells(0.0), 4)])
def test_atoms_without_forces_wander_as_far_as_the_friction_of_the_settings_lets_them(student, n):
    """By Langevin's formula, <(x(t) - x(0))^2> = 2 kT / (m g^2) (g t - 1 + exp(-g t)) along each axis."""
    rng, friction_per_fs = np.random.default_rng(0), 0.02
    gas = Structure("gas", np.full(1500, 6), rng.uniform(0.0, 50.0, (1500, 3)))
    settings = SETTINGS.model_copy(update={"bath_ps": 0.2, "friction_per_fs": friction_per_fs})
    found = multistep.run(gas, Wells(0.0), student, n, settings, bath=True, seed=0)
    np.testing.assert_allclose(found.time_fs, n * 0.5 * np.arange(1, 400 // n + 1))
    assert len(found.frames) == 100, "one each 2 fs"
    passed = friction_per_fs * 198.0  # between the first frame and the last, which are at 2 and 200 fs
    thermal = units.kB * 300.0 / 12.011 * (units.fs / friction_per_fs) ** 2
    expected = 2.0 * thermal * (passed - 1.0 + np.exp(-passed))
    assert ((found.frames[-1] - found.frames[0]) ** 2).mean() == pytest.approx(expected, rel=0.06)


def test_a_student_alone_has_the_start_of_its_teacher_and_noise_of_its_own(tmp_path):
    """With the teacher's noise, one that is the teacher itself would be no distance from it, as nothing else is."""
    molecules = [cluster("alpha", [6, 8, 1, 7], 0)]
    [teacher] = teacher_runs(molecules, toy, SETTINGS, tmp_path / "teacher")
    alone = next(runs for _, n, runs in student_runs(molecules, toy, toy, SETTINGS, tmp_path / "student"))
    np.testing.assert_array_equal(alone["energy"].frames, teacher["energy"].frames)
    for name in (multistep.TEACHER, "energy"):
        assert np.abs(alone["bath"].frames[-1] - teacher[name].frames[len(alone["bath"].frames) - 1]).max() > 1e-3


def students_of(molecules, depths, folder):
    own = teacher_runs(molecules, toy, SETTINGS, folder / "teacher")
    multistep.write_runs(folder / "teacher.npz", own)
    own = multistep.read_runs(folder / "teacher.npz")
    motions = {}
    for name, depth in depths.items():
        runs = student_runs(molecules, lambda depth=depth: toy(depth), toy, SETTINGS, folder / name)
        motions[name] = {
            "checkpoint_sha256": "0",
            "rows": [{"n": n} | describe(molecules[k], r["energy"], r["bath"], own[k][multistep.TEACHER])
                     for k, n, r in runs],
            "teacher_rows": [{"n": name} | describe(m, r["energy"], r[name], r[multistep.TEACHER])
                             for name in (multistep.TEACHER, multistep.REPEATED)
                             for m, r in zip(molecules, own, strict=True)],
        }  # fmt: skip
    return motions


@pytest.mark.slow
def test_the_best_inner_force_is_found_and_a_bad_student_is_unstable(tmp_path):
    molecules = [cluster("alpha", [6, 8, 1, 7], 0)]
    motions = students_of(molecules, {"good": 1.4, "bad": 200.0}, tmp_path)
    students = {"good": toy(1.4), "bad": toy(200.0)}
    times = [row for m in molecules for row in time_steps(m, toy, students, SETTINGS, 0.01)]
    assert {row["n"] for row in times} == {1, 4} and all(row["step_ms"] > 0 for row in times)
    times = [row | {"step_ms": 10.0, "teacher_step_ms": 10.0} for row in times]  # on a busy machine any could be faster
    found = collect(motions, times, "pairs", 5.0)
    good, bad = found["students"]["good"], found["students"]["bad"]
    assert found["best"] == "good" and good["largest_stable"]["n"] == 4
    by_n = {entry["n"]: entry for entry in bad["summary"]}
    assert by_n[1]["stable"] and not by_n[4]["stable"]  # n = 1 is the teacher, whatever the student
    alone = next(entry for entry in good["summary"] if entry["n"] == multistep.ALONE)
    assert alone["bond_distance_A"] is not None and "times_faster" not in alone
    result = found | {"settings": vars(SETTINGS), "not_applicable": {"other": "its teacher is another"},
                      "load_of_other_processes": 0.0, "device_name": "a processor"}  # fmt: skip
    draw(tmp_path / "multistep.svg", result)
    write_page(tmp_path / "multistep.md", result)
    page = (tmp_path / "multistep.md").read_text()
    assert "**`good` is the best inner force**: corrected every 4 steps" in page
    assert "`other` was left out: its teacher is another." in page
    assert (tmp_path / "multistep.svg").read_text().startswith("<svg")


def test_a_step_with_its_correction_is_timed_against_as_many_of_the_teacher(monkeypatch):
    def timed(calls, *_, **__):
        return {name: Timing({0: np.array([0.01 if name == "teacher" else 0.02])}, 1, True) for name in calls}

    monkeypatch.setattr("assay.benchmark.multistep.interleave", timed)
    rows = time_steps(cluster("alpha", [6, 8, 1, 7], 0), toy, {"good": toy()}, SETTINGS, 0.01)
    assert [(row["n"], row["step_ms"], row["teacher_step_ms"]) for row in rows] == [(1, 20.0, 10.0), (4, 20.0, 10.0)]
    assert [row["times_faster"]["median"] for row in rows] == [0.5, 2.0]


def test_molecules_together_say_what_is_stable_and_how_fast():
    def row(n, drift, fluctuation, bond, torsion, blown_up_fs=None):
        return {"n": n, "drift_meV_per_atom_per_ps": drift, "fluctuation_meV_per_atom": fluctuation,
                "bond_distance_A": bond, "torsion_distance_deg": torsion, "blown_up_fs": blown_up_fs}  # fmt: skip

    rows = [row(1, 0.1, 0.1, 0.01, 1.0), row(4, -6.0, 0.1, 0.01, 5.0), row(4, 1.0, 0.3, 0.03, None)]
    rows += [row(8, 2.0, 0.1, 0.01, 1.0), row(16, None, None, None, None, 7.0), row(16, 1.0, 0.2, 0.01, 1.0)]
    times = [{"n": 4, "step_ms": 20.0, "teacher_step_ms": ms} for ms in (10.0, 30.0)]
    found = summarize(rows, times, 5.0)
    assert [(entry["n"], entry["stable"], entry["blown_up"]) for entry in found] == [
        (1, True, 0), (4, False, 0), (8, True, 0), (16, False, 1),
    ]  # fmt: skip
    assert found[1] == pytest.approx(
        {"n": 4, "stable": False, "blown_up": 0, "drift_meV_per_atom_per_ps": -6.0, "fluctuation_meV_per_atom": 0.3,
         "bond_distance_A": 0.02, "torsion_distance_deg": 5.0, "times_faster": 4.0}
    )  # fmt: skip
    assert largest_stable(found) == found[0], "n = 4 is not stable, whatever is said of 8"
    able = {"slow": 2.0, "fast": 3.0}
    students = {name: {"largest_stable": {"times_faster": faster}} for name, faster in able.items()}
    assert best_inner_force(students | {"none": {"largest_stable": None}}) == "fast"


def test_a_finished_run_is_not_made_again(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return multistep.run(cluster("alpha", [6, 8, 1], 0), toy(), None, 1, SETTINGS, bath=False, seed=0)

    first, again = (multistep.kept(tmp_path / "run.npz", make) for _ in range(2))
    assert len(calls) == 1
    np.testing.assert_array_equal(first.total_eV, again.total_eV)


class Listening(PredictorCalculator):
    """Notes the charge and the number of unpaired electrons of what it is asked about."""

    def __init__(self, heard):
        super().__init__(predictor(Pairs(1.5)))
        self.heard = heard

    def calculate(self, atoms=None, *rest, **others):
        self.heard.add((round(atoms.get_initial_charges().sum()), round(atoms.get_initial_magnetic_moments().sum())))
        self.heard.add((atoms.info.get("charge"), atoms.info.get("spin")))
        super().calculate(atoms, *rest, **others)


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ({}, {(0, 0), (None, None)}),
        ({"charge": 1, "spin": 3}, {(1, 2), (1, 3)}),
        ({"charge": -1}, {(-1, 0), (-1, None)}),
    ],
)
def test_the_teacher_is_asked_about_the_ion_that_the_split_holds(told, heard):
    ion = replace(cluster("alpha", [7, 1, 1, 1], 0), **told)
    own, timed = set(), set()
    multistep.run(ion, Listening(own), toy(), 4, SETTINGS, bath=True, seed=0)
    time_steps(ion, lambda: Listening(timed), {"good": toy()}, SETTINGS, 0.01)
    assert own == timed == heard


def test_only_open_molecules_of_known_elements_and_size_are_moved():
    structures = [
        cluster("alpha", [6, 8, 1, 7], 0),
        cluster("beta", [6, 6, 8, 1, 1], 1),
        cluster("gamma", [8, 1, 6], 2),
    ]
    named = [type(s)(**{**vars(s), "molecule": s.name}) for s in structures]
    assert [s.name for s in molecules_for(named, SETTINGS, [None])] == ["gamma", "beta"]
    more = SETTINGS.model_copy(update={"molecules": 3})
    assert [s.name for s in molecules_for(named, more, [["H", "C", "O"], None])] == ["gamma", "beta"]
    small = more.model_copy(update={"max_atoms": 4})
    assert [s.name for s in molecules_for(named, small, [None])] == ["gamma", "alpha"]
    with pytest.raises(AssayError, match="max_atoms"):
        molecules_for(named, SETTINGS, [["He"]])
