"""Reading, checking and making labelled structures."""

import gzip
import json
import warnings
from dataclasses import replace
from itertools import islice
from pathlib import Path

import ase
import ase.db
import ase.io
import h5py
import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from rdkit import Chem
from rdkit.Chem.rdMolTransforms import GetDihedralDeg
from scipy.spatial.distance import cdist, pdist

from assay.data import read_dataset
from assay.data.dataset import concatenate, from_structures
from assay.data.hdf5 import write_hdf5
from assay.dynamics.langevin import langevin
from assay.sampling.distortion import (
    element_pairs,
    nanodiamond,
    place_dimer,
    stretch_bonds,
    turn_torsions,
    turning_torsions,
)
from assay.sampling.elements import ELEMENTS
from assay.sampling.identity import identity, n_atoms, skeleton, standardize
from assay.sampling.mechanics import Mechanics, MechanicsError, embed
from assay.sampling.molecules import collect, read_lists, read_molecules, write_molecules
from assay.sampling.plan import plan
from assay.sampling.recipes import (
    Geometry,
    Skipped,
    clusters,
    diamonds,
    diatomics,
    driven,
    droplets,
    facing,
    sampled,
    scans,
)
from assay.sampling.recombination import alter, bridge, cut, recombine
from assay.sampling.shards import _labelled, dropped, label
from assay.sampling.shipping import ship
from assay.sampling.splits import for_training, never_seen, split
from assay.sampling.teacher import Labels, Teacher
from assay.structures.structure import Structure
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError

ROOT = Path(__file__).parents[1]
DRIVER = ROOT / "data/dataset/driver.pt"
ODD_PARTS = ("train_bridged", "train_caged", "train_small_cages", "train_altered")
TEACHER = Teacher(**load_config(ROOT / "config")["teacher"])


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
    if path.suffix == ".db":
        write_db(path, frames)
    elif path.suffix == ".h5":
        write_hdf5(path, from_structures([Structure.from_ase(atoms) for atoms in frames]))
    else:
        ase.io.write(path, frames, format="extxyz")


@pytest.mark.parametrize("name", ["set.xyz", "set.extxyz", "set.xyz.gz", "set.db", "set.h5", "set.hdf5"])
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


@pytest.mark.parametrize("column", ["positions", "forces", "energy", "atomic_numbers", "cells"])
def test_hash_sees_every_column(dataset, column):
    changed = getattr(dataset, column).copy()
    changed[-1] += 1
    assert replace(dataset, **{column: changed}).content_sha256() != dataset.content_sha256()
    assert replace(dataset, names=dataset.names[::-1]).content_sha256() == dataset.content_sha256()


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
    with pytest.raises(AssayError, match=r"(structure 1|row 2)") as error:
        read_dataset(path)
    assert how in str(error.value) and str(path) in str(error.value)


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
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(AssayError, match=message) as error:
            read_dataset(tmp_path / name)
        assert name in str(error.value) and "\n" not in str(error.value)
    (tmp_path / "cut.xyz.gz").write_bytes(gzip.compress(text.encode())[:-20])
    with pytest.raises(AssayError, match="cannot be read"):
        read_dataset(tmp_path / "cut.xyz.gz")
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
    write_as(tmp_path / "whole.xyz", [without_hydrogens(smiles) for smiles in whole] + [molecule_of("CCCC")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_dataset(tmp_path / "whole.xyz")) == len(whole) + 1
    bare = [without_hydrogens(smiles) for smiles in ("c1ccccc1", "CCCCO", "NC(Cc1ccccc1)C(=O)O")]
    write_as(tmp_path / "bare.xyz", [*bare, molecule_of("CCCC")])
    with pytest.warns(UserWarning, match=r"3 of 4 structures .* hydrogens"):
        read_dataset(tmp_path / "bare.xyz")


def molecule_of(smiles: str) -> ase.Atoms:
    conformer = embed(smiles, 1, 7)
    numbers = [atom.GetAtomicNum() for atom in conformer.GetAtoms()]
    return labelled(ase.Atoms(numbers, conformer.GetConformer().GetPositions()))


@pytest.mark.parametrize(
    "first, second",
    [
        ("Oc1ccccn1", "O=c1cccc[nH]1"),
        ("CC(C)=O", "C=C(C)O"),
        ("N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"),
        ("F/C=C/F", "F/C=C\\F"),
        ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),
        ("CC(=O)[O-].[Na+]", "CC(=O)O"),
        ("C[NH3+].[Cl-]", "CN"),
        ("[2H]C", "C"),
        ("Cc1c[nH]cn1", "Cc1cnc[nH]1"),
    ],
)
def test_same_molecule_whatever_its_label(first, second):
    assert identity(standardize(first)) == identity(standardize(second))
    assert skeleton(standardize(first)) == skeleton(standardize(second))


