"""A config is used as it is meant, or refused in one sentence that names the key."""

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from assay.data.kinds import KINDS
from assay.workflow.config import check_config, present
from assay.workflow.errors import AssayError

CONFIG = Path("config/config.yaml")
SCHEMA = Path("config/schema.yaml")


@pytest.fixture
def config():
    return yaml.safe_load(CONFIG.read_text())


def test_default_config_is_accepted_unchanged(config):
    check_config(config, SCHEMA)
    assert config == yaml.safe_load(CONFIG.read_text())


def test_a_round_may_ask_for_a_share_of_every_kind_there_is(config):
    config["distill"]["students"]["tiny"]["recipe"]["rounds"][0]["shares"] = dict.fromkeys(KINDS, 0.5)
    check_config(config, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["devise"], "cpu", ["`devise` is not a known key", "did you mean `device`?"]),
        (["dataset", "trian"], "x.h5", ["`dataset.trian`", "did you mean `train`?"]),
        (["variants", "mine"], {"chekpoint": "m.pt"}, ["`variants.mine.chekpoint`", "`checkpoint`"]),
        (["variants", "mine"], {}, ["`variants.mine`", "lacks the key `checkpoint`"]),
        (["variants", "mine"], "m.pt", ["`variants.mine`", '"m.pt"', "a set of keys or null"]),
        (["variants", "my model"], {"checkpoint": "m.pt"}, ["'my model'", "letters, digits"]),
        (["variants", "report"], {"checkpoint": "m.pt"}, ["'report'", "reserved"]),
        (["variants"], {}, ["`variants`", "at least 1"]),
        (["variants"], {"tiny": None}, ["keep at least one"]),
        (["dataset", "splits"], {"a": None}, ["keep at least one"]),
        (["dataset", "train"], 3, ["`dataset.train`", "is 3", "text"]),
        (["device"], "gpu", ["`device`", '"gpu"', "auto, cpu, cuda"]),
        (["teacher", "calculator"], "EMT", ["`teacher.calculator`", "module.Class"]),
    ],
)
def test_bad_value_is_one_sentence_that_names_it(config, path, value, words):
    holder = config
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    with pytest.raises(AssayError) as caught:
        check_config(config, SCHEMA)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_missing_section_is_named(config):
    del config["teacher"]
    with pytest.raises(AssayError, match="lacks the key `teacher`"):
        check_config(config, SCHEMA)


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("1e-4", 1e-4), ("0.5", 0.5), ("true", True), ("null", None)])
def test_text_from_the_command_line_is_read_as_the_scalar_it_spells(tmp_path, text, value):
    kinds = {int: "integer", float: "number", bool: "boolean", type(None): "null"}
    schema = tmp_path / "schema.yaml"
    section = {"type": "object", "properties": {"key": {"type": kinds[type(value)]}}}
    properties = {"section": section, "variants": {}, "dataset": {}}
    schema.write_text(yaml.safe_dump({"type": "object", "additionalProperties": False, "properties": properties}))
    config = {"section": {"key": text}, "variants": {"a": {}}, "dataset": {"splits": {"a": "b"}}}
    check_config(config, schema)
    assert config["section"]["key"] == value
    assert type(config["section"]["key"]) is type(value)
    config["section"]["key"] = "many"
    with pytest.raises(AssayError, match=r'`section\.key` is "many"'):
        check_config(config, schema)


def test_null_leaves_an_entry_out(config):
    config["variants"]["original"] = None
    config["variants"]["tiny"] = "null"
    config["dataset"]["splits"] |= {"seen_molecules": None, "larger_molecules": "null", "new_molecules": None}
    check_config(config, SCHEMA)
    assert set(present(config["variants"])) == {"ultra_tiny"}
    assert set(present(config["dataset"]["splits"])) == {"unseen_molecules"}


def test_every_key_of_the_default_config_is_commented():
    lines = CONFIG.read_text().splitlines()
    uncommented = [
        line
        for above, line in pairwise(lines)
        if line[:1].isalpha() and not above.startswith("#") and line not in {"dataset:"}
    ]
    assert uncommented == []
