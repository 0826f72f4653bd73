"""What the teacher labels, how that resumes, and what of it is shipped."""

import builtins
import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import ase.build
import numpy as np
import pytest
from ase.calculators.emt import EMT
from rdkit import Chem

from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.data.hdf5 import write_hdf5
from assay.data.kinds import kind_of
from assay.sampling.distortion import (
    turning_torsions,
)
from assay.sampling.elements import ELEMENTS
from assay.sampling.plan import plan
from assay.sampling.recipes import (
    Geometry,
    Skipped,
)
from assay.sampling.recombination import other_tautomers
from assay.sampling.shards import Shard, _labelled, dropped, label
from assay.sampling.shipping import describe, ship
from assay.sampling.teacher import TRIED, LabelError, Labels, Teacher
from assay.structures.structure import Structure
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError
from shared.molecules import ODD_PARTS

ROOT = Path(__file__).parents[1]
STUDENT = ROOT / "data/dataset/driver.pt"
SHIPPED = ROOT / "data/dataset/new_molecules.h5"
TEACHER = Teacher(**load_config(ROOT / "config")["teacher"])


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


def test_a_molecule_that_flew_apart_gets_no_label():
    far = Geometry("far", "m", np.array([1, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1e9]]))
    for positions in (far.positions, np.full((2, 3), np.nan)):
        shard = Shard("sampled", {}, TEACHER, 30.0)
        assert _labelled(replace(far, positions=positions), Labels(TEACHER), shard) == Skipped("flown apart")