@pytest.mark.parametrize(
    "first, second", [("CCO", "COC"), ("CCO", "CC=O"), ("Cc1ccccc1O", "Cc1cccc(O)c1"), ("CF", "CCl")]
)
def test_different_molecules_stay_different(first, second):
    assert identity(standardize(first)) != identity(standardize(second))


@pytest.mark.parametrize("smiles", ["C[N+](C)(C)C", "[CH3]", "C[Si](C)(C)C", "nonsense", "[Na+]", "", "[O][N]=O"])
def test_what_the_dataset_leaves_out(smiles):
    assert standardize(smiles) is None


@pytest.fixture(scope="module")
def shipped():
    return read_molecules(ROOT / "data/molecules/molecules.csv")


def test_shipped_molecules_never_stand_on_two_sides(shipped):
    assert len(shipped["train"]) >= 4000 and len(shipped["unseen_molecules"]) >= 250
    assert len(shipped["larger_molecules"]) >= 120
    everything = [entry.identity for entries in shipped.values() for entry in entries]
    assert len(everything) == len(set(everything))
    skeletons = {name: {entry.skeleton for entry in entries} for name, entries in shipped.items()}
    for name in ("validation", "unseen_molecules", "larger_molecules"):
        assert not skeletons["train"] & skeletons[name]
    assert {60 <= entry.n_atoms <= 190 for entry in shipped["larger_molecules"]} == {True}
    others = set.union(*(found for name, found in skeletons.items() if name != "new_molecules"))
    assert len(shipped["new_molecules"]) >= 50 and not skeletons["new_molecules"] & others


def test_stored_identity_is_what_the_smiles_gives(shipped):
    for entry in shipped["train"][::50] + shipped["unseen_molecules"][::10]:
        molecule = standardize(entry.smiles)
        assert (identity(molecule), skeleton(molecule)) == (entry.identity, entry.skeleton)


@pytest.mark.slow
def test_collecting_and_splitting(tmp_path, shipped):
    lists = [ROOT / "data/molecules/written.csv"]
    molecules = collect(lists, ["*C1CC1", "*S(F)(F)(F)(F)F"], 60, 40, 25, 1)
    assert [entry.source for entry in molecules].count("recombined") == 40
    assert molecules == collect(lists, ["*C1CC1", "*S(F)(F)(F)(F)F"], 60, 40, 25, 1)
    wanted = {"listed": 30, "recombined": 5}
    parts = split(molecules, wanted, wanted, [(51, 60, 8)], 50, 0.7, 3)
    assert len(parts["larger_molecules"]) == 8
    assert 35 <= len(parts["unseen_molecules"]) < 60
    fingerprints = {name: [Chem.RDKFingerprint(Chem.MolFromSmiles(e.smiles)) for e in parts[name]] for name in parts}
    assert len(fingerprints["train"]) > 800
    known = [parts["train"][0], replace(parts["train"][1], identity="another tautomer")]
    assert never_seen([*known, *shipped["new_molecules"][:3]], parts) == shipped["new_molecules"][:3]
    write_molecules(tmp_path / "molecules.csv", parts)
    assert read_molecules(tmp_path / "molecules.csv") == parts
    (tmp_path / "list.csv").write_text("name\nCC\n")
    with pytest.raises(AssayError, match="no columns smiles and source"):
        list(read_lists([tmp_path / "list.csv"]))


