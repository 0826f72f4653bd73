"""What the config makes of `data` and `students`, what is refused, and which student is that of the config."""

import inspect
import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from assay.models import ARCHITECTURES, SeedPaiNN
from assay.workflow.config import complete_config
from assay.workflow.config_models.students_yaml import Hyperparameters
from assay.workflow.errors import AssayError
from assay.workflow.own_students import check_trained, said_of
from assay.workflow.teachers import teacher_of

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config"
XTB = {"name": "TBLite", "calculator": "tblite.ase.TBLite"}


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


def test_a_package_does_not_claim_the_shipped_training_data():
    config = own(data={"train": "a/my.xyz", "teacher": "wB97X"})
    assert config["package"]["training_data"] == "energies and forces of my.xyz, by wB97X"
    stated = own(data={"train": "my.xyz"}, package={"training_data": "mine"})
    assert stated["package"]["training_data"] == "mine"
