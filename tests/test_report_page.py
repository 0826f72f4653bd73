"""The page says what was measured, says so where nothing was, and is one file."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from assay.accuracy.training_data import unknown
from assay.report import wording
from assay.report.evidence import BRANCHES
from assay.report.gpu_earlier import read_earlier_gpu
from assay.report.page import headline, write_markdown, write_page
from assay.workflow.errors import AssayError
from assay.workflow.files import sha256_file
from shared.gpu_records import speed_pieces, write_record
from shared.report_figures import draw_student
from shared.report_results import CHECKS, SPLITS, STUDENTS, cells, change, read, write_report


def test_the_page_names_the_confidence_of_its_intervals_and_has_a_dash_where_there_is_none(copy, benchmarks, tmp_path):
    def edit(content):
        content["settings"] = {"confidence": 0.9}
        content["splits"]["unseen_molecules"]["confidence_intervals"]["force_accuracy"] = [None, None]

    change(copy, "accuracy", edit)
    write_report(tmp_path / "report", copy, benchmarks)
    page = (tmp_path / "report/report.html").read_text()
    assert '<th class="n">90&#8239;% interval</th>' in page and '<td class="n">–</td>' in page


def test_times_on_a_gpu_stand_in_the_page_as_measured_earlier(copy, benchmarks, tmp_path):
    """Only of the students that are shipped, and where this run has no GPU."""
    shipped = {name: tmp_path / f"{name}.pt" for name in STUDENTS}
    for name in ("original", "tiny"):
        shipped[name].write_text(f"the checkpoint {name}")
    for name, path in shipped.items():
        content = json.loads((copy / name / "model.json").read_text())
        content["source"]["sha256"] = sha256_file(path) if name == "tiny" else "ef" * 32
        (copy / name / "model.json").write_text(json.dumps(content))
    students = read(copy)
    record = write_record(tmp_path / "speed.json", speed_pieces())
    assert read_earlier_gpu([], students, shipped, "cpu") is None
    assert read_earlier_gpu([record], students, shipped, "cuda") is None
    assert read_earlier_gpu([record], students, {}, "cpu") is None
    dry = write_record(tmp_path / "dry.json", speed_pieces(), dry=True)
    assert read_earlier_gpu([dry], students, shipped, "cpu") is None
    summary = write_report(tmp_path / "report", copy, benchmarks)
    assert "On a GPU" not in (tmp_path / "report/report.html").read_text()
    summary["earlier_gpu"] = read_earlier_gpu([record], students, shipped, summary["device"])
    write_page(tmp_path / "report.html", summary, students, [])
    page = (tmp_path / "report.html").read_text()
    assert cells(page, "gpu") == [["tiny", "1.12", "1.58", "35.4"]]
    assert "Measured earlier, and not in this run: a GPU, 2026-11-27" in page
    assert "1,024 molecules, 24,910 atoms (microseconds per atom)" in page
    assert Outline(page).misnested == []


class Outline(HTMLParser):
    """Tags with their attributes, and whether each element is closed where it should be."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.misnested = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.misnested.append(tag)


def test_complete_results_leave_nothing_unmeasured(report):
    text = (report / "report.html").read_text()
    assert wording.NOT_MEASURED not in text
    assert wording.NOT_MEASURED not in (report / "report.md").read_text()


@pytest.mark.parametrize("branch", BRANCHES[1:])
def test_missing_branch_is_said_to_be_not_measured_and_is_never_zero(copy, benchmarks, tmp_path, branch):
    for name in STUDENTS:
        (copy / name / f"{branch}.json").unlink()
    summary = write_report(tmp_path / "report", copy, benchmarks)
    text = (tmp_path / "report/report.html").read_text()
    assert f"no <code>{branch}.json</code> was made" in text or branch == "accuracy"
    assert wording.NOT_MEASURED in text
    values = [v for variant in summary["variants"].values() for v in variant.values()]
    assert 0 not in [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]


