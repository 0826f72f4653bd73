"""Which structures are equal to held-out ones: whatever a file rounded, wrapped or shifted, and none that differ."""

from dataclasses import replace

import ase.io
import numpy as np
import pytest
from ase.build import bulk, fcc111, molecule

from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.data.hdf5 import write_hdf5
from assay.data.store import StoredDataset, StoreWriter
from assay.sampling.equal_structures import Known
from assay.sampling.own_data import store_data
from assay.structures.geometry import completed_cell
from assay.structures.structure import Structure
from shared.molecules import molecules


def labelled(atoms, name=""):
    forces = np.zeros((len(atoms), 3))
    return replace(Structure.from_ase(atoms, name), energy_eV=0.0, forces_eV_per_A=forces)


def rattled(atoms, count=20):
    found = []
    for seed in range(count):
        moved = atoms.copy()
        moved.rattle(0.05, seed=seed)
        found.append(labelled(moved, f"{seed}"))
    return found


def are_equal(tmp_path, held_out, others):
    with StoreWriter(tmp_path / "held_out.h5") as store:
        store.add(from_structures(held_out))
    return Known(StoredDataset(tmp_path / "held_out.h5")).are_equal(from_structures(others)).tolist()


@pytest.mark.parametrize("form", ["traj", "h5", 8, 6, 5, 4, 3])
def test_rounding_hides_no_held_out_structure_from_distill(tmp_path, form):
    """Files of a few decimals, as SDF and our own HDF5 are, would put a coordinate to either side of any mark."""
    frames = molecules(60, ["CH3CH2OH"], 0.3)
    some, into = frames[:20], (tmp_path / "train.h5", tmp_path / "validation.h5")
    if isinstance(form, int):
        some = [replace(frame, positions=frame.positions.round(form)) for frame in some]
    path = tmp_path / ("some.xyz" if isinstance(form, int) else f"some.{form}")
    if form == "h5":
        write_hdf5(path, from_structures(some))
    else:
        ase.io.write(path, [frame.to_ase() for frame in some])
    ase.io.write(tmp_path / "all.traj", [frame.to_ase() for frame in frames])
    about = store_data([str(tmp_path / "all.traj")], str(path), 0.1, 0, into, {})
    assert about["n_train"] == 40 and about["sentence"].endswith("and 20 equal ones are not learned from")
    assert len(read_dataset(into[1])) == 20


@pytest.mark.parametrize("pbc", ["TTT", "TTF", "FTF", "FFF"])
def test_wrapped_and_shifted_structures_are_equal(tmp_path, pbc):
    """Atoms on the face of a cell, which noise puts to either side, and others that went through it."""
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.set_cell(atoms.cell @ np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.1], [0.0, 0.0, 1.0]]), scale_atoms=True)
    atoms.pbc = [axis == "T" for axis in pbc]
    held_out, others = rattled(atoms), []
    for k, frame in enumerate(held_out):
        frame.positions[0] = 0.0
        cells = np.random.default_rng(k).integers(-3, 4, (len(frame), 3)) * frame.pbc
        shift = np.where(frame.pbc, -1e-9, 7.3 * k) @ completed_cell(frame.cell, frame.pbc)
        others.append(replace(frame, positions=frame.positions + cells @ frame.cell + shift))
    assert all(are_equal(tmp_path, held_out, others))
    assert not any(are_equal(tmp_path, held_out[:10], others[10:]))


def test_cells_along_open_axes_do_not_tell_structures_apart(tmp_path):
    slab, water = fcc111("Cu", (2, 2, 3), vacuum=6.0), molecule("H2O")
    wider, boxed = fcc111("Cu", (2, 2, 3), vacuum=9.0), molecule("H2O", cell=[9.0, 9.0, 9.0])
    assert are_equal(tmp_path, [labelled(slab), labelled(water)], [labelled(wider), labelled(boxed)]) == [True, True]


def test_what_differs_in_one_atom_is_not_equal(tmp_path):
    """Such as displacements for phonons, and alloys on one lattice."""
    crystal = bulk("Cu", cubic=True) * (3, 3, 3)
    displaced, alloys, strained = [], [], []
    for k in range(8):
        moved, alloy, other = crystal.copy(), crystal.copy(), crystal.copy()
        moved.positions[k] += [0.01, 0.0, 0.0]
        alloy.numbers[k] = 28
        other.set_cell(other.cell * (1.0 + 0.0005 * (k + 1)), scale_atoms=True)
        displaced.append(labelled(moved))
        alloys.append(labelled(alloy))
        strained.append(labelled(other))
    held_out = [labelled(crystal), *displaced[:4], *alloys[:4], *strained[:4]]
    assert all(are_equal(tmp_path, held_out, held_out))
    assert not any(are_equal(tmp_path, held_out, [*displaced[4:], *alloys[4:], *strained[4:]]))
    turned = replace(labelled(crystal), pbc=np.array([True, True, False]))
    assert are_equal(tmp_path, held_out, [turned]) == [False]


def test_lone_atoms_are_equal_to_nothing(tmp_path):
    atom, water = labelled(molecule("O")), labelled(molecule("H2O"))
    assert are_equal(tmp_path, [atom], [atom, water]) == [False, False]
    assert are_equal(tmp_path, [atom, water], [water, atom]) == [True, False]