def test_recombined_molecules_are_new_neutral_and_small():
    known = [Chem.MolFromSmiles(smiles) for smiles in ("c1ccncc1CC(=O)N", "C1CCOC1C", "CC(F)S")]
    pieces = cut(known)
    assert pieces and all(piece.count("*") == 1 for piece in pieces)
    made = list(islice(recombine(known, pieces, ["*P(C)C", "*C1CC1"], 24, 5), 50))
    assert all(standardize(Chem.MolToSmiles(molecule)) for molecule in made)
    assert max(Chem.AddHs(molecule).GetNumAtoms() for molecule in made) <= 24
    assert len({Chem.MolToSmiles(molecule) for molecule in made}) > 30


def test_bridged_molecules_have_more_rings_than_what_they_were_made_of():
    cores = [Chem.MolFromSmiles(smiles) for smiles in ("C1CC1CC", "CCNC", "c1ccoc1")]
    made = list(islice(bridge(cores, ["*OC"], 20, 5), 60))
    assert all(n_atoms(molecule) <= 20 for molecule in made)
    rings = [molecule.GetNumBonds() - molecule.GetNumAtoms() + 1 for molecule in made]
    assert min(rings) == 1 and max(rings) == 3
    assert len({Chem.MolToSmiles(molecule) for molecule in made}) > 10
    again = islice(bridge(cores, ["*OC"], 20, 5), 60)
    assert [Chem.MolToSmiles(molecule) for molecule in again] == [Chem.MolToSmiles(molecule) for molecule in made]


def test_more_bonds_make_cages_some_of_other_elements():
    cores = [Chem.MolFromSmiles(smiles) for smiles in ("C1CCC1", "CCCC")]
    made = list(islice(bridge(cores, ["*C"], 20, 5, bonds=(2, 3), changed=0.5), 60))
    rings = [molecule.GetNumBonds() - molecule.GetNumAtoms() + 1 for molecule in made]
    assert min(rings) == 2 and max(rings) == 4
    changed = [any(atom.GetAtomicNum() != 6 for atom in molecule.GetAtoms()) for molecule in made]
    assert 10 < sum(changed) < 50


def test_altered_molecules_keep_the_size_and_lose_the_elements_of_what_they_were_made_of():
    cores = [Chem.MolFromSmiles(smiles) for smiles in ("c1ccccc1CO", "CCCCC")]
    made = list(islice(alter(cores, 24, 5, (1, 3)), 60))
    elements = [[atom.GetAtomicNum() for atom in molecule.GetAtoms()] for molecule in made]
    skeletons = [[number for number in numbers if number not in (9, 17, 35)] for numbers in elements]
    assert {len(numbers) for numbers in skeletons} == {5, 8}
    assert {7, 8, 15, 16} <= {number for numbers in skeletons for number in numbers}
    assert 5 < sum(9 in numbers for numbers in elements) < 50
    again = islice(alter(cores, 24, 5, (1, 3)), 60)
    assert [Chem.MolToSmiles(molecule) for molecule in again] == [Chem.MolToSmiles(molecule) for molecule in made]


@pytest.mark.parametrize("smiles", ["OCC(N)=O", "CP(C)(C)=C", "Clc1ccoc1Br"])
def test_classical_forces_belong_to_the_positions_asked_for(smiles):
    """A cached distance matrix would give the forces of older positions."""
    mechanics = Mechanics(embed(smiles, 1, 3))
    start = mechanics.molecule.GetConformer().GetPositions()
    moved = start + np.random.default_rng(0).normal(0.0, 0.1, start.shape)
    mechanics.forces(start)
    forces = mechanics.forces(moved)
    np.testing.assert_allclose(forces, Mechanics(embed(smiles, 1, 3)).forces(moved), atol=1e-10)
    assert np.abs(forces - mechanics.forces(start)).max() > 0.5
    assert np.abs(mechanics.forces(mechanics.minimize(start, 2000))).max() < 1e-2


