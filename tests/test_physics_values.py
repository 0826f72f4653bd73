"""The numbers of the checks are what their names and units say, of models whose numbers are known."""

from dataclasses import replace

import numpy as np
import pytest
from ase import units

from assay.physics import motion, pressure
from assay.physics.base import Subject
from assay.physics.checks import measure
from assay.physics.lattice import VOIGT, crystal_frames
from assay.physics.reference import (
    CONFORMER,
    CONTACT,
    DIMER,
    MINIMUM,
    STRAINED_CELL,
    TAUTOMER,
    TORSION,
    Frame,
    Reference,
)
from assay.physics.repulsion import shape, walls
from assay.predictors.interface import Prediction
from assay.structures.structure import Structure
from shared.physics_faulty import Crystalline, Faulty
from shared.physics_toys import TEACHER, Springs, crystal, predictor, subject

KCAL_PER_MOL = 0.0433641153  # eV
DISTANCES_A = np.arange(1.0, 3.01, 0.25)
WALL_eV = np.array([12.0, 9.0, 6.0, 4.0, 2.5, 1.0, 0.5, 0.0, 0.0])
HOLE_eV = np.array([12.0, 9.0, -1.0, 4.0, 2.5, 1.0, 0.5, 0.3, 0.0])  # and 0.3 eV too high where molecules meet


class Told(Springs):
    """A predictor that gives each structure the energy that stands for its name, and no forces."""

    def __init__(self, energies_eV):
        super().__init__([])
        self.energies_eV = energies_eV

    def predict(self, structures):
        return [Prediction(self.energies_eV[s.name], np.zeros_like(s.positions)) for s in structures]


def measured(frames, own_eV, *names):
    """What checks find of labelled frames and of what a student says of each."""
    named = [replace(frame, structure=replace(frame.structure, name=str(k))) for k, frame in enumerate(frames)]
    student = Told({str(k): energy for k, energy in enumerate(own_eV)})
    return measure(Subject(student, student, Reference(named, TEACHER), {}, teacher=TEACHER), names)


def scan(kind, group, coordinates, energies_eV):
    """Two atoms at distances, with the energies of the teacher."""
    for x, energy in zip(coordinates, energies_eV, strict=True):
        pair = Structure("", np.array([1, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, x]]), energy_eV=float(energy))
        yield Frame(pair, kind, group, float(x))


def test_energies_between_shapes_are_means_over_molecules_in_kcal_per_mol():
    teacher, own = np.array([[0.0, 2.0, 1.0], [0.0, 1.0, 5.0]]), np.array([[7.0, 10.0, 11.0], [0.0, 1.0, 5.0]])
    for kinds, n in ((TORSION, CONFORMER), 3), ((TAUTOMER,), 2):
        frames = [f for kind in kinds for k in (0, 1) for f in scan(kind, f"{k}", range(1, n + 1), teacher[k, -n:])]
        said = np.concatenate([own[k, -n:] for _ in kinds for k in (0, 1)])
        frames = [replace(f, structure=replace(f.structure, energy_eV=KCAL_PER_MOL * f.energy_eV)) for f in frames]
        found = measured(frames, KCAL_PER_MOL * said, *(kind + "s" for kind in kinds))
        values = {key: value for row in found.values() for key, value in row["values"].items()}
        assert values == pytest.approx(
            {"barrier_mae_kcal_per_mol": 1.0, "profile_mae_kcal_per_mol": 5 / 9, "mae_kcal_per_mol": 5 / 9}
            if n == 3
            else {"mae_kcal_per_mol": 1.0}  # of a difference of +1 where the teacher has -1, and of none
        )


