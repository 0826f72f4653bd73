"""docs/checkpoints.md lists every form that is accepted or refused, each with the test that proves it."""

import re
from pathlib import Path

from shared.checkpoint_forms import AVERAGES, CONFIGS, CONTAINERS, NESTINGS
from shared.checkpoint_refusals import REFUSED

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs/checkpoints.md"
CASES = {
    "test_container": CONTAINERS,
    "test_nesting": NESTINGS,
    "test_average_is_preferred_and_said": AVERAGES,
    "test_config_under_other_names": CONFIGS,
    "test_refused": REFUSED,
}


def test_every_form_in_the_docs_has_its_test_and_every_case_its_row():
    rows = re.findall(r"^\| .* \| `(test_\w+)(?:\[(\w+)\])?` \|$", DOCS.read_text(), re.MULTILINE)
    proofs = "".join((TESTS / name).read_text() for name in ("test_checkpoints.py", "test_checkpoints_refused.py"))
    for test, case in rows:
        assert f"def {test}(" in proofs, test
        assert not case or case in CASES[test], case
    for test, cases in CASES.items():
        assert set(cases) == {case for name, case in rows if name == test}, test
