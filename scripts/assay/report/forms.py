"""The forms in which a student can be deployed: what each costs in time, disk and accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from assay.report.evidence import Student

FILES = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}


@dataclass(frozen=True)
class Form:
    """One precision of one student, run by its fastest runtime.

    Attributes:
        variant, precision, runtime: what it is.
        latency_ms: median of one call on one structure, energies and forces.
        n_atoms: of that structure.
        teacher_ratio: how many times as long one call of the teacher takes on that structure.
        force_mae_eV_per_A: on the headline split.
        size_bytes: of its file.
    """

    variant: str
    precision: str
    runtime: str | None
    latency_ms: float | None
    n_atoms: int | None
    teacher_ratio: float | None
    force_mae_eV_per_A: float | None
    size_bytes: int | None


def forms(student: Student) -> list[Form]:
    """The forms of a student of which a file or a time is known."""
    found = []
    for precision, file in FILES.items():
        timed = fastest(row for row in single_calls(student) if precision_of(row) == precision)
        size = student.size_bytes(file)
        if timed is None and size is None:
            continue
        timed = timed or {}
        form = Form(
            variant=student.name,
            precision=precision,
            runtime=timed.get("runtime"),
            latency_ms=timed.get("latency_ms_median"),
            n_atoms=timed.get("n_atoms"),
            teacher_ratio=timed.get("speedup_over_teacher"),
            force_mae_eV_per_A=_force_mae(student, precision),
            size_bytes=size,
        )
        found.append(form)
    return found


def front(points: Sequence[Form]) -> list[Form]:
    """The forms that no other beats in both latency and force error, by latency."""
    known = [p for p in points if p.latency_ms is not None and p.force_mae_eV_per_A is not None]
    best: list[Form] = []
    for point in sorted(known, key=lambda p: (p.latency_ms, p.force_mae_eV_per_A)):
        if not best or point.force_mae_eV_per_A < best[-1].force_mae_eV_per_A:  # type: ignore[operator]
            best.append(point)
    return best


def measurements(student: Student) -> list[dict[str, Any]]:
    """The rows of ``benchmark.json``: one per runtime, batch size and system size."""
    return student.get("benchmark", "measurements") or []


def single_calls(student: Student) -> list[dict[str, Any]]:
    """Measurements of one structure a call."""
    return [row for row in measurements(student) if row.get("batch_size") == 1]


def fastest(rows: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The row with the lowest latency, or None."""
    return min((r for r in rows if r.get("latency_ms_median")), key=lambda r: r["latency_ms_median"], default=None)


def precision_of(row: dict[str, Any]) -> str:
    """fp32, fp16 or int8, from the name of the runtime."""
    name = row.get("runtime", "")
    return next((precision for precision in ("fp16", "int8") if precision in name), "fp32")


def _force_mae(student: Student, precision: str) -> float | None:
    """Of the float32 model, times what its quantization adds."""
    base = student.headline("force_mae_eV_per_A")
    if precision == "fp32" or base is None:
        return base
    chosen = student.get("quantization", "chosen") if precision == "int8" else precision
    increase = student.get("quantization", "schemes", chosen or "", "force_mae_increase_relative")
    return None if increase is None else base * (1.0 + increase)
