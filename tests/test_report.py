"""The report says what was measured, says so where nothing was, and is one file that any browser opens."""

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations

import pytest
from ase.build import molecule
from browser import find_browser, open_browser
from report_results import CHECKS, MOLECULES, SPLITS, STUDENTS, make_benchmarks, make_results

from assay import plots
from assay.errors import AssayError
from assay.report import charts, choices, dag, svg, wording
from assay.report.evidence import BRANCHES, Student, read_students
from assay.report.forms import Form, forms, front
from assay.report.molecules import bonds, worst_scenes
from assay.report.page import headline, write_markdown, write_page
from assay.report.peers import read_peers
from assay.report.readme import write_figure
from assay.report.summary import summarize, write_comparison
from assay.report.targets import Goals, judge_targets

GOALS = Goals(force_accuracy=0.95, speedup_over_teacher=5.0, latency_ms=4.0, dag_speedup=1.2, int8_latency_ratio=1.0)
JOBS = [("validate", name, 1e9 + k, 10.0) for k, name in enumerate(STUDENTS)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory):
    return make_benchmarks(tmp_path_factory.mktemp("benchmarks"), JOBS)


def read(folder):
    return read_students(folder / name for name in STUDENTS)


def write(target, folder, benchmarks):
    """Every file of the report into the folder ``target``; its summary."""
    target.mkdir(exist_ok=True)
    students = read(folder)
    data = {"unseen_molecules": folder / "original/model.json"}
    times = dag.summarize(dag.read_jobs(benchmarks, STUDENTS))
    summary = summarize(students, times, GOALS, "GFN2-xTB", data)
    write_page(target / "report.html", summary, students, [])
    write_markdown(target / "report.md", summary)
    write_comparison(target / "comparison.csv", summary)
    return summary


@pytest.fixture(scope="module")
def report(results, benchmarks, tmp_path_factory):
    """A folder with the whole report."""
    target = tmp_path_factory.mktemp("report")
    summary = write(target, results, benchmarks)
    (target / "summary.json").write_text(json.dumps(summary))
    return target


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


def test_peers_stand_in_the_page_where_they_were_timed(results, benchmarks, tmp_path):
    students = read(results)
    [sha] = [student.get("model", "checkpoint_sha256") for student in students if student.name == "tiny"]
    assert read_peers(tmp_path / "peers.json", students) is None
    assert read_peers(peers_json(tmp_path, "of other weights"), students) is None
    summary = write(tmp_path / "report", results, benchmarks)
    assert "Beside other packages" not in (tmp_path / "report/report.html").read_text()
    summary["peers"] = read_peers(peers_json(tmp_path, sha), students)
    write_page(tmp_path / "report.html", summary, students, [])
    page = (tmp_path / "report.html").read_text()
    assert page.count("Peer 1.0") == 1
    assert "6.3×" in page
    assert "gone was not timed beside tiny: ImportError: undefined symbol." in page
    assert f"used {wording.percent(0.3, 0)} of the processor" in page


@pytest.fixture
def copy(results, tmp_path):
    """Results that a test may change."""
    return shutil.copytree(results, tmp_path / "results")


def change(folder, branch, edit):
    """Rewrite a JSON of every student."""
    for name in STUDENTS:
        path = folder / name / f"{branch}.json"
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))


def targets_of(folder, times=None):
    students = read(folder)
    rows = judge_targets(students, {s.name: forms(s) for s in students}, times, GOALS)
    return {(row.name, row.variant): row for row in rows}


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
    summary = write(tmp_path / "report", copy, benchmarks)
    text = (tmp_path / "report/report.html").read_text()
    assert f"no <code>{branch}.json</code> was made" in text or branch == "accuracy"
    assert wording.NOT_MEASURED in text
    values = [v for variant in summary["variants"].values() for v in variant.values()]
    assert 0 not in [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]


def test_branch_of_one_student_may_be_missing(copy, benchmarks, tmp_path):
    (copy / "tiny/physics.json").unlink()
    (copy / "original/benchmark.json").unlink()
    summary = write(tmp_path / "report", copy, benchmarks)
    assert summary["variants"]["tiny"]["verdict"] is None
    assert summary["variants"]["original"]["latency_ms_batch1"] is None
    assert summary["variants"]["ultra_tiny"]["latency_ms_batch1"] > 0


