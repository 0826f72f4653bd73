"""Labelled structures are read the same from every format, and what is unsound is named."""

import bz2
import gzip
import lzma
import tracemalloc
import warnings
from contextlib import nullcontext
from dataclasses import replace

import ase
import ase.build
import ase.db
import ase.io
import h5py
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator

from assay.data import read_dataset
from assay.data.checks import COINCIDENT_A, check, is_sound, lacks_hydrogens
from assay.data.dataset import concatenate, from_structures
from assay.data.formats import read_blocks
from assay.data.hdf5 import write_hdf5
from assay.data.spellings import ELEMENTS, ELEMENTS_OF_ARRAYS, POSITIONS, POSITIONS_OF_ARRAYS
from assay.data.store import StoredDataset, StoreWriter
from assay.sampling.mechanics import embed
from assay.structures.structure import Structure
from assay.workflow.errors import AssayError


def labelled(atoms: ase.Atoms, seed: int = 0, **info: str) -> ase.Atoms:
    """Atoms off their positions, with random labels on the grid that the files keep."""
    rng = np.random.default_rng(seed)
    atoms = atoms.copy()
    atoms.positions = np.round(atoms.positions + rng.normal(0.0, 0.05, atoms.positions.shape), 4)
    forces = np.round(rng.normal(size=atoms.positions.shape), 4)
    atoms.calc = SinglePointCalculator(atoms, energy=float(rng.normal()), forces=forces)
    atoms.info.update(info)
    return atoms


@pytest.fixture
def frames() -> list[ase.Atoms]:
    ethanol = labelled(molecule("CH3CH2OH"), 1, name="ethanol", molecule="abc")
    slab = bulk("SiC", "zincblende", 4.36) * (2, 1, 1)
    slab.pbc = [True, True, False]
    return [ethanol, labelled(slab, 2, name="SiC"), labelled(ase.Atoms("H"), 3)]


@pytest.fixture
def dataset(frames):
    return from_structures([Structure.from_ase(atoms) for atoms in frames])


def write_db(path, frames):
    with ase.db.connect(path) as database:
        for atoms in frames:
            database.write(atoms, **{key: atoms.info[key] for key in ("name", "molecule") if key in atoms.info})


def write_as(path, frames):
    if path.suffix in (".db", ".json"):
        write_db(path, frames)
    elif path.suffix == ".h5":
        write_hdf5(path, from_structures([Structure.from_ase(atoms) for atoms in frames]))
    else:
        ase.io.write(path, frames, format="extxyz")


LABELLED = ["set.xyz", "set.extxyz", "set.xyz.gz", "set.xyz.bz2", "set.xyz.xz", "set.db", "set.json", "set.h5"]


@pytest.mark.parametrize("name", [*LABELLED, "set.hdf5"])
def test_every_format_gives_the_same_dataset(tmp_path, frames, dataset, name):
    path = tmp_path / name
    write_as(path.with_suffix(".h5") if name.endswith("hdf5") else path, frames)
    if name.endswith("hdf5"):
        path.with_suffix(".h5").rename(path)
    read = read_dataset(path)
    assert read.content_sha256() == dataset.content_sha256()
    assert list(read.molecules) == ["abc", "", ""]
    assert read.names[0] == "ethanol"
    assert read[0].cell is None and not read[0].pbc.any()
    np.testing.assert_allclose(read[1].cell, np.array(frames[1].cell), atol=1e-9)
    assert read[1].pbc.tolist() == [True, True, False]


def test_hdf5_keeps_positions_and_energies_to_the_last_bit(tmp_path, dataset):
    write_hdf5(tmp_path / "set.h5", dataset)
    read = read_dataset(tmp_path / "set.h5")
    assert np.array_equal(read.positions, dataset.positions)
    assert np.array_equal(read.energy, dataset.energy)
    np.testing.assert_allclose(read.forces, dataset.forces, atol=5e-5)


@pytest.mark.parametrize("drop", ["none", "first", "last", "both"])
def test_hdf5_of_others_may_be_plain(tmp_path, dataset, drop):
    """Float columns, no cells, names or periodicity, and splits with or without their ends."""
    splits = dataset.offsets[slice(drop in ("first", "both"), -1 if drop in ("last", "both") else None)]
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file["structures/atomic_numbers"] = dataset.atomic_numbers
        file["structures/atomic_numbers_splits"] = splits
        file["structures/positions"] = dataset.positions.astype(np.float32)
        file["labels/energy"] = dataset.energy[:, None]
        file["labels/forces"] = dataset.forces
    read = read_dataset(tmp_path / "set.h5")
    assert np.array_equal(read.offsets, dataset.offsets)
    assert np.array_equal(read.energy, dataset.energy)
    assert read[1].cell is None


