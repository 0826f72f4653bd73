"""Students of one's own: what the config makes of `data` and `students`, what is refused, and the way to a student."""

import inspect
import json
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ase.build
import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from assay.accuracy.fitting import fit_stored
from assay.accuracy.overlap import are_among, fingerprints_of
from assay.accuracy.training_data import PART
from assay.checkpoint import load_model
from assay.data import read_dataset
from assay.data.dataset import from_structures
from assay.data.formats import read_blocks
from assay.data.store import StoredDataset, StoreWriter
from assay.models import ARCHITECTURES, SeedPaiNN
from assay.physics import reference
from assay.physics.coverage import unseen
from assay.predictors.interface import Prediction
from assay.sampling import label_gradients
from assay.sampling import teacher as teacher_module
from assay.sampling.label_gradients import Slopes, measure_slopes, require_gradient, require_gradients, require_stresses
from assay.sampling.label_origin import require_own_labels
from assay.sampling.own_data import store_data
from assay.sampling.own_labels import label_structures, places_of, read_structures
from assay.sampling.teacher import Teacher
from assay.structures.structure import Structure
from assay.training.effort import count_steps, rounds_of, steps_of_an_epoch
from assay.training.origin import read_origin
from assay.training.own import _decides, _seen_before, plan_run, train_own
from assay.training.packs import packs_of_an_epoch
from assay.training.size import hyperparameters_for, parameters_of_shape
from assay.workflow.config import complete_config, load_config
from assay.workflow.config_models.students_yaml import Hyperparameters
from assay.workflow.errors import AssayError
from assay.workflow.files import training_record
from assay.workflow.own_students import check_trained, said_of
from assay.workflow.teachers import teacher_of
from shared.checkpoint_samples import store, student
from shared.molecules import LABELLED, molecules

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config"

TRAINING = load_config(CONFIG)["training"] | {"steps": 30, "atoms_per_step": 60}
XTB = {"name": "TBLite", "calculator": "tblite.ase.TBLite"}
TINY = {"parameters": 4_000, "hyperparameters": {"n_blocks": 2, "n_rbf": 6, "head": [8]}}


def write(path, structures):
    ase.io.write(path, [structure.to_ase() for structure in structures], format="extxyz")
    return str(path)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return write(tmp_path_factory.mktemp("labelled") / "my.xyz", molecules(60))


def own(**keys):
    return complete_config({"students": {"small": {"parameters": 77_000}}} | keys, CONFIG)


def test_own_data_take_the_place_of_all_that_is_shipped():
    config = own(data={"train": "my.xyz", "teacher": "wB97X"})
    assert list(config["variants"]) == ["small"]
    assert config["variants"]["small"]["checkpoint"] == "students/small.pt"
    assert config["dataset"]["splits"] == {"held_out": {"path": "students/validation.h5", "teacher": "wB97X"}}
    teacher = teacher_of(config["variants"]["small"], config["teacher"])
    assert teacher["name"] == "wB97X" and teacher["calculator"] is None
    assert {"train", "validation"} <= set(config["dataset"]) and "shipped" not in str(config["dataset"]["splits"])
    assert own(data={"train": "my.xyz"})["variants"]["small"]["teacher"] == {"name": "the teacher of my.xyz"}


def test_the_teacher_of_own_structures_is_the_one_that_is_asked_and_timed():
    stated = {"calculator": "ase.calculators.emt.EMT", "environment": "emt.txt"}
    for keys in (
        {"data": {"structures": "my.xyz", "teacher": stated}},
        {"data": {"structures": "my.xyz"}, "teacher": stated},
    ):
        config = own(**keys)
        assert config["teacher"] == {"name": "EMT", "arguments": {}} | stated
        assert teacher_of(config["variants"]["small"], config["teacher"])["calculator"] == stated["calculator"]
        assert config["physics"]["structures"] == "my.xyz"


def test_variants_and_splits_that_the_caller_names_stay():
    variants = {"mine": {"checkpoint": "mine.pt"}, "tiny": None}
    config = own(data={"train": "my.xyz"}, variants=variants, dataset={"splits": {"far": "far.xyz"}})
    assert set(config["variants"]) == {"mine", "small"}
    assert list(config["dataset"]["splits"]) == ["held_out", "far"]
    for nothing in (None, "null"):
        config = own(data={"train": "my.xyz"}, dataset={"splits": {"held_out": nothing, "far": "far.xyz"}})
        assert list(config["dataset"]["splits"]) == ["far"]


