"""The report's pictures, molecules and words."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations
from urllib.parse import unquote

import numpy as np
import pytest
from ase.build import molecule

from assay.report import charts, dag, svg, wording
from assay.report.evidence import Student
from assay.report.figures import figures_of
from assay.report.forms import Form
from assay.report.molecules import bonds, worst_scenes
from assay.report.readme import write_figure
from assay.workflow import compact_svg, plots
from assay.workflow.errors import AssayError
from shared.report_results import (
    JOBS,
    MOLECULES,
    SPLITS,
    STUDENTS,
    cells,
    change,
    draw_figure,
    make_benchmarks,
    read,
    write_report,
)

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
    """They point where the student pulls too much, which is along x before the molecules are turned."""
    for scene, formula in zip(worst_scenes(read(results)[0]), [*MOLECULES[:4]] * 3, strict=True):
        errors, x = np.array(scene["force_errors"]), molecule(formula).positions[:, 0]
        assert np.linalg.norm(errors, axis=1) == pytest.approx([0.5, *[0.0] * (len(errors) - 1)], abs=2e-3)
        assert np.array(scene["positions"]) @ errors[0] == pytest.approx(0.5 * (x - x.mean()), abs=5e-3)


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
    good = Form("good & small", "fp32", "onnx", 20, 1.0, 9.0, 8.0, 10.0, 1e5, 0.03, 10)
    bad = replace(good, variant="bad", latency_ms=3.0, force_mae_eV_per_A=0.06)
    assert charts.draw_pareto([replace(good, latency_ms=None)], ["good & small"], 15.0, "<teacher>") is None
    chart = ET.fromstring(charts.draw_pareto([good, bad], ["good & small", "bad"], 15.0, "<teacher>"))
    by_tip = {re.split(" fp32|:", g.find("{*}title").text)[0]: centre(g[1]) for g in chart.findall(".//{*}g")}
    assert list(by_tip) == ["<teacher>", "good & small", "bad"]
    (x, y), (x_bad, y_bad), (x_teacher, y_teacher) = (by_tip[name] for name in ("good & small", "bad", "<teacher>"))
    assert x < x_bad < x_teacher
    assert y_bad < y < y_teacher


def test_the_picture_has_the_time_of_the_teacher_that_the_table_has():
    """Not a student's time times its speed over the teacher, which is a median of ratios."""
    form = Form("mine", "fp32", "onnx", 20, 1.0, 9.0, 8.0, 10.0, 1e5, 0.03, 10)
    summary = {"forms": [vars(form)], "variants": {"mine": {}}, "teacher": "GFN2", "teachers_timed": {"GFN2": 15.0}}
    assert "GFN2: 15" in charts.pareto_of(summary)
    assert "GFN2" not in charts.pareto_of(summary | {"teacher": None})


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
    summary = write_report(tmp_path / "report", copy, benchmarks)
    assert {variant["fastest_runtime"] for variant in summary["variants"].values()} == {"fused"}
    assert "fp32 by fused, INT8 by onnx int8." in (tmp_path / "report/report.html").read_text()


def test_int8_ratios_have_their_spread(report):
    text = (report / "report.html").read_text()
    section = re.search(r'<section class="card" id="int8">.*?</section>', text, re.S).group()
    assert section.count('0.620× <span class="muted small">0.58–0.66</span>') == len(STUDENTS)
    assert section.count("–") == 2 * 2 * len(STUDENTS)


def test_figure_of_the_readme_says_what_was_measured_where(report, tmp_path):
    summary = json.loads((report / "summary.json").read_text())
    write_figure(tmp_path / "figure.svg", summary)
    texts = [element.text for element in ET.parse(tmp_path / "figure.svg").iterfind(".//{*}text")]
    assert {*STUDENTS, "GFN2-xTB", "fp32", "INT8"} <= set(texts)
    assert "Errors on unseen molecules, time for one of 20 atoms." in texts
    assert any(re.fullmatch(r".*, which used up to 20\u202f% of it; \d{4}-\d\d-\d\d\.", text) for text in texts)
    with pytest.raises(AssayError, match="accuracy and speed"):
        write_figure(tmp_path / "none.svg", summary | {"forms": []})
    assert not (tmp_path / "none.svg").exists()


