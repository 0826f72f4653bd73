"""docs/checkpoints.md lists every form that is accepted or refused, each with the test that proves it."""

import re
from pathlib import Path

import test_checkpoints
import test_checkpoints_refused

DOCS = Path(__file__).parents[1] / "docs/checkpoints.md"
CASES = {
    "test_container": test_checkpoints.CONTAINERS,
    "test_nesting": test_checkpoints.NESTINGS,
    "test_average_is_preferred_and_said": test_checkpoints.AVERAGES,
    "test_config_under_other_names": test_checkpoints.CONFIGS,
    "test_refused": test_checkpoints_refused.REFUSED,
}


def test_every_form_in_the_docs_has_its_test_and_every_case_its_row():
    rows = re.findall(r"^\| .* \| `(test_\w+)(?:\[(\w+)\])?` \|$", DOCS.read_text(), re.MULTILINE)
    for test, case in rows:
        assert hasattr(test_checkpoints, test) or hasattr(test_checkpoints_refused, test), test
        assert not case or case in CASES[test], case
    for test, cases in CASES.items():
        assert set(cases) == {case for name, case in rows if name == test}, test
