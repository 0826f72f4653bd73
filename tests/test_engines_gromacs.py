"""The file for GROMACS has the signature of NNPot, and gives the network's energies and forces in its units.

GROMACS itself is not run: the calls here are those that its manual describes.
"""

import ase.build
import numpy as np
import pytest
import torch

from assay.engines.gromacs.model import ANGSTROM_PER_NM, KJ_PER_MOL_PER_EV, write
from assay.export.lowering import lower
from assay.export.torchscript import save, to_torchscript
from assay.predictors.networks import EagerPredictor
from assay.structures.structure import Structure
from shared.engine_inputs import network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gromacs")
    student = network("vectors", torch.float32)
    save(to_torchscript(lower(student, elements=[1, 6, 7, 8]), student.cutoff), folder / "model.ts.pt", {})
    write(folder / "model.ts.pt", student.cutoff, folder / "model.gromacs.pt")
    return torch.jit.load(str(folder / "model.gromacs.pt"))


def structures():
    """An open molecule, and displaced molecules in a triclinic box two cutoffs wide, its atoms in several images."""
    molecule = ase.build.molecule("CH3CH2OH")
    molecule.rattle(0.05, seed=0)
    crystal = molecule.copy()
    crystal.center(vacuum=1.2)
    crystal = crystal.repeat((3, 2, 3))
    crystal.rattle(0.05, seed=1)
    cell = np.array(crystal.cell)
    cell = np.maximum(cell, np.diag([10.4, 10.6, 10.8]))
    cell[1, 0], cell[2, 0], cell[2, 1] = 0.7, -0.9, 0.5
    crystal.set_cell(cell)
    crystal.pbc = True
    crystal.positions[::4] += cell[0] - cell[2]
    return [molecule, crystal]


@pytest.mark.parametrize("atoms", structures(), ids=["open", "periodic"])
def test_energy_and_gradient_are_those_of_the_network(model, atoms):
    exact = EagerPredictor(network("vectors"))
    energy, forces = exact.evaluate([Structure.from_ase(atoms)])
    positions = torch.tensor(atoms.positions / ANGSTROM_PER_NM, dtype=torch.float32, requires_grad=True)
    more = []
    if atoms.pbc.all():
        more = [torch.tensor(np.array(atoms.cell) / ANGSTROM_PER_NM, dtype=torch.float32), torch.tensor([True] * 3)]
    found = model(positions, torch.tensor(atoms.numbers, dtype=torch.int32), *more)
    assert found.shape == ()
    assert found.dtype == torch.float64
    found.backward()
    assert positions.grad.dtype == torch.float32
    # Positions in nm and single precision are off by some 1e-7 nm.
    assert float(found.detach()) / KJ_PER_MOL_PER_EV == pytest.approx(energy[0], abs=1e-4 + 1e-6 * abs(energy[0]))
    scale = KJ_PER_MOL_PER_EV * ANGSTROM_PER_NM
    np.testing.assert_allclose(-positions.grad.numpy() / scale, forces, atol=2e-4 + 1e-5 * np.abs(forces).max())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(model, number):
    atoms = structures()[0]
    positions, numbers = torch.tensor(atoms.positions / 10.0), torch.tensor(atoms.numbers)
    with pytest.raises(torch.jit.Error, match="two cutoffs"):
        model(positions, numbers, torch.eye(3) * float("nan"), None)
    positions[1, 2] = number
    with pytest.raises(torch.jit.Error, match="positions that are not finite"):
        model(positions, numbers)


def test_a_box_that_is_too_narrow_is_refused(model):
    atoms = structures()[0]
    positions, numbers = torch.tensor(atoms.positions / 10.0), torch.tensor(atoms.numbers)
    with pytest.raises(torch.jit.Error, match="two cutoffs"):
        model(positions, numbers, 0.99 * torch.eye(3), torch.tensor([True, True, True]))
    model(positions, numbers, 0.99 * torch.eye(3), torch.tensor([False, False, False]))
    tilted = 2.0 * torch.eye(3)
    tilted[2, 0] = float("nan")
    with pytest.raises(torch.jit.Error, match="two cutoffs"):
        model(positions, numbers, tilted, torch.tensor([True, True, True]))


@pytest.mark.parametrize("pbc", [[False, False, False], [True, True, False]])
def test_lattice_vectors_of_zero_along_which_nothing_repeats_are_none(model, pbc):
    atoms = structures()[0]
    atoms.positions[::2, 0] += 15.0 if any(pbc) else 0.0
    box = np.diag([1.5, 1.5, 0.0] if any(pbc) else [0.0, 0.0, 0.0])
    atoms.cell, atoms.pbc = box * ANGSTROM_PER_NM, pbc
    energy, forces = EagerPredictor(network("vectors")).evaluate([Structure.from_ase(atoms)])
    positions = torch.tensor(atoms.positions / ANGSTROM_PER_NM, requires_grad=True)
    found = model(positions, torch.tensor(atoms.numbers), torch.tensor(box), torch.tensor(pbc))
    found.backward()
    assert float(found.detach()) / KJ_PER_MOL_PER_EV == pytest.approx(energy[0], abs=1e-4 + 1e-6 * abs(energy[0]))
    np.testing.assert_allclose(-positions.grad.numpy() / (KJ_PER_MOL_PER_EV * ANGSTROM_PER_NM), forces, atol=2e-4)


def test_what_has_no_energy_is_refused(model):
    atoms = structures()[0]
    positions, numbers = torch.tensor(atoms.positions / 10.0), torch.tensor(atoms.numbers)
    numbers[[1, 3, 4]] = torch.tensor([26, 26, 3])
    with pytest.raises(torch.jit.Error, match=r"not trained on atomic numbers \[3, 26\]"):
        model(positions, numbers)
    positions[1] = positions[0]
    with pytest.raises(torch.jit.Error, match="atoms at one place"):
        model(positions, torch.tensor(atoms.numbers))
