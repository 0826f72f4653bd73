"""The report says which student was measured on what, where students were measured on different things."""

import re

from shared.report_results import SPLITS, cells, change, write_report


def time_on(n_atoms, folder, student):
    """Let a student have been timed on structures of so many atoms, the nearest to each size of the config."""

    def edit(content):
        for row in content["rows"]:
            row["n_atoms"] = n_atoms * row["batch_size"]

    change(folder, "benchmark", edit, [student])


def judge_on_larger(folder, student):
    """Let a student know the labels of larger molecules alone as those of its own teacher."""

    def edit(content):
        for split in ("seen_molecules", "unseen_molecules"):
            content["splits"][split]["labelled_by"] = {"own": False, "name": "PBE", "sentence": "labelled by PBE"}

    change(folder, "accuracy", edit, [student])


def test_the_page_says_of_each_student_how_it_was_measured(copy, benchmarks, tmp_path):
    time_on(5, copy, "ultra_tiny")
    judge_on_larger(copy, "ultra_tiny")
    limits = {"size_ratio": 0.3}
    change(copy, "quantization", lambda content: content.update(limits=limits), ["tiny"])
    change(copy, "quantization", lambda content: content.update(not_applicable="a calculator"), ["original"])
    change(copy, "quantization", lambda content: content.update(chosen=None), ["original"])
    write_report(tmp_path / "report", copy, benchmarks)
    page, markdown = ((tmp_path / "report" / name).read_text() for name in ("report.html", "report.md"))
    rows = {row[0]: row for row in cells(page, "targets")}
    assert rows["Force accuracy"][-1] == (
        "1 − RMSE / RMS of forces, unseen molecules (original and tiny); "
        "1 − RMSE / RMS of forces, larger molecules (ultra_tiny)"
    )
    assert rows["Latency at batch 1"][-1] == (
        "one structure of 20 atoms, energies and forces (original and tiny); "
        "one structure of 5 atoms, energies and forces (ultra_tiny)"
    )
    assert rows["INT8 pays"][1] == "≤ 0.3× size (tiny); ≤ 0.35× size, ≤ 0.7× time, ≤ +5\u202f% error (ultra_tiny)"
    assert rows["Files verified"][1] == "all"
    assert "ultra_tiny (*) is compared with none" in page and ">ultra_tiny*<" in page and ">tiny*<" not in page
    for note in ("larger molecules", "5 atoms"):
        assert f'<div class="small muted">{note}</div>' in page
    assert re.search(r"^\| ultra_tiny .*% \(larger molecules\) .*ms \(5 atoms\) \|", markdown, re.M)


def test_worst_structures_of_every_split_can_be_chosen(copy, benchmarks, tmp_path):
    """Also where the first student knows the elements of one split alone."""
    change(
        copy, "accuracy", lambda content: content.update(splits=dict([*content["splits"].items()][:1])), ["original"]
    )
    write_report(tmp_path / "report", copy, benchmarks)
    choice = re.search('<select id="split">(.*?)</select>', (tmp_path / "report/report.html").read_text())[1]
    assert re.findall('value="(.*?)"', choice) == list(SPLITS)


def test_the_page_names_the_atoms_that_were_timed(copy, benchmarks, tmp_path):
    time_on(64, copy, "tiny")
    write_report(tmp_path / "report", copy, benchmarks)
    page = (tmp_path / "report/report.html").read_text()
    named = "at about 20 atoms (original and ultra_tiny); 64 atoms (tiny)"
    assert f'<h3 id="runtimes">Every runtime, {named}</h3>' in page
    assert f"structures of {named.removeprefix('at ')}." in page
