"""What programs did with the students, as a table for people and as a figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assay.workflow.files import atomic_path
from assay.workflow.markdown import BUSY, table
from assay.workflow.plots import figure, series

ANSWERS = ("student", "program", "structure", "energy (eV)", "forces (eV/angstrom)", "virial", "slope along a strain",
           "drift (meV/atom/ps)", "over (ps)", "verdict")  # fmt: skip
PASSES, FAILS, TOO_SHORT = "passes", "fails", "too short to tell"


def write_markdown(path: str | Path, result: Mapping[str, Any]) -> None:
    """Write the errors and the speed of every program with every student.

    Args:
        path: the file to write.
        result: the content of ``engines.json``.
    """
    columns, speed = _speed(result)
    lines = [
        "# Students in programs of molecular dynamics",
        "",
        "Errors are those against the network in double precision. The virial and the slope are told as fractions of "
        "the largest element of the virial.",
        "",
        *_loads(result),
        *_limits(result),
        table(ANSWERS, _answers(result), left=len(ANSWERS)),
        "",
        "## Milliseconds a step, and nanoseconds a day",
        "",
        table(columns, speed, left=len(columns)),
        "",
        *_failures(result),
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines))


def draw(path: str | Path, result: Mapping[str, Any]) -> None:
    """Draw milliseconds a step and nanoseconds a day against the number of atoms: a row of panels for each student."""
    students = result["students"]
    with figure(path, len(students), 2, size=(4.2, 3.2)) as (drawing, axes):
        for row, (student, own) in zip(axes, students.items(), strict=True):
            for panel, key, unit in zip(row, ("ms_per_step", "ns_per_day"), ("ms a step", "ns a day"), strict=True):
                for k, program in enumerate(own["programs"].values()):
                    points = [(p["n_atoms"], p[key]) for p in program.get("speed", []) if key in p]
                    if points:
                        panel.plot(*zip(*points, strict=True), label=program["title"], **series(k))
                panel.set(xscale="log", yscale="log", xlabel="atoms", ylabel=unit, title=student)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        if handles:
            drawing.legend(handles, labels, loc="outside lower center", ncols=3)


def _loads(result: Mapping[str, Any]) -> Iterator[str]:
    for student, own in result["students"].items():
        if own["load_of_other_processes"] > BUSY:
            share = 100 * own["load_of_other_processes"]
            yield f"Other processes used {share:.0f} % of the processor while {student} was timed: its times are rough."
            yield ""


def _limits(result: Mapping[str, Any]) -> Iterator[str]:
    """Say on what and for how long each program ran, once for all students of which it is the same."""
    students: dict[tuple[str, float, float, float, float], list[str]] = {}
    for student, own in result["students"].items():
        asked = own["settings"]
        limits = (asked["drift_ps"], asked["drift_s"], asked["size_s"], asked["longest_s"])
        students.setdefault((own["device_name"], *limits), []).append(student)
    for (machine, drift_ps, drift_s, size_s, longest_s), names in students.items():
        yield (
            f"{', '.join(names)}: on one thread of {machine}, each structure moved for {drift_ps:g} ps, or for as long "
            f"as fits in {drift_s:g} s. Each size was timed for {size_s:g} s or three steps, and left out where these "
            f"would take more than {longest_s:g} s."
        )
        yield ""


def _answers(result: Mapping[str, Any]) -> Iterator[list[str]]:
    for student, own in result["students"].items():
        for program in own["programs"].values():
            for name, case in program.get("cases", {}).items():
                numbers = [
                    _number(case.get(key))
                    for key in ("energy_error_eV", "forces_error_eV_per_A", "virial_error_relative",
                                "strain_error_relative", "drift_meV_per_atom_per_ps", "duration_ps")
                ]  # fmt: skip
                found = case["verdict"]
                yield [student, program["title"], name, *numbers, f"**{found}**" if found == FAILS else found]


def _speed(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """The columns and the rows of the table of speed."""
    found: dict[tuple[str, str], dict[int, str]] = {}
    for student, own in result["students"].items():
        for program in own["programs"].values():
            cells = found.setdefault((student, program["title"]), {})
            for point in program.get("speed", []):
                if "ms_per_step" in point:
                    cells[point["n_atoms"]] = f"{_number(point['ms_per_step'])} ({_number(point['ns_per_day'])})"
                elif "left_out" in point:
                    cells[point["n_atoms"]] = point["left_out"]
    sizes = sorted({size for cells in found.values() for size in cells})
    rows = [[*key, *(cells.get(size, "") for size in sizes)] for key, cells in found.items()]
    return ["student", "program", *(f"{size:,} atoms" for size in sizes)], rows


def _failures(result: Mapping[str, Any]) -> Iterator[str]:
    """Say what no number stands for, and why."""
    for student, own in result["students"].items():
        for program in own["programs"].values():
            parts = {"": program, **program.get("cases", {})}
            parts |= {f"{point['n_atoms']:,} atoms": point for point in program.get("speed", [])}
            for name, part in parts.items():
                why = part.get("error") or part.get("shortened") or part.get("ended")
                if why:
                    yield f"- {student} in {program['title']}{name and f', {name}'}: {why}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
