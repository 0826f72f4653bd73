"""The engine's C interface: right for any network, with ghosts too, and every mistake refused in a sentence."""

import numpy as np
import pytest
import torch

from assay.engine import library
from assay.engine.model_file import to_bytes
from assay.runtime.engine import EngineModel
from shared.engine_ghosts import evaluate_in_parts
from shared.engine_inputs import (
    EVERY_NETWORK,
    arrays_of,
    cluster,
    inputs_of,
    near_contact,
    network,
    opened,
    rattled,
    salt,
)

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler on this machine")

CASES = {
    "molecules": lambda: rattled("CH3CH2OH", "C6H6", "CH3SH", "H2O"),
    "in contact": lambda: [near_contact()],
    "crystals": lambda: [salt(), *rattled("CH4"), salt()],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", EVERY_NETWORK)
def test_it_computes_what_autograd_does(name, case):
    systems, model = CASES[case](), network(name)
    numbers, positions, batch, count, graph = inputs_of(systems)
    expected = model.energy_and_forces(numbers, positions, batch, count, graph, virial=True)
    found = opened(name)(*arrays_of(systems))
    scale = max(1.0, expected.forces.abs().max().item())
    limits = {"rtol": 1e-12, "atol": 1e-11 * scale}
    torch.testing.assert_close(torch.tensor(found.energy), expected.energy, **limits)
    torch.testing.assert_close(torch.tensor(found.forces), expected.forces, **limits)
    torch.testing.assert_close(torch.tensor(found.virial), expected.virial, **limits)
    sums = np.bincount(batch.numpy(), found.atomic_energies)
    np.testing.assert_allclose(sums, found.energy, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["shipped", "schnetpack"])
def test_single_precision_is_near_double(name):
    systems = CASES["molecules"]()
    exact, single = (opened(name, precision, bits=32)(*arrays_of(systems)) for precision in (64, 32))
    np.testing.assert_allclose(single.energy, exact.energy, rtol=0, atol=2e-5)
    np.testing.assert_allclose(single.forces, exact.forces, rtol=0, atol=2e-5)
    assert np.abs(single.forces - exact.forces).max() > 1e-9


def test_far_from_the_origin_nothing_is_lost():
    """Vectors are what the network sees, and they are in double precision."""
    model, [system] = opened("shipped", 32), rattled("C6H6")
    near = model(*arrays_of([system]))
    system.positions += 2.0**20
    far = model(*arrays_of([system]))
    np.testing.assert_allclose(far.forces, near.forces, rtol=0, atol=1e-6)


def test_edges_beyond_the_cutoff_are_left_out():
    systems, model = CASES["crystals"](), opened("shipped")
    near, far = model(*arrays_of(systems)), model(*arrays_of(systems, cutoff=7.0))
    np.testing.assert_allclose(far.forces, near.forces, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", EVERY_NETWORK)
@pytest.mark.parametrize("system", [cluster, salt], ids=["open", "periodic"])
def test_halves_with_ghosts_are_the_whole(name, system):
    """The halo is one cutoff, though three blocks see three of them; forces on ghosts go back to their owners."""
    model, atoms = opened(name), system()
    whole = model(*arrays_of([atoms]))
    scale = max(1.0, np.abs(whole.forces).max())
    found = evaluate_in_parts(model, atoms, parts=2)
    np.testing.assert_allclose(found.energy, whole.energy, rtol=1e-13, atol=1e-9)
    np.testing.assert_allclose(found.atomic_energies, whole.atomic_energies, rtol=1e-13, atol=1e-9)
    np.testing.assert_allclose(found.forces, whole.forces, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(found.virial, whole.virial, rtol=0, atol=1e-9 * scale)


def test_a_part_without_atoms_takes_part_in_the_exchange():
    model, atoms = opened("shipped"), cluster(20)
    whole, found = model(*arrays_of([atoms])), evaluate_in_parts(model, atoms, parts=2, of_first=0)
    np.testing.assert_allclose(found.forces, whole.forces, rtol=0, atol=1e-9)


def test_ghosts_without_an_exchange_that_works_are_wrong():
    """The test above can fail: messages of ghosts are needed."""
    model, atoms = opened("shipped"), cluster()
    whole, found = model(*arrays_of([atoms])), evaluate_in_parts(model, atoms, parts=2, exchanging=False)
    assert np.abs(found.forces - whole.forces).max() > 1e-4


def test_elements_and_metadata_are_those_of_the_file():
    model = EngineModel(to_bytes(network("shipped"), {"variant": "a"}, [1, 8]), library.library_path())
    assert [z for z in range(-2, 200) if model.has_element(z)] == [1, 8]
    assert model.metadata == {"variant": "a"} and model.cutoff == 5.0
    with pytest.raises(ValueError, match="atom 0 has the atomic number 6, which the model was never trained on"):
        model(*arrays_of(rattled("CH4")))
    model(*arrays_of(rattled("H2O")))


def _changed(**changes):
    names = ("atomic_numbers", "edge_index", "vectors", "structure")
    given = dict(zip(names, arrays_of(rattled("H2O", "CH4")), strict=True))
    given |= {name: change(given[name].copy()) for name, change in changes.items()}
    return given


def _set(index, value):
    def change(array):
        array[index] = value
        return array

    return change


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"vectors": _set((2, 1), np.nan)}, "the vector of edge 2, between the atoms 0? ?.*is not finite"),
        ({"vectors": _set((2, 1), np.inf)}, "is not finite"),
        ({"vectors": _set(slice(2), 0.0)}, "are at one place"),
        ({"vectors": lambda v: v[:-1]}, "do not fit"),
        ({"vectors": np.abs}, "have no reverse"),
        ({"edge_index": lambda e: e + 100}, "has the center 100, and there are 8 local atoms"),
        ({"edge_index": lambda e: e - 2}, "has the center -2"),
        ({"edge_index": _set((0, 0), 8)}, "has the neighbor 8, and there are 8 atoms"),
        ({"edge_index": _set((0, 0), 2**31 - 1)}, "has the neighbor 2147483647"),
        ({"edge_index": _set((0, 0), 2**40)}, "32 bits do not hold"),
        ({"edge_index": _set((0, 0), 7)}, "joins atoms of the structures 0 and 1"),
        ({"edge_index": lambda e: e.astype(float)}, "edge_index holds float64: give integers"),
        ({"atomic_numbers": lambda z: z.astype(float)}, "atomic_numbers holds float64"),
        ({"atomic_numbers": _set(1, -1)}, "atom 1 has the atomic number -1"),
        ({"atomic_numbers": _set(1, 99)}, "atom 1 has the atomic number 99"),
        ({"structure": lambda s: s + 1}, "structures of atoms are not in order"),
        ({"structure": lambda s: 2 * s}, "structures of atoms are not in order"),
        ({"structure": lambda s: s - 1}, "atom 0 is of structure -1"),
        ({"structure": np.flip}, "structures of atoms are not in order"),
        ({"structure": lambda s: s[:-1]}, "structure has the shape"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(changes, why):
    with pytest.raises(ValueError, match=why) as raised:
        opened("shipped")(**_changed(**changes))
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"threads": 0}, "threads is 0: give 1 or more"),
        ({"n_local": 5}, "3 ghost atoms and no function `exchange`"),
        ({"n_local": 9}, "n_local is 9, and there are 8 atoms"),
        ({"n_local": -1}, "n_local is -1, and there are 8 atoms"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, why):
    with pytest.raises(ValueError, match=why):
        opened("shipped")(**_changed(), **options)


def test_a_model_survives_what_it_refused():
    model, given = opened("shipped"), _changed()
    before = model(**given)
    with pytest.raises(ValueError, match="finite"):
        model(**_changed(vectors=_set((2, 1), np.nan)))
    assert np.array_equal(model(**given).forces, before.forces)
