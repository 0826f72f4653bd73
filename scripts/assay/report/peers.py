"""What `snakemake peers` found of students beside networks of other packages: for the report, and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.peers.compare import SEARCHED
from assay.report.evidence import Student
from assay.report.markdown import code, of_others, spread
from assay.report.wording import count, number
from assay.workflow.errors import listing
from assay.workflow.files import read_json
from assay.workflow.markdown import table


def read_peers(path: str | Path, students: Sequence[Student]) -> dict[str, Any] | None:
    """Read the fastest runtime of each student beside each peer, neighbor search included.

    Args:
        path: the path of ``peers.json``.
        students: the variants with their results; those whose weights have changed since are left out.

    Returns:
        ``rows``, ``failures`` (peers that were not timed, with the reason) and ``load_of_other_processes``; None if
        nothing is known of these students.
    """
    if not Path(path).is_file():
        return None
    result = read_json(path)
    rows, failures = [], []
    for student in students:
        own = result["students"].get(student.name)
        if own is None or own["checkpoint_sha256"] != student.get("model", "checkpoint_sha256"):
            continue
        for row in own["fastest"]:
            if row["neighbors"] == SEARCHED:
                peer = own["peers"][row["peer"]]
                about = {"peer": f"{peer['name']} {peer['version']}", "peer_n_parameters": peer["n_parameters"]}
                rows.append({**row, "student": student.name, **about})
        errors = {peer: about["error"] for peer, about in own["peers"].items() if "error" in about}
        if "not_applicable" in own:
            failures.append({"student": student.name, "peer": "Any other package", "reason": own["not_applicable"]})
        failures += [{"student": student.name, "peer": peer, "reason": error} for peer, error in errors.items()]
    load = result["load_of_other_processes"]
    return {"rows": rows, "failures": failures, "load_of_other_processes": load} if rows or failures else None


def peers(figures: Mapping[str, Any]) -> str:
    """The fastest runtime of each student beside networks of other packages."""
    found = figures["peers"]
    if found is None:
        return "The students of this run were not timed beside other packages: `snakemake peers` does that."
    lines, rows = [], []
    for name, own in found["students"].items():
        for row in own["fastest"]:
            peer = own["peers"][row["peer"]]
            rows.append(
                [
                    code(name),
                    f"{peer['name']} ({count(peer['n_parameters'])} parameters)",
                    row["neighbors"],
                    str(row["n_atoms"] // row["batch_size"]),
                    str(row["batch_size"]),
                    number(row["latency_ms_median"]),
                    number(row["peer_latency_ms_median"]),
                    spread(row["times_faster"]),
                ]
            )
        if "not_applicable" in own:
            lines.append(f"- `{name}` was not timed: {own['not_applicable']}")
        lines += [f"- `{name}`: {peer} was not timed: {about['error']}"
                  for peer, about in own["peers"].items() if "error" in about]  # fmt: skip
    packages = {f"{p['package']} {p['version']}" for own in found["students"].values() for p in own["peers"].values()
                if "error" not in p}  # fmt: skip
    where = (
        f"Measured on {found['created_utc'][:10]} on {found['device_name']} with {found['threads']} threads, by torch "
        f"{found['versions']['torch']}, {listing(sorted(packages))}.{of_others(found['load_of_other_processes'])}"
    )
    columns = ["student", "peer", "neighbors", "atoms", "batch", "student (ms)", "peer (ms)", "times faster"]
    parts = [where, "", *lines, *([""] if lines else []), table(columns, rows, left=3)]
    return "\n".join([*parts, *_peers_in_engine(found["students"])])


def _peers_in_engine(students: Mapping[str, Any]) -> list[str]:
    """The networks of peers, with their weights, in the compiled engine beside the peers themselves."""
    rows, differences = [], []
    for own in students.values():
        for row in own["in_engine"]:
            peer = own["peers"][row["peer"]]
            times = [number(row["latency_ms_median"]), number(row["peer_latency_ms_median"])]
            place = [row["neighbors"], str(row["n_atoms"] // row["batch_size"]), str(row["batch_size"])]
            name = f"{peer['name']}, width {peer['width']}"
            rows.append([name, *place, *times, spread(row["times_faster"])])
            differences.append(row["force_difference_eV_per_A"])
    if not rows:
        return []
    said = (
        "The engine computes the same networks, with the weights of the peers, as well; forces differ by at most "
        f"{max(differences):.1e} eV/angstrom:"
    )
    columns = ["network", "neighbors", "atoms", "batch", "engine (ms)", "peer (ms)", "times faster"]
    return ["", said, "", table(columns, rows, left=2)]
