"""A config is used as it is meant, or refused in one sentence that names the key."""

import copy
import json
import re
import sys
from itertools import pairwise, product
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snakemake.utils import update_config

from assay.data.kinds import KINDS
from assay.predictors.virtual_environments import content_of
from assay.workflow.calculator_files import calculator_files
from assay.workflow.config import (
    FILES,
    check_config,
    complete_config,
    file_of,
    is_given,
    load_config,
    require_single_keys,
)
from assay.workflow.config_models.whole import Config
from assay.workflow.config_schema import editor_schema, keys_at
from assay.workflow.errors import AssayError
from assay.workflow.own_students import present

FOLDER = Path(__file__).parents[1] / "config"
DEFAULT = json.loads(json.dumps(load_config(FOLDER)))  # parts that YAML's aliases share become parts of their own
FREE = ("arguments", "hyperparameters")  # what these hold is known to the calculator and to the network alone


def paths(entry, path=()):
    """Every key of a config, as a tuple of keys and indices."""
    parts = entry.items() if isinstance(entry, dict) else enumerate(entry) if isinstance(entry, list) else ()
    for key, value in parts:
        yield (*path, key)
        if key not in FREE:
            yield from paths(value, (*path, key))


ALL = list(paths(DEFAULT))


def at(config, path):
    for key in path:
        config = config[key]
    return config


LEAVES = [path for path in ALL if not isinstance(at(DEFAULT, path), dict | list)]


def replaced(path, value):
    """The default config with another value for one key."""
    config = copy.deepcopy(DEFAULT)
    at(config, path[:-1])[path[-1]] = value
    return config


def refusal(config):
    with pytest.raises(AssayError) as caught:
        check_config(config)
    message = str(caught.value)
    assert message.startswith("the config cannot be used: ")
    assert "\n" not in message
    return message


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


def test_no_key_stands_in_two_files():
    files = [{path for path in paths(yaml.safe_load((FOLDER / name).read_text())) if len(path) > 1} for name in FILES]
    assert all(one.isdisjoint(other) for one, other in zip(files, [*files[1:], files[0]], strict=True))


def test_a_round_may_ask_for_a_share_of_every_kind_there_is():
    check_config(replaced(("distill", "students", "tiny", "recipe", "rounds", 0, "shares"), dict.fromkeys(KINDS, 0.5)))


