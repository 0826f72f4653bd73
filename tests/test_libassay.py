"""The engine's C interface: right for any network, with ghosts too, and every mistake refused in a sentence."""

import copy
import ctypes
import multiprocessing
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from assay.engine import build, library
from assay.engine.model_file import to_bytes
from assay.runtime import engine
from assay.runtime.engine import EngineModel
from assay.runtime.verlet import VerletList
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
from shared.workflow_copy import ROOT

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


def test_an_edge_that_is_there_twice_is_refused():
    numbers, edge_index, vectors, structure = arrays_of(rattled("H2O", "CH4"))
    both_ways = np.concatenate([edge_index, edge_index[::-1]], 1), np.concatenate([vectors, -vectors])
    with pytest.raises(ValueError, match="the atoms 0 and 1 have one edge twice: give every pair of atoms once"):
        opened("shipped")(numbers, *both_ways, structure)


def test_one_edge_without_its_reverse_is_found_among_a_million():
    water = molecule("H2O", cell=[3.1] * 3, pbc=True) * (19, 19, 19)
    model = opened("shipped")
    edge_index, vectors = VerletList(model.cutoff, 0.0).update(water.positions, water.cell.array, water.pbc)
    bond = int(np.argmin(np.linalg.norm(vectors, axis=1)))
    neighbor, center = edge_index[:, bond]
    with pytest.raises(ValueError, match=f"the edge of atom {neighbor} to atom {center} has no reverse"):
        model(water.numbers, np.delete(edge_index, bond, 1), np.delete(vectors, bond, 0))


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


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this machine")
def test_the_example_in_the_docs_compiles_as_plain_c_and_is_right(tmp_path):
    [program] = re.findall(r"^```c\n(.*?)^```", (ROOT / "docs" / "libassay.md").read_text(), re.M | re.S)
    (tmp_path / "example.c").write_text(program)
    (tmp_path / "model.assay").write_bytes(to_bytes(network("shipped", torch.float32), {}))
    path = library.library_path()
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror", f"-I{build.FOLDER}"]
    linked = [str(path), f"-Wl,-rpath,{path.parent}", "-o", "example"]
    subprocess.run(["cc", *strict, "example.c", *linked], cwd=tmp_path, check=True)
    ran = subprocess.run(["./example", "model.assay"], cwd=tmp_path, check=True, capture_output=True, text=True)
    rows = [list(map(float, line.split())) for line in ran.stdout.splitlines()]
    water = Atoms("OHH", [(0.0, 0.0, 0.119), (0.0, 0.763, -0.477), (0.0, -0.763, -0.477)])
    expected = opened("shipped", 32, bits=32)(*arrays_of([water]))
    assert rows[0] == pytest.approx(list(expected.energy), abs=2e-6)
    np.testing.assert_allclose(rows[1:], expected.forces, rtol=0, atol=2e-6)
    damaged = subprocess.run(["./example", "example.c"], cwd=tmp_path, capture_output=True, text=True)
    assert damaged.returncode == 1 and damaged.stderr == "example.c is not a model file of Assay: give a model.assay\n"


def test_structures_that_are_another_size_are_refused():
    library_ = library.library()
    for size in (0, 8, 1000):
        structure = (ctypes.c_int64 * 64)(size)
        model = opened("shipped")
        assert library_.assay_evaluate(model._handle, structure, structure) == 1
        assert b"struct_size" in library_.assay_last_error()
    for arguments in ((None, structure, structure), (model._handle, None, structure), (model._handle, structure, None)):
        assert library_.assay_evaluate(*arguments) == 1
        assert b"is NULL" in library_.assay_last_error()
    assert library_.assay_open(None, 32, None) == 1
    assert library_.assay_cutoff(None) == 0.0 and library_.assay_has_element(None, 1) == 0
    library_.assay_close(None)


@pytest.mark.parametrize("name", ["energy", "atomic_energies", "forces", "virial"])
def test_what_is_asked_for_alone_is_what_comes_with_the_rest(name):
    """Programs leave out what they do not need, such as the forces where only the pressure is measured."""
    model, arrays = opened("shipped"), arrays_of(CASES["crystals"]())
    expected = vars(model(*arrays))
    numbers, (neighbor, center), vectors, structure = arrays
    kept = [np.ascontiguousarray(x, np.int32) for x in (numbers, structure, neighbor, center)]
    kept.append(np.ascontiguousarray(vectors, np.float64))
    n_structures = len(expected["energy"])
    given = engine._Input(
        ctypes.sizeof(engine._Input), len(numbers), len(numbers), n_structures, len(neighbor),
        *(x.ctypes.data for x in kept), 1, engine.EXCHANGE(), None,
    )  # fmt: skip
    found = np.full_like(expected[name], np.nan)
    places = (found.ctypes.data if key == name else None for key in expected)
    wanted = engine._Output(ctypes.sizeof(engine._Output), *places)
    assert model._library.assay_evaluate(model._handle, ctypes.byref(given), ctypes.byref(wanted)) == 0
    np.testing.assert_allclose(found, expected[name], rtol=1e-12, atol=1e-12)