def test_figures_are_small_vector_files_whose_texts_are_texts(tmp_path):
    first, again = (draw_figure(tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert first == again
    assert len(first) < 12_000
    texts = ["".join(element.itertext()) for element in ET.fromstring(first).iterfind(".//{*}text")]
    assert {"a < b & c > 50 % of #1", "energy (eV/Å)", 'teacher\'s "own"'} <= set(texts)


def test_compact_svg_is_the_same_drawing(tmp_path, monkeypatch):
    small = ET.fromstring(draw_figure(tmp_path / "small.svg").read_bytes())
    monkeypatch.setattr(plots, "compact", lambda text: text)
    large = ET.fromstring(draw_figure(tmp_path / "large.svg").read_bytes())
    assert (tmp_path / "small.svg").stat().st_size < 0.6 * (tmp_path / "large.svg").stat().st_size
    for tag in ("path", "use", "text", "image", "clipPath"):
        one, other = (list(root.iter(f"{{{compact_svg.SVG}}}{tag}")) for root in (small, large))
        assert len(one) == len(other) > 0
        assert list(map(named, one)) == list(map(named, other))
        for key in ("d", "x", "y", "width", "height"):
            assert coordinates(one, key) == pytest.approx(coordinates(other, key), abs=0.1)


def named(node):
    return node.get("id"), (node.text or "").strip()


def coordinates(nodes, key):
    return [float(number) for node in nodes for number in re.findall(r"-?\d+(?:\.\d+)?", node.get(key, ""))]


def test_embedded_figure_is_its_file(tmp_path):
    (tmp_path / "figures").mkdir()
    draw_figure(tmp_path / "figures/nve.svg")
    [figure] = figures_of(tmp_path)
    head, _, content = figure.uri.partition(",")
    assert head == "data:image/svg+xml" and '"' not in content and "&" not in content and "#" not in content
    shown, drawn = ET.fromstring(unquote(content)), ET.parse(tmp_path / "figures/nve.svg").getroot()
    assert [node.tag for node in shown.iter()] == [node.tag for node in drawn.iter()]


def test_no_two_of_many_series_look_alike():
    looks = [plots.series(k) for k in range(20)]
    assert all(one != other for one, other in combinations(looks, 2))
    assert all(
        (one["linestyle"], one["marker"]) != (other["linestyle"], other["marker"])
        for one, other in combinations(looks[:7], 2)
    )


def test_jobs_that_overlap_are_drawn_in_lanes_of_their_own(tmp_path):
    times = dag.summarize(dag.read_jobs(make_benchmarks(tmp_path, JOBS), STUDENTS, ["validate"]))
    bars = ET.fromstring(charts.draw_workflow(times)).findall(".//{*}rect")
    assert len({bar.get("y") for bar in bars}) == 3


def test_the_run_that_took_longest_is_drawn(tmp_path):
    jobs = [("validate", "original", 1e9, 10.0), ("validate", "tiny", 1e9 + 4000, 30.0)]
    times = dag.summarize(dag.read_jobs(make_benchmarks(tmp_path, jobs), STUDENTS, ["validate"]))
    assert "validate tiny: 30" in charts.draw_workflow(times) and "original" not in charts.draw_workflow(times)


def test_the_area_of_a_bubble_is_the_size_of_its_file():
    one = Form("a", "fp32", "onnx", 20, 1.0, 9.0, 8.0, 10.0, 1e5, 0.03, 4_000_000)
    drawn = charts.draw_pareto([one, replace(one, variant="b", size_bytes=1_000_000)], ["a", "b"], None, "")
    radii = [float(circle.get("r")) for circle in ET.fromstring(drawn).findall(".//{*}circle")]
    assert sorted(radii)[-2:] == [charts.MAX_RADIUS / 2, charts.MAX_RADIUS]