def test_units_with_a_sign_and_of_each_atom_are_accepted_where_they_say_something():
    units = {"energy": "kcal/mol/atom", "length": "Bohr", "forces": "-hartree/bohr", "stress": "-kbar", "virial": "au"}
    check_config(replaced(("dataset", "train"), {"path": "a.xyz", "units": units}))
    check_config(replaced(("variants", "mine"), {"calculator": "a.B", "cutoff_A": 50.0, "environment": sys.executable}))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["devise"], "cpu", ["`devise` is not a known key", "did you mean `device`?"]),
        (["dataset", "trian"], "x.h5", ["`dataset.trian`", "did you mean `train`?"]),
        (["variants", "mine"], {"chekpoint": "m.pt"}, ["`variants.mine.chekpoint`", "`checkpoint`"]),
        (["variants", "mine"], {}, ["`variants.mine`", "must be a `checkpoint` or a `calculator`"]),
        (["variants", "mine"], {"checkpoint": "m.pt", "calculator": "a.B"}, ["`variants.mine`", "one of the two"]),
        (["variants", "mine"], {"checkpoint": "m.pt", "arguments": {}}, ["without `arguments`", "of a checkpoint"]),
        (["variants", "mine"], {"calculator": "a.B", "weights": "raw"}, ["without `weights`", "of a calculator"]),
        (["variants", "mine"], {"calculator": "emt"}, ["`variants.mine.calculator`", "module.Class"]),
        (["variants", "mine"], {"checkpoint": "m.pt", "cutoff_A": 50.0}, ["`variants.mine`", "between 0.5 and 20"]),
        (
            ["variants", "mine"],
            {"checkpoint": "m.pt", "units": {"energy": "kcl/mol"}},
            ["mine.units.energy`", "kJ/mol"],
        ),
        (["variants", "mine"], {"checkpoint": "m.pt", "units": {"energy": "-eV"}}, ["units.energy`", "without a sign"]),
        (
            ["variants", "mine"],
            {"checkpoint": "m.pt", "units": {"length": "eV"}},
            ["units.length`", "such as angstrom"],
        ),
        (
            ["variants", "mine"],
            {"calculator": "a.B", "environment": "/tmp"},
            ["mine.environment`", "name its bin/python"],
        ),
        (["teacher", "environment"], "/", ["`teacher.environment`", '"/"', "a file and no folder"]),
        (
            ["dataset", "train"],
            {"path": "a", "units": {"energy": "kcal"}},
            ["`dataset.train.units.energy`", "kcal/mol"],
        ),
        (["dataset", "train"], {"path": "a", "units": {"forces": "eV"}}, ["train.units.forces`", "a unit of forces"]),
        (["dataset", "train"], {"path": "a", "units": {"length": "-nm"}}, ["units.length`", "without a sign"]),
        (["ablate", "base", "hyperparameters", "hiden"], 8, ["hyperparameters.hiden`", "did you mean `hidden`?"]),
        (
            ["distill", "students", "tiny", "hyperparameters", "spin"],
            8,
            ["`distill.students.tiny.hyperparameters.spin`", "known keys are", "radial_basis"],
        ),
        (["benchmark", "max_rounds"], 2, ["`benchmark`", "`max_rounds` are at least their `min_rounds`, 3"]),
        (["variants", "mine"], "m.pt", ["`variants.mine`", '"m.pt"', "a set of keys or null"]),
        (["variants", "my model"], {"checkpoint": "m.pt"}, ["'my model'", "letters, digits"]),
        (["variants", "report"], {"checkpoint": "m.pt"}, ["'report'", "reserved"]),
        (["variants", 7], {"checkpoint": "m.pt"}, ["7 cannot be a name in `variants`"]),
        (["variants"], {}, ["`variants`", "at least 1"]),
        (["variants", "Ultra-tiny"], {"checkpoint": "m.pt"}, ["ultra_tiny and Ultra-tiny are both assay_ultra_tiny"]),
        (["variants"], {"tiny": None}, ["keep at least one"]),
        (["dataset", "splits"], {"a": None}, ["keep at least one"]),
        (["dataset", "train"], 3, ["`dataset.train`", "is 3", "text"]),
        (["dataset", "train"], "", ["`dataset.train`", "text of at least 1 character"]),
        (
            ["dataset", "splits", "a"],
            "own/{x}.h5",
            ["`dataset.splits.a.path`", "without { and }, which are wildcards"],
        ),
        (["variants", "mine"], {"checkpoint": "{v}.pt"}, ["`variants.mine.checkpoint`", "rename the file"]),
        (["students", "s"], {"from": "m{1}.pt"}, ["`students.s.from`", "a path without { and }"]),
        (["physics", "reference"], ["{a}.xyz"], ["`physics.reference", "a path without { and }"]),
        (["dataset", "splits", "a"], {"energy_key": "E"}, ["`dataset.splits.a`", "lacks the key `path`"]),
        (["dataset", "splits", "a"], {"path": "x", "key": "E"}, ["`dataset.splits.a.key`", "known keys are", "path"]),
        (["dataset", "splits", "a"], 3, ["`dataset.splits.a`", "a set of keys or text or null"]),
        (
            ["dataset", "splits", "a"],
            {"path": "x", "units": {"force": "eV"}},
            ["`dataset.splits.a.units.force`", "did you mean `forces`?"],
        ),
        (["device"], "gpu", ["`device`", '"gpu"', "auto, cpu, cuda"]),
        (["teacher", "calculator"], "EMT", ["`teacher.calculator`", "must be module.Class, such as my_teacher.Morse"]),
        (["variants", "mine"], {"calculator": "my_net.py"}, ["mine.calculator`", "class Morse in my_teacher.py"]),
        (
            ["students", "small"],
            {"parameters": 77_000, "cutoff_A": 6.0},
            ["`students.small.cutoff_A`", "it is one of `hyperparameters`: write `hyperparameters: {cutoff_A: ...}`"],
        ),
        (["accuracy", "max_structures"], "all", ["`accuracy.max_structures`", '"all"', "a whole number or null"]),
        (["accuracy", "confidence"], 1.0, ["`accuracy.confidence`", "less than 1"]),
        (["accuracy", "worst"], 2.5, ["`accuracy.worst`", "2.5", "a whole number"]),
        (["accuracy", "worst"], True, ["`accuracy.worst`", "true", "a whole number"]),
        (["benchmark", "seconds"], float("nan"), ["`benchmark.seconds`", "NaN"]),
        (["quantize", "structures"], 10, ["`quantize.structures`", "at least 32"]),
        (["peers", "packages"], ["nequip"], ["`peers.packages.0`", "one of schnetpack, mace"]),
        (
            ["physics", "dynamics", "nve", "steps_fs"],
            [0.5],
            ["`physics.dynamics.nve.steps_fs`", "a list of at least 2"],
        ),
        (
            ["physics", "thresholds", "nve", "limits", "x"],
            {"because": "no reason"},
            ["`physics.thresholds.nve.limits.x` (a limit", "either `max` or `min`"],
        ),
        (
            ["dataset", "recipe", "labels", "classical", "temperatures_K"],
            [1000, 300],
            ["`dataset.recipe.labels.classical.temperatures_K`", "[1000, 300]", "the smaller number first"],
        ),
    ],
)
def test_bad_value_is_one_sentence_that_names_it(path, value, words):
    message = refusal(replaced(path, value))
    for word in words:
        assert word in message


