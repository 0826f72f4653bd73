"""Cuts ``benchmark.json`` to the tables and curves of the report."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from assay.benchmark.points import atoms_at
from assay.report.evidence import Student
from assay.report.forms import HEADLINE_ATOMS, compared_atoms, compared_machine, forms_of, precision_of, timed_rows
from assay.report.wording import of_each, percent
from assay.workflow.markdown import BUSY
from assay.workflow.teachers import same_teacher

DISTURBED = 0.25  # the share of the processor from which a comparison of times says more of others than of a student


def by_size(student: Student) -> list[dict[str, Any]]:
    """Find the fastest runtime in single precision for one structure of each size."""
    single = [row for row in _single_precision(student) if row["batch_size"] == 1]
    sizes = sorted({row["system_size"] for row in single})
    return [_fastest(row for row in single if row["system_size"] == size) for size in sizes]


def by_runtime(student: Student) -> list[dict[str, Any]]:
    """List each runtime at the headline size, by its time for one structure.

    Returns:
        A row for each runtime: ``runtime``, ``file``, ``precision``, ``in_picture`` (whether it is the fastest of its
        precision and stands for it), ``single`` (its row at batch size 1), ``best`` (its row with the most atoms a
        second) and ``error`` (with what it failed, if it did).
    """
    size = headline_size(student)
    timed = [row for row in timed_rows(student) if row["system_size"] == size]
    in_picture = {form.runtime for form in forms_of(student)}
    found = []
    for name, about in (student.get("benchmark", "runtimes") or {}).items():
        own = [row for row in timed if row["runtime"] == name]
        failed = [row for row in student.get("benchmark", "rows") if row["runtime"] == name and "error" in row]
        found.append(
            {
                "runtime": name,
                "file": about["file"],
                "precision": precision_of(student, name),
                "in_picture": name in in_picture,
                "single": next((row for row in own if row["batch_size"] == 1), None),
                "best": max(own, key=lambda row: row["atoms_per_s"], default=None),
                "error": about.get("error") or next((row["error"] for row in failed), None),
            }
        )
    return sorted(found, key=lambda r: r["single"]["latency_ms_median"] if r["single"] else float("inf"))


def throughput(student: Student) -> list[tuple[int, float]]:
    """Return pairs (batch size, atoms per second) of the fastest runtime in single precision at the headline size."""
    rows = [row for row in _single_precision(student) if row["system_size"] == headline_size(student)]
    batches = sorted({row["batch_size"] for row in rows})
    best = [_fastest(row for row in rows if row["batch_size"] == batch) for batch in batches]
    return [(row["batch_size"], row["atoms_per_s"]) for row in best]


def teacher_throughput(student: Student) -> float | None:
    """Return the atoms per second of the teacher at the headline size, one structure a call; None if not timed."""
    calls = student.get("benchmark", "teacher", "rows") or []
    own = [r for r in calls if r["call"] == "teacher" and r["system_size"] == headline_size(student)]
    row = next((r for r in own if r["batch_size"] == 1), None)
    return None if row is None else 1e3 * row["n_atoms"] / row["latency_ms_median"]


def teachers_timed(students: Sequence[Student]) -> dict[str, float]:
    """Return the time of one call of each teacher in milliseconds, by its name, on the structure of ``by_runtime``.

    It is the median of the benchmarks of all students, each of which times the teacher anew, on the machine and for as
    many atoms as times are compared at. Listed are teachers whose error is zero by definition: the student's own, and
    what labelled its headline split.
    """
    found: dict[str, list[tuple[str | None, int, float]]] = {}
    for student in students:
        size, name = headline_size(student), student.get("benchmark", "teacher", "name")
        labelled_by = student.get("accuracy", "splits", student.headline_split or "", "labelled_by", "name")
        if not student.get("benchmark", "teacher", "own") and not same_teacher(name, labelled_by):
            continue
        for row in student.get("benchmark", "teacher", "rows") or []:
            if (row["call"], row["system_size"], row["batch_size"]) == ("teacher", size, 1):
                found.setdefault(name, []).append((student.machine, row["n_atoms"], row["latency_ms_median"]))
    return {name: _compared(times) for name, times in found.items()}


def _compared(times: Sequence[tuple[str | None, int, float]]) -> float:
    """The median of times, each after its machine and its number of atoms, of those that are compared."""
    machine = compared_machine(machine for machine, _, _ in times)
    here = [(n_atoms, ms) for own, n_atoms, ms in times if own == machine]
    compared = compared_atoms(n_atoms for n_atoms, _ in here)
    return median(ms for n_atoms, ms in here if n_atoms == compared)


def timed_teachers(students: Sequence[Student]) -> list[str]:
    """List the names of the teachers whose calls were timed beside the students."""
    benchmarks = [student.get("benchmark", "teacher") or {} for student in students]
    return list(dict.fromkeys(found["name"] for found in benchmarks if found.get("rows")))


def busiest(students: Sequence[Student]) -> float | None:
    """Return the largest share of the processor that others used while a student was timed; None up to ``BUSY``."""
    loads = [student.get("benchmark", "load_of_other_processes") or 0.0 for student in students]
    return load if (load := max(loads, default=0.0)) > BUSY else None


def disturbance(student: Student) -> str:
    """Say that others used so much of the processor that no target of speed can be judged; empty if they did not."""
    load = busiest([student]) or 0.0
    return f"others used {percent(load, 0)} of the processor: time it on a quiet machine" if load > DISTURBED else ""


def headline_size(student: Student) -> int | None:
    """Return the measured system size that stands for all: the one nearest to ``HEADLINE_ATOMS``."""
    return min((row["system_size"] for row in timed_rows(student)), key=lambda n: abs(n - HEADLINE_ATOMS), default=None)


def machines(students: Sequence[Student]) -> str:
    """Write on which machine the students were timed, by student where they differ; empty if none was timed."""
    return of_each({student.name: student.machine for student in students if student.machine})


def headline_atoms(students: Sequence[Student]) -> str:
    """Write how many atoms the structure has that was timed at the headline size, by student where they differ."""
    rows = {student.name: (timed_rows(student), headline_size(student)) for student in students}
    return of_each({name: f"{atoms_at(own, size)} atoms" for name, (own, size) in rows.items() if size is not None})


def _single_precision(student: Student) -> list[dict[str, Any]]:
    return [row for row in timed_rows(student) if precision_of(student, row["runtime"]) == "fp32"]


def _fastest(rows: Any) -> dict[str, Any]:
    return min(rows, key=lambda row: row["latency_ms_median"])
