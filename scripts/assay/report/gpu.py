"""What was measured on a GPU, as tables of Markdown: the records of ``scripts/gpu_hour.py`` that are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.report.wording import number
from assay.workflow.files import read_json
from assay.workflow.markdown import table

RECORDS = "data/benchmarks/gpu"
NOTHING = "No figure has been taken on a GPU."


def gpu(root: str | Path) -> str:
    """The speed and the parity of every runtime on a GPU, or a sentence where nothing was measured.

    Args:
        root: the folder of the repository.
    """
    folder = Path(root) / RECORDS
    found = {name: read_json(folder / f"{name}.json") for name in ("parity", "speed") if _is_there(folder, name)}
    if not found:
        return NOTHING
    parts = [_about(next(iter(found.values())))]
    if "parity" in found:
        columns = ["student and runtime", "passed", "largest force error (eV/angstrom)"]
        rows = [_parity_row(name, piece) for name, piece in found["parity"]["pieces"].items()]
        parts.append(table(columns, rows, left=1))
    if "speed" in found:
        pieces = {name: piece for name, piece in found["speed"]["pieces"].items() if "runtimes" in piece}
        rows = [_speed_row(at, name, row) for at, piece in pieces.items() for name, row in piece["runtimes"].items()]
        parts.append(table(["student and size", "runtime", "ms", "microseconds per atom"], rows, left=2))
    return "\n\n".join(parts)


def _is_there(folder: Path, name: str) -> bool:
    """Whether there is a record that was measured in full size."""
    path = folder / f"{name}.json"
    return path.is_file() and not read_json(path)["dry"]


def _about(record: dict[str, Any]) -> str:
    versions = record["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in ("torch", "triton") if name in versions)
    return f"{record['device_name']}; {named}; {record['created_utc'][:10]}."


def _parity_row(name: str, piece: dict[str, Any]) -> list[str]:
    if "error" in piece:
        return [name, piece["error"], ""]
    return [name, "yes" if piece["passed"] else "no", number(piece["forces_error_eV_per_A_max"])]


def _speed_row(at: str, name: str, row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return [at, f"{name}: {row['error']}", "", ""]
    return [at, name, number(row["latency_ms_median"]), number(row["us_per_atom"])]
