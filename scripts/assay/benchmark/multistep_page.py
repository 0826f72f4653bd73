"""What was found of students as inner forces, as a page for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.dynamics.multistep import ALONE
from assay.workflow.files import atomic_path
from assay.workflow.markdown import table

COLUMNS = ("student", "n", "outer step (fs)", "stable", "drift (meV/atom/ps)", "fluctuation (meV/atom)",
           "bonds from the teacher's (Å)", "torsions from the teacher's (°)", "times faster")  # fmt: skip


def write_page(path: str | Path, result: Mapping[str, Any]) -> None:
    """Write which student is the best inner force, a table of all, and how it was measured.

    Args:
        path: the file to write.
        result: the content of ``multistep.json``.
    """
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(["# Students as inner forces of their teacher", "", *lines(result), ""]))


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The sentences and the table of the page."""
    settings, again = result["settings"], result["repeated"]
    yield verdict(result)
    yield ""
    yield (
        f"{result['teacher']} corrects the student every n short steps of {settings['step_fs']:g} fs; "
        f"{len(result['molecules'])} molecules of {_sizes(result['molecules'])} atoms at "
        f"{settings['temperature_K']:g} K, {settings['constant_energy_ps']:g} ps at constant energy for the drift, and "
        f"{settings['bath_ps']:g} ps in a heat bath for distributions. An n is stable if no molecule blows up and the "
        f"energy of none drifts by more than {result['drift_limit_meV_per_atom_per_ps']:g} meV/atom/ps."
    )
    yield ""
    yield (
        "A distance is how far the one distribution must be moved to be the teacher's (1-Wasserstein, the mean over "
        f"all). A second run of {result['teacher']} with other noise is at {_number(again['bond_distance_A'])} Å and "
        f"{_number(again['torsion_distance_deg'])}° from the first: what is no farther cannot be told from it."
    )
    yield ""
    summaries = [(name, row) for name, own in result["students"].items() for row in own["summary"]]
    yield table(COLUMNS, [_cells(name, row, settings["step_fs"]) for name, row in summaries])
    yield ""
    yield f"Timed in ASE, one step of each in turns, on {result['device_name']}; processes of others used "
    yield f"{100 * result['load_of_other_processes']:.0f} % of it meanwhile."
    for name, reason in result["not_applicable"].items():
        yield f"\n`{name}` was left out: {reason}."


def verdict(result: Mapping[str, Any]) -> str:
    """One sentence: which student is the best inner force, and what it gives."""
    best = result["best"]
    if best is None:
        return "No student is a stable inner force at any n that was tried."
    at = result["students"][best]["largest_stable"]
    return (
        f"**`{best}` is the best inner force**: corrected every {at['n']} steps it gives the dynamics of "
        f"{result['teacher']} {at['times_faster']:.1f} times as fast as {result['teacher']} alone."
    )


def _sizes(molecules: Sequence[Mapping[str, Any]]) -> str:
    sizes = sorted(molecule["n_atoms"] for molecule in molecules)
    return str(sizes[0]) if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"


def _cells(name: str, row: Mapping[str, Any], step_fs: float) -> list[str]:
    alone = row["n"] == ALONE
    return [
        f"`{name}`",
        "alone" if alone else str(row["n"]),
        "" if alone else f"{row['n'] * step_fs:g}",
        "yes" if row["stable"] else "no",
        _number(row["drift_meV_per_atom_per_ps"]),
        _number(row["fluctuation_meV_per_atom"]),
        _number(row["bond_distance_A"]),
        _number(row["torsion_distance_deg"]),
        _number(row.get("times_faster")),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
