"""Reads what `snakemake peers` found of students beside networks of other packages, if it was run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.peers.compare import SEARCHED
from assay.report.evidence import Student
from assay.workflow.files import read_json


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
        failures += [{"student": student.name, "peer": peer, "reason": error} for peer, error in errors.items()]
    load = result["load_of_other_processes"]
    return {"rows": rows, "failures": failures, "load_of_other_processes": load} if rows or failures else None