def test_columns_and_structures_agree(dataset):
    assert len(dataset) == 3 and dataset.sizes.tolist() == [9, 4, 1]
    assert [len(structure) for structure in dataset] == [9, 4, 1]
    picked = dataset.subset([2, 0, 0])
    assert picked.sizes.tolist() == [1, 9, 9]
    assert np.array_equal(picked[2].positions, dataset[0].positions)
    assert picked[1].energy_eV == dataset[0].energy_eV
    assert dataset.subset(np.array([False, True, False]))[0].name == "SiC"
    assert concatenate([dataset.subset([0]), dataset.subset([1, 2])]).content_sha256() == dataset.content_sha256()
    assert dataset[-1].name == dataset[2].name
    with pytest.raises(IndexError):
        dataset[3]


def test_stress_goes_with_its_structure():
    """ASE's sign and order; a structure without one stays so."""
    crystal, molecular = labelled(bulk("SiC", "zincblende", 4.36)), labelled(molecule("H2O"))
    crystal.calc.results["stress"] = np.arange(1.0, 7.0)
    one, other = (from_structures([Structure.from_ase(atoms)]) for atoms in (crystal, molecular))
    assert other.stress is None
    both = concatenate([one, other]).subset([1, 0, 1])
    assert both.stress.shape == (3, 3, 3) and np.isnan(both.stress[[0, 2]]).all()
    assert both[0].stress_eV_per_A3 is None
    assert both[1].stress_eV_per_A3.tolist() == [[1, 6, 5], [6, 2, 4], [5, 4, 3]]
    assert both[1].to_ase().get_stress().tolist() == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("column", "step"),
    [("positions", 2e-6), ("forces", 2e-6), ("energy", 2e-6), ("cells", 2e-6), ("atomic_numbers", 1), ("pbc", True)],
)
def test_hash_sees_every_column(dataset, column, step):
    changed = getattr(dataset, column).copy()
    changed[-1] += step
    assert replace(dataset, **{column: changed}).content_sha256() != dataset.content_sha256()
    assert replace(dataset, names=dataset.names[::-1]).content_sha256() == dataset.content_sha256()


def test_hash_sees_stress_where_there_is_one_in_memory_and_in_a_file(dataset, tmp_path):
    none = np.full((len(dataset), 3, 3), np.nan)
    some, other = none.copy(), none.copy()
    some[0], other[-1] = np.eye(3), np.eye(3)
    known = dataset.content_sha256()
    assert replace(dataset, stress=none).content_sha256() == known
    data = [replace(dataset, stress=stress) for stress in (some, other, 1.001 * some, 0.0 * some)]
    hashes = {own.content_sha256() for own in data}
    assert len(hashes) == 4 and known not in hashes
    for own in (*data, replace(dataset, stress=none)):
        with StoreWriter(tmp_path / "some.h5") as store:
            store.add(own)
        stored = StoredDataset(tmp_path / "some.h5")
        assert stored.content_sha256() == stored.subset(np.arange(len(stored))).content_sha256()
        assert (stored.content_sha256() == known) == (not stored.has_stress)


def spoil(atoms: ase.Atoms, how: str) -> None:
    if how == "finite":
        atoms.calc.results["forces"][0, 0] = np.nan
    elif how == "one place":
        atoms.positions[1] = atoms.positions[0] + 0.01
        atoms.calc = SinglePointCalculator(atoms, **atoms.calc.results)
    elif how == "no forces":
        del atoms.calc.results["forces"]
    elif how == "no energy":
        del atoms.calc.results["energy"]


@pytest.mark.parametrize("how", ["finite", "one place", "no forces", "no energy"])
@pytest.mark.parametrize("suffix", [".xyz", ".db"])
def test_a_spoiled_structure_is_named(tmp_path, frames, how, suffix):
    path = tmp_path / f"set{suffix}"
    spoil(frames[1], how)
    write_as(path, frames)
    for read in (read_dataset, lambda path: list(read_blocks(path, 2))):
        with pytest.raises(AssayError, match=r"(structure 1|row 2)") as error:
            read(path)
        assert how in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", ["positions", "forces", "cells", "energy", "stress"])
