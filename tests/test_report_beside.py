"""Peers, programs of dynamics and properties stand in the page where they were measured, and nowhere else."""

import json
import re

from assay.engines.table import FAILS, PASSES, TOO_SHORT
from assay.report import wording
from assay.report.engines import read_engines
from assay.report.page import write_page
from assay.report.peers import read_peers
from shared.report_results import read, write_report

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
    assert summary["engines"]["figure"] == str(tmp_path / "engines.svg")
    (tmp_path / "engines.json").write_text(json.dumps({"students": {"tiny": tiny, "left out since": tiny}}))
    alone = summary["engines"] | {"figure": None}
    assert read_engines(tmp_path, students) == alone, "the figure shows one that no row does"
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
