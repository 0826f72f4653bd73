"""What was measured on a GPU, as tables of Markdown: the records of ``scripts/gpu_hour.py`` that are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.gpu_hour.names import EAGER, KEPT, KERNELS, PEAK
from assay.report.markdown import code
from assay.report.wording import count, number, percent
from assay.workflow.errors import listing
from assay.workflow.files import read_json
from assay.workflow.markdown import table

RECORDS = "data/benchmarks/gpu"
PARTS = ("speed", "profile", "parity", "physics")
NOTHING = "No figure has been taken on a GPU."

PROFILED = ("1 x 20 atoms", "1024 x 20 atoms")

# Kinds of kernels in a profile, each by their names or, for those of torch and cuBLAS, by parts of their names.
FILTERS = ("make_filters",)
NEIGHBORS = ("add_messages", "add_messages_adjoint", "add_pair_forces")
LAYERS = ("linear", "two_products")
PRODUCTS = ("scale_carried", "join_invariants", "update_features", "gates_adjoint", "mixed_adjoint")
LIBRARY_LAYERS = ("gemm", "gemv", "cutlass", "splitK", "silu")
KINDS = ("filters", "neighbors", "layers", "products of features", "pairs, sums and copies")
# Calls on the CPU, which have the time of their kernels once more.
TWICE = ("aten::", "cuda", "Activity Buffer Request")


def gpu(root: str | Path) -> str:
    """The device with its matrix peak, and a sentence for each runtime that was not there.

    Args:
        root: the folder of the repository.

    Returns:
        Markdown, as of each function here that makes a table; a sentence where nothing was measured in full size.
    """
    found = {part: record for part in PARTS if (record := read_record(root, part)) is not None}
    if not found:
        return NOTHING
    parts_of: dict[str, list[str]] = {}
    for part, record in found.items():
        parts_of.setdefault(_about(record), []).append(part)
    lines = [f"{about}." if len(parts_of) == 1 else f"{listing(parts)}: {about}." for about, parts in parts_of.items()]
    if (peak := _pieces(found.get("speed")).get(PEAK, {})).get("gflop_per_s"):
        size = count(peak["matrix_size"])
        lines[-1] += (
            f" Its largest rate in products of {size} x {size} numbers, in {peak['dtype']}: "
            f"{number(peak['gflop_per_s'])} GFLOP/s."
        )
    missing = [f"{code(name)} was not measured{where}: {why}." for name, where, why in _reasons(found)]
    return "\n\n".join([" ".join(lines), *([" ".join(missing)] if missing else [])])


def gpu_speed(root: str | Path) -> str:
    """The times of the kernels by size and student, with a search for neighbors and without, and beside PyTorch."""
    timed = times(read_record(root, "speed"))
    if not timed:
        return NOTHING
    students = list(dict.fromkeys(student for student, _ in timed))[::-1]  # the smallest are measured first
    sizes = list(dict.fromkeys(size for _, size in timed))
    columns = ["structures", "atoms", *map(code, students)]
    written = []
    for title, write in OF_SPEED.items():
        rows = []
        for size in sizes:
            points = [timed.get((student, size), {}) for student in students]
            cells = [write(point) for point in points]
            if any(cells):
                n_atoms = max(point.get("n_atoms", 0) for point in points)
                rows.append([_size_in_words(size), count(n_atoms), *[cell or number(None) for cell in cells]])
        if rows:
            written += [title, table(columns, rows)]
    return "\n\n".join(written)


def gpu_brief(root: str | Path) -> str:
    """One sentence: the time of the kernels for the batch that is profiled, by student."""
    record = read_record(root, "speed")
    timed = {student: point for (student, size), point in times(record).items() if size == PROFILED[1]}
    found = {student: point for student, point in timed.items() if "latency_ms_median" in (point.get(KERNELS) or {})}
    if record is None or not found:
        return NOTHING
    n_atoms = count(max(point["n_atoms"] for point in found.values()))
    shown = [f"{number(point[KERNELS]['latency_ms_median'])} ms ({code(student)})" for student, point in found.items()]
    return (
        f"On a GPU ({record['device_name']}, {record['created_utc'][:10]}, the students of that day), {n_atoms} atoms "
        f"in 1,024 molecules take {listing(shown[::-1])}: [On a GPU](docs/gpu.md)."
    )


def gpu_parity(root: str | Path) -> str:
    """How far each runtime of each student is from the network in double precision on the CPU."""
    pieces = _by_student(_pieces(read_record(root, "parity")))
    if not pieces:
        return NOTHING
    rows = [[*_of_whom(name), *_parity(piece)] for name, piece in pieces.items()]
    return table(["student", "runtime", "passed", "largest force error (eV/angstrom)"], rows, left=2)


def gpu_physics(root: str | Path) -> str:
    """Whether equal inputs give equal bits, and the drift of the energy in dynamics, by student and runtime."""
    pieces = _by_student(_pieces(read_record(root, "physics")))
    if not pieces:
        return NOTHING
    runs = max((piece["runs"] for piece in pieces.values() if "runs" in piece), default=0)
    columns = ["student", "runtime", f"equal bits in {runs} calls", "molecules", "picoseconds",
               "drift, median (meV/atom/ps)", "largest"]  # fmt: skip
    names = dict.fromkeys(name.rpartition(", ")[0] for name in pieces)
    rows = [
        [*_of_whom(name), *_physics(pieces.get(f"{name}, determinism", {}), pieces.get(f"{name}, dynamics", {}))]
        for name in names
    ]
    return table(columns, rows, left=2)


def gpu_profile(root: str | Path) -> str:
    """Where the time of one evaluation by the kernels goes: for one molecule, and for a batch."""
    pieces = _by_student(_pieces(read_record(root, "profile")))
    rows = []
    for size in PROFILED:
        for name, piece in pieces.items():
            student, runtime, at = name.split(", ", 2)
            if (runtime, at) == (KERNELS, size) and "rows" in piece:
                rows.append([_size_in_words(size), code(student), count(piece["n_atoms"]), *_profile(piece)])
    if not rows:
        return NOTHING
    shown = table(["structures", "student", "atoms", "launches", "microseconds", *KINDS], rows, left=2)
    return f"The batch repeats the 64 molecules nearest to 20 atoms in size.\n\n{shown}"


TABLES = {
    "gpu": gpu,
    "gpu-brief": gpu_brief,
    "gpu-speed": gpu_speed,
    "gpu-profile": gpu_profile,
    "gpu-parity": gpu_parity,
    "gpu-physics": gpu_physics,
}


def read_record(root: str | Path, part: str) -> dict[str, Any] | None:
    """The record of a part; None if there is none, or if it was only tried in small."""
    path = Path(root) / RECORDS / f"{part}.json"
    record: dict[str, Any] | None = read_json(path) if path.is_file() else None
    return None if record is None or record["dry"] else record


def times(record: Mapping[str, Any] | None) -> dict[tuple[str, str], dict[str, Any]]:
    """What was timed, by student and size.

    Args:
        record: the content of ``speed.json``; None if there is none.

    Returns:
        ``n_atoms``, and for each runtime that was timed its row, with ``latency_ms_median`` and ``us_per_atom``.
    """
    found = {}
    for name, piece in _pieces(record).items():
        if "runtimes" in piece:
            student, size = name.split(", ", 1)
            timed = {runtime: row for runtime, row in piece["runtimes"].items() if "error" not in row}
            found[student, size] = timed | {"n_atoms": piece["n_atoms"]}
    return found


def shares_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The share of each of ``KINDS`` in the time on the device; they sum to 1.

    Args:
        rows: the rows of a profile, each with ``name`` and ``self_device_us``.
    """
    spent = dict.fromkeys(KINDS, 0.0)
    for row in _on_device(rows):
        spent[_kind(row["name"])] += row["self_device_us"]
    total = sum(spent.values())
    return {kind: time / total for kind, time in spent.items()}


