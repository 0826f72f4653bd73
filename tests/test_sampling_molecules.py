"""The molecules that the dataset is made of: their identity, their splits, and those that are made of others."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from rdkit import Chem

from assay.sampling.identity import identity_hash, n_atoms, skeleton, standardize
from assay.sampling.molecules import altered, collect, listed, read_lists, read_molecules, write_molecules
from assay.sampling.recombination import alter, bridge, cut, other_tautomers, recombine
from assay.sampling.splits import for_training, never_seen, split
from assay.workflow.errors import AssayError
from shared.molecules import ODD_PARTS

ROOT = Path(__file__).parents[1]


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
    assert identity_hash(standardize(first)) == identity_hash(standardize(second))
    assert skeleton(standardize(first)) == skeleton(standardize(second))


@pytest.mark.parametrize(
    "first, second", [("CCO", "COC"), ("CCO", "CC=O"), ("Cc1ccccc1O", "Cc1cccc(O)c1"), ("CF", "CCl")]
)
def test_different_molecules_stay_different(first, second):
    assert identity_hash(standardize(first)) != identity_hash(standardize(second))


@pytest.mark.parametrize("smiles", ["C[N+](C)(C)C", "[CH3]", "C[Si](C)(C)C", "nonsense", "[Na+]", "", "[O][N]=O"])
def test_what_the_dataset_leaves_out(smiles):
    assert standardize(smiles) is None


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


@pytest.mark.parametrize("seed", range(5))
def test_molecules_of_one_skeleton_stand_on_one_side(tmp_path, seed):
    """Of which some are larger than others, as an alkane is than the alkyne of its chain."""
    chains = [f"C{bond}C{'C' * n},chains" for n in range(2, 8) for bond in ("", "=", "#")]
    (tmp_path / "list.csv").write_text("\n".join(["smiles,source", *chains]))
    wanted = {"listed": 1, "recombined": 0}
    parts = split(listed([tmp_path / "list.csv"], 60), wanted, wanted, [(20, 40, 5)], 19, 1.01, seed)
    skeletons = [{entry.skeleton for entry in entries} for entries in parts.values()]
    assert len(skeletons) == 4 and all(skeletons) and sum(map(len, skeletons)) == len(set.union(*skeletons)) == 6


def test_stored_identity_is_what_the_smiles_gives(shipped):
    for entry in shipped["train"][::50] + shipped["unseen_molecules"][::10]:
        molecule = standardize(entry.smiles)
        assert (identity_hash(molecule), skeleton(molecule)) == (entry.identity, entry.skeleton)


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


@pytest.mark.parametrize("source", ["recombined", "bridged", "altered"])
def test_molecules_are_made_of_listed_ones_that_are_neither_small_nor_large(source, tmp_path):
    rows = ["CCC,alkanes", "CCCCC,alkanes", "CCCCCCCCC,alkanes", f"CCCCCC,{source}", "C(C)CCC,again"]
    (tmp_path / "list.csv").write_text("\n".join(["smiles,source", *rows]))
    known = listed([tmp_path / "list.csv"], 60)
    assert [entry.source for entry in known] == ["alkanes"] * 3 + [source]
    made = altered(known, 20, 40, 8, (1, 3), 5)
    elements = [[atom.GetAtomicNum() for atom in Chem.MolFromSmiles(entry.smiles).GetAtoms()] for entry in made]
    assert {sum(number not in (9, 17, 35) for number in numbers) for numbers in elements} == {5}
    assert len(made) == 20 and {entry.source for entry in made} == {"altered"}


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
    chains = [Chem.MolFromSmiles(smiles) for smiles in ("CNNNNC", "CNONOC", "CNNC")]
    assert {Chem.MolToSmiles(molecule) for molecule in islice(alter(chains, 24, 5, (0, 0)), 9)} == {"CNNC"}
    again = islice(alter(cores, 24, 5, (1, 3)), 60)
    assert [Chem.MolToSmiles(molecule) for molecule in again] == [Chem.MolToSmiles(molecule) for molecule in made]


def test_other_tautomers_are_neutral_and_of_the_same_skeleton(shipped):
    assert "CC(=O)C=C(C)O" in other_tautomers("CC(=O)CC(C)=O") and not other_tautomers("CCC")
    started = [entry for entry in shipped["train_altered"] if entry.n_atoms <= 16][:60]
    found = {entry: other_tautomers(entry.smiles) for entry in started}
    assert sum(map(bool, found.values())) > 3
    for entry, tautomers in found.items():
        assert entry.smiles not in tautomers and tautomers == sorted(set(tautomers))
        for tautomer in map(standardize, tautomers):
            assert (skeleton(tautomer), n_atoms(tautomer)) == (entry.skeleton, entry.n_atoms)


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
