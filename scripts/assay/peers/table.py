"""Writes what a comparison with peers found, as tables for people and for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from assay.peers.compare import SEARCHED, in_engine_name
from assay.workflow.files import atomic_path
from assay.workflow.markdown import BUSY, table

COLUMNS = ("student", "atoms", "batch", "neighbors", "runtime", "ms", "atoms/s", "peer", "peer's parameters",
           "peer's ms", "peer's atoms/s", "times faster", "p5 to p95", "asked for")  # fmt: skip
ENGINE_COLUMNS = ("peer of", "peer", "width", "atoms", "batch", "neighbors", "engine (ms)", "peer's ms", "times faster",
                  "p5 to p95", "asked for")  # fmt: skip


def write_markdown(path: str | Path, result: Mapping[str, Any]) -> None:
    """Write the fastest runtime of each student beside each peer, peers in the engine beside themselves, and failures.

    Args:
        path: the file to write.
        result: the content of ``peers.json``.
    """
    lines = [
        "# Students beside networks of other packages",
        "",
        f"Energy and forces in float32 on {result['device_name']} with {result['threads']['torch']} threads, all in "
        "one process and in turns; medians. Peers have random weights, run eagerly, and get their neighbors from this "
        f'project\'s list: "{SEARCHED}" counts the time of the neighbor search on both sides.',
        "",
        *_load(result["load_of_other_processes"]),
        *_peers(result),
        "",
        table(COLUMNS, _lines(result), left=len(COLUMNS)),
        "",
        *_in_engine(result),
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines))


def write_csv(path: str | Path, result: Mapping[str, Any]) -> None:
    """Write a line for every network at every point, with ratios to peers in columns of their own."""
    rows = []
    for student, own in result["students"].items():
        for row in own["rows"]:
            flat = {"student": student, **row}
            for peer, ratio in flat.pop("latency_ratio", {}).items():
                flat |= {f"{peer}_latency_ratio_{part}": value for part, value in ratio.items()}
            rows.append(flat)
    with atomic_path(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def _load(of_others: float) -> Iterator[str]:
    if of_others > BUSY:
        yield f"Other processes used {100 * of_others:.0f} % of the processor meanwhile, so that the ratios are rough."
        yield ""


def _peers(result: Mapping[str, Any]) -> Iterator[str]:
    """Say of each peer of each student what it is, or why it was not timed."""
    for student, own in result["students"].items():
        if "not_applicable" in own:
            yield f"- {student} was not timed: {own['not_applicable']}"
        for package, about in own["peers"].items():
            failed = [row for row in own["rows"] if "error" in row]
            failures = {row["error"] for row in failed if package in (row["network"], row.get("same_as"))}
            if "error" in about:
                yield f"- {student}: {package} was not timed: {about['error']}"
                continue
            yield (
                f"- {student} ({own['n_parameters']:,} parameters): {about['name']} of {about['package']} "
                f"{about['version']}, width {about['width']}, {about['n_parameters']:,} parameters "
                f"({about['parameter_ratio']:.2f} of the student's); {about['about']}"
            )
            if "not_in_engine" in about:
                yield f"- {student}: {package}'s network was not timed in the engine: {about['not_in_engine']}"
            yield from (f"- {student}: {package} failed at some sizes: {failure}" for failure in sorted(failures))


def _in_engine(result: Mapping[str, Any]) -> Iterator[str]:
    """The networks of peers in the compiled engine beside the peers, and the largest difference between both."""
    rows = [(student, row) for student, own in result["students"].items() for row in own["in_engine"]]
    if not rows:
        return
    yield "## The networks of peers in the compiled engine"
    yield ""
    yield (
        "The same network with the same weights, read from a file as its package saves it. Energies differ by at most "
        f"{max(row['energy_difference_eV'] for _, row in rows):.1e} eV, forces by "
        f"{max(row['force_difference_eV_per_A'] for _, row in rows):.1e} eV/angstrom."
    )
    yield ""
    lines = []
    for student, row in rows:
        about, faster = result["students"][student]["peers"][row["peer"]], row["times_faster"]
        target = result["targets"].get(in_engine_name(row["peer"]))
        cells = [student, about["name"], about["width"], row["n_atoms"], row["batch_size"], row["neighbors"]]
        cells += [f"{row[latency]:.3g}" for latency in ("latency_ms_median", "peer_latency_ms_median")]
        lines.append([*map(str, cells), *_ratio(faster), _asked(target, faster)])
    yield table(ENGINE_COLUMNS, lines, left=len(ENGINE_COLUMNS))
    yield ""


def _ratio(faster: Mapping[str, float]) -> list[str]:
    return [f"**{faster['median']:.2f}**", f"{faster['p5']:.2f} to {faster['p95']:.2f}"]


def _asked(target: float | None, faster: Mapping[str, float]) -> str:
    return "" if target is None else f"{target:g}: {'met' if faster['median'] >= target else 'unmet'}"


def _lines(result: Mapping[str, Any]) -> Iterator[list[str]]:
    for student, own in result["students"].items():
        for row in own["fastest"]:
            faster = row["times_faster"]
            yield [
                student,
                str(row["n_atoms"]),
                str(row["batch_size"]),
                row["neighbors"],
                row["runtime"],
                f"{row['latency_ms_median']:.3g}",
                f"{row['atoms_per_s']:,.0f}",
                own["peers"][row["peer"]]["name"],
                f"{own['peers'][row['peer']]['n_parameters']:,}",
                f"{row['peer_latency_ms_median']:.3g}",
                f"{row['peer_atoms_per_s']:,.0f}",
                *_ratio(faster),
                _asked(result["targets"].get(row["peer"]), faster),
            ]
