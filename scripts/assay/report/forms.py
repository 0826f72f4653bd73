"""The forms in which a student can be deployed, and what each costs in time, disk and accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.report.evidence import HEADLINE_SPLIT, Student
from assay.report.wording import name_of, words

FILES = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
PACKAGED = "package"  # the runtime that a user of the package gets
HEADLINE_ATOMS = 20  # the size of a small drug; the nearest measured size stands for all


@dataclass(frozen=True)
class Form:
    """One precision of one student, run by what its package carries where that was timed, or else its fastest runtime.

    Attributes:
        variant, precision, runtime: the names of the student, of its precision (fp32, fp16, int8) and of the runtime.
        n_atoms: the number of atoms of the structure that the times refer to.
        latency_ms: the median time of energies and forces of one structure, neighbor search included.
        teacher_ratio, teacher_ratio_p5, teacher_ratio_p95: the teacher's time for that structure over this one's:
            median and percentiles of the rounds; the teacher starts from scratch.
        atoms_per_s: the largest throughput at any batch and size.
        force_mae_eV_per_A: the force error on the headline split.
        size_bytes: the size of its ONNX file.
        restarted_ratio, restarted_ratio_p5, restarted_ratio_p95: the same where the teacher starts from the step
            before, as in dynamics.
        split: the headline split of the student, which the force error is of.
        machine: the machine and its threads that the times were taken on.
    """

    variant: str
    precision: str
    runtime: str | None
    n_atoms: int | None
    latency_ms: float | None
    teacher_ratio: float | None
    teacher_ratio_p5: float | None
    teacher_ratio_p95: float | None
    atoms_per_s: float | None
    force_mae_eV_per_A: float | None
    size_bytes: int | None
    restarted_ratio: float | None = None
    restarted_ratio_p5: float | None = None
    restarted_ratio_p95: float | None = None
    split: str | None = None
    machine: str | None = None


def forms_of(student: Student) -> list[Form]:
    """List the forms of a student of which a file or a time is known."""
    found = []
    for precision, file in FILES.items():
        rows = [row for row in timed_rows(student) if precision_of(student, row["runtime"]) == precision]
        size = student.size_bytes(file)
        if not rows and size is None:
            continue
        packaged = [row for row in rows if row["runtime"] == PACKAGED]
        best = fastest_single_call(packaged or rows) or {}
        ratio = best.get("speedup_over_teacher") or {}
        restarted = best.get("speedup_over_restarted_teacher") or {}
        form = Form(
            variant=student.name,
            precision=precision,
            runtime=best.get("runtime"),
            n_atoms=best.get("n_atoms"),
            latency_ms=best.get("latency_ms_median"),
            teacher_ratio=ratio.get("median"),
            teacher_ratio_p5=ratio.get("p5"),
            teacher_ratio_p95=ratio.get("p95"),
            atoms_per_s=max((row["atoms_per_s"] for row in rows), default=None),
            force_mae_eV_per_A=_force_mae(student, precision),
            size_bytes=size,
            restarted_ratio=restarted.get("median"),
            restarted_ratio_p5=restarted.get("p5"),
            restarted_ratio_p95=restarted.get("p95"),
            split=student.headline_split,
            machine=student.machine,
        )
        found.append(form)
    return found


def plain_form(forms: Sequence[Form]) -> Form | None:
    """Return the form in single precision, to which the targets apply."""
    return next((form for form in forms if form.precision == "fp32"), None)


def timed_rows(student: Student) -> list[dict[str, Any]]:
    """Return the rows of ``benchmark.json`` (a runtime, a system size, a batch size) that could be timed."""
    return [row for row in student.get("benchmark", "rows") or [] if "latency_ms_median" in row]


def fastest_single_call(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Find the row with the lowest latency for one structure of the size nearest to ``HEADLINE_ATOMS``."""
    single = [row for row in rows if row["batch_size"] == 1]
    if not single:
        return None
    size = min((row["system_size"] for row in single), key=lambda n: abs(n - HEADLINE_ATOMS))
    return min((row for row in single if row["system_size"] == size), key=lambda row: row["latency_ms_median"])


def precision_of(student: Student, runtime: str) -> str:
    """Tell fp32, fp16 or int8 from the file that a runtime runs."""
    file = student.get("benchmark", "runtimes", runtime, "file") or runtime
    return next((precision for precision in ("fp16", "int8") if precision in file), "fp32")


def runtimes_in_words(forms: Sequence[Mapping[str, Any]]) -> str:
    """Name the runtimes that stand for each precision: fp32 by aotinductor or onnx, INT8 by onnx int8."""
    found = []
    for precision in FILES:
        own = [form["runtime"] for form in forms if form["precision"] == precision and form["runtime"]]
        names = [words(runtime) for runtime in dict.fromkeys(own)]
        found += [f"{name_of(precision)} by {' or '.join(names)}"] if names else []
    return ", ".join(found)


def compared_atoms(sizes: Iterable[int | None]) -> int | None:
    """The number of atoms at which times are compared: that of most, of equals the nearest to ``HEADLINE_ATOMS``."""
    known = [size for size in sizes if size is not None]
    return min(known, key=lambda size: (-known.count(size), abs(size - HEADLINE_ATOMS)), default=None)


def compared_machine(machines: Iterable[str | None]) -> str | None:
    """The machine that times are compared on: that of most, of equals the first."""
    known = [machine for machine in machines if machine is not None]
    return max(known, key=known.count, default=None)


def compared_split(splits: Iterable[str | None]) -> str | None:
    """The split on which errors are compared: ``HEADLINE_SPLIT`` if a student is judged on it, or else that of most."""
    known = [split for split in splits if split is not None]
    return HEADLINE_SPLIT if HEADLINE_SPLIT in known else max(known, key=known.count, default=None)


def known_of(points: Sequence[Form]) -> list[Form]:
    """The forms of which both time and error were measured."""
    return [p for p in points if p.latency_ms is not None and p.force_mae_eV_per_A is not None]


def comparable(points: Sequence[Form]) -> list[Form]:
    """Of the forms with a time and an error, those of one split, one machine and one number of atoms.

    There is none only if there is no form with both.
    """
    known = known_of(points)
    split = compared_split({p.variant: p.split for p in known}.values())
    judged = [p for p in known if p.split == split]
    machine = compared_machine({p.variant: p.machine for p in judged}.values())
    timed = [p for p in judged if p.machine == machine]
    n_atoms = compared_atoms({p.variant: p.n_atoms for p in timed}.values())
    return [p for p in timed if p.n_atoms == n_atoms]


def front(points: Sequence[Form]) -> list[Form]:
    """Return the forms, of comparable ones, that no other beats in both latency and force error, by latency."""
    best: list[Form] = []
    for point in sorted(known_of(points), key=lambda p: (p.latency_ms, p.force_mae_eV_per_A)):
        if not best or point.force_mae_eV_per_A < best[-1].force_mae_eV_per_A:  # type: ignore[operator]
            best.append(point)
    return best


def _force_mae(student: Student, precision: str) -> float | None:
    """Multiply the error of the float32 network by what the precision adds; None if either was not measured."""
    base = student.headline("force_mae_eV_per_A")
    if precision == "fp32" or base is None:
        return base
    chosen = student.get("quantization", "chosen") if precision == "int8" else precision
    increase = student.get("quantization", "schemes", chosen or "", "force_mae_increase_relative")
    return None if increase is None else base * (1.0 + increase)