def test_branch_of_one_student_may_be_missing(copy, benchmarks, tmp_path):
    (copy / "tiny/physics.json").unlink()
    (copy / "original/benchmark.json").unlink()
    summary = write_report(tmp_path / "report", copy, benchmarks)
    assert summary["variants"]["tiny"]["verdict"] is None
    assert summary["variants"]["original"]["latency_ms_batch1"] is None
    assert summary["variants"]["ultra_tiny"]["latency_ms_batch1"] > 0


def test_model_alone_makes_a_report(copy, tmp_path):
    for name in STUDENTS:
        for path in [*(copy / name).glob("*.onnx"), *(copy / name).glob("*.xyz")]:
            path.unlink()
        for branch in BRANCHES[1:]:
            (copy / name / f"{branch}.json").unlink()
    summary = write_report(tmp_path / "report", copy, tmp_path / "nowhere")
    assert {target["verdict"] for target in summary["targets"]} == {"not measured"}
    assert {choice["variant"] for choice in summary["choices"]} == {None}
    assert headline(summary) == "Physics was not measured; 0 of 16 targets met, 16 not measured"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("md-ready", "The student is ready for molecular dynamics"),
        ("screening-only", "The student is fit for screening only"),
        ("reject", "The student is rejected by physics"),
        (None, "Physics was not measured"),
    ],
)
def test_headline_of_one_student_is_its_verdict_in_words(verdict, said):
    targets = [{"verdict": "met"}, {"verdict": "unmet"}]
    assert headline({"variants": {"a": {"verdict": verdict}}, "targets": targets}) == f"{said}; 1 of 2 targets met"


def test_broken_json_is_an_error_that_names_the_file(copy):
    (copy / "tiny/accuracy.json").write_text('{"splits": ')
    with pytest.raises(AssayError, match=r"tiny/accuracy\.json is not valid JSON"):
        read(copy)


def test_page_is_well_formed_and_asks_for_nothing(report):
    outline = Outline((report / "report.html").read_text())
    assert outline.misnested == []
    assert outline.open == []
    addresses = [a[key] for _, a in outline.tags for key in ("src", "href", "action", "srcset", "data") if key in a]
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    names = [a["id"] for _, a in outline.tags if "id" in a]
    assert len(names) == len(set(names))
    assert {a["href"][1:] for tag, a in outline.tags if tag == "a"} <= set(names)
    assert all(a.get("alt") for tag, a in outline.tags if tag == "img")
    assert all(a.get("aria-label") for tag, a in outline.tags if tag == "svg")


@pytest.mark.slow
def test_page_with_every_figure_of_every_student_stays_small(copy, benchmarks, tmp_path):
    draw_student(copy / "tiny", json.loads((copy / "tiny/benchmark.json").read_text()))
    for other in ("original", "ultra_tiny"):
        shutil.copy(copy / "tiny/benchmark.svg", copy / other)
        shutil.copytree(copy / "tiny/figures", copy / other / "figures", dirs_exist_ok=True)
    write_report(tmp_path / "report", copy, benchmarks)
    page = tmp_path / "report/report.html"
    assert page.read_text().count("<img ") == 3 * 13
    assert page.stat().st_size < 3_000_000


def test_texts_from_results_cannot_become_markup(copy, benchmarks, tmp_path):
    evil = "</script><script>alert(1)</script>"

    def spoil(content):
        content["checks"]["nve_drift"]["message"] = evil

    def rename(content):
        content["splits"]["unseen_molecules"]["worst"][0]["name"] = evil

    change(copy, "physics", spoil)
    change(copy, "accuracy", rename)
    write_report(tmp_path / "report", copy, benchmarks)
    outline = Outline((tmp_path / "report/report.html").read_text())
    assert [tag for tag, _ in outline.tags].count("script") == 2
    assert outline.misnested == []


