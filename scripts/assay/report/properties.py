"""What `snakemake properties` found of a material by dynamics of the students and of their teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.report.evidence import Student
from assay.workflow.files import read_json

FOLDER = "properties"  # beside the folders of the students
OF_A_ROW = ("n_atoms", "temperature_K", "density_g_per_cm3", "pressure_GPa", "pressure_standard_error_GPa")


def read_properties(folder: str | Path, students: Sequence[Student]) -> dict[str, Any] | None:
    """Read the properties of each student and of the teacher.

    Args:
        folder: the folder of all results.
        students: the variants; those whose weights have changed since are left out.

    Returns:
        ``rows``, each of a student or, under the name None, of the teacher; ``structure``, where dynamics began; the
        ``teacher``'s name, and the ``figure`` of all, None without; or None if nothing was measured.
    """
    own_folder, rows, structure = Path(folder, FOLDER), [], None
    for student in students:
        path = student.folder / "properties.json"
        found = read_json(path) if path.is_file() else {}
        if "rows" in found and found["checkpoint_sha256"] == student.get("model", "checkpoint_sha256"):
            rows += _rows(student.name, found)
            structure = found["settings"]["structure"]
    if not rows:
        return None
    teacher, figure = own_folder / "teacher.json", own_folder / "properties.svg"
    asked = read_json(teacher) if teacher.is_file() else None
    return {
        "rows": rows + (_rows(None, asked) if asked else []),
        "structure": structure,
        "teacher": asked["teacher"] if asked else None,
        "figure": str(figure) if figure.is_file() else None,
    }


def _rows(name: str | None, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {key: row[key] for key in OF_A_ROW}
        | {"student": name}
        | {
            "diffusion": {
                symbol: {key: own[key] for key in ("coefficient_cm2_per_s", "standard_error_cm2_per_s")}
                for symbol, own in row["diffusion"].items()
            }
        }
        for row in found["rows"]
    ]
