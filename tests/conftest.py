"""What the tests of the report share: made-up results, and the report of them."""

import json
import shutil

import pytest

from shared.report_results import JOBS, make_benchmarks, make_results, write_report


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory):
    return make_benchmarks(tmp_path_factory.mktemp("benchmarks"), JOBS)


@pytest.fixture(scope="module")
def report(results, benchmarks, tmp_path_factory):
    """A folder with the whole report."""
    target = tmp_path_factory.mktemp("report")
    summary = write_report(target, results, benchmarks)
    (target / "summary.json").write_text(json.dumps(summary))
    return target


@pytest.fixture
def copy(results, tmp_path):
    """Results that a test may change."""
    return shutil.copytree(results, tmp_path / "results")
