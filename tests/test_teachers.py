"""A student is held against its own teacher, and against no other: its reference, its labels and its speed."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.physics.checks import CHECKS, measure
from assay.physics.reference import Reference, read_reference, reference_of, write_reference
from assay.physics.verdict import table, verdict_of
from assay.report.evidence import read_students
from assay.sampling.teacher import Labels, Teacher
from assay.workflow.config import complete_config, load_config
from assay.workflow.errors import AssayError
from assay.workflow.files import sha256_file
from assay.workflow.teachers import labelled_by, same_teacher, teacher_beside, teacher_of, whose_labels
from shared.physics_toys import TEACHER, THRESHOLDS, predictor, subject, toy_reference
from shared.report_results import STUDENTS, change, make_benchmarks, make_results, write_report
from shared.workflow_copy import ROOT

CONFIGURED = load_config(ROOT / "config")["teacher"]
AGAINST_A_TEACHER = {name for name, check in CHECKS.items() if check.against_teacher}
QUICK = ["batch", "net_force", "torsions", "conformers", "tautomers", "dimer_curves"]


def test_the_teacher_of_a_student_is_stated_recorded_or_unknown(tmp_path):
    mine = {"checkpoint": str(tmp_path / "mine.pt")}
    assert teacher_of(mine, CONFIGURED) == {"name": None, "calculator": None, "arguments": {}, "environment": None}
    (tmp_path / "mine.training.json").write_text(json.dumps({"teacher": {"name": "gfn2-xtb"}}))
    recorded = teacher_of(mine, CONFIGURED)
    assert (recorded["name"], recorded["calculator"]) == ("gfn2-xtb", CONFIGURED["calculator"])
    assert recorded["arguments"] == CONFIGURED["arguments"] != {}
    stated = teacher_of(mine | {"teacher": "CHGNet"}, CONFIGURED)
    assert stated == {"name": "CHGNet", "calculator": None, "arguments": {}, "environment": None}
    own = {"name": "LJ", "calculator": "ase.calculators.lj.LennardJones"}
    assert teacher_of(mine | {"teacher": own}, CONFIGURED) == own | {"arguments": {}, "environment": None}


def test_time_limit_and_vacuum_reach_the_process_of_a_teacher():
    limits = {"time_limit_s": 7200.0, "vacuum_A": 12.0}
    slow = {"name": "EMT", "calculator": "ase.calculators.emt.EMT", "arguments": {}, **limits}
    own = {"data": {"structures": "my.xyz", "teacher": slow}, "students": {"small": {"parameters": 77_000}}}
    for given in (own, {"teacher": slow}, {"variants": {"small": {"checkpoint": "a.pt", "teacher": slow}}}):
        config = complete_config(given, ROOT / "config")
        variant = config["variants"].get("small", {"teacher": "EMT"})
        stated = teacher_of(variant, config["teacher"])
        assert stated == slow | {"environment": None}
        assert Teacher(**stated).process().model.time_limit_s == 7200.0
    assert complete_config({"teacher": {"time_limit_s": 9000}}, ROOT / "config")["teacher"]["name"] == "GFN2-xTB"
    patient, plain = Teacher(**slow), Teacher("EMT", "ase.calculators.emt.EMT")
    assert patient.identity == replace(patient, time_limit_s=1.0).identity != plain.identity
    assert "vacuum_A" not in plain.identity and plain.identity == replace(plain, time_limit_s=1.0).identity
    numbers, positions = np.array([6, 8]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.2]])
    (energy, forces), (padded, same) = (Labels(teacher)(numbers, positions) for teacher in (plain, patient))
    assert padded == pytest.approx(energy) and np.allclose(same, forces)
    cramped = replace(patient, vacuum_A=1.5)
    assert Labels(cramped)(numbers, positions)[0] != pytest.approx(energy, abs=0.1), "its images are near"


@pytest.mark.parametrize("record", ["", "[]", '{"teacher": "GFN2-xTB"}', '{"teacher": {"name": 7}}'])
def test_a_record_that_does_not_tell_is_no_teacher(tmp_path, record):
    (tmp_path / "mine.training.json").write_text(record)
    assert teacher_of({"checkpoint": str(tmp_path / "mine.pt")}, CONFIGURED)["name"] is None


def test_a_file_of_a_students_folder_has_the_teacher_of_its_checkpoint(tmp_path):
    assert teacher_beside(ROOT / "data/checkpoints/tiny.pt") == "GFN2-xTB"
    (tmp_path / "model.json").write_text(json.dumps({"source": {"path": str(ROOT / "data/checkpoints/tiny.pt")}}))
    assert teacher_beside(tmp_path / "model.onnx") == "GFN2-xTB"
    assert teacher_beside(tmp_path.parent / "model.onnx") is None


def test_labels_are_those_of_the_dataset_only_if_the_file_is_its():
    assert labelled_by(ROOT / "data/dataset/unseen_molecules.h5") == "GFN2-xTB"
    assert labelled_by(ROOT / "data/dataset/driver.pt") is None


def test_another_file_of_the_same_name_has_unknown_labels(tmp_path):
    (tmp_path / "mine.h5").write_bytes(b"mine")
    record = {"teacher": {"name": "CHGNet"}, "parts": {"mine": {"file_sha256": sha256_file(tmp_path / "mine.h5")}}}
    (tmp_path / "dataset.json").write_text(json.dumps(record))
    assert labelled_by(tmp_path / "mine.h5") == labelled_by({"path": str(tmp_path / "mine.h5")}) == "CHGNet"
    assert labelled_by({"path": str(tmp_path / "mine.h5"), "teacher": "r2SCAN"}) == "r2SCAN"
    (tmp_path / "mine.h5").write_bytes(b"other")
    assert labelled_by(tmp_path / "mine.h5") is None


def test_names_of_teachers_are_known_or_match_nothing():
    assert same_teacher("GFN2-xTB", "gfn2-xtb ") and not same_teacher("GFN2-xTB", "GFN1-xTB")
    assert not same_teacher(None, None)
    assert [whose_labels(*names)["own"] for names in (("A", "a"), ("A", "B"), (None, "B"), ("A", None))] == [
        True,
        False,
        None,
        None,
    ]


def test_the_shipped_reference_says_whose_it_is():
    assert read_reference(ROOT / "data/physics/reference.xyz.gz").teacher == "GFN2-xTB"


def test_the_reference_of_the_students_teacher_is_taken_and_else_the_first(tmp_path):
    frames = toy_reference().frames[:3]
    for name in ("A", "B"):
        write_reference(tmp_path / f"{name}.xyz", frames, name)
    files = [tmp_path / "A.xyz", tmp_path / "B.xyz"]
    assert [reference_of(files, name).teacher for name in ("b", "C", None)] == ["B", "A", "A"]
    (tmp_path / "both.xyz").write_text("".join(file.read_text() for file in files))
    with pytest.raises(AssayError, match=r"labels of several teachers \(A and B\)"):
        read_reference(tmp_path / "both.xyz")


@pytest.fixture(scope="module")
def of_another_teacher():
    """What the checks say of a faultless student whose teacher made no reference."""
    student = subject(predictor(), moving=predictor(dtype=torch.float32))
    return verdict_of(measure(replace(student, teacher="CHGNet")), THRESHOLDS)


def test_no_check_compares_a_student_with_the_wrong_teacher(of_another_teacher):
    assert (
        set(of_another_teacher["without_reference"]) == AGAINST_A_TEACHER == set(of_another_teacher["not_applicable"])
    )
    for name in AGAINST_A_TEACHER:
        check = of_another_teacher["checks"][name]
        assert check["message"].startswith("no reference of CHGNet: make one with `snakemake physics_reference`")
        assert check["raw"] == {} and {row["value"] for row in check["criteria"]} == {None}
    assert TEACHER not in json.dumps(of_another_teacher)


def test_a_missing_reference_caps_the_verdict_and_says_on_what_it_rests(of_another_teacher):
    n_all, n_without = len(CHECKS), len(AGAINST_A_TEACHER)
    assert (of_another_teacher["verdict"], of_another_teacher["failed"]) == ("screening-only", [])
    assert of_another_teacher["rests_on"] == {"judged": n_all - n_without, "of": n_all}
    assert f"{n_without} checks could not be judged: no reference of CHGNet" in of_another_teacher["capped"]
    said = table(of_another_teacher)
    assert f"rests on {n_all - n_without} of {n_all} checks" in said and of_another_teacher["capped"] in said


def test_an_unknown_teacher_is_no_teacher():
    judged = verdict_of(measure(replace(subject(predictor()), teacher=None), QUICK), THRESHOLDS)
    assert judged["verdict"] == "screening-only" and "teacher is unknown" in judged["capped"]


def test_a_fault_counts_more_than_a_missing_reference():
    bad = measure(replace(subject(predictor()), teacher="CHGNet"), QUICK)
    bad["batch"]["values"]["energy_spread_eV"] = 1.0
    assert verdict_of(bad, THRESHOLDS)["verdict"] == "reject"


def test_what_the_structures_do_not_have_caps_nothing():
    own = subject(predictor())
    rigid = Reference([f for f in own.reference.frames if f.kind not in ("torsion", "tautomer")], TEACHER)
    judged = verdict_of(measure(replace(own, reference=rigid), QUICK), THRESHOLDS)
    assert (judged["not_applicable"], judged["without_reference"]) == (["torsions", "tautomers"], [])
    assert (judged["verdict"], judged["capped"]) == ("md-ready", None)
    assert judged["rests_on"] == {"judged": 4, "of": 6}


def test_elements_that_the_reference_lacks_are_a_missing_reference():
    student = predictor()
    student.elements = frozenset({1, 7, 9})
    judged = verdict_of(measure(replace(subject(student), reference=toy_reference()), ["dimer_curves"]), THRESHOLDS)
    assert judged["without_reference"] == ["dimer_curves"] and judged["verdict"] == "screening-only"


@pytest.fixture
def results(tmp_path, of_another_teacher):
    """Results of students of CHGNet, judged on splits of GFN2-xTB."""
    folder = make_results(tmp_path / "results")
    foreign = whose_labels("GFN2-xTB", "CHGNet")

    def relabel(content):
        content["teacher"] = "CHGNet"
        for split in content["splits"].values():
            split["labelled_by"] = foreign

    def untimed(content):
        content["teacher"] = {"name": None, "own": False, "rows": []}
        for row in content["rows"]:
            row.pop("speedup_over_teacher", None)
            row.pop("speedup_over_restarted_teacher", None)

    change(folder, "accuracy", relabel)
    change(folder, "benchmark", untimed)
    change(folder, "physics", lambda content: content.update(of_another_teacher, teacher="CHGNet"))
    return folder


def test_a_report_holds_nothing_against_the_wrong_teacher(results, tmp_path):
    times, teachers = make_benchmarks(tmp_path, []), dict.fromkeys(STUDENTS, "CHGNet")
    summary = write_report(tmp_path / "report", results, times, teachers=teachers)
    by_name = {(target["name"], target["variant"]): target for target in summary["targets"]}
    for student in STUDENTS:
        accuracy, speed = by_name["Force accuracy", student], by_name["Speed over teacher", student]
        assert (accuracy["verdict"], accuracy["value"]) == (speed["verdict"], speed["value"]) == ("not measured", None)
        assert accuracy["reason"] == "no split is labelled by CHGNet, its teacher"
        assert speed["reason"] == "the config has no calculator of CHGNet, its teacher"
        variant = summary["variants"][student]
        assert (variant["teacher"], variant["headline_split"], variant["force_accuracy"]) == ("CHGNet", None, None)
        assert (variant["verdict"], variant["n_checks_judged"]) == (
            "screening-only",
            len(CHECKS) - len(AGAINST_A_TEACHER),
        )
    assert {choice["variant"] for choice in summary["choices"] if choice["job"] in ("Dynamics", "Least error")} == {
        None
    }
    foreign = whose_labels("GFN2-xTB", "CHGNet")["sentence"]
    for file in ("report.html", "report.md"):
        text = (tmp_path / "report" / file).read_text()
        assert "CHGNet" in text and "GFN2-xTB" not in text.replace(foreign, "")
    page = (tmp_path / "report/report.html").read_text()
    rows = re.findall(r"<tr>.*?</tr>", re.search(r'id="accuracy">.*?</section>', page, re.S).group(), re.S)
    assert sum(foreign in row for row in rows) == sum(len(student.splits) for student in students_of(results))


def students_of(folder):
    return read_students(folder / name for name in STUDENTS)


def test_a_split_of_the_own_teacher_stands_for_the_student(results):
    def own(content):
        content["splits"]["larger_molecules"]["labelled_by"] = whose_labels("CHGNet", "CHGNet")

    change(results, "accuracy", own)
    student = students_of(results)[0]
    assert student.headline_split == "larger_molecules" and student.headline("force_accuracy") is not None
    assert student.doubt_of_labels("larger_molecules") == ""
