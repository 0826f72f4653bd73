"""What the kernels took on a GPU in an earlier measurement, for reports of runs on a CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.gpu_hour.names import KERNELS
from assay.report.evidence import Student
from assay.report.gpu import times
from assay.report.wording import count
from assay.workflow.files import read_json, sha256_file

# What is shown of each student: a size of the record, with the name of its column and the value that stands there.
COLUMNS = {
    "1 x 20 atoms": ("one molecule of 20 atoms (ms)", "latency_ms_median"),
    "1024 x 20 atoms": ("1,024 molecules, {n_atoms} atoms (microseconds per atom)", "us_per_atom"),
    "1 x 20000 atoms in a box": ("20,000 atoms in a box (ms)", "latency_ms_median"),
}


def read_earlier_gpu(
    records: Sequence[str | Path], students: Sequence[Student], shipped: Mapping[str, str | Path], device: str
) -> dict[str, Any] | None:
    """Read the times of shipped students on a GPU.

    The time of a student depends on its shape. Other weights of that shape take as long, but the record does not tell
    shapes: a student is shown whose checkpoint is the file that is shipped by its name.

    Args:
        records: the path of ``speed.json`` of ``scripts/gpu_hour.py``, or none where no such record is kept.
        students: the variants with their results.
        shipped: the path of the checkpoint of each shipped student.
        device: the device of this run; on a GPU nothing earlier is needed.

    Returns:
        ``device_name``, ``created_utc``, ``columns`` and ``rows``, each with ``student`` and the ``values`` of the
        columns, None for what was not measured; None if nothing is known of these students.
    """
    found = [read_json(path) for path in records] if device == "cpu" else []
    record = next((record for record in found if not record["dry"]), None)
    if record is None:
        return None
    timed = times(record)
    rows = []
    for student in students:
        path = Path(shipped.get(student.name, ""))
        if not path.is_file() or student.get("model", "source", "sha256") != sha256_file(path):
            continue
        points = [
            (timed.get((student.name, size), {}).get(KERNELS) or {}).get(value) for size, (_, value) in COLUMNS.items()
        ]
        if any(points):
            rows.append({"student": student.name, "values": points})
    if not rows:
        return None
    atoms = {size: point["n_atoms"] for (_, size), point in timed.items()}
    columns = [title.format(n_atoms=count(atoms.get(size))) for size, (title, _) in COLUMNS.items()]
    return {key: record[key] for key in ("device_name", "created_utc")} | {"columns": columns, "rows": rows}