def test_what_is_held_out_has_the_teacher_that_its_file_states():
    data = {"train": "my.xyz", "validation": {"path": "b.xyz", "teacher": "B3LYP"}, "teacher": "X"}
    config = own(data=data)
    assert config["dataset"]["splits"]["held_out"]["teacher"] == "B3LYP"
    assert config["variants"]["small"]["teacher"] == {"name": "X"}
    assert own(data=data | {"validation": "b.xyz"})["dataset"]["splits"]["held_out"]["teacher"] == "X"
    assert own(data=data | {"train": {"path": "a.xyz", "teacher": "x"}})["variants"]["small"]["teacher"]["name"] == "X"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"students": {"a": {"parameters": 5}}}, "the config names the students a and no `data`"),
        ({"data": {"train": "my.xyz"}}, "the config names `data` and no student"),
        ({"data": {"structures": "my.xyz"}, "students": {"a": {"parameters": 5}}}, "no calculator is to label them"),
        (
            {"data": {"teacher": "x"}, "students": {"a": {"parameters": 5}}},
            "`train`, which is labelled, or `structures`",
        ),
        (
            {"data": {"train": {"path": "a.xyz", "teacher": "Y"}, "teacher": "X"}, "students": {"a": {"from": "tiny"}}},
            "`data.train.teacher` is Y and `data.teacher` is X, and students learn from one teacher",
        ),
        ({"data": {"train": "my.xyz"}, "students": {"a": {}}}, "`parameters`, `architecture` or `from`"),
        ({"data": {"train": "my.xyz"}, "students": {"a": {"parameters": 5, "from": "tiny"}}}, "one of the three"),
        ({"data": {"train": "my.xyz"}, "students": {"a": {"from": "tiny", "hyperparameters": {}}}}, "are kept"),
        (
            {"data": {"train": "my.xyz"}, "students": {"a": {"from": "a"}}},
            "in a circle (a from a): let one of them begin",
        ),
        (
            {"data": {"train": "my.xyz"}, "students": {"a": {"architecture": "seed-painn", "hyperparameters": {}}}},
            '`students.a.architecture` (a network that Assay trains) is "seed-painn", but must be one of painn',
        ),
        (
            {"data": {"train": "my.xyz"}, "students": {"a": {"from": "b"}, "b": {"from": "c"}, "c": {"from": "b"}}},
            "in a circle (a from b from c from b)",
        ),
        (
            {
                "data": {"train": "my.xyz"},
                "students": {"a": {"from": "lj"}},
                "variants": {"lj": {"calculator": "ase.calculators.lj.LennardJones"}},
            },
            "`students.a.from` is lj, a calculator, which has no weights to go on from",
        ),
        ({"data": {"train": "my.xyz"}, "students": {"a": {"parametres": 5}}}, "did you mean `parameters`?"),
        (
            {
                "data": {"train": "my.xyz"},
                "students": {"a": {"parameters": 5}},
                "variants": {"a": {"checkpoint": "a.pt"}},
            },
            "a is the name of a student and of a variant",
        ),
        (
            {
                "data": {"train": "my.xyz"},
                "students": {"a": {"parameters": 5}},
                "variants": {"tiny": {"cutoff_A": 4}},
            },
            "`variants.tiny` changes a variant of the default config, which `data` leaves out",
        ),
        (
            {
                "data": {"train": "my.xyz"},
                "students": {"a": {"parameters": 5}},
                "dataset": {"splits": {"held_out": None}},
            },
            "`dataset.splits.held_out` is null, and students are judged on no other split: name one",
        ),
        (
            {
                "data": {"train": "my.xyz"},
                "students": {"a-b": {"parameters": 5}},
                "variants": {"a_b": {"checkpoint": "a.pt"}},
            },
            "names of different Python modules, and a_b and a-b are both assay_a_b: rename one",
        ),
        (
            {"data": {"train": "my.xyz"}, "students": {"a-b": {"parameters": 5}, "a_b": {"parameters": 9}}},
            "`students` (your students by name) is",
        ),
        (
            {"data": {"train": "my.xyz"}, "students": {"report": {"parameters": 5}}},
            "'report' cannot be a name in `students`: use letters, digits, - and _, and no reserved name",
        ),
    ],
)
def test_a_config_that_cannot_be_meant_is_one_sentence(given, words):
    with pytest.raises(AssayError) as caught:
        complete_config(given, CONFIG)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("cutoff_A", -1, "is -1, but must be at least 0.5"),
        ("cutoff_A", 0, "is 0, but must be at least 0.5"),
        ("cutoff_A", float("nan"), "must be a finite number"),
        ("cutoff_A", 1e9, "must be at most 20"),
        ("n_rbf", 0, "must be at least 1"),
        ("activation", "relu", "must be one of silu, softplus, gelu"),
        ("width", 3, "is not a known key"),
    ],
)
def test_hyperparameters_that_no_network_has_are_refused_before_anything_is_planned(key, value, words):
    students = {"small": {"parameters": 77_000, "hyperparameters": {key: value}}}
    with pytest.raises(AssayError) as caught:
        own(data={"train": "my.xyz"}, students=students)
    assert f"`students.small.hyperparameters.{key}`" in str(caught.value) and words in str(caught.value)


def test_hyperparameters_of_the_config_are_those_of_the_networks():
    of_painn = inspect.signature(ARCHITECTURES["painn"]).parameters
    assert set(Hyperparameters.model_fields) == set(of_painn) >= set(inspect.signature(SeedPaiNN).parameters)
    given = {"cutoff_A": "6.5", "n_rbf": "12", "head": ["8"], "rank": "1", "floor": "false"}
    config = own(data={"train": "my.xyz"}, students={"small": {"parameters": "4000", "hyperparameters": given}})
    read = config["students"]["small"]["hyperparameters"]
    assert read == {"cutoff_A": 6.5, "n_rbf": 12, "head": [8], "rank": 1, "floor": False}


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ({"name": "PBE0"}, "learned from PBE0, and the config says from TBLite: run `snakemake distill`"),
        (XTB | {"arguments": {"method": "GFN1-xTB"}}, "{'method': 'GFN1-xTB'}, and the config says from TBLite by"),
        ({"name": "TBLite", "calculator": "xtb.ase.XTB"}, "learned from TBLite by xtb.ase.XTB with the arguments {}"),
        (XTB | {"arguments": {"verbosity": 0, "method": "GFN2-xTB"}, "environment": "elsewhere"}, None),
        ({"name": "TBLite"}, None),
    ],
)
def test_a_student_of_the_same_class_with_other_arguments_has_another_teacher(tmp_path, monkeypatch, recorded, words):
    monkeypatch.chdir(tmp_path)
    teacher = teacher_of({"teacher": XTB | {"arguments": {"method": "GFN2-xTB", "verbosity": 0}}}, XTB)
    (tmp_path / "students").mkdir()
    (tmp_path / "students/small.pt").touch()
    (tmp_path / "students/small.training.json").write_text(json.dumps({"teacher": recorded}))
    if words is None:
        check_trained("small", teacher, said_of({}, {}))
        return
    with pytest.raises(AssayError, match=re.escape(words)):
        check_trained("small", teacher, said_of({}, {}))


@pytest.mark.parametrize(
    ("student", "data", "words"),
    [
        ({"parameters": 21_000}, {}, "was trained with `students.small.parameters` 77000, and the config says 21000"),
        ({}, {"train": "b.xyz"}, "was trained with `data.train` a.xyz, and the config says b.xyz: run `snakemake"),
        ({}, {"validation": "v.xyz"}, "was trained with `data.validation` left out, and the config says v.xyz"),
        ({"licence": "MIT"}, {"teacher": {"name": "PBE"}}, None),
        ({"hyperparameters": {}}, {"train": {"path": "/another/home/a.xyz"}}, None),
    ],
)
def test_a_student_of_another_config_in_the_same_folder_is_not_judged_as_this_ones(
    tmp_path, monkeypatch, student, data, words
):
    monkeypatch.chdir(tmp_path)
    was = said_of({"parameters": 77_000, "citation": "me"}, {"train": "a.xyz", "teacher": {"name": "PBE"}})
    said = said_of({"parameters": 77_000} | student, {"train": "a.xyz"} | data)
    teacher = teacher_of({"teacher": XTB}, XTB)
    (tmp_path / "students").mkdir()
    (tmp_path / "students/small.pt").touch()
    (tmp_path / "students/small.training.json").write_text(json.dumps({"config": was, "train_file_sha256": "12"}))
    if words is None:
        check_trained("small", teacher, said)
        (tmp_path / "students/registered.json").write_text(json.dumps({"train.h5": "34"}))
        words = "students/train.h5 is of another `snakemake distill` than students/small.pt"
    with pytest.raises(AssayError, match=re.escape(words)):
        check_trained("small", teacher, said)


