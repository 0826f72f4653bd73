"""Tells whether students have become slower since a baseline was stored, by ratios and never by times.

A ratio says how many times faster a runtime is than something that was timed in turns with it: plain PyTorch, the
teacher, or the same file in single precision. It is worse if its whole spread lies below that of the baseline, and its
median by more than a tolerance, since conditions that last for a whole run widen no spread within it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.benchmark.points import atoms_at
from assay.workflow.errors import AssayError
from assay.workflow.files import atomic_path, read_json
from assay.workflow.markdown import table
from assay.workflow.provenance import SCHEMA_VERSION

STORE = "`snakemake baseline` stores this run as the new baseline"
WORSE, BETTER, SAME, NEW, MISSING = "worse", "better", "within the spread", "new", "not measured"
COLUMNS = ("student", "how many times faster", "now", "p5 to p95", "baseline", "p5 to p95", "change", "verdict")
THREADS = "on all threads over one"
LEAST_OF_THREADS = 0.9  # several threads may not be slower than one by more than a tenth
SINGLE_PRECISION = {"onnx_int8": "onnx", "onnx_fp16": "onnx"}


@dataclass(frozen=True)
class Ratio:
    """How many times faster something is: the median over rounds, and its spread."""

    median: float
    p5: float
    p95: float

    def over(self, other: Ratio) -> Ratio:
        """Divide this ratio by another with the same denominator; the spreads add up."""
        return Ratio(self.median / other.median, self.p5 / other.p95, self.p95 / other.p5)


ONE = Ratio(1.0, 1.0, 1.0)


def ratios(benchmark: Mapping[str, Any]) -> dict[str, Ratio]:
    """Read every ratio of a ``benchmark.json`` by a name: what it compares, of how many atoms, at which batch."""
    found: dict[str, Ratio] = {}
    for key in dict.fromkeys((row["system_size"], row["batch_size"]) for row in benchmark["rows"]):
        here = {r["runtime"]: r for r in benchmark["rows"] if (r["system_size"], r["batch_size"]) == key}
        speedups = {
            name: ONE.over(Ratio(**row["latency_ratio_to_eager"]))
            for name, row in here.items()
            if "latency_ratio_to_eager" in row
        }
        place = f"{atoms_at(benchmark['rows'], key[0])} atoms, batch {key[1]}"
        found |= {f"{name} over eager, {place}": value for name, value in speedups.items() if name != "eager"}
        for name, single in SINGLE_PRECISION.items():
            if name in speedups and single in speedups:
                found[f"{name} over {single}, {place}"] = speedups[name].over(speedups[single])
        for name, row in here.items():
            if "latency_ratio_to_one_thread" in row:
                found[f"{name} {THREADS}, {place}"] = ONE.over(Ratio(**row["latency_ratio_to_one_thread"]))
            if "speedup_over_teacher" in row:
                found[f"{name} over the teacher, {place}"] = Ratio(**row["speedup_over_teacher"])
    return found


def make_baseline(benchmarks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Keep the machine, the versions and the ratios of the ``benchmark.json`` of each student, but no times.

    Raises:
        AssayError: the benchmarks come from different machines.
    """
    first = next(iter(benchmarks.values()))
    _one_machine(benchmarks)
    return {
        "schema_version": SCHEMA_VERSION,
        "device": first["device"],
        "device_name": first["device_name"],
        "threads": {"torch": first["threads"]["torch"]},
        "versions": first["versions"],
        "created_utc": max(benchmark["created_utc"] for benchmark in benchmarks.values()),
        "students": {
            variant: {
                "checkpoint_sha256": benchmark["checkpoint_sha256"],
                "ratios": {name: asdict(ratio) for name, ratio in ratios(benchmark).items()},
            }
            for variant, benchmark in benchmarks.items()
        },
    }


def read_baseline(path: str | Path) -> dict[str, Any]:
    """Read a stored baseline.

    Raises:
        AssayError: there is no such file.
    """
    if not Path(path).is_file():
        raise AssayError(f"there is no baseline {path} to compare with: {STORE}")
    return read_json(path)


def compare_with_baseline(
    benchmarks: Mapping[str, Mapping[str, Any]], baseline: Mapping[str, Any], tolerance: float
) -> dict[str, Any]:
    """Hold the ratios of a run against those of the baseline.

    Args:
        benchmarks: content of ``benchmark.json`` by variant.
        baseline: what ``make_baseline`` returned.
        tolerance: the relative change below which a ratio counts as unchanged, however narrow its spread.

    Returns:
        ``comparable`` (both come from one machine), ``machine`` of both, ``other_weights`` (the students of which the
        baseline has ratios of other weights, which are not compared), and ``rows``: a row for each ratio with its
        ``verdict``, the worst first.

    Raises:
        AssayError: the benchmarks come from different machines.
    """
    machine, stored = _one_machine(benchmarks), _machine(baseline)
    known = {variant: student for variant, student in baseline["students"].items() if variant in benchmarks}
    sha256s = {variant: benchmark["checkpoint_sha256"] for variant, benchmark in benchmarks.items()}
    others = [variant for variant, student in known.items() if student["checkpoint_sha256"] != sha256s[variant]]
    then = {variant: student["ratios"] for variant, student in known.items() if variant not in others}
    rows = [
        row
        for variant, benchmark in benchmarks.items()
        for row in _rows(variant, ratios(benchmark), then.get(variant, {}), tolerance)
    ]
    rows.sort(key=lambda row: row.get("change", float("inf")))
    return {
        "comparable": machine == stored,
        "machine": {"now": machine, "baseline": stored},
        "other_weights": others,
        "rows": rows,
    }