def test_every_check_of_every_student_has_its_outcome(report):
    text = (report / "report.html").read_text()
    table = re.search(r'<table class="checks">.*?</table>', text, re.S).group()
    for check in CHECKS:
        row = next(row for row in table.split("<tr>") if f'"row">{wording.words(check)}<' in row)
        assert row.count('class="verdict') == len(STUDENTS)
    assert table.count("energy spread eV is 0.0032, above 1e-05") == 1


def test_flag_for_unlike_structures_has_its_worth(report):
    text = (report / "report.html").read_text()
    rows = cells(text, "flags")
    assert len(rows) == len(STUDENTS) * len(SPLITS)
    assert rows[0] == [
        "original",
        "seen molecules",
        "0.0\u202f%",
        "0.0\u202f%",
        "–",
        "0.0240",
        "–",
        "not known",
        "not known",
    ]
    assert rows[2] == [
        "",
        "larger molecules",
        "20.0\u202f%",
        "10.0\u202f%",
        "0.0624",
        "0.0312",
        "2.0",
        "not known",
        "not known",
    ]
    assert cells(text, "coverage") == [
        ["N", "1,234", "17", "3", "N bonded to C, C, H (800); N bonded to C, H, H (400)"]
    ]
    assert text.count("Structures are compared with 38,464 of 283,301 training structures.") == len(STUDENTS)
    assert "What 38,464 of 283,301 training structures cover" in text
    assert text.count("against how unlike the training data a structure is") == 2 * len(STUDENTS)


def test_student_of_unknown_training_data_flags_nothing_and_says_so(copy, benchmarks, tmp_path):
    path = copy / "tiny/accuracy.json"
    content = json.loads(path.read_text())
    data = unknown("there is no record of the training of tiny.pt")
    content |= {"training_data": data.record, "coverage": {}}
    for split in content["splits"].values():
        split["domain"] = None
    path.write_text(json.dumps(content))
    write_report(tmp_path / "report", copy, benchmarks)
    text = (tmp_path / "report/report.html").read_text()
    assert text.count(f"tiny: {data.sentence}") == 1
    assert {row[0] for row in cells(text, "flags")} == {"original", "ultra_tiny", ""}
    assert len(cells(text, "coverage")) == 1


def test_what_was_decided_about_a_checkpoint_stands_with_its_student(copy, benchmarks, tmp_path):
    change(copy, "model", lambda content: content.update(doubts=["tiny.pt holds tensors without the settings."]))
    write_report(tmp_path / "report", copy, benchmarks)
    page = (tmp_path / "report/report.html").read_text()
    assert page.count("<dt>caution</dt><dd>tiny.pt holds tensors without the settings.</dd>") == len(STUDENTS)


def test_training_is_told_in_steps(report):
    page = (report / "report.html").read_text()
    assert "2,000 steps on 9,000, then 16,802 structures" in page and "010101010101, then 232323232323" in page
    assert "on a GPU, then a processor, seed 0" in page


@pytest.mark.parametrize("missing", ["curve", "data_sets", "hours", "devices", "recipe", "all"])
def test_a_record_that_tells_of_the_teacher_alone_is_no_training(copy, benchmarks, tmp_path, missing):
    path = copy / "tiny.training.json"
    record = {"teacher": {"name": "DFT"}} | ({} if missing == "all" else json.loads(path.read_text()))
    record.pop(missing, None)
    path.write_text(json.dumps(record))
    change(copy, "model", lambda content: content["source"].update(path=str(copy / f"{content['variant']}.pt")))
    write_report(tmp_path / "report", copy, benchmarks)
    page = (tmp_path / "report/report.html").read_text()
    assert page.count("2,000 steps on 9,000, then 16,802 structures") == len(STUDENTS) - 1