def test_what_rdkit_cannot_build_is_skipped_not_fatal():
    with pytest.raises(MechanicsError):
        embed("C1#CC1", 1, 1)
    outcomes = list(sampled([("x", "C1#CC1")], 1, {"thermal": 1.0}, 1, (300.0, 400.0)))
    assert [outcome.reason for outcome in outcomes] == ["mechanics"]


def test_a_minimizer_that_gives_up_costs_one_geometry(monkeypatch):
    """The force field of RDKit gives up like this where two atoms coincide."""
    minimize, calls = Mechanics.minimize, []

    def giving_up(self, positions, max_steps=200):
        calls.append(positions)
        if len(calls) == 2:
            positions = np.concatenate([positions[:1], positions[:1], positions[2:]])
        return minimize(self, positions, max_steps)

    monkeypatch.setattr(Mechanics, "minimize", giving_up)
    outcomes = list(sampled([("x", "CCO")], 1, {"relaxed": 1.0}, 3, (300.0, 400.0)))
    assert [isinstance(outcome, Skipped) for outcome in outcomes] == [False, True, False]


def test_langevin_keeps_the_temperature_and_verlet_the_energy():
    masses, stiffness = np.linspace(1.0, 16.0, 40), 5.0
    rng = np.random.default_rng(2)
    start = np.zeros((40, 3))
    steps = islice(langevin(lambda x: -stiffness * x, masses, start, 400.0, rng, 0.5, 0.05), 500, 8000)
    energies = np.array([(0.5 * stiffness * x**2).sum() for x, _ in steps])
    assert energies.mean() == pytest.approx(60 * units.kB * 400.0, rel=0.03)
    steps = islice(langevin(lambda x: -stiffness * x, masses, start, 400.0, rng, 0.1, 0.0), 500)
    total = [0.5 * stiffness * (x**2).sum() + 0.5 * (masses[:, None] * v**2).sum() for x, v in steps]
    assert np.ptp(total) < 1e-3 * np.mean(total)


def test_distortions_reach_what_they_promise():
    rng = np.random.default_rng(4)
    butanol = embed("CCCCO", 1, 1)
    positions = butanol.GetConformer().GetPositions()
    bonds = np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in butanol.GetBonds()])

    def lengths(x):
        return np.linalg.norm(x[bonds[:, 0]] - x[bonds[:, 1]], axis=1)

    ratios = np.array([lengths(stretch_bonds(butanol, positions, rng)) / lengths(positions) for _ in range(40)])
    assert ratios.min() < 0.85 and ratios.max() > 1.35 and ratios.min() > 0.74 and ratios.max() < 1.51
    assert set((np.abs(ratios - 1.0) > 1e-6).sum(axis=1)) <= {1, 2, 3}
    turned = turn_torsions(butanol, positions, rng)
    np.testing.assert_allclose(lengths(turned), lengths(positions), atol=1e-6)
    assert np.abs(pdist(turned) - pdist(positions)).max() > 0.1
    for distance in (1.5, 4.0):
        pair = place_dimer(positions, positions, distance, rng)
        assert cdist(pair[: len(positions)], pair[len(positions) :]).min() == pytest.approx(distance, abs=1e-6)