@pytest.mark.parametrize("section", sorted(DEFAULT))
def test_missing_section_is_named(section):
    config = {key: value for key, value in DEFAULT.items() if key != section}
    assert f"lacks the key `{section}`" in refusal(config)


# Entries that may be a set of keys, so that a wrong key in them is what is named.
LABELLED = (("dataset", "splits"), ("dataset", "train"), ("dataset", "validation"), ("data",))


def test_every_leaf_of_a_wrong_type_is_refused_by_its_key():
    checked = [path for path in LEAVES if not any(key in FREE for key in path[:-1])]
    assert len(checked) > 300
    for path, value in product(checked, ("wrong", {"a": 1})):
        is_text = isinstance(at(DEFAULT, path), str | None)  # null stands for a path that is not given
        wrong = 3 if value == "wrong" and is_text else value
        own = "" if value == "wrong" or path[:2] not in LABELLED else ".a"
        assert f"`{'.'.join(map(str, path))}{own}`" in refusal(replaced(path, wrong))


def test_a_section_of_a_wrong_type_is_refused_by_its_key():
    for path in ALL:
        if path not in LEAVES and path[-1] not in FREE:
            assert f"`{'.'.join(map(str, path))}`" in refusal(replaced(path, 3))


def test_every_misspelled_key_is_refused_with_the_right_one():
    for path in ALL:
        holder = at(DEFAULT, path[:-1])
        names = path[:-1] in (("variants",), ("dataset", "splits"), ("physics", "thresholds"), ("distill", "students"))
        names |= path[-2:-1] in (("tolerances",), ("limits",)) or path[:-1] == ("peers", "targets")
        if (names and path[0] != "quantize") or isinstance(holder, list) or any(key in FREE for key in path[:-1]):
            continue
        config = copy.deepcopy(DEFAULT)
        at(config, path[:-1])[f"{path[-1]}s"] = at(config, path[:-1]).pop(path[-1])
        message = refusal(config)
        assert f"`{'.'.join(map(str, path))}s` is not a known key; did you mean `{path[-1]}`?" in message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), parts, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([path for path in ALL if not any(key in FREE for key in path)]), VALUES)
