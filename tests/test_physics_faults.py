"""Planted faults, each caught by the check that is meant for it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from assay.checkpoint import normalize
from assay.engine.painn import accelerated, why_unsupported
from assay.models import PaiNN, SeedPaiNN
from assay.models.graph import EdgeGraph, Term
from assay.neighbors.lists import build_graph
from assay.physics.checks import CHECKS, measure
from assay.physics.reference import read_reference
from assay.physics.verdict import verdict_of
from assay.predictors.interface import Prediction
from assay.predictors.networks import EagerPredictor
from assay.structures.structure import collate
from shared.physics_toys import THRESHOLDS, Pairs, predictor, subject

CHECKPOINTS = Path(__file__).parents[1] / "data/checkpoints"
EXACT = ("rotation", "reflection", "translation", "permutation", "batch", "determinism", "extensivity", "locality")
GRADIENT = ("force_consistency", "jacobian_symmetry", "work", "net_force")


class Faulty:
    """A faultless predictor whose answers, or whose questions, pass through a fault."""

    cutoff_A, max_z, elements, device = 5.0, 20, None, "cpu"

    def __init__(self, answer=None, question=None, inner=None):
        self.inner = inner or predictor()
        self.name, self.runtime, self.dtype = "faulty", "eager", self.inner.dtype
        self.answer, self.question = answer, question

    def predict(self, structures):
        asked = [self.question(s) for s in structures] if self.question else structures
        answers = self.inner.predict(asked)
        if self.answer is None:
            return answers
        return [
            Prediction(*self.answer(s, p.energy_eV, p.forces_eV_per_A.copy(), k))
            for k, (s, p) in enumerate(zip(structures, answers, strict=True))
        ]


def outcomes(student, names, moving=None):
    judged = verdict_of(measure(subject(student, moving), names), THRESHOLDS)
    return {name: check["outcome"] for name, check in judged["checks"].items()}


def assert_caught(student, by, innocent=(), moving=None):
    """Every check of ``by`` fails, and every ``innocent`` one passes."""
    found = outcomes(student, [*by, *innocent], moving)
    assert found == dict.fromkeys(by, "fail") | dict.fromkeys(innocent, "pass")


def test_forces_scaled_by_one_percent():
    student = Faulty(lambda s, e, f, k: (e, 1.01 * f))
    assert_caught(student, ["force_consistency", "work"], [*EXACT, "net_force", "cutoff"])


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


class PairsOver:
    """The pair potential over the pairs that ``keep`` chooses among those within the cutoff.

    ``keep`` takes the distances (N, N), infinite beyond the cutoff and of an atom to itself, and returns a mask (N, N).
    """

    name, runtime, dtype, cutoff_A, max_z, elements = "pairs over a list", "eager", "float64", 5.0, 20, None

    def __init__(self, keep):
        self.keep = keep

    def predict(self, structures):
        return [self.one(structure) for structure in structures]

    def one(self, structure):
        x = torch.tensor(structure.positions, requires_grad=True)
        radius = Pairs().radius.double()[torch.as_tensor(structure.atomic_numbers)]
        distance = torch.sqrt(((x[:, None] - x[None]) ** 2).sum(-1) + 1e-12)
        far = (distance >= self.cutoff_A) | torch.eye(len(x), dtype=torch.bool)
        near = self.keep(distance.detach().masked_fill(far, torch.inf)) & ~far
        morse = (1.0 - torch.exp(-1.6 * (distance - radius[:, None] - radius[None]))) ** 2 - 1.0
        envelope = (1.0 - (distance / self.cutoff_A).clamp(max=1.0) ** 2) ** 4
        energy = 0.5 * (1.5 * morse * envelope * near).sum()
        (gradient,) = torch.autograd.grad(energy, x)
        return Prediction(float(energy.detach()), -gradient.numpy())


def test_a_neighbor_list_truncated_at_32():
    student = PairsOver(lambda distance: (distance < torch.inf).cumsum(1) <= 32)
    assert_caught(student, ["permutation", "continuity"], ["rotation", "translation", "force_consistency"])


class Neglectful(EagerPredictor):
    """A shipped student that leaves out the pairs that ``keep`` does not choose.

    ``keep`` takes distances (N, N), infinite where there is no pair, and returns a mask (N, N). A pair stays if it is
    chosen in both directions.
    """

    def __init__(self, keep):
        model = normalize(CHECKPOINTS / "ultra_tiny.pt").build(torch.float64).requires_grad_(False)
        super().__init__(model)
        self.keep = keep
        if why_unsupported(model) is None:
            self.energy_and_forces = accelerated(model)

    def prepare(self, structures):
        numbers, positions, batch = collate(structures, dtype=torch.float64)
        edges = build_graph(positions, batch, self.cutoff_A).edge_index
        distance = torch.full((len(batch), len(batch)), torch.inf, dtype=torch.float64)
        distance[*edges] = (positions[edges[0]] - positions[edges[1]]).norm(dim=-1)
        chosen = self.keep(distance)
        edges = edges[:, (chosen & chosen.T)[*edges]]
        graph = EdgeGraph(edges, positions.new_zeros(edges.shape[1], 3), len(batch))
        result = self.energy_and_forces(numbers, positions, batch, len(structures), graph)
        return lambda: (result.energy.numpy(), result.forces.numpy())


FAULTY_LISTS = {
    "the 20 nearest": lambda distance: distance.argsort(1).argsort(1) < 20,
    "the 32 nearest": lambda distance: distance.argsort(1).argsort(1) < 32,
    "pairs within 4.7 of 5 angstrom": lambda distance: distance < 4.7,
}


@pytest.mark.parametrize("keep", FAULTY_LISTS.values(), ids=FAULTY_LISTS.keys())
def test_a_neighbor_list_that_leaves_out(keep):
    assert_caught(Neglectful(keep), ["continuity"], ["permutation", "rotation", "force_consistency", "cutoff"])


def test_a_student_that_leaves_nothing_out_is_continuous():
    assert_caught(Neglectful(lambda distance: distance < torch.inf), [], ["continuity"])


def test_energies_of_single_precision_are_no_jumps():
    rounded = Faulty(lambda s, e, f, k: (float(np.float32(e)), f))
    exact = measure(subject(rounded.inner), ["continuity"])["continuity"]["values"]
    found = measure(subject(rounded), ["continuity"])["continuity"]
    assert max(row["rounding_eV"] for row in found["raw"]["paths"].values()) > 1e-4
    assert found["values"]["largest_jump_eV"] < 1e-6 < 1e-3 > exact["largest_jump_eV"]


def test_an_energy_that_depends_on_batch_order():
    assert_caught(Faulty(lambda s, e, f, k: (e + 1e-3 * k, f)), ["batch"], ["permutation", "net_force"])


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


def test_an_envelope_with_a_kink_jumps_in_the_forces_only():
    class Kinked(Pairs):
        def atomic_energies(self, atomic_numbers, vectors, graph):
            distance = torch.sqrt((vectors * vectors).sum(-1))
            return graph.aggregate(Term(0.2 * (5.0 - distance).clamp(min=0.0))).double()

    judged = verdict_of(measure(subject(predictor(Kinked())), ["cutoff"]), THRESHOLDS)["checks"]["cutoff"]
    assert {c["value_name"]: c["passed"] for c in judged["criteria"]} == {
        "energy_jump_eV": True,
        "force_jump_eV_per_A": False,
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
        return energy, forces + 0.01 * (np.ptp(structure.positions, axis=0).max() > 12.0)

    assert_caught(Faulty(felt), ["locality"], ["rotation", "permutation"])


def test_every_check_is_shown_to_fail_here():
    source = Path(__file__).read_text().partition("def outcomes")[2]
    assert [name for name in CHECKS if f'"{name}"' not in source] == []