def test_a_scan_turns_each_bond_through_all_angles():
    smiles = {"ethane": "CC", "glycol": "OCCO", "broken": "C1#CC1", "amide": "CNC(C)=O"}
    angles: dict[tuple[str, ...], list[float]] = {}
    for scanned in scans(list(smiles.items()), 1, 4):
        if isinstance(scanned, Skipped):
            continue
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles[scanned.molecule]))
        molecule.AddConformer(Chem.Conformer(molecule.GetNumAtoms()))
        molecule.GetConformer().SetPositions(scanned.positions)
        bond, asked = scanned.name.split("-scan-")[1].split("deg")[0].split("-", 1)
        (torsion,) = (t for t in turning_torsions(molecule) if bond == f"{t[1]}.{t[2]}")
        angle = GetDihedralDeg(molecule.GetConformer(), *torsion)
        angles.setdefault((scanned.molecule, bond), []).append(float(asked))
        assert abs((angle - float(asked) + 180.0) % 360.0 - 180.0) < 12.0, "apart from noise, it stands at its angle"
    assert [molecule for molecule, _ in angles] == ["glycol"] * 3 + ["amide"]
    for scan in angles.values():
        assert (np.floor((np.array(scan) + 180.0) / 90.0) == np.arange(4)).all(), "one angle in each quarter of a turn"


def test_facing_molecules_meet_with_atoms_of_any_element():
    small = [("fluoride", "CF"), ("nitrile", "CC#N"), ("broken", "C1#CC1")]
    outcomes = list(facing(small, 2, count=150, distances_A=(1.2, 1.6)))
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, Skipped)} == {"mechanics"}
    pairs, met = [outcome for outcome in outcomes if isinstance(outcome, Geometry)], set()
    for pair in pairs:
        whole = cdist(pair.positions, pair.positions)
        distance = float(pair.name.split("-")[-2][:-1])
        met |= {frozenset(pair.atomic_numbers[list(ends)]) for ends in np.argwhere(np.abs(whole - distance) < 0.006)}
    assert {frozenset({7}), frozenset({7, 9}), frozenset({1, 7})} <= met


def test_every_pair_of_elements_is_scanned():
    pairs = {tuple(numbers) for numbers, _ in element_pairs(5)}
    assert len(pairs) == len(ELEMENTS) * (len(ELEMENTS) + 1) // 2
    assert len(list(diatomics(5))) == 5 * len(pairs)
    hydrogens = [x[1, 2] for numbers, x in element_pairs(5) if set(numbers) == {1}]
    assert hydrogens[0] < 0.35 and hydrogens[-1] == pytest.approx(6.0)


def test_a_nanodiamond_is_saturated_and_uncrowded():
    """Every carbon has four bonds, every hydrogen one, and no two hydrogens share a site."""
    for radius, center in ((2.5, [0.3, -0.2, 0.1]), (3.4, [0.0, 0.5, -0.4]), (4.2, [0.7, 0.1, 0.2])):
        numbers, positions = nanodiamond(radius, np.array(center))
        distances = cdist(positions, positions) + 9.0 * np.eye(len(numbers))
        assert ((distances < 1.7).sum(1) == np.where(numbers == 6, 4, 1)).all()
        hydrogens = numbers == 1
        assert 10 <= hydrogens.sum() < 110 and distances[np.ix_(hydrogens, hydrogens)].min() > 1.7
    assert len(nanodiamond(0.2, np.array([0.8, 0.8, 0.8]))[0]) == 0


def test_dense_matter_is_denser_than_molecules():
    small = [("water", "O"), ("broken", "C1#CC1"), ("methanol", "CO"), ("ammonia", "N")]
    drops = list(droplets(small, 1, count=8, n_molecules=2, n_atoms=(50, 60), over_liquid=(1.5, 1.5)))
    made = [drop for drop in drops if isinstance(drop, Geometry)]
    assert made and {drop.reason for drop in drops if isinstance(drop, Skipped)} <= {"mechanics"}
    for drop in made:
        middle = np.linalg.norm(drop.positions - drop.positions.mean(0), axis=1) < 4.0
        assert middle.sum() / (4 / 3 * np.pi * 4.0**3) > 0.11
    pieces = [piece for piece in diamonds(1, 6, (3.0, 4.2), (0.92, 0.92)) if isinstance(piece, Geometry)]
    neighbors = [(cdist(piece.positions, piece.positions) < 5.0).sum(1).max() - 1 for piece in pieces]
    assert max(neighbors) > 70, "as many as in a solid under pressure"