def test_a_hole_in_a_wall_has_its_depth_and_a_wall_ends_before_the_teacher_turns():
    found = measured(scan(DIMER, "H-H", DISTANCES_A, WALL_eV), HOLE_eV, "short_range")["short_range"]
    assert found["values"] == {"attractive_pairs": 1.0, "deepest_hole_eV": 3.5}
    assert found["raw"]["pairs"]["dimer H-H"] == {"attractive_points": 1, "hole_eV": 3.5, "points": 5}
    barrier = np.array([12.0, 9.0, 6.0, 9.0, 5.0, 3.0, 0.5, 0.0])
    curve = {"teacher_eV": barrier, "teacher_force_eV_per_A": -np.gradient(barrier, 0.25)}
    assert [stretch.tolist() for stretch in walls(curve)] == [[0], [4, 5]]
    wall = {"teacher_eV": barrier + 9.0, "teacher_force_eV_per_A": np.ones(8)}
    assert [stretch.tolist() for stretch in walls(wall)] == [list(range(8))], "to the largest distance"


def test_curves_are_compared_by_turns_and_minima_that_are_no_ripples():
    energies = np.array([0.0, 1.0, 0.995, 2.0, 1.0, 3.0])
    assert shape(energies, np.array([-1.0, 0.01, -1.0, 1.0, -1.0])) == (2, 1)
    frames = [f for k, e in enumerate((WALL_eV, HOLE_eV)) for f in scan(CONTACT, f"{k}", DISTANCES_A, e)]
    found = measured(frames, [*HOLE_eV, *WALL_eV], "contact_curves")["contact_curves"]["values"]
    # Of nine points of each curve two or three are below 0.5 eV, of which one is off by 0.3 eV.
    assert found == pytest.approx({"mean_wrong_flips": 2.0, "mean_wrong_minima": 1.0, "energy_mae_eV": 0.15})


def test_minima_are_apart_by_the_distance_of_their_atoms_and_what_does_not_relax_is_counted():
    def pair(name, length_A):
        return Structure(name, np.array([7, 7]), np.array([[0.0, 0.0, 0.0], [length_A, 0.0, 0.0]]))

    class Pulled(Springs):
        def predict(self, structures):
            found = super().predict(structures)
            restless = [10.0 * (structure.name == "restless") for structure in structures]
            return [Prediction(p.energy_eV, p.forces_eV_per_A + f) for p, f in zip(found, restless, strict=True)]

    frames = [Frame(pair(name, x), MINIMUM, name) for name, x in (("same", 1.2), ("longer", 1.1), ("restless", 1.2))]
    student = Pulled([(0, 1, 1.2, 50.0)])
    asked = Subject(student, student, Reference(frames, TEACHER), {}, teacher=TEACHER)
    found = measure(asked, ["minima"])["minima"]["values"]
    assert found == pytest.approx({"mean_rmsd_A": 0.05 / 3, "max_rmsd_A": 0.05, "unconverged": 1.0}, abs=1e-4)


def test_the_elastic_constants_of_a_known_crystal_are_in_gigapascal():
    known = np.array([100.0, 90.0, 80.0, 30.0, 20.0, 10.0])
    at_rest, volume = np.asarray(crystal().cell), abs(np.linalg.det(crystal().cell))

    def energy_eV(structure):
        strain = np.linalg.solve(at_rest, np.asarray(structure.cell)) - np.eye(3)
        engineering = np.array([strain[i, j] if i == j else strain[i, j] + strain[j, i] for i, j in VOIGT])
        return 0.5 * volume * units.GPa * float(known @ engineering**2)

    frames = [frame for frame in crystal_frames(crystal()) if frame.kind == STRAINED_CELL]
    energies = np.array([energy_eV(frame.structure) for frame in frames])
    frames = [replace(f, structure=replace(f.structure, energy_eV=e)) for f, e in zip(frames, energies, strict=True)]
    found = measured(frames, 1.5 * energies, "elastic_constants")["elastic_constants"]
    assert found["values"]["relative_error"] == pytest.approx(0.5)
    assert found["raw"]["crystals"]["KNa"]["teacher_GPa"] == pytest.approx(known)
    assert found["raw"]["crystals"]["KNa"]["elastic_constants_GPa"] == pytest.approx(1.5 * known)


