"""What files, the command line and defaults say together is used as it is meant, or refused in one sentence."""

import copy
import re

import pytest
import yaml
from snakemake.utils import update_config

from assay.workflow.config import (
    FILES,
    check_config,
    complete_config,
    file_of,
    is_given,
    load_config,
    require_single_keys,
)
from assay.workflow.errors import AssayError
from assay.workflow.own_students import present
from shared.default_config import DEFAULT, FOLDER


def test_default_config_is_accepted_unchanged():
    config: dict = {}
    for name in FILES:
        update_config(config, yaml.safe_load((FOLDER / name).read_text()))
    assert DEFAULT == config
    assert load_config(FOLDER) == config


def test_what_one_file_says_of_a_student_or_teacher_is_not_said_of_another_files(tmp_path):
    lj, morse = "ase.calculators.lj.LennardJones", "ase.calculators.morse.MorsePotential"
    one = {
        "teacher": {"name": "A", "calculator": lj, "arguments": {"sigma": 3.4, "epsilon": 0.01}},
        "variants": {
            "mine": {"checkpoint": "a.pt", "cutoff_A": 5.0, "teacher": "A", "licence": "of a"},
            "same": {"checkpoint": "s.pt", "licence": "of s"},
            "asked": {"calculator": lj, "arguments": {"path": "a", "name": "a", "sigma": 3.0}},
        },
        "dataset": {"splits": {"s": {"path": "a.xyz", "energy_key": "E"}, "t": {"path": "t.xyz", "energy_key": "E"}}},
    }
    other = {
        "teacher": {"name": "B", "calculator": morse},
        "variants": {
            "mine": {"checkpoint": "b.pt"},
            "same": {"checkpoint": "s.pt", "citation": "s"},
            "asked": {"arguments": {"path": "b"}},
        },
        "dataset": {"splits": {"s": {"path": "b.xyz"}, "t": {"forces_key": "F"}}},
    }
    for name, content in (("one", one), ("other", other)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    config = load_config(FOLDER, tmp_path / "one.yaml", tmp_path / "other.yaml")
    assert config["teacher"] == {"name": "B", "calculator": morse, "arguments": {}}
    assert config["variants"]["mine"] == {"checkpoint": "b.pt"}
    assert config["variants"]["same"] == {"checkpoint": "s.pt", "licence": "of s", "citation": "s"}
    assert config["variants"]["asked"]["arguments"] == {"path": "b", "name": "a", "sigma": 3.0}
    assert config["dataset"]["splits"]["s"] == {"path": "b.xyz"}
    assert config["dataset"]["splits"]["t"] == {"path": "t.xyz", "energy_key": "E", "forces_key": "F"}


def test_null_leaves_an_entry_out():
    config = copy.deepcopy(DEFAULT)
    config["variants"]["original"] = None
    config["variants"]["tiny"] = "null"
    config["dataset"]["splits"] |= {"seen_molecules": None, "larger_molecules": "null", "new_molecules": None}
    check_config(config)
    assert set(present(config["variants"])) == {"ultra_tiny"}
    assert set(present(config["dataset"]["splits"])) == {"unseen_molecules"}


def test_overrides_change_what_they_name_and_nothing_else(tmp_path):
    (tmp_path / "one.yaml").write_text("{accuracy: {worst: 3, seed: 1}, device: cpu}")
    (tmp_path / "two.yaml").write_text("{accuracy: {seed: 2}}")
    config = load_config(FOLDER, tmp_path / "one.yaml", tmp_path / "two.yaml")
    assert config == DEFAULT | {"device": "cpu", "accuracy": DEFAULT["accuracy"] | {"worst": 3, "seed": 2}}


def test_what_the_caller_gave_is_told_from_defaults_and_left_as_it_is():
    mine = {"dataset": {"train": "mine.h5"}, "accuracy": {"worst": "3"}}
    before = copy.deepcopy(mine)
    assert complete_config(mine, FOLDER)["accuracy"]["worst"] == 3
    assert mine == before
    assert is_given(mine, "dataset.train") and is_given(mine, "dataset")
    assert (
        not is_given(mine, "dataset.validation") and not is_given(mine, "device") and not is_given({}, "dataset.train")
    )


def test_a_labelled_file_may_be_a_path_or_a_set_of_keys():
    keys = {"path": "my.xyz", "energy_key": "REF_energy", "units": {"energy": "hartree"}}
    dataset = complete_config({"dataset": {"splits": {"mine": keys, "unseen_molecules": keys}, "train": keys}}, FOLDER)
    assert dataset["dataset"]["splits"]["unseen_molecules"] == dataset["dataset"]["train"] == keys
    assert dataset["dataset"]["splits"]["seen_molecules"] == DEFAULT["dataset"]["splits"]["seen_molecules"]
    assert file_of(keys) == file_of("my.xyz") == "my.xyz"


def test_what_is_said_of_a_student_is_not_said_of_the_one_that_replaces_it():
    mine = {"variants": {"tiny": {"checkpoint": "my.pt"}, "ultra_tiny": {"cutoff_A": 4.5}}}
    variants = complete_config(mine, FOLDER)["variants"]
    assert variants["tiny"] == {"checkpoint": "my.pt"}
    assert variants["ultra_tiny"] == DEFAULT["variants"]["ultra_tiny"] | {"cutoff_A": 4.5}


@pytest.mark.parametrize(
    ("text", "meant"),
    [("~/a.pt", "/home/me/a.pt"), ("~", "/home/me"), ("~nobodyx/a.pt", "~nobodyx/a.pt"), ("~MIT", "~MIT")],
)
def test_a_tilde_is_the_home_of_the_caller_and_of_nobody_else(text, meant, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    mine = {"variants": {"mine": {"checkpoint": text, "licence": text}}}
    assert complete_config(mine, FOLDER)["variants"]["mine"] == {"checkpoint": meant, "licence": meant}


LABELS = "dataset.recipe.labels"


@pytest.mark.parametrize(
    ("mine", "words"),
    [
        ({"package": {"licence": "mine"}}, "`package.licence` is now `licence` of each variant, as"),
        ({"dataset": {"recipe": {"labels": {"driven": {}}}}}, f"`{LABELS}.driven` is now `{LABELS}.student_md`"),
        (
            {"dataset": {"recipe": {"labels": {"driven_again_shards": 1}}}},
            f"`{LABELS}.driven_again_shards` is now `{LABELS}.student_md_again_shards`",
        ),
        (
            {"dataset": {"recipe": {"labels": {"redriven": {}}}}},
            f"`{LABELS}.redriven` is now `{LABELS}.better_student_md`",
        ),
        (
            {"distill": {"recipe": {"rounds": [{"steps": 1}, {"steps": 1, "shares": {"driven": 0.5}}]}}},
            "`distill.recipe.rounds.*.shares.driven` is now `student_md` in the same place",
        ),
        (
            {"distill": {"students": {"tiny": {"recipe": {"rounds": [{"steps": 1, "shares": {"driven": 0.5}}]}}}}},
            "`distill.students.*.recipe.rounds.*.shares.driven` is now `student_md` in the same place",
        ),
    ],
)
def test_a_key_that_moved_is_told_with_its_new_place(mine, words):
    with pytest.raises(AssayError, match=re.escape(f"the config cannot be used: {words}")):
        complete_config(mine, FOLDER)


def test_a_teacher_is_named_whole():
    teacher = complete_config({"teacher": {"calculator": "ase.calculators.lj.LennardJones"}}, FOLDER)["teacher"]
    assert (teacher["name"], teacher["arguments"]) == ("LennardJones", {})
    same = {"calculator": "tblite.ase.TBLite"}
    gfn1 = {"name": "GFN1-xTB", "arguments": {"method": "GFN1-xTB"}}
    assert complete_config({"teacher": same | gfn1}, FOLDER)["teacher"] == same | gfn1
    for part, words in (
        ({"name": "PBE"}, "the name PBE and the calculator of GFN2-xTB: name its `calculator` too"),
        ({"arguments": {"method": "GFN1-xTB"}}, "has other arguments and the name of GFN2-xTB: give it a `name`"),
        (
            same | {"arguments": {"method": "GFN1-xTB"}},
            "has other arguments and the name of GFN2-xTB: give it a `name`",
        ),
        (same | {"name": "GFN1-xTB"}, "no `arguments`, and those of the default config are of GFN2-xTB: name its"),
        (same, "names the calculator tblite.ase.TBLite and no `arguments`"),
    ):
        with pytest.raises(AssayError, match=words):
            complete_config({"teacher": part}, FOLDER)
    default = load_config(FOLDER)["teacher"]
    for part in ({"name": default["name"]}, same | {"name": default["name"].lower()}):
        assert complete_config({"teacher": part}, FOLDER)["teacher"] == default | {"name": part["name"]}


def test_a_key_that_stands_twice_is_refused_with_its_lines(tmp_path):
    twice = tmp_path / "twice.yaml"
    twice.write_text("variants: {a: {checkpoint: a.pt}}\ndevice: cpu\nvariants: {b: {checkpoint: b.pt}}\n")
    with pytest.raises(AssayError, match=r"twice\.yaml has `variants` twice, in lines 1 and 3: write it once"):
        load_config(FOLDER, twice)
    twice.write_text("physics:\n  checks:\n    - {name: a,\n       name: b}\n")
    with pytest.raises(AssayError, match="`name` twice, in lines 3 and 4"):
        require_single_keys(twice)
    twice.write_text("device: {a: 1, a: 1}")
    with pytest.raises(AssayError, match="`a` twice, in lines 1 and 1"):
        require_single_keys(twice)
    twice.write_text("base: &base {a: 1}\nfirst: {<<: *base, a: 2}\nsecond: {a: 1}\n")
    require_single_keys(twice)


@pytest.mark.parametrize(
    ("mine", "words"),
    [
        (
            {"physics": {"thresholds": {"rotatoin": {"limits": {"energy_eV": {"max": 1e-9, "because": "it is"}}}}}},
            ["`physics.thresholds` names rotatoin, which is no physics check", "did you mean `rotation`?"],
        ),
        (
            {"physics": {"exports": {"checks": ["work", "speed"]}}},
            ["`physics.exports.checks` names speed", "known names are batch, bonds,"],
        ),
        ({"compress": {"without_checks": ["nvee"]}}, ["`compress.without_checks` names nvee", "did you mean `nve`?"]),
    ],
)
def test_what_is_no_physics_check_is_refused_by_its_name(mine, words):
    with pytest.raises(AssayError) as caught:
        complete_config(mine, FOLDER)
    assert all(word in str(caught.value) for word in words)
