"""What `snakemake engines` found of students in programs of molecular dynamics, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.engines.table import FAILS, PASSES, TOO_SHORT
from assay.report.evidence import Student
from assay.workflow.files import read_json


def read_engines(folder: str | Path, students: Sequence[Student]) -> dict[str, Any] | None:
    """Read the speed of each program and whether it passes.

    Args:
        folder: ``results/engines/``.
        students: the variants with their results; those whose weights have changed since are left out.

    Returns:
        ``sizes`` (numbers of atoms), ``rows`` (each with ``student``, ``program``, the times of a step ``ms`` by size,
        ``missing``, the reasons by size why there is no time, ``verdict``, and ``error`` or None),
        ``load_of_other_processes`` and the path ``figure``, None if it shows what was left out; or None if nothing is
        known of these students.
    """
    path = Path(folder, "engines.json")
    if not path.is_file():
        return None
    found = read_json(path)["students"]
    known = {
        student.name: found[student.name]
        for student in students
        if student.name in found
        and found[student.name]["checkpoint_sha256"] == student.get("model", "checkpoint_sha256")
    }
    rows = [
        {
            "student": name,
            "program": program["title"],
            "ms": {
                point["n_atoms"]: point["ms_per_step"] for point in program.get("speed", []) if "ms_per_step" in point
            },
            "missing": {
                point["n_atoms"]: point.get("left_out") or point.get("error", "no time was measured")
                for point in program.get("speed", [])
                if "ms_per_step" not in point
            },
            "verdict": _verdict(program),
            "error": program.get("error"),
        }
        for name, own in known.items()
        for program in own["programs"].values()
    ]
    if not rows:
        return None
    return {
        "sizes": sorted({size for row in rows for size in [*row["ms"], *row["missing"]]}),
        "rows": rows,
        "load_of_other_processes": max(own["load_of_other_processes"] for own in known.values()),
        "figure": str(path.with_suffix(".svg")) if known.keys() == found.keys() else None,
    }


def _verdict(program: dict[str, Any]) -> str:
    """The worst of the verdicts on a program's structures."""
    found = {case["verdict"] for case in program.get("cases", {}).values()} or {FAILS}
    return next(worst for worst in (FAILS, TOO_SHORT, PASSES) if worst in found)
