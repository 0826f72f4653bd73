"""Planted faults, each caught by the check that is meant for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from assay.models import PaiNN, SeedPaiNN
from assay.models.graph import Term
from assay.physics.checks import CHECKS, measure
from assay.physics.reference import Reference, read_reference
from assay.physics.verdict import verdict_of
from assay.predictors.interface import Prediction
from shared.physics_faulty import Faulty, Neglectful, PairsOver, assert_caught, outcomes
from shared.physics_toys import TEACHER, THRESHOLDS, Pairs, predictor, subject

EXACT = ("rotation", "reflection", "translation", "permutation", "batch", "determinism", "extensivity", "locality")
GRADIENT = ("force_consistency", "jacobian_symmetry", "work", "net_force")


def test_forces_scaled_by_one_percent():
    student = Faulty(lambda s, e, f, k: (e, 1.01 * f))
    assert_caught(student, ["force_consistency", "work"], [*EXACT, "net_force", "cutoff"])


def test_what_is_not_a_number_passes_no_check_and_breaks_none():
    judged = outcomes(Faulty(lambda s, e, f, k: (np.nan, np.nan * f)), list(CHECKS))
    assert [name for name, outcome in judged.items() if outcome in ("pass", "error")] == []


def test_a_sign_flipped_in_one_component():
    def flip(structure, energy, forces, k):
        forces[0, 1] = -forces[0, 1]
        return energy, forces

    assert_caught(Faulty(flip), ["force_consistency", "jacobian_symmetry", "net_force"], ["batch", "cutoff"])


def test_forces_of_other_atoms():
    student = Faulty(lambda s, e, f, k: (e, np.roll(f, 1, axis=0)))
    assert_caught(student, ["force_consistency", "work"], ["rotation", "batch"])


def test_forces_that_are_no_gradient_of_anything():
    def curl(structure, energy, forces, k):
        x = structure.positions - structure.positions.mean(0)
        return energy, forces + 0.05 * np.cross([0.0, 0.0, 1.0], x)

    assert_caught(Faulty(curl), ["jacobian_symmetry", "force_consistency", "net_force"], ["permutation", "batch"])


def test_a_kink_is_not_taken_for_a_missing_gradient():
    origin = {molecule.name: molecule.positions for molecule in subject(predictor()).small}

    def kink(structure, energy, forces, k):
        """0.5 k u^2 on one side of u = 0, which some displacements of 0.001 angstrom meet."""
        moved = structure.positions - origin[structure.name]
        u = max(0.0, moved[0, 0] + 2.0 * moved[1, 1] - 7e-4)
        forces[0, 0] -= 10.0 * u
        forces[1, 1] -= 20.0 * u
        return energy + 5.0 * u**2, forces

    assert outcomes(Faulty(kink), ["jacobian_symmetry"]) == {"jacobian_symmetry": "pass"}


def test_a_neighbor_list_truncated_at_32():
    student = PairsOver(lambda distance: (distance < torch.inf).cumsum(1) <= 32)
    assert_caught(student, ["permutation", "continuity"], ["rotation", "translation", "force_consistency"])


FAULTY_LISTS = {
    "the 20 nearest": lambda distance: distance.argsort(1).argsort(1) < 20,
    "the 32 nearest": lambda distance: distance.argsort(1).argsort(1) < 32,
    "pairs within 4.7 of 5 angstrom": lambda distance: distance < 4.7,
}


@pytest.mark.parametrize("name", FAULTY_LISTS)
def test_a_neighbor_list_that_leaves_out(name):
    by_count = ["cutoff"] if name.endswith("nearest") else []  # a jump 0.3 angstrom before the cutoff may be met there
    innocent = ["permutation", "rotation", "force_consistency", *by_count]
    assert_caught(Neglectful(FAULTY_LISTS[name]), ["continuity"], innocent)


def test_a_student_that_leaves_nothing_out_is_continuous():
    assert_caught(Neglectful(lambda distance: distance < torch.inf), [], ["continuity"])


def test_energies_of_single_precision_are_no_jumps():
    rounded = Faulty(lambda s, e, f, k: (float(np.float32(e)), f))
    exact = measure(subject(rounded.inner), ["continuity"])["continuity"]["values"]
    found = measure(subject(rounded), ["continuity"])["continuity"]
    assert max(row["rounding_eV"] for row in found["raw"]["paths"]) > 1e-4
    assert found["values"]["largest_jump_eV"] < 1e-6 < 1e-3 > exact["largest_jump_eV"]


class InSinglePrecision(Faulty):
    """A faultless model whose total energies are numbers of single precision, its forces and stress times a factor."""

    def __init__(self, factor):
        super().__init__()
        self.dtype, self.factor = "float32", factor

    def predict(self, structures):
        return [
            Prediction(
                float(np.float32(p.energy_eV - 100.0 * len(s))), self.factor * p.forces_eV_per_A,
                None if p.stress_eV_per_A3 is None else self.factor * p.stress_eV_per_A3,
            )
            for s, p in zip(structures, self.inner.predict(structures), strict=True)
        ]  # fmt: skip


def test_energies_of_single_precision_are_no_fault_of_forces_and_stress():
    checks = ["force_consistency", "work", "extensivity", "images", "stress"]
    failed = []
    for factor in (1.0, 1.02):
        found = outcomes(InSinglePrecision(factor), checks)
        failed.append({name for name in checks if found[name] != "pass"})
    assert failed == [set(), {"force_consistency", "work", "stress"}]


def test_an_energy_that_depends_on_batch_order():
    assert_caught(Faulty(lambda s, e, f, k: (e + 1e-3 * k, f)), ["batch"], ["permutation", "net_force"])


def test_a_large_structure_that_is_felt_by_the_others_of_its_batch():
    class Crowded(Faulty):
        def predict(self, structures):
            felt_eV = 1e-3 * (len(structures[0]) > 60)
            return [replace(p, energy_eV=p.energy_eV + felt_eV) for p in self.inner.predict(structures)]

    assert_caught(Crowded(), ["batch"], ["permutation", "determinism", "rotation"])


def test_sums_in_an_order_that_changes():
    rng = np.random.default_rng(0)
    student = Faulty(lambda s, e, f, k: (e + rng.normal(0, 1e-3), f + rng.normal(0, 1e-2, f.shape)))
    assert_caught(student, ["determinism"])


def test_a_cartesian_mixing_matrix():
    torch.manual_seed(0)
    model = SeedPaiNN(hidden=8, n_blocks=2, n_rbf=6, max_z=20)
    with torch.no_grad():
        for block in model.interactions:
            block.update.mixing_matrix += 0.5 * torch.randn(3, 3)
    student = predictor(model)
    assert_caught(student, ["rotation", "reflection"], ["translation", "permutation", "batch", "force_consistency"])


def test_a_painn_of_random_weights_has_no_fault_that_weights_cannot_cause():
    torch.manual_seed(0)
    student = predictor(PaiNN(hidden=8, n_blocks=2, n_rbf=6, max_z=20))
    names = [*EXACT, *GRADIENT, "cutoff"]
    assert outcomes(student, names) == dict.fromkeys(names, "pass")


def test_a_missing_envelope():
    torch.manual_seed(0)
    model = PaiNN(hidden=8, n_blocks=1, n_rbf=6, max_z=20, radial_basis="gaussian")
    model.envelope.forward = torch.ones_like
    assert_caught(predictor(model), ["cutoff"], ["rotation", "extensivity"])


@pytest.mark.parametrize(("power", "fails"), [(1, "force_jump_eV_per_A"), (2, "curvature_jump_eV_per_A2"), (3, None)])
def test_an_envelope_with_a_kink_jumps_in_one_derivative_only(power, fails):
    class Kinked(Pairs):
        def atomic_energies(self, atomic_numbers, vectors, graph):
            distance = torch.sqrt((vectors * vectors).sum(-1))
            return graph.aggregate(Term(0.3 * (5.0 - distance).clamp(min=0.0) ** power)).double()

    judged = verdict_of(measure(subject(predictor(Kinked())), ["cutoff"]), THRESHOLDS)["checks"]["cutoff"]
    lower = ["energy_jump_eV", "force_jump_eV_per_A", "curvature_jump_eV_per_A2"][: power + 1]
    assert {c["value_name"]: c["passed"] for c in judged["criteria"] if c["value_name"] in lower} == {
        name: name != fails for name in lower
    }


def test_float16_positions():
    student = Faulty(question=lambda s: replace(s, positions=s.positions.astype(np.float16).astype(np.float64)))
    assert_caught(student, ["translation"], ["batch", "determinism"])


def test_int8_with_a_broken_calibration():
    step = 0.05  # eV: the range was calibrated on something far larger
    student = Faulty(lambda s, e, f, k: (step * np.round(e / step), f))
    assert_caught(student, ["force_consistency", "work"], ["determinism", "batch"])


def test_single_precision_that_matters():
    student = Faulty(lambda s, e, f, k: (np.round(e, 3), f))
    student.dtype = "float32"
    assert_caught(predictor(), ["precision"], ["rotation"], moving=student)


def test_a_handed_energy():
    def handed(structure, energy, forces, k):
        a, b, c = structure.positions[1:4] - structure.positions[0] if len(structure) > 3 else np.eye(3)
        return energy + 1e-3 * float(np.dot(a, np.cross(b, c))), forces

    assert_caught(Faulty(handed), ["reflection"], ["rotation"])


def test_an_energy_that_is_normalized_by_the_number_of_atoms():
    assert_caught(Faulty(lambda s, e, f, k: (e / len(s), f / len(s))), ["extensivity", "locality"], ["permutation"])


def test_a_hole_at_short_range():
    class Hole(Pairs):
        def atomic_energies(self, atomic_numbers, vectors, graph):
            distance = torch.sqrt((vectors * vectors).sum(-1))
            hole = graph.aggregate(Term(-40.0 * torch.exp(-((distance / 0.45) ** 4)))).double()
            return super().atomic_energies(atomic_numbers, vectors, graph) + hole

    assert_caught(predictor(Hole()), ["short_range"], ["rotation", "cutoff"])


def test_the_teacher_itself_has_no_fault_where_things_meet():
    """Some of its molecules react behind a barrier, which a student has to follow."""
    teacher = read_reference(Path(__file__).parents[1] / "data/physics/reference.xyz.gz")

    def atoms(structure):
        return structure.atomic_numbers.tobytes(), structure.positions.tobytes()

    known = {atoms(frame.structure): frame.structure for frame in teacher.frames}

    class Teacher(Faulty):
        max_z = 118

        def predict(self, structures):
            own = [known[atoms(structure)] for structure in structures]
            return [Prediction(structure.energy_eV, structure.forces_eV_per_A) for structure in own]

    names = ["short_range", "dimer_curves", "contact_curves", "torsions", "conformers", "tautomers"]
    judged = measure(replace(subject(Teacher()), reference=teacher, teacher="GFN2-xTB"), names)
    assert {
        name: check["outcome"] for name, check in verdict_of(judged, THRESHOLDS)["checks"].items()
    } == dict.fromkeys(names, "pass")


def test_ripples_on_curves():
    class Ripples(Pairs):
        def atomic_energies(self, atomic_numbers, vectors, graph):
            distance = torch.sqrt((vectors * vectors).sum(-1))
            envelope = (1.0 - (distance / self.cutoff).clamp(max=1.0) ** 2) ** 4
            ripple = graph.aggregate(Term(0.3 * torch.sin(9.0 * distance) * envelope)).double()
            return super().atomic_energies(atomic_numbers, vectors, graph) + ripple

    assert_caught(predictor(Ripples()), ["dimer_curves"], ["cutoff", "rotation"])


def test_bonds_that_break():
    assert_caught(predictor(Pairs(depth_eV=0.02)), ["stability"], ["nve", "cutoff"])


def test_bonds_of_another_length_and_stiffness():
    class Longer(Pairs):
        def __init__(self):
            super().__init__(depth_eV=2.5)
            self.radius *= 1.15

    assert_caught(predictor(Longer()), ["minima", "vibrations", "bonds"], ["rotation"])


@pytest.mark.parametrize("check", ["torsions", "conformers", "tautomers", "contact_curves"])
def test_energies_between_shapes(check):
    rng = np.random.default_rng(0)
    direction = rng.normal(size=3)

    def tilt(structure, energy, forces, k):
        x = structure.positions - structure.positions.mean(0)
        return energy + 8.0 * float(np.sin(3.0 * x @ direction).sum()), forces

    assert_caught(Faulty(tilt), [check], ["batch"])


@pytest.mark.parametrize("fault", [lambda s, e, f, k: (e, 1.01 * f), lambda s, e, f, k: (e, f + 1e-3)])
def test_dynamics_lose_energy_by_wrong_forces(fault):
    assert_caught(Faulty(fault), ["nve"])


def test_rings_that_buckle():
    def push(structure, energy, forces, k):
        wave = np.array([(-1.0) ** n for n in range(len(structure))])
        forces[:, 2] += 3.0 * wave - 3.0 * wave.mean()
        return energy, forces

    assert_caught(Faulty(push), ["rings"], ["determinism"])


def test_far_atoms_that_are_felt():
    def felt(structure, energy, forces, k):
        return energy, forces + 0.01 * (12.0 < np.ptp(structure.positions, axis=0).max() < 60.0)

    assert_caught(Faulty(felt), ["locality"], ["rotation", "permutation"])


def test_forces_that_pull_where_energies_repel():
    def pulling(structure, energy, forces, _):
        gaps = structure.positions[:, None] - structure.positions[None]
        distance = np.linalg.norm(gaps, axis=-1, keepdims=True)
        return energy, forces - (2000.0 * np.where(distance < 0.8, gaps, 0.0)).sum(1)

    assert_caught(Faulty(pulling), ["short_range"], ["rotation"])


def test_a_teacher_without_a_wall_is_nothing_to_judge_by():
    asked = subject(predictor())
    frames = [replace(f, structure=replace(f.structure, energy_eV=-1.0)) for f in asked.reference.frames]
    asked.reference = Reference(frames, TEACHER)
    judged = verdict_of(measure(asked, ["short_range"]), THRESHOLDS)["checks"]["short_range"]
    assert judged["outcome"] == "not applicable" and "no wall of 2 eV" in judged["message"]
