"""The report says what was measured, says so where nothing was, and is one file."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from assay.accuracy.training_data import unknown
from assay.engines.table import FAILS, PASSES, TOO_SHORT
from assay.report import wording
from assay.report.engines import read_engines
from assay.report.evidence import BRANCHES, Student
from assay.report.gpu_earlier import read_earlier_gpu
from assay.report.page import headline, write_markdown, write_page
from assay.report.peers import read_peers
from assay.report.speed import teachers_timed
from assay.workflow.errors import AssayError
from assay.workflow.files import sha256_file
from shared.gpu_records import speed_pieces, write_record
from shared.report_figures import draw_student
from shared.report_results import (
    CHECKS,
    SPLITS,
    STUDENTS,
    cells,
    change,
    read,
    write_report,
)

PEER = {"name": "Peer", "version": "1.0", "n_parameters": 77_000}


def peers_json(folder, checkpoint_sha256):
    """A made-up result of `snakemake peers` about one student."""
    common = {"n_atoms": 20, "batch_size": 1, "runtime": "onnx", "peer": "peer", "latency_ms_median": 1.0}
    common |= {"peer_latency_ms_median": 6.3, "times_faster": {"median": 6.31, "p5": 6.0, "p95": 7.0}}
    tiny = {
        "checkpoint_sha256": checkpoint_sha256,
        "peers": {"peer": PEER, "gone": {"error": "ImportError: undefined symbol"}},
        "fastest": [{**common, "neighbors": "searched"}, {**common, "neighbors": "known"}],
    }
    (folder / "peers.json").write_text(json.dumps({"students": {"tiny": tiny}, "load_of_other_processes": 0.3}))
    return folder / "peers.json"


def test_the_page_names_the_confidence_of_its_intervals_and_has_a_dash_where_there_is_none(copy, benchmarks, tmp_path):
    def edit(content):
        content["settings"] = {"confidence": 0.9}
        content["splits"]["unseen_molecules"]["confidence_intervals"]["force_accuracy"] = [None, None]

    change(copy, "accuracy", edit)
    write_report(tmp_path / "report", copy, benchmarks)
    page = (tmp_path / "report/report.html").read_text()
    assert '<th class="n">90&#8239;% interval</th>' in page and '<td class="n">–</td>' in page


def test_peers_stand_in_the_page_where_they_were_timed(results, benchmarks, tmp_path):
    students = read(results)
    [sha] = [student.get("model", "checkpoint_sha256") for student in students if student.name == "tiny"]
    assert read_peers(tmp_path / "peers.json", students) is None
    assert read_peers(peers_json(tmp_path, "of other weights"), students) is None
    summary = write_report(tmp_path / "report", results, benchmarks)
    assert "Beside other packages" not in (tmp_path / "report/report.html").read_text()
    summary["peers"] = read_peers(peers_json(tmp_path, sha), students)
    write_page(tmp_path / "report.html", summary, students, [])
    page = (tmp_path / "report.html").read_text()
    assert page.count("Peer 1.0") == 1
    assert "6.3×" in page
    assert "gone was not timed beside tiny: ImportError: undefined symbol." in page
    assert f"used {wording.percent(0.3, 0)} of the processor" in page
    unknown = {"checkpoint_sha256": sha, "not_applicable": "it knows none of them", "peers": {}, "fastest": []}
    (tmp_path / "peers.json").write_text(json.dumps({"students": {"tiny": unknown}, "load_of_other_processes": 0.0}))
    summary["peers"] = read_peers(tmp_path / "peers.json", students)
    write_page(tmp_path / "report.html", summary, students, [])
    assert (
        "Any other package was not timed beside tiny: it knows none of them." in (tmp_path / "report.html").read_text()
    )


def test_programs_stand_in_the_page_where_they_were_run(results, benchmarks, tmp_path):
    students = read(results)
    [sha] = [student.get("model", "checkpoint_sha256") for student in students if student.name == "tiny"]
    good = {"verdict": PASSES}
    programs = {
        "good": {
            "title": "Good",
            "cases": {"box": good},
            "speed": [
                {"n_atoms": 20, "ms_per_step": 0.27},
                {"n_atoms": 200, "left_out": "did not fit: 9 s a step expected"},
            ],
        },
        "short": {"title": "Short", "cases": {"box": {"verdict": TOO_SHORT}, "molecule": good}, "speed": []},
        "heating": {"title": "Heating", "cases": {"box": {"verdict": FAILS}, "molecule": good}, "speed": []},
        "gone": {"title": "Gone", "error": "cannot be made"},
    }
    for checkpoint in ("of other weights", sha):
        tiny = {"checkpoint_sha256": checkpoint, "programs": programs, "load_of_other_processes": 0.3}
        assert read_engines(tmp_path, students) is None
        (tmp_path / "engines.json").write_text(json.dumps({"students": {"tiny": tiny}}))
    summary = write_report(tmp_path / "report", results, benchmarks)
    assert "In programs of molecular dynamics" not in (tmp_path / "report/report.html").read_text()
    summary["engines"] = read_engines(tmp_path, students)
    write_page(tmp_path / "report.html", summary, students, [])
    page = (tmp_path / "report.html").read_text()
    rows = re.findall(r"<td>(Good|Short|Heating|Gone).*?</td>\s*<td>(.*?)</td>", page, re.S)
    assert rows == [("Good", "pass"), ("Short", "too short to tell"), ("Heating", "fail"), ("Gone", "not run")]
    assert "is too short to tell where the drift" in page
    assert "0.27" in page and "cannot be made" in page and "did not fit: 9 s a step expected" in page


def test_properties_stand_in_the_page_where_they_were_measured(results, benchmarks, tmp_path):
    summary = write_report(tmp_path / "report", results, benchmarks)
    assert "Properties of a material" not in (tmp_path / "report/report.html").read_text()
    row = {"n_atoms": 64, "temperature_K": 1200.0, "density_g_per_cm3": 1.49, "pressure_GPa": 0.2119}
    row |= {"pressure_standard_error_GPa": 0.034, "student": "tiny"}
    row["diffusion"] = {"Na": {"coefficient_cm2_per_s": 9.36e-5, "standard_error_cm2_per_s": 8e-6}}
    alone = {"Na": {"coefficient_cm2_per_s": 8.1e-5, "standard_error_cm2_per_s": None}}  # of one atom
    other = {"student": None, "pressure_GPa": None, "pressure_standard_error_GPa": None, "diffusion": alone}
    rows = [row, row | other]
    figure = tmp_path / "properties.svg"
    figure.write_text("<svg></svg>")
    summary["properties"] = {"rows": rows, "structure": "melt.xyz", "teacher": "SevenNet-0", "figure": str(figure)}
    write_page(tmp_path / "report.html", summary, read(results), [figure])
    page = (tmp_path / "report.html").read_text()
    assert "diffusion of Na (10⁻⁵ cm²/s)" in page and "By dynamics from melt.xyz at constant volume" in page
    assert '9.4 <span class="muted small">± 0.8</span>' in page and "0.21 " in page
    assert "SevenNet-0" in page and "not measured" in page and '<td class="n">8.1</td>' in page
    assert "How the atoms of a material are arranged and diffuse" in page


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


# The page


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


# For machines


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
