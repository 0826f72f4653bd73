"""What tests share: made-up results with the report of them, labelled molecules, and those of the dataset.

Fixtures import what they need, since every process of pytest reads this file and few ask for a report or for molecules.
"""

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    from shared.report_results import make_results

    return make_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory):
    from shared.report_results import JOBS, make_benchmarks

    return make_benchmarks(tmp_path_factory.mktemp("benchmarks"), JOBS)


@pytest.fixture(scope="module")
def report(results, benchmarks, tmp_path_factory):
    """A folder with the whole report."""
    from shared.report_results import write_report

    target = tmp_path_factory.mktemp("report")
    summary = write_report(target, results, benchmarks)
    (target / "summary.json").write_text(json.dumps(summary))
    return target


@pytest.fixture
def copy(results, tmp_path):
    """Results that a test may change."""
    return shutil.copytree(results, tmp_path / "results")


@pytest.fixture(scope="session")
def shipped():
    """The molecules that the dataset is made of, by split."""
    from assay.sampling.molecules import read_molecules

    return read_molecules(Path(__file__).parents[1] / "data/molecules/molecules.csv")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """The path of a file of labelled molecules."""
    from shared.molecules import molecules, write

    return write(tmp_path_factory.mktemp("labelled") / "my.xyz", molecules(60))


@pytest.fixture(scope="module")
def sound():
    """Sound labels of molecules, and the errors of a student beside them."""
    from shared.label_mistakes import labelled, of_student

    dataset = labelled()
    return dataset, of_student(dataset)


@pytest.fixture(scope="module")
def cases():
    """What exported files are judged on, without a cell and periodic."""
    from shared.export_students import make_cases

    return make_cases()
