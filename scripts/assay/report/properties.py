"""What `snakemake properties` found of a material by dynamics of the students and of their teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.report.evidence import Student
from assay.workflow.compact_svg import names_shown
from assay.workflow.files import read_json

FOLDER = "properties"  # beside the folders of the students
OF_A_RUN = ("mean_temperature_K", "mean_temperature_standard_error_K")
OF_A_ROW = ("n_atoms", "temperature_K", "density_g_per_cm3", "pressure_GPa", "pressure_standard_error_GPa")


def read_properties(
    folder: str | Path, students: Sequence[Student], structure: str | None, teacher: str
) -> dict[str, Any] | None:
    """Read the properties of each student and of the teacher, of one structure.

    Args:
        folder: the folder of all results.
        students: the variants; those whose weights have changed since are left out.
        structure: the file where dynamics begin; what began elsewhere is left out. None if the config names none.
        teacher: the name of the teacher; what another one found is left out.

    Returns:
        ``rows``, each of a student or, under the name None, of the teacher; the ``structure``; the ``teacher``'s name,
        None without rows of it, and the ``figure``, None without or if it does not show these students alone; or None
        if nothing was measured of a student.
    """
    paths = {student.name: student.folder / "properties.json" for student in students}
    every = {name: found for name, path in paths.items() if path.is_file() and "rows" in (found := read_json(path))}
    sha256s = {student.name: student.get("model", "checkpoint_sha256") for student in students}
    own = {name: found for name, found in every.items() if found["checkpoint_sha256"] == sha256s[name]}
    kept = {name: found for name, found in own.items() if found["settings"]["structure"] == structure}
    if not kept:
        return None
    asked, figure = Path(folder, FOLDER, "teacher.json"), Path(folder, FOLDER, "properties.svg")
    found = read_json(asked) if asked.is_file() else None
    same = found is not None and (found["teacher"], found["settings"]["structure"]) == (teacher, structure)
    rows = [row for name, result in kept.items() for row in _rows(name, result)]
    shown = figure.is_file() and kept == every and (same or found is None) and names_shown(figure) == set(kept)
    return {
        "rows": rows + (_rows(None, found) if found and same else []),
        "structure": structure,
        "teacher": teacher if same else None,
        "figure": str(figure) if shown else None,
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
        # Results of before a run told its own temperature have none.
        | {key: row.get(key) for key in OF_A_RUN}
        for row in found["rows"]
    ]