def test_clusters_are_of_all_elements_and_no_two_alike():
    made = list(clusters(1, 30, n_atoms=(2, 20), spacings_A=(1.8, 2.4)))
    assert len({cluster.name for cluster in made}) == len({cluster.positions.tobytes() for cluster in made}) == 30
    assert set(np.concatenate([cluster.atomic_numbers for cluster in made])) == set(ELEMENTS)
    for cluster in made:
        nearest = (cdist(cluster.positions, cluster.positions) + 9.0 * np.eye(len(cluster.positions))).min(1)
        assert 0.75 * 1.8 < nearest.min() and nearest.max() < 1.5 * 2.4


def test_labels_are_the_teachers_and_free_of_noise():
    labels = Labels(TEACHER)
    numbers, positions = np.array([8, 1, 1]), np.array([[0.0, 0.0, 0.12], [0.0, 0.75, -0.45], [0.1, -0.78, -0.5]])
    _, forces = labels(numbers, positions)
    step = 1e-3
    for atom, axis in ((0, 2), (1, 1), (2, 0)):
        ends = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[atom, axis] += sign * step
            ends.append(labels(numbers, moved)[0])
        assert forces[atom, axis] == pytest.approx(-(ends[0] - ends[1]) / (2 * step), abs=2e-4)


def test_a_student_drives_molecules_to_their_temperature():
    driver = {"checkpoint": str(DRIVER), "sha256": ""}
    motion = {"frames": 4, "temperatures_K": (300.0, 300.0), "thermalization_fs": 60.0, "interval_fs": 20.0}
    molecules = [("alcohol", "CCCCO"), ("broken", "C1#CC1"), ("amide", "CCC(=O)N")]

    def outcomes(turned, seed=1):
        return list(driven(molecules, seed, driver, turned=turned, time_step_fs=1.0, **motion))

    skipped, *frames = outcomes(0.0)
    assert skipped.reason == "mechanics"
    assert [frame.molecule for frame in frames] == ["alcohol"] * 4 + ["amide"] * 4
    bonds = np.argwhere(np.triu(cdist(frames[0].positions, frames[0].positions) < 1.7, 1))
    lengths = np.array(
        [np.linalg.norm(f.positions[bonds[:, 0]] - f.positions[bonds[:, 1]], axis=1) for f in frames[:4]]
    )
    assert 0.01 < lengths.std(0).mean() < 0.1, "bonds should swing as at 300 K"
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(frames, outcomes(0.0)[1:], strict=True))
    turned, straight = (pdist(outcomes(share, seed=2)[1].positions) for share in (1.0, 0.0))
    assert np.abs(turned - straight).max() > 1.0


def test_a_molecule_that_flew_apart_gets_no_label():
    far = Geometry("far", "m", np.array([1, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1e9]]))
    for positions in (far.positions, np.full((2, 3), np.nan)):
        assert _labelled(replace(far, positions=positions), Labels(TEACHER), 30.0) == Skipped("flown apart")


def test_a_teacher_that_is_not_there_is_one_sentence():
    for calculator in ("nowhere.Nothing", "ase.calculators.emt.Nothing"):
        with pytest.raises(AssayError, match=r"the teacher .* cannot be made"):
            Teacher("none", calculator).make()