def test_a_student_that_another_one_of_its_name_replaces_is_kept(tmp_path, monkeypatch, capfd):
    """With what its training left beside it, and once, however often the same one is placed."""
    monkeypatch.chdir(tmp_path)
    kinds = ("pt", "training.json", "domain.npz", "curve.svg")
    made = [tmp_path / f"built/small.{kind}" for kind in kinds]
    (tmp_path / "built").mkdir()
    params = SimpleNamespace(folder="students", earlier="students/earlier")
    for content in ("first", "first", "second"):
        for file in made:
            file.unlink(missing_ok=True)
            file.write_text(json.dumps({"student": content, "curve": [{"force_mae_eV_per_A": 0.1}]}))
        snakemake = SimpleNamespace(input=made, output=["students/registered.json"], log=["log"], params=params)
        runpy.run_path(str(ROOT / "scripts/distill.py"), {"snakemake": snakemake})
    [folder] = (tmp_path / "students/earlier").iterdir()
    assert {path.name for path in folder.iterdir()} == {path.name for path in made}
    for path in made:
        assert json.loads((folder / path.name).read_text())["student"] == "first"
        assert json.loads((tmp_path / "students" / path.name).read_text())["student"] == "second"
    assert f"the earlier student lies in students/earlier/{folder.name}" in capfd.readouterr().err


@pytest.mark.parametrize(("parameters", "hidden"), [(421_633, 80), (77_000, 32), (21_000, 16)])
def test_a_width_follows_from_a_budget_as_the_shipped_students_have_it(parameters, hidden):
    found = hyperparameters_for(parameters, {}, 17)
    assert found["hidden"] == hidden and found["max_z"] == 36
    assert parameters_of_shape("painn", found) == pytest.approx(parameters, rel=0.02)
    assert hyperparameters_for(parameters, {"cutoff_A": 6.0}, 55)["max_z"] == 55
    with pytest.raises(AssayError, match="`hyperparameters`"):
        hyperparameters_for(parameters, {"width": 3}, 17)


@pytest.mark.parametrize("parameters", [10, 1_000, 100_000_000])
def test_a_budget_that_no_width_comes_near_is_refused(parameters):
    with pytest.raises(AssayError, match=rf"no student of {parameters:,} parameters can be made: the nearest, of"):
        hyperparameters_for(parameters, {}, 17)


def test_steps_follow_from_time_for_few_data_and_from_epochs_for_many():
    assert count_steps(0.02, 20, minutes=4, epochs=40) == 12_000
    assert count_steps(0.02, 1_000, minutes=4, epochs=40) == 40_000
    assert count_steps(0.02, 1_000_000, minutes=4, epochs=40) == 1_000_000, "an epoch"
    for steps in (5, 10, 50, 100, 1000, 3000):
        first, last = rounds_of(steps, 256, 0.5)
        assert first.steps * first.atoms_per_step + last.steps * last.atoms_per_step == steps * 256
        assert last.peak < first.peak == 0.5 and last.atoms_per_step == 1024


@pytest.mark.parametrize("sizes", [[20], [90], [130], [150], [200], [300], [12, 25, 140]])
def test_epochs_are_how_often_each_structure_is_seen_though_steps_hold_whole_ones(sizes):
    offsets = np.cumsum([0, *np.resize(sizes, 1500)])
    steps = count_steps(1.0, steps_of_an_epoch(offsets, 256), minutes=0.1, epochs=40)
    seen = sum(part.steps / packs_of_an_epoch(offsets, part.atoms_per_step) for part in rounds_of(steps, 256, 1.0))
    assert seen == pytest.approx(40, abs=1)


def test_packs_of_many_structures_are_counted_by_a_sample(monkeypatch):
    offsets = np.cumsum([0, *np.random.default_rng(0).integers(5, 60, 5000)])
    counted = packs_of_an_epoch(offsets, 256)
    monkeypatch.setattr("assay.training.packs.AT_ONCE", 1000)
    assert packs_of_an_epoch(offsets, 256) == pytest.approx(counted, rel=0.02)


def test_the_guide_says_how_many_steps_there_are_of_those_that_are_asked_for():
    assert sum(part.steps for part in rounds_of(200, 256, 1.0)) == 170
    assert [rounds_of(steps, 256, 1.0)[1].steps for steps in (100, 200, 300, 400, 800)] == [10, 10, 10, 10, 20]
    assert "as 170 of\n`steps: 200`" in (ROOT / "docs/distill.md").read_text()


def test_the_minutes_of_one_student_go_before_the_steps_of_all(labelled):
    data, general = read_dataset(labelled), TRAINING | {"minutes": 0.5}

    def steps(student, training):
        return plan_run(TINY | student, training, None, data).recipe.steps

    for said in ({"minutes": 0.2}, {"epochs": 1_000_000}):
        alone = steps({}, general | {"steps": None} | said)
        assert steps(said, general | {"steps": 20_000}) == alone != steps({}, general | {"steps": 20_000})
    assert steps({"minutes": 0.2, "steps": 1_000}, general) == steps({"steps": 1_000}, general) < 1_001


def test_structures_are_held_out_by_whole_compositions_or_molecules(labelled, tmp_path):
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    about = store_data([labelled], None, 0.2, 0, into, {})
    assert re.search(r"12 structures of 2 of 10 compositions are held out", about["sentence"])
    train, held_out = map(read_dataset, into)
    kinds = [{str(name).partition("-")[0] for name in data.names} for data in (train, held_out)]
    assert not kinds[0] & kinds[1] and len(train) + len(held_out) == 60
    named = [replace(s, molecule=f"m{k % 20}") for k, s in enumerate(molecules(60))]
    assert (
        "molecules are held out" in store_data([write(tmp_path / "n.xyz", named)], None, 0.1, 0, into, {})["sentence"]
    )
    train, held_out = map(read_dataset, into)
    assert not set(train.molecules) & set(held_out.molecules)
    one = write(tmp_path / "one.xyz", molecules(60, ["CH3OH"], 0.3))
    about = store_data([one], None, 0.1, 0, into, {})
    assert "too few compositions" in about["sentence"] and about["n_validation"] == 6
    given = write(tmp_path / "given.xyz", molecules(8, ["CH3OH"], seed=99))
    assert store_data([labelled], given, 0.1, 0, into, {})["sentence"].endswith(f"8 structures of {given} are held out")


def test_nothing_that_is_equal_to_a_held_out_structure_is_learned_from(tmp_path):
    """Neither where a file has its frames twice, nor where those of `validation` stand in `train` too."""
    frames = molecules(60, ["CH3OH"], 0.3)
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    twice = write(tmp_path / "twice.xyz", [*frames, *(replace(s, positions=s.positions + 3.0) for s in frames)])
    some = write(tmp_path / "some.xyz", frames[40:])
    for train, validation, words in (
        (twice, None, "96 structures of H, C, O are learned from; .* and 12 equal ones are not learned from$"),
        (
            write(tmp_path / "once.xyz", frames),
            some,
            "40 .*; 20 structures of .*some.xyz are held out, and 20 equal ones",
        ),
    ):
        about = store_data([train], validation, 0.1, 0, into, {})
        learned, held_out = (fingerprints_of(list(read_dataset(path))) for path in into)
        assert not are_among(learned, held_out).any()
        assert re.match(words, about["sentence"]), about["sentence"]
    with pytest.raises(AssayError, match=r"60 of 60 labelled structures of .*once\.xyz are equal to held-out ones"):
        store_data([str(tmp_path / "once.xyz")], str(tmp_path / "once.xyz"), 0.1, 0, into, {})


