"""The model card of a package: what the student is, how good, how physical, how fast, and where it comes from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jinja2

from assay.physics import standing
from assay.workflow.config_models.types import module_name
from assay.workflow.files import look_up

FILES = Path(__file__).with_name("files")
NOT_MEASURED = "not measured"
INT8_FILE = "model.int8.onnx"
MEANING = {
    "model.onnx": "ONNX, finds neighbors of molecules itself",
    "model.edges.onnx": "ONNX, given a neighbor list: periodic systems, dynamics, virial",
    "model.fp16.onnx": "as model.onnx, hidden layers in half precision",
    INT8_FILE: "as model.onnx, hidden layers in 8-bit integers",
    "model.ts.pt": "TorchScript, for torch.jit.load in Python and C++",
    "model.assay": "the compiled engine of Assay, and programs that use it",
    "model.pt2": "AOTInductor, machine code for the processor that it was made on",
}


def write_card(
    results: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, Path],
    teacher: str | None,
    training_data: str,
    licence: str | None = None,
    citation: str | None = None,
    has_engine: bool = False,
    lammps: str | None = None,
) -> str:
    """Return the card, in Markdown.

    Args:
        results: the contents of model.json ("model") and of what else was measured ("accuracy", "physics", "benchmark",
            "export", "quantization", and "training", the record beside the checkpoint); what is missing is said to be.
        files: the model files of the package by name.
        teacher: the name of the student's teacher; None if it is unknown.
        training_data: the training data and where they come from, in words.
        licence: the licence of the weights; None if the config states none.
        citation: how the student is cited; None if the config does not say.
        has_engine: whether the wheel of the package holds the compiled engine.
        lammps: the date of the LAMMPS that its compiled plugin is for, such as 20250722; None where it has none.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FILES), undefined=jinja2.StrictUndefined, trim_blocks=False, autoescape=False
    )
    environment.filters["value"] = _with_interval
    elements = results["model"]["elements"]
    return environment.get_template("README.md.j2").render(
        {name: results.get(name) for name in ("accuracy", "physics", "benchmark")},
        model=results["model"],
        verdict=standing.standing(results),
        cap=standing.cap(results),
        gap=partial(standing.gap, results),
        without_prediction=standing.without_prediction(results),
        scope=look_up(results, "model", "scope", "sentence"),
        elements=", ".join(elements) if elements else "elements that its checkpoint does not name",
        files=[_file(name, path, results) for name, path in files.items()],
        speed=_speed(results.get("benchmark"), files),
        consistency=_consistency(results),
        confidence=_confidence(results.get("accuracy")),
        teacher=teacher or "no teacher, because its own is unknown",
        training=_training(results.get("training")),
        training_data=training_data,
        licence=licence or _unstated("licence"),
        citation=citation or _unstated("citation"),
        has_engine=has_engine,
        lammps=lammps,
        module=module_name(results["model"]["variant"]),
    )


def _unstated(key: str) -> str:
    return f"the config states none; write it there as `{key}` of the variant, and make the package again"


def _file(name: str, path: Path, results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Make a row of the table of files; each value is taken from the JSON that measured it."""
    energy, forces = (
        _largest_error(name, results, "energy_error_eV_max", "eV") or _increase(name, results, "energy_mae"),
        _largest_error(name, results, "forces_error_eV_per_A_max", "eV/angstrom")
        or _increase(name, results, "force_mae"),
    )
    return {
        "name": name,
        "meaning": MEANING.get(name, ""),
        "size": f"{path.stat().st_size / 1e6:.2f} MB",
        "energy": energy,
        "forces": forces,
        "deterministic": _determinism(name, results),
        "verified": _verified(name, results),
        "physics": standing.standing(results, name) or "not checked apart",
    }


def _largest_error(name: str, results: Mapping[str, Mapping[str, Any]], key: str, unit: str) -> str | None:
    """The largest difference between an exported file and the network in double precision; None if it is not known."""
    value = look_up(results, "export", "files", name, "parity", key)
    return None if value is None else f"{value:.0e} {unit}"


def _increase(name: str, results: Mapping[str, Mapping[str, Any]], key: str) -> str:
    """The relative increase of an eight-bit file's error against the teacher, over that of float32."""
    chosen = look_up(results, "quantization", "chosen")
    value = look_up(results, "quantization", "schemes", chosen, f"{key}_increase_relative")
    return NOT_MEASURED if value is None or name != INT8_FILE else f"MAE {100 * value:+.1f} %"


def _consistency(results: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The distance of the eight-bit file's forces from the gradient of its energy, relative to their size."""
    value = look_up(
        results, "quantization", "schemes", look_up(results, "quantization", "chosen"), "energy_force_consistency"
    )
    return None if value is None else f"{100 * value:.2g} %"


def _verified(name: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """Say whether a file passed every check beside the network in double precision."""
    passed = look_up(results, "export", "files", name, "passed")
    return "not checked apart" if passed is None else "yes" if passed else "**no**"


def _determinism(name: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """Say whether a file gives the same bits each run, or how far its energies spread in the physics checks."""
    same = look_up(results, "export", "files", name, "determinism", "passed")
    if same is not None:
        return "yes" if same else "no"
    criteria = look_up(results, "physics", "exports", name, "checks", "determinism", "criteria") or []
    spread = next((row["value"] for row in criteria if row["value_name"] == "energy_spread_eV"), None)
    return NOT_MEASURED if spread is None else "yes" if spread == 0 else f"to {spread:.0e} eV"


def _training(record: Mapping[str, Any] | None) -> str | None:
    """Write from the record of the training how many structures the student was given, whose labels and which file."""
    if record is None:
        return None
    given = [f"{data['n_structures']:,} structures (SHA-256 `{data['sha256']}`)" for data in record["data_sets"]]
    teacher = look_up(record, "teacher", "name")
    return ", then ".join(given) + (f", labelled by {teacher}" if teacher else "")


def _with_interval(split: Mapping[str, Any], name: str) -> str:
    """Write a value of a split with its confidence interval where there is one."""
    interval = split.get("confidence_intervals", {}).get(name)
    if split[name] is None:
        return "not measured"
    text = f"{split[name]:.4g}"
    return text if interval is None or None in interval else f"{text} ({interval[0]:.4g} to {interval[1]:.4g})"


def _confidence(accuracy: Mapping[str, Any] | None) -> str:
    return f"{100 * (accuracy or {}).get('settings', {}).get('confidence', 0.95):g} %"


def _speed(benchmark: Mapping[str, Any] | None, files: Collection[str]) -> dict[str, Any] | None:
    """Median latencies of one structure, by its number of atoms, of the runtimes whose file is in the package."""
    if benchmark is None:
        return None
    packed = {name: about["file"] for name, about in benchmark["runtimes"].items() if about["file"] in files}
    rows = [
        r for r in benchmark["rows"] if r["batch_size"] == 1 and r["runtime"] in packed and "latency_ms_median" in r
    ]
    times: dict[str, dict[int, list[float]]] = {}  # several of one number of atoms where the data have no other
    for row in rows:
        times.setdefault(packed[row["runtime"]], {}).setdefault(row["n_atoms"], []).append(row["latency_ms_median"])
    sizes = sorted({row["n_atoms"] for row in rows})
    written = {
        file: [f"{median(own[size]):.2f}" if size in own else "-" for size in sizes] for file, own in times.items()
    }
    load = benchmark.get("load_of_other_processes", 0.0)
    return {"sizes": sizes, "rows": written, "load": load} if rows else None