def require_no_regression(comparison: Mapping[str, Any]) -> str:
    """Return the comparison in a sentence, or raise it as an error if something became slower.

    Raises:
        AssayError: a ratio became worse, several threads are slower than one, nothing can be compared, or the baseline
            comes from another machine.
    """
    rows = comparison["rows"]
    threads = [row for row in rows if THREADS in row["ratio"] and "now" in row]
    slowed = [row for row in threads if row["now"]["median"] < LEAST_OF_THREADS]
    if slowed:
        worst = min(slowed, key=lambda row: row["now"]["median"])
        raise AssayError(
            f"several threads are slower than one: {worst['student']}, {worst['ratio']}: "
            f"{worst['now']['median']:.2f} times as fast, where {LEAST_OF_THREADS} is asked; "
            "see results/regression/regression.md"
        )
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in (WORSE, BETTER, SAME, MISSING)}
    compared = counts[WORSE] + counts[BETTER] + counts[SAME]
    others = f"; {words}" if (words := _of_other_weights(comparison)) else ""
    if not compared:
        raise AssayError(f"the baseline holds none of the ratios that were measured{others}: {STORE}")
    if not comparison["comparable"]:
        now, then = (", ".join(map(str, comparison["machine"][when].values())) for when in ("now", "baseline"))
        raise AssayError(f"the baseline is of another machine ({then} threads; here {now} threads): {STORE}")
    if counts[WORSE]:
        worst = "; ".join(map(sentence, [row for row in rows if row["verdict"] == WORSE][:3]))
        rest = f"; and {counts[WORSE] - 3} more" if counts[WORSE] > 3 else ""
        raise AssayError(
            f"{counts[WORSE]} of {compared} ratios became worse, beyond the spread of both runs: {worst}{rest}; see "
            f"results/regression/regression.md, and if that is meant, {STORE}"
        )
    unmeasured = f"; {counts[MISSING]} ratios of the baseline were not measured" if counts[MISSING] else ""
    return f"None of {compared} ratios became worse, {counts[BETTER]} became better{unmeasured}{others}."


def _of_other_weights(comparison: Mapping[str, Any]) -> str:
    """Say of which students the baseline has other weights; empty if of none."""
    names = ", ".join(comparison["other_weights"])
    return f"not compared, because the baseline is of other weights: {names}" if names else ""


def sentence(row: Mapping[str, Any]) -> str:
    """Say in words how a ratio that is in both runs changed."""
    now, then = row["now"], row["baseline"]
    return (
        f"{row['student']}, {row['ratio']}: {now['median']:.2f} ({now['p5']:.2f} to {now['p95']:.2f}) times faster "
        f"instead of {then['median']:.2f} ({then['p5']:.2f} to {then['p95']:.2f}), {100 * row['change']:+.0f} %"
    )


def write_markdown(path: str | Path, comparison: Mapping[str, Any]) -> None:
    """Write the comparison as a table, worst first."""
    lines = [
        "# Ratios of this run beside the baseline",
        "",
        *(f"- {when}: {', '.join(map(str, own.values()))} threads" for when, own in comparison["machine"].items()),
        *(f"- {words}" for words in [_of_other_weights(comparison)] if words),
        "",
        table(COLUMNS, map(_cells, comparison["rows"]), left=len(COLUMNS)),
        "",
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines))


def _rows(
    variant: str, now: Mapping[str, Ratio], stored: Mapping[str, Mapping[str, float]], tolerance: float
) -> Iterator[dict[str, Any]]:
    then = {name: Ratio(**value) for name, value in stored.items()}
    for name in dict.fromkeys([*now, *then]):
        row: dict[str, Any] = {"student": variant, "ratio": name}
        if name in now:
            row["now"] = asdict(now[name])
        if name in then:
            row["baseline"] = asdict(then[name])
        if name in now and name in then:
            row["change"] = now[name].median / then[name].median - 1.0
            row["verdict"] = _verdict(now[name], then[name], tolerance)
        else:
            row["verdict"] = NEW if name in now else MISSING
        yield row


def _verdict(now: Ratio, then: Ratio, tolerance: float) -> str:
    if now.p95 < then.p5 and now.median < (1.0 - tolerance) * then.median:
        return WORSE
    if now.p5 > then.p95 and now.median * (1.0 - tolerance) > then.median:
        return BETTER
    return SAME


def _machine(result: Mapping[str, Any]) -> dict[str, Any]:
    """The machine of a benchmark or a baseline, on which its ratios depend."""
    return {key: result[key] for key in ("device", "device_name")} | {"threads": result["threads"]["torch"]}


def _one_machine(benchmarks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The machine of all benchmarks.

    Raises:
        AssayError: they come from different ones.
    """
    first = _machine(next(iter(benchmarks.values())))
    for variant, benchmark in benchmarks.items():
        if _machine(benchmark) != first:
            raise AssayError(f"the benchmark of {variant} is of another machine than the others: run them all on one")
    return first


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = [row["student"], row["ratio"]]
    for when in ("now", "baseline"):
        value = row.get(when)
        cells += [f"{value['median']:.2f}", f"{value['p5']:.2f} to {value['p95']:.2f}"] if value else ["–", "–"]
    change = f"{100 * row['change']:+.0f} %" if "change" in row else "–"
    return [*cells, change, row["verdict"]]
