"""seed-painn computes what its authors' students compute, against values from an independent evaluation of them.

They lie in ../shared/reference/students beside the repository, or where ASSAY_REFERENCE_STUDENTS says.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule

from assay.checkpoint import load_model, normalize
from assay.neighbors.lists import neighbor_list
from assay.predictors.networks import EagerPredictor
from assay.structures.structure import Structure

FOLDER = Path(os.environ.get("ASSAY_REFERENCE_STUDENTS", Path(__file__).parents[2] / "shared/reference/students"))
TOLERANCE = {"float64": 1e-6, "float32": 1e-4}  # eV and eV/angstrom

pytestmark = pytest.mark.skipif(
    not (FOLDER / "reference.json").is_file(),
    reason=f"no reference students in {FOLDER}: set ASSAY_REFERENCE_STUDENTS to their folder",
)


def references():
    """(student, values by molecule) of every reference student."""
    if not (FOLDER / "reference.json").is_file():
        return {}
    return json.loads((FOLDER / "reference.json").read_text())["reference"]


@pytest.fixture(params=references() or ["none"])
def student(request):
    return request.param


@pytest.fixture
def expected(student):
    return references()[student]


def structures_of(expected):
    return [Structure.from_ase(molecule(name), name) for name in expected]


def deviations(model, expected):
    """Largest deviations of energies and of forces from the reference, over the molecules that have forces."""
    predictor = EagerPredictor(model, "student")
    energy = force = 0.0
    compared = 0
    for structure in structures_of(expected):
        [prediction] = predictor.predict([structure])
        reference = expected[structure.name]
        energy = max(energy, abs(prediction.energy_eV - reference["energy_eV"]))
        if forces_exist(model, structure):
            compared += 1
            force = max(force, np.abs(prediction.forces_eV_per_A - reference["forces_eV_per_A"]).max())
    assert compared >= len(expected) - 1
    return energy, force


def forces_exist(model, structure):
    """Whether the energy has a gradient here: it has none where a vector feature vanishes by symmetry (the carbon of
    methane), since the network takes its norm, and what autograd returns is then the direction of rounding errors.
    """
    predictor = EagerPredictor(model, "student")
    nudges = 1e-7 * np.random.default_rng(0).standard_normal((2, len(structure), 3))
    nudged = [Structure("", structure.atomic_numbers, structure.positions + nudge) for nudge in nudges]
    here, *there = [prediction.forces_eV_per_A for prediction in predictor.predict([structure, *nudged])]
    return all(np.abs(forces - here).max() < 1e-2 for forces in there)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_energies_and_forces_are_those_of_the_reference(student, expected, dtype):
    energy, force = deviations(load_model(FOLDER / f"{student}.pt", getattr(torch, dtype)), expected)
    assert energy < TOLERANCE[dtype]
    assert force < TOLERANCE[dtype]


def test_neighbors_are_those_of_the_reference(expected):
    for structure in structures_of(expected):
        batch = torch.zeros(len(structure), dtype=torch.int64)
        edge_index, _ = neighbor_list(torch.as_tensor(structure.positions), batch, 5.0)
        assert edge_index.shape[1] == expected[structure.name]["n_edges"]


WRONG = {
    "transposed mixing": lambda state: {k: v.T.clone() if "mixing_matrix" in k else v for k, v in state.items()},
    "wider radial functions": lambda state: state | {"rbf.widths": state["rbf.widths"] * 1.001},
    "one element for another": lambda state: state | {"embedding.weight": state["embedding.weight"].roll(1, 0)},
    "no last bias": lambda state: state | {"energy_head.4.bias": state["energy_head.4.bias"] * 0},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_network_would_be_noticed(student, expected, wrong):
    model = load_model(FOLDER / f"{student}.pt", torch.float64)
    model.load_state_dict(WRONG[wrong](model.state_dict()))
    energy, force = deviations(model, expected)
    assert max(energy, force) > 1e-3


def test_identity(student):
    checkpoint = normalize(FOLDER / f"{student}.pt")
    card = checkpoint.card(student)
    assert card["architecture"] == "seed-painn"
    assert card["n_parameters"] == {"original": 427_292, "tiny": 77_203, "ultra_tiny": 21_459}.get(
        student, card["n_parameters"]
    )
    assert (card["hyperparameters"]["max_z"], card["hyperparameters"]["cutoff_A"]) == (100, 5.0)
    assert checkpoint.network.sources["cutoff_A"] == "buffer rbf.centers"