def test_model_alone_makes_a_report(copy, tmp_path):
    for name in STUDENTS:
        for path in [*(copy / name).glob("*.onnx"), *(copy / name).glob("*.xyz")]:
            path.unlink()
        for branch in BRANCHES[1:]:
            (copy / name / f"{branch}.json").unlink()
    summary = write(tmp_path / "report", copy, tmp_path / "nowhere")
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


def test_texts_from_results_cannot_become_markup(copy, benchmarks, tmp_path):
    evil = "</script><script>alert(1)</script>"

    def spoil(content):
        content["checks"]["nve_drift"]["message"] = evil

    def rename(content):
        content["splits"]["unseen_molecules"]["worst"][0]["name"] = evil

    change(copy, "physics", spoil)
    change(copy, "accuracy", rename)
    write(tmp_path / "report", copy, benchmarks)
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


def cells(text, table):
    """Texts of the cells of a table's rows."""
    body = re.search(rf'<table class="{table}">.*?<tbody>(.*?)</tbody>', text, re.S).group(1)
    texts = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in body.split("</tr>")[:-1]]
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in row] for row in texts]


def test_flag_for_unlike_structures_has_its_worth(report):
    text = (report / "report.html").read_text()
    rows = cells(text, "flags")
    assert len(rows) == len(STUDENTS) * len(SPLITS)
    assert rows[0] == ["original", "seen molecules", "0.0\u202f%", "0.0\u202f%", "–", "0.0240", "–"]
    assert rows[2] == ["", "larger molecules", "20.0\u202f%", "10.0\u202f%", "0.0624", "0.0312", "2.0"]
    assert cells(text, "coverage") == [
        ["N", "1,234", "17", "3", "N bonded to C, C, H (800); N bonded to C, H, H (400)"]
    ]
    assert text.count("against how unlike the training data a structure is") == 2 * len(STUDENTS)


def test_training_is_told_in_steps(report):
    assert "2,000 steps on 16,802 structures" in (report / "report.html").read_text()


def test_learning_curve_says_when_it_was_judged_on_other_structures(copy, benchmarks, tmp_path):
    path = copy / "tiny.training.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"validation": "up to step 500 the first 496 structures"})
    )
    change(copy, "model", lambda content: content["source"].update(path=str(copy / f"{content['variant']}.pt")))
    write(tmp_path / "report", copy, benchmarks)
    text = (tmp_path / "report/report.html").read_text()
    assert text.count("was not judged on the same structures throughout") == 1
    assert "is not learning alone: up to step 500 the first 496 structures." in text


def test_errors_without_the_flag_are_shown_without_it(copy, benchmarks, tmp_path):
    def forget(content):
        del content["coverage"]
        for split in content["splits"].values():
            del split["domain"]

    change(copy, "accuracy", forget)
    write(tmp_path / "report", copy, benchmarks)
    text = (tmp_path / "report/report.html").read_text()
    assert "Structures unlike the training data" not in text
    assert wording.NOT_MEASURED not in text


def test_files_have_their_own_physics_and_missing_ones_their_reason(report):
    text = (report / "report.html").read_text()
    section = re.search(r'<section class="card" id="files">.*?</section>', text, re.S).group()
    row = next(row for row in section.split("<tr>") if "<code>model.int8.onnx" in row)
    assert 'bad">reject' in row
    assert "rotation" in row
    assert section.count("not made: there is no C++ compiler on this machine") == len(STUDENTS)


def test_busy_machine_is_said(report):
    text = (report / "report.html").read_text()
    assert "Other processes used the processor meanwhile (40\u202f% of it while original was timed, 40" in text
    assert "Timed beside other work, which used up to 40\u202f% of the processor." in text


def test_quiet_machine_needs_no_word(copy, benchmarks, tmp_path):
    change(copy, "benchmark", lambda content: content.update(load_of_other_processes=0.03))
    write(tmp_path / "report", copy, benchmarks)
    text = (tmp_path / "report/report.html").read_text()
    assert "Other processes used" not in text and "Timed beside other work" not in text


