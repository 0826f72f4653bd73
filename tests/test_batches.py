"""Replicas in one call of the engine: each has its own neighbor list, and that of none is out of date."""

import ase.build
import numpy as np
import pytest

from assay.runtime.batches import EngineBatches
from shared.engine_programs import crystal, ethanol, exact, open_model


@pytest.fixture
def batches(tmp_path):
    return EngineBatches(open_model(tmp_path))


def evaluated(batches, systems):
    return batches(
        [atoms.numbers for atoms in systems],
        [atoms.positions for atoms in systems],
        [np.array(atoms.cell) for atoms in systems],
        [atoms.pbc for atoms in systems],
    )


def agree(found, systems):
    expected = exact(*systems)
    np.testing.assert_allclose(found.energy, expected.energy, atol=1e-8)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-8)
    np.testing.assert_allclose(found.virial, expected.virial, atol=1e-8)


def test_only_replicas_with_an_atom_that_went_far_are_searched_anew(batches):
    systems, rng = [ethanol() for _ in range(4)], np.random.default_rng(0)
    builds = []
    for far in ([], [2], [], [0, 3], [1]):
        for atoms in systems:
            atoms.positions += rng.normal(0.0, 0.005, atoms.positions.shape)
        for k in far:
            systems[k].positions[k] += (0.3, 0.0, 0.2)
        agree(evaluated(batches, systems), systems)
        builds.append(batches.n_builds)
    assert builds == [4, 5, 5, 7, 8]


@pytest.mark.parametrize("other_goes_far", [False, True])
def test_steps_that_are_short_each_add_up(batches, other_goes_far):
    """Also where another replica is searched anew at each of them."""
    systems = [ethanol(), ethanol()]
    for step in range(12):
        systems[1].positions[5] += (0.05, 0.02, -0.03)
        if other_goes_far:
            systems[0].positions[3] += (0.4 * (-1) ** step, 0.0, 0.0)
        agree(evaluated(batches, systems), systems)
    assert 3 < batches.n_builds - 11 * other_goes_far < 8


def test_a_box_that_changes_is_searched_anew_and_the_others_are_not(batches):
    systems = [ethanol(), crystal(), crystal((1, 1, 1))]
    agree(evaluated(batches, systems), systems)
    systems[1].set_cell(np.array(systems[1].cell) * 1.01, scale_atoms=True)
    systems[2].pbc = False
    agree(evaluated(batches, systems), systems)
    assert batches.n_builds == 5


def test_the_mean_number_of_neighbors_is_that_of_each_replica(batches):
    apart, water = ase.Atoms("OO", [[0, 0, 0], [5.2, 0, 0]]), ase.build.molecule("H2O")
    evaluated(batches, [water, apart, water, ase.Atoms("C")])  # the pair is within the skin, and not in the cutoff
    np.testing.assert_array_equal(batches.mean_neighbors, [2.0, 0.0, 2.0, 0.0])


def test_what_one_replica_is_refused_for_leaves_no_pairs_of_another_out_of_date(batches):
    systems = [ethanol(), crystal((1, 1, 1))]
    agree(evaluated(batches, systems), systems)
    before = systems[1].copy()
    systems[0].positions[3] += (0.0, 0.9, 0.0)
    systems[1].set_cell(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="too flat"):
        evaluated(batches, systems)
    systems[1] = before
    agree(evaluated(batches, systems), systems)
    systems[0].positions[3, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        evaluated(batches, systems)
    with pytest.raises(ValueError, match="there must be atoms"):
        evaluated(batches, [ase.Atoms(), ase.Atoms()])
