"""Writes what a comparison with peers found, as tables for people and for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from assay.peers.compare import SEARCHED
from assay.workflow.files import atomic_path

COLUMNS = ("student", "atoms", "batch", "neighbors", "runtime", "ms", "atoms/s", "peer", "peer's parameters",
           "peer's ms", "peer's atoms/s", "times faster", "p5 to p95", "asked for")  # fmt: skip
BUSY = 0.1  # the share of the processor from which other processes disturb


def write_markdown(path: str | Path, result: Mapping[str, Any]) -> None:
    """Write the fastest runtime of each student beside each peer, and which peers were not timed and why.

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
        "| " + " | ".join(COLUMNS) + " |",
        "| " + " | ".join("---" for _ in COLUMNS) + " |",
        *("| " + " | ".join(row) + " |" for row in _lines(result)),
        "",
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
        for package, about in own["peers"].items():
            failures = {row["error"] for row in own["rows"] if row["network"] == package and "error" in row}
            if "error" in about:
                yield f"- {student}: {package} was not timed: {about['error']}"
                continue
            yield (
                f"- {student} ({own['n_parameters']:,} parameters): {about['name']} of {about['package']} "
                f"{about['version']}, width {about['width']}, {about['n_parameters']:,} parameters "
                f"({about['parameter_ratio']:.2f} of the student's); {about['about']}"
            )
            yield from (f"- {student}: {package} failed at some sizes: {failure}" for failure in sorted(failures))


def _lines(result: Mapping[str, Any]) -> Iterator[list[str]]:
    for student, own in result["students"].items():
        for row in own["fastest"]:
            faster, target = row["times_faster"], result["targets"].get(row["peer"])
            asked = "" if target is None else f"{target:g}: {'met' if faster['median'] >= target else 'unmet'}"
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
                f"**{faster['median']:.2f}**",
                f"{faster['p5']:.2f} to {faster['p95']:.2f}",
                asked,
            ]
