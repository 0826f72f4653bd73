"""Predictors with planted faults, and what the checks say of them."""

from pathlib import Path

import torch

from assay.checkpoint import normalize
from assay.engine.painn import accelerated, why_unsupported
from assay.models.graph import EdgeGraph
from assay.neighbors.lists import build_graph
from assay.physics.checks import measure
from assay.physics.verdict import verdict_of
from assay.predictors.interface import Prediction
from assay.predictors.networks import EagerPredictor
from assay.structures.structure import collate
from shared.physics_toys import THRESHOLDS, Pairs, predictor, subject

CHECKPOINTS = Path(__file__).parents[2] / "data/checkpoints"


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


class Crystalline(Faulty):
    """The faultless model, whose periodic structures pass through a fault that takes it and the structure."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def predict(self, structures):
        return [self.fault(self.inner, s) if s.pbc.any() else self.inner.predict([s])[0] for s in structures]


def outcomes(student, names, moving=None):
    judged = verdict_of(measure(subject(student, moving), names), THRESHOLDS)
    return {name: check["outcome"] for name, check in judged["checks"].items()}


def assert_caught(student, by, innocent=(), moving=None):
    """Every check of ``by`` fails, and every ``innocent`` one passes."""
    found = outcomes(student, [*by, *innocent], moving)
    assert found == dict.fromkeys(by, "fail") | dict.fromkeys(innocent, "pass")


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


class Neglectful(EagerPredictor):
    """A shipped student that leaves out the pairs that ``keep`` does not choose.

    ``keep`` takes distances (N, N), infinite where there is no pair, and returns a mask (N, N). A pair stays if it is
    chosen in both directions.
    """

    def __init__(self, keep):
        checkpoint = normalize(CHECKPOINTS / "ultra_tiny.pt")
        model = checkpoint.build(torch.float64).requires_grad_(False)
        super().__init__(model, elements=frozenset(checkpoint.atomic_numbers))
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