@pytest.mark.parametrize("direction", [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
def test_a_force_is_as_large_whatever_its_direction(direction):
    along = np.array(direction) / np.linalg.norm(direction)
    geometry = Geometry("CuCu", "m", np.array([29, 29]), np.outer([0.0, 1.9], along))
    labels = Labels(Teacher("EMT", "ase.calculators.emt.EMT"))
    force = np.linalg.norm(labels(geometry.atomic_numbers, geometry.positions)[1][0])
    shard = Shard("diatomics", {}, TEACHER, 0.9 * force)
    assert force > 1.0 and _labelled(geometry, labels, shard) == Skipped("force")
    found = _labelled(geometry, labels, replace(shard, max_force_eV_per_A=1.1 * force))
    assert found.positions.tolist() == geometry.positions.round(4).tolist(), "which a file keeps"
    np.testing.assert_array_equal(found.forces_eV_per_A, labels(found.atomic_numbers, found.positions)[1])


def test_what_is_no_closed_shell_gets_no_label():
    """Of ethylene turned by a right angle the energy follows the electronic temperature, and of planar ethylene not."""
    planar = ase.build.molecule("C2H4")
    turned = planar.copy()
    turned.positions[[4, 5]] = turned.positions[[4, 5]][:, [1, 0, 2]]
    shard, hot = Shard("scans", {}, TEACHER, 30.0, 0.001), {"electronic_temperature": 1000.0}
    for atoms, is_closed in ((planar, True), (turned, False)):
        labels, geometry = Labels(TEACHER), Geometry("ethylene", "m", atoms.numbers, atoms.positions)
        assert isinstance(_labelled(geometry, labels, replace(shard, max_partly_filled=None)), Structure)
        assert (labels.partly_filled < 1e-6) == is_closed
        other, _ = Labels(replace(TEACHER, arguments=TEACHER.arguments | hot))(atoms.numbers, atoms.positions)
        energy, _ = labels(atoms.numbers, atoms.positions)
        assert (abs(other - energy) < 1e-4) == is_closed
        found = _labelled(geometry, labels, shard)
        assert isinstance(found, Structure) if is_closed else found == Skipped("partly filled orbitals")
    for factor, kind in ((0.9, Skipped), (1.1, Structure)):
        limit = replace(shard, max_partly_filled=factor * labels.partly_filled)
        assert isinstance(_labelled(geometry, labels, limit), kind)
    assert Labels(Teacher("none", "ase.calculators.emt.EMT")).partly_filled == 0.0


def test_a_teacher_may_lie_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "teacher_of_mine.py").write_text("from ase.calculators.emt import EMT as Mine\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert isinstance(Teacher("mine", "teacher_of_mine.Mine").make(), EMT)


def test_a_teacher_that_is_not_there_is_one_sentence():
    for calculator in ("nowhere.Nothing", "ase.calculators.emt.Nothing"):
        with pytest.raises(AssayError, match=r"the teacher .* cannot be made"):
            Teacher("none", calculator).make()


class Unmade:
    """A calculator that cannot be made."""

    def __init__(self, error: str):
        raise getattr(builtins, error)("my.model")


class Frail(EMT):
    """A calculator that fails at structures of four atoms or more, as none does where it does not converge."""

    def calculate(self, atoms=None, *about):
        if len(atoms) > 3:
            raise KeyError(6)
        super().calculate(atoms, *about)


@pytest.mark.parametrize("error", ["FileNotFoundError", "RuntimeError", "KeyError", "SystemExit", "TypeError"])
def test_whatever_a_teacher_raises_while_it_is_made_is_one_sentence(error):
    told = rf"cannot be made \({error}: '?my.model'?, in line \d+ of test_sampling_labels.py\): set teacher.calculator"
    with pytest.raises(AssayError, match=told):
        Teacher("none", f"{__name__}.Unmade", {"error": error}).make()


class Reader(EMT):
    """A calculator whose parameters another package reads, and fails."""

    def __init__(self, text):
        super().__init__()
        self.read = json.loads(text)


def test_the_place_of_a_failure_is_the_users_own_last_line():
    with pytest.raises(AssayError, match=r"\(JSONDecodeError: .*, in line \d+ of test_sampling_labels\.py\)"):
        Teacher("none", f"{__name__}.Reader", {"text": "{"}).make()
    told = rf"\(AttributeError: the module {__name__} \(.*test_sampling_labels\.py\) has no Writer\): "
    with pytest.raises(AssayError, match=told):
        Teacher("none", f"{__name__}.Writer").make()
    with pytest.raises(AssayError, match=r"\(ModuleNotFoundError: No module named 'no_such_teacher'\)"):
        Teacher("none", "no_such_teacher.Morse").make()


def test_whatever_a_teacher_raises_at_one_structure_leaves_that_out():
    water, ethane = (ase.build.molecule(name) for name in ("H2O", "C2H6"))
    labels = Labels(Teacher("Frail", f"{__name__}.Frail"))
    told = r"Frail fails at a structure of 8 atoms \(KeyError: 6, in line \d+ of test_sampling_labels.py\): leave that"
    for _ in range(TRIED - 1):
        with pytest.raises(LabelError, match=told):
            labels(ethane.numbers, ethane.positions)
    with pytest.raises(AssayError, match=told) as raised:
        labels(ethane.numbers, ethane.positions)
    assert not isinstance(raised.value, LabelError), "a teacher that labels nothing is not asked for ever"
    labels = Labels(Teacher("Frail", f"{__name__}.Frail"))
    assert np.isfinite(labels(water.numbers, water.positions)[0])
    for _ in range(2 * TRIED):
        with pytest.raises(LabelError, match=told):
            labels(ethane.numbers, ethane.positions)


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
    for pairs in ("facing", "facing_apart"):
        labels[pairs] |= {"count": 2, "per_shard": 2}
    labels["close_pairs"] |= {"copies": 2}
    for tautomers in ("tautomers", "larger_tautomers"):
        labels[tautomers] |= {"count": 3, "molecules_per_shard": 2}
    labels["student_md"] |= {"checkpoint": str(STUDENT), "shards": 2, "molecules_per_shard": 2}
    labels["student_md_again_shards"] = 1
    labels["better_student_md"] |= {"checkpoint": str(STUDENT), "shards": 1, "molecules_per_shard": 2}
    for part in ("student_md", "better_student_md", "odd_dynamics"):
        labels[part] |= {"frames": 2, "thermalization_fs": 3, "interval_fs": 2}
    return labels


def test_what_was_labelled_under_an_older_word_is_found_under_it(tmp_path):
    """Shards of dynamics with a student's forces, their structures and their dropped geometries keep their names."""
    arguments = {"molecules": [["m", "CCO"]], "seed": 3_000_000, "student": {"checkpoint": "s.pt", "sha256": "0"}}
    shard = Shard("student_md", arguments, Teacher("none", "EMT"), 30.0)
    assert shard.path(tmp_path).name == "driven-ae533f8f53ec.h5"
    write_hdf5(shard.path(tmp_path), read_dataset(SHIPPED), {"dropped": json.dumps({"driver": 2, "force": 1})})
    assert dropped([shard], tmp_path) == {"student": 2, "force": 1}
    counts = json.loads((ROOT / "data/dataset/dataset.json").read_text())["parts"]["train"]["kinds"]
    train = read_dataset(ROOT / "data/dataset/train.h5")
    assert describe(train)["kinds"] == counts
    assert sum(kind_of(name) == "student_md" for name in train.names) == counts["driven"] == 10_526


@pytest.mark.slow
def test_labelling_resumes_and_repeats(tmp_path, shipped):
    small = [entry for entry in shipped["train"] if entry.smiles == "CCO" or entry.n_atoms <= 8]
    small = sorted(small, key=lambda entry: entry.smiles != "CCO")[:4]
    more = [entry for entry in shipped["train_recombined"] if entry.n_atoms <= 8][:4]
    splits = {"train": small, "train_recombined": more, "validation": small[:1]}
    for part in ODD_PARTS:
        splits[part] = [entry for entry in shipped[part] if entry.n_atoms <= 8][:1]
    altered = next(entry for entry in shipped["train_altered"] if entry.n_atoms <= 10 and other_tautomers(entry.smiles))
    splits["train_altered"] = [altered]
    emt = Teacher("EMT", "ase.calculators.lj.LennardJones", {"sigma": 1.0, "epsilon": 0.01})
    checked = {small[1].identity}
    shards = plan("train", splits, recipe(), emt, checked)
    assert len({shard.path(tmp_path) for shard in shards}) == len(shards) == 23
    for shard in shards:
        assert (shard.max_partly_filled is None) == (shard.recipe in ("diatomics", "clusters"))
        taken = {named[0] for named in shard.arguments.get("molecules", [])}
        assert bool(taken & checked) <= (shard.recipe not in ("scans", "facing"))
    moved = shards[-2].arguments["molecules"]
    assert moved and set(moved) <= {(altered.identity, smiles) for smiles in other_tautomers(altered.smiles)}
    first = label(shards, tmp_path, 1, "first")
    counts = dropped(shards, tmp_path)
    turned = [entry.smiles for entry in small + more if entry.identity not in checked]
    scanned = 2 * sum(len(turning_torsions(Chem.AddHs(Chem.MolFromSmiles(smiles)))) for smiles in turned)
    unbuilt = dropped([shard for shard in shards if shard.recipe == "scans"], tmp_path)["mechanics"]
    made = 2 * len(moved)
    others = (
        4 * 2 + 3 + 45 + 2 * 2 + 2 + 3 + 12 * 2 + 4 * 2 * 2 + 2 * 2 + 2 * 21 + made - (counts["mechanics"] - unbuilt)
    )
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


@pytest.mark.slow
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
    benzene = ase.build.molecule("C6H6")[:6]
    bare = Structure("bare", benzene.numbers, benzene.positions, None, energy_eV=0.0, forces_eV_per_A=np.zeros((6, 3)))
    kept = [train[k] for k in sorted({*range(600), *once})]
    small["train"] = from_structures([*kept, *(replace(bare, molecule=f"bare-{k}") for k in range(20))])
    for part, dataset in small.items():
        write_hdf5(tmp_path / f"{part}.h5", dataset)
    folder = tmp_path / "shipped"
    folder.mkdir()
    whole = {part: (tmp_path / f"{part}.h5").stat().st_size for part in small}
    limit = sum(whole.values()) - whole["train"] // 2
    ship({part: tmp_path / f"{part}.h5" for part in small}, folder, limit, {}, folder / "dataset.json")
    shipped = read_dataset(folder / "train.h5")
    assert wanted <= set(shipped.molecules) and len(shipped) < len(small["train"])
    assert "bare" not in shipped.names, "which looks as if its hydrogens were dropped"
    assert (folder / "train.h5").stat().st_size < 0.8 * whole["train"]


@pytest.mark.parametrize("part", ["train", "validation"])
def test_nothing_unsound_is_shipped(files, tmp_path, part):
    sound = read_dataset(files["new_molecules"]).subset(range(3))
    for name in files:
        spoiled = replace(sound, energy=sound.energy + np.nan) if name == part else sound
        write_hdf5(tmp_path / f"{name}.h5", spoiled)
    with pytest.raises(AssayError, match=rf"structure 0 .* of .*{part}\.h5 has energy that are not finite"):
        ship({name: tmp_path / f"{name}.h5" for name in files}, tmp_path, 10**9, {}, tmp_path / "dataset.json")
    assert not (tmp_path / "dataset.json").exists()


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


@pytest.mark.slow
def test_what_students_are_judged_on_has_closed_shells(files):
    labels = Labels(TEACHER)
    for path in (path for name, path in files.items() if name != "train"):
        dataset = read_dataset(path)
        for structure in (dataset[index] for index in range(0, len(dataset), 24)):
            labels(structure.atomic_numbers, structure.positions)
            assert labels.partly_filled <= recipe()["max_partly_filled"], structure.name


def test_recipe_survives_json():
    """Shards are named by their JSON: the config must hold nothing that JSON changes."""
    assert json.loads(json.dumps(recipe())) == recipe()