def test_any_value_anywhere_is_accepted_or_refused_in_one_sentence(path, value):
    try:
        check_config(replaced(path, value))
    except AssayError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        (["accuracy", "worst"], "3", 3),
        (["accuracy", "worst"], "1e3", 1000),
        (["accuracy", "worst"], 5.0, 5),
        (["accuracy", "max_structures"], "null", None),
        (["regress", "tolerance"], "1e-4", 1e-4),
        (["regress", "tolerance"], "0.5", 0.5),
        (["variants", "tiny"], "null", None),
        (["benchmark", "batch_sizes"], ["1", "2"], [1, 2]),
        (["benchmark", "batch_sizes"], "[1, 2]", [1, 2]),
    ],
)
def test_text_from_the_command_line_is_read_as_the_scalar_it_spells(path, text, value):
    config = replaced(path, text)
    check_config(config)
    assert at(config, path) == value
    assert type(at(config, path)) is type(value)


def test_text_that_is_meant_stays_text():
    config = replaced(["dataset", "train"], "3")
    config["teacher"]["arguments"] = {"accuracy": "1"}
    check_config(config)
    assert config["dataset"]["train"] == "3"
    assert config["teacher"]["arguments"] == {"accuracy": "1"}


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


@pytest.mark.parametrize("name", sorted(DEFAULT.keys() - {"dataset", "physics"}))
def test_settings_have_each_number_as_the_config_spells_it(name):
    whole = Config.model_validate(DEFAULT).model_dump(by_alias=True, exclude_unset=True)
    assert json.dumps(whole[name], sort_keys=True) == json.dumps(DEFAULT[name], sort_keys=True)


def test_schema_for_editors_is_the_one_of_the_models():
    assert (FOLDER / "schema.json").read_text() == editor_schema(), "run `make format`"
    schema = json.loads(editor_schema())
    assert set(re.findall(r'"#/\$defs/(\w+)"', editor_schema())) == set(schema["$defs"]), "each is there and is used"
    assert set(schema["properties"]) == set(DEFAULT)
    assert schema["additionalProperties"] is False
    assert "required" not in re.findall(r'"(\w+)": \[', editor_schema())


@pytest.mark.parametrize("name", FILES)
def test_a_file_names_its_schema_and_every_section_has_a_comment(name):
    lines = (FOLDER / name).read_text().splitlines()
    assert lines[0] == "# yaml-language-server: $schema=schema.json"
    uncommented = [
        line
        for above, line in pairwise(lines)
        if line[:1].isalpha() and not above.startswith("#") and line not in {"dataset:"}
    ]
    assert uncommented == []


@pytest.mark.parametrize(("section", "below"), [("training", ()), ("rounds", ()), ("students", ("any",))])
def test_a_section_names_each_of_its_keys(section, below):
    """As a value or, in backticks, in a comment."""
    text = (FOLDER / "students.yaml").read_text()
    [own] = re.findall(rf"^{section}:.*\n(?: .*\n|\n)*", text, re.M)
    above = re.findall(r"(?:^#.*\n)+", text[: text.index(own)], re.M)[-1]
    keys = set(keys_at((section, *below))) - set(keys_at(("training",)) if below else ())
    assert [key for key in keys if not re.search(rf"^  {key}:|`{key}`", above + own, re.M)] == []


def test_the_guide_names_each_key_of_a_labelled_file():
    guide = (FOLDER.parent / "docs/datasets.md").read_text()
    assert [key for key in keys_at(("dataset", "splits", "any")) if not re.search(rf"\b{key}:|`{key}`", guide)] == []


def test_what_a_user_meets_first_fits_on_a_few_screens():
    assert len((FOLDER / "config.yaml").read_text().splitlines()) <= 120