def test_lone_atoms_are_learned_from_though_they_are_held_out_too(tmp_path):
    """Without them reference energies follow from compositions alone."""
    into, frames = (tmp_path / "train.h5", tmp_path / "validation.h5"), molecules(60, ["CH3OH"], 0.3)
    atom = replace(
        frames[0], atomic_numbers=np.array([8]), positions=np.zeros((1, 3)), forces_eV_per_A=np.zeros((1, 3)), name="O"
    )
    train, validation = write(tmp_path / "a.xyz", [*frames[:40], atom]), write(tmp_path / "b.xyz", [*frames[40:], atom])
    about = store_data([train], validation, 0.1, 0, into, {})
    assert about["n_train"] == 41 and "equal" not in about["sentence"]


def test_what_the_student_learned_from_that_another_goes_on_from_is_not_held_out(tmp_path):
    first, grown = molecules(60), molecules(90, [*LABELLED, "CH4", "C3H8", "CH3OCH3", "HCOOH", "H2CO"])
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    store_data([write(tmp_path / "first.xyz", first)], None, 0.2, 0, into, {})
    learned = fingerprints_of(list(read_dataset(into[0])))
    more = write(tmp_path / "more.xyz", [*first, *(replace(s, name=f"new-{s.name}") for s in grown)])
    store_data([more], None, 0.3, 0, into, {"small.pt": learned})
    held_out = read_dataset(into[1])
    assert len(held_out) > 20 and not are_among(learned, fingerprints_of(list(held_out))).any()
    known = fingerprints_of(list(first))
    with pytest.raises(AssayError, match=r"60 of 60 structures of .*first\.xyz were learned from by small\.pt, "):
        store_data([str(tmp_path / "first.xyz")], None, 0.2, 0, into, {"small.pt": known})


@pytest.mark.parametrize("pbc", ["TTT", "TTF", "TFF", "FFF"])
def test_what_was_never_wrapped_is_stored_near_the_origin(tmp_path, pbc):
    """Single precision rounds 10,000 angstrom to 0.001."""
    frames, distances = [], {}
    for k in range(40):
        atoms = bulk("Cu", cubic=True) * (2, 2, 2)
        atoms.rattle(0.1, seed=k)
        atoms.pbc = [axis == "T" for axis in pbc]
        atoms.info["name"] = f"copper-{k}"
        distances[f"copper-{k}"] = atoms.get_all_distances(mic=True)
        if k < 20:
            atoms.positions += 2000 * atoms.cell[0] - 3000 * atoms.cell[1] + 1000 * atoms.cell[2]
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    ase.io.write(tmp_path / "my.xyz", frames, format="extxyz")
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    store_data([str(tmp_path / "my.xyz")], None, 0.3, 0, into, {})
    stored = [structure for path in into for structure in read_dataset(path)]
    apart = [found.to_ase().get_all_distances(mic=True) - distances[found.name] for found in stored]
    assert len(stored) == 40 and max(np.abs(part).max() for part in apart) < 2e-5


def test_data_that_no_student_learns_from_are_refused_in_one_sentence(labelled, tmp_path):
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    few = write(tmp_path / "few.xyz", molecules(12))
    with pytest.raises(AssayError, match=r"few.xyz holds 12 labelled structures, and a student needs at least 30"):
        store_data([few], None, 0.1, 0, into, {})
    sulfur = write(tmp_path / "s.xyz", molecules(8, ["CH3OH"]) + molecules(1, ["N2"]))
    with pytest.raises(AssayError, match="hold N, which no training structure has"):
        store_data([write(tmp_path / "co.xyz", molecules(40, ["CH3OH", "C2H6"]))], sulfur, 0.1, 0, into, {})
    two = write(tmp_path / "two.xyz", molecules(2))
    with pytest.raises(AssayError, match="2 structures are held out, and a verdict needs at least 5"):
        store_data([labelled], two, 0.1, 0, into, {})