def test_phonons_of_forces_that_drive_atoms_away_are_imaginary():
    def fault(inner, structure):
        (p,) = inner.predict([structure])
        return replace(p, forces_eV_per_A=-p.forces_eV_per_A)

    found = measure(subject(Crystalline(fault)), ["phonons"])["phonons"]
    teacher = np.array(found["raw"]["crystals"]["KNa"]["teacher_per_cm"])
    assert found["values"]["imaginary_modes"] == (teacher > 10.0).sum() - (teacher < -10.0).sum() > 20


def test_forces_that_push_all_atoms_one_way_are_a_net_force_without_a_torque():
    pushed = subject(Faulty(lambda s, e, f, k: (e, f + np.array([0.0, 0.03, 0.04]))))
    found = measure(pushed, ["net_force"])["net_force"]["values"]
    assert found["net_force_eV_per_A"] == pytest.approx(0.05 * len(pushed.dense_cluster))
    assert found["net_torque_eV"] < 1e-9


def test_the_drift_of_the_shorter_step_is_judged_per_atom_and_picosecond():
    """The energy of three atoms rises by 1e-6 eV a step, which is 2 meV a picosecond in steps of 0.5 fs."""
    calls = 0

    def rising(structure, energy, forces, k):
        nonlocal calls
        calls += k == 0
        return energy + 1e-6 * calls, forces

    found = measure(subject(Faulty(rising)), ["nve"])["nve"]
    spread = np.array(found["raw"]["step_0.5_fs"]["kinetic_std_eV"])
    assert found["values"]["drift_meV_per_atom_per_ps"] == pytest.approx(2.0 / 3.0, rel=0.05)
    assert found["values"]["drift_over_50_ps_per_kinetic_std"] == pytest.approx(0.1 / spread.min(), rel=0.05)


def test_a_molecule_that_blows_up_at_constant_energy_has_no_drift():
    """Frozen as it then is, it would have none."""
    calls = 0

    def late(structure, energy, forces, k):
        nonlocal calls
        calls += k == 0
        return energy, forces * (1e6 if k == 0 and calls % 100 > 90 else 1.0)

    assert set(measure(subject(Faulty(late)), ["nve"])["nve"]["values"].values()) == {None}


def test_dynamics_begin_at_a_minimum_with_twice_the_heat_of_their_temperature(monkeypatch):
    """Half of which goes into the bonds."""
    given, run, thermalize = [], motion.run_dynamics, pressure.thermalize_momenta

    def noted_run(*arguments, **options):
        given.append((options["temperature_K"], options["step_fs"]))
        return run(*arguments, **options)

    def noted_heat(atoms, *, temperature_K, rng):
        given.append(temperature_K)
        thermalize(atoms, temperature_K=temperature_K, rng=rng)

    monkeypatch.setattr(motion, "run_dynamics", noted_run)
    monkeypatch.setattr(pressure, "thermalize_momenta", noted_heat)
    measure(subject(predictor()), ["nve", "npt"])
    assert given == [(600.0, 1.0), (600.0, 0.5), 600.0]


def fractions(structure):
    return structure.positions @ np.linalg.inv(structure.cell)


def slant(structure):
    a, b, _ = np.asarray(structure.cell)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@pytest.mark.parametrize(
    ("description", "off_eV"),
    [
        ("atoms in other cells", lambda s: np.abs(fractions(s)).max() > 1.5),
        ("other lattice vectors", slant),
        ("turned", lambda s: s.cell[0, 0] / np.linalg.norm(s.cell[0])),
        ("slab beside vacuum", lambda s: not s.pbc.all()),
    ],
)
def test_each_description_of_a_crystal_is_asked(description, off_eV):
    """A fault of one of them, in proportion to the number of atoms, shows in that one."""

    def fault(inner, structure):
        [p] = inner.predict([structure])
        return replace(p, energy_eV=p.energy_eV + 0.01 * len(structure) * float(off_eV(structure)))

    raw = measure(subject(Crystalline(fault)), ["images"])["images"]["raw"]
    errors = dict(zip(raw["pairs"], raw["energy_error_eV"], strict=True))
    assert any(error > 1e-4 for pair, error in errors.items() if pair.endswith(description)), errors