def test_markdown_tables_have_even_rows(report):
    tables = re.findall(r"(?:^\|.*\n)+", (report / "report.md").read_text(), re.M)
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


# For machines


def test_comparison_has_a_row_per_student_and_empty_cells_for_what_is_unknown(copy, benchmarks, tmp_path):
    (copy / "tiny/accuracy.json").unlink()
    write(tmp_path / "report", copy, benchmarks)
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
            assert {key: float(rows[name][f"{split}_{key}"]) for key in values} == pytest.approx(values)


# Targets


def test_targets_are_judged_by_their_numbers(results):
    targets = targets_of(results)
    accuracy = {name: targets["Force accuracy", name] for name in STUDENTS}
    assert [row.verdict for row in accuracy.values()] == ["met", "unmet", "unmet"]
    assert accuracy["original"].value == pytest.approx(1 - 0.03 * 1.15)
    assert targets["Parallel workflow", None].verdict == "not measured"
    # The size nearest to 20 atoms, in single precision: compiled is fastest, although int8 would be faster.
    latency = targets["Latency at batch 1", "tiny"]
    assert latency.value == pytest.approx(0.4 * 0.7 + 20 * 0.7 * 77_203**0.7 * 6e-6)
    assert targets["Speed over teacher", "tiny"].value == pytest.approx(0.6 * 20 / latency.value)


def test_accuracy_must_be_above_its_target_and_not_at_it(copy):
    def edit(content):
        content["splits"]["unseen_molecules"]["force_accuracy"] = 0.95

    change(copy, "accuracy", edit)
    assert targets_of(copy)["Force accuracy", "original"].verdict == "unmet"


def test_one_file_that_fails_is_unmet(copy):
    change(copy, "export", lambda content: content["files"]["model.edges.onnx"].update(passed=False))
    row = targets_of(copy)["Files verified", "tiny"]
    assert (row.shown, row.verdict) == ("2 of 3", "unmet")


@pytest.mark.parametrize(
    ("key", "value", "verdict"),
    [
        ("latency_ratio_batch1", 0.99, "met"),
        ("latency_ratio_batch1", 1.01, "unmet"),
        ("latency_ratio_batch32", 1.01, "unmet"),
        ("size_ratio", None, "not measured"),
    ],
)
def test_int8_pays_only_if_it_is_faster_too(copy, key, value, verdict):
    change(copy, "quantization", lambda content: content["schemes"]["static"].update({key: value}))
    assert targets_of(copy)["INT8 pays", "original"].verdict == verdict


def test_int8_that_is_not_recommended_does_not_pay(copy):
    change(copy, "quantization", lambda content: content.update(recommended=False))
    assert targets_of(copy)["INT8 pays", "original"].verdict == "unmet"


# Choices


def chosen(folder):
    students = read(folder)
    found = choices.choose(students, {s.name: forms(s) for s in students})
    return {choice.job: (choice.variant, choice.reason) for choice in found}


def test_each_job_has_its_student(results):
    found = chosen(results)
    assert {job: variant for job, (variant, _) in found.items()} == {
        "Dynamics": "original",
        "Screening": "ultra_tiny",
        "Least error": "original",
        "Smallest file": "ultra_tiny",
    }


def test_rejected_student_is_chosen_for_nothing_but_named_with_a_caution(copy):
    change(copy, "physics", lambda content: content.update(verdict="reject"))
    found = chosen(copy)
    assert [found[job][0] for job in ("Dynamics", "Screening", "Smallest file")] == [None, None, None]
    assert found["Least error"][0] == "original"
    assert "physics rejects it" in found["Least error"][1]


def test_without_physics_no_student_is_called_ready(copy):
    for name in STUDENTS:
        (copy / name / "physics.json").unlink()
    found = chosen(copy)
    assert found["Dynamics"] == (None, "physics was not measured")
    assert found["Screening"] == (None, "physics was not measured")


# Forms


def test_quantized_form_adds_its_error_to_that_of_float32(results):
    by_precision = {form.precision: form for form in forms(read(results)[0])}
    assert set(by_precision) == {"fp32", "int8"}
    exact = by_precision["fp32"].force_mae_eV_per_A
    assert by_precision["int8"].force_mae_eV_per_A == pytest.approx(1.03 * exact)
    assert by_precision["int8"].runtime == "onnx int8"


