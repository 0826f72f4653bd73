"""Each value of a config is used as it is meant, or refused in one sentence that names the key."""

import copy
import sys
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.data.kinds import KINDS
from assay.workflow.config import check_config
from assay.workflow.errors import AssayError
from shared.default_config import DEFAULT, FREE, paths

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
        (
            ["variants", "mine"],
            {"checkpoint": "results/x/../mine/model.safetensors"},
            ["`variants`", "is one of mine: copy it to another folder"],
        ),
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
        (["benchmark", "seconds"], float("inf"), ["`benchmark.seconds`", "Infinity", "a finite number"]),
        (["quantize", "structures"], 10, ["`quantize.structures`", "at least 32"]),
        (["peers", "targets", "mac"], 3.0, ["'mac' cannot be a name in `peers.targets`", "did you mean `mace`?"]),
        (["export", "tolerances", "speed"], {}, ["`export.tolerances`", "known names are default, model.assay,"]),
        (["physics", "exports", "files"], ["model.onx"], ["`physics.exports.files.0`", "one of model.onnx, "]),
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
