"""The report says which student was measured on what, where students were measured on different things."""

import re

from shared.report_results import SPLITS, cells, change, write_report


def time_on(n_atoms, folder, student):
    """Let a student have been timed on structures of so many atoms, the nearest to each size of the config."""

    def edit(content):
        for row in content["rows"]:
            row["n_atoms"] = n_atoms * row["batch_size"]

    change(folder, "benchmark", edit, [student])


def time_by(machine, threads, folder, student, **more):
    """Let a student have been timed on a machine by so many threads; ``more`` is what else its header says."""
    told = {"device_name": machine, "threads": {"torch": threads}} | more
    change(folder, "benchmark", lambda content: content.update(told), [student])


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


def test_times_of_several_machines_or_threads_are_told_and_not_compared(copy, benchmarks, tmp_path):
    time_by("AMD EPYC 9654", 16, copy, "original", created_utc="2026-11-20T00:00:00+00:00")
    time_by("Intel Xeon E5-2620", 1, copy, "tiny", versions={"torch": "2.12"})
    time_by("AMD EPYC 9654", 16, copy, "ultra_tiny")
    summary = write_report(tmp_path / "report", copy, benchmarks)
    assert summary["device_name"] == "AMD EPYC 9654 (original and ultra_tiny); Intel Xeon E5-2620 (tiny)"
    assert summary["versions"]["torch"] == "2.13.0 (original and ultra_tiny); 2.12 (tiny)"
    assert summary["measured_utc"] == "2026-11-23T20:04:14+00:00"
    page, markdown = ((tmp_path / "report" / name).read_text() for name in ("report.html", "report.md"))
    assert (
        f"· {summary['device_name']} · 2026-11-23</div>" in page and f"{summary['device_name']}, 2026-11-23" in markdown
    )
    named = "AMD EPYC 9654 with 16 threads (original and ultra_tiny); Intel Xeon E5-2620 with 1 thread (tiny)"
    assert f"no other job of the workflow runs, on {named}." in page
    assert '<div class="small muted">on Intel Xeon E5-2620 with 1 thread</div>' in page
    assert re.search(r"^\| tiny .*ms \(on Intel Xeon E5-2620 with 1 thread\) \|", markdown, re.M)
    assert "tiny (*) is compared with none" in page and ">tiny*<" in page and ">original*<" not in page
    [screening] = [choice for choice in summary["choices"] if choice["job"] == "Screening"]
    assert screening["variant"] == "ultra_tiny"
    assert screening["reason"].endswith("tiny is not compared: it was timed on Intel Xeon E5-2620 with 1 thread")


def slow_teacher(times, folder, student):
    def edit(content):
        for row in content["teacher"]["rows"]:
            row["latency_ms_median"] *= times

    change(folder, "benchmark", edit, [student])


def test_times_of_one_processor_by_other_threads_are_not_compared(copy, benchmarks, tmp_path):
    for student, threads, times in (("original", 16, 1), ("tiny", 16, 3), ("ultra_tiny", 2, 9)):
        time_by("AMD EPYC", threads, copy, student)
        slow_teacher(times, copy, student)
    summary = write_report(tmp_path / "report", copy, benchmarks)
    assert summary["device_name"] == "AMD EPYC"
    [screening] = [choice for choice in summary["choices"] if choice["job"] == "Screening"]
    assert screening["variant"] == "tiny", "though ultra_tiny took less time"
    assert screening["reason"].endswith("; ultra_tiny is not compared: it was timed on AMD EPYC with 2 threads")
    assert summary["teachers_timed"] == {"GFN2-xTB": 24.0}, "the median of 12 and 36, without 108"


def test_a_report_is_written_without_the_gpu_that_students_were_timed_on(copy, benchmarks, tmp_path):
    """As on a cluster, where reports are written by the node that submits."""
    for student in ("original", "tiny", "ultra_tiny"):
        time_by("NVIDIA H200", 16, copy, student, device="cuda")
    summary = write_report(tmp_path / "report", copy, benchmarks)
    assert (summary["device"], summary["device_name"]) == ("cuda", "NVIDIA H200")
    assert "NVIDIA H200 (cuda)" in (tmp_path / "report/report.html").read_text()
