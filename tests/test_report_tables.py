"""Tables, Markdown and the summary of the report say the same as its page."""

import csv
import json
import re

import pytest

from assay.report import wording
from assay.report.evidence import Student
from assay.report.speed import teachers_timed
from shared.report_results import STUDENTS, write_report


def test_comparison_has_a_row_per_student_and_empty_cells_for_what_is_unknown(copy, benchmarks, tmp_path):
    (copy / "tiny/accuracy.json").unlink()
    write_report(tmp_path / "report", copy, benchmarks)
    with (tmp_path / "report/comparison.csv").open() as handle:
        rows = {row["variant"]: row for row in csv.DictReader(handle)}
    assert list(rows) == list(STUDENTS)
    assert rows["tiny"]["force_accuracy"] == ""
    assert float(rows["original"]["larger_molecules_force_accuracy"]) == pytest.approx(1 - 0.03 * 1.3)
    assert rows["ultra_tiny"]["failed_checks"] == "nve_drift"
    assert int(rows["original"]["file_size_bytes_int8"]) == int(427_292 * 1.6)


def test_summary_knows_its_data_and_checkpoints(report):
    summary = json.loads((report / "summary.json").read_text())
    assert re.fullmatch(r"[0-9a-f]{64}", summary["data"]["unseen_molecules"]["sha256"])
    assert summary["schema_version"] == 1
    assert all(variant["checkpoint_sha256"] for variant in summary["variants"].values())


def test_page_markdown_and_tables_say_the_same(report):
    summary = json.loads((report / "summary.json").read_text())
    texts = [(report / name).read_text() for name in ("report.html", "report.md")]
    said = [row["reason"] for row in summary["choices"]] + [row["shown"] for row in summary["targets"]]
    said += [wording.percent(variant["force_accuracy"]) for variant in summary["variants"].values()]
    said += [wording.count(variant["n_parameters"]) for variant in summary["variants"].values()]
    for text in texts:
        assert [words for words in said if words not in text] == []
    assert "| nve drift |" in texts[1]
    with (report / "comparison.csv").open() as handle:
        rows = {row["variant"]: row for row in csv.DictReader(handle)}
    for name, variant in summary["variants"].items():
        plain = {key: value for key, value in variant.items() if isinstance(value, int | float) and value is not True}
        assert {key: float(rows[name][key]) for key in plain} == pytest.approx(plain)
        for split, values in variant["splits"].items():
            assert rows[name][f"{split}_labelled_by"] == (values.pop("labelled_by") or "")
            assert {key: float(rows[name][f"{split}_{key}"]) for key in values} == pytest.approx(values)


def test_calculator_has_a_row_everywhere_and_a_reason_where_a_branch_is_not_applicable(copy, benchmarks, tmp_path):
    reason = "an ASE calculator runs code of its own"
    assert (copy / "tiny/export.json").is_file() and list((copy / "tiny").glob("*.onnx")), "those of a former network"
    about = {"calculator": "emt.EMT", "arguments": {"asap_cutoff": True}, "n_parameters": None}
    about |= {"environment": {"path": "emt.txt", "versions": {"ase": "3.29.0"}}}
    about["not_applicable"] = dict.fromkeys(("engine", "export", "quantization", "package"), reason)
    card = json.loads((copy / "tiny/model.json").read_text())
    (copy / "tiny/model.json").write_text(json.dumps(card | about))
    summary = write_report(tmp_path, copy, benchmarks)
    assert summary["variants"]["tiny"]["not_applicable"] == {"export": reason, "quantization": reason}
    verdicts = {row["name"]: row["verdict"] for row in summary["targets"] if row["variant"] == "tiny"}
    assert [name for name, verdict in verdicts.items() if verdict == "not applicable"] == [
        "Files verified",
        "INT8 pays",
    ]
    page = (tmp_path / "report.html").read_text()
    rows = [row for row in re.findall(r"<tr>.*?</tr>", page, re.S) if reason in row and "tiny" in row]
    assert len(rows) == 5, "the first table, two targets, files, INT8"
    assert page.count(f"not applicable: {reason}") == 3, "engine, files, INT8"
    assert "emt.EMT" in page and "asap_cutoff True" in page
    assert "not applicable" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(("own", "labels", "listed"), [(True, None, 1), (None, "Teacher", 1), (None, "other", 0)])
def test_a_teacher_is_listed_where_its_error_is_zero_by_definition(tmp_path, own, labels, listed):
    """Its time is the median of the benchmarks of all students."""
    row = {"system_size": 16, "batch_size": 1, "n_atoms": 16, "latency_ms_median": 2.0}

    def student(name, latency_ms):
        teacher = {"name": "Teacher", "own": own}
        teacher["rows"] = [{**row, "call": "teacher", "latency_ms_median": latency_ms}]
        results = {"benchmark": {"rows": [{**row, "runtime": "calculator"}], "teacher": teacher}}
        results["accuracy"] = {"splits": {"crystals": {"labelled_by": {"name": labels}}}}
        return Student(name, tmp_path, results)

    students = [student("mine", 9.0), student("yours", 2.0), student("ours", 7.0)]
    assert teachers_timed(students) == ({"Teacher": 7.0} if listed else {})