def test_front_holds_what_nothing_beats():
    one = Form("a", "fp32", "onnx", 20, 1.0, 9.0, 1e5, 0.03, 10)
    points = [one, replace(one, latency_ms=2.0), replace(one, latency_ms=0.5, force_mae_eV_per_A=0.05)]
    points += [replace(one, latency_ms=None), replace(one, latency_ms=0.9, force_mae_eV_per_A=0.06)]
    assert front(points) == [points[2], one]


# The workflow's time


def test_speed_up_is_the_sum_over_the_wall_time(tmp_path):
    jobs = [("validate", "original", 1e9, 30.0), ("export", "tiny", 1e9 + 5, 20.0), ("report", "all", 1e9 + 31, 9.0)]
    times = dag.summarize(dag.read_jobs(make_benchmarks(tmp_path, jobs), STUDENTS))
    assert times["sequential_sum_s"] == pytest.approx(59.0)
    assert times["wall_s"] == pytest.approx(40.0, abs=1e-3)
    assert times["parallel_speedup"] == pytest.approx(59 / 40, rel=1e-4)
    assert list(times["rules"]) == ["validate", "export", "report"]


def test_time_between_two_runs_does_not_count(tmp_path):
    jobs = [("validate", "original", 1e9, 30.0), ("validate", "tiny", 1e9 + 4000, 20.0)]
    times = dag.summarize(dag.read_jobs(make_benchmarks(tmp_path, jobs), STUDENTS))
    assert times["n_runs"] == 2
    assert times["parallel_speedup"] == pytest.approx(1.0, rel=1e-4)


def test_jobs_of_other_variants_and_of_what_is_shipped_are_left_out(tmp_path):
    jobs = [("validate", "tiny", 1e9, 3.0), ("validate", "gone", 1e9, 3.0), ("train", "tiny", 1e9, 3600.0)]
    found = dag.read_jobs(make_benchmarks(tmp_path, jobs), STUDENTS, not_timed=["train"])
    assert [(job.rule, job.variant) for job in found] == [("validate", "tiny")]


def test_no_benchmarks_is_not_measured(tmp_path):
    assert dag.summarize(dag.read_jobs(tmp_path / "nowhere", STUDENTS)) is None


# Molecules


def test_bonds_are_those_of_the_molecule():
    ethanol = molecule("CH3CH2OH")
    pairs = {tuple(sorted(ethanol.symbols[k] for k in pair)) for pair in bonds(ethanol)}
    assert len(bonds(ethanol)) == 8
    assert pairs == {("C", "C"), ("C", "H"), ("C", "O"), ("H", "O")}


def test_worst_structures_keep_their_names_and_shapes(results):
    scenes = worst_scenes(read(results)[1])
    assert [scene["split"] for scene in scenes] == [split for split in SPLITS for _ in range(4)]
    for scene, formula in zip(scenes, [*MOLECULES[:4]] * 3, strict=True):
        assert scene["name"].startswith(formula)
        assert sorted(scene["symbols"]) == sorted(molecule(formula).symbols)


def test_arrows_are_the_force_errors(results):
    for scene in worst_scenes(read(results)[0]):
        lengths = [sum(x * x for x in vector) ** 0.5 for vector in scene["force_errors"]]
        assert lengths == pytest.approx([0.5, *[0.0] * (len(lengths) - 1)], abs=2e-3)


def test_worst_structures_are_turned_and_never_mirrored(tmp_path):
    atoms = molecule("CH3CH2OH")
    atoms.positions[3] += (0.1, -0.2, 0.3)
    student = Student("s", tmp_path, {"accuracy": {"splits": {"a": {"worst": [dict(ROW)]}}}})
    atoms.write(tmp_path / "worst.xyz", format="extxyz")
    [scene] = worst_scenes(student)
    shown = atoms.copy()
    shown.positions = scene["positions"]
    assert shown.get_all_distances() == pytest.approx(atoms.get_all_distances(), abs=3e-3)
    volume = [a.get_positions()[[1, 2, 3]] - a.get_positions()[0] for a in (atoms, shown)]
    assert [sign(v) for v in volume] == [sign(volume[0])] * 2


