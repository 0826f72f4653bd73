"""A slower student is found, noise is not, and the exit status says so."""

import json

import pytest

from assay.benchmark.regression import (
    Ratio,
    compare_with_baseline,
    make_baseline,
    ratios,
    read_baseline,
    require_no_regression,
    write_markdown,
)
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError
from shared.workflow_copy import ROOT, lay_out, snakemake

RUNTIMES = {"eager": 1.0, "onnx": 0.25, "onnx_int8": 0.2}  # parts of the time that eager takes
TEACHER_ms, EAGER_ms = 100.0, 8.0


def benchmark(spread=0.05, teacher=True, machine="machine", **factors):
    """A made-up benchmark.json, with some runtimes so many times slower than usual."""
    rows = []
    for size in (20, 60):
        for batch in (1, 32):
            for name, share in RUNTIMES.items():
                share = share * factors.get(name, 1.0)
                row = {"runtime": name, "system_size": size, "batch_size": batch, "n_atoms": size * batch}
                row["latency_ratio_to_eager"] = around(share, spread)
                if teacher:
                    row["speedup_over_teacher"] = around(TEACHER_ms / (EAGER_ms * share), spread)
                rows.append(row)
    header = {"device": "cpu", "device_name": machine, "threads": {"torch": 2}, "versions": {"torch": "2"}}
    return {**header, "created_utc": "2026-01-01", "checkpoint_sha256": "0", "rows": rows}


def around(value, spread):
    return {"median": value, "p5": value * (1 - spread), "p95": value * (1 + spread)}


def compared(now, then, tolerance=0.1):
    return compare_with_baseline({"tiny": now}, make_baseline({"tiny": then}), tolerance)


def test_ratios_say_how_many_times_faster_and_never_how_long():
    found = ratios(benchmark(spread=0.1))
    assert found["onnx over eager, 20 atoms, batch 1"].median == pytest.approx(4.0)
    assert found["onnx over eager, 20 atoms, batch 1"].p5 == pytest.approx(4.0 / 1.1)
    assert found["onnx over eager, 20 atoms, batch 1"].p95 == pytest.approx(4.0 / 0.9)
    assert found["onnx over the teacher, 60 atoms, batch 32"].median == pytest.approx(50.0)
    int8 = found["onnx_int8 over onnx, 60 atoms, batch 1"]
    assert int8.median == pytest.approx(1.25)
    assert int8.p5 < 1.25 / 1.1 < 1.25 / 0.9 < int8.p95  # those of both add up
    assert len(found) == 4 * (2 + 1 + 3)


def test_ratios_name_the_atoms_that_were_timed_where_the_data_have_no_such_size():
    result = benchmark()
    for row in result["rows"]:
        row["n_atoms"] = 64 * row["batch_size"] if row["system_size"] == 20 else row["n_atoms"]
    assert "onnx over eager, 64 atoms, batch 32" in ratios(result)
    assert not any(" 20 atoms" in name for name in ratios(result))


def test_rows_without_a_ratio_are_passed_over():
    result = benchmark(teacher=False)
    for row in result["rows"]:
        if row["runtime"] == "onnx":
            del row["latency_ratio_to_eager"]
            row["error"] = "out of memory"
    assert set(ratios(result)) == {
        f"onnx_int8 over eager, {size} atoms, batch {batch}" for size in (20, 60) for batch in (1, 32)
    }


def test_slower_runtime_is_found_and_the_sentence_says_which_and_by_how_much():
    comparison = compared(benchmark(onnx_int8=2.0), benchmark())
    worse = [row for row in comparison["rows"] if row["verdict"] == "worse"]
    assert {row["ratio"].split(",")[0] for row in worse} == {
        "onnx_int8 over eager",
        "onnx_int8 over onnx",
        "onnx_int8 over the teacher",
    }
    assert all(row["change"] == pytest.approx(-0.5) for row in worse)
    assert comparison["rows"][: len(worse)] == worse
    with pytest.raises(AssayError, match=r"12 of 24 ratios became worse.*tiny, onnx_int8 over .*-50 %.*and 9 more"):
        require_no_regression(comparison)


