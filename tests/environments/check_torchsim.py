"""Inside an environment with TorchSim: its own validation, every system of a state, and sentences for mistakes."""

import numpy as np
import pytest
import torch
import torch_sim
from torch_sim.models.interface import validate_model_outputs

from assay.runtime.torchsim import StudentModel
from shared.engine_programs import blocks, crystal, ethanol, exact, open_model, unpack_wheel

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_passes_the_validation_of_torchsim(dtype, tmp_path):
    known = open_model(tmp_path, elements=[14, 26])  # those of the structures that it is validated with
    student = StudentModel(known, dtype)
    validate_model_outputs(student, CPU, dtype)
    assert student.dtype == dtype and student.compute_forces and student.compute_stress


def test_every_system_of_a_state_is_the_model(model):
    systems = [crystal(), crystal((1, 2, 1)), crystal((2, 1, 1))]
    found = StudentModel(model)(torch_sim.io.atoms_to_state(systems, CPU, torch.float64))
    start = 0
    for k, system in enumerate(systems):
        expected = exact(system)
        assert float(found["energy"][k]) == pytest.approx(expected.energy[0], abs=1e-8)
        forces = found["forces"][start : start + len(system)]
        np.testing.assert_allclose(forces, expected.forces, atol=1e-9)
        np.testing.assert_allclose(found["stress"][k], -expected.virial[0] / system.get_volume(), atol=1e-10)
        start += len(system)
    assert found["outside_scope"].tolist() == [True] * 3  # they are periodic


def test_an_open_molecule_has_no_stress_and_lies_within_the_scope(model):
    atoms = ethanol()
    atoms.cell = 40.0 * np.eye(3)
    found = StudentModel(model)(torch_sim.io.atoms_to_state([atoms, atoms], CPU, torch.float64))
    assert not found["stress"].any() and found["outside_scope"].tolist() == [False, False]
    np.testing.assert_allclose(found["forces"][9:], exact(ethanol()).forces, atol=1e-9)


def test_what_cannot_be_is_refused_in_a_sentence(model):
    student, atoms = StudentModel(model), ethanol()
    atoms.cell = 40.0 * np.eye(3)
    with pytest.raises(ValueError, match="give the model its dtype"):
        student(torch_sim.io.atoms_to_state([atoms], CPU, torch.float32))
    for change, said in (
        ({"numbers": [26] * 9}, "was never trained on"),
        ({"positions": np.full((9, 3), np.nan)}, "not finite"),
    ):
        other = atoms.copy()
        for name, values in change.items():
            other.arrays[name][:] = values
        with pytest.raises(ValueError, match=said):
            student(torch_sim.io.atoms_to_state([other], CPU, torch.float64))


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch):
    unpack_wheel(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    [code] = blocks("torchsim.md", "python")
    space = {}
    exec(code, space)
    assert torch.isfinite(space["final"].energy).all() and len(space["final"].energy) == 2