def recipe() -> dict:
    labels = load_config(ROOT / "config")["dataset"]["recipe"]["labels"]
    labels |= {"rounds": 1, "recombined_shards": 1, "dimers": {"train": 3, "validation": 1}}
    labels["classical"] |= {"molecules_per_shard": 2, "pair_distances": 1}
    labels["dynamics_molecules"] |= {"validation": 1, "seen_molecules": 2}
    labels["dynamics"] |= {"thermalization_fs": 3, "interval_fs": 2}
    labels["contacts"] |= {"count": 2, "per_shard": 2}
    labels["dense"]["shards"] = 1
    labels["dense"]["droplets"] |= {"count": 1, "n_molecules": 1, "n_atoms": [8, 9]}
    labels["dense"]["diamonds"] |= {"count": 1, "radii_A": [2.5, 2.5]}
    labels["dense"]["clusters"] |= {"count": 1, "n_atoms": [2, 5]}
    labels["facing"] |= {"count": 2, "per_shard": 2}
    labels["driven"] |= {"checkpoint": str(DRIVER), "shards": 2, "molecules_per_shard": 2}
    labels["driven_again_shards"] = 1
    labels["redriven"] |= {"checkpoint": str(DRIVER), "shards": 1, "molecules_per_shard": 2}
    for part in ("driven", "redriven", "odd_dynamics"):
        labels[part] |= {"frames": 2, "thermalization_fs": 3, "interval_fs": 2}
    return labels


def test_molecules_added_to_training_were_not_held_out(shipped):
    parts = {part: entries for part, entries in shipped.items() if not part.startswith("train_")}
    held_out = {entry.skeleton for part, entries in parts.items() if part != "train" for entry in entries}
    known = {entry.identity for entries in parts.values() for entry in entries}
    for part in ("train_recombined", *ODD_PARTS):
        added = shipped[part]
        assert len(added) > 1000 and not {entry.skeleton for entry in added} & held_out
        assert not {entry.identity for entry in added} & known
    leak = replace(shipped["unseen_molecules"][0], skeleton="another")
    fresh = added[:3]
    assert for_training([leak, *fresh], parts, 0.8) == fresh


@pytest.mark.slow
def test_labelling_resumes_and_repeats(tmp_path, shipped):
    small = [entry for entry in shipped["train"] if entry.smiles == "CCO" or entry.n_atoms <= 8]
    small = sorted(small, key=lambda entry: entry.smiles != "CCO")[:4]
    more = [entry for entry in shipped["train_recombined"] if entry.n_atoms <= 8][:4]
    splits = {"train": small, "train_recombined": more, "validation": small[:1]}
    for part in ODD_PARTS:
        splits[part] = [entry for entry in shipped[part] if entry.n_atoms <= 8][:1]
    emt = Teacher("EMT", "ase.calculators.lj.LennardJones", {"sigma": 1.0, "epsilon": 0.01})
    checked = {small[1].identity}
    shards = plan("train", splits, recipe(), emt, checked)
    assert len({shard.path(tmp_path) for shard in shards}) == len(shards) == 20
    for shard in shards:
        taken = {named[0] for named in shard.arguments.get("molecules", [])}
        assert bool(taken & checked) <= (shard.recipe not in ("scans", "facing"))
    first = label(shards, tmp_path, 1, "first")
    counts = dropped(shards, tmp_path)
    turned = [entry.smiles for entry in small + more if entry.identity not in checked]
    scanned = 2 * sum(len(turning_torsions(Chem.AddHs(Chem.MolFromSmiles(smiles)))) for smiles in turned)
    unbuilt = dropped([shard for shard in shards if shard.recipe == "scans"], tmp_path)["mechanics"]
    others = 4 * 2 + 3 + 45 + 2 * 2 + 2 + 3 + 12 * 2 + 4 * 2 * 2 + 2 - (counts["mechanics"] - unbuilt)
    assert scanned and len(first) + sum(counts.values()) == others + scanned + unbuilt
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    shards[0].path(tmp_path).unlink()
    again = label(shards, tmp_path, 1, "again")
    assert again.content_sha256() == first.content_sha256()
    kept = [path for path in tmp_path.iterdir() if path.stat().st_mtime_ns == times[path]]
    assert len(kept) == len(shards) - 1
    assert np.array_equal(first.positions, np.round(first.positions, 4))
    other = plan("train", splits, recipe(), replace(emt, arguments={"sigma": 1.1}), checked)
    assert not {shard.path(tmp_path) for shard in shards} & {shard.path(tmp_path) for shard in other}