def test_only_ratios_that_became_worse_are_said_to_have():
    noisy = [f"noisy {k}" for k in range(3)]
    now = {"onnx": around(0.8, 0.01)} | {name: around(0.3, 0.9) for name in noisy}
    then = {"onnx": around(1.0, 0.01)} | {name: around(1.0, 0.9) for name in noisy}

    def timed(ratios):
        result = benchmark()
        common = {"system_size": 20, "batch_size": 1, "n_atoms": 20}
        result["rows"] = [common | {"runtime": name, "speedup_over_teacher": own} for name, own in ratios.items()]
        return result

    with pytest.raises(AssayError) as raised:
        require_no_regression(compared(timed(now), timed(then)))
    assert "1 of 4 ratios became worse" in str(raised.value)
    assert "onnx over" in str(raised.value) and "noisy" not in str(raised.value)


def test_students_of_several_machines_are_not_held_against_one_baseline():
    of_one = make_baseline({"mine": benchmark(), "tiny": benchmark()})
    with pytest.raises(AssayError, match="benchmark of tiny is of another machine"):
        compare_with_baseline({"mine": benchmark(), "tiny": benchmark(machine="other")}, of_one, 0.1)


@pytest.mark.parametrize(
    ("spread", "slower", "verdict"),
    [(0.05, 1.04, "within the spread"), (0.3, 1.3, "within the spread"), (0.001, 1.05, "within the spread"),
     (0.05, 1.3, "worse"), (0.05, 0.7, "better"), (0.3, 0.75, "within the spread")],
)  # fmt: skip
def test_change_counts_beyond_the_spread_of_both_and_the_tolerance(spread, slower, verdict):
    rows = compared(benchmark(spread, onnx=slower), benchmark(spread))["rows"]
    assert {row["verdict"] for row in rows if row["ratio"].startswith("onnx over eager")} == {verdict}


@pytest.mark.parametrize(("threads", "passes"), [(0.7, True), (1.08, True), (1.2, False)])
def test_several_threads_may_not_be_slower_than_one_by_more_than_a_tenth(threads, passes):
    now = benchmark()
    now["rows"][0]["latency_ratio_to_one_thread"] = around(threads, 0.3)
    comparison = compared(now, benchmark())
    [row] = [row for row in comparison["rows"] if row["verdict"] == "new"]
    assert row["ratio"] == "eager on all threads over one, 20 atoms, batch 1"
    assert row["now"]["median"] == pytest.approx(1 / threads)
    if passes:
        assert "None of 24 ratios" in require_no_regression(comparison)
    else:
        with pytest.raises(AssayError, match=r"slower than one: tiny, eager .*: 0\.83 times as fast"):
            require_no_regression(comparison)


def test_run_within_the_spread_passes():
    assert (
        require_no_regression(compared(benchmark(onnx=1.04), benchmark()))
        == "None of 24 ratios became worse, 0 became better."
    )
    fewer = require_no_regression(compared(benchmark(teacher=False), benchmark()))
    assert fewer == "None of 12 ratios became worse, 0 became better; 12 ratios of the baseline were not measured."


def test_what_cannot_be_compared_is_no_pass(tmp_path):
    with pytest.raises(AssayError, match=r"there is no baseline .*snakemake baseline"):
        read_baseline(tmp_path / "baseline.json")
    with pytest.raises(AssayError, match="another machine"):
        require_no_regression(compared(benchmark(machine="other"), benchmark()))
    by_four = benchmark() | {"threads": {"torch": 4}}
    with pytest.raises(AssayError, match=r"another machine \(cpu, machine, 2 threads; here cpu, machine, 4 threads\)"):
        require_no_regression(compared(by_four, benchmark()))
    with pytest.raises(AssayError, match="none of the ratios"):
        require_no_regression(compare_with_baseline({"mine": benchmark()}, make_baseline({"tiny": benchmark()}), 0.1))
    with pytest.raises(AssayError, match="benchmark of tiny is of another machine"):
        make_baseline({"mine": benchmark(), "tiny": benchmark(machine="other")})


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_other_weights_under_the_name_of_a_student_are_not_compared(factor, tmp_path):
    now, then = {"mine": benchmark(), "tiny": benchmark(onnx=factor)}, {"mine": benchmark(), "tiny": benchmark()}
    now["tiny"]["checkpoint_sha256"] = "1"
    comparison = compare_with_baseline(now, make_baseline(then), 0.1)
    assert {row["verdict"] for row in comparison["rows"] if row["student"] == "tiny"} == {"new"}
    said = "not compared, because the baseline is of other weights: tiny"
    assert require_no_regression(comparison) == f"None of 24 ratios became worse, 0 became better; {said}."
    write_markdown(tmp_path / "regression.md", comparison)
    assert f"\n- {said}\n" in (tmp_path / "regression.md").read_text()
    with pytest.raises(AssayError, match=f"none of the ratios that were measured; {said}: `snakemake baseline`"):
        require_no_regression(compare_with_baseline({"tiny": now["tiny"]}, make_baseline(then), 0.1))


