"""The tables of the documentation, each written from ``docs/figures.json`` and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.physics.verdict import label_of
from assay.report.example import example, example_properties
from assay.report.markdown import code, of_others, spread
from assay.report.peers import peers
from assay.report.trials import ablation, compression
from assay.report.wording import (
    NOT_MEASURED,
    change,
    count,
    file_size,
    judged_of,
    limit,
    number,
    percent,
    words,
)
from assay.workflow.errors import listing
from assay.workflow.markdown import table

Figures = Mapping[str, Any]


def _milli(value: float | None) -> str:
    """A value in thousandths of its unit."""
    return number(None if value is None else 1e3 * value, 3)


IN_DYNAMICS = "in dynamics"  # the head of a column: the same where the teacher starts from the step before


def _with_range(found: Mapping[str, Any], key: str) -> str:
    """A ratio, and the range of its rounds where the figures have one."""
    median, p5, p95 = (found.get(name) for name in (key, f"{key}_p5", f"{key}_p95"))
    if median is None or p5 is None or p95 is None:
        return number(median)
    return spread({"median": median, "p5": p5, "p95": p95})


def faster_than(figures: Figures) -> str:
    """The head of a column of speeds over the teacher, which starts from scratch."""
    return f"times faster than {figures['teacher'] or 'its teacher'}"


def origin(figures: Figures) -> str:
    """When, where and with what the figures were measured."""
    threads = sorted({s["threads"] for s in figures["students"].values() if s["threads"]})
    on = f" with {listing([str(n) for n in threads])} threads" if threads and figures["device"] == "cpu" else ""
    return (
        f"Measured on {figures['created_utc'][:10]} on {figures['device_name']} ({figures['device']}){on}, by torch "
        f"{figures['versions']['torch']}.{of_others(figures['load_of_other_processes'])}"
    )


def students(figures: Figures) -> str:
    """Size, accuracy, speed and verdict of each student."""
    rows = []
    for name, variant in figures["variants"].items():
        rows.append(
            [
                code(name),
                count(variant["n_parameters"]),
                percent(variant["force_accuracy"]),
                _milli(variant["energy_mae_eV_per_atom"]),
                number(variant["latency_ms_batch1"]),
                _with_range(variant, "speedup_over_teacher"),
                _with_range(variant, "speedup_over_restarted_teacher"),
                file_size(variant["file_sizes_bytes"].get("fp32")),
                variant["verdict"] or NOT_MEASURED,
            ]
        )
    sizes = {form["n_atoms"] for form in figures["forms"] if form["n_atoms"]}
    of = f" of {listing([str(n) for n in sorted(sizes)])} atoms" if sizes else ""
    columns = [
        "student", "parameters", "force accuracy", "energy error (meV/atom)", f"one molecule{of} (ms)",
        faster_than(figures), IN_DYNAMICS, "`model.onnx`", "verdict",
    ]  # fmt: skip
    return table(columns, rows)


def splits(figures: Figures) -> str:
    """Errors of each student on each split."""
    rows = [
        [
            code(name),
            words(split),
            judged_of(found),
            percent(found["force_accuracy"]),
            number(found["force_r2"], 4),
            _milli(found["force_mae_eV_per_A"]),
            _milli(found["energy_mae_eV_per_atom"]),
            percent(figures["students"][name]["flagged"].get(split), 0),
        ]
        for name, variant in figures["variants"].items()
        for split, found in variant["splits"].items()
    ]
    columns = ["student", "split", "structures", "force accuracy", "force R²", "force MAE (meV/Å)",
               "energy MAE (meV/atom)", "flagged"]  # fmt: skip
    return table(columns, rows, left=2)


def flags(figures: Figures) -> str:
    """The structures that the flag compares others with, for each student."""
    rows = [[code(name), student["compared_with"] or NOT_MEASURED] for name, student in figures["students"].items()]
    return table(["student", "the flag compares with"], rows, left=2)


def failed_checks(figures: Figures) -> str:
    """Every physics check that a student does not pass, with its value and its limit."""
    if not any(student["checks"] for student in figures["students"].values()):
        return "Physics was not measured in this run."
    rows = []
    for name, student in figures["students"].items():
        for check, about in student["checks"].items():
            if about["outcome"] not in ("fail", "error"):
                continue
            shown = [row for row in about["criteria"] if not row["passed"]]
            value = ", ".join(f"{label_of(row['value_name'])}: {number(row['value'])}" for row in shown)
            bounds = ", ".join(bound(row) for row in shown)
            rows.append([code(name), words(check), about["needed_for"], value or about["outcome"], bounds or "–"])
    if not rows:
        return "Every student passes every check."
    return table(["student", "check", "needed for", "value", "limit"], rows, left=5)


def chosen_checks(figures: Figures) -> str:
    """The checks of energies along turned bonds, of conformers and of vibrations, for each student."""
    wanted = {
        "torsions": "barrier_mae_kcal_per_mol",
        "conformers": "mae_kcal_per_mol",
        "tautomers": "mae_kcal_per_mol",
        "vibrations": "mae_per_cm",
        "contact_curves": "mean_wrong_flips",
        "nve": "drift_meV_per_atom_per_ps",
    }
    rows = []
    for check, value_name in wanted.items():
        found = {name: _criterion(student, check, value_name) for name, student in figures["students"].items()}
        known = [row for row in found.values() if row]
        if known:
            values = [number(row["value"]) if row else NOT_MEASURED for row in found.values()]
            rows.append([words(check), label_of(value_name), *values, bound(known[0])])
    return table(["check", "number", *map(code, figures["students"]), "limit"], rows, left=2)


def bound(criterion: Mapping[str, Any]) -> str:
    """The limit of a value: at most, or at least."""
    return f"≤ {limit(criterion['max'])}" if "max" in criterion else f"≥ {limit(criterion['min'])}"


def _criterion(student: Mapping[str, Any], check: str, value_name: str) -> Mapping[str, Any] | None:
    criteria = student["checks"].get(check, {}).get("criteria", [])
    return next((row for row in criteria if row["value_name"] == value_name and row["value"] is not None), None)


def targets(figures: Figures) -> str:
    """Every target with its number and its verdict."""
    rows = [
        [row["name"], code(row["variant"]) if row["variant"] else "all", row["shown"], row["asked"], row["verdict"]]
        for row in figures["targets"]
    ]
    return table(["target", "student", "value", "asked for", "verdict"], rows, left=5)


def runtimes(figures: Figures) -> str:
    """Every runtime of each student: one structure a call, and the highest rate."""
    rows = []
    for name, student in figures["students"].items():
        for row in student["runtimes"]:
            single, best = row["single"], row["best"]
            rows.append(
                [
                    code(name),
                    words(row["runtime"]),
                    row["precision"],
                    number(single.get("latency_ms_median")) if single else row["error"] or NOT_MEASURED,
                    spread(single.get("speedup_over_teacher")),
                    f"{number(best['atoms_per_s'])} ({best['batch_size']})" if best else "–",
                ]
            )
    columns = ["student", "runtime", "precision", "one structure (ms)", faster_than(figures),
               "most atoms/s (batch)"]  # fmt: skip
    return table(columns, rows, left=3)


def sizes(figures: Figures) -> str:
    """The fastest runtime in single precision for one structure of each size."""
    rows = [
        [
            code(name),
            count(row["n_atoms"]),
            words(row["runtime"]),
            number(row["latency_ms_median"]),
            number(row["atoms_per_s"]),
            spread(row.get("speedup_over_teacher")),
            spread(row.get("speedup_over_restarted_teacher")),
        ]
        for name, student in figures["students"].items()
        for row in student["sizes"]
    ]
    columns = [
        "student",
        "atoms",
        "fastest runtime",
        "ms",
        "atoms/s",
        faster_than(figures),
        IN_DYNAMICS,
    ]
    return table(columns, rows)


def files(figures: Figures) -> str:
    """Every exported file: its size, and its largest differences from the network in double precision."""
    rows = [
        [
            code(name),
            code(file),
            file_size(row["size_bytes"]),
            number(row.get("energy_error_eV_max"), 2),
            number(row.get("forces_error_eV_per_A_max"), 2),
            "yes" if row["passed"] else "no",
        ]
        for name, student in figures["students"].items()
        for file, row in student["files"].items()
    ]
    columns = ["student", "file", "size", "largest energy error (eV)", "largest force error (eV/Å)", "verified"]
    return table(columns, rows, left=2)


def eight_bits(figures: Figures) -> str:
    """What each scheme of eight bits gains and costs, beside single precision in the same run."""
    rows = []
    for name, student in figures["students"].items():
        found = student["eight_bits"] or {"schemes": {}}
        for scheme, row in found["schemes"].items():
            shown = f"**{words(scheme)}**" if scheme == found["chosen"] else words(scheme)
            cells = [
                number(row.get("latency_ratio_batch1")),
                number(row.get("latency_ratio_batch32")),
                change(row.get("force_mae_increase_relative")),
                change(row.get("energy_mae_increase_relative")),
                number(row.get("energy_force_consistency"), 2),
                number(row.get("nve_drift_meV_per_atom_per_ps"), 2),
            ]
            if "error" in row:
                cells = ["does not run here", *["–"] * (len(cells) - 1)]
            rows.append([code(name), shown, number(row.get("size_ratio"), 2), *cells])
    columns = ["student", "scheme", "size", "time, batch 1", "time, batch 32", "force MAE", "energy MAE", "consistency",
               "drift (meV/atom/ps)"]  # fmt: skip
    return table(columns, rows, left=2)


def eight_bits_verdict(figures: Figures) -> str:
    """The scheme that ships as ``model.int8.onnx``, and the limits that it misses."""
    rows = []
    for name, student in figures["students"].items():
        found = student["eight_bits"]
        if found:
            missed = (found["failed_limits"] or {}).get(found["chosen"], [])
            recommended = "yes" if found["recommended"] else "no"
            rows.append([code(name), words(found["chosen"]), recommended, listing(list(map(words, missed))) or "none"])
    return table(["student", "scheme in `model.int8.onnx`", "recommended", "limits that it misses"], rows, left=4)


def operators(figures: Figures) -> str:
    """The share of each operator in the time of ``model.onnx``, 32 structures a call."""
    known = {name: s["eight_bits"] for name, s in figures["students"].items() if s["eight_bits"]}
    ranked: dict[str, float] = {}
    for found in known.values():
        for operator, share in found["operator_shares"].items():
            ranked[operator] = max(share, ranked.get(operator, 0.0))
    shown = [operator for operator, share in sorted(ranked.items(), key=lambda item: -item[1]) if share >= 0.02]
    rows = [[code(op), *(percent(found["operator_shares"].get(op, 0.0), 0) for found in known.values())]
            for op in shown]  # fmt: skip
    rows.append(["all products with weights", *(percent(found["matmul_share"], 0) for found in known.values())])
    return table(["operator", *map(code, known)], rows)


def training(figures: Figures) -> str:
    """The rounds of each student's training, with the validation at the end of each."""
    rows = []
    for name, student in figures["students"].items():
        record = student["training"] or {"rounds": []}
        for k, row in enumerate(record["rounds"]):
            rows.append(
                [
                    code(name) if k == 0 else "",
                    str(k + 1),
                    count(row["steps"]),
                    count(row.get("atoms_per_step")) if "atoms_per_step" in row else "–",
                    f"{row['peak']:g}" if "peak" in row else "–",
                    f"{row['energy_weight']:g}" if "energy_weight" in row else "–",
                    percent(row.get("force_accuracy")),
                    _milli(row.get("force_mae_eV_per_A")),
                    _milli(row.get("energy_mae_eV_per_atom")),
                ]
            )
    columns = ["student", "round", "steps", "atoms a step", "peak of the rates", "weight of energies (Å)",
               "force accuracy, validation", "force MAE (meV/Å)", "energy MAE (meV/atom)"]  # fmt: skip
    return table(columns, rows, left=2)


