"""The files of the config are complete, can be read by people, and have the schema of the models."""

import json
import re
from itertools import pairwise

import pytest
import yaml

from assay.workflow.config import FILES
from assay.workflow.config_models.whole import Config
from assay.workflow.config_schema import editor_schema, keys_at
from shared.default_config import DEFAULT, FOLDER, paths


def test_no_key_stands_in_two_files():
    files = [{path for path in paths(yaml.safe_load((FOLDER / name).read_text())) if len(path) > 1} for name in FILES]
    assert all(one.isdisjoint(other) for one, other in zip(files, [*files[1:], files[0]], strict=True))


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