def test_it_asks_for_no_library_that_a_bare_machine_lacks():
    """Each needed library is of the C and C++ runtimes, and no symbol is younger than glibc 2.28 and GCC 8."""
    if not sys.platform.startswith("linux") or shutil.which("objdump") is None:
        pytest.skip("no objdump on this machine")
    listed = subprocess.run(["objdump", "-p", library.library_path()], capture_output=True, text=True).stdout
    needed = set(re.findall(r"NEEDED +(\S+)", listed))
    usual = {f"lib{name}" for name in ("c.so.6", "m.so.6", "pthread.so.0", "stdc++.so.6", "gcc_s.so.1")}
    assert {name for name in needed if not name.startswith("ld-linux")} <= usual
    limits = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 25), "CXXABI": (1, 3, 11)}
    for name, version in re.findall(r"\b(GLIBC|GLIBCXX|CXXABI)_([0-9.]+)", listed):
        assert tuple(map(int, version.split("."))) <= limits[name], f"{name}_{version}"


def _large(kind):
    """More atoms than the engine leaves in their order, in two pieces that do not see each other or in a crystal."""
    if kind == "periodic":
        system = salt().repeat((8, 5, 2))
    else:
        system = cluster(125)
        for shift in (20.0, 9.6):
            other = cluster(125)
            other.positions[:, 0] += shift
            system += other
    system.rattle(0.05, seed=8)
    return system[np.random.default_rng(0).permutation(len(system))]


@pytest.mark.parametrize("kind", ["open", "periodic"])
def test_the_order_of_many_atoms_does_not_matter(kind):
    """Large structures are computed in an order of the engine's own, and come back in that of the caller."""
    model, many = network("shipped"), _large(kind)
    assert len(many) > 300
    systems = [*rattled("H2O"), many, *rattled("CH4")]
    expected = model.energy_and_forces(*inputs_of(systems), virial=True)
    found = opened("shipped")(*arrays_of(systems))
    limits = {"rtol": 1e-11, "atol": 1e-10 * max(1.0, expected.forces.abs().max().item())}
    torch.testing.assert_close(torch.tensor(found.energy), expected.energy, **limits)
    torch.testing.assert_close(torch.tensor(found.forces), expected.forces, **limits)
    torch.testing.assert_close(torch.tensor(found.virial), expected.virial, **limits)
    order = np.random.default_rng(1).permutation(len(many))
    alone, other = opened("shipped")(*arrays_of([many])), opened("shipped")(*arrays_of([many[order]]))
    np.testing.assert_allclose(other.forces, alone.forces[order], rtol=0, atol=limits["atol"])
    np.testing.assert_allclose(other.atomic_energies, alone.atomic_energies[order], rtol=0, atol=limits["atol"])


def test_results_do_not_depend_on_threads():
    many = [s for k in range(12) for s in rattled("CH3CH2OH", "C6H6", width=0.1 + 0.01 * k)]
    for systems in (many, [cluster()], [salt()], [_large("open")]):
        given = arrays_of(systems)
        expected = opened("shipped", 32)(*given)
        for threads in (2, 3, 7):
            for _ in range(12):
                found = opened("shipped", 32)(*given, threads=threads)
                for ours, theirs in zip(vars(found).values(), vars(expected).values(), strict=True):
                    assert np.array_equal(ours, theirs)


def test_models_may_be_used_by_several_threads_and_after_a_fork():
    given, model = arrays_of([cluster()]), opened("shipped")
    expected = model(*given)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: model(*given, threads=2).forces, range(12)):
            assert np.array_equal(found, expected.forces)
    with multiprocessing.get_context("fork").Pool(2) as processes:
        for found in processes.starmap(_forces_after_fork, [given, given]):
            assert np.array_equal(found, expected.forces)


def _forces_after_fork(*given):
    return opened("shipped")(*given, threads=2).forces


def test_a_model_is_pickled_and_copied():
    given, model = arrays_of(rattled("H2O")), opened("shipped")
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(other(*given).forces, model(*given).forces)
