"""What the worked example found: students of a foundation model beside it, for the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.report import speed
from assay.report.earlier import unchanged
from assay.report.evidence import Student
from assay.report.markdown import code, of_others, spread
from assay.report.wording import NOT_MEASURED, count, number, percent
from assay.workflow.markdown import table

OF_THE_RUN = ("device_name", "created_utc", "versions")
ERRORS = ("n_structures", "force_accuracy", "force_mae_eV_per_A", "energy_mae_eV_per_atom", "stress_mae_GPa")
TIMES = ("n_atoms", "runtime", "latency_ms_median", "speedup_over_teacher")
PICTURE = "![Radial distribution functions, mean squared displacements and diffusion coefficients](molten-salt.svg)"
NOT_RUN = "The example was not run yet: `snakemake document_example` writes what it finds."


def example_digest(
    students: Sequence[Student], properties: Mapping[str, Any] | None, before: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What the tables of the example need of its run: errors by split, times beside the teacher, and properties.

    Args:
        students: the variants with their results.
        properties: what ``read_properties`` found; None where they were not measured.
        before: what an earlier run found. Its properties stay where these are not known and are of the same students.
    """
    first = students[0].get("benchmark") or students[0].get("accuracy")
    found = {key: first[key] for key in OF_THE_RUN} | {
        "load_of_other_processes": speed.busiest(students),
        "teacher": students[0].get("benchmark", "teacher", "name") or students[0].teacher,
        "students": {
            student.name: {
                "file_sha256": student.get("model", "source", "sha256"),
                "n_parameters": student.get("model", "n_parameters"),
                "splits": {name: {key: split.get(key) for key in ERRORS} for name, split in student.splits.items()},
                "times": [{key: row.get(key) for key in TIMES} for row in speed.by_size(student)],
                "verdict": student.verdict(),
                "n_trained_on": student.get("training", "n_structures"),
            }
            for student in students
        },
        "properties": None if properties is None else {key: properties[key] for key in ("rows", "teacher")},
    }
    if properties is None and before is not None and unchanged(found, before) == set(found["students"]):
        found["properties"] = before["properties"]
    return found


def example(figures: Mapping[str, Any]) -> str:
    """The errors of the example's students, and their times beside the teacher's, all of one run."""
    found = figures["example"]
    if found is None:
        return NOT_RUN
    rows = []
    for name, student in found["students"].items():
        split, errors = next(iter(student["splits"].items()))
        time = student["times"][-1] if student["times"] else {}
        rows.append(
            [
                code(name),
                count(student["n_parameters"]),
                percent(errors["force_accuracy"]),
                number(errors["force_mae_eV_per_A"]),
                number(1e3 * errors["energy_mae_eV_per_atom"]),
                number(errors["stress_mae_GPa"]),
                number(time.get("latency_ms_median")),
                spread(time.get("speedup_over_teacher")),
                student["verdict"] or NOT_MEASURED,
            ]
        )
    columns = ["student", "parameters", "force accuracy", "force error (eV/Å)", "energy error (meV/atom)",
               "stress error (GPa)", "time (ms)", f"times faster than {found['teacher']}",
               "verdict"]  # fmt: skip
    first = next(iter(found["students"].values()))
    learned = first["n_trained_on"]
    from_labels = f"Learned from {count(learned)} structures that {found['teacher']} labelled. " if learned else ""
    sizes = [row["n_atoms"] for student in found["students"].values() for row in student["times"]]
    timed = f"time for one of {sizes[-1]} atoms, " if sizes else ""
    where = f"on {found['created_utc'][:10]} on {found['device_name']}, by torch {found['versions']['torch']}"
    said = (
        f"{from_labels}Errors, mean absolute ones where no other is named, on {errors['n_structures']} structures of "
        f"`{split}`; {timed}{where}.{of_others(found['load_of_other_processes'])}"
    )
    return f"{table(columns, rows)}\n\n{said}"


def example_properties(figures: Mapping[str, Any]) -> str:
    """The properties of the example's material by dynamics of the students and of their teacher."""
    if figures["example"] is None:
        return NOT_RUN
    found = figures["example"]["properties"]
    if found is None:
        return "The properties of this run were not measured: `snakemake properties` does that."
    symbols = list(found["rows"][0]["diffusion"])
    rows = [
        [
            code(row["student"]) if row["student"] else found["teacher"],
            count(row["n_atoms"]),
            number(row["temperature_K"], 4),
            _with_error(row["pressure_GPa"], row["pressure_standard_error_GPa"]),
            *(
                _with_error(own["coefficient_cm2_per_s"], own["standard_error_cm2_per_s"], 1e5)
                for own in row["diffusion"].values()
            ),
        ]
        for row in sorted(found["rows"], key=lambda row: (row["n_atoms"], row["temperature_K"]))
    ]
    diffusion = [f"diffusion of {symbol} (10⁻⁵ cm²/s)" for symbol in symbols]
    return f"{PICTURE}\n\n{table(['by', 'atoms', 'temperature (K)', 'pressure (GPa)', *diffusion], rows)}"


def _with_error(value: float | None, error: float | None, scale: float = 1.0) -> str:
    if value is None:
        return number(value, 2)
    return number(scale * value, 2) + ("" if error is None else f" ± {number(scale * error, 1)}")