def test_one_number_that_is_not_finite_is_refused(dataset, column, value):
    """A stress that is NaN as a whole is none."""
    sound = replace(dataset, stress=np.full((3, 3, 3), np.nan))
    sound.stress[1] = np.eye(3)
    check(sound, "set.h5")
    spoiled = getattr(sound, column).copy()
    spoiled[(dataset.offsets[1] if column in ("positions", "forces") else 1, *[0] * (spoiled.ndim - 1))] = value
    with pytest.raises(AssayError, match=rf"structure 1 \(SiC\) of set\.h5 has {column} that are not finite"):
        check(replace(sound, **{column: spoiled}), "set.h5")


@pytest.mark.parametrize(("numbers", "least_A"), [([6, 6], 0.4 * 1.52), ([1, 55], 0.4 * 2.75)])
def test_an_example_has_no_atoms_inside_of_each_other(numbers, least_A):
    """By their covalent radii: 0.76 angstrom of carbon, 0.31 of hydrogen and 2.44 of caesium (Cordero, 2008)."""
    for factor, sound in ((0.98, False), (1.02, True)):
        positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, factor * least_A]])
        assert is_sound(Structure("pair", np.array(numbers), positions)) == sound


@pytest.mark.parametrize("number", [-1, 0, 119])
def test_an_atomic_number_of_no_element_is_refused(dataset, number):
    numbers = dataset.atomic_numbers.copy()
    numbers[-1] = 118
    check(replace(dataset, atomic_numbers=numbers), "set.h5")
    numbers[-1] = number
    with pytest.raises(AssayError, match=rf"structure 2 .* of set\.h5 has an atomic number {number}: correct it"):
        check(replace(dataset, atomic_numbers=numbers), "set.h5")


def test_atoms_coincide_across_a_periodic_boundary(tmp_path, dataset):
    structure = dataset[1]
    positions = structure.positions.copy()
    positions[1] = positions[0] + structure.cell[1] + 0.01
    spoiled = [replace(structure, positions=positions)]
    write_hdf5(tmp_path / "set.h5", from_structures(spoiled))
    with pytest.raises(AssayError, match="two atoms in one place"):
        read_dataset(tmp_path / "set.h5")
    write_hdf5(tmp_path / "open.h5", from_structures([replace(spoiled[0], pbc=np.zeros(3, dtype=bool))]))
    assert len(read_dataset(tmp_path / "open.h5")) == 1


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, True, False)])
@pytest.mark.parametrize("apart_A", [0.03, 0.07])
def test_atoms_coincide_in_a_skewed_cell_of_any_periodicity(pbc, apart_A):
    """Within rounding of the cell's wall, and in images beyond several."""
    cell = np.array([[4.0, 0.0, 0.0], [3.9, 2.0, 0.0], [-3.0, 1.0, 5.0]])
    positions = np.array([[-1e-18, 0.0, 0.0], [0.0, 0.0, apart_A], [1.0, 1.0, 2.0]])
    positions[1] += np.array(pbc) @ np.diag([2.0, -1.0, 1.0]) @ cell
    structure = Structure("one", np.array([6, 6, 6]), positions, cell, np.array(pbc), -1.0, np.zeros((3, 3)))
    expected = pytest.raises(AssayError, match="two atoms in one place") if apart_A < COINCIDENT_A else nullcontext()
    with expected:
        check(from_structures([structure]), "set.h5")


def test_a_large_crystal_is_checked_in_little_memory():
    grid = np.indices((20, 20, 20)).reshape(3, -1).T * 2.5
    crystal = Structure("one", np.full(8000, 13), grid, 50.0 * np.eye(3), np.ones(3, bool), -1.0, np.zeros((8000, 3)))
    crystals = from_structures([crystal])
    tracemalloc.start()
    check(crystals, "set.h5")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_a_folder_is_no_missing_file(tmp_path):
    with pytest.raises(AssayError, match=rf"{tmp_path} is a folder without systems of DeePMD-kit"):
        read_dataset(tmp_path)


