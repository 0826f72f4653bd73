"""Each number of the report stands beside its own name: that of another runtime, column or student is found."""

import json

import pytest

from assay.report import wording
from assay.report.choices import recommend
from assay.report.digest import digest
from assay.report.forms import FILES, compared_atoms, forms_of
from assay.report.labels import labels_by_split
from assay.report.speed import busiest, by_runtime, teacher_throughput
from assay.report.summary import common_teacher
from assay.report.targets import judge_targets
from shared.report_results import GOALS, STUDENTS, change, read, write_report


def targets_of(folder, dag=None, **goals):
    students = read(folder)
    rows = judge_targets(students, {s.name: forms_of(s) for s in students}, dag, GOALS.model_copy(update=goals))
    return {(row.name, row.variant): row for row in rows}


def single(folder, student, runtime):
    """The row of ``benchmark.json`` of a runtime, for one structure of 20 atoms."""
    rows = json.loads((folder / student / "benchmark.json").read_text())["rows"]
    [row] = [r for r in rows if (r["runtime"], r["system_size"], r["batch_size"]) == (runtime, 20, 1)]
    return row


@pytest.mark.parametrize(("speedup", "verdict"), [(1.2, "met"), (1.1999, "unmet"), (None, "not measured")])
def test_the_workflow_is_parallel_where_its_jobs_took_longer_than_it(results, speedup, verdict):
    target = targets_of(results, {"parallel_speedup": speedup})["Parallel workflow", None]
    assert (target.value, target.verdict) == (speedup, verdict)
    assert (target.reason is not None) == (speedup is None), "copied files"


def test_what_is_just_as_fast_as_asked_for_meets_at_least_and_not_less_than(results):
    row = single(results, "tiny", "compiled")
    goals = {"speedup_over_teacher": row["speedup_over_restarted_teacher"]["median"]}
    targets = targets_of(results, **goals, latency_ms=row["latency_ms_median"])
    assert targets["Speed over teacher", "tiny"].verdict == "met"
    assert targets["Latency at batch 1", "tiny"].verdict == "unmet"


def test_eight_bits_are_shown_by_size_time_and_error_and_whose_labels_tell_it(copy):
    assert targets_of(copy)["INT8 pays", "tiny"].shown == "0.31× size, 0.62× time, +3.0\u202f%"
    assert targets_of(copy)["INT8 pays", "tiny"].reason == ""
    told = {"own": False, "name": "PBE", "sentence": "labelled by PBE"}
    change(copy, "accuracy", lambda content: content["splits"]["unseen_molecules"].update(labelled_by=told))
    assert targets_of(copy)["INT8 pays", "tiny"].reason == "labelled by PBE"


def test_a_form_has_the_time_of_the_package_and_the_rate_of_the_fastest_runtime(copy):
    def edit(content):
        content["runtimes"] |= {
            "package": {"file": "model.assay", "size_bytes": 9},
            "half": {"file": "model.fp16.onnx", "size_bytes": 9},
        }
        slower = [row | {"runtime": "package"} for row in content["rows"] if row["runtime"] == "eager"]
        half = [row | {"runtime": "half"} for row in content["rows"] if row["runtime"] == "onnx"]
        content["rows"] += [*slower, *half]

    change(copy, "benchmark", edit)
    schemes = {"fp16": {"force_mae_increase_relative": 0.5}}
    change(copy, "quantization", lambda content: content["schemes"].update(schemes))
    student = next(s for s in read(copy) if s.name == "tiny")
    forms = {form.precision: form for form in forms_of(student)}
    own, compiled = single(copy, "tiny", "package"), single(copy, "tiny", "compiled")
    assert (forms["fp32"].runtime, forms["fp32"].latency_ms) == ("package", own["latency_ms_median"])
    assert own["latency_ms_median"] > compiled["latency_ms_median"]
    rates = [row["atoms_per_s"] for row in student.get("benchmark", "rows") if row["runtime"] == "compiled"]
    assert forms["fp32"].atoms_per_s == max(rates) > own["atoms_per_s"]
    assert {name: form.runtime for name, form in forms.items() if name in FILES} == {
        "fp32": "package", "fp16": "half", "int8": "onnx int8",
    }  # fmt: skip
    exact = forms["fp32"].force_mae_eV_per_A
    errors = [forms[name].force_mae_eV_per_A / exact for name in ("fp16", "int8")]
    assert errors == pytest.approx([1.5, 1.03])