def training_cost(figures: Figures) -> str:
    """What each student was trained on, for how long and on which device."""
    rows = []
    for name, student in figures["students"].items():
        if record := student["training"]:
            parameters = count(figures["variants"][name]["n_parameters"])
            devices = listing(list(dict.fromkeys(record["devices"])))
            structures = ", then ".join(map(count, record["n_structures"]))
            rows.append(
                [code(name), parameters, structures, devices, count(record["threads"]), number(record["hours"])]
            )
    return table(["student", "parameters", "structures", "device", "threads, last run", "hours"], rows)


def endurance(figures: Figures) -> str:
    """How many molecules each student kept whole in long dynamics."""
    rows = []
    for name, student in figures["students"].items():
        if found := student["endurance"]:
            kept = f"{found['n_survived']} of {found['n_molecules']}"
            run = f"{number(found['duration_ps'])} ps at {number(found['temperature_K'])} K"
            rows.append([code(name), kept, run, number(found["largest_bond_change_A"], 2), found["created_utc"][:10]])
    if not rows:
        return "The students of this run were not tried in long dynamics: `snakemake endurance` does that."
    return table(["student", "kept", "dynamics", "largest change of a bond (Å)", "measured"], rows)


def gallery(figures: Figures) -> str:
    """The report's figures of one student, each with its caption."""
    found = figures["gallery"]
    parts = [f"Figures of `{found['student']}`."]
    for file, about in found["files"].items():
        name = words(Path(file).stem)
        parts.append(f"## {name.capitalize()}\n\n![{name}](gallery/{file})\n\n{about['caption']}")
    return "\n\n".join(parts)


TABLES: dict[str, Callable[[Figures], str]] = {
    render.__name__.replace("_", "-"): render
    for render in (
        origin, students, splits, flags, failed_checks, chosen_checks, targets, runtimes, sizes, peers, files,
        eight_bits, eight_bits_verdict, operators, training, training_cost, endurance, gallery, ablation, compression,
        example, example_properties,
    )
}  # fmt: skip
