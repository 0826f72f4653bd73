"""A PaiNN that schnetpack trained and saved in three files, beside its own energies and forces of ten molecules."""

import json
import pathlib

import pytest
import torch

from assay.checkpoint import normalize
from assay.neighbors.lists import build_graph

REFERENCE = pathlib.Path(__file__).parents[2] / "shared" / "reference" / "schnetpack"
pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="needs the reference files beside the repository")


@pytest.mark.parametrize("file", ["best_inference_model", "last.ckpt", "state_dict.pt"])
def test_energies_and_forces_are_those_of_schnetpack(file):
    checkpoint = normalize(REFERENCE / file)
    model = checkpoint.build(torch.float64)
    assert checkpoint.network.architecture == "schnetpack-painn"
    for record in json.loads((REFERENCE / "reference.json").read_text()).values():
        numbers = torch.tensor(record["numbers"])
        positions = torch.tensor(record["positions"], dtype=torch.float64)
        batch = torch.zeros_like(numbers)
        result = model.energy_and_forces(numbers, positions, batch, 1, build_graph(positions, batch, model.cutoff))
        assert float(result.energy) == pytest.approx(record["energy_eV"], abs=1e-4, rel=0)
        torch.testing.assert_close(result.forces, torch.tensor(record["forces_eV_per_A"]).double(), rtol=0, atol=1e-4)


def test_all_files_hold_one_model():
    files = [normalize(REFERENCE / file) for file in ("best_inference_model", "last.ckpt", "state_dict.pt")]
    assert len({checkpoint.to_bytes() for checkpoint in files}) == 1
    assert [name for name, source in files[2].network.sources.items() if source == "assumed"] == [
        "activation", "activation_arguments", "epsilon", "head_activation", "head_activation_arguments",
    ]  # fmt: skip
    assert not any(source == "assumed" for source in files[0].network.sources.values())
    assert files[1].state_dict.average and not files[1].choice.in_doubt