def trajectory(count=60, step=0.02):
    """One molecule that wanders, as in dynamics, with labels of EMT."""
    rng, atoms, structures = np.random.default_rng(0), molecule("CH3OH"), []
    for k in range(count):
        atoms.positions += rng.normal(0.0, step, atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_forces()
        structures.append(Structure.from_ase(atoms, f"frame-{k}"))
    return structures


@pytest.mark.parametrize("factor", [1.0, -1.0, 23.06, 0.5])
def test_forces_are_held_against_energies_along_neighbors(factor):
    frames = [replace(s, forces_eV_per_A=factor * s.forces_eV_per_A) for s in trajectory()]
    if factor == 1.0:
        assert "forces explain the changes of energies" in require_gradients(from_structures(frames), "my.xyz")
        far = from_structures(molecules(40, rattle=0.4))
        assert "too few structures near each other" in require_gradients(far, "my.xyz")
    else:
        with pytest.raises(AssayError, match=r"the forces of my.xyz are no gradient of its energies"):
            require_gradients(from_structures(frames), "my.xyz")


@pytest.mark.parametrize("state", [{"charge": -1}, {"spin": 3}])
def test_structures_of_another_charge_or_multiplicity_are_no_neighbors(state):
    """Their energies are other ones, of which their own forces are the gradient."""
    frames = [replace(s, charge=0, spin=1) for s in trajectory()]
    others = [replace(s, energy_eV=s.energy_eV + 2.0, **state) for s in frames]
    assert "several charges" not in require_gradients(from_structures(frames), "my.xyz")
    both = [s for pair in zip(frames, others, strict=True) for s in pair]
    told = require_gradients(from_structures(both), "my.xyz")
    assert told.startswith("forces explain the changes of energies")
    assert f"{len(both)} of {len(both)} structures are of molecules or cells in several charges or mult" in told


def test_isomers_in_several_charges_are_no_states_of_one_molecule():
    """A student tells them apart by their bonds; crystals it does not, nor one molecule in both charges."""
    alcohol, ether = (Structure.from_ase(molecule(name), name) for name in ("CH3CH2OH", "CH3OCH3"))
    frames = [replace(s, energy_eV=0.0, forces_eV_per_A=0.0 * s.positions) for s in (alcohol, ether)]
    apart = [replace(s, charge=charge) for s, charge in zip(frames, (0, 1), strict=True)]
    assert "several charges" not in require_gradients(from_structures(apart), "my.xyz")
    told = require_gradients(from_structures([*apart, replace(frames[0], charge=1)]), "my.xyz")
    assert "2 of 3 structures are of molecules or cells in several charges" in told
    opened = replace(frames[0], positions=1.6 * frames[0].positions, charge=1)
    both = [replace(s, molecule="ethanol") for s in (frames[0], opened)]
    assert "2 of 2 structures" in require_gradients(from_structures(both), "my.xyz"), "a charge may open bonds"
    pair = [Structure.from_ase(Atoms("F2", [[0, 0, 0], [0, 0, x]]), f"{x}") for x in (1.41, 1.95)]
    pair = [replace(s, energy_eV=0.0, forces_eV_per_A=0 * s.positions, charge=-k) for k, s in enumerate(pair)]
    assert "2 of 2 structures" in require_gradients(from_structures(pair), "my.xyz")
    cells = [replace(s, cell=9.0 * np.eye(3), pbc=np.ones(3, bool)) for s in apart]
    assert "2 of 2 structures" in require_gradients(from_structures(cells), "my.xyz")


def test_moments_of_a_periodic_cell_fluctuate_and_are_no_states():
    cell = {"cell": 9.0 * np.eye(3), "pbc": np.ones(3, bool)}
    frames = [replace(s, spin=60 + k % 7, **cell) for k, s in enumerate(trajectory())]
    told = require_gradients(from_structures(frames), "my.xyz")
    assert told.startswith("forces explain the changes of energies") and "several charges" not in told
    wrong = [replace(s, forces_eV_per_A=-s.forces_eV_per_A) for s in frames]
    with pytest.raises(AssayError, match="no gradient of its energies"):
        require_gradients(from_structures(wrong), "my.xyz")


def test_labels_of_another_teacher_than_the_one_that_is_asked_are_refused():
    """Rounds would add its labels to those of the file, and the student would learn two levels of theory."""
    frames = trajectory(6)

    def asked(change):
        return [(s, change(Prediction(s.energy_eV, s.forces_eV_per_A))) for s in frames]

    told = require_own_labels(asked(lambda p: replace(p, energy_eV=p.energy_eV + 0.001)), "EMT", "my.xyz")
    assert told.startswith("the labels of 6 structures are those of EMT, to 0 eV/angstrom and ")
    for change, kind in (
        (lambda p: replace(p, forces_eV_per_A=1.2 * p.forces_eV_per_A), "forces"),
        (lambda p: replace(p, energy_eV=p.energy_eV + 3.0), "energies"),
    ):
        with pytest.raises(
            AssayError, match=rf"the labels of my\.xyz are not those of PBE: in 6 structures its {kind} "
        ):
            require_own_labels(asked(change), "PBE", "my.xyz")


def test_one_pair_of_neighbors_does_not_speak_for_the_others():
    def steep(k, factor):
        """Two atoms inside of each other that part a little, with sound labels or forces that are too large."""
        r = 0.5 + 0.001 * k
        forces = factor * 1000.0 * np.array([[-1.0, 0, 0], [1.0, 0, 0]])
        labels = {"energy_eV": -1000.0 * r, "forces_eV_per_A": forces}
        return Structure(f"steep-{k}", np.array([7, 7]), np.array([[0.0, 0, 0], [r, 0, 0]]), **labels)

    rng, frames = np.random.default_rng(0), trajectory()
    shuffled = [replace(s, forces_eV_per_A=rng.permutation(s.forces_eV_per_A)) for s in frames]
    for wrong in (shuffled, [replace(s, forces_eV_per_A=1.5 * s.forces_eV_per_A) for s in frames]):
        with pytest.raises(AssayError, match="no gradient of its energies"):
            require_gradients(from_structures([*wrong, steep(0, 1.0), steep(9, 1.0)]), "my.xyz")
    astray = replace(frames[20], energy_eV=frames[20].energy_eV + 100.0)
    for right in ([*frames, steep(0, 2.0), steep(9, 2.0)], [*frames[:20], astray, *frames[21:]]):
        assert "forces explain the changes of energies" in require_gradients(from_structures(right), "my.xyz")


def breathing(count=60, step=0.004, rattle_A=0.01):
    """A crystal whose cell and atoms wander, as in dynamics at a pressure, with labels of EMT."""
    rng, atoms, structures = np.random.default_rng(0), bulk("Cu", cubic=True), []
    atoms.numbers[0] = 79
    for k in range(count):
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(0.0, step, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0.0, rattle_A, atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_forces(), atoms.get_stress()
        structures.append(Structure.from_ase(atoms, f"frame-{k}"))
    return structures


@pytest.mark.parametrize("factor", [1.0, -1.0, 160.2, 1602.0, 1 / 1602.0, 47.0])
def test_stresses_are_held_against_energies_along_strained_neighbors(factor):
    frames = [replace(s, stress_eV_per_A3=factor * s.stress_eV_per_A3) for s in breathing()]
    frames[5] = replace(frames[5], stress_eV_per_A3=1e3 * frames[5].stress_eV_per_A3)
    frames[9] = replace(frames[9], stress_eV_per_A3=None)
    if factor == 1.0:
        assert "stresses explain the changes of energies along 57 pairs" in require_stresses(
            from_structures(frames), "my.xyz"
        )
        assert not require_stresses(from_structures(breathing(step=0.1)), "my.xyz")
        assert not require_stresses(from_structures(trajectory()), "my.xyz")
    else:
        with pytest.raises(AssayError, match=r"the stresses of my.xyz are not those of its energies: along 57 pairs"):
            require_stresses(from_structures(frames), "my.xyz")


@pytest.mark.parametrize(
    ("calculator", "right"), [("ase.calculators.emt.EMT", True), ("shared.toy_calculators.Swirl", False)]
)
def test_a_teacher_whose_forces_are_no_gradient_is_refused_before_it_labels(calculator, right, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)  # where the process of a calculator finds modules of one's own
    slopes = measure_slopes(Teacher("mine", calculator).process(threads=1), molecules(12))
    assert len(slopes.of_forces) == len(slopes.asked) == label_gradients.ASKED
    if right:
        assert "are the gradient of its energy in 10 structures" in require_gradient(slopes, "mine")
    else:
        with pytest.raises(AssayError, match="the forces of mine are no gradient of its energy: in"):
            require_gradient(slopes, "mine")


@pytest.mark.parametrize("factor", [1.0, -1.0, 1.5])
@pytest.mark.parametrize("eV_per_atom", [-2.5e3, -1e7])
def test_a_teacher_of_total_energies_in_single_precision_is_judged_as_far_as_they_tell(eV_per_atom, factor):
    def rounded(structures):
        found = []
        for s in structures:
            atoms = ase.Atoms(s.atomic_numbers, s.positions, calculator=EMT())
            energy = float(np.float32(atoms.get_potential_energy() + eV_per_atom * len(s)))
            found.append(Prediction(energy, factor * atoms.get_forces()))
        return found

    slopes = measure_slopes(SimpleNamespace(predict=rounded), molecules(12))
    if eV_per_atom < -1e6:
        assert "single precision, which rounds them too coarsely" in require_gradient(slopes, "mine")
    elif factor == 1.0:
        assert "in 10 structures, to 0.0" in require_gradient(slopes, "mine")
        assert "in single precision, tell slopes to 0.0" in require_gradient(slopes, "mine")
    else:
        with pytest.raises(AssayError, match="the forces of mine are no gradient of its energy: in"):
            require_gradient(slopes, "mine")


def test_one_steep_structure_hides_no_forces_that_are_no_gradient():
    slopes = np.array([264.0, -3.4, -0.3, 0.6, -0.7, -3.9, -5.2, -4.1, 5.6, 1.4])  # of two atoms at 0.6 A, and thermal
    for factor in (1.3, 0.0, -1.0):
        with pytest.raises(AssayError, match="the forces of mine are no gradient of its energy: in"):
            require_gradient(Slopes(slopes, factor * slopes), "mine")
    gentle = np.where(np.abs(slopes) > 5.4, 4.0, 0.5 * np.sign(slopes))
    with pytest.raises(AssayError, match=r"in most of 10 structures they are 1.06 times that, at worst 4.24 where"):
        require_gradient(Slopes(gentle, 1.06 * gentle), "mine")
    jump = np.where(slopes == 5.6, 90.0, slopes)
    told = require_gradient(Slopes(slopes, jump), "mine")
    assert told.endswith("in 9 structures, to 0 eV/angstrom, but for 1 in which they differ by up to 84")


@pytest.mark.parametrize("what", ["energy_eV", "forces_eV_per_A"])
def test_a_teacher_is_tried_on_what_it_gives_finite_numbers_for(what):
    def springs(structures):
        """Springs to the origin, whose numbers are finite for structures of at least so many atoms."""
        found = [Prediction(0.5 * float((s.positions**2).sum()), -s.positions) for s in structures]
        if len(structures[0]) >= least:
            return found
        return [replace(f, **{what: np.nan * getattr(f, what)}) for f in found]

    teacher, least = SimpleNamespace(predict=springs), 7
    slopes = measure_slopes(teacher, molecules(12))
    assert 0 < len(slopes.of_forces) < label_gradients.ASKED
    assert "are the gradient of its energy in" in require_gradient(slopes, "mine")
    least = 1000
    with pytest.raises(AssayError, match=r"labels none of the first structures .*: energy or forces of .* not finite"):
        measure_slopes(teacher, molecules(12))


def emt_but(fails, asked):
    """EMT in this process, which notes what it is asked for and fails for some of it."""

    def predict(structures):
        [structure] = structures
        asked.append(structure.name)
        if fails(structure):
            raise AssayError(f"no convergence at {structure.name}")
        atoms = structure.to_ase()
        return [Prediction(EMT().get_potential_energy(atoms), EMT().get_forces(atoms))]

    return SimpleNamespace(name="EMT", identity={}, process=lambda threads: SimpleNamespace(predict=predict))


def test_labelling_resumes_and_leaves_out_what_the_teacher_cannot_label(tmp_path):
    bare = [*molecules(40), Structure("argon", np.array([18]), np.zeros((1, 3)))]
    path = tmp_path / "bare.xyz"
    ase.io.write(path, [ase.Atoms(s.atomic_numbers, s.positions) for s in bare], format="extxyz")
    teacher, asked = Teacher("EMT", "ase.calculators.emt.EMT"), []
    predictor = teacher.process(threads=1)

    def counted(structures):
        asked.append(structures[0].name)
        if len(asked) == 21:
            raise KeyboardInterrupt
        return predictor.predict(structures)

    teacher = SimpleNamespace(
        name="EMT", identity=teacher.identity, process=lambda threads: SimpleNamespace(predict=counted)
    )
    run = lambda: label_structures(read_structures(path), teacher, tmp_path / "kept", tmp_path / "out.h5")  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not (tmp_path / "out.h5").exists()
    sentence = run()
    assert asked[21:] == [*(f"structure-{k}" for k in range(20, 41)), "structure-39"], "labels are asked for once"
    assert sentence.startswith("40 structures labelled by EMT, 1 left out (")
    assert sentence.endswith(f"remove {tmp_path / 'out.h5'} and run the same command to try them again")
    found, expected = read_dataset(tmp_path / "out.h5"), from_structures(bare[:40])
    np.testing.assert_allclose(found.energy, expected.energy, atol=1e-4)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-3)
    halves = [len(list(read_structures(path, places_of(path, part, 2)))) for part in (0, 1)]
    assert halves == [20, 21]
    names = [structure.name for part in range(3) for structure in read_structures(path, places_of(path, part, 3))]
    assert names == [structure.name for structure in read_structures(path)]
    no_structures = read_structures(path, places_of(path, 50, 60))
    told = label_structures(no_structures, teacher, tmp_path / "kept", tmp_path / "none.h5")
    assert told == "0 structures labelled by EMT" and not list(read_blocks(tmp_path / "none.h5", 10))
    none = tmp_path / "none.xyz"
    ase.io.write(none, [], format="extxyz")
    assert [list(read_structures(none, places_of(none, 0, parts))) for parts in (1, 2)] == [[], []]


def test_what_failed_once_is_asked_for_again_and_nothing_else(tmp_path):
    """However many jobs there are, since labels are found by what is labelled."""
    structures, asked, down = molecules(50), [], [True]
    path, sick = write(tmp_path / "my.xyz", structures), [structures[3].name, structures[47].name]
    teacher = emt_but(lambda structure: down[0] and structure.name in sick, asked)

    def run(jobs):
        asked.clear()
        files = [tmp_path / f"labels.{part}.h5" for part in range(jobs)]
        for part, into in enumerate(files):
            label_structures(read_structures(path, places_of(path, part, jobs)), teacher, tmp_path / "kept", into)
        return sum(len(StoredDataset(file)) for file in files)

    assert run(1) == 48
    down[0] = False
    assert run(3) == 50 and asked == sick
    assert run(2) == 50 and asked == []


def test_kept_labels_take_names_and_molecules_of_the_structures_at_hand(tmp_path):
    asked, into = [], tmp_path / "out.h5"
    teacher, structures = emt_but(lambda structure: False, asked), molecules(20)
    label_structures(structures, teacher, tmp_path / "kept", into)
    named = [replace(s, name=f"n{k}", molecule=f"m{k // 2}") for k, s in enumerate(structures)]
    label_structures(named, teacher, tmp_path / "kept", into)
    found = read_dataset(into)
    assert len(asked) == 20 and list(found.names) == [s.name for s in named]
    assert list(found.molecules) == [s.molecule for s in named]


def test_a_part_that_no_teacher_labels_is_left_out_unless_the_teacher_works_no_more(tmp_path):
    """A part of a file may hold what it does not know; a teacher that fails at what it knew stops the labelling."""
    structures, asked, known = molecules(30), [], 12
    strange = {structure.name for structure in structures[10:]}
    kept, into = tmp_path / "kept", tmp_path / "out.h5"
    teacher = emt_but(lambda structure: structure.name in strange, asked)
    for part, told in ((structures[10:], "0 structures labelled by EMT, 20 left out"), (structures[10:12], "0 struc")):
        sentence = label_structures(part, teacher, kept, into, tried=lambda: structures[8:12])
        assert sentence.startswith(told) and len(StoredDataset(into)) == 0
    with pytest.raises(AssayError, match=r"labels none of the last 2 structures, nor any that it labelled before \(no"):
        label_structures(structures[10:12], teacher, kept, into, tried=lambda: structures[12:])
    teacher = emt_but(lambda structure: len(asked) > known, asked)
    asked.clear()
    with pytest.raises(AssayError, match=r"labels none of the last 5 structures, .* goes on from what is labelled"):
        label_structures(structures, teacher, kept, into)
    assert len(asked) == known + 6
    known = 100
    asked.clear()
    assert label_structures(structures, teacher, kept, into) == "30 structures labelled by EMT"
    assert len(asked) == 18


def test_moments_of_several_atoms_that_no_teacher_sees_are_told_once(tmp_path, capsys):
    frames = [bulk("NiO", "rocksalt", a=4.17, cubic=True) for _ in range(3)]
    ase.io.write(tmp_path / "none.xyz", frames)
    list(read_structures(tmp_path / "none.xyz"))
    assert "magnetic" not in capsys.readouterr().out
    for atoms in frames[1:]:
        atoms.set_initial_magnetic_moments([-2, 0, 2, 0, -2, 0, 2, 0])
    ase.io.write(tmp_path / "some.xyz", frames)
    found = list(read_structures(tmp_path / "some.xyz"))
    told = capsys.readouterr().out
    assert told.count("magnetic moments") == 1 and "structure 1 of " in told
    assert [structure.spin for structure in found] == [None, 1, 1]


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_the_end_of_a_trajectory_is_held_out_however_many_jobs_label_it(tmp_path, jobs):
    path = write(tmp_path / "trajectory.xyz", trajectory(40))
    teacher = emt_but(lambda structure: False, [])
    parts = [tmp_path / f"labels.{part}.h5" for part in range(jobs)]
    for part, into in enumerate(parts):
        label_structures(read_structures(path, places_of(path, part, jobs)), teacher, tmp_path / "kept", into)
    into = (tmp_path / "train.h5", tmp_path / "validation.h5")
    store_data(list(map(str, parts)), None, 0.2, 0, into, {})
    learned, held_out = ([str(name) for name in read_dataset(file).names] for file in into)
    assert learned + held_out == [structure.name for structure in read_structures(path)]
    assert len(held_out) == 8


OWN_CALCULATOR = """
import numpy as np
from pathlib import Path
from ase.calculators.calculator import Calculator, all_changes

class Mine(Calculator):
    implemented_properties = ["energy", "forces"]

    def __init__(self, folder, **rest):
        super().__init__(**rest)
        self.stiffness = float(Path(folder, "stiffness").read_text())

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        x = self.atoms.positions
        self.results = {"energy": FACTOR * self.stiffness * (x**2).sum(), "forces": -2 * FACTOR * self.stiffness * x}
"""


def test_labels_follow_the_files_and_the_code_of_their_teacher(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    energies = []
    for code, stiffness in ((1.0, 1.0), (1.0, 5.0), (7.0, 5.0), (1.0, 1.0)):
        Path("mine.py").write_text(OWN_CALCULATOR.replace("FACTOR", str(code)))
        Path("model/stiffness").write_text(str(stiffness))
        teacher_module._process.cache_clear()
        teacher = Teacher("Mine", "mine.Mine", {"folder": "model"})
        label_structures(molecules(3), teacher, tmp_path / "kept", tmp_path / "out.h5")
        energies.append(read_dataset(tmp_path / "out.h5").energy)
    np.testing.assert_allclose(energies[1:], [5 * energies[0], 35 * energies[0], energies[0]])
    assert len(list((tmp_path / "kept").glob("*.h5"))) == 3


def stored(folder, labelled):
    """The files of what a student learns from and of what is held out."""
    into = (folder / "train.h5", folder / "validation.h5")
    if not into[0].exists():
        (folder / "data.json").write_text(json.dumps(store_data([labelled], None, 0.2, 0, into, {})))
    return into


def train_stored(folder, student, name="small", seen=None, **training):
    """Train a student on stored data, as the rule does."""
    train_own(
        name,
        folder / "train.h5",
        folder / "validation.h5",
        folder / "data.json",
        student,
        TRAINING | training,
        {"path": student["from"]} if "from" in student else None,
        seen,
        {"name": "EMT"},
        said_of(student, {"train": "labelled.xyz"}),
        folder / "states",
        "cpu",
        folder / "log",
        folder / f"{name}.pt",
        training_record(folder / f"{name}.pt"),
        folder / f"{name}.curve.svg",
    )


def run_training(folder, labelled, student, name="small", seen=None, **training):
    """Train a student; its record."""
    stored(folder, labelled)
    train_stored(folder, student, name, seen, **training)
    return json.loads(training_record(folder / f"{name}.pt").read_text())


@pytest.mark.slow
def test_a_student_is_trained_with_record_and_curve_and_twice_the_same(labelled, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        record = run_training(tmp_path / folder, labelled, TINY)
    one, two = (load_model(tmp_path / folder / "small.pt").state_dict() for folder in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert record["teacher"] == {"name": "EMT"} and "compositions are held out" in record["split"]
    assert record["curve"][-1]["step"] == sum(part["steps"] for part in record["recipe"]["rounds"])
    assert "</svg>" in (tmp_path / "one/small.curve.svg").read_text()
    assert len(list((tmp_path / "one/states").iterdir())) == 1
    again = run_training(tmp_path / "one", labelled, TINY, seed=1)
    assert again["curve"] != record["curve"], "another config starts anew"


@pytest.mark.slow
def test_two_processes_train_one_student_together(labelled, tmp_path):
    """They see the same structures in as many steps, and one of them writes."""
    longer = TINY | {"steps": 300}
    program = f"""
import sys
sys.path[:0] = {[str(ROOT / "scripts"), str(ROOT / "tests")]}
from functools import partial
from pathlib import Path
from assay.training.processes import run_in
from test_distill import train_stored
run_in(2, partial(train_stored, Path({str(tmp_path / "two")!r}), {longer!r}))
"""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    alone = run_training(tmp_path / "one", labelled, longer)
    stored(tmp_path / "two", labelled)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    together = json.loads(training_record(tmp_path / "two" / "small.pt").read_text())
    assert (alone["processes"], together["processes"]) == (1, 2) and done.stdout.count("parameters") == 1
    assert together["recipe"] == alone["recipe"] and len(together["curve"]) == len(alone["curve"])
    errors = [record["curve"][-1]["force_mae_eV_per_A"] for record in (alone, together)]
    assert errors[1] == pytest.approx(errors[0], rel=0.1)
    assert errors[1] < 0.9 * together["curve"][0]["force_mae_eV_per_A"]


@pytest.mark.slow
def test_training_goes_on_from_a_student_with_new_elements(labelled, tmp_path):
    """Before its first step the student predicts what it predicted, but for reference energies."""
    first = tmp_path / "first"
    first.mkdir()
    only = write(tmp_path / "co.xyz", molecules(60, ["CH3OH", "C2H6", "CO", "C2H4", "H2O"]))
    run_training(first, only, TINY | {"hyperparameters": {"n_blocks": 2, "n_rbf": 6, "head": [8], "max_z": 8}})
    later = molecules(30, ["CH3OH", "H3CNH2", "HCN"]) + [
        replace(s, atomic_numbers=np.where(s.atomic_numbers == 8, 16, s.atomic_numbers))
        for s in molecules(10, ["CH3OH"])
    ]
    data = from_structures(later)
    origin = read_origin(first / "small.pt", data)
    assert origin.record["new_elements"] == [7, 16] and "new embeddings of N, S" in origin.record["sentence"]
    before, now = load_model(first / "small.pt"), origin.model
    assert now.max_z == 16
    assert torch.equal(before.embedding.weight[:9][[1, 6, 8]], now.embedding.weight[[1, 6, 8]])
    torch.testing.assert_close(now.embedding.weight[16], before.embedding.weight[[1, 6, 8]].mean(0))
    assert np.abs(now.reference_energy.numpy()[[2, 3, 4]]).max() == 0.0
    second = tmp_path / "second"
    second.mkdir()
    tuned = {"from": str(first / "small.pt")}
    unknown = run_training(second, write(tmp_path / "n.xyz", later), tuned, "unknown", steps=1)
    assert unknown["from"]["held_out"] is None
    assert unknown["split"].endswith(f"and it is not known which of them {tuned['from']} learned from")
    seen = {"same_structure": 3, "is_lower_bound": True}
    record = run_training(second, str(tmp_path / "n.xyz"), tuned, "tuned", seen)
    assert record["from"]["held_out"] == seen
    assert record["split"].endswith(f", at least 3 of which {tuned['from']} learned from")
    assert _seen_before(seen | {"same_structure": 0}, "a.pt") == "none of which a.pt is known to have learned from"
    assert record["from"]["path"].endswith("first/small.pt") and record["from"]["new_elements"] == [7, 16]
    assert record["before"]["force_mae_eV_per_A"] > 0
    assert load_model(second / "tuned.pt").max_z == 16


def test_a_training_goes_on_from_the_weights_that_the_variant_names(tmp_path):
    raw = student("painn").state_dict()
    average = {name: 1.01 * tensor if name == "embedding.weight" else tensor for name, tensor in raw.items()}
    store(tmp_path, {"model_state_dict": raw, "ema_state_dict": average}, "two.pt")
    data = from_structures(molecules(2, ["CH4"]))
    begun = {word: read_origin(tmp_path / "two.pt", data, weights=word) for word in ("raw", "average")}
    assert torch.equal(begun["raw"].model.embedding.weight, raw["embedding.weight"])
    assert torch.equal(begun["average"].model.embedding.weight, average["embedding.weight"])
    assert begun["raw"].record["told"] == {"weights": "raw"}
    runs = [
        plan_run(TINY | {"from": "two"}, TRAINING, {"path": tmp_path / "two.pt", "weights": word}, data)
        for word in begun
    ]
    assert _decides(runs[0], data) != _decides(runs[1], data), "a stopped training of the other is not gone on with"


def test_a_network_without_energies_of_atoms_is_not_trained_on(tmp_path):
    store(tmp_path, {"state_dict": student("seed-painn").state_dict()}, "seed.pt")
    with pytest.raises(AssayError, match=r"seed\.pt cannot be trained on: its network, seed-painn, has no energies of"):
        read_origin(tmp_path / "seed.pt", from_structures(molecules(2, ["CH4"])))


def test_an_element_beyond_the_hyperparameters_is_refused(labelled):
    [data] = read_blocks(labelled, 100)
    student = {"architecture": "painn", "hyperparameters": {"hidden": 8, "n_blocks": 1, "n_rbf": 4, "max_z": 7}}
    with pytest.raises(AssayError, match="the data hold the atomic number 8 and `hyperparameters`"):
        plan_run(student, TRAINING, None, data)


def test_a_part_of_many_training_structures_is_described_as_a_part(tmp_path, monkeypatch):
    for name, seed in (("train.h5", 0), ("validation.h5", 500)):
        with StoreWriter(tmp_path / name) as store:
            store.add(from_structures(molecules(40, seed=seed)))
    monkeypatch.setattr("assay.accuracy.fitting.DESCRIBED", 25)
    domain = fit_stored(tmp_path / "train.h5", tmp_path / "validation.h5", 50, 0)
    assert (domain.training_data.extent, domain.training_data.n_described) == (PART, 25)
    assert domain.training_data.sha256 == StoredDataset(tmp_path / "train.h5").content_sha256()


def test_geometries_of_ones_own_serve_where_no_reference_has_the_elements():
    """Without a teacher's name, so that nothing counts as compared with one."""
    salt = ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    crystals = [Structure.from_ase(salt * (1, 1, n), f"salt-{n}") for n in (1, 2)]
    labelled = [
        replace(s, energy_eV=-float(k), forces_eV_per_A=np.zeros_like(s.positions))
        for k, s in enumerate([*crystals, *molecules(20)])
    ]
    found = reference.geometries(labelled)
    assert found.teacher is None and unseen(found, {11, 17}) == [] and unseen(found, {3}) == [3]
    assert len(found.groups(reference.SCALED_CELL)) == 2
    [lowest] = found.groups(reference.DYNAMICS, {1, 8})["H2O"]
    assert lowest.structure.energy_eV == min(s.energy_eV for s in labelled if s.name.startswith("H2O"))


def test_a_package_does_not_claim_the_shipped_training_data():
    config = own(data={"train": "a/my.xyz", "teacher": "wB97X"})
    assert config["package"]["training_data"] == "energies and forces of my.xyz, by wB97X"
    stated = own(data={"train": "my.xyz"}, package={"training_data": "mine"})
    assert stated["package"]["training_data"] == "mine"