def test_the_table_has_the_ratio_of_each_run_in_its_column_and_the_date_of_the_later_benchmark(tmp_path):
    write_markdown(tmp_path / "regression.md", compared(benchmark(0.01, onnx=2.0), benchmark(0.05)))
    [row] = [
        r for r in (tmp_path / "regression.md").read_text().splitlines() if "| onnx over eager, 20 atoms, batch 1 " in r
    ]
    assert [cell.strip() for cell in row.split("|")[3:-1]] == [
        "2.00", "1.98 to 2.02", "4.00", "3.81 to 4.21", "-50 %", "worse",
    ]  # fmt: skip
    later = benchmark() | {"created_utc": "2026-01-02"}
    assert make_baseline({"mine": later, "tiny": benchmark()})["created_utc"] == "2026-01-02"


def test_spreads_of_two_ratios_add_up():
    assert Ratio(4.0, 3.0, 5.0).over(Ratio(2.0, 1.0, 4.0)) == Ratio(2.0, 0.75, 5.0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The workflow with made-up benchmarks, and a baseline stored from them by its rule."""
    tree = tmp_path_factory.mktemp("tree")
    lay_out(tree, "", real=["compare_speed.py", "regress.py", "baseline.py"])
    store(tree, benchmark())
    (tree / "data/benchmarks/baseline.json").unlink()
    done = snakemake(tree, *only("baseline"))
    assert done.returncode == 0, done.stdout
    return tree


def store(tree, result):
    for variant in load_config(ROOT / "config")["variants"]:
        path = tree / f"results/{variant}/benchmark.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result))


def only(target):
    """Run a target on the benchmarks that are there."""
    return ["-j", "1", target, "--allowed-rules", "compare_speed", "regress", "baseline"]


@pytest.mark.slow
def test_equal_run_passes_and_writes_the_table(tree):
    done = snakemake(tree, *only("regress"))
    assert done.returncode == 0, done.stdout
    assert "None of 72 ratios became worse" in done.stdout
    assert "within the spread" in (tree / "results/regression/regression.md").read_text()


@pytest.mark.slow
def test_slower_run_fails_with_a_sentence_until_it_is_stored_on_purpose(tree):
    before = (tree / "data/benchmarks/baseline.json").read_bytes()
    store(tree, benchmark(onnx=3.0))
    done = snakemake(tree, *only("regress"))
    assert done.returncode != 0
    assert "Error: 24 of 72 ratios became worse" in done.stdout
    assert (tree / "data/benchmarks/baseline.json").read_bytes() == before
    assert snakemake(tree, *only("baseline")).returncode == 0
    done = snakemake(tree, *only("regress"))
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_under_a_prefix_a_baseline_is_stored_where_it_is_looked_for(tree, tmp_path):
    (tmp_path / "Snakefile").write_text(f"""
module assay:
    snakefile: "{tree / "Snakefile"}"
    config: {{"regress": {{"baseline": "mine.json"}}}}
    prefix: "judged"


use rule * from assay as assay_*
""")
    store(tmp_path / "judged", benchmark())
    rules = ["assay_compare_speed", "assay_regress", "assay_baseline"]
    for target in ("assay_baseline", "assay_regress"):
        done = snakemake(tmp_path, "-j", "1", target, "--allowed-rules", *rules)
        assert done.returncode == 0, done.stdout
    assert "None of 72 ratios became worse" in done.stdout and not (tmp_path / "mine.json").exists()