def test_learning_curve_says_when_it_was_judged_on_other_structures(copy, benchmarks, tmp_path):
    path = copy / "tiny.training.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"validation": "up to step 500 the first 496 structures"})
    )
    change(copy, "model", lambda content: content["source"].update(path=str(copy / f"{content['variant']}.pt")))
    write_report(tmp_path / "report", copy, benchmarks)
    text = (tmp_path / "report/report.html").read_text()
    assert text.count("was not judged on the same structures throughout") == 1
    assert "is not learning alone: up to step 500 the first 496 structures." in text


def test_errors_without_the_flag_are_shown_without_it(copy, benchmarks, tmp_path):
    def forget(content):
        del content["coverage"]
        for split in content["splits"].values():
            del split["domain"]

    change(copy, "accuracy", forget)
    write_report(tmp_path / "report", copy, benchmarks)
    text = (tmp_path / "report/report.html").read_text()
    assert "Structures unlike the training data" not in text
    assert wording.NOT_MEASURED not in text


def test_files_have_their_own_physics_and_missing_ones_their_reason(report):
    text = (report / "report.html").read_text()
    section = re.search(r'<section class="card" id="files">.*?</section>', text, re.S).group()
    row = next(row for row in section.split("<tr>") if "<code>model.int8.onnx" in row)
    assert 'bad">reject' in row
    assert "rotation" in row and "compared with labels" in row
    assert section.count("not made: there is no C++ compiler on this machine") == len(STUDENTS)


def test_busy_machine_is_said(report):
    text = (report / "report.html").read_text()
    assert "Other processes used the processor meanwhile (20\u202f% of it while original was timed, 20" in text
    assert "Timed beside other work, which used up to 20\u202f% of the processor." in text


def test_quiet_machine_needs_no_word(copy, benchmarks, tmp_path):
    change(copy, "benchmark", lambda content: content.update(load_of_other_processes=0.03))
    write_report(tmp_path / "report", copy, benchmarks)
    text = (tmp_path / "report/report.html").read_text()
    assert "Other processes used" not in text and "Timed beside other work" not in text


def test_first_screen_tells_units_and_what_is_suspicious_of_labels(copy, benchmarks, tmp_path):
    def doubt(content):
        for labels in (split["labels"] for split in content["splits"].values()):
            labels |= {"energy_unit": "hartree", "suspicions": ["energies look like hartree"]}
            labels["outliers"] = [{"name": "frame-7", "number": 7, "reason": "forces off"}]

    write_report(tmp_path / "sound", copy, benchmarks)
    change(copy, "accuracy", doubt)
    write_report(tmp_path / "doubted", copy, benchmarks)
    sound, doubted = ((tmp_path / name / "report.html").read_text() for name in ("sound", "doubted"))
    assert "energies are taken for eV; forces are taken for eV/angstrom" in sound and "suspicious" not in sound
    first = doubted[doubted.index("<h2>Targets</h2>") : doubted.index("<section", doubted.index("<h2>Labels</h2>"))]
    assert "energies are taken for hartree" in first and "energies look like hartree" in first and "frame-7" in first
    assert re.search(r"<h1>.*the labels of .* are suspicious", doubted)


def test_a_split_that_was_drawn_from_says_of_how_many(report):
    page = (report / "report.html").read_text()
    shown = re.findall(r'<td class="n">(400(?: of 1,044)?)</td>', page)
    assert (shown.count("400"), shown.count("400 of 1,044")) == (len(STUDENTS), len(STUDENTS) * (len(SPLITS) - 1))


def test_markdown_tables_have_even_rows_whatever_a_teacher_is_called(report, tmp_path):
    summary = json.loads((report / "summary.json").read_text())
    write_markdown(tmp_path / "report.md", summary | {"teachers_timed": {"PBE|D3": 9.0}})
    text = (tmp_path / "report.md").read_text()
    tables = re.findall(r"(?:^\|.*\n)+", text, re.M)
    assert len(tables) == 4 and r"| PBE\|D3 | teacher |" in text
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