def test_comments_are_whole_sentences():
    """A noun and what it is, or a verb and its object: nothing that hangs on the key below."""
    for name in FILES:
        comments = re.findall(r"(?:^ *# .*\n)+", (FOLDER / name).read_text(), re.M)
        flat = [" ".join(line.strip(" #") for line in comment.splitlines()) for comment in comments[1:]]
        assert all(not re.match(r"(Of|For which|From which|With|As) ", comment) for comment in flat), flat
        assert [comment for comment in flat if not comment.endswith((".", "snakemake distill` only)."))] == []


def test_a_calculator_rests_on_its_files_folders_and_own_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("my.model", "folder/weights.bin", "folder/.cache/x", "mine.py", "scratch/log", "of_mine/__init__.py",
                 "of_mine/__pycache__/a.pyc", "of_mine/part.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    arguments = {"model_paths": ["my.model"], "folder": "folder", "directory": "scratch", "device": "cpu"}
    variant = {"calculator": "mine.Mine", "arguments": arguments}
    assert set(calculator_files(variant)) == {"my.model", "folder/weights.bin", "mine.py"}
    package = {"calculator": "of_mine.part.Mine", "environment": "my.model"}
    assert set(calculator_files(package)) == {"my.model", "of_mine/__init__.py", "of_mine/part.py"}
    assert calculator_files({"calculator": "ase.calculators.lj.LennardJones"}) == []
    monkeypatch.chdir(tmp_path / "scratch")
    for around in (".", "..", str(tmp_path)):
        assert calculator_files({"calculator": "a.A", "arguments": {"path": around}}) == []
    assert calculator_files({"calculator": "a.A", "arguments": {"path": "../folder"}}) == ["../folder/weights.bin"]


def test_a_file_behind_a_calculator_that_snakemake_takes_for_wildcards_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/a{1}.bin").touch()
    with pytest.raises(AssayError, match=re.escape("rests on models/a{1}.bin, and { and } are wildcards to Snakemake")):
        calculator_files({"calculator": "ase.calculators.emt.EMT", "arguments": {"folder": "models"}})


def test_own_code_is_followed_through_folders_that_are_no_packages_and_through_imports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = dict.fromkeys(["pots/beside.py", "pots/other.py", "of_mine/__init__.py", "of_mine/part.py"], "not Python")
    code |= dict.fromkeys(["of_mine/weights.bin", "far/away.py", "numpy.txt"], "")
    code["pots/mycalc.py"] = "from pots import near\nfrom . import beside\nimport helper as h, numpy, far.away"
    code["pots/near.py"] = "def later():\n    import of_mine.part"
    code["helper.py"] = "import pots.mycalc"
    for name, text in code.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert set(calculator_files({"calculator": "pots.mycalc.Mine"})) == code.keys() - {"pots/other.py", "numpy.txt"}


def test_an_environment_rests_on_what_its_requirements_include(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packages = [
        "-e ./mine[gpu]",
        "x @ file:wheels/x.whl ; python_version < '4'",
        "--find-links ./found",
        "# ./commented",
    ]
    named = dict.fromkeys(
        ["req/pins/lock.txt", "mine/pyproject.toml", "mine/mine.py", "wheels/x.whl", "packed.zip"], ""
    )
    named["req/m.txt"] = "\n".join(["-r base.txt  # more", "--constraint=pins/lock.txt", *packages, "ase==3.29"])
    named["req/base.txt"] = "-rm.txt\n./packed.zip"
    others = ["found/other.whl", "commented/a.py", "mine/build/mine.py", "mine/mine.egg-info/PKG-INFO", "mine/fast.so"]
    for name, text in [*named.items(), *((name, "") for name in others)]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    variant = {"calculator": "ase.calculators.emt.EMT", "environment": "req/m.txt"}
    assert set(calculator_files(variant)) == named.keys()
    before = content_of("req/m.txt")
    for name in named.keys() - {"req/m.txt"}:
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text + "# changed")
        assert content_of("req/m.txt") != before, name
        (tmp_path / name).write_text(text)
    assert content_of("req/m.txt") == before
    assert calculator_files(variant | {"environment": sys.executable}) == [sys.executable]


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