@pytest.mark.slow
def test_the_test_splits_are_dynamics_of_the_teacher(tmp_path, shipped):
    small = [entry for entry in shipped["train"] if entry.smiles in ("CO", "CN")]
    shards = plan("seen_molecules", {"train": small}, recipe(), TEACHER)
    dataset = label(shards, tmp_path, 1, "dynamics")
    assert len(dataset) == 2 * 2 * 2
    assert set(dataset.molecules) == {entry.identity for entry in small}
    assert all("-dynamics-" in name for name in dataset.names)
    labels = Labels(TEACHER)
    for structure in list(dataset)[::3]:
        energy, forces = labels(structure.atomic_numbers, structure.positions)
        assert energy == pytest.approx(structure.energy_eV, abs=1e-8)
        np.testing.assert_allclose(forces, structure.forces_eV_per_A, atol=1e-4)


@pytest.fixture(scope="module")
def files():
    found = {path.stem: path for path in (ROOT / "data/dataset").glob("*.h5")}
    tests = {"seen_molecules", "unseen_molecules", "larger_molecules", "new_molecules"}
    assert set(found) == {"train", "validation"} | tests
    return found


def test_shipped_files_are_sound_and_small(files):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets = {name: read_dataset(path) for name, path in files.items()}
    assert sum(path.stat().st_size for path in files.values()) <= 20e6
    assert len(datasets["unseen_molecules"]) >= 1000 and len(datasets["seen_molecules"]) >= 580
    assert len(datasets["larger_molecules"]) >= 90
    assert set(np.unique(datasets["train"].atomic_numbers)) == set(ELEMENTS)
    seen = set(datasets["train"].molecules)
    assert set(datasets["seen_molecules"].molecules) <= seen
    for name in ("validation", "unseen_molecules", "larger_molecules", "new_molecules"):
        assert not seen & set(datasets[name].molecules)
    record = json.loads((ROOT / "data/dataset/dataset.json").read_text())["parts"]
    for name, dataset in datasets.items():
        assert record[name]["content_sha256"] == dataset.content_sha256()
        assert record[name]["n_structures"] == len(dataset)


@pytest.mark.slow
def test_shipping_cuts_and_keeps_every_seen_molecule(files, tmp_path):
    small = {part: read_dataset(path).subset(range(30)) for part, path in files.items() if part != "train"}
    train, wanted = read_dataset(files["train"]), set(small["seen_molecules"].molecules)
    once = [list(train.molecules).index(molecule) for molecule in wanted]
    small["train"] = train.subset(np.array(sorted({*range(600), *once})))
    for part, dataset in small.items():
        write_hdf5(tmp_path / f"{part}.h5", dataset)
    folder = tmp_path / "shipped"
    folder.mkdir()
    whole = {part: (tmp_path / f"{part}.h5").stat().st_size for part in small}
    limit = sum(whole.values()) - whole["train"] // 2
    ship({part: tmp_path / f"{part}.h5" for part in small}, folder, limit, {}, folder / "dataset.json")
    shipped = read_dataset(folder / "train.h5")
    assert wanted <= set(shipped.molecules) and len(shipped) < len(small["train"])
    assert (folder / "train.h5").stat().st_size < 0.8 * whole["train"]


@pytest.mark.slow
def test_shipped_labels_are_what_the_teacher_says(files):
    labels = Labels(TEACHER)
    for path in files.values():
        dataset = read_dataset(path)
        small = np.argsort(dataset.sizes, kind="stable")[: min(len(dataset), 4000) : 1000]
        for structure in (dataset[int(index)] for index in small):
            energy, forces = labels(structure.atomic_numbers, structure.positions)
            assert energy == pytest.approx(structure.energy_eV, abs=1e-6)
            np.testing.assert_allclose(forces, structure.forces_eV_per_A, atol=3e-4)


def test_recipe_survives_json():
    """Shards are named by their JSON: the config must hold nothing that JSON changes."""
    assert json.loads(json.dumps(recipe())) == recipe()