def _pieces(record: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(record["pieces"]) if record else {}


def _by_student(pieces: Mapping[str, Any]) -> dict[str, Any]:
    """Pieces with those of the largest student first; the smallest is measured first."""
    students = list(dict.fromkeys(name.split(", ")[0] for name in pieces))[::-1]
    return {name: pieces[name] for name in sorted(pieces, key=lambda name: students.index(name.split(", ")[0]))}


def _of_whom(name: str) -> list[str]:
    """The student and the runtime that a piece is named by."""
    student, runtime = name.split(", ", 1)
    return [code(student), code(runtime)]


def _size_in_words(size: str) -> str:
    """A size as people write it: ``1024 x 20 atoms`` as 1,024 x 20 atoms."""
    return " ".join(f"{int(word):,}" if word.isdigit() else word for word in size.split())


def _about(record: Mapping[str, Any]) -> str:
    versions = record["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("torch", "triton") if name in versions)
    return f"{record['device_name']}; {named}; {record['created_utc'][:10]}"


def _reasons(found: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """What was not measured, each once: its name, where if it was elsewhere, and why."""
    failed: dict[tuple[str, str], list[str]] = {}
    measured = set()
    for part, record in found.items():
        for name, piece in _pieces(record).items():
            at = {name.split(", ")[1]: piece} if part == "parity" else piece.get("runtimes", {name: piece})
            for runtime, row in at.items():
                if "error" in row:
                    failed.setdefault((runtime, _plainly(row["error"])), []).append(name)
                else:
                    measured.add(runtime)
    return [
        (runtime, _where(names) if runtime in measured and names != [runtime] else "", why)
        for (runtime, why), names in failed.items()
    ]


def _plainly(error: str) -> str:
    """A reason without what is said around it."""
    for before in ("not available: ", "ModuleNotFoundError: "):
        error = error.removeprefix(before)
    return error.rstrip(".")


def _where(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f" ({names[0]}{more})"


def _milliseconds(row: Mapping[str, Any] | None) -> str:
    return f"{number(row['latency_ms_median'])} ({number(row['us_per_atom'])})" if row else ""


def _ratio(point: Mapping[str, Any]) -> str:
    if EAGER not in point or KERNELS not in point:
        return ""
    return number(point[EAGER]["latency_ms_median"] / point[KERNELS]["latency_ms_median"])


# What is said of each table of speed, and what writes its cells; an empty one is a point that has no such time.
OF_SPEED = {
    "Milliseconds of a call of the kernels, and in brackets microseconds per atom. Batches are of the molecules "
    "nearest to 20 atoms in size:": lambda point: _milliseconds(point.get(KERNELS)),
    "The same with pairs kept:": lambda point: _milliseconds(point.get(KEPT)),
    "How many times as fast as PyTorch, operation by operation. Its call begins and ends in the memory of the CPU, "
    "compares all pairs of an open structure, and searches a box on the CPU:": _ratio,
}


def _parity(piece: Mapping[str, Any]) -> list[str]:
    if "error" in piece:
        return [number(None), number(None)]
    return [_yes(piece["passed"]), number(piece["forces_error_eV_per_A_max"])]


def _physics(determinism: Mapping[str, Any], dynamics: Mapping[str, Any]) -> list[str]:
    equal = _yes(determinism["passed"]) if "passed" in determinism else number(None)
    drifts = [dynamics.get(f"drift_meV_per_atom_per_ps_{which}") for which in ("median", "max")]
    return [equal, count(dynamics.get("n_molecules")), number(dynamics.get("duration_ps"), 2), *map(number, drifts)]


def _profile(piece: Mapping[str, Any]) -> list[str]:
    """Launches, microseconds on the device, and the shares of the kinds of kernels."""
    rows = _on_device(piece["rows"])
    shares = [percent(share) for share in shares_of(rows).values()]
    return [count(sum(row["calls"] for row in rows)), number(sum(row["self_device_us"] for row in rows)), *shares]


def _on_device(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of kernels and copies, each of which has its time once."""
    return [row for row in rows if row["self_device_us"] > 0.0 and not row["name"].startswith(TWICE)]


def _kind(name: str) -> str:
    for kind, names in zip(KINDS, (FILTERS, NEIGHBORS, LAYERS, PRODUCTS), strict=False):
        if name in names:
            return kind
    return KINDS[2] if any(part in name for part in LIBRARY_LAYERS) else KINDS[-1]


def _yes(passed: bool) -> str:
    return "yes" if passed else "no"
