"""The model card of a package: who the student is, how good, how physical, how fast, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

FILES = Path(__file__).with_name("files")
MEANING = {
    "model.onnx": "ONNX, finds neighbors of molecules itself",
    "model.edges.onnx": "ONNX, given a neighbor list: periodic systems, dynamics, virial",
    "model.fp16.onnx": "as model.onnx, hidden layers in half precision",
    "model.int8.onnx": "hidden layers in 8-bit integers",
    "model.ts.pt": "TorchScript, for torch.jit.load in Python and C++",
    "model.pt2": "AOTInductor, machine code for the processor that it was made on",
}


def write_card(
    results: Mapping[str, Mapping[str, Any]], files: Mapping[str, Path], teacher: str, licence: str, training_data: str
) -> str:
    """The card, in Markdown.

    Args:
        results: contents of model.json ("model") and of what else was measured ("accuracy", "physics", "benchmark",
            "export"); what is missing is said to be.
        files: the model files of the package by name.
        teacher: what the student was distilled from.
        licence: of the weights.
        training_data: what it is and where it came from.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FILES), undefined=jinja2.StrictUndefined, trim_blocks=False, autoescape=False
    )
    environment.filters["value"] = _with_interval
    elements = results["model"]["elements"]
    return environment.get_template("README.md.j2").render(
        {name: results.get(name) for name in ("accuracy", "physics", "benchmark")},
        model=results["model"],
        elements=", ".join(elements) if elements else "elements that its checkpoint does not name",
        files=[_file(name, path, results.get("export")) for name, path in files.items()],
        speed=_speed(results.get("benchmark")),
        confidence=_confidence(results.get("accuracy")),
        teacher=teacher,
        licence=licence,
        training_data=training_data,
    )


def _file(name: str, path: Path, export: Mapping[str, Any] | None) -> dict[str, str]:
    judged = (export or {}).get("files", {}).get(name, {})
    parity, same = judged.get("parity", {}), judged.get("determinism", {}).get("passed")
    return {
        "name": name,
        "meaning": MEANING.get(name, ""),
        "size": f"{path.stat().st_size / 1e6:.2f} MB",
        "energy": _error(parity.get("energy_error_eV_max"), "eV"),
        "forces": _error(parity.get("forces_error_eV_per_A_max"), "eV/angstrom"),
        "deterministic": "not measured" if same is None else "yes" if same else "no",
    }


def _error(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{value:.0e} {unit}"


def _with_interval(split: Mapping[str, Any], name: str) -> str:
    """A value of a split with its confidence interval where there is one."""
    interval = split.get("confidence_intervals", {}).get(name)
    text = f"{split[name]:.4g}"
    return text if interval is None else f"{text} ({interval[0]:.4g} to {interval[1]:.4g})"


def _confidence(accuracy: Mapping[str, Any] | None) -> str:
    return f"{100 * (accuracy or {}).get('settings', {}).get('confidence', 0.95):g} %"


def _speed(benchmark: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Latencies of one structure, runtime by system size."""
    if benchmark is None:
        return None
    rows = [row for row in benchmark["rows"] if row["batch_size"] == 1 and "latency_ms_median" in row]
    sizes = sorted({row["system_size"] for row in rows})
    times: dict[str, list[str]] = {}
    for row in rows:
        times.setdefault(row["runtime"], ["-"] * len(sizes))
        times[row["runtime"]][sizes.index(row["system_size"])] = f"{row['latency_ms_median']:.2f}"
    return {"sizes": sizes, "rows": times}