def test_layers_of_a_slab_without_a_third_vector_are_apart(tmp_path):
    """One atom above the other is not in its place; both need vectors along what is periodic."""
    slab = labelled(ase.Atoms("C2", [[0, 0, 0], [0, 0, 3]], cell=[4, 4, 0], pbc=(1, 1, 0)))
    slab.positions[:, :2] = 0.5
    write_as(tmp_path / "slab.xyz", [slab])
    assert len(read_dataset(tmp_path / "slab.xyz")) == 1
    slab.pbc = True
    write_as(tmp_path / "bulk.xyz", [slab])
    with pytest.raises(AssayError, match=r"structure 0 .* of .*bulk\.xyz is periodic along lattice vectors"):
        read_dataset(tmp_path / "bulk.xyz")


def test_bad_files_are_one_sentence(tmp_path, frames, dataset):
    good = tmp_path / "set.xyz"
    write_as(good, frames)
    text = good.read_text()
    cases = {
        "cut.xyz": (text[: len(text) // 2], "cut short"),
        "symbol.xyz": (text.replace("Si ", "Xx ", 1), "no element"),
        "words.xyz": ("hello\nworld\n", "not extended XYZ"),
        "empty.xyz": ("", "no structures"),
        "set.cif": (text, "format"),
        "set.h5": ("no hdf5", "cannot be read"),
        "set.db": ("no sqlite", "cannot be read"),
        "set.json": ('{"a": 1}', "cannot be read as an ASE database"),
        "no.json": ("no json", "cannot be read as an ASE database"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(AssayError, match=message) as error:
            read_dataset(tmp_path / name)
        assert name in str(error.value) and "\n" not in str(error.value)
    for suffix, module in (("gz", gzip), ("bz2", bz2), ("xz", lzma)):
        (tmp_path / f"cut.xyz.{suffix}").write_bytes(module.compress(text.encode())[:-20])
        with pytest.raises(AssayError, match="cannot be read"):
            read_dataset(tmp_path / f"cut.xyz.{suffix}")
    with pytest.raises(AssayError, match="no file"):
        read_dataset(tmp_path / "absent.xyz")
    write_hdf5(tmp_path / "shape.h5", replace(dataset, forces=dataset.forces[:-1]))
    with pytest.raises(AssayError, match=r"forces in .*shape"):
        read_dataset(tmp_path / "shape.h5")
    numbers = dataset.atomic_numbers.copy()
    numbers[0] = 200
    write_hdf5(tmp_path / "number.h5", replace(dataset, atomic_numbers=numbers))
    with pytest.raises(AssayError, match=r"structure 0 \(ethanol\).*atomic number 200"):
        read_dataset(tmp_path / "number.h5")


def without_hydrogens(smiles: str) -> ase.Atoms:
    conformer = embed(smiles, 1, 7)
    numbers = np.array([atom.GetAtomicNum() for atom in conformer.GetAtoms()])
    heavy = numbers > 1
    return labelled(ase.Atoms(numbers[heavy], conformer.GetConformer().GetPositions()[heavy]))


def test_dropped_hydrogens_are_counted(tmp_path):
    whole = ["FC(F)(F)C(F)(F)C(F)(F)F", "O=C=O", "N#CC#N", "Fc1c(F)c(F)c(F)c(F)c1F", "N#CC(C#N)=C(C#N)C#N", "S=C=S"]
    crystals = [
        labelled(ase.build.bulk("SiC", "zincblende", a=4.36, cubic=True)),
        labelled(ase.build.bulk("C", cubic=True)),
    ]
    frames = [without_hydrogens(smiles) for smiles in whole] + [molecule_of("CCCC"), *crystals]
    write_as(tmp_path / "whole.xyz", frames)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_dataset(tmp_path / "whole.xyz")) == len(frames)
    bare = [without_hydrogens(smiles) for smiles in ("c1ccccc1", "CCCCO", "NC(Cc1ccccc1)C(=O)O")]
    write_as(tmp_path / "bare.xyz", [*bare, molecule_of("CCCC")])
    with pytest.warns(UserWarning, match=r"3 of 4 structures .* hydrogens"):
        read_dataset(tmp_path / "bare.xyz")


def rows_of(symbols, positions, count=4):
    """So many pieces in a row, far from each other."""
    places = np.tile(np.array(positions, dtype=float), (count, 1))
    places[:, 1] += 20.0 * np.repeat(np.arange(count), len(positions))
    return ase.Atoms(symbols * count, places)


def test_carbon_that_never_had_hydrogens_is_no_warning():
    turns = 2.0 * np.pi * np.arange(10) / 10
    ring = 0.645 / np.sin(np.pi / 10) * np.column_stack([np.cos(turns), np.sin(turns), 0.0 * turns])
    sound = {
        "CS2": rows_of(["S", "C", "S"], [[0, 0, -1.55], [0, 0, 0], [0, 0, 1.55]]),
        "hot CO": rows_of(["C", "O"], [[0, 0, 0], [0, 0, 1.3]]),
        "CF2": rows_of(["C", "F", "F"], [[0, 0, 0], [1.03, 0.8, 0], [-1.03, 0.8, 0]]),
        "atoms": rows_of(["C"], [[0, 0, 0]]),
        "C3": rows_of(["C", "C", "C"], [[0, 0, -1.29], [0, 0, 0], [0, 0, 1.29]]),
        "C10": rows_of(["C"] * 10, ring),
        "zigzag": ase.build.graphene_nanoribbon(2, 4, type="zigzag", vacuum=5),
        "armchair": ase.build.graphene_nanoribbon(2, 4, type="armchair", vacuum=5),
    }
    assert [name for name, atoms in sound.items() if lacks_hydrogens(Structure.from_ase(atoms))] == []
    bare = ["c1ccccc1", "CCCCO", "NC(Cc1ccccc1)C(=O)O", "c1ccncc1", "C=CC=CC", "CCCC", "CCSCC", "FCCCF"]
    assert [name for name in bare if not lacks_hydrogens(Structure.from_ase(without_hydrogens(name)))] == []


def molecule_of(smiles: str) -> ase.Atoms:
    conformer = embed(smiles, 1, 7)
    numbers = [atom.GetAtomicNum() for atom in conformer.GetAtoms()]
    return labelled(ase.Atoms(numbers, conformer.GetConformer().GetPositions()))


def write_columns(path, elements, positions):
    """Extended XYZ of one structure."""
    text = "2\nenergy=-1 Properties={}:S:1:{}:R:3:forces:R:3\nC 0 0 0 0 0 0.1\nO 0 0 1.1 0 0 -0.1\n"
    path.write_text(text.format(elements, positions))


def write_arrays(path, elements, positions, more=()):
    """The same as .npz, or as a group of HDF5."""
    values = {elements: [6, 8], positions: [[[0.0, 0.0, 0.0], [0.0, 0.0, 1.1]]]}
    values |= {"energy": [-1.0], "forces": [[[0.0, 0.0, 0.1], [0.0, 0.0, -0.1]]]} | dict(more)
    if path.suffix == ".npz":
        np.savez(path, **values)
        return
    with h5py.File(path, "w") as file:
        for name, own in values.items():
            file[f"CO/{name}"] = own


@pytest.mark.parametrize(
    ("elements", "positions"),
    [*((own, "positions") for own in ELEMENTS_OF_ARRAYS), *(("species", own) for own in POSITIONS_OF_ARRAYS)],
)
@pytest.mark.parametrize(("name", "write"), [("a.xyz", write_columns), ("a.npz", write_arrays), ("a.h5", write_arrays)])
def test_elements_and_positions_have_the_same_names_in_every_format(tmp_path, elements, positions, name, write):
    write(tmp_path / name, elements, positions)
    if name == "a.xyz" and not (elements in ELEMENTS and positions in POSITIONS):
        with pytest.raises(AssayError, match="has no column"):
            read_dataset(tmp_path / name)
        return
    read = read_dataset({"path": tmp_path / name, "units": {"energy": "eV", "length": "angstrom"}})
    assert read.atomic_numbers.tolist() == [6, 8] and read.positions[1].tolist() == [0.0, 0.0, 1.1]


@pytest.mark.parametrize("beside", [{"species": [1, 2]}, {"elements": [6, 8, 1]}, {"positions": [[[0.0] * 3] * 2]}])
@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_types_and_fractions_beside_elements_and_positions_are_passed_over(tmp_path, name, beside):
    write_arrays(tmp_path / name, "numbers", "coords", beside)
    read = read_dataset({"path": tmp_path / name, "units": {"energy": "eV", "length": "angstrom"}})
    assert read.atomic_numbers.tolist() == [6, 8] and read.positions[1].tolist() == [0.0, 0.0, 1.1]


@pytest.mark.parametrize("symbols", [["C", "O"], [["C", "O"]]])
@pytest.mark.parametrize("names", [("species", "elements"), ("element", "symbols"), ("symbols", "species")])
@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_symbols_beside_integers_are_the_elements(tmp_path, name, names, symbols):
    types, elements = names
    beside = {types: np.ones_like(symbols, dtype=np.int64), elements: np.array(symbols, dtype="S")}
    write_arrays(tmp_path / name, types, "coords", beside)
    read = read_dataset({"path": tmp_path / name, "units": {"energy": "eV", "length": "angstrom"}})
    assert read.atomic_numbers.tolist() == [6, 8]


@pytest.mark.parametrize("suffix", [".db", ".json", ".traj"])
@pytest.mark.parametrize(
    ("second", "functional", "key", "words"),
    [
        ("espresso", {"xc": "PBE"}, "energy", "3 by vasp \\(PBE\\) and 2 by espresso \\(PBE\\)"),
        ("espresso", {}, "energy", "3 by vasp \\(PBE\\) and 2 by espresso:"),
        ("vasp", {"xc": "RPBE"}, "energy", "3 by vasp \\(PBE\\) and 2 by vasp \\(RPBE\\)"),
        ("vasp", {"gga": "RP"}, "energy", "3 by vasp \\(PBE\\) and 2 by vasp \\(RPBE\\)"),
        ("vasp", {"gga": "PS"}, "energy", "3 by vasp \\(PBE\\) and 2 by vasp \\(PBESOL\\)"),
        ("espresso", {"xc": "PBE"}, "dft_energy", None),
        ("vasp", {"xc": "PBE"}, "energy", None),
        ("Vasp", {"xc": "pbe"}, "energy", None),
        ("vasp", {"gga": "PE"}, "energy", None),
        ("vasp", {}, "energy", None),
        ("unknown", {"xc": "PBE"}, "energy", None),
    ],
)
def test_labels_of_several_calculators_are_warned_of(tmp_path, suffix, second, functional, key, words):
    frames = [labelled(molecule("H2O"), seed) for seed in range(5)]
    for index, atoms in enumerate(frames):
        name, told = (second, functional) if index % 2 else ("vasp", {"xc": "PBE"})
        atoms.calc.name, atoms.calc.parameters = name, told
        atoms.info |= {"dft_energy": -2.0}
    path = tmp_path / f"set{suffix}"
    if suffix == ".traj":
        ase.io.write(path, frames)
    else:
        with ase.db.connect(path) as database:
            for atoms in frames:
                database.write(atoms, data=atoms.info)
    with (
        warnings.catch_warnings() if words is None else pytest.warns(UserWarning, match=f"several calculators, {words}")
    ):
        warnings.simplefilter("error" if words is None else "always")
        assert len(read_dataset({"path": path, "energy_key": key})) == 5


def test_structures_without_a_functional_are_of_neither_of_two(tmp_path):
    frames = [labelled(molecule("H2O"), seed) for seed in range(6)]
    for atoms, functional in zip(frames, ["PBE"] * 3 + ["RPBE"] * 2 + [None], strict=True):
        atoms.calc.name, atoms.calc.parameters = "vasp", {"xc": functional} if functional else {}
    ase.io.write(tmp_path / "set.traj", frames)
    with pytest.warns(UserWarning, match=r"3 by vasp \(PBE\) and 2 by vasp \(RPBE\) and 1 by vasp:"):
        assert len(read_dataset(tmp_path / "set.traj")) == 6


@pytest.mark.parametrize("beside", [["C1", "O1"], ["C", "XX"], np.array(["C", "O"], dtype=object)])
@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_what_is_no_list_of_symbols_makes_no_types_of_atomic_numbers(tmp_path, name, beside):
    beside = [text.encode() for text in beside] if name == "a.h5" else beside
    write_arrays(tmp_path / name, "species", "coords", {"symbols": beside})
    read = read_dataset({"path": tmp_path / name, "units": {"energy": "eV", "length": "angstrom"}})
    assert read.atomic_numbers.tolist() == [6, 8]


@pytest.mark.parametrize("group", ["species", "elements/of_all", "symbol"])
def test_a_group_of_hdf5_may_have_the_name_of_elements(tmp_path, group):
    write_arrays(tmp_path / "a.h5", "species", "coords")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.move("CO", f"{group}/CO")
        file[f"{group}/CO/symbols/of"] = 1.0
    read = read_dataset({"path": tmp_path / "a.h5", "units": {"energy": "eV", "length": "angstrom"}})
    assert read.atomic_numbers.tolist() == [6, 8]
