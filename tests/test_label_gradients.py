"""Forces held against energies and against a teacher where a constraint holds atoms, or a file shifts or wraps them."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixCartesian
from ase.optimize import BFGS

from assay.data.dataset import from_structures
from assay.predictors.interface import Prediction
from assay.sampling.label_gradients import require_gradients
from assay.sampling.label_origin import require_own_labels
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError

ALL, NONE = (True, True, True), (False, False, False)


def relaxed(atoms, fixed, constraint=FixAtoms):
    """Structures along the way downhill from displaced layers, with the forces that ASE gives: zeros where it holds."""
    atoms.set_constraint(constraint(fixed))
    free = np.setdiff1d(np.arange(len(atoms)), fixed)
    found = []
    for start in range(3):
        work = atoms.copy()
        work.calc = EMT()
        work.positions[free] += np.random.default_rng(start).normal([0.0, 0.0, 0.2], 0.05, (len(free), 3))

        def _keep(work=work, start=start):
            forces = work.get_forces()
            found.append(replace(Structure.from_ase(work, f"{start}-{len(found)}"), forces_eV_per_A=forces))

        steps = BFGS(work, logfile=None, maxstep=0.04)
        steps.attach(_keep)
        steps.run(fmax=0.01, steps=15)
    return found


def slab(pbc=(True, True, False)):
    atoms = fcc111("Cu", (1, 1, 4), vacuum=8.0)
    atoms.pbc, atoms.info = pbc, {}
    return relaxed(atoms, [0, 1])


def cluster(constraint=FixAtoms):
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.set_cell(None)
    atoms.pbc = False
    return relaxed(atoms, [0, 1, 2], constraint)


def slope_of(structures):
    told = re.search(
        r"along (\d+) pairs of neighbors \(slope ([\d.]+)\)", require_gradients(from_structures(structures), "my.xyz")
    )
    assert told, "too few pairs"
    return int(told[1]), float(told[2])


def test_forces_without_those_of_fixed_atoms_explain_energies():
    """They do not add up to zero, so that the mean displacement must not be taken off."""
    for frames in (slab(), slab(pbc=ALL), slab(pbc=NONE), cluster(), cluster(FixCartesian)):
        assert max(np.abs(frame.forces_eV_per_A.sum(axis=0)).max() for frame in frames) > 0.5
        n_pairs, slope = slope_of(frames)
        assert n_pairs > 25 and slope == pytest.approx(1.0, abs=0.03)
        wrong = [replace(frame, forces_eV_per_A=1.5 * frame.forces_eV_per_A) for frame in frames]
        with pytest.raises(AssayError, match=r"are no gradient of its energies"):
            require_gradients(from_structures(wrong), "my.xyz")


def test_a_constraint_on_atoms_that_move_is_named_as_the_cause():
    """Structures of a walk of all atoms, labelled with a constraint that an earlier relaxation left."""
    rng, atoms, frames = np.random.default_rng(0), bulk("Cu", cubic=True) * (2, 1, 1), []
    atoms.set_constraint(FixAtoms([0, 1, 2, 3, 4]))
    for k in range(40):
        atoms.positions += rng.normal(0.0, 0.02, atoms.positions.shape)
        atoms.calc = EMT()
        forces = atoms.get_forces()
        frames.append(replace(Structure.from_ase(atoms, f"{k}"), forces_eV_per_A=forces))
    with pytest.raises(
        AssayError, match=r"are no gradient .*; in 40 structures some atoms have forces of zero, as if a"
    ):
        require_gradients(from_structures(frames), "my.xyz")
    unlike = [replace(frame, forces_eV_per_A=-1.5 * frame.positions) for frame in frames]
    with pytest.raises(AssayError, match=r"are no gradient .* that the forces belong to$"):
        require_gradients(from_structures(unlike), "my.xyz")


@pytest.mark.parametrize("shift_A", [0.04, 3.0])
def test_a_file_may_shift_each_structure_with_fixed_atoms(shift_A):
    rng, frames = np.random.default_rng(0), cluster()
    shifted = [replace(frame, positions=frame.positions + shift_A * rng.normal(size=3)) for frame in frames]
    assert slope_of(shifted) == pytest.approx(slope_of(frames), abs=0.003)


def test_atoms_of_a_slab_that_cross_a_periodic_boundary_stay_neighbors():
    frames = slab()
    middle = np.mean([frame.positions[-1] for frame in frames], axis=0) * [1.0, 1.0, 0.0]
    wrapped = []
    for frame in frames:
        atoms = replace(frame, positions=frame.positions - middle).to_ase()
        atoms.wrap()
        wrapped.append(replace(frame, positions=atoms.positions))
    apart = [np.abs(one.positions - other.positions).max() for one, other in pairwise(wrapped)]
    assert max(apart) > 1.0
    assert slope_of(wrapped) == pytest.approx(slope_of(frames), abs=0.003)


def test_labels_of_a_teacher_beside_a_constraint_are_its_own():
    """Zeros of fixed atoms are named, and no reason to take the labels for those of another teacher."""
    frames, asked = cluster()[:6], []
    for frame in frames:
        atoms = frame.to_ase()
        atoms.calc = EMT()
        asked.append((frame, Prediction(atoms.get_potential_energy(), atoms.get_forces())))
    told = require_own_labels(asked, "EMT", "my.xyz")
    assert told.startswith("the labels of 6 structures are those of EMT, to ")
    assert re.search(r"in 6 of them some forces are zero where its own are up to [\d.]+ .* as if a constraint", told)
    free = [(replace(frame, forces_eV_per_A=found.forces_eV_per_A), found) for frame, found in asked]
    assert "constraint" not in require_own_labels(free, "EMT", "my.xyz")
    zeros = [(replace(frame, forces_eV_per_A=0.0 * frame.positions), found) for frame, found in asked]
    twice = [(frame, replace(found, forces_eV_per_A=1.2 * found.forces_eV_per_A)) for frame, found in asked]
    for wrong in (zeros, twice):
        with pytest.raises(AssayError, match=r"are not those of EMT: in 6 structures its forces differ"):
            require_own_labels(wrong, "EMT", "my.xyz")