ROW = {"name": "x", "force_rmse_eV_per_A": 1.0, "energy_error_eV_per_atom": 0.1}


def sign(vectors):
    (a, b, c), (d, e, f), (g, h, i) = vectors
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) > 0


# Words and charts


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "not measured"),
        (float("nan"), "not measured"),
        (0, "0"),
        (0.01234, "0.0123"),
        (12345.6, "12,300"),
        (-3.456, "-3.46"),
        (2e-7, "2.00 × 10⁻⁷"),
        (3.5e12, "3.50 × 10¹²"),
    ],
)
def test_numbers_read_well(value, shown):
    assert wording.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1e-4, "0.0001"), (1e-5, "10⁻⁵"), (5e-6, "5 × 10⁻⁶"), (0.043, "0.043"), (0, "0")]
)
def test_limits_keep_the_digits_they_were_given(value, shown):
    assert wording.limit(value) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(3.21, "3.2 s"), (320, "5 min 20 s"), (7500, "2 h 5 min")])
def test_durations_read_well(seconds, shown):
    assert wording.duration(seconds).replace("\u202f", " ") == shown


def test_ticks_are_round_and_inside():
    linear, logarithmic = svg.Axis("", 0.0, 0.087), svg.Axis("", 0.3, 40.0, log=True)
    assert linear.ticks() == pytest.approx([0, 0.02, 0.04, 0.06, 0.08])
    assert svg.Axis("", 0.12, 0.28, log=True).ticks() == pytest.approx([0.15, 0.2, 0.25])
    assert logarithmic.ticks() == pytest.approx([0.5, 1, 2, 5, 10, 20])


def test_charts_are_xml_and_place_what_is_better_down_and_left():
    good = Form("good & small", "fp32", "onnx", 20, 1.0, 9.0, 1e5, 0.03, 10)
    bad = replace(good, variant="bad", latency_ms=3.0, force_mae_eV_per_A=0.06)
    assert charts.draw_pareto([replace(good, latency_ms=None)], ["good & small"], 15.0, "<teacher>") is None
    chart = ET.fromstring(charts.draw_pareto([good, bad], ["good & small", "bad"], 15.0, "<teacher>"))
    by_tip = {re.split(" fp32|:", g.find("{*}title").text)[0]: centre(g[1]) for g in chart.findall(".//{*}g")}
    assert list(by_tip) == ["<teacher>", "good & small", "bad"]
    (x, y), (x_bad, y_bad), (x_teacher, y_teacher) = (by_tip[name] for name in ("good & small", "bad", "<teacher>"))
    assert x < x_bad < x_teacher
    assert y_bad < y < y_teacher


def centre(shape):
    """Pixels of the middle of a marker."""
    if shape.get("points"):
        corners = [tuple(map(float, corner.split(","))) for corner in shape.get("points").split()]
        return tuple(sum(values) / len(corners) for values in zip(*corners, strict=True))
    return float(shape.get("cx")), float(shape.get("cy"))


def test_picture_names_the_runtime_of_each_precision(report):
    text = (report / "report.html").read_text()
    assert "fp32 by compiled, INT8 by onnx int8." in text
    rows = [row[:4] for row in cells(text, "runtimes")[:4]]
    assert rows == [
        ["original", "onnx int8", "INT8", "model.int8.onnx"],
        ["", "compiled", "fp32", "model.pt2"],
        ["", "onnxOutOfMemory: too large", "fp32", "model.onnx"],
        ["", "eager", "fp32", "model.safetensors"],
    ]
    table = re.search(r'<table class="runtimes">.*?</table>', text, re.S).group()
    assert re.findall("<td><b>(.*?)</b>", table) == ["onnx int8", "compiled"] * len(STUDENTS)


def test_runtime_that_nobody_knew_is_shown(copy, benchmarks, tmp_path):
    def add(content):
        content["runtimes"]["fused"] = {"file": "model.safetensors", "size_bytes": 9}
        content["rows"] += [row | {"runtime": "fused", "latency_ms_median": 0.1} for row in content["rows"][:1]]
        content["rows"][-1]["system_size"] = 20

    change(copy, "benchmark", add)
    summary = write(tmp_path / "report", copy, benchmarks)
    assert {variant["fastest_runtime"] for variant in summary["variants"].values()} == {"fused"}
    assert "fp32 by fused, INT8 by onnx int8." in (tmp_path / "report/report.html").read_text()


