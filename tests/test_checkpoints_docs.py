"""The pages of docs/checkpoints/ list every form that is accepted or refused, each with the test that proves it."""

import re
from pathlib import Path

from shared.checkpoint_foreign import FOREIGN, WEIGHT_SETS
from shared.checkpoint_forms import AVERAGES, CONFIGS, CONTAINERS, NESTINGS, NOT_BEGUN
from shared.checkpoint_hostile import READ, REJECTED
from shared.checkpoint_refusals import REFUSED
from shared.checkpoint_strangers import HOSTILE, STRANGERS
from shared.schnetpack_forms import ACTIVATIONS, NETWORKS
from shared.schnetpack_forms import REFUSED as NOT_COMPUTED

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs/checkpoints"
CASES = {
    "test_container": CONTAINERS,
    "test_nesting": NESTINGS,
    "test_average_is_preferred_and_said": AVERAGES,
    "test_average_that_has_not_begun_is_passed_over": NOT_BEGUN,
    "test_config_under_other_names": CONFIGS,
    "test_refused": REFUSED,
    "test_foreign_objects_beside_weights": FOREIGN,
    "test_the_user_chooses_among_sets_of_weights": WEIGHT_SETS,
    "test_read_as_data": READ,
    "test_refused_with_a_reason": REJECTED,
    "test_what_others_wrote_is_named": STRANGERS,
    "test_networks_of_schnetpack": NETWORKS,
    "test_activations_of_schnetpack": ACTIVATIONS,
    "test_what_schnetpack_computes_and_assay_does_not": NOT_COMPUTED,
    "test_strangers_that_mean_harm_are_harmless": HOSTILE,
}


def test_every_form_in_the_docs_has_its_test_and_every_case_its_row():
    pages = "".join(path.read_text() for path in DOCS.glob("*.md"))
    rows = re.findall(r"^\| .* \| `(test_\w+)(?:\[(\w+)\])?` \|$", pages, re.MULTILINE)
    proofs = "".join(path.read_text() for path in TESTS.glob("test_checkpoints*.py"))
    for test, case in rows:
        assert f"def {test}(" in proofs, test
        assert not case or case in CASES[test], case
    for test, cases in CASES.items():
        assert set(cases) == {case for name, case in rows if name == test}, test