def test_a_runtime_has_its_highest_rate_and_the_teacher_that_of_calls_from_scratch(copy):
    def edit(content):
        rows = content["teacher"]["rows"]
        content["teacher"]["rows"] = [r | {"call": "teacher restarted", "latency_ms_median": 1.0} for r in rows] + rows

    change(copy, "benchmark", edit)
    student = next(s for s in read(copy) if s.name == "tiny")
    for row in by_runtime(student):
        every = [r for r in student.get("benchmark", "rows") if r["runtime"] == row["runtime"] and "error" not in r]
        assert row["best"]["atoms_per_s"] == max(r["atoms_per_s"] for r in every if r["system_size"] == 20)
        assert row["single"] == single(copy, "tiny", row["runtime"])
    assert teacher_throughput(student) == pytest.approx(20 / 12e-3)  # 0.6 ms an atom
    change(copy, "benchmark", lambda content: content.update(load_of_other_processes=0.9), ["tiny"])
    assert busiest(read(copy)) == 0.9
    assert compared_atoms([64, 20, 9]) == 20 and compared_atoms([9, 64, 64, 9]) == 9


def test_the_summary_and_the_table_have_each_ratio_under_its_name(copy, tmp_path):
    row = {"name": "s7", "number": 7, "reason": "not finite"}
    gap = {"n_structures": 1, "structures": [row]}
    change(copy, "accuracy", lambda content: content["splits"]["larger_molecules"].update(without_prediction=gap))
    summary = write_report(tmp_path / "report", copy, tmp_path / "nowhere")
    for name in STUDENTS:
        own, timed = summary["variants"][name], single(copy, name, "compiled")
        for key in ("speedup_over_teacher", "speedup_over_restarted_teacher"):
            assert (own[key], own[f"{key}_p5"], own[f"{key}_p95"]) == tuple(timed[key].values())
        assert own["latency_ms_batch1"] == timed["latency_ms_median"] and own["latency_n_atoms"] == 20
        assert [split["n_without_prediction"] for split in own["splits"].values()] == [0, 0, 1]
    assert common_teacher({"a": "PBE", "b": "PBE"}) == "PBE"
    assert common_teacher({"a": "PBE", "b": "PBE0"}) is common_teacher({"a": "PBE", "b": None}) is None


def test_labels_are_told_by_the_student_that_knows_them_best(copy):
    for name, likeness in zip(STUDENTS, (0.2, -0.9, 0.5), strict=True):
        change(copy, "accuracy", lambda c, x=likeness: _relate(c, x), [name])
    assert {row["student"] for row in labels_by_split(read(copy)).values()} == {"tiny"}


def _relate(content, likeness):
    for split in content["splits"].values():
        split["labels"]["force_correlation"] = likeness


def test_the_most_accurate_student_is_called_rejected_where_it_is(copy):
    for verdict, cautioned in (("screening-only", False), ("reject", True)):
        change(copy, "physics", lambda content, own=verdict: content.update(verdict=own))
        students = read(copy)
        found = {choice.job: choice for choice in recommend(students, {s.name: forms_of(s) for s in students})}
        assert found["Least error"].variant == "original"
        assert ("physics rejects it" in found["Least error"].reason) == cautioned


@pytest.mark.parametrize(
    ("size_bytes", "shown"), [(999_400, "999\u202fkB"), (1_000_000, "1.00\u202fMB"), (2_500_000, "2.50\u202fMB")]
)
def test_sizes_of_files_are_in_powers_of_ten(size_bytes, shown):
    assert wording.file_size(size_bytes) == shown


def test_figures_of_the_documentation_are_of_the_same_weights_and_of_each_round(copy, tmp_path):
    [tiny] = [student for student in read(copy) if student.name == "tiny"]
    molecules = [{"largest_bond_change_A": change} for change in (0.1, 0.3, 0.2)]
    endurance = {"n_molecules": 3, "n_survived": 2, "duration_ps": 100.0, "device_name": "a processor"}
    endurance |= {"created_utc": "2026", "settings": {"temperature_K": 300.0}, "molecules": molecules}
    record = json.loads((copy / "tiny.training.json").read_text())
    rounds = [{"steps": 500}, {"steps": 500}, {"steps": 1000}]
    record |= {"recipe": {"rounds": rounds, "seed": 0}, "threads": 2, "processes": 4}
    (copy / "tiny.training.json").write_text(json.dumps(record))
    change(copy, "model", lambda content: content["source"].update(path=str(copy / "tiny.pt")), ["tiny"])
    for weights in (tiny.get("model", "checkpoint_sha256"), "0" * 64):
        (copy / "tiny/endurance.json").write_text(json.dumps(endurance | {"checkpoint_sha256": weights}))
        summary = write_report(tmp_path / "report", copy, tmp_path / "nowhere")
        found = digest(summary, read(copy), tmp_path / "peers.json")["students"]["tiny"]
        told = found["endurance"] and {key: found["endurance"][key] for key in ("n_survived", "largest_bond_change_A")}
        assert told == ({"n_survived": 2, "largest_bond_change_A": 0.3} if weights != "0" * 64 else None)
    assert found["training"]["threads"] == 8
    accuracies = [row["force_accuracy"] for row in found["training"]["rounds"]]
    assert accuracies == [row["force_accuracy"] for row in record["curve"]]