def test_int8_ratios_have_their_spread(report):
    text = (report / "report.html").read_text()
    section = re.search(r'<section class="card" id="int8">.*?</section>', text, re.S).group()
    assert section.count('0.620× <span class="muted small">0.58–0.66</span>') == len(STUDENTS)
    assert section.count("–") == 2 * 2 * len(STUDENTS)


def test_int8_is_asked_for_what_its_limits_say(results):
    assert targets_of(results)["INT8 pays", "tiny"].asked == "≤ 0.35× size, ≤ 1× time, ≤ +5.0\u202f% error"


def test_figure_of_the_readme_says_what_was_measured_where(report, tmp_path):
    summary = json.loads((report / "summary.json").read_text())
    write_figure(tmp_path / "figure.svg", summary)
    texts = [element.text for element in ET.parse(tmp_path / "figure.svg").iterfind(".//{*}text")]
    assert {*STUDENTS, "GFN2-xTB", "fp32", "INT8"} <= set(texts)
    assert "Errors on unseen molecules, time for one of 20 atoms." in texts
    assert any(re.fullmatch(r".*, which used up to 40\u202f% of it; \d{4}-\d\d-\d\d\.", text) for text in texts)
    with pytest.raises(AssayError, match="accuracy and speed"):
        write_figure(tmp_path / "none.svg", summary | {"forms": []})
    assert not (tmp_path / "none.svg").exists()


def test_no_two_of_many_series_look_alike():
    looks = [plots.series(k) for k in range(20)]
    assert all(one != other for one, other in combinations(looks, 2))
    assert all(
        (one["linestyle"], one["marker"]) != (other["linestyle"], other["marker"])
        for one, other in combinations(looks[:7], 2)
    )


def test_jobs_that_overlap_are_drawn_in_lanes_of_their_own(tmp_path):
    times = dag.summarize(dag.read_jobs(make_benchmarks(tmp_path, JOBS), STUDENTS))
    bars = ET.fromstring(charts.draw_workflow(times)).findall(".//{*}rect")
    assert len({bar.get("y") for bar in bars}) == 3


# In a browser


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    if find_browser() is None:
        pytest.skip("there is no Chromium on this machine, in which the report could be opened")
    with open_browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize(("width", "mobile"), [(1440, False), (390, True)])
def test_report_opens_without_complaint_or_request(page, report, width, mobile):
    address = (report / "report.html").as_uri()
    page.open(address, width, 900, mobile)
    assert page.complaints == []
    assert [request for request in page.requests if not request.startswith("data:")] == [address]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")


def test_viewer_draws_turns_and_changes_student(page, report):
    page.open((report / "report.html").as_uri(), 1440, 900)
    drawing = "document.querySelector('canvas').toDataURL()"
    first = page.evaluate(drawing)
    assert page.evaluate("document.querySelector('.caption').textContent").startswith("C2H6O (CH3CH2OH 0), 9 atoms")
    page.evaluate("document.querySelector('canvas').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft'}))")
    turned = page.evaluate(drawing)
    page.evaluate("document.querySelectorAll('.viewer button')[1].click()")
    assert len({first, turned, page.evaluate(drawing)}) == 3
    choose = (
        "const s = document.getElementById('variant'); s.value = 'ultra_tiny'; s.dispatchEvent(new Event('change'))"
    )
    page.evaluate(f"(() => {{ {choose} }})()")
    assert page.evaluate("document.querySelector('.viewer button span:last-child').textContent") == "1.45 eV/Å"
    assert page.complaints == []


def test_targets_are_on_the_first_screen(page, report):
    page.open((report / "report.html").as_uri(), 1440, 900)
    assert page.evaluate("document.querySelector('table.targets').getBoundingClientRect().bottom") < 900


def test_report_prints(page, report):
    page.open((report / "report.html").as_uri(), 1440, 900)
    assert page.pdf().startswith(b"%PDF")
