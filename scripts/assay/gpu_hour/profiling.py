"""Part 5: where the time of one step goes, kernel by kernel."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from assay.gpu_hour.hour import Hour, Piece
from assay.gpu_hour.names import EAGER, KERNELS
from assay.gpu_hour.parity import examples
from assay.gpu_hour.runtimes import load_runtime_of
from assay.structures.structure import nearest_in_size

RUNTIMES = (KERNELS, EAGER, "torchscript")
ROWS = 40  # kernels that are listed, those that take longest


def pieces(hour: Hour, folder: Path) -> dict[str, Piece]:
    """What is measured: one evaluation of one molecule and of a batch, by each runtime of each student.

    Args:
        hour: the device and the time.
        folder: where exported files are made.
    """
    batches = (1,) if hour.dry else (1, 1024)
    return {
        f"{variant}, {name}, {batch} x 20 atoms": functools.partial(_profiled, hour, variant, name, batch, folder)
        for variant in hour.variants
        for name in hour.some_of(RUNTIMES)
        for batch in batches
    }


def _profiled(hour: Hour, variant: str, name: str, batch: int, folder: Path) -> dict[str, Any]:
    nearest = nearest_in_size(examples(), 20)[:64]
    structures = [nearest[k % len(nearest)] for k in range(batch)]
    call = load_runtime_of(hour, variant, name, folder).timed_call(structures)
    for _ in range(3):
        call()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (hour.device == "cuda")
    with profile(activities=activities) as found:
        call()
        if hour.device == "cuda":
            torch.cuda.synchronize()
    rows = [
        {
            "name": event.key[:120],
            "calls": event.count,
            "self_device_us": float(event.self_device_time_total),
            "self_cpu_us": float(event.self_cpu_time_total),
        }
        for event in found.key_averages()
    ]
    key = "self_device_us" if hour.device == "cuda" else "self_cpu_us"
    rows.sort(key=lambda row: row[key], reverse=True)
    return {
        "n_atoms": sum(map(len, structures)),
        "launches": sum(row["calls"] for row in rows if row["self_device_us"] > 0.0),
        "device_us": sum(row["self_device_us"] for row in rows),
        "rows": rows[:ROWS],
    }
